//! The runs in a folder, each in a few lines: cheap enough for hundreds, whatever the size of their records.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{CheckpointEntry, checkpoints, notes};
use crate::engine::config::RunConfig;
use crate::engine::train::Event;
use crate::engine::train::checkpoint::read_state;
use crate::engine::{Error, Result};

/// Bytes that are read of the beginning of a record: the first event says what is trained.
const HEAD: u64 = 16 << 10;
/// Bytes that are read of its end, at first and at most.
const TAIL: (u64, u64) = (64 << 10, 4 << 20);

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// A living process trains in it.
    Running,
    /// All its steps were made.
    Finished,
    /// It was told to stop before its last step; its adapter is kept and it can go on.
    Stopped,
    /// Its process ended without a word, or it was discarded; it can go on from its newest checkpoint.
    Interrupted,
    /// It ended with an error.
    Failed(String),
    /// The folder cannot be read as a run: why.
    Broken(String),
}

/// A run at a glance.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// Its folder.
    pub path: PathBuf,
    /// What it is called: [`notes::rename`], or else the folder's name.
    pub name: String,
    /// `model.source`.
    pub model: String,
    /// `data.train`.
    pub dataset: String,
    /// When it was begun, RFC 3339 with the time zone; empty when the folder does not say.
    pub created: String,
    /// How it stands.
    pub status: Status,
    /// Optimizer steps made.
    pub steps: usize,
    /// Steps of the whole run, where it is known: from the newest checkpoint.
    pub total_steps: Option<usize>,
    /// Loss of the newest step, in nats.
    pub last_loss: Option<f64>,
    /// Lowest validation loss, in nats.
    pub best_validation_loss: Option<f64>,
    /// Numbers that are trained.
    pub trainable_parameters: Option<u64>,
    /// Seconds of training.
    pub seconds: f64,
    /// The resulting adapter is there.
    pub has_adapter: bool,
    /// Its checkpoints, newest first.
    pub checkpoints: Vec<CheckpointEntry>,
}

/// The runs in `folder`, newest first by their folder's names, which begin with the time. A folder that is not there has
/// none. Entries that are no folders, or hidden, are left out; a folder that cannot be read as a run is listed with the
/// reason.
pub fn list(folder: &Path) -> Result<Vec<RunSummary>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list the runs", folder)(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list the runs", folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths.iter().rev().map(|path| summary(path)).collect())
}

/// One run at a glance.
pub fn summary(path: &Path) -> RunSummary {
    let folder_name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut run = RunSummary {
        path: path.to_path_buf(),
        name: notes::name(path).unwrap_or(folder_name),
        model: String::new(),
        dataset: String::new(),
        created: String::new(),
        status: Status::Interrupted,
        steps: 0,
        total_steps: None,
        last_loss: None,
        best_validation_loss: None,
        trainable_parameters: None,
        seconds: 0.0,
        has_adapter: path.join("adapter").is_dir(),
        checkpoints: checkpoints(path).unwrap_or_default(),
    };
    if let Err(error) = fill(&mut run) {
        run.status = Status::Broken(error.to_string());
    }
    run
}

fn fill(run: &mut RunSummary) -> Result<()> {
    let file = run.path.join("run.toml");
    if !file.is_file() {
        return Err(Error::file("this is not a run folder: it has no run.toml", &run.path));
    }
    let config = RunConfig::load(&file)?;
    (run.model, run.dataset) = (config.model.source, config.data.train);
    run.created = config.record.map(|r| r.created).unwrap_or_default();

    // The newest checkpoint that can be read holds what the record's end may no longer show.
    let state = run.checkpoints.iter().find_map(|c| read_state(&c.path).ok());
    let known = state.as_ref().map_or(0, |s| s.step);
    if let Some(state) = &state {
        (run.steps, run.seconds) = (state.step, state.seconds);
        run.total_steps = Some(state.total_steps);
        run.last_loss = state.last_loss.map(f64::from);
        run.best_validation_loss = state.best_loss.map(f64::from);
    }

    let metrics = run.path.join("metrics.jsonl");
    let mut ended = None;
    for event in head(&metrics)? {
        if let Event::Started { trainable_parameters, .. } = event {
            run.trainable_parameters = Some(trainable_parameters);
        }
    }
    for event in tail(&metrics, known)? {
        match event {
            Event::Started { trainable_parameters, .. } => {
                run.trainable_parameters = Some(trainable_parameters);
                ended = None;
            }
            Event::Step { step, loss, tokens, tokens_per_second, .. } => {
                if step > known && tokens_per_second > 0.0 {
                    run.seconds += tokens as f64 / tokens_per_second;
                }
                if step >= run.steps {
                    (run.steps, run.last_loss) = (step, Some(loss));
                }
                ended = None;
            }
            Event::Eval { loss, .. } => {
                run.best_validation_loss = Some(run.best_validation_loss.map_or(loss, |best| best.min(loss)));
            }
            Event::Finished { steps, seconds, .. } => {
                run.seconds = seconds;
                ended = Some(match run.total_steps {
                    Some(total) if steps < total => Status::Stopped,
                    _ => Status::Finished,
                });
            }
            Event::Failed { error } => ended = Some(Status::Failed(error)),
            _ => {}
        }
    }
    run.status = match is_locked(&run.path) {
        true => Status::Running,
        false => ended.unwrap_or(Status::Interrupted),
    };
    Ok(())
}

/// Whether a living process trains in the folder. Nothing is created in it.
fn is_locked(run: &Path) -> bool {
    let Ok(file) = File::open(run.join("lock")) else { return false };
    // Shared, so that two who look do not see each other; given free at once.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn head(path: &Path) -> Result<Vec<Event>> {
    let Some((mut file, length)) = open(path)? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    Read::by_ref(&mut file)
        .take(HEAD.min(length))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read the metrics", path))?;
    let first = bytes.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    Ok(first.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()).into_iter().collect())
}

/// The last events: far enough back that they follow on step `known` without a gap, or as far as is reasonable.
fn tail(path: &Path, known: usize) -> Result<Vec<Event>> {
    let Some((mut file, length)) = open(path)? else { return Ok(Vec::new()) };
    let mut size = TAIL.0;
    loop {
        let start = length.saturating_sub(size);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(Error::io("read the metrics", path))?;
        Read::by_ref(&mut file)
            .take(length - start)
            .read_to_end(&mut bytes)
            .map_err(Error::io("read the metrics", path))?;
        let mut lines = bytes.split_inclusive(|b| *b == b'\n');
        if start > 0 {
            // Begins somewhere within a line.
            lines.next();
        }
        let events: Vec<Event> = lines.filter_map(|l| serde_json::from_slice(l.strip_suffix(b"\n")?).ok()).collect();
        let reaches = events.iter().find_map(Event::step).is_some_and(|step| step <= known + 1);
        if start == 0 || reaches || size >= TAIL.1 {
            return Ok(events);
        }
        size *= 4;
    }
}

fn open(path: &Path) -> Result<Option<(File, u64)>> {
    match File::open(path).and_then(|file| Ok((file.metadata()?.len(), file))) {
        Ok((length, file)) => Ok(Some((file, length))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read the metrics", path)(e)),
    }
}
