//! Tables: the first record names the columns, each further one is a row.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::Found;
use super::bytes::BufferedBytes;
use crate::engine::Result;

/// What cells may be separated by; of two that fit as well, the first. Spreadsheets write `;` where numbers have a comma.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Bytes in which the delimiter is looked for.
const SAMPLE: usize = 1 << 16;
/// Columns of a table, at most; as many as spreadsheets have.
const MAX_COLUMNS: usize = 16_384;
/// Records in which it is.
const SAMPLE_RECORDS: usize = 20;

/// A table whose first record is read.
pub(super) struct Table {
    names: Vec<String>,
    delimiter: u8,
    record: Record,
}

impl Table {
    /// Reads the names of the columns; `None` for a file without a record.
    pub fn begin(bytes: &mut BufferedBytes, tabs: bool) -> Result<Option<Table>> {
        let delimiter = match hint(bytes)? {
            Some(delimiter) => delimiter,
            None => sniff(bytes.peek_many(SAMPLE)?, tabs),
        };
        let mut record = Record::new(delimiter);
        if !record.read(bytes)? {
            return Ok(None);
        }
        let line = record.line;
        let cells = record.cells().map_err(|message| bytes.row_error(line, message))?;
        // Tables often come with a column of numbers that nobody named.
        let name = |(at, cell): (usize, &str)| match cell.trim() {
            "" => format!("column {}", at + 1),
            name => name.to_string(),
        };
        let names: Vec<String> = cells.enumerate().map(name).collect();
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            let message = format!("two columns are named `{twice}`: rename one of them in the file's first line");
            return Err(bytes.row_error(line, message));
        }
        Ok(Some(Table { names, delimiter, record }))
    }

    /// Reads the next row.
    pub fn next(&mut self, bytes: &mut BufferedBytes) -> Result<Option<Found>> {
        loop {
            if !self.record.read(bytes)? {
                return Ok(None);
            }
            let (line, start) = (self.record.line, self.record.start);
            if let Some(fields) = self.row().map_err(|message| bytes.row_error(line, message))? {
                return Ok(Some(Found { line, bytes: start..bytes.done, fields }));
            }
        }
    }

    /// The record that was read, as a row; `None` if its line is blank.
    fn row(&self) -> std::result::Result<Option<Map<String, Value>>, String> {
        let (expected, found) = (self.names.len(), self.record.ends.len());
        let cells = self.record.cells()?;
        if found == 1 && expected > 1 && self.record.output.trim_ascii().is_empty() {
            return Ok(None);
        }
        if found != expected {
            let many = |n: usize| if n == 1 { "1 column".to_string() } else { format!("{n} columns") };
            return Err(format!(
                "expected {} as in the first line, found {found} (cells are separated by {}; a cell that holds one is \
                 written in quotes)",
                many(expected),
                match self.delimiter {
                    b'\t' => "tabs".into(),
                    other => format!("`{}`", other as char),
                }
            ));
        }
        Ok(Some(self.names.iter().zip(cells).map(|(name, cell)| (name.clone(), value(name, cell))).collect()))
    }
}

/// A cell's value: the text that it is, whatever it looks like. Columns that are lists by their nature (messages, tools,
/// history) are read from such a text where they are used. Only a column that may be a text as well as messages has to
/// be told apart here, where it is known that the file has no other way to write a list.
fn value(name: &str, cell: &str) -> Value {
    const EITHER: [&str; 4] = ["prompt", "completion", "chosen", "rejected"];
    if cell.trim_start().starts_with(['[', '{'])
        && EITHER.iter().any(|either| name.trim().eq_ignore_ascii_case(either))
        && let Ok(value) = serde_json::from_str(cell)
        && are_messages(&value)
    {
        return value;
    }
    Value::from(cell)
}

/// Whether this is a message or a list of them, and not any other JSON.
fn are_messages(value: &Value) -> bool {
    let message = |value: &Value| {
        let role = |fields: &Map<String, Value>| {
            [("role", "content"), ("from", "value")]
                .iter()
                .any(|(role, content)| fields.get(*role).is_some_and(Value::is_string) && fields.contains_key(*content))
        };
        value.as_object().is_some_and(role)
    };
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(message),
        other => message(other),
    }
}

/// A first line `sep=;`, by which Excel tells itself the delimiter.
fn hint(bytes: &mut BufferedBytes) -> Result<Option<u8>> {
    let head = bytes.peek_many(6)?;
    let Some(&delimiter) = head.strip_prefix(b"sep=").and_then(|rest| rest.first()) else { return Ok(None) };
    if !DELIMITERS.contains(&delimiter) || !head.get(5).is_none_or(|b| matches!(b, b'\r' | b'\n')) {
        return Ok(None);
    }
    bytes.skip_line()?;
    Ok(Some(delimiter))
}

/// The delimiter by which the first records have as many cells as the header, and more than one.
fn sniff(sample: &[u8], tabs: bool) -> u8 {
    let fits = |delimiter: u8| -> Option<(usize, usize)> {
        let mut record = Record::new(delimiter);
        let whole = sample.len() < SAMPLE;
        let mut bytes = BufferedBytes::new(Box::new(std::io::Cursor::new(sample.to_vec())), "".as_ref(), SAMPLE);
        let mut counts = Vec::new();
        while counts.len() < SAMPLE_RECORDS && matches!(record.read(&mut bytes), Ok(true)) {
            counts.push(record.ends.len());
        }
        if !whole && bytes.done as usize == sample.len() && counts.len() > 1 {
            // It is cut off.
            counts.pop();
        }
        let cells = *counts.first().filter(|cells| **cells > 1)?;
        // In thousandths, so that it can be compared.
        Some((counts.iter().filter(|count| **count == cells).count() * 1000 / counts.len(), cells))
    };
    if tabs && fits(b'\t').is_some() {
        return b'\t';
    }
    let best = DELIMITERS.iter().rev().filter_map(|delimiter| Some((fits(*delimiter)?, *delimiter)));
    best.max_by_key(|(fit, _)| *fit).map_or(if tabs { b'\t' } else { b',' }, |(_, delimiter)| delimiter)
}

/// One record, taken apart.
struct Record {
    parser: Reader,
    output: Vec<u8>,
    /// Where the cells end in `output`.
    ends: Vec<usize>,
    line: usize,
    start: u64,
}

impl Record {
    fn new(delimiter: u8) -> Record {
        let parser = ReaderBuilder::new().delimiter(delimiter).build();
        Record { parser, output: Vec::new(), ends: Vec::new(), line: 1, start: 0 }
    }

    /// Reads the next record; false at the end.
    fn read(&mut self, bytes: &mut BufferedBytes) -> Result<bool> {
        bytes.skip_while(|b| matches!(b, b'\r' | b'\n'))?;
        self.parser.reset();
        (self.line, self.start) = (bytes.line, bytes.begin_row());
        self.output.clear();
        self.ends.clear();
        if bytes.peek()?.is_none() {
            return Ok(false);
        }
        let (mut written, mut cells) = (0, 0);
        loop {
            let available = bytes.fill()?;
            let last = available.is_empty();
            // At the end of the file a line end is made up: if the record goes on behind it, its quote is open.
            let input = if last { &b"\n"[..] } else { available };
            self.output.resize((written + input.len()).max(256), 0);
            self.ends.resize((cells + 16).max(2 * cells), 0);
            let (result, taken, out, ends) =
                self.parser.read_record(input, &mut self.output[written..], &mut self.ends[cells..]);
            (written, cells) = (written + out, cells + ends);
            if !last {
                bytes.consume_lines(taken);
            }
            bytes.check_size(self.line, (bytes.done - self.start) as usize)?;
            if cells > MAX_COLUMNS {
                bytes.cut = true;
                let message = format!("the row has more than {MAX_COLUMNS} columns: the file may not be a table");
                return Err(bytes.row_error(self.line, message));
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty if last => {
                    return Err(bytes.row_error(
                        self.line,
                        "a quote opens in this row and is never closed: the rest of the file belongs to it",
                    ));
                }
                _ => {}
            }
        }
        self.output.truncate(written);
        self.ends.truncate(cells);
        Ok(true)
    }

    fn cells(&self) -> std::result::Result<impl Iterator<Item = &str>, String> {
        let text =
            std::str::from_utf8(&self.output).map_err(|_| "the row is not UTF-8 text: save the file as UTF-8")?;
        if text.contains('\0') {
            return Err("the row holds a zero byte: the file is not plain text".into());
        }
        // A delimiter is one byte of ASCII, so that cells end between characters.
        let mut start = 0;
        Ok(self.ends.iter().map(move |end| text.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default()))
    }
}
