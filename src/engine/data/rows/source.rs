//! Where rows come from: a file, or data that ships with the program.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::reader::{BufferedBytes, Rows};
use crate::engine::config::expand_home;
use crate::engine::formats::builtin;
use crate::engine::{Error, Result};

/// A data set that was found, before its first row is read.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    builtin: Option<&'static [u8]>,
}

impl Source {
    /// Finds `builtin:NAME` or a file.
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
        let path = expand_home(spec);
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

    /// Starts reading from the first row.
    pub fn rows(&self) -> Result<Rows> {
        let reader: Box<dyn BufRead + Send> = match self.builtin {
            Some(bytes) => Box::new(bytes),
            None => {
                let file = File::open(&self.path).map_err(Error::io("read the data file", &self.path))?;
                Box::new(BufReader::with_capacity(1 << 16, file))
            }
        };
        let plain_text = self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
        Rows::new(BufferedBytes::new(reader, &self.path), plain_text)
    }
}

/// A folder was given: names the data files in it, so that the person can choose one.
fn folder_error(path: &Path) -> Error {
    let mut inside: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| [".jsonl", ".json", ".txt"].iter().any(|end| name.to_ascii_lowercase().ends_with(end)))
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
