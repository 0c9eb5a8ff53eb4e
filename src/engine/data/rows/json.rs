//! JSON rows: one object a line, or an array of objects.

use serde_json::{Map, Value};

use super::Found;
use super::bytes::BufferedBytes;
use crate::engine::Result;

/// How objects follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One object a line.
    Lines,
    /// An array of objects.
    Array,
}

/// Tells lines from an array, and takes the bracket of the latter.
pub(super) fn shape(bytes: &mut BufferedBytes) -> Result<Shape> {
    bytes.skip_whitespace()?;
    match bytes.peek()? {
        Some(b'[') => {
            bytes.consume(1);
            Ok(Shape::Array)
        }
        Some(b'{') | None => Ok(Shape::Lines),
        Some(_) => Err(bytes.row_error(
            bytes.line,
            "expected JSON: one object a line, or an array of objects (a table belongs in a .csv file, plain text in \
             a .txt file)",
        )),
    }
}

/// The next object of a file with one a line.
pub(super) fn next_line(bytes: &mut BufferedBytes, buffer: &mut Vec<u8>) -> Result<Option<Found>> {
    bytes.skip_whitespace()?;
    let (line, start, column) = (bytes.line, bytes.begin_row(), bytes.column());
    if !bytes.read_line(buffer)? {
        return Ok(None);
    }
    let fields = object(buffer.trim_ascii_end()).map_err(|e| {
        let message = match e {
            Wrong::Syntax { ended: true, .. } => {
                "the row does not end on its line: one object a line is expected, or an array of objects".into()
            }
            Wrong::Syntax { reason, before, .. } => {
                format!("not valid JSON: {reason} (column {})", column + before.chars().count())
            }
            Wrong::Other(message) => message,
        };
        bytes.row_error(line, message)
    })?;
    Ok(Some(Found { line, bytes: start..bytes.done, fields }))
}

/// The next object of an array. `first` tells whether none came before.
pub(super) fn next_element(bytes: &mut BufferedBytes, buffer: &mut Vec<u8>, first: bool) -> Result<Option<Found>> {
    bytes.skip_whitespace()?;
    if bytes.peek()? == Some(b']') {
        return end_of_array(bytes);
    }
    if !first {
        // `read_element` stops in front of a comma or the closing bracket.
        bytes.consume(1);
        bytes.skip_whitespace()?;
    }
    let (line, start, column) = (bytes.line, bytes.begin_row(), bytes.column());
    // Where brackets and quotes add up, the next row begins behind the comma, also if this one is none.
    bytes.lost = true;
    let whole = read_element(bytes, buffer)?;
    bytes.lost = !whole;
    let text = buffer.trim_ascii_end();
    let found = object(text);
    if !whole && matches!(found, Ok(_) | Err(Wrong::Syntax { ended: true, .. })) {
        return Err(bytes.row_error(line, "the file ends within the array: is it cut off?"));
    }
    if text.is_empty() {
        return Err(bytes.row_error(line, "expected a row between the commas, found nothing"));
    }
    let fields = found.map_err(|e| match e {
        Wrong::Syntax { reason, before, .. } => {
            // The row's first line begins somewhere in the file's line.
            let (lines, last) = (before.matches('\n').count(), before.rsplit('\n').next().unwrap_or(""));
            let column = last.chars().count() + if lines == 0 { column } else { 0 };
            bytes.row_error(line, format!("not valid JSON: {reason} (line {}, column {column})", line + lines))
        }
        Wrong::Other(message) => bytes.row_error(line, message),
    })?;
    Ok(Some(Found { line, bytes: start..bytes.done, fields }))
}

fn end_of_array(bytes: &mut BufferedBytes) -> Result<Option<Found>> {
    bytes.consume(1);
    bytes.skip_whitespace()?;
    match bytes.peek()? {
        None => Ok(None),
        Some(_) => {
            bytes.begin_row();
            bytes.lost = true;
            Err(bytes.row_error(bytes.line, "the array has ended, but the file goes on"))
        }
    }
}

/// Reads one array element, up to and without the comma or bracket behind it; `false` when the file ends first. Brackets
/// are only counted: whether they match is for the JSON parser to say.
fn read_element(bytes: &mut BufferedBytes, into: &mut Vec<u8>) -> Result<bool> {
    into.clear();
    let start = bytes.line;
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    loop {
        let available = bytes.fill()?;
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
        into.extend_from_slice(&available[..taken]);
        bytes.consume_lines(taken);
        bytes.check_size(start, into.len())?;
        if ended.is_some() {
            return Ok(true);
        }
    }
}

/// Why a text is no row.
#[derive(Debug)]
pub(super) enum Wrong<'a> {
    /// A mistake behind the text `before`, or the text ended too early.
    Syntax { reason: String, before: std::borrow::Cow<'a, str>, ended: bool },
    /// Something else, in words.
    Other(String),
}

/// Parses one row.
pub(super) fn object(text: &[u8]) -> std::result::Result<Map<String, Value>, Wrong<'_>> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Wrong::Other("the row is not UTF-8 text: save the file as UTF-8".into()));
    };
    let parsed = serde_json::from_str(text);
    // Python's json and pandas write what is missing so.
    let parsed = parsed.or_else(|error| match with_null_for_nan(text) {
        Some(text) => serde_json::from_str(&text).map_err(|_| error),
        None => Err(error),
    });
    match parsed {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Wrong::Other(format!("expected an object with columns, found {}", describe(&other)))),
        Err(e) => {
            // serde counts from the row's own start and appends the place; the place in the file is what helps.
            let whole = e.to_string();
            let reason = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(reason, _)| reason);
            if reason.starts_with("recursion limit") {
                return Err(Wrong::Other("the row is nested more than 127 levels deep: no known format is".into()));
            }
            let line_start = match e.line() {
                0 | 1 => 0,
                line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
            };
            let place = (line_start + e.column()).min(text.len());
            // The column is that of a byte, which may lie within a character.
            let before = String::from_utf8_lossy(&text.as_bytes()[..place]);
            let reason = explained(reason, &text.as_bytes()[..place], &text.as_bytes()[place..]);
            Err(Wrong::Syntax { reason, before, ended: e.is_eof() })
        }
    }
}

/// The parser's reason; for mistakes that people make, what to write instead. `before` ends with what it stumbled over.
fn explained(reason: &str, before: &[u8], after: &[u8]) -> String {
    const PYTHON: [(u8, &[u8], &str); 3] =
        [(b'N', b"one", "None is null"), (b'T', b"rue", "True is true"), (b'F', b"alse", "False is false")];
    let last = before.last().copied();
    let python = PYTHON.iter().find(|(first, rest, _)| last == Some(*first) && after.starts_with(rest));
    match reason {
        _ if last == Some(b'\'') => format!("{reason}: in JSON, names and texts stand in double quotes"),
        _ if python.is_some() => format!("{reason}: in JSON, Python's {}", python.map_or("", |found| found.2)),
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            format!("{reason}: half of a character is written here (a surrogate without its other half)")
        }
        _ => reason.to_string(),
    }
}

/// The text with `null` in the place of each `NaN`, `Infinity` and `-Infinity`; `None` if it has none.
fn with_null_for_nan(text: &str) -> Option<String> {
    const NONE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    if !NONE.iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut changed = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut kept, mut at) = (false, false, 0, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if let Some(word) = NONE.iter().find(|word| text.as_bytes()[at..].starts_with(word.as_bytes())) {
            changed.push_str(&text[kept..at]);
            changed.push_str("null");
            at += word.len();
            kept = at;
            continue;
        }
        at += 1;
    }
    changed.push_str(&text[kept..]);
    (kept > 0).then_some(changed)
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
