//! The engine's one error type: every variant carries what a message needs (what, where, what to do).

use std::path::{Path, PathBuf};

/// Result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong, in words for the person who runs the program. The path comes last in the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("could not {action}: {source}: {}", path.display())]
    Io {
        /// What was tried, as an infinitive: "read the file".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },
    /// A file exists but does not hold what it should.
    #[error("{message}: {}", path.display())]
    File {
        /// What is wrong and what to do.
        message: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// A row of a data file is wrong.
    #[error("line {line}: {message}: {}", path.display())]
    Row {
        /// The data file.
        path: PathBuf,
        /// Line in the file, from 1 (for a JSON array: the line where the row begins).
        line: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// A tensor is missing, or has another shape or type than the model's configuration says.
    #[error("tensor {tensor}: {message}: {}", path.display())]
    Tensor {
        /// The tensor's name in the file.
        tensor: String,
        /// What was expected and what was found.
        message: String,
        /// The file it was looked for in.
        path: PathBuf,
    },
    /// A setting of the run file or the command line is wrong.
    #[error("{0}")]
    Config(String),
    /// The loss or the gradient stopped being a number.
    #[error("{what} is not a number at step {step}: training stopped; {kept}")]
    NotFinite {
        /// "the loss" or "the gradient norm".
        what: &'static str,
        /// The optimizer step, from 1.
        step: usize,
        /// What was kept: the last good checkpoint, or nothing, and what to try.
        kept: String,
    },
    /// Whoever asked for it no longer wants it; nothing went wrong.
    #[error("{0} was cancelled")]
    Cancelled(&'static str),
    /// The Hub, or the way to it.
    #[error("{message}")]
    Hub {
        /// The kind, for who can offer help with it.
        problem: super::hub::Problem,
        /// What happened and what to do.
        message: String,
    },
    /// Anything else, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// An [`Error::File`].
    pub fn file(message: impl Into<String>, path: impl AsRef<Path>) -> Error {
        Error::File { message: message.into(), path: path.as_ref().to_path_buf() }
    }

    /// An [`Error::Tensor`].
    pub fn tensor(tensor: impl Into<String>, message: impl Into<String>, path: impl AsRef<Path>) -> Error {
        Error::Tensor { tensor: tensor.into(), message: message.into(), path: path.as_ref().to_path_buf() }
    }
}
