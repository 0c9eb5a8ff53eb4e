//! Reading columns with errors that say what was expected and what was found.

use serde_json::Value;

use super::{Fields, Reason};
use crate::engine::data::rows::describe;

/// The columns of a row in words: ``the columns `a`, `b` ``.
pub fn columns(row: &Fields) -> String {
    let names: Vec<String> = row.keys().take(12).map(|name| format!("`{name}`")).collect();
    let more = if row.len() > names.len() { ", …" } else { "" };
    match names.len() {
        0 => "no columns".into(),
        1 => format!("the column {}", names[0]),
        _ => format!("the columns {}{more}", names.join(", ")),
    }
}

/// A column that must be there.
pub fn required<'a>(row: &'a Fields, name: &str) -> Result<&'a Value, Reason> {
    row.get(name).ok_or_else(|| format!("there is no `{name}`; found {}", columns(row)))
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

/// A text that may be absent, null or empty, which all mean the same.
pub fn optional_text<'a>(row: &'a Fields, name: &str) -> Result<Option<&'a str>, Reason> {
    match row.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, other, "a text")),
    }
}

/// Tools: a list of schemas, or a text that holds such a list.
pub fn tools(row: &Fields) -> Result<Option<Value>, Reason> {
    let expected = "a list of tool schemas";
    match row.get("tools") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(list @ Value::Array(_)) => Ok(Some(list.clone())),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Array(list)) if list.is_empty() => Ok(None),
            Ok(list @ Value::Array(_)) => Ok(Some(list)),
            _ => Err(wrong_type("tools", &Value::String(text.clone()), expected)),
        },
        Some(other) => Err(wrong_type("tools", other, expected)),
    }
}
