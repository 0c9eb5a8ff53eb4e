//! The rows of a source as tokens, uncut, in files that are read piece by piece.
//!
//! Whatever the number of rows, memory holds none of them: the index has one [`Record`] of fixed size a row, the other file
//! their tokens. What `max_seq_len`, the split and packing make of them is counted from the index by
//! [`Survey::cut`](super::Survey::cut), and the trainer reads the rows of a step when it needs them. Small sources stay in memory; those
//! of larger ones are kept in the cache folder ([`cache`]), so that the next start finds them.

mod build;
mod bytes;
pub mod cache;
mod record;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::check::Seen;
use super::format::Reading;
use super::rows::{Row, RowReader, Source, WrongRow};
use super::{LengthCounts, Sample};
use crate::engine::{Error, Result};
use build::tokenize;
pub(super) use build::{LOOKED_AT, Tolerance, choose_reading};
use bytes::Bytes;
pub use record::Record;
use record::{RANGE_BYTES, RECORD_BYTES, WRONG_BYTES, WrongRecord};

/// Records read at once by those who go through all of them.
const PAGE: usize = 4096;

/// What is known of a source beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How its rows are read, and why so.
    pub reading: Reading,
    /// Rows that can be read.
    pub rows: usize,
    /// Their tokens.
    pub tokens: u64,
    /// Rows that cannot be read.
    pub wrong_rows: usize,
    /// The first of them, by file and place; [`Tokenized::wrong_row`] knows all.
    pub wrong: Vec<WrongRow>,
    /// Why rows cannot be trained on; each reason once.
    pub refusals: Vec<String>,
    /// What is unusual about rows.
    pub odd: Vec<Seen>,
    /// Rows whose mask was looked at a second time: the first ones, and some of the rest.
    pub verified: usize,
    /// What was wrong with them.
    pub faults: Vec<Seen>,
}

/// The tokenized rows of a source, in its order.
#[derive(Debug)]
pub struct Tokenized {
    /// Where the rows come from.
    pub source: Source,
    /// What is known of them.
    pub summary: Summary,
    index: Bytes,
    tokens: Bytes,
    wrong: Bytes,
    repeated: OnceLock<Vec<u64>>,
    lengths: OnceLock<LengthCounts>,
}

impl Tokenized {
    fn new(source: Source, summary: Summary, [index, tokens, wrong]: [Bytes; 3]) -> Tokenized {
        Tokenized { source, summary, index, tokens, wrong, repeated: OnceLock::new(), lengths: OnceLock::new() }
    }

    /// Rows that can be read.
    pub fn len(&self) -> usize {
        self.summary.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.summary.rows == 0
    }

    /// Bytes of the index, the tokens and the list of rows that cannot be read.
    pub fn bytes(&self) -> u64 {
        self.index.len() + self.tokens.len() + self.wrong.len()
    }

    /// One of the [`Summary::wrong_rows`] rows that cannot be read, by file and place.
    pub fn wrong_row(&self, at: usize) -> Result<WrongRow> {
        let mut bytes = [0; WRONG_BYTES];
        self.wrong.read_at((at * WRONG_BYTES) as u64, &mut bytes)?;
        let record = WrongRecord::from_bytes(&bytes);
        let mut message = vec![0; record.message_bytes as usize];
        self.tokens.read_at(record.message, &mut message)?;
        let message = String::from_utf8_lossy(&message).into_owned();
        Ok(WrongRow { file: record.file, line: record.line as usize, bytes: record.start..record.end, message })
    }

    /// What the index says of a row.
    pub fn record(&self, row: usize) -> Result<Record> {
        let mut bytes = [0; RECORD_BYTES];
        self.index.read_at((row * RECORD_BYTES) as u64, &mut bytes)?;
        Ok(Record::from_bytes(&bytes))
    }

    /// Goes through the index from the first row to the last.
    pub fn each(&self, mut see: impl FnMut(usize, &Record) -> Result<()>) -> Result<()> {
        let mut page = vec![0; PAGE.min(self.len()) * RECORD_BYTES];
        for first in (0..self.len()).step_by(PAGE) {
            let count = PAGE.min(self.len() - first);
            let page = &mut page[..count * RECORD_BYTES];
            self.index.read_at((first * RECORD_BYTES) as u64, page)?;
            for (at, bytes) in page.as_chunks::<RECORD_BYTES>().0.iter().enumerate() {
                see(first + at, &Record::from_bytes(bytes))?;
            }
        }
        Ok(())
    }

    /// The tokens of a row, cut at `max_seq_len`.
    pub fn sample(&self, row: usize, max_seq_len: usize) -> Result<Sample> {
        let record = self.record(row)?;
        let count = (record.tokens as usize).min(max_seq_len);
        let mut bytes = vec![0; 4 * count];
        self.tokens.read_at(record.offset, &mut bytes)?;
        let tokens = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let mut trained = vec![false; count];
        for [start, end] in self.ranges(&record)? {
            let (start, end) = ((start as usize).min(count), (end as usize).min(count));
            trained[start..end].fill(true);
        }
        Ok(Sample { tokens, trained, row })
    }

    /// The trained tokens of a row, as ranges.
    pub fn ranges(&self, record: &Record) -> Result<Vec<[u32; 2]>> {
        let mut bytes = vec![0; RANGE_BYTES * record.ranges as usize];
        self.tokens.read_at(record.offset + 4 * u64::from(record.tokens), &mut bytes)?;
        let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(bytes.as_chunks::<RANGE_BYTES>().0.iter().map(|b| [number(&b[..4]), number(&b[4..])]).collect())
    }

    /// Tokens of a row that count in the loss when it is cut at `max_seq_len`. The first token of a row is predicted by
    /// nothing.
    pub fn supervised(&self, record: &Record, max_seq_len: usize) -> Result<usize> {
        let end = u32::try_from(max_seq_len).unwrap_or(u32::MAX);
        if record.last <= end {
            return Ok(record.supervised as usize);
        }
        if record.ranges == 1 {
            return Ok(record.first.map_or(0, |first| end.saturating_sub(first)) as usize);
        }
        let ranges = self.ranges(record)?;
        Ok(ranges.iter().map(|[from, to]| (*to).min(end).saturating_sub((*from).max(1)) as usize).sum())
    }

    /// The row as it stands in the file.
    pub fn row(&self, row: usize) -> Result<Row> {
        self.row_by(&mut self.source.reader()?, row)
    }

    /// [`Tokenized::row`], for who looks at many: a reader of the source finds the next row of a packed file quickly.
    pub fn row_by(&self, reader: &mut RowReader, row: usize) -> Result<Row> {
        let record = self.record(row)?;
        reader.read(record.file, &record.place(), row, record.line as usize)
    }

    /// How many rows there are of each length, uncut; those that have tokens.
    pub fn lengths(&self) -> Result<&LengthCounts> {
        if let Some(lengths) = self.lengths.get() {
            return Ok(lengths);
        }
        let mut lengths = LengthCounts::default();
        self.each(|_, record| {
            if record.tokens > 0 {
                lengths.add(record.tokens as usize);
            }
            Ok(())
        })?;
        lengths.finish();
        Ok(self.lengths.get_or_init(|| lengths))
    }

    /// Whether a row says the same as an earlier one: one bit a row.
    fn repeats(&self) -> Result<&[u64]> {
        if let Some(bits) = self.repeated.get() {
            return Ok(bits);
        }
        let mut contents = Vec::with_capacity(self.len());
        self.each(|row, record| {
            contents.push((record.content, row as u32));
            Ok(())
        })?;
        contents.sort_unstable();
        let mut bits = vec![0u64; self.len().div_ceil(64)];
        for pair in contents.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            bits[pair[1].1 as usize / 64] |= 1 << (pair[1].1 % 64);
        }
        Ok(self.repeated.get_or_init(|| bits))
    }

    /// Whether this row says the same as an earlier one.
    pub fn repeats_an_earlier(&self, row: usize) -> Result<bool> {
        Ok(self.repeats()?.get(row / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1))
    }

    /// The first row that says the same as an earlier one.
    pub fn first_repeated(&self) -> Result<Option<usize>> {
        let bits = self.repeats()?;
        let word = bits.iter().position(|bits| *bits != 0);
        Ok(word.map(|word| word * 64 + bits[word].trailing_zeros() as usize))
    }

    /// Rows that say the same as an earlier one.
    pub fn duplicates(&self) -> Result<usize> {
        Ok(self.repeats()?.iter().map(|bits| bits.count_ones() as usize).sum())
    }

    /// The next row from `from` in whose texts `needle` stands, in upper or lower case, round the end of the file.
    /// `progress(done, total)` counts rows; false ends with [`Error::Cancelled`].
    pub fn find(&self, needle: &str, from: usize, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Option<usize>> {
        let needle = needle.to_lowercase();
        let mut reader = self.source.reader()?;
        let count = self.len();
        for step in 0..count {
            if step % 256 == 0 && !progress(step as u64, count as u64) {
                return Err(Error::Cancelled("the search"));
            }
            let index = (from + step) % count;
            let row = self.row_by(&mut reader, index)?;
            if row.fields.values().any(|value| holds(value, &needle)) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

/// Whether a text in the value holds the lower-case `needle`.
fn holds(value: &serde_json::Value, needle: &str) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.to_lowercase().contains(needle),
        Value::Array(list) => list.iter().any(|v| holds(v, needle)),
        Value::Object(fields) => fields.values().any(|v| holds(v, needle)),
        Value::Number(n) => n.to_string().contains(needle),
        Value::Null | Value::Bool(_) => false,
    }
}
