//! Reading columns with errors that say what was expected and what was found.

use serde_json::Value;

use super::{Fields, Reading, Reason};
use crate::engine::data::rows::describe;

/// A row, with the names under which its fields are found.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub row: &'a Fields,
    pub reading: &'a Reading,
}

impl<'a> View<'a> {
    /// The column of a field.
    pub fn column(&self, field: &'static str) -> &'a str {
        self.reading.column(field)
    }

    /// What the row has in it, unless that is null.
    pub fn get(&self, field: &'static str) -> Option<&'a Value> {
        self.row.get(self.column(field)).filter(|value| !value.is_null())
    }

    /// A field that must be there.
    pub fn required(&self, field: &'static str) -> Result<&'a Value, Reason> {
        required(self.row, self.column(field))
    }

    /// A text that must be there.
    pub fn text(&self, field: &'static str) -> Result<&'a str, Reason> {
        text(self.row, self.column(field))
    }

    /// A text that may be absent, null or empty, which all mean the same.
    pub fn optional_text(&self, field: &'static str) -> Result<Option<&'a str>, Reason> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(self.column(field), other, "a text")),
        }
    }

    /// Tools: a list of schemas, or a text that holds such a list.
    pub fn tools(&self) -> Result<Option<Value>, Reason> {
        let wrong = |found: &Value| Err(wrong_type(self.column("tools"), found, "a list of tool schemas"));
        match self.get("tools") {
            None => Ok(None),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(list @ Value::Array(_)) => Ok(Some(list.clone())),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(found @ Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Array(list)) if list.is_empty() => Ok(None),
                Ok(list @ Value::Array(_)) => Ok(Some(list)),
                _ => wrong(found),
            },
            Some(other) => wrong(other),
        }
    }
}

/// Names in words: `` `a`, `b` and `c` ``.
pub fn and(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

/// Columns in words: ``the columns `a`, `b` ``.
pub fn columns<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let all: Vec<&String> = names.collect();
    let names: Vec<String> = all.iter().take(12).map(|name| format!("`{name}`")).collect();
    let more = if all.len() > names.len() { ", …" } else { "" };
    match names.len() {
        0 => "no columns".into(),
        1 => format!("the column {}", names[0]),
        _ => format!("the columns {}{more}", names.join(", ")),
    }
}

/// A column that must be there.
pub fn required<'a>(row: &'a Fields, name: &str) -> Result<&'a Value, Reason> {
    row.get(name).ok_or_else(|| format!("there is no `{name}`; found {}", columns(row.keys())))
}

/// A column of another type than it should be.
pub fn wrong_type(name: &str, found: &Value, expected: &str) -> Reason {
    format!("`{name}` is {}; expected {expected}", describe(found))
}

/// A text that must be there.
pub fn text<'a>(row: &'a Fields, name: &str) -> Result<&'a str, Reason> {
    let value = required(row, name)?;
    value.as_str().ok_or_else(|| wrong_type(name, value, "a text"))
}
