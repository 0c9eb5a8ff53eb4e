//! Files to rows: JSON arrays, JSON lines, CSV, Parquet, plain text and Markdown, packed or not, read as a stream.
//!
//! A row is a JSON object. It keeps the file and the line it began on, so that whatever is wrong with it later can name
//! the place. The way of the bytes: [`Source`] (which files) → `kind` (what they are, by their first bytes) → `bytes` (unpacked,
//! as UTF-8) → `json`, `csv`, `text`, or `parquet` straight from the file → [`Rows`] in order, [`RowReader`] in any order.
//!
//! ```
//! use lora_studio::engine::data::Source;
//!
//! let source = Source::from_bytes("rows.csv", &b"question;answer\n2 + 2?;4\n"[..]);
//! let row = source.rows()?.next().unwrap()?;
//! assert_eq!((row.line, row.fields["answer"].as_str()), (2, Some("4")));
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```

mod bytes;
mod csv;
mod folder;
mod hub;
mod json;
mod kind;
mod layout;
mod parquet;
mod reader;
mod seek;
mod source;
mod text;
mod utf16;

#[cfg(test)]
mod tests;

pub(super) use json::describe;
pub use kind::ENDINGS;
pub use reader::Rows;
pub use seek::RowReader;
pub use source::Source;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest row in bytes. Far above any training row; it keeps a file that is not what it claims to be from filling the
/// memory.
const MAX_ROW_BYTES: usize = 64 << 20;

/// One row of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Position in the source, from 0.
    pub index: usize,
    /// The file it stands in: a position in [`Source::files`].
    pub file: u32,
    /// Line in the file where it begins, from 1; of a Parquet file its number, from 1.
    pub line: usize,
    /// Where it lies in the file, in bytes of the unpacked UTF-8 text; of a Parquet file its number from 0, and the next.
    pub bytes: Range<u64>,
    /// The columns, in the file's order.
    pub fields: Map<String, Value>,
}

/// A row that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongRow {
    /// The file it stands in: a position in [`Source::files`].
    pub file: u32,
    /// Line in the file where it begins, as in [`Row::line`].
    pub line: usize,
    /// Where it lies in the file, as in [`Row::bytes`]; of a row that was not read to its end, as far as it was read.
    pub bytes: Range<u64>,
    /// What was expected and what was found.
    pub message: String,
}

impl Row {
    /// Bytes, about.
    pub(super) fn size(&self) -> u64 {
        match self.bytes.end.saturating_sub(self.bytes.start) {
            // Of a Parquet file, the place is a number.
            0 | 1 => self.fields.values().map(size).sum(),
            bytes => bytes,
        }
    }
}

/// Bytes of a value as JSON, about.
fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(list) => list.iter().map(|value| size(value) + 1).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() as u64 + 4 + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

impl WrongRow {
    /// A row that has not the shape that it should have. It begins in this column of its line, from 1.
    pub(super) fn of(row: &Row, column: usize, reason: String) -> WrongRow {
        let message = match column {
            0 | 1 => reason,
            _ => format!("{reason} (column {column})"),
        };
        WrongRow { file: row.file, line: row.line, bytes: row.bytes.clone(), message }
    }
}

/// A row as one file gives it.
#[derive(Debug)]
struct Found {
    line: usize,
    bytes: Range<u64>,
    fields: Map<String, Value>,
}
