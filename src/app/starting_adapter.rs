//! The adapter that the draft continues from, where it names one.

use std::sync::Arc;

use super::job::Job;
use super::model::ModelInfo;
use super::room::Readiness;
use super::shared::Shared;
use crate::engine::config::expand_home;
use crate::engine::export::adapter_dir;
use crate::engine::peft::{AdapterShape, folder};

/// Its shape, or why it cannot be read.
#[derive(Default)]
pub struct StartingAdapter {
    /// Ranks and sizes.
    pub shape: Option<AdapterShape>,
    /// Why there is none though the draft names one.
    pub problem: Option<String>,
    key: Option<(String, usize)>,
    reading: Option<Job<AdapterShape>>,
}

impl StartingAdapter {
    /// Reads the draft's adapter, if it is not the one that was read.
    pub fn follow(&mut self, shared: &Shared, model: Option<&Arc<ModelInfo>>) {
        let name = shared.run.method.init_from.trim().to_string();
        let Some(model) = model else { return };
        let key = (name.clone(), Arc::as_ptr(model) as usize);
        if self.key.as_ref() == Some(&key) {
            return;
        }
        *self = StartingAdapter { key: Some(key), ..Self::default() };
        if name.is_empty() {
            return;
        }
        let model = model.clone();
        self.reading = Some(Job::spawn("read-adapter", &shared.waker, move |_| {
            let adapter = folder::read(&adapter_dir(&expand_home(&name))?, &model.config)?;
            Ok(AdapterShape::of(&adapter))
        }));
    }

    /// Takes the result of reading. True when something changed.
    pub fn drain(&mut self) -> bool {
        let Some(result) = self.reading.as_mut().and_then(Job::poll) else { return false };
        self.reading = None;
        match result {
            Ok(shape) => self.shape = Some(shape),
            Err(error) => self.problem = Some(format!("the adapter to continue from: {error}")),
        }
        true
    }

    /// Blocked or busy where the draft names an adapter that is not read.
    pub fn readiness(&self) -> Readiness {
        match (&self.reading, &self.problem) {
            (Some(_), _) => Readiness::Busy,
            (_, Some(problem)) => Readiness::Blocked(problem.clone()),
            _ => Readiness::Ready,
        }
    }
}
