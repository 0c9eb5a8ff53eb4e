//! Bytes in memory or in a file, written from the front and read at any place.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::engine::positioned::read_exact_at;
use crate::engine::{Error, Result};

/// Bytes that no longer change.
#[derive(Debug)]
pub(super) enum Bytes {
    Memory(Vec<u8>),
    File(File, PathBuf),
}

impl Bytes {
    /// Opens a file that must have this size.
    pub fn open(path: &Path, size: u64) -> Result<Bytes> {
        let file = File::open(path).map_err(Error::io("read the file", path))?;
        let found = file.metadata().map_err(Error::io("read the file", path))?.len();
        if found != size {
            return Err(Error::file(format!("the file has {found} bytes instead of {size}"), path));
        }
        Ok(Bytes::File(file, path.to_path_buf()))
    }

    /// How many; 0 where the system does not say.
    pub fn len(&self) -> u64 {
        match self {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::File(file, _) => file.metadata().map_or(0, |found| found.len()),
        }
    }

    /// Fills the buffer from this place on.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<()> {
        match self {
            Bytes::Memory(bytes) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let found = at.checked_add(into.len()).and_then(|end| bytes.get(at..end));
                into.copy_from_slice(found.ok_or_else(|| Error::Other("a row lies behind the last token".into()))?);
                Ok(())
            }
            Bytes::File(file, path) => {
                read_exact_at(file, at, into).map_err(Error::io("read the tokenized rows", path))
            }
        }
    }
}

/// Bytes that are being written.
#[derive(Debug)]
pub(super) enum Growing {
    Memory(Vec<u8>),
    File(BufWriter<File>, PathBuf),
}

impl Growing {
    /// A new file.
    pub fn create(path: PathBuf) -> Result<Growing> {
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(Error::io("write the tokenized rows", &path))?;
        Ok(Growing::File(BufWriter::with_capacity(1 << 18, file), path))
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Growing::Memory(whole) => whole.extend_from_slice(bytes),
            Growing::File(file, path) => {
                file.write_all(bytes).map_err(Error::io("write the tokenized rows", path))?;
            }
        }
        Ok(())
    }

    /// Everything is written.
    pub fn finish(self) -> Result<Bytes> {
        Ok(match self {
            Growing::Memory(bytes) => Bytes::Memory(bytes),
            Growing::File(file, path) => {
                let file = file.into_inner().map_err(|e| e.into_error());
                Bytes::File(file.map_err(Error::io("write the tokenized rows", &path))?, path)
            }
        })
    }
}
