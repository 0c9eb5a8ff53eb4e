//! Rows of two answers, of which the chosen one is trained on: `prompt?, chosen, rejected`, with texts or messages, or one
//! message each beside `conversations`.

use serde_json::Value;

use super::fields::{View, wrong_type};
use super::messages::{add_system, list, message};
use super::pairs::{side, with_input};
use super::{Conversation, Reason};
use crate::engine::data::Message;

/// The prompt and the chosen answer. Only that answer is trained.
pub fn read(view: &View) -> Result<Conversation, Reason> {
    let mut asked = asked(view)?;
    for earlier in asked.iter_mut().filter(|m| m.is_assistant()) {
        earlier.train = Some(false);
    }
    let (name, value) = (view.column("chosen"), view.required("chosen")?);
    let mut answer = match value {
        Value::String(_) if asked.is_empty() => {
            return Err(format!(
                "`{name}` is a text, and nothing says what was asked: there is no `{}`",
                view.column("prompt")
            ));
        }
        Value::String(text) => vec![Message::assistant(text)],
        Value::Object(entry) => vec![message(view, entry).map_err(|reason| format!("{name}: {reason}"))?],
        Value::Array(_) => whole(view, value, name)?,
        other => return Err(wrong_type(name, other, "a text, a message or a list of messages")),
    };
    // Many data sets give the whole conversation here, and what was asked a second time beside it.
    let repeats = answer.iter().any(|m| m.role == "user");
    if repeats && !asked.is_empty() {
        let last = asked.iter().rev().find(|m| m.role == "user").and_then(|m| m.content.as_deref());
        if !answer.iter().any(|m| m.role == "user" && m.content.as_deref().map(str::trim) == last.map(str::trim)) {
            return Err(format!(
                "`{name}` is a whole conversation, but not one in which `{}` is asked",
                view.column("prompt")
            ));
        }
        asked.clear();
    }
    asked.append(&mut answer);
    add_system(view, &mut asked)?;
    Ok(Conversation { messages: asked, tools: view.tools()? })
}

/// What stands before the answer.
fn asked(view: &View) -> Result<Vec<Message>, Reason> {
    if let Some(value) = view.get("messages") {
        return list(view, value, view.column("messages"));
    }
    match view.get("prompt") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Message::user(with_input(view, text)?)]),
        Some(_) => side(view, "prompt", "user"),
    }
}

/// A list of messages. What it has in common with the rejected list is context, not the answer.
fn whole(view: &View, value: &Value, name: &str) -> Result<Vec<Message>, Reason> {
    let mut messages = list(view, value, name)?;
    let rejected = match view.get("rejected") {
        Some(rejected @ Value::Array(_)) => list(view, rejected, view.column("rejected"))?,
        _ => Vec::new(),
    };
    let common = messages.iter().zip(&rejected).take_while(|(chosen, rejected)| chosen == rejected).count();
    let common = common.min(messages.len() - 1);
    for shared in messages[..common].iter_mut().filter(|m| m.is_assistant()) {
        shared.train = Some(false);
    }
    Ok(messages)
}
