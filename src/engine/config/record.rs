//! What a run folder's `run.toml` says beyond the settings: who wrote it, when, and from which bytes.

use serde::{Deserialize, Serialize};

/// `[record]`: written with the run, read leniently, never an input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Version of this program.
    pub version: String,
    /// When the run was begun, RFC 3339 with the time zone.
    pub created: String,
    /// Operating system and processor architecture.
    pub system: String,
    /// The files of the model, the data and the initial adapter.
    pub files: Vec<FileRecord>,
}

/// One file that the run read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileRecord {
    /// Where it was.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}
