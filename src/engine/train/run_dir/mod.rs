//! The folder of a run: settings, metrics, samples, log, checkpoints, adapter. It is valid at every instant.
//!
//! ```text
//! run.toml            the complete settings, with a [record] of versions and of the inputs' hashes
//! metrics.jsonl       one event a line, in the order in which they happened
//! samples.jsonl       the sample events
//! log.txt             what was said, with the time
//! name.txt, notes.md  what people wrote about it
//! checkpoints/step-N  adapter, optimizer state, trainer state
//! adapter/            the result
//! lock                held by the process that trains here
//! ```

mod journal;
mod list;
mod notes;
mod record;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::engine::config::RunConfig;
use crate::engine::formats::atomic_write;
use crate::engine::train::Event;
use crate::engine::{Error, Result};

pub use journal::Events;
pub use list::{RunSummary, Status, list, summary};
pub use notes::{notes, rename, write_notes};
pub use record::{changed_inputs, input_files};

/// A run folder that this process owns. Dropping it gives the folder free.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: File,
    samples: File,
    log: File,
    /// Hashes the inputs while training begins, then writes them into `run.toml`.
    hashing: Option<std::thread::JoinHandle<Result<()>>>,
    /// Locked for as long as the value lives; the system unlocks it when the process dies.
    _lock: File,
}

/// A checkpoint on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// Optimizer steps made until then.
    pub step: usize,
    /// Its folder.
    pub path: PathBuf,
}

impl RunDir {
    /// Refuses an `output.dir` that cannot become a new run's folder, before anything is read or written.
    pub fn check(config: &RunConfig) -> Result<()> {
        match config.output.dir.as_str() {
            "" => Ok(()),
            dir => check_free(&crate::engine::config::expand_home(dir)),
        }
    }

    /// Makes the folder of a new run and writes its `run.toml`. `inputs` are the files and folders of the model, the
    /// data and the initial adapter, for the record.
    pub fn create(config: &RunConfig, inputs: &[PathBuf]) -> Result<RunDir> {
        let path = if config.output.dir.is_empty() {
            fresh_folder(&data_home()?.join("runs"), &folder_name(config))?
        } else {
            let path = crate::engine::config::expand_home(&config.output.dir);
            fs::create_dir_all(&path).map_err(Error::io("make the run folder", &path))?;
            path
        };
        let lock = lock(&path)?;
        check_free(&path)?;
        let mut config = config.clone().with_absolute_paths();
        let record = record::begin(inputs)?;
        config.record = Some(record.clone());
        atomic_write(path.join("run.toml"), config.to_toml()?.as_bytes())?;
        let folder = path.clone();
        let hash = move || record::hash_into(config, record, &folder.join("run.toml"));
        let hashing = std::thread::Builder::new()
            .name("hash-inputs".into())
            .spawn(hash)
            .map_err(Error::io("start a thread for", &path))?;
        Self::open(path, lock, Some(hashing))
    }

    /// Opens the folder of a run that was begun, to continue it.
    pub fn resume(path: &Path) -> Result<(RunDir, RunConfig)> {
        let file = path.join("run.toml");
        if !file.is_file() {
            return Err(Error::file("this is not a run folder: it has no run.toml", path));
        }
        let path = fs::canonicalize(path).map_err(Error::io("open the run folder", path))?;
        let lock = lock(&path)?;
        let config = RunConfig::load(&file)?;
        remove_leftovers(&path);
        remove_leftovers(&path.join("checkpoints"));
        Ok((Self::open(path, lock, None)?, config))
    }

    /// Replaces the settings of a run that is to go on with others. The record of its inputs stays.
    pub fn change(&mut self, config: &RunConfig) -> Result<()> {
        let path = self.path.join("run.toml");
        let mut config = config.clone().with_absolute_paths();
        config.record = RunConfig::load(&path)?.record;
        atomic_write(path, config.to_toml()?.as_bytes())
    }

    fn open(path: PathBuf, lock: File, hashing: Option<std::thread::JoinHandle<Result<()>>>) -> Result<RunDir> {
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(Error::io("make the folder", &checkpoints))?;
        Ok(RunDir {
            metrics: append(&path.join("metrics.jsonl"))?,
            samples: append(&path.join("samples.jsonl"))?,
            log: append(&path.join("log.txt"))?,
            hashing,
            _lock: lock,
            path,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the result goes.
    pub fn adapter_dir(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// Where the checkpoint of a step goes.
    pub fn checkpoint_dir(&self, step: usize) -> PathBuf {
        self.path.join("checkpoints").join(format!("step-{step}"))
    }

    /// The checkpoints, newest first.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointEntry>> {
        checkpoints(&self.path)
    }

    /// Appends an event to the folder's files, where it survives the end of the process. Notes go into the log.
    pub fn record(&mut self, event: &Event) -> Result<()> {
        if let Event::Loading { .. } = event {
            // Gone with the moment; of no use later.
            return Ok(());
        }
        if let Event::Note { message } = event {
            return self.log(message);
        }
        // What is open can still be written to; what comes next, a checkpoint, would make a folder that is no run.
        if let Event::Step { .. } = event
            && !self.path.join("run.toml").exists()
        {
            return Err(Error::file("the run's folder was deleted or moved while it was trained", &self.path));
        }
        let (file, name) = match event {
            Event::Sample { .. } => (&mut self.samples, "samples.jsonl"),
            _ => (&mut self.metrics, "metrics.jsonl"),
        };
        journal::append_line(file, event, &self.path.join(name))
    }

    /// Appends a line with the time to `log.txt`.
    pub fn log(&mut self, message: &str) -> Result<()> {
        let time = jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S%:z");
        let line = format!("{time} {}\n", message.replace('\n', " "));
        self.log.write_all(line.as_bytes()).map_err(Error::io("write the log", self.path.join("log.txt")))
    }

    /// Forgets what happened after `step`, because the run continues from that step's checkpoint; with `last`, also what
    /// came of the step, because it was the last one and its end is told again. A line that was cut off by the end of the
    /// process goes too.
    pub fn rewind(&mut self, step: usize, last: bool) -> Result<()> {
        for name in ["metrics.jsonl", "samples.jsonl"] {
            journal::rewind(&self.path.join(name), step, last)?;
        }
        self.metrics = append(&self.path.join("metrics.jsonl"))?;
        self.samples = append(&self.path.join("samples.jsonl"))?;
        Ok(())
    }

    /// Deletes all checkpoints but the newest `keep`.
    pub fn prune(&self, keep: usize) -> Result<()> {
        for old in self.checkpoints()?.iter().skip(keep.max(1)) {
            // Out of the way first: a folder called step-N is complete at every instant.
            let doomed = self.path.join("checkpoints").join(format!(".old-step-{}", old.step));
            let _ = fs::remove_dir_all(&doomed);
            fs::rename(&old.path, &doomed).map_err(Error::io("delete the checkpoint", &old.path))?;
            fs::remove_dir_all(&doomed).map_err(Error::io("delete the checkpoint", &doomed))?;
        }
        Ok(())
    }

    /// Writes down why the run ended. The error may be that nothing can be written; it is the one to report.
    pub(super) fn record_failure(&mut self, error: &Error) {
        let message = error.to_string();
        let _ = self.log(&message);
        let _ = self.record(&Event::Failed { error: message });
    }

    /// Waits until the record of the inputs is complete. Call it when the run is over.
    pub fn finish_record(&mut self) -> Result<()> {
        match self.hashing.take().map(std::thread::JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::Other("the thread that hashes the inputs ended early".into())),
        }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = self.finish_record();
    }
}

/// Writes into the folder of a run that could not begin why it could not.
pub(super) fn record_failure(path: &Path, error: &Error) {
    // Where that cannot be written either, the error itself is the one to report.
    if let Ok((mut dir, _)) = RunDir::resume(path) {
        dir.record_failure(error);
    }
}

/// The checkpoints of a run folder, newest first.
pub fn checkpoints(run: &Path) -> Result<Vec<CheckpointEntry>> {
    let folder = run.join("checkpoints");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::io("list the checkpoints", &folder))? {
        let entry = entry.map_err(Error::io("list the checkpoints", &folder))?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|n| n.strip_prefix("step-")).and_then(|n| n.parse().ok());
        if let Some(step) = step
            && entry.path().is_dir()
        {
            found.push(CheckpointEntry { step, path: entry.path() });
        }
    }
    found.sort_by_key(|c| std::cmp::Reverse(c.step));
    Ok(found)
}

/// The events of a run folder one by one, as far as they are complete lines: a long run's record need not fit the memory.
pub fn events(run: &Path) -> Result<Events> {
    journal::read(&run.join("metrics.jsonl"))
}

/// The samples of a run folder, as [`events`] gives the others.
pub fn samples(run: &Path) -> Result<Events> {
    journal::read(&run.join("samples.jsonl"))
}

/// The newest `most` lines of a run's log, oldest first, without their times. A folder without a log has none.
pub fn log_messages(run: &Path, most: usize) -> Result<Vec<String>> {
    let path = run.join("log.txt");
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read the log", &path)(e)),
    };
    // `2026-01-31 23:59:58+01:00 message`
    let messages: Vec<String> = text.lines().filter_map(|l| l.splitn(3, ' ').nth(2)).map(String::from).collect();
    Ok(messages[messages.len().saturating_sub(most)..].to_vec())
}

/// `<time>-<name>`: what the folder of a run that begins now is called.
pub fn folder_name(config: &RunConfig) -> String {
    format!("{}-{}", jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S"), run_name(config))
}

/// The program's own data folder: `LORA_STUDIO_HOME`, or `lora-studio` where the system keeps such things.
pub fn data_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("LORA_STUDIO_HOME").filter(|h| !h.is_empty()) {
        return Ok(PathBuf::from(home));
    }
    let Some(data) = dirs::data_dir() else {
        return Err(Error::Other("the system names no data folder: set output.dir or LORA_STUDIO_HOME".into()));
    };
    Ok(data.join("lora-studio"))
}

/// `tiny-chat-pirate`: the last parts of the model's and the data's names.
fn run_name(config: &RunConfig) -> String {
    let tail = |text: &str| -> String {
        let last = text.trim_end_matches(['/', '\\']).rsplit(['/', '\\', ':']).next().unwrap_or("");
        let stem = [".gguf", ".jsonl", ".json", ".txt"].iter().find_map(|e| last.strip_suffix(e)).unwrap_or(last);
        let clean = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        stem.chars().take(40).map(clean).collect::<String>().trim_matches('.').to_string()
    };
    let parts = [tail(&config.model.source), tail(&config.data.train)];
    parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join("-")
}

/// A new folder `name`, with a number behind it when two runs begin in the same second.
fn fresh_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(Error::io("make the folder for runs", parent))?;
    for n in 1..10_000 {
        let suffix = if n == 1 { String::new() } else { format!("-{n}") };
        let path = parent.join(format!("{name}{suffix}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("make the run folder", &path)(e)),
        }
    }
    Err(Error::file("no free name for a run folder", parent))
}

/// Refuses what is no folder, or holds a run.
fn check_free(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(Error::file("a run needs a folder, and this is a file: choose another output.dir", path));
    }
    if !path.join("run.toml").exists() {
        return Ok(());
    }
    let message = format!(
        "the folder already holds a run: continue it with `lora-studio train --resume {}`, or choose another output.dir",
        path.display()
    );
    Err(Error::file(message, path))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(Error::io("write in the run folder", &path))?;
    let mut locked = file.try_lock();
    // Whoever lists the runs holds a shared lock for an instant.
    for _ in 0..5 {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::file("another process trains in this folder", folder)),
        // Some network file systems have no locks: a run there is still worth more than none.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(e)) => Err(Error::io("lock the run folder", &path)(e)),
    }
}

/// Removes what an interrupted write or deletion of ours left. Other hidden files are somebody's: a run may lie in a folder
/// that was there before it, beside a `.git` or an `.env`.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_leftover(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// The temporary names of [`atomic_write`], of the staged folders of adapter and checkpoints, and of [`RunDir::prune`].
fn is_leftover(name: &str) -> bool {
    let temporary = name.ends_with(".tmp") || name.ends_with(".tmp.old");
    let ours = [".lora-studio-", ".adapter.", ".step-"].iter().any(|prefix| name.starts_with(prefix));
    (temporary && ours) || name.starts_with(".old-step-")
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(Error::io("open for writing", path))
}

#[cfg(test)]
mod tests;
