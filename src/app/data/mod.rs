//! The rows that the draft names, read and tokenized once with the draft's model, and what the settings make of them.
//!
//! Reading is a job. Its result, a [`Survey`], knows the length and mask of every row, so that another `max_seq_len`, packing
//! or share for validation is answered in the same frame, without reading again.

mod columns;
mod download;
mod findings;
mod hub_data;
mod key;
mod numbers;
mod picks;
mod preview;
mod problem;
mod reading;
mod row_set;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::Job;
use super::model::ModelInfo;
use super::notices::Severity;
use super::room::Readiness;
use super::shared::Shared;
use crate::engine::config::DataConfig;
use crate::engine::data::{Severity as Weight, Survey};
use crate::engine::hub::{HubId, PartChoice};
use crate::units::grouped;
pub use columns::{FirstRows, SeenColumn, train_on};
pub use download::Download;
use download::Wish;
pub use findings::{Example, Found, place, quoted};
pub use hub_data::HubData;
use key::Key;
pub use numbers::{DataInfo, Histogram, nice};
pub use picks::{Pick, Picks};
pub use preview::{Finding, Look, WrongAt, wrong_rows};
pub use problem::DataProblem;
use reading::{Counted, Read};
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
