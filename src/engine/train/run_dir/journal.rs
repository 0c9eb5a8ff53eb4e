//! Files of one event a line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

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
pub(super) fn read(path: &Path) -> Result<Events> {
    let reader = match File::open(path) {
        Ok(file) => Some(BufReader::with_capacity(1 << 16, file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("read the metrics", path)(e)),
    };
    Ok(Events { reader, line: Vec::new(), path: path.to_path_buf() })
}

/// Iterator over the events of a file, read as it goes. After an error it ends.
#[derive(Debug)]
pub struct Events {
    reader: Option<BufReader<File>>,
    line: Vec<u8>,
    path: PathBuf,
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            self.line.clear();
            match self.reader.as_mut()?.read_until(b'\n', &mut self.line) {
                // A line without its end was cut off.
                Ok(_) if self.line.pop() != Some(b'\n') => self.reader = None,
                Ok(_) => {
                    if let Ok(event) = serde_json::from_slice(&self.line) {
                        return Some(Ok(event));
                    }
                }
                Err(e) => {
                    self.reader = None;
                    return Some(Err(Error::io("read the metrics", &self.path)(e)));
                }
            }
        }
    }
}

/// Keeps the events up to `step`, with `last` only the step itself of that step's; those that say how the run ended go too,
/// since it has not.
pub(super) fn rewind(path: &Path, step: usize, last: bool) -> Result<()> {
    let before = text(path)?;
    let mut after = String::with_capacity(before.len());
    for line in complete(&before) {
        let keep = match serde_json::from_str::<Event>(line) {
            Ok(Event::Finished { .. } | Event::Failed { .. }) | Err(_) => false,
            Ok(Event::Step { step: s, .. }) => s <= step,
            Ok(event) => event.step().is_none_or(|s| s < step || (s == step && !last)),
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
