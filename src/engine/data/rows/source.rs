//! Where rows come from: a file, or data that ships with the program.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Row;
use super::reader::{BufferedBytes, Rows};
use crate::engine::config::expand_home;
use crate::engine::formats::builtin;
use crate::engine::hub::{Hub, HubId, Problem, Reference, RepoKind};
use crate::engine::{Error, Result};

/// Endings of the files that rows are read from.
pub const ENDINGS: &[&str] = &["jsonl", "json", "txt"];

/// A data set that was found, before its first row is read.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    builtin: Option<&'static [u8]>,
}

impl Source {
    /// Finds `builtin:NAME`, a file, or a data set of the Hub that is on this computer already.
    pub fn find(spec: &str) -> Result<Source> {
        if spec.starts_with("builtin:") {
            let bytes = builtin::dataset(spec)?;
            return Ok(Source { path: PathBuf::from(spec), builtin: Some(bytes) });
        }
        if spec.trim().is_empty() {
            return Err(Error::Config(
                "no data set is given: name a .jsonl, .json or .txt file, or builtin:pirate".into(),
            ));
        }
        let path = match Reference::of(spec, RepoKind::Dataset) {
            Reference::Hub(id) => of_hub(&id, &Hub::from_environment())?,
            Reference::Path(_) => expand_home(spec),
        };
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Err(folder_error(&path)),
            Ok(_) => Ok(Source { path, builtin: None }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::file("there is no such data file (a .jsonl, .json or .txt file is expected)", &path))
            }
            Err(e) => Err(Error::io("read the data file", &path)(e)),
        }
    }

    /// The file's path, or `builtin:NAME`; what errors name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files.
    pub fn files(&self) -> &[PathBuf] {
        std::slice::from_ref(&self.path)
    }

    /// The file that a row comes from.
    pub fn file_of(&self, row: &Row) -> &Path {
        self.files().get(row.file as usize).map_or(&self.path, PathBuf::as_path)
    }

    /// The bytes of data that ship with the program.
    pub fn embedded(&self) -> Option<&'static [u8]> {
        self.builtin
    }

    /// Size in bytes; 0 when the system does not say.
    pub fn bytes(&self) -> u64 {
        match self.builtin {
            Some(bytes) => bytes.len() as u64,
            None => std::fs::metadata(&self.path).map_or(0, |found| found.len()),
        }
    }

    /// Reads rows again, in any order, by the places that the first reading gave them.
    pub fn reader(&self) -> Result<RowReader> {
        let bytes: Box<dyn ReadSeek> = match self.builtin {
            Some(bytes) => Box::new(Cursor::new(bytes)),
            None => {
                Box::new(BufReader::new(File::open(&self.path).map_err(Error::io("read the data file", &self.path))?))
            }
        };
        Ok(RowReader { bytes, plain_text: self.is_plain_text(), path: self.path.clone() })
    }

    fn is_plain_text(&self) -> bool {
        self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"))
    }

    /// Starts reading from the first row.
    pub fn rows(&self) -> Result<Rows> {
        let reader: Box<dyn BufRead + Send> = match self.builtin {
            Some(bytes) => Box::new(bytes),
            None => {
                let file = File::open(&self.path).map_err(Error::io("read the data file", &self.path))?;
                Box::new(BufReader::with_capacity(1 << 16, file))
            }
        };
        Rows::new(BufferedBytes::new(reader, &self.path), self.is_plain_text())
    }
}

trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Reads single rows of a source.
pub struct RowReader {
    bytes: Box<dyn ReadSeek>,
    plain_text: bool,
    path: PathBuf,
}

impl RowReader {
    /// The row at a place that [`Row::bytes`] gave, with its index and line.
    pub fn read(&mut self, place: &std::ops::Range<u64>, index: usize, line: usize) -> Result<Row> {
        let changed = || {
            let message = "the file has changed since it was read: read it again".to_string();
            Error::Row { path: self.path.clone(), line, message }
        };
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(),
            _ => Error::io("read the data file", &self.path)(e),
        };
        let length = usize::try_from(place.end.saturating_sub(place.start)).map_err(|_| changed())?;
        self.bytes.seek(SeekFrom::Start(place.start)).map_err(failed)?;
        let mut buffer = vec![0; length];
        self.bytes.read_exact(&mut buffer).map_err(failed)?;
        let text = std::str::from_utf8(&buffer).map_err(|_| changed())?;
        let fields = if self.plain_text {
            // Blank lines in front of it belong to its place.
            let document = text.lines().rev().find(|line| !line.trim().is_empty()).ok_or_else(changed)?;
            Map::from_iter([("text".to_string(), Value::from(document.trim_end()))])
        } else {
            // An element of an array begins behind the comma of the one before it.
            serde_json::from_str(text.trim().trim_start_matches(',')).map_err(|_| changed())?
        };
        Ok(Row { index, file: 0, line, bytes: place.clone(), fields })
    }
}

/// The one file of rows of a data set that was downloaded.
fn of_hub(id: &HubId, hub: &Hub) -> Result<PathBuf> {
    let files = hub.dataset_on_disk(id)?;
    let ending = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let readable: Vec<&PathBuf> = files.iter().filter(|f| ENDINGS.contains(&ending(f).as_str())).collect();
    match (&readable[..], &files[..]) {
        ([only], _) => Ok((*only).clone()),
        ([], [first, ..]) => Err(Error::Hub {
            problem: Problem::Unusable,
            message: format!(
                "{id} holds its rows as .{}, which are not read: convert them to .jsonl first, and choose that file",
                ending(first)
            ),
        }),
        ([], []) => Err(Error::Hub { problem: Problem::Unusable, message: format!("{id} has no data files") }),
        (several, _) => {
            let folder = hub.on_disk(id)?;
            let name = |file: &Path| file.strip_prefix(&folder).unwrap_or(file).to_string_lossy().replace('\\', "/");
            let files: Vec<(String, u64)> =
                several.iter().map(|f| (name(f), std::fs::metadata(f).map_or(0, |m| m.len()))).collect();
            Err(Error::Hub {
                message: format!("{id} has {} data files: choose one, as in {id}:{}", files.len(), files[0].0),
                problem: Problem::Choice { files },
            })
        }
    }
}

/// A folder was given: names the data files in it, so that the person can choose one.
fn folder_error(path: &Path) -> Error {
    let mut inside: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| ENDINGS.iter().any(|end| name.to_ascii_lowercase().ends_with(&format!(".{end}"))))
        .collect();
    inside.sort();
    inside.truncate(5);
    let message = if inside.is_empty() {
        "this is a folder without a .jsonl, .json or .txt file in it: name a data file".to_string()
    } else {
        format!("this is a folder: name one of the data files in it ({})", inside.join(", "))
    };
    Error::file(message, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_data_set_of_the_hub_is_one_file_a_choice_or_a_clear_no() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::with_cache(cache.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let absent = of_hub(&id, &hub).unwrap_err();
        assert_eq!(crate::engine::hub::problem(&absent), Some(&Problem::NotOnDisk));
        let repo = cache.path().join("datasets--owner--name");
        let snapshot = repo.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(snapshot.join("data")).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs/main"), COMMIT).unwrap();
        std::fs::write(snapshot.join("data/rows.parquet"), "PAR1").unwrap();
        let unread = of_hub(&id, &hub).unwrap_err().to_string();
        assert!(unread.starts_with("owner/name holds its rows as .parquet, which are not read"), "{unread}");
        std::fs::write(snapshot.join("data/train.jsonl"), "{}").unwrap();
        assert_eq!(of_hub(&id, &hub).unwrap(), snapshot.join("data/train.jsonl"));
        std::fs::write(snapshot.join("more.txt"), "rows").unwrap();
        let several = of_hub(&id, &hub).unwrap_err();
        let files = vec![("data/train.jsonl".to_string(), 2), ("more.txt".to_string(), 4)];
        assert_eq!(crate::engine::hub::problem(&several), Some(&Problem::Choice { files }));
        let named = HubId { file: Some("more.txt".into()), ..id };
        assert_eq!(of_hub(&named, &hub).unwrap(), snapshot.join("more.txt"));
    }
}
