//! Where rows come from: files, or data that ships with the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::bytes::Bytes;

use super::bytes::Backing;
use super::reader::Rows;
use super::seek::RowReader;
use super::{ENDINGS, folder, hub};
use crate::engine::config::{DataConfig, expand_home};
use crate::engine::data::format::dataset_info;
use crate::engine::formats::builtin;
use crate::engine::hub::{Hub, PartChoice, Reference, RepoKind, split_named};
use crate::engine::{Error, Result};

/// A data set that was found, before its first row is read.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    files: Arc<[PathBuf]>,
    /// What the files were when they were found.
    states: Arc<[State]>,
    backing: Backing,
}

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl State {
    /// `None` when the system does not say.
    pub fn of(path: &Path) -> Option<State> {
        let found = std::fs::metadata(path).ok()?;
        Some(State { bytes: found.len(), modified: found.modified().ok() })
    }
}

impl DataConfig {
    /// Which part of a data set of the Hub is trained on.
    pub fn train_part(&self) -> PartChoice {
        PartChoice { config: self.hub_config.trim().into(), split: self.hub_split.trim().into(), held_out: false }
    }

    /// Which part of a data set of the Hub is for the validation loss. Another data set than the one that is trained on has
    /// configurations of its own, and is read as if it were trained on.
    pub fn validation_part(&self) -> PartChoice {
        let same = self.train.trim() == self.validation.trim();
        let config = if same { self.hub_config.trim().into() } else { String::new() };
        PartChoice { config, split: self.hub_validation_split.trim().into(), held_out: same }
    }
}

impl Source {
    /// The rows that these settings train on.
    pub fn of_train(settings: &DataConfig) -> Result<Source> {
        Source::find_part(&settings.train, &settings.train_part())
    }

    /// The rows that these settings name for the validation loss.
    pub fn of_validation(settings: &DataConfig) -> Result<Option<Source>> {
        let name = settings.validation.as_str();
        if name.is_empty() {
            return Ok(None);
        }
        Source::find_part(name, &settings.validation_part()).map(Some)
    }

    /// Finds `builtin:NAME`, a file, a folder of files, or a data set of the Hub that is on this computer already.
    pub fn find(spec: &str) -> Result<Source> {
        Source::find_part(spec, &PartChoice::default())
    }

    /// [`Source::find`]; of a data set of the Hub, the part that is meant.
    pub fn find_part(spec: &str, part: &PartChoice) -> Result<Source> {
        let source = Source::find_any(spec, part)?;
        let named = !(part.config.is_empty() && part.split.is_empty());
        let elsewhere = Reference::hub(spec, RepoKind::Dataset).is_none() && dataset_info::named(spec).is_none();
        if named && elsewhere {
            let named = if part.split.is_empty() { &part.config } else { &part.split };
            return Err(Error::Config(format!(
                "{named:?} is to be read of {spec}, but only data sets of the Hub have configurations and splits: leave \
                 them empty"
            )));
        }
        Ok(source)
    }

    fn find_any(spec: &str, part: &PartChoice) -> Result<Source> {
        if spec.starts_with("builtin:") {
            return Ok(Source::in_memory(spec.into(), Bytes::from_static(builtin::dataset(spec)?)));
        }
        if spec.trim().is_empty() {
            return Err(Error::Config(
                "no data set is given: name a file (.jsonl, .csv, .parquet, .txt and others), a folder of them, or \
                 builtin:pirate"
                    .into(),
            ));
        }
        if let Some(entry) = dataset_info::named(spec) {
            let entry = entry?;
            // The part that a person names goes before the one that the file names.
            let (hub_config, hub_split) = (part.config.clone(), part.split.clone());
            let settings = entry.apply(&DataConfig { hub_config, hub_split, ..DataConfig::default() })?;
            let file = settings.train.clone();
            if dataset_info::named(&file).is_some() {
                let message = format!("the data set {:?} names another dataset_info.json instead of rows", entry.name);
                return Err(Error::file(message, &entry.path));
            }
            return Source::find_part(&file, &PartChoice { held_out: part.held_out, ..settings.train_part() });
        }
        let path = match Reference::of(spec, RepoKind::Dataset) {
            Reference::Hub(id) => {
                let (path, files) = hub::data_files(&id, part, &Hub::from_environment())?;
                return Ok(Source::on_disk(path, files));
            }
            Reference::Path(_) => expand_home(spec),
        };
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => folder::data_files(&path).map(|files| Source::on_disk(path, files)),
            Ok(found) if found.is_file() => Ok(Source::on_disk(path.clone(), vec![path])),
            Ok(_) => Err(Error::file("this is neither a file nor a folder: save the rows in a file first", &path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let endings = ENDINGS.join(", .");
                let message =
                    format!("there is no such data file (a folder, or a file of these is expected: .{endings})");
                Err(Error::file(message, &path))
            }
            Err(e) => Err(Error::io("read the data file", &path)(e)),
        }
    }

    /// Rows from memory. The name stands for a file's: its ending tells the kind where the bytes do not.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Source {
        Source::in_memory(name.into(), bytes.into().into())
    }

    fn in_memory(path: PathBuf, bytes: Bytes) -> Source {
        let state = State { bytes: bytes.len() as u64, modified: None };
        let files = [path.clone()].into();
        Source { path, files, states: [state].into(), backing: Backing::Memory(bytes) }
    }

    fn on_disk(path: PathBuf, files: Vec<PathBuf>) -> Source {
        let states = files.iter().map(|file| State::of(file).unwrap_or_default()).collect();
        Source { path, files: files.into(), states, backing: Backing::Disk }
    }

    /// The path of the file or folder, or `builtin:NAME`: what the rows as a whole are called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that are read, in this order. [`Row::file`](super::Row::file) is a position in them.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Files of a folder whose names say that they are for validation or for tests, where others are for training: by name,
    /// with their folders. All of them are read.
    pub fn held_out_files(&self) -> Vec<String> {
        let name = |file: &PathBuf| {
            let inside = file.strip_prefix(&self.path).ok()?;
            Some(inside.to_string_lossy().replace('\\', "/")).filter(|name| !name.is_empty())
        };
        let named: Vec<(String, &str)> = self
            .files
            .iter()
            .filter_map(name)
            .filter_map(|name| split_named(&name).map(|split| (name, split)))
            .collect();
        if !named.iter().any(|(_, split)| *split == "train") {
            return Vec::new();
        }
        named.into_iter().filter(|(_, split)| *split != "train").map(|(name, _)| name).collect()
    }

    /// The file that a row comes from.
    pub fn file_of(&self, row: &super::Row) -> &Path {
        self.files.get(row.file as usize).map_or(&self.path, PathBuf::as_path)
    }

    /// A row that cannot be read, as an error.
    pub fn error_of(&self, row: &super::WrongRow) -> Error {
        let path = self.files.get(row.file as usize).map_or(&self.path, |file| file).clone();
        Error::Row { path, line: row.line, message: row.message.clone() }
    }

    /// Whether the rows are in memory, and no file has them.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.backing, Backing::Memory(_))
    }

    /// Size of all files in bytes, as they are on the disk; 0 where the system does not say.
    pub fn bytes(&self) -> u64 {
        self.states.iter().map(|state| state.bytes).sum()
    }

    /// Starts reading from the first row.
    pub fn rows(&self) -> Result<Rows> {
        Rows::new(self)
    }

    /// Reads rows again, in any order, by the places that the first reading gave them.
    pub fn reader(&self) -> Result<RowReader> {
        Ok(RowReader::new(self.clone()))
    }

    pub(super) fn backing(&self) -> &Backing {
        &self.backing
    }

    pub(super) fn file_bytes(&self, file: usize) -> u64 {
        self.states.get(file).map_or(0, |state| state.bytes)
    }

    /// What was read is of no use if a file was written to meanwhile: nobody knows which state it is of.
    pub(in crate::engine::data) fn unchanged(&self) -> Result<()> {
        match (0..self.files.len()).find(|file| !self.is_unchanged(*file)) {
            None => Ok(()),
            Some(file) => {
                let message = "the file has changed while it was read: wait until it is written, or read a copy of it";
                Err(Error::file(message, &self.files[file]))
            }
        }
    }

    /// Whether a file is the one that was found.
    pub(super) fn is_unchanged(&self, file: usize) -> bool {
        match (&self.backing, self.files.get(file)) {
            (Backing::Disk, Some(path)) => State::of(path).is_some_and(|now| self.states.get(file) == Some(&now)),
            _ => true,
        }
    }
}
