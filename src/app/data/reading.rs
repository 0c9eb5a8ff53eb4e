//! Reading the draft's rows, and counting what the settings make of them: jobs, begun when the draft changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::job::{Job, JobError};
use super::super::model::ModelInfo;
use super::super::prefs::Prefs;
use super::super::shared::Shared;
use super::key::Key;
use super::{DataInfo, DataProblem, DataState, Finding, FirstRows, HubData, Look, Pick};
use crate::engine::config::{DataConfig, OnBadRow};
use crate::engine::data::{self, Survey};

/// While a person types, reading waits for this long.
const PAUSE: Duration = Duration::from_millis(300);
/// Reading that takes longer than this shows the first rows before it ends.
const LONG: Duration = Duration::from_millis(200);
/// Files from this size on take longer than that, unless they were read before.
const LARGE: u64 = 16 << 20;
/// Those rows.
const PEEKED: usize = 256;
/// Rows that are counted anew within a frame; more of them on a thread.
const AT_ONCE: usize = 30_000;

/// What reading brings: the columns are known also where nothing else is.
pub(super) struct Read {
    first: Option<FirstRows>,
    hub: Option<HubData>,
    survey: Result<Survey, Box<DataProblem>>,
}

pub(super) type Counted = Result<DataInfo, String>;

impl DataState {
    /// Reads the draft's rows, if they are not the ones that were read; counts them for the draft's settings.
    pub fn follow(&mut self, shared: &mut Shared, model: Option<&Arc<ModelInfo>>) {
        let Some(model) = model else {
            // Rows are written with the model's chat template; the Model room says why there is none.
            let download = std::mem::take(&mut self.download);
            *self = DataState { download, ..DataState::default() };
            return;
        };
        let settings = &shared.run.data;
        self.skips = settings.on_bad_row == OnBadRow::Skip;
        let key = Key::of(settings, model);
        if self.key.as_ref() != Some(&key) {
            let typing = self.reading.is_some() || self.changed.is_some_and(|at| at.elapsed() < 2 * PAUSE);
            let pause = if typing { PAUSE } else { Duration::ZERO };
            #[cfg(test)]
            let pause = self.held_up.unwrap_or(pause);
            self.read(key, shared, pause);
        } else if self.reading.is_none() {
            self.count(shared);
        }
    }

    fn read(&mut self, key: Key, shared: &Shared, pause: Duration) {
        let same_file = self.key.as_ref().is_some_and(|before| before.is_of(&key));
        let same_model = self.key.as_ref().is_some_and(|before| Arc::ptr_eq(&before.model, &key.model));
        (self.info, self.problem) = (None, None);
        (self.counted, self.counting) = (None, None);
        self.finding = Finding::default();
        if !same_file || !self.pick.outlives_reading() {
            self.pick = Pick::All;
        }
        // The row stays in sight while the same rows are read in another way.
        if !same_file || !same_model {
            let row = if same_file { self.look.row } else { 0 };
            (self.survey, self.look) = (None, Look::at(row));
        } else if let Some(survey) =
            self.survey.as_ref().filter(|_| self.key.as_ref().is_some_and(|k| k.reads_as(&key)))
        {
            // Another template is seen at once, long before all rows are written with it.
            let written = (key.loss_on, key.chat_template.clone());
            self.look.begin(survey, &key.model.tokenizer, written, &shared.waker);
        }
        if !same_file {
            self.first_rows = None;
        }
        if self.key.as_ref().is_none_or(|before| before.train != key.train) {
            self.hub = None;
        }
        self.changed = Some(Instant::now());
        let settings =
            DataConfig { train: key.train.clone(), validation: key.validation.clone(), ..shared.run.data.clone() };
        let model = key.model.clone();
        self.key = Some(key);
        if settings.train.is_empty() {
            (self.reading, self.peeking) = (None, None);
            self.survey = None;
            self.problem = Some(DataProblem::new("no rows are chosen yet: open a file, or take the built-in ones"));
            return;
        }
        let (peeked, tokenizer) = (settings.clone(), model.tokenizer.clone());
        self.peeking = Some(Job::spawn("peek-data", &shared.waker, move |task| {
            let begun = Instant::now();
            // Of a small file all rows are there before anybody has looked at the first.
            let large = || data::Source::of_train(&peeked).is_ok_and(|source| source.bytes() >= LARGE);
            while begun.elapsed() < pause || (begun.elapsed() < pause + LONG && !large()) {
                task.check()?;
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(data::survey_first(&peeked, &tokenizer, PEEKED, &mut || !task.cancelled())?)
        }));
        // The job before is dropped, which cancels it.
        self.reading = Some(Job::spawn("read-data", &shared.waker, move |task| {
            let begun = Instant::now();
            while begun.elapsed() < pause {
                task.check()?;
                std::thread::sleep(Duration::from_millis(10));
            }
            let progress = &mut |done, total| {
                task.progress(done, total);
                !task.cancelled()
            };
            let first = FirstRows::read(&settings).ok();
            let hub = HubData::of(&settings).filter(|_| !settings.train.starts_with("builtin:"));
            match data::survey(&settings, &model.tokenizer, progress) {
                Ok(survey) => Ok(Read { first, hub, survey: Ok(survey) }),
                Err(crate::engine::Error::Cancelled(_)) => Err(JobError::Cancelled),
                Err(error) => Ok(Read { first, hub, survey: Err(Box::new(DataProblem::of(&error, &settings))) }),
            }
        }));
    }

    /// Counts what was read for the settings of the draft, if that is not done.
    fn count(&mut self, shared: &Shared) {
        let Some(survey) = &self.survey else { return };
        let (settings, seed) = (shared.run.data.clone(), shared.run.train.seed);
        if self.counted.as_ref().is_some_and(|counted| *counted == (settings.clone(), seed)) {
            return;
        }
        self.counted = Some((settings.clone(), seed));
        if survey.train.is_empty() && survey.train.summary.wrong_rows > 0 && !self.skips {
            self.info = None;
            return;
        }
        let held = survey.validation.as_ref().map_or(0, |held| held.len());
        let survey = survey.clone();
        let few = survey.train.len() + held <= AT_ONCE;
        let work = move || DataInfo::of(survey, settings, seed).map_err(|error| error.to_string());
        if few {
            self.counting = None;
            self.take(work());
        } else {
            self.counting = Some(Job::spawn("count-rows", &shared.waker, move |_| Ok(work())));
        }
    }

    fn take(&mut self, counted: Counted) {
        match counted {
            Ok(info) => (self.info, self.problem) = (Some(Arc::new(info)), None),
            Err(reason) => (self.info, self.problem) = (None, Some(DataProblem::new(reason))),
        }
    }

    /// Takes what the threads have done. True when something changed that the price depends on.
    pub fn drain(&mut self, shared: &mut Shared) -> bool {
        self.look.drain();
        self.drain_finding(shared);
        let downloaded = self.download.drain(shared);
        if downloaded {
            self.key = None;
        }
        let mut changed = downloaded;
        if let Some(result) = self.counting.as_mut().and_then(Job::poll) {
            self.counting = None;
            self.take(result.unwrap_or_else(|error| Err(error.to_string())));
            changed = true;
        }
        let Some(result) = self.reading.as_mut().and_then(Job::poll) else {
            self.drain_peeking(shared);
            return changed;
        };
        (self.reading, self.peeking) = (None, None);
        self.survey = None;
        let result = result.map(|read| {
            self.first_rows = read.first.map(Arc::new);
            self.hub = read.hub;
            read.survey
        });
        match result {
            Ok(Ok(survey)) => {
                let survey = Arc::new(survey);
                self.survey = Some(survey.clone());
                if let Some(key) = &self.key {
                    if !survey.train.is_empty() {
                        Prefs::remember(&mut shared.prefs.recent_data, &key.train);
                    }
                    let written = (key.loss_on, key.chat_template.clone());
                    self.look.begin(&survey, &key.model.tokenizer, written, &shared.waker);
                }
                self.count(shared);
            }
            Ok(Err(problem)) => self.problem = Some(*problem),
            Err(JobError::Cancelled) => {
                self.problem = Some(DataProblem::new("reading was cancelled: read the rows again, or choose others"));
            }
            Err(error) => self.problem = Some(DataProblem::new(error.to_string())),
        }
        true
    }

    /// The first rows are there before all are read. What is wrong with them is said when all are.
    fn drain_peeking(&mut self, shared: &Shared) {
        let Some(result) = self.peeking.as_mut().and_then(Job::poll) else { return };
        self.peeking = None;
        if let (Ok(first), Some(key), true) = (result, &self.key, self.survey.is_none()) {
            let first = Arc::new(first);
            let written = (key.loss_on, key.chat_template.clone());
            self.look.begin(&first, &key.model.tokenizer, written, &shared.waker);
            self.survey = Some(first);
        }
    }
}
