//! Files of one event a line.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::engine::formats::atomic_write;
use crate::engine::train::Event;
use crate::engine::{Error, Result};

/// Appends one event in a single write, so that a reader, or the end of the process, finds whole lines.
pub(super) fn append_line(file: &mut File, event: &Event, path: &Path) -> Result<()> {
    let mut line = serde_json::to_string(event).map_err(|e| Error::file(e.to_string(), path))?;
    line.push('\n');
    file.write_all(line.as_bytes()).map_err(Error::io("write the metrics", path))
}

/// The events of the file's complete lines; a missing file has none. What a later version wrote is skipped.
pub(super) fn read(path: &Path) -> Result<Vec<Event>> {
    let text = text(path)?;
    Ok(complete(&text).filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Keeps the events up to `step`; those that say how the run ended go too, since it has not.
pub(super) fn rewind(path: &Path, step: usize) -> Result<()> {
    let before = text(path)?;
    let mut after = String::with_capacity(before.len());
    for line in complete(&before) {
        let keep = match serde_json::from_str::<Event>(line) {
            Ok(Event::Finished { .. } | Event::Failed { .. }) | Err(_) => false,
            Ok(event) => event.step().is_none_or(|s| s <= step),
        };
        if keep {
            after.push_str(line);
            after.push('\n');
        }
    }
    if after == before { Ok(()) } else { atomic_write(path, after.as_bytes()) }
}

fn text(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Error::io("read the metrics", path)(e)),
    }
}

/// Lines that end with a line break: one without it was cut off.
fn complete(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}
