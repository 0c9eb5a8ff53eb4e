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

/// A row as one file gives it.
#[derive(Debug)]
struct Found {
    line: usize,
    bytes: Range<u64>,
    fields: Map<String, Value>,
}
