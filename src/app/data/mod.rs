//! The rows that the draft names, read and tokenized once with the draft's model, and what the settings make of them.
//!
//! Reading is a job. Its result, a [`Survey`], knows the length and mask of every row, so that another `max_seq_len`, packing
//! or share for validation is answered in the same frame, without reading again.

mod columns;
mod download;
mod findings;
mod numbers;
mod picks;
mod preview;
mod problem;
mod row_set;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{Job, JobError};
use super::model::ModelInfo;
use super::notices::Severity;
use super::prefs::Prefs;
use super::room::Readiness;
use super::shared::Shared;
use crate::engine::config::{DataConfig, DataFormat, LossOn, MASK_FAULTS, OnBadRow, SystemPrompt};
use crate::engine::data::{self, Severity as Weight, Survey};
use crate::engine::hub::{DatasetParts, Hub, HubId, PartChoice, Reference, RepoKind};
use crate::units::grouped;
pub use columns::{FirstRows, SeenColumn, train_on};
pub use download::Download;
use download::Wish;
pub use findings::{Example, Found, place, quoted};
pub use numbers::{DataInfo, Histogram, nice};
pub use picks::{Pick, Picks};
pub use preview::{Finding, Look, WrongAt, wrong_rows};
pub use problem::DataProblem;
pub use row_set::RowSet;

/// Requests of the Data room.
#[derive(Clone, Debug)]
pub enum DataCommand {
    /// Read the rows again, whatever has changed on the disk.
    Reload,
    /// Stop reading.
    CancelReading,
    /// Show this row, from 0.
    Look(usize),
    /// Go through these rows, beginning with the first of them from this one on.
    GoThrough(Pick, usize),
    /// Show this row, which cannot be read.
    LookAtWrong(WrongAt),
    /// Show the next row from here that holds this text.
    Find {
        /// What is looked for, in upper or lower case.
        text: String,
        /// The first row that is looked at.
        from: usize,
    },
    /// Stop looking for it.
    CancelFind,
    /// Get this part of the data set from the Hub.
    Download(HubId, PartChoice),
    /// Ask the Hub what the data set consists of.
    AskParts(HubId),
    /// Stop the download; what has arrived is kept.
    CancelDownload,
}

/// What a survey depends on.
#[derive(Clone)]
struct Key {
    train: String,
    validation: String,
    /// Of data sets of the Hub.
    parts: [PartChoice; 2],
    format: DataFormat,
    loss_on: LossOn,
    chat_template: String,
    columns: BTreeMap<String, String>,
    roles: BTreeMap<String, String>,
    system: SystemPrompt,
    /// Whether the mask of every row is checked.
    verify_all: bool,
    model: Arc<ModelInfo>,
}

impl Key {
    /// Whether the rows are of the same file.
    fn is_of(&self, other: &Key) -> bool {
        self.train == other.train && self.parts[0] == other.parts[0]
    }

    /// Whether the rows of a file are read as the same conversations, however those are written.
    fn reads_as(&self, other: &Key) -> bool {
        let named = self.columns == other.columns && self.roles == other.roles;
        self.format == other.format && named && self.system == other.system
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        let same_model = Arc::ptr_eq(&self.model, &other.model);
        let files = self.is_of(other) && self.validation == other.validation && self.parts == other.parts;
        let written = self.loss_on == other.loss_on && self.chat_template == other.chat_template;
        files && same_model && written && self.verify_all == other.verify_all && self.reads_as(other)
    }
}

/// A data set of the Hub.
#[derive(Clone, Debug, PartialEq)]
pub struct HubData {
    /// Its name.
    pub id: HubId,
    /// What it consists of, if the Hub was asked, or its README is here.
    pub parts: Option<DatasetParts>,
    /// Whether the Hub was asked: there may be more than what is here.
    pub asked: bool,
}

impl HubData {
    /// The data set that the settings name as a whole.
    fn of(settings: &DataConfig) -> Option<HubData> {
        let id = Reference::hub(&settings.train, RepoKind::Dataset).filter(|id| id.file.is_none())?;
        let hub = Hub::from_environment();
        let known = hub.known_parts(&id);
        let asked = known.is_some();
        let parts = known.or_else(|| hub.carded_parts(&id));
        Some(HubData { id, parts, asked })
    }
}

/// What reading brings: the columns are known also where nothing else is.
struct Read {
    first: Option<FirstRows>,
    hub: Option<HubData>,
    survey: Result<Survey, Box<DataProblem>>,
}

type Counted = Result<DataInfo, String>;

/// While a person types, reading waits for this long.
const PAUSE: Duration = Duration::from_millis(300);
/// Reading that takes longer than this shows the first rows before it ends.
const LONG: Duration = Duration::from_millis(200);
/// Those rows.
const PEEKED: usize = 256;
/// Rows that are counted anew within a frame; more of them on a thread.
const AT_ONCE: usize = 30_000;
/// Share of cut rows above which a person should look.
const MUCH_CUT: f64 = 0.05;

/// The room's state.
#[derive(Default)]
pub struct DataState {
    /// What a run would train on.
    pub info: Option<Arc<DataInfo>>,
    /// The rows as they were read. While they are read in another way, those from before.
    pub survey: Option<Arc<Survey>>,
    /// Why there is nothing to train on.
    pub problem: Option<DataProblem>,
    /// The columns of the file.
    pub first_rows: Option<Arc<FirstRows>>,
    /// The data set of the Hub that the rows are of.
    pub hub: Option<HubData>,
    /// The row that is shown.
    pub look: Look,
    /// Which rows are gone through.
    pub pick: Pick,
    /// The last search.
    pub finding: Finding,
    /// The download from the Hub.
    pub download: Download,
    /// What `survey` is about, or what is being read.
    key: Option<Key>,
    changed: Option<Instant>,
    reading: Option<Job<Read>>,
    /// The first rows, to be looked at while the rest is read.
    peeking: Option<Job<Survey>>,
    /// What `info` is about, or what is being counted.
    counted: Option<(DataConfig, u64)>,
    counting: Option<Job<Counted>>,
    /// Whether rows that cannot be read are left out.
    skips: bool,
    /// A longer pause before reading, for tests of what happens meanwhile.
    #[cfg(test)]
    pub(crate) held_up: Option<Duration>,
}

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
        let key = Key {
            train: settings.train.trim().to_string(),
            validation: settings.validation.trim().to_string(),
            parts: [settings.train_part(), settings.validation_part()],
            format: settings.format,
            loss_on: settings.loss_on,
            chat_template: settings.chat_template.clone(),
            columns: settings.columns.clone(),
            roles: settings.roles.clone(),
            system: settings.system,
            verify_all: settings.leaves_out(MASK_FAULTS),
            model: model.clone(),
        };
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
            while begun.elapsed() < pause + LONG {
                task.check()?;
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(data::survey_first(&peeked, &tokenizer, PEEKED)?)
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

    fn drain_finding(&mut self, shared: &Shared) {
        if let Some(found) = self.finding.drain() {
            self.look.ask(found, &shared.waker);
        }
    }

    /// Whether they are being read or counted.
    pub fn busy(&self) -> bool {
        self.reading.is_some() || self.counting.is_some()
    }

    /// The job that reads, while it does.
    pub fn reading(&self) -> Option<(Option<f32>, Duration)> {
        self.reading.as_ref().map(|job| (job.fraction(), job.elapsed()))
    }

    /// Rows that cannot be read, in one sentence; none while they are left out.
    pub fn wrong(&self) -> Option<String> {
        if self.skips {
            return None;
        }
        let survey = self.survey.as_ref()?;
        let files = [Some(&survey.train), survey.validation.as_ref()];
        let file = files.into_iter().flatten().find(|file| file.summary.wrong_rows > 0)?;
        let first = file.summary.wrong.first()?;
        let rows = match file.summary.wrong_rows {
            1 => "1 row cannot be read".to_string(),
            n => format!("{} rows cannot be read, the first", grouped(n as u64)),
        };
        Some(format!("{rows}: {}: {}", place(&file.source, first.file as usize, first.line), quoted(&first.message)))
    }

    /// What was found that no run may begin with.
    pub fn error(&self) -> Option<&Found> {
        self.info.as_ref()?.findings.iter().find(|found| found.severity == Weight::Error)
    }

    /// For the rail.
    pub fn readiness(&self) -> Readiness {
        if self.busy() {
            return Readiness::Busy;
        }
        if let Some(wrong) = self.wrong() {
            return Readiness::Blocked(wrong);
        }
        if let Some(error) = self.error() {
            return Readiness::Blocked(error.sentence.clone());
        }
        match (&self.info, &self.problem) {
            (Some(info), _) => info.warning().map_or(Readiness::Ready, Readiness::Warning),
            (_, Some(problem)) => Readiness::Blocked(quoted(&problem.text)),
            _ => Readiness::Neutral,
        }
    }

    /// Does what the room asks for.
    pub fn apply(&mut self, command: DataCommand, shared: &mut Shared, model: Option<&Arc<ModelInfo>>) {
        match command {
            DataCommand::Reload => {
                self.key = None;
                self.changed = None;
                self.follow(shared, model);
            }
            DataCommand::CancelReading => {
                if let Some(job) = &self.reading {
                    job.cancel();
                }
            }
            DataCommand::Look(row) => self.look.ask(row, &shared.waker),
            DataCommand::GoThrough(pick, from) => {
                self.pick = pick;
                let picked = self.info.as_ref().and_then(|info| info.picks.rows(pick));
                let row = picked.map_or(Some(from), |rows| rows.from(from).or_else(|| rows.from(0)));
                if let Some(row) = row {
                    self.look.ask(row, &shared.waker);
                }
            }
            DataCommand::LookAtWrong(at) => self.look.ask_wrong(at, &shared.waker),
            DataCommand::Find { text, from } => {
                if let Some(survey) = &self.survey {
                    self.finding = Finding::start(text, from, survey.clone(), &shared.waker);
                }
            }
            DataCommand::CancelFind => self.finding = Finding::default(),
            DataCommand::Download(id, part) => {
                if let Err(refusal) = self.download.start(id, Wish::Rows(part), shared.prefs.offline, &shared.waker) {
                    shared.notices.tell(Severity::Warning, refusal);
                }
            }
            DataCommand::AskParts(id) => {
                if let Err(refusal) = self.download.start(id, Wish::Parts, shared.prefs.offline, &shared.waker) {
                    shared.notices.tell(Severity::Warning, refusal);
                }
            }
            DataCommand::CancelDownload => self.download.cancel(),
        }
    }
}

#[cfg(test)]
mod tests;
