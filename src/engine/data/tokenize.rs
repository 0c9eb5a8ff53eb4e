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

/// What a file became: one `T` a row that can be trained on.
pub(super) struct Part<T> {
    pub samples: Vec<T>,
    /// Identifies the content of each row, dropped ones included.
    pub contents: Vec<u64>,
    pub report: SourceReport,
}

/// Takes the rows of a file, in order.
pub(super) trait Sink {
    /// A row, encoded whole; the inner error says why nothing in it can be trained.
    fn row(&mut self, row: &Row, content: u64, encoded: std::result::Result<Encoded, String>);

    /// A row that cannot be read. An error ends the reading.
    fn wrong(&mut self, error: Error) -> Result<()>;
}

/// Reads and tokenizes a file; gives the format and why. `progress` is told the bytes of it that are done; false ends
/// with [`Error::Cancelled`].
pub(super) fn encode_all(
    source: &Source,
    settings: &DataConfig,
    encoder: &Encoder,
    progress: &mut dyn FnMut(u64) -> bool,
    sink: &mut dyn Sink,
) -> Result<(Format, String)> {
    let mut rows = source.rows()?;
    let mut chosen: Option<(Format, String)> = None;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            match rows.next() {
                None => break,
                Some(Ok(row)) => {
                    // The first row shows the format, then it is a row like the others.
                    if chosen.is_none() {
                        chosen = Some(choose_format(source, settings.format, &row)?);
                    }
                    chunk.push(row);
                }
                Some(Err(error @ Error::Row { .. })) => {
                    sink.wrong(error)?;
                    if !rows.resume() {
                        break;
                    }
                }
                Some(Err(error)) => return Err(error),
            }
        }
        if !progress(rows.bytes_read()) {
            return Err(Error::Cancelled("loading"));
        }
        let Some((format, _)) = chosen.as_ref().filter(|_| !chunk.is_empty()) else { break };
        let encode = |row: &Row| one(source, row, settings, *format, encoder);
        let outcomes: Vec<Result<Outcome>> = chunk.par_iter().map(encode).collect();
        for (row, outcome) in chunk.iter().zip(outcomes) {
            match outcome? {
                Outcome::Encoded(content, encoded) => sink.row(row, content, encoded),
                Outcome::Wrong(error) => sink.wrong(error)?,
            }
        }
    }
    Ok(chosen.unwrap_or((settings.format, String::new())))
}

/// Reads a file into samples, cut at `max_seq_len`. The first row that cannot be read is an error.
pub(super) fn tokenize(
    source: &Source,
    settings: &DataConfig,
    encoder: &Encoder,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Part<Sample>> {
    let mut part = Part { samples: Vec::new(), contents: Vec::new(), report: SourceReport::of(source) };
    let mut sink = Samples { part: &mut part, max_seq_len: settings.max_seq_len };
    (part.report.format, part.report.reason) = encode_all(source, settings, encoder, progress, &mut sink)?;
    part.report.finish(part.samples.len())?;
    Ok(part)
}

struct Samples<'a> {
    part: &'a mut Part<Sample>,
    max_seq_len: usize,
}

impl Sink for Samples<'_> {
    fn row(&mut self, row: &Row, content: u64, encoded: std::result::Result<Encoded, String>) {
        self.part.contents.push(content);
        let tokens = encoded.as_ref().map_or(0, |e| e.tokens.len());
        let first = encoded.as_ref().map(Encoded::first_trained).map_err(Clone::clone);
        if self.part.report.count(row.line, tokens, first, self.max_seq_len)
            && let Ok(Encoded { mut tokens, mut trained }) = encoded
        {
            tokens.truncate(self.max_seq_len);
            trained.truncate(self.max_seq_len);
            self.part.samples.push(Sample { tokens, trained, row: row.index });
        }
    }

    fn wrong(&mut self, error: Error) -> Result<()> {
        Err(error)
    }
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

enum Outcome {
    /// What identifies the row's content, and its tokens.
    Encoded(u64, std::result::Result<Encoded, String>),
    Wrong(Error),
}

fn one(source: &Source, row: &Row, settings: &DataConfig, format: Format, encoder: &Encoder) -> Result<Outcome> {
    match format.read(&row.fields) {
        Ok(example) => Ok(Outcome::Encoded(content_of(row), encoder.encode(&example, settings.loss_on)?)),
        Err(message) => Ok(Outcome::Wrong(row_error(source, row, message))),
    }
}

/// The first 64 bits of the SHA-256 of the row's columns.
fn content_of(row: &Row) -> u64 {
    let digest = Sha256::digest(serde_json::to_string(&row.fields).unwrap_or_default());
    digest.iter().take(8).fold(0, |whole, byte| whole << 8 | u64::from(*byte))
}

impl SourceReport {
    pub(super) fn of(source: &Source) -> SourceReport {
        SourceReport { source: source.path().display().to_string(), ..SourceReport::default() }
    }

    /// Counts a row of `tokens` tokens; `first` is its first trained token behind the very first, or why there is none.
    /// True if the row is kept, cut at `max_seq_len`.
    pub(super) fn count(
        &mut self,
        line: usize,
        tokens: usize,
        first: std::result::Result<Option<usize>, String>,
        max_seq_len: usize,
    ) -> bool {
        self.rows += 1;
        self.longest = self.longest.max(tokens);
        let reason = match first {
            Ok(Some(first)) if first < max_seq_len => {
                let cut = tokens.saturating_sub(max_seq_len);
                self.truncated += usize::from(cut > 0);
                self.tokens_cut += cut as u64;
                return true;
            }
            Ok(_) if tokens > max_seq_len => {
                format!("nothing in its first {max_seq_len} tokens (max_seq_len) is trained")
            }
            Ok(_) => "nothing in it is trained".to_string(),
            Err(reason) => reason,
        };
        match self.dropped.iter_mut().find(|d| d.reason == reason) {
            Some(dropped) => dropped.rows += 1,
            None => self.dropped.push(Dropped { reason, rows: 1, first_line: line }),
        }
        false
    }

    /// After the last row, of which `kept` were kept. Something must be left to train on.
    pub(super) fn finish(&mut self, kept: usize) -> Result<()> {
        self.dropped.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.first_line.cmp(&b.first_line)));
        if kept > 0 {
            return Ok(());
        }
        let message = match self.dropped.first() {
            None => "the data set is empty: it has no rows".to_string(),
            Some(d) => {
                let rows = self.rows;
                let of = if rows == 1 { "the only row".into() } else { format!("none of the {rows} rows") };
                let verb = if rows == 1 { "cannot be trained on" } else { "can be trained on" };
                format!("{of} {verb}: line {}: {}", d.first_line, d.reason)
            }
        };
        Err(Error::file(message, &self.source))
    }
}
