//! Lists of messages: `messages: [{role, content, tool_calls?}]` as OpenAI, TRL and MLX have it, and
//! `conversations: [{from, value}]` as ShareGPT and LLaMA-Factory have it. Files mix the two, so one reader takes both.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::fields::{self, View, wrong_type};
use super::names::{CONTENT_KEYS, ROLE_KEYS};
use super::{Conversation, Fields, Reason};
use crate::engine::data::Message;
use crate::engine::data::rows::describe;

/// A row that is a list of messages.
pub fn read(view: &View) -> Result<Conversation, Reason> {
    let mut messages = list(view, view.required("messages")?, view.column("messages"))?;
    add_system(view, &mut messages)?;
    Ok(Conversation { messages, tools: view.tools()? })
}

/// Puts the row's system prompt, if it has one, before messages that have none.
pub fn add_system(view: &View, messages: &mut Vec<Message>) -> Result<(), Reason> {
    if let Some(system) = view.optional_text("system")?
        && messages.first().is_none_or(|first| first.role != "system")
    {
        messages.insert(0, Message::system(system));
    }
    Ok(())
}

/// The list as it stands, or the one that a text holds as JSON, as in a cell of a table.
pub fn entries(value: &Value) -> Option<Cow<'_, [Value]>> {
    match value {
        Value::Array(list) => Some(Cow::Borrowed(list)),
        Value::String(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).ok().map(Cow::<[Value]>::Owned)
        }
        _ => None,
    }
}

/// A list of messages in the column `name`.
pub fn list(view: &View, value: &Value, name: &str) -> Result<Vec<Message>, Reason> {
    let Some(list) = entries(value) else {
        let reason = wrong_type(name, value, "a list of messages");
        let python = value.as_str().is_some_and(|text| text.trim_start().starts_with("[{'"));
        let why = if python {
            " in JSON, and this one is as Python prints it: save the rows as .jsonl or .parquet"
        } else {
            ""
        };
        return Err(reason + why);
    };
    if list.is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    let read = |(i, entry): (usize, &Value)| match entry {
        Value::Object(entry) => message(view, entry).map_err(|reason| format!("{name}[{i}]: {reason}")),
        other => Err(format!("{name}[{i}] is {}; expected an object", describe(other))),
    };
    list.iter().enumerate().map(read).collect()
}

/// One message.
pub fn message(view: &View, entry: &Fields) -> Result<Message, Reason> {
    let (role_key, content_key) = keys(view, entry);
    let role = match fields::text(entry, role_key)? {
        "" => return Err(format!("`{role_key}` is empty")),
        word => role(view, word)?,
    };
    let mut extra = entry.clone();
    for key in [role_key, content_key, "train", "weight"] {
        extra.remove(key);
    }
    let has = |key: &str| entry.get(key).is_some_and(|v| !v.is_null());
    let mut message = Message { role, content: None, train: train(entry)?, extra };
    message.content = match entry.get(content_key) {
        None | Some(Value::Null) if message.is_assistant() && (has("tool_calls") || has("function_call")) => None,
        None => return Err(format!("there is no `{content_key}`; found {}", fields::columns(entry.keys()))),
        Some(Value::String(text)) if message.role == FUNCTION_CALL => {
            message.role = "assistant".into();
            message.extra.insert("tool_calls".into(), calls(content_key, text)?);
            None
        }
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(parts)) => Some(joined(content_key, parts)?),
        Some(other) => return Err(wrong_type(content_key, other, "a text")),
    };
    Ok(message)
}

/// Under which keys the role and the content stand: those of the file, or those of the other shape where a message has
/// that one.
fn keys<'k>(view: &View<'k>, entry: &Fields) -> (&'k str, &'k str) {
    let (role, content) = (view.column("role"), view.column("content"));
    if entry.contains_key(role) {
        let other = || CONTENT_KEYS.iter().find(|key| entry.contains_key(**key)).copied();
        let by_hand = view.reading.columns.contains_key("content");
        let content = if by_hand || entry.contains_key(content) { content } else { other().unwrap_or(content) };
        return (role, content);
    }
    let known = |keys: &'static [&'static str]| keys[..2].iter().find(|key| entry.contains_key(**key)).copied();
    known(ROLE_KEYS).zip(known(CONTENT_KEYS)).unwrap_or((role, content))
}

/// The role of an assistant's turn whose text is a tool call in JSON.
const FUNCTION_CALL: &str = "function_call";

/// The role that a word stands for.
fn role(view: &View, word: &str) -> Result<String, Reason> {
    if let Some(role) = view.reading.role(word) {
        return Ok(role.to_string());
    }
    let lower = word.trim().to_lowercase();
    let role = match lower.as_str() {
        "human" | "user" | "prompter" => "user",
        // What other tools call the model; templates know it as the assistant.
        "gpt" | "chatgpt" | "assistant" | "model" | "bot" | "ai" => "assistant",
        "system" => "system",
        "tool" | "observation" => "tool",
        FUNCTION_CALL => FUNCTION_CALL,
        // Roles of some templates' own.
        "developer" | "function" | "ipython" | "tool_call" | "tool_response" | "function_response" | "context"
        | "documents" | "document" | "control" | "thinking" | "thought" | "reference" => return Ok(word.to_string()),
        _ => {
            return Err(format!("the role {word:?} is not known: say which role it stands for, such as user"));
        }
    };
    Ok(role.to_string())
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
fn joined(name: &str, parts: &[Value]) -> Result<String, Reason> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Value::String(text) => whole.push_str(text),
            Value::Object(part) => match part.get("type").and_then(Value::as_str) {
                Some("text") | None => whole.push_str(fields::text(part, "text")?),
                Some(other) => {
                    return Err(format!("`{name}` has a part of type {other:?}; only text is trained"));
                }
            },
            other => return Err(wrong_type(name, other, "a list of text parts")),
        }
    }
    Ok(whole)
}

/// A tool call is JSON inside the text: one call, or a list of calls.
fn calls(name: &str, text: &str) -> Result<Value, Reason> {
    let expected = || wrong_type(name, &Value::from(text), "a JSON object with `name` and `arguments`");
    let parsed: Value = serde_json::from_str(text).map_err(|_| expected())?;
    let calls = match parsed {
        Value::Array(calls) if calls.is_empty() => return Err(expected()),
        Value::Array(calls) => calls,
        one => vec![one],
    };
    let as_tool_call = |call: Value| match &call {
        Value::Object(fields) if fields.contains_key("name") => Ok(json!({"type": "function", "function": call})),
        _ => Err(expected()),
    };
    calls.into_iter().map(as_tool_call).collect::<Result<Vec<_>, _>>().map(Value::from)
}
