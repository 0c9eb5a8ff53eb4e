//! Plain text: one document a line, or one a file.

use serde_json::{Map, Value};

use super::Found;
use super::bytes::BufferedBytes;
use crate::engine::Result;

/// The next line that is not blank.
pub(super) fn next_line(bytes: &mut BufferedBytes, buffer: &mut Vec<u8>) -> Result<Option<Found>> {
    loop {
        let (line, start) = (bytes.line, bytes.begin_row());
        if !bytes.read_line(buffer)? {
            return Ok(None);
        }
        if let Some(fields) = document(buffer).map_err(|message| bytes.row_error(line, message))? {
            return Ok(Some(Found { line, bytes: start..bytes.done, fields }));
        }
    }
}

/// The whole file, if it was not read yet.
pub(super) fn whole(bytes: &mut BufferedBytes, buffer: &mut Vec<u8>) -> Result<Option<Found>> {
    buffer.clear();
    let start = bytes.begin_row();
    loop {
        let available = bytes.fill()?;
        let count = available.len();
        if count == 0 {
            break;
        }
        buffer.extend_from_slice(available);
        bytes.consume_lines(count);
        if buffer.len() > super::MAX_ROW_BYTES {
            let limit = super::MAX_ROW_BYTES >> 20;
            return Err(bytes.row_error(1, format!("the document is longer than {limit} MiB: divide it into files")));
        }
    }
    let fields = document(buffer).map_err(|message| bytes.row_error(1, message))?;
    Ok(fields.map(|fields| Found { line: 1, bytes: start..bytes.done, fields }))
}

/// A text as a row; `None` if it is blank. Line ends of Windows become those that models know.
pub(super) fn document(bytes: &[u8]) -> std::result::Result<Option<Map<String, Value>>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8: save the file as UTF-8")?;
    if text.contains('\0') {
        return Err("the text holds a zero byte: the file is not plain text");
    }
    let text = text.trim_end();
    if text.trim_start().is_empty() {
        return Ok(None);
    }
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_string() };
    Ok(Some(Map::from_iter([("text".to_string(), Value::from(text))])))
}
