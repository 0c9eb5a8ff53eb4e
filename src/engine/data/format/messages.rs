//! `messages: [{role, content, tool_calls?}]`, as OpenAI, TRL and MLX have it.

use serde_json::Value;

use super::fields::{self, required, text, wrong_type};
use super::{Conversation, Fields, Reason};
use crate::engine::data::Message;
use crate::engine::data::rows::describe;

pub fn read(row: &Fields) -> Result<Conversation, Reason> {
    let messages = list(required(row, "messages")?, "messages")?;
    Ok(Conversation { messages, tools: fields::tools(row)? })
}

/// A list of messages under the column `name`.
pub fn list(value: &Value, name: &str) -> Result<Vec<Message>, Reason> {
    let Value::Array(list) = value else { return Err(wrong_type(name, value, "a list of messages")) };
    if list.is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    let read = |(i, entry): (usize, &Value)| match entry {
        // Some files mix the two shapes: an entry with `from` and `value` is read as sharegpt.
        Value::Object(entry) if entry.contains_key("from") && !entry.contains_key("role") => {
            super::sharegpt::message(entry).map_err(|reason| format!("{name}[{i}]: {reason}"))
        }
        Value::Object(entry) => message(entry).map_err(|reason| format!("{name}[{i}]: {reason}")),
        other => Err(format!("{name}[{i}] is {}; expected an object", describe(other))),
    };
    list.iter().enumerate().map(read).collect()
}

fn message(entry: &Fields) -> Result<Message, Reason> {
    let role = match text(entry, "role")? {
        "" => return Err("`role` is empty".into()),
        "human" => "user",
        // What other tools call the model; templates know it as the assistant.
        "gpt" | "model" | "bot" => "assistant",
        role => role,
    };
    let has = |key: &str| entry.get(key).is_some_and(|v| !v.is_null());
    let content = match entry.get("content") {
        None | Some(Value::Null) if role == "assistant" && (has("tool_calls") || has("function_call")) => None,
        None => return Err(format!("there is no `content`; found {}", fields::columns(entry))),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(parts)) => Some(joined(parts)?),
        Some(other) => return Err(wrong_type("content", other, "a text")),
    };
    let mut extra = entry.clone();
    for key in ["role", "content", "train", "weight"] {
        extra.remove(key);
    }
    Ok(Message { role: role.to_string(), content, train: train(entry)?, extra })
}

/// `train: true|false`, or OpenAI's `weight: 0|1`.
fn train(entry: &Fields) -> Result<Option<bool>, Reason> {
    match (entry.get("train"), entry.get("weight")) {
        (Some(Value::Bool(train)), _) => Ok(Some(*train)),
        (None | Some(Value::Null), None | Some(Value::Null)) => Ok(None),
        (None | Some(Value::Null), Some(weight)) => match weight.as_f64() {
            Some(0.0) => Ok(Some(false)),
            Some(1.0) => Ok(Some(true)),
            _ => Err(wrong_type("weight", weight, "0 or 1")),
        },
        (Some(other), _) => Err(wrong_type("train", other, "true or false")),
    }
}

/// Text parts, end to end.
fn joined(parts: &[Value]) -> Result<String, Reason> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Value::String(text) => whole.push_str(text),
            Value::Object(fields) => match fields.get("type").and_then(Value::as_str) {
                Some("text") | None => whole.push_str(text(fields, "text")?),
                Some(other) => {
                    return Err(format!("`content` has a part of type {other:?}; only text is trained"));
                }
            },
            other => return Err(wrong_type("content", other, "a list of text parts")),
        }
    }
    Ok(whole)
}
