//! Files to rows: JSON arrays, JSON lines and plain text, read as a stream.
//!
//! A row is a JSON object. It keeps the line it began on, so that whatever is wrong with it later can name the place.

mod reader;
mod source;

pub use reader::Rows;
pub(super) use reader::describe;
pub use source::{ENDINGS, RowReader, Source};

use std::ops::Range;

use serde_json::{Map, Value};

/// One row of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Position in the source, from 0.
    pub index: usize,
    /// Its file: index in [`Source::files`].
    pub file: u32,
    /// Line in the file, from 1 (for a JSON array: the line where the row begins).
    pub line: usize,
    /// Where it lies in the source, in bytes, with white space around it.
    pub bytes: Range<u64>,
    /// The columns, in the file's order.
    pub fields: Map<String, Value>,
}
