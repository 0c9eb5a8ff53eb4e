//! How the rows of a file are read.

use super::{Example, Fields, Format, Reason};
use crate::engine::config::DataConfig;

/// How the rows of a file are read: chosen once, then used for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The format.
    pub format: Format,
    /// Why this one.
    pub reason: String,
}

impl Reading {
    /// As the settings say, or as the first rows show.
    pub fn choose(settings: &DataConfig, first: &[&Fields]) -> Result<Reading, Reason> {
        let (format, reason) = match (settings.format, first.first()) {
            (Format::Auto, Some(row)) => Format::detect(row)?,
            (chosen, _) => (chosen, "chosen in the settings".to_string()),
        };
        Ok(Reading { format, reason })
    }

    /// Reads a row.
    pub fn read(&self, row: &Fields) -> Result<Example, Reason> {
        self.format.read(row)
    }
}
