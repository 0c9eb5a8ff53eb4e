//! The stream of rows.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Row;
use crate::engine::{Error, Result};

/// Longest row in bytes. Far above any training row; it keeps a file that is not what it claims to be from filling the
/// memory.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Iterator over the rows of a source. After an error it ends.
pub struct Rows {
    bytes: BufferedBytes,
    layout: Layout,
    index: usize,
    finished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One JSON object a line.
    Lines,
    /// A JSON array of objects.
    Array,
    /// One document a line.
    Text,
}

impl Rows {
    pub(super) fn new(mut bytes: BufferedBytes, plain_text: bool) -> Result<Rows> {
        bytes.check_encoding()?;
        let layout = if plain_text {
            Layout::Text
        } else {
            bytes.skip_whitespace()?;
            match bytes.peek()? {
                Some(b'[') => {
                    bytes.next()?;
                    Layout::Array
                }
                Some(b'{') | None => Layout::Lines,
                Some(_) => {
                    return Err(bytes.row_error(
                        bytes.line,
                        "expected JSON: one object a line, or an array of objects (plain text belongs in a .txt file)",
                    ));
                }
            }
        };
        Ok(Rows { bytes, layout, index: 0, finished: false })
    }

    /// Bytes of the source that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.done
    }

    /// Goes on behind a row that is not what it should be. Only where rows are lines: after a mistake in an array nobody
    /// knows where its next row begins. False if that is so.
    pub(in crate::engine::data) fn resume(&mut self) -> bool {
        self.finished &= self.layout == Layout::Array;
        !self.finished
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let before = self.bytes.done;
        let found = match self.layout {
            Layout::Lines => self.next_line()?,
            Layout::Array => self.next_element()?,
            Layout::Text => self.next_document()?,
        };
        Ok(found.map(|(line, fields)| {
            let row = Row { index: self.index, file: 0, line, bytes: before..self.bytes.done, fields };
            self.index += 1;
            row
        }))
    }

    fn next_line(&mut self) -> Result<Option<(usize, Map<String, Value>)>> {
        let mut buffer = Vec::new();
        loop {
            let line = self.bytes.line;
            if !self.bytes.read_line(&mut buffer)? {
                return Ok(None);
            }
            let trimmed = buffer.trim_ascii();
            if !trimmed.is_empty() {
                return self.object(line, trimmed).map(|fields| Some((line, fields)));
            }
        }
    }

    fn next_document(&mut self) -> Result<Option<(usize, Map<String, Value>)>> {
        let mut buffer = Vec::new();
        loop {
            let line = self.bytes.line;
            if !self.bytes.read_line(&mut buffer)? {
                return Ok(None);
            }
            let text = std::str::from_utf8(&buffer)
                .map_err(|_| self.bytes.row_error(line, "the line is not UTF-8 text: save the file as UTF-8"))?;
            let text = text.trim_end();
            if !text.trim().is_empty() {
                return Ok(Some((line, Map::from_iter([("text".to_string(), Value::from(text))]))));
            }
        }
    }

    fn next_element(&mut self) -> Result<Option<(usize, Map<String, Value>)>> {
        let bytes = &mut self.bytes;
        bytes.skip_whitespace()?;
        if bytes.peek()? == Some(b']') {
            return self.end_of_array();
        }
        if self.index > 0 {
            // `read_element` stops in front of a comma or the closing bracket.
            bytes.next()?;
            bytes.skip_whitespace()?;
        }
        let line = bytes.line;
        let mut element = Vec::new();
        let whole = bytes.read_element(&mut element)?;
        let trimmed = element.trim_ascii();
        if !whole && serde_json::from_slice::<Value>(trimmed).map_or_else(|e| e.is_eof(), |_| true) {
            return Err(bytes.row_error(line, "the file ends within the array: is it cut off?"));
        }
        if trimmed.is_empty() {
            return Err(bytes.row_error(line, "expected a row between the commas, found nothing"));
        }
        self.object(line, trimmed).map(|fields| Some((line, fields)))
    }

    fn end_of_array<T>(&mut self) -> Result<Option<T>> {
        let bytes = &mut self.bytes;
        bytes.next()?;
        bytes.skip_whitespace()?;
        match bytes.peek()? {
            None => Ok(None),
            Some(_) => Err(bytes.row_error(bytes.line, "the array has ended, but the file goes on")),
        }
    }

    /// Parses one row.
    fn object(&self, line: usize, text: &[u8]) -> Result<Map<String, Value>> {
        if std::str::from_utf8(text).is_err() {
            return Err(self.bytes.row_error(line, "the row is not UTF-8 text: save the file as UTF-8"));
        }
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(other) => {
                let found = describe(&other);
                Err(self.bytes.row_error(line, format!("expected an object with columns, found {found}")))
            }
            Err(e) => Err(self.bytes.row_error(line, self.syntax_message(line, &e))),
        }
    }

    fn syntax_message(&self, line: usize, e: &serde_json::Error) -> String {
        if self.layout == Layout::Lines && e.is_eof() {
            return "the row does not end on its line: one object a line is expected, or an array of objects".into();
        }
        // serde counts from the row's own start and appends the place; the place in the file is what helps.
        let whole = e.to_string();
        let reason = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(reason, _)| reason);
        match self.layout {
            Layout::Array => format!("not valid JSON: {reason} (line {})", line + e.line().saturating_sub(1)),
            _ => format!("not valid JSON: {reason} (column {})", e.column()),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.finished {
            return None;
        }
        let row = self.next_row().transpose();
        self.finished = !matches!(row, Some(Ok(_)));
        row
    }
}

/// A JSON value in words, for messages: `a number`, `a list`, `the text "abc…"`.
pub(in crate::engine::data) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() > 24 => format!("the text {:?}…", s.chars().take(24).collect::<String>()),
        Value::String(s) => format!("the text {s:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Bytes with a look-ahead of one and a line count.
pub(super) struct BufferedBytes {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    /// Line of the next byte, from 1.
    line: usize,
    /// Bytes that were read.
    done: u64,
}

impl BufferedBytes {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, path: &Path) -> BufferedBytes {
        BufferedBytes { reader, path: path.to_path_buf(), line: 1, done: 0 }
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.done += bytes as u64;
    }

    fn row_error(&self, line: usize, message: impl Into<String>) -> Error {
        Error::Row { path: self.path.clone(), line, message: message.into() }
    }

    fn fill(&mut self) -> Result<&[u8]> {
        // `fill_buf` twice, because the borrow of the first lives on in the error path.
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read the data file", &self.path)(e)),
            }
        }
        self.reader.fill_buf().map_err(Error::io("read the data file", &self.path))
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.fill()?.first().copied())
    }

    fn next(&mut self) -> Result<Option<u8>> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.consume(1);
            self.line += usize::from(byte == b'\n');
        }
        Ok(byte)
    }

    fn skip_whitespace(&mut self) -> Result<()> {
        while self.peek()?.is_some_and(|b| b.is_ascii_whitespace()) {
            self.next()?;
        }
        Ok(())
    }

    /// Skips a UTF-8 byte order mark; recognises files of other kinds.
    fn check_encoding(&mut self) -> Result<()> {
        let head = self.fill()?;
        let message = match head {
            [0xEF, 0xBB, 0xBF, ..] => {
                self.consume(3);
                return Ok(());
            }
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "the file is UTF-16 text: save it as UTF-8",
            [0x1F, 0x8B, ..] => "the file is compressed with gzip: unpack it first",
            [0x28, 0xB5, 0x2F, 0xFD, ..] => "the file is compressed with zstd: unpack it first",
            [b'P', b'K', 3, 4, ..] => "the file is a zip archive: unpack it first",
            [b'P', b'A', b'R', b'1', ..] => "Parquet files are not read: convert the rows to .jsonl first",
            _ => return Ok(()),
        };
        Err(Error::file(message, &self.path))
    }

    /// Reads up to and without the end of the line; `false` at the end of the file.
    fn read_line(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        let start = self.line;
        let mut any = false;
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.unwrap_or(available.len());
            into.extend_from_slice(&available[..taken]);
            self.consume(end.map_or(taken, |at| at + 1));
            self.check_size(start, into.len())?;
            if end.is_some() {
                self.line += 1;
                break;
            }
        }
        Ok(any)
    }

    /// Reads one array element, up to and without the comma or bracket behind it; `false` when the file ends first.
    /// Brackets are only counted: whether they match is for the JSON parser to say.
    fn read_element(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        let start = self.line;
        let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(false);
            }
            let mut ended = None;
            for (at, &byte) in available.iter().enumerate() {
                if in_string {
                    in_string = escaped || byte != b'"';
                    escaped = !escaped && byte == b'\\';
                    continue;
                }
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b',' | b']' if depth == 0 => {
                        ended = Some(at);
                        break;
                    }
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            let taken = ended.unwrap_or(available.len());
            let newlines = available[..taken].iter().filter(|b| **b == b'\n').count();
            into.extend_from_slice(&available[..taken]);
            self.consume(taken);
            self.line += newlines;
            self.check_size(start, into.len())?;
            if ended.is_some() {
                return Ok(true);
            }
        }
    }

    fn check_size(&self, line: usize, bytes: usize) -> Result<()> {
        if bytes > MAX_ROW_BYTES {
            return Err(self.row_error(line, format!("the row is longer than {} MiB", MAX_ROW_BYTES >> 20)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Reads through a buffer of 3 bytes, so that every construct crosses its end.
    fn read(content: &[u8], plain_text: bool) -> Result<Vec<Row>> {
        let owned = std::io::Cursor::new(content.to_vec());
        let reader = Box::new(BufReader::with_capacity(3, owned));
        // The signatures of file kinds need four bytes in the first read, as any real buffer has.
        if content.len() >= 4 && !content.starts_with(b"[") && !content.starts_with(b"{") {
            let reader = Box::new(std::io::Cursor::new(content.to_vec()));
            return Rows::new(BufferedBytes::new(reader, Path::new("d")), plain_text)?.collect();
        }
        Rows::new(BufferedBytes::new(reader, Path::new("d")), plain_text)?.collect()
    }

    fn error(content: &[u8]) -> String {
        read(content, false).unwrap_err().to_string()
    }

    fn lines_and_values(rows: &[Row]) -> Vec<(usize, usize, i64)> {
        rows.iter().map(|r| (r.index, r.line, r.fields["a"].as_i64().unwrap())).collect()
    }

    #[test]
    fn json_lines_skip_blank_lines_and_keep_line_numbers() {
        let rows = read(b"{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"a\":3}", false).unwrap();
        assert_eq!(lines_and_values(&rows), [(0, 1, 1), (1, 4, 2), (2, 5, 3)]);
        let rows = read(b"\xEF\xBB\xBF\n{\"a\":1}\n", false).unwrap();
        assert_eq!(lines_and_values(&rows), [(0, 2, 1)]);
    }

    #[test]
    fn arrays_keep_the_line_where_a_row_begins() {
        let text = "[\n  {\"a\": 1, \"s\": \"],}\\\"\\\\\"},\n\n  {\n \"a\":\n2, \"n\": [[1],{}]},{\"a\":3}\n]\n";
        assert_eq!(lines_and_values(&read(text.as_bytes(), false).unwrap()), [(0, 2, 1), (1, 4, 2), (2, 6, 3)]);
        assert!(read(b"[ ]", false).unwrap().is_empty());
        assert!(read(b"", false).unwrap().is_empty());
    }

    #[test]
    fn text_files_give_one_document_a_line() {
        let rows = read("first line \n\n  zwei\n".as_bytes(), true).unwrap();
        let seen: Vec<_> = rows.iter().map(|r| (r.line, r.fields["text"].as_str().unwrap())).collect();
        assert_eq!(seen, [(1, "first line"), (3, "  zwei")]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(error(b"{\"a\":1}\n{\"a\" 2}\n"), "line 2: not valid JSON: expected `:` (column 6): d");
        assert_eq!(error(b"{\"a\":1}\n[1]\n"), "line 2: expected an object with columns, found a list: d");
        assert_eq!(
            error(b"{\n\"a\":1}\n"),
            "line 1: the row does not end on its line: one object a line is expected, or an array of objects: d"
        );
        assert_eq!(error(b"[{\"a\":1},\n{\"a\":\n2]}]"), "line 2: not valid JSON: expected `,` or `}` (line 3): d");
        assert_eq!(error(b"[{\"a\":1},\n{\"a\":2"), "line 2: the file ends within the array: is it cut off?: d");
        assert_eq!(error(b"[{\"a\":1},\n"), "line 2: the file ends within the array: is it cut off?: d");
        assert_eq!(error(b"[{\"a\":1},\n]"), "line 2: expected a row between the commas, found nothing: d");
        assert_eq!(error(b"[{\"a\":1}]\n[]"), "line 2: the array has ended, but the file goes on: d");
        assert_eq!(error(b"[3]"), "line 1: expected an object with columns, found the number 3: d");
        assert_eq!(error(b"{\"a\":\"\xFF\"}"), "line 1: the row is not UTF-8 text: save the file as UTF-8: d");
        assert!(error(b"question,answer\n1,2\n").starts_with("line 1: expected JSON"));
        assert_eq!(error(b"\xFF\xFE{\0"), "the file is UTF-16 text: save it as UTF-8: d");
        assert_eq!(error(b"\x1F\x8B\x08\0"), "the file is compressed with gzip: unpack it first: d");
    }

    #[test]
    fn the_iterator_ends_after_an_error() {
        let bytes = BufferedBytes::new(Box::new(&b"{\"a\":1}\nx\n{\"a\":2}\n"[..]), Path::new("d"));
        let mut rows = Rows::new(bytes, false).unwrap();
        assert!(rows.next().unwrap().is_ok());
        assert!(rows.next().unwrap().is_err());
        assert!(rows.next().is_none());
    }
}
