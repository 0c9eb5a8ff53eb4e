//! All rows of a source to samples, on all cores.

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::format::Format;
use super::rows::{Row, Source};
use super::{Encoded, Encoder, Sample};
use crate::engine::config::DataConfig;
use crate::engine::{Error, Result};

/// Rows read before they are tokenized together.
const CHUNK: usize = 1024;

/// What became of the rows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// The file, or `builtin:NAME`.
    pub source: String,
    /// How its rows were read.
    pub format: Format,
    /// Why they were read so.
    pub reason: String,
    /// Rows in the file.
    pub rows: usize,
    /// Rows that were cut at `max_seq_len` tokens.
    pub truncated: usize,
    /// Tokens that were cut off.
    pub tokens_cut: u64,
    /// Length in tokens of the longest row, before it was cut.
    pub longest: usize,
    /// Rows that cannot be trained on, by reason, the most frequent first.
    pub dropped: Vec<Dropped>,
}

/// Rows that cannot be trained on, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Why.
    pub reason: String,
    /// How many.
    pub rows: usize,
    /// Line of the first one.
    pub first_line: usize,
}

/// A file, tokenized.
pub(super) struct Tokenized {
    pub samples: Vec<Sample>,
    /// Identifies the content of each row, dropped ones included.
    pub contents: Vec<u64>,
    pub report: SourceReport,
}

/// Reads and tokenizes a file.
pub(super) fn tokenize(source: &Source, settings: &DataConfig, encoder: &Encoder) -> Result<Tokenized> {
    let mut report = SourceReport { source: source.path().display().to_string(), ..SourceReport::default() };
    let mut rows = source.rows()?.peekable();
    (report.format, report.reason) = match rows.peek() {
        Some(Ok(first)) => choose_format(source, settings.format, first)?,
        _ => (settings.format, String::new()),
    };
    let mut done = Tokenized { samples: Vec::new(), contents: Vec::new(), report };
    loop {
        let chunk = rows.by_ref().take(CHUNK).collect::<Result<Vec<Row>>>()?;
        if chunk.is_empty() {
            break;
        }
        let outcomes: Vec<Result<Outcome>> =
            chunk.par_iter().map(|row| one(source, row, settings, done.report.format, encoder)).collect();
        for (row, outcome) in chunk.iter().zip(outcomes) {
            done.add(row, outcome?);
        }
    }
    done.report.dropped.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.first_line.cmp(&b.first_line)));
    done.check(source)?;
    Ok(done)
}

/// The format of a file: the one the settings name, or the one its first row shows.
pub(super) fn choose_format(source: &Source, format: Format, first: &Row) -> Result<(Format, String)> {
    let (format, reason) = match format {
        Format::Auto => Format::detect(&first.fields).map_err(|message| row_error(source, first, message))?,
        chosen => (chosen, "chosen in the settings".to_string()),
    };
    Ok((format, reason))
}

pub(super) fn row_error(source: &Source, row: &Row, message: String) -> Error {
    Error::Row { path: source.path().to_path_buf(), line: row.line, message }
}

struct Outcome {
    content: u64,
    tokens: usize,
    encoded: std::result::Result<Encoded, String>,
}

fn one(source: &Source, row: &Row, settings: &DataConfig, format: Format, encoder: &Encoder) -> Result<Outcome> {
    let example = format.read(&row.fields).map_err(|message| row_error(source, row, message))?;
    let mut encoded = encoder.encode(&example, settings.loss_on)?;
    let tokens = encoded.as_ref().map_or(0, |e| e.tokens.len());
    if let Ok(e) = &mut encoded {
        e.tokens.truncate(settings.max_seq_len);
        e.trained.truncate(settings.max_seq_len);
        if !e.trained.iter().skip(1).any(|t| *t) {
            encoded = Err(if tokens > settings.max_seq_len {
                format!("nothing in its first {} tokens (max_seq_len) is trained", settings.max_seq_len)
            } else {
                "nothing in it is trained".to_string()
            });
        }
    }
    Ok(Outcome { content: content_of(row), tokens, encoded })
}

/// The first 64 bits of the SHA-256 of the row's columns.
fn content_of(row: &Row) -> u64 {
    let digest = Sha256::digest(serde_json::to_string(&row.fields).unwrap_or_default());
    digest.iter().take(8).fold(0, |whole, byte| whole << 8 | u64::from(*byte))
}

impl Tokenized {
    fn add(&mut self, row: &Row, outcome: Outcome) {
        let report = &mut self.report;
        report.rows += 1;
        report.longest = report.longest.max(outcome.tokens);
        self.contents.push(outcome.content);
        match outcome.encoded {
            Ok(Encoded { tokens, trained }) => {
                let cut = outcome.tokens - tokens.len();
                report.truncated += usize::from(cut > 0);
                report.tokens_cut += cut as u64;
                self.samples.push(Sample { tokens, trained, row: row.index });
            }
            Err(reason) => match report.dropped.iter_mut().find(|d| d.reason == reason) {
                Some(dropped) => dropped.rows += 1,
                None => report.dropped.push(Dropped { reason, rows: 1, first_line: row.line }),
            },
        }
    }

    /// Something must be left to train on.
    fn check(&self, source: &Source) -> Result<()> {
        if !self.samples.is_empty() {
            return Ok(());
        }
        let message = match self.report.dropped.first() {
            None => "the data set is empty: it has no rows".to_string(),
            Some(d) => {
                let rows = self.report.rows;
                let of = if rows == 1 { "the only row".into() } else { format!("none of the {rows} rows") };
                let verb = if rows == 1 { "cannot be trained on" } else { "can be trained on" };
                format!("{of} {verb}: line {}: {}", d.first_line, d.reason)
            }
        };
        Err(Error::file(message, source.path()))
    }
}
