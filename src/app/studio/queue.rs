//! Runs that wait for the one in training, and are trained one after another when it has ended by itself.

use serde::{Deserialize, Serialize};

use super::Studio;
use crate::app::gate;
use crate::app::live::RunView;
use crate::app::notices::Severity;
use crate::app::start_folder::placed;
use crate::engine::config::RunConfig;
use crate::units::bytes;

/// A run that waits, as it is remembered between two starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The name that it was given; empty: by its folder.
    pub name: String,
    /// Model and rows in a few words.
    pub what: String,
    /// Bytes that it takes, by the plan when it was queued.
    pub bytes: u64,
    /// The text of its run file.
    pub run: String,
}

/// Requests about the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueCommand {
    /// The prepared run waits for its turn.
    Add,
    /// This one, counted from 0, does not wait any more.
    Remove(usize),
    /// Train the first of them now.
    Begin,
}

impl Studio {
    pub(super) fn queue(&mut self, command: QueueCommand) {
        match command {
            QueueCommand::Add => self.add_to_queue(),
            QueueCommand::Remove(i) => {
                if i < self.shared.prefs.queue.len() {
                    self.shared.prefs.queue.remove(i);
                }
            }
            QueueCommand::Begin if self.free_to_train() => self.begin_next(true),
            QueueCommand::Begin => {}
        }
    }

    fn add_to_queue(&mut self) {
        if let Some(check) = gate::queue_refusal(self) {
            let text = format!("it cannot be queued yet: {}: {}", check.topic.title(), check.sentence);
            self.shared.notices.tell(Severity::Warning, text);
            return;
        }
        let run = &self.shared.run;
        match run.to_toml() {
            Ok(text) => {
                let name = std::mem::take(&mut self.run_name).trim().to_string();
                let what = format!("{} on {}", tail(&run.model.source), tail(&run.data.train));
                let takes = self.pricing.bytes();
                self.shared.prefs.queue.push(Waiting { name, what, bytes: takes, run: text });
            }
            Err(error) => self.shared.notices.error(error.to_string()),
        }
    }

    /// A run has ended by itself, well or not. One that was stopped is not followed: who stops it wants something else first.
    pub(super) fn go_on_with_queue(&mut self) {
        // Whoever looks at another run, or prepares one, goes on with it.
        self.begin_next(self.view.as_ref().is_some_and(|view| view.own));
    }

    /// Begins the first that can be read, if there is memory for it. The trainer checks model and rows once more, and says
    /// what it refuses.
    fn begin_next(&mut self, show: bool) {
        if self.shared.prefs.queue.is_empty() {
            return;
        }
        self.shared.device.refresh();
        let free = self.shared.device.available_bytes;
        while let Some(first) = self.shared.prefs.queue.first() {
            if first.bytes > free {
                let (needed, free) = (bytes(first.bytes), bytes(free));
                let text =
                    format!("the next run of the queue waits: {} takes {needed}, and {free} are free", first.what);
                self.shared.notices.tell(Severity::Warning, text);
                return;
            }
            let Waiting { name, what, run, .. } = self.shared.prefs.queue.remove(0);
            let run = match RunConfig::from_str(&run) {
                Ok(run) => run,
                Err(error) => {
                    self.shared.notices.error(format!("a run of the queue, {what}, cannot be read: {error}"));
                    continue;
                }
            };
            let config = placed(&run, &self.shared.prefs);
            let before = self.view.take();
            self.train_view(RunView::new(config, f64::from(self.shared.prefs.smoothing)), None, name);
            if !show {
                self.parked = std::mem::replace(&mut self.view, before);
            }
            self.shared.notices.tell(Severity::Info, format!("the next run of the queue begins: {what}"));
            return;
        }
    }
}

/// The last part of a path or id.
fn tail(source: &str) -> &str {
    source.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(source)
}
