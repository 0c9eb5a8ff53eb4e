//! `conversations: [{from, value}]`, as ShareGPT and LLaMA-Factory have it, with `system` and `tools` beside it.

use serde_json::{Value, json};

use super::fields::{self, optional_text, required, text, wrong_type};
use super::{Conversation, Fields, Reason};
use crate::engine::data::Message;
use crate::engine::data::rows::describe;

pub fn read(row: &Fields) -> Result<Conversation, Reason> {
    let mut messages = list(required(row, "conversations")?)?;
    if let Some(system) = optional_text(row, "system")?
        && messages[0].role != "system"
    {
        messages.insert(0, Message::system(system));
    }
    Ok(Conversation { messages, tools: fields::tools(row)? })
}

fn list(value: &Value) -> Result<Vec<Message>, Reason> {
    let Value::Array(list) = value else {
        return Err(wrong_type("conversations", value, "a list of {from, value}"));
    };
    if list.is_empty() {
        return Err("`conversations` is empty".into());
    }
    // Some files use this column's name with the other shape.
    if list[0].get("role").is_some() {
        return super::messages::list(value, "conversations");
    }
    let read = |(i, entry): (usize, &Value)| match entry {
        Value::Object(entry) => message(entry).map_err(|reason| format!("conversations[{i}]: {reason}")),
        other => Err(format!("conversations[{i}] is {}; expected an object", describe(other))),
    };
    list.iter().enumerate().map(read).collect()
}

pub fn message(entry: &Fields) -> Result<Message, Reason> {
    let value = text(entry, "value")?;
    let role = match text(entry, "from")? {
        "human" | "user" => "user",
        "gpt" | "chatgpt" | "assistant" | "model" | "bot" => "assistant",
        "system" => "system",
        "observation" | "tool" => "tool",
        "function_call" => return call(value),
        other => {
            return Err(format!("`from` is {other:?}; expected human, gpt, system, function_call or observation"));
        }
    };
    Ok(Message::new(role, value))
}

/// A tool call is JSON inside the text: one call, or a list of calls.
fn call(value: &str) -> Result<Message, Reason> {
    let expected = || wrong_type("value", &Value::from(value), "a JSON object with `name` and `arguments`");
    let parsed: Value = serde_json::from_str(value).map_err(|_| expected())?;
    let calls = match parsed {
        Value::Array(calls) => calls,
        one => vec![one],
    };
    let as_tool_call = |call: Value| match &call {
        Value::Object(fields) if fields.contains_key("name") => Ok(json!({"type": "function", "function": call})),
        _ => Err(expected()),
    };
    let calls = calls.into_iter().map(as_tool_call).collect::<Result<Vec<_>, _>>()?;
    let mut message = Message { role: "assistant".into(), ..Message::default() };
    message.extra.insert("tool_calls".into(), calls.into());
    Ok(message)
}
