//! How the rows of a text file follow each other: read one after the other, or one out of its bytes.

use serde_json::{Map, Value};

use super::bytes::{BufferedBytes, TextFile};
use super::csv::Table;
use super::json::{self, Shape};
use super::kind::Kind;
use super::{Found, text};
use crate::engine::Result;

/// The layout of a file whose head is read.
pub(super) enum Layout {
    Json(Shape),
    /// `None` for a file without a header.
    Table(Option<Box<Table>>),
    /// One document a line.
    Lines,
    /// One document.
    Document,
}

impl Layout {
    /// Finds the layout; the first row comes next.
    pub fn of(file: &mut TextFile) -> Result<Layout> {
        Ok(match file.kind {
            Kind::Json | Kind::Parquet => Layout::Json(json::shape(&mut file.bytes)?),
            Kind::Csv => Layout::Table(Table::begin(&mut file.bytes, false)?.map(Box::new)),
            Kind::Tsv => Layout::Table(Table::begin(&mut file.bytes, true)?.map(Box::new)),
            Kind::Text => Layout::Lines,
            Kind::Document => Layout::Document,
        })
    }

    /// Whether the next row can be found behind one that is wrong, which was read last.
    pub fn resumes(&self, bytes: &BufferedBytes) -> bool {
        !bytes.failed
            && match self {
                Layout::Json(Shape::Lines) | Layout::Table(Some(_)) | Layout::Lines => true,
                Layout::Json(Shape::Array) => !bytes.lost,
                Layout::Table(None) | Layout::Document => false,
            }
    }

    /// Reads the next row.
    pub fn next(&mut self, bytes: &mut BufferedBytes, buffer: &mut Vec<u8>, first: bool) -> Result<Option<Found>> {
        match self {
            Layout::Json(Shape::Lines) => json::next_line(bytes, buffer),
            Layout::Json(Shape::Array) => json::next_element(bytes, buffer, first),
            Layout::Table(Some(table)) => table.next(bytes),
            Layout::Table(None) => Ok(None),
            Layout::Lines => text::next_line(bytes, buffer),
            Layout::Document => text::whole(bytes, buffer),
        }
    }

    /// The row that these bytes are; `None` if they are none.
    pub fn parse(&mut self, bytes: &[u8]) -> Option<Map<String, Value>> {
        match self {
            Layout::Json(_) => json::object(bytes.trim_ascii()).ok(),
            Layout::Table(table) => {
                let reader = Box::new(std::io::Cursor::new(bytes.to_vec()));
                let mut bytes = BufferedBytes::new(reader, "".as_ref(), bytes.len().max(1));
                let found = table.as_mut()?.next(&mut bytes).ok()??;
                bytes.skip_whitespace().ok()?;
                bytes.peek().ok()?.is_none().then_some(found.fields)
            }
            Layout::Lines | Layout::Document => text::document(bytes).ok()?,
        }
    }
}
