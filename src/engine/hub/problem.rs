//! What can go wrong between this computer and the Hub, in plain words.

use crate::engine::Error;

/// The kind of a problem, for who shows it with a button that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No such repository, revision or file; or a private one without the right token.
    NotFound,
    /// The licence must be accepted first, on this page.
    Gated {
        /// The repository's page.
        page: String,
        /// Whether a token was sent: without one, that is the first thing to do.
        with_token: bool,
    },
    /// The Hub does not know the token.
    BadToken,
    /// The Hub cannot be reached, or the program was told to stay offline.
    Offline,
    /// The model is not on this computer yet, or only a part of it.
    NotOnDisk,
    /// Too many requests.
    RateLimited,
    /// The server failed, or answered what no Hub answers.
    Server,
    /// The disk has no room.
    DiskFull,
    /// The bytes are not those that the Hub announced.
    Checksum,
    /// The repository has several models.
    Choice {
        /// The files to choose from, with their sizes in bytes.
        files: Vec<(String, u64)>,
    },
    /// The data set has no such configuration or split.
    NoSuchPart,
    /// The repository has nothing that can be used.
    Unusable,
    /// The person stopped the download.
    Cancelled,
}

impl Problem {
    /// The engine's error with this problem.
    pub(super) fn error(self, message: impl Into<String>) -> Error {
        Error::Hub { problem: self, message: message.into() }
    }
}

/// The problem behind an error of the Hub.
pub fn problem(error: &Error) -> Option<&Problem> {
    match error {
        Error::Hub { problem, .. } => Some(problem),
        _ => None,
    }
}

pub(super) fn cancelled() -> Error {
    Problem::Cancelled.error("the download was stopped; what has arrived is kept and the next download continues there")
}
