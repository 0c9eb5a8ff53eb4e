//! Numbers that a run keeps in a file while it lives: the optimizer's moments, inputs of layers.
//!
//! Where the device is the processor, its memory is the host's, and nothing is gained by moving numbers to "the host". What
//! can be moved is the numbers out of the process: the system's file cache holds what it has room for, and when other
//! programs or the model need that room, the rest waits on the disk.
//!
//! The file has no name (on Unix), or goes away with the process (on Windows): a run that is killed leaves nothing behind.
//! Plain reads and writes, not a mapping, because a disk that is full or fails is then an error, and not the end of the
//! process.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::positioned::{read_exact_at, write_all_at};
use super::{Error, Result};

/// What can go wrong with a file, as [`Error::Io`] says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actions {
    pub make: &'static str,
    pub read: &'static str,
    pub write: &'static str,
}

/// `f32` in the machine's byte order.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: File,
    /// Where it is, for errors.
    folder: PathBuf,
    actions: Actions,
}

impl ScratchFile {
    /// So many zeros, in a file in `folder`.
    pub fn zeros(folder: &Path, numbers: usize, actions: Actions) -> Result<ScratchFile> {
        let file = tempfile::tempfile_in(folder).map_err(Error::io(actions.make, folder))?;
        let file = ScratchFile { file, folder: folder.to_path_buf(), actions };
        // Written, and not only made longer: a disk without room for it is found now.
        let zeros = [0.0; 16 * 1024];
        for at in (0..numbers).step_by(zeros.len()) {
            file.write(at, &zeros[..zeros.len().min(numbers - at)])?;
        }
        Ok(file)
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Fills `into` with the numbers from the `at`-th on.
    pub fn read(&self, at: usize, into: &mut [f32]) -> Result<()> {
        let read = read_exact_at(&self.file, 4 * at as u64, bytemuck::cast_slice_mut(into));
        read.map_err(Error::io(self.actions.read, &self.folder))
    }

    /// Replaces the numbers from the `at`-th on.
    pub fn write(&self, at: usize, numbers: &[f32]) -> Result<()> {
        let written = write_all_at(&self.file, 4 * at as u64, bytemuck::cast_slice(numbers));
        written.map_err(Error::io(self.actions.write, &self.folder))
    }
}
