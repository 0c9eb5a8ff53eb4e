//! The runs on the disk: the list, the curves of those that are compared, notes, and what is done with a run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::job::{Job, JobError};
use super::live::RunView;
use super::notices::Severity;
use super::room::Room;
use super::shared::Shared;
use crate::engine::config::{FIELDS, RunConfig};
use crate::engine::train::run_dir::{self, RunSummary, Status};

/// Runs whose curves are drawn over each other: as many as there are colours.
pub const MOST_COMPARED: usize = 7;
/// How long after the last letter the notes are written.
const NOTES_AFTER: Duration = Duration::from_millis(600);
/// How often the list is read again while a run is trained.
const LIST_EVERY: Duration = Duration::from_secs(5);

/// Requests of the Runs room.
#[derive(Clone, Debug)]
pub enum RunsCommand {
    /// Read the list again.
    Refresh,
    /// New runs go here, and here the list is read from; empty: the program's own folder.
    Folder(String),
    /// Show the details of this run.
    Select(Option<PathBuf>),
    /// Draw the curves of this run, or not.
    Compare(PathBuf, bool),
    /// The notes of the selected run are now these.
    Notes(String),
    /// Call a run so; empty: by its folder.
    Rename(PathBuf, String),
    /// Prepare a new run with the settings of this one.
    Duplicate(PathBuf),
    /// Move a run to the trash.
    Delete(PathBuf),
}

/// A run's curves.
pub enum Curves {
    /// Being read.
    Reading(Job<Box<RunView>>),
    /// Read.
    Ready(Box<RunView>),
    /// Why there are none.
    Failed(String),
}

struct Cached {
    curves: Curves,
    /// Steps and status that it was read at: another pair means that there is more to read.
    stamp: (usize, bool),
}

/// The notes of the selected run.
#[derive(Default)]
pub struct Notes {
    run: PathBuf,
    /// The text; none until it is read.
    pub text: Option<String>,
    /// Why they cannot be read or written.
    pub problem: Option<String>,
    changed: Option<Instant>,
    reading: Option<Job<String>>,
    writing: Option<Job<()>>,
}

/// A row of the table of settings that differ: the key, and a value for each run.
pub type Difference = (String, Vec<String>);

/// The room's state.
#[derive(Default)]
pub struct RunsState {
    /// The runs, newest first, once they are read.
    pub list: Option<Vec<RunSummary>>,
    /// Changes with the list.
    pub version: u64,
    /// Why there is no list.
    pub problem: Option<String>,
    /// Why the last thing that was asked for was not done.
    pub refusal: Option<String>,
    /// The run whose details are shown.
    pub selected: Option<PathBuf>,
    /// The runs that are compared, in the order in which they were chosen.
    pub compared: Vec<PathBuf>,
    /// Settings that differ among the compared runs.
    pub differences: Vec<Difference>,
    /// The notes of the selected run.
    pub notes: Notes,
    curves: HashMap<PathBuf, Cached>,
    folder: Option<PathBuf>,
    listing: Option<Job<Vec<RunSummary>>>,
    listed: Option<Instant>,
    again: bool,
    was_open: bool,
    was_training: bool,
    duplicating: Option<Job<RunConfig>>,
    renaming: Option<Job<()>>,
    deleting: Option<(PathBuf, Job<()>)>,
}

/// The folder that runs are listed from and new ones go to.
pub fn folder(shared: &Shared) -> Result<PathBuf, String> {
    shared.prefs.runs_dir().map_err(|e| e.to_string())
}

/// Whether a run can go on.
pub fn can_continue(run: &RunSummary) -> bool {
    matches!(run.status, Status::Interrupted | Status::Stopped | Status::Failed(_))
}

impl RunsState {
    /// Does what the room asks for. True when the draft has changed.
    pub fn apply(&mut self, command: RunsCommand, shared: &mut Shared) -> bool {
        self.refusal = None;
        match command {
            RunsCommand::Refresh => self.refresh(shared),
            RunsCommand::Folder(folder) => {
                shared.prefs.runs_folder = folder.trim().to_string();
                self.refresh(shared);
            }
            RunsCommand::Select(run) => self.select(run, shared),
            RunsCommand::Compare(run, on) => self.compare(run, on, shared),
            RunsCommand::Notes(text) => {
                self.notes.text = Some(text);
                self.notes.changed = Some(Instant::now());
            }
            RunsCommand::Rename(run, name) => {
                let work = move |_: &_| Ok(run_dir::rename(&run, &name)?);
                self.renaming = Some(Job::spawn("rename-run", &shared.waker, work));
            }
            RunsCommand::Duplicate(run) => {
                let work = move |_: &_| Ok(RunConfig::load(run.join("run.toml"))?);
                self.duplicating = Some(Job::spawn("duplicate-run", &shared.waker, work));
            }
            RunsCommand::Delete(run) => self.delete(run, shared),
        }
        false
    }

    /// The curves of a run, as far as they were asked for.
    pub fn curves(&self, run: &Path) -> Option<&Curves> {
        self.curves.get(run).map(|cached| &cached.curves)
    }

    /// Whether the list is being read.
    pub fn busy(&self) -> bool {
        self.listing.is_some()
    }

    /// Whether a run is being moved to the trash.
    pub fn deleting(&self) -> bool {
        self.deleting.is_some()
    }

    /// A run of the list.
    pub fn summary(&self, run: &Path) -> Option<&RunSummary> {
        self.list.as_ref()?.iter().find(|summary| summary.path == run)
    }

    fn refresh(&mut self, shared: &Shared) {
        if self.listing.is_some() {
            self.again = true;
            return;
        }
        match folder(shared) {
            Ok(folder) => {
                self.folder = Some(folder.clone());
                self.listing = Some(Job::spawn("list-runs", &shared.waker, move |_| Ok(run_dir::list(&folder)?)));
            }
            Err(error) => self.problem = Some(error),
        }
    }

    fn select(&mut self, run: Option<PathBuf>, shared: &Shared) {
        if self.selected == run {
            return;
        }
        self.write_notes_now();
        self.selected = run;
        self.notes = Notes::default();
        if let Some(run) = self.selected.clone() {
            let path = run.clone();
            let reading = Job::spawn("read-notes", &shared.waker, move |_| Ok(run_dir::notes(&path)?));
            self.notes = Notes { run, reading: Some(reading), ..Notes::default() };
        }
        self.read_curves(shared);
    }

    fn compare(&mut self, run: PathBuf, on: bool, shared: &Shared) {
        if !on {
            self.compared.retain(|other| *other != run);
        } else if !self.compared.contains(&run) {
            if self.compared.len() >= MOST_COMPARED {
                self.refusal = Some(format!(
                    "{MOST_COMPARED} runs are compared already, as many as can be told apart: leave one out first"
                ));
                return;
            }
            self.compared.push(run);
        }
        self.read_curves(shared);
        self.compare_settings();
    }

    /// Reads the curves that are looked at and not read yet, or have grown, and forgets the others.
    fn read_curves(&mut self, shared: &Shared) {
        let wanted: Vec<PathBuf> = self.compared.iter().chain(&self.selected).cloned().collect();
        self.curves.retain(|run, _| wanted.contains(run));
        let smoothing = f64::from(shared.prefs.smoothing);
        for run in wanted {
            let Some(summary) = self.summary(&run) else { continue };
            let stamp = (summary.steps, summary.status == Status::Running);
            let known = self.curves.get(&run);
            if known.is_some_and(|c| c.stamp == stamp || matches!(c.curves, Curves::Reading(_))) {
                continue;
            }
            let path = run.clone();
            let job = Job::spawn("read-curves", &shared.waker, move |_| Ok(Box::new(RunView::read(&path, smoothing)?)));
            self.curves.insert(run, Cached { curves: Curves::Reading(job), stamp });
        }
    }

    fn compare_settings(&mut self) {
        let ready = |run: &PathBuf| match self.curves(run) {
            Some(Curves::Ready(view)) => Some(&view.config),
            _ => None,
        };
        let configs: Option<Vec<&RunConfig>> = self.compared.iter().map(ready).collect();
        self.differences = configs.filter(|c| c.len() > 1).map(|c| differences(&c)).unwrap_or_default();
    }

    fn delete(&mut self, run: PathBuf, shared: &mut Shared) {
        if self.deleting.is_some() {
            self.refusal = Some("another run is being moved to the trash: wait a moment".into());
            return;
        }
        let path = run.clone();
        let job = Job::spawn("trash-run", &shared.waker, move |_| {
            // Asked again just now: the list may be some seconds old.
            if run_dir::summary(&path).status == Status::Running {
                let text = format!("the run is being trained: stop it first, then delete it: {}", path.display());
                return Err(JobError::Failed(text));
            }
            trash::delete(&path).map_err(|e| {
                let text = format!(
                    "the run could not be moved to the trash ({e}): it is still there; delete its folder by hand: {}",
                    path.display()
                );
                JobError::Failed(text)
            })
        });
        self.deleting = Some((run, job));
    }

    /// Takes what has happened. True when the draft has changed.
    pub fn drain(&mut self, shared: &mut Shared, training: bool) -> bool {
        let open = shared.prefs.room == Room::Runs;
        let entered = open && !self.was_open;
        let ended = self.was_training && !training;
        let live = training && self.listed.is_some_and(|at| at.elapsed() > LIST_EVERY);
        if open && (entered || ended || live) {
            self.refresh(shared);
        }
        (self.was_open, self.was_training) = (open, training);
        self.drain_list(shared);
        self.drain_curves();
        self.drain_notes(shared, open);
        self.drain_work(shared)
    }

    fn drain_list(&mut self, shared: &mut Shared) {
        let Some(result) = self.listing.as_mut().and_then(Job::poll) else { return };
        self.listing = None;
        self.listed = Some(Instant::now());
        match result {
            Ok(list) => {
                let gone = |run: &PathBuf| !list.iter().any(|summary| summary.path == *run);
                self.compared.retain(|run| !gone(run));
                if self.selected.as_ref().is_some_and(gone) {
                    self.selected = None;
                    self.notes = Notes::default();
                }
                self.list = Some(list);
                self.problem = None;
                self.version += 1;
                self.read_curves(shared);
                self.compare_settings();
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
        if std::mem::take(&mut self.again) {
            self.refresh(shared);
        }
    }

    fn drain_curves(&mut self) {
        let mut changed = false;
        for cached in self.curves.values_mut() {
            let Curves::Reading(job) = &mut cached.curves else { continue };
            match job.poll() {
                None => continue,
                Some(Ok(view)) => cached.curves = Curves::Ready(view),
                Some(Err(error)) => cached.curves = Curves::Failed(error.to_string()),
            }
            changed = true;
        }
        if changed {
            self.compare_settings();
        }
    }

    fn drain_notes(&mut self, shared: &Shared, open: bool) {
        let notes = &mut self.notes;
        if let Some(result) = notes.reading.as_mut().and_then(Job::poll) {
            notes.reading = None;
            match result {
                Ok(text) => drop(notes.text.get_or_insert(text)),
                Err(error) => notes.problem = Some(error.to_string()),
            }
        }
        if let Some(result) = notes.writing.as_mut().and_then(Job::poll) {
            notes.writing = None;
            notes.problem = result.err().map(|error| error.to_string());
        }
        let due = notes.changed.is_some_and(|at| at.elapsed() > NOTES_AFTER || !open);
        if due && notes.writing.is_none() {
            notes.changed = None;
            let (run, text) = (notes.run.clone(), notes.text.clone().unwrap_or_default());
            let write = move |_: &_| Ok(run_dir::write_notes(&run, &text)?);
            notes.writing = Some(Job::spawn("write-notes", &shared.waker, write));
        }
    }

    fn drain_work(&mut self, shared: &mut Shared) -> bool {
        if let Some(result) = self.renaming.as_mut().and_then(Job::poll) {
            self.renaming = None;
            self.refusal = result.err().map(|error| format!("the run was not renamed: {error}"));
            self.refresh(shared);
        }
        if let Some(result) = self.deleting.as_mut().and_then(|(_, job)| job.poll()) {
            let run = self.deleting.take().map(|(run, _)| run).unwrap_or_default();
            match result {
                Ok(()) => {
                    let name = self.summary(&run).map_or_else(|| run.display().to_string(), |s| s.name.clone());
                    shared.notices.tell(Severity::Success, format!("{name} is in the trash"));
                    if self.selected.as_ref() == Some(&run) {
                        self.selected = None;
                        self.notes = Notes::default();
                    }
                }
                Err(error) => self.refusal = Some(error.to_string()),
            }
            self.refresh(shared);
        }
        let Some(result) = self.duplicating.as_mut().and_then(Job::poll) else { return false };
        self.duplicating = None;
        match result {
            Ok(mut run) => {
                run.record = None;
                run.output.dir.clear();
                shared.run = run;
                shared.prefs.room = Room::Method;
                shared.notices.tell(Severity::Success, "a new run is prepared with the same settings");
                true
            }
            Err(error) => {
                self.refusal = Some(format!("the run cannot be duplicated: {error}"));
                false
            }
        }
    }

    fn write_notes_now(&mut self) {
        let notes = &mut self.notes;
        if notes.changed.take().is_some()
            && let Some(text) = &notes.text
            && let Err(error) = run_dir::write_notes(&notes.run, text)
        {
            self.refusal = Some(format!("the notes were not written: {error}"));
        }
    }

    /// The program is being closed: notes that wait are written.
    pub fn close(&mut self) {
        self.write_notes_now();
    }
}

/// The settings that are not the same in all runs, in the order of the run file. Where a run lies is none of them.
fn differences(runs: &[&RunConfig]) -> Vec<Difference> {
    let tables: Vec<toml::Table> = runs.iter().map(|run| toml::Table::try_from(run).unwrap_or_default()).collect();
    let mut rows = BTreeMap::new();
    for (at, field) in FIELDS.iter().enumerate().filter(|(_, field)| (field.section, field.key) != ("output", "dir")) {
        let value = |table: &toml::Table| {
            let value = table.get(field.section).and_then(|section| section.get(field.key));
            value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string)).unwrap_or_default()
        };
        let values: Vec<String> = tables.iter().map(value).collect();
        if values.iter().any(|value| *value != values[0]) {
            rows.insert(at, (field.path(), values));
        }
    }
    rows.into_values().collect()
}
