//! What people write beside a run: its name and their notes. Neither is read by training.

use std::fs;
use std::path::Path;

use crate::engine::formats::atomic_write;
use crate::engine::{Error, Result};

const NAME: &str = "name.txt";
const NOTES: &str = "notes.md";

/// The name that a person gave the run, if one did.
pub(super) fn name(run: &Path) -> Option<String> {
    let text = fs::read_to_string(run.join(NAME)).ok()?;
    Some(text.trim().to_string()).filter(|name| !name.is_empty())
}

/// Gives the run another name; an empty one takes it back. The folder keeps its own, so that nothing that points to it
/// breaks, and a run can be renamed while it trains.
pub fn rename(run: &Path, name: &str) -> Result<()> {
    check(run)?;
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    write_or_remove(&run.join(NAME), &name)
}

/// The notes of a run; empty when there are none.
pub fn notes(run: &Path) -> Result<String> {
    check(run)?;
    let path = run.join(NOTES);
    match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Error::io("read the notes", &path)(e)),
    }
}

/// Replaces the notes of a run; empty ones are removed.
pub fn write_notes(run: &Path, text: &str) -> Result<()> {
    check(run)?;
    write_or_remove(&run.join(NOTES), text)
}

fn write_or_remove(path: &Path, text: &str) -> Result<()> {
    if !text.is_empty() {
        return atomic_write(path, text.as_bytes());
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the file", path)(e)),
        _ => Ok(()),
    }
}

fn check(run: &Path) -> Result<()> {
    match run.join("run.toml").is_file() {
        true => Ok(()),
        false => Err(Error::file("this is not a run folder: it has no run.toml", run)),
    }
}
