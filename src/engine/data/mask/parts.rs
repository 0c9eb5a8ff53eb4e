//! Turns that a template writes in several parts, each with a header and an end of its own: gpt-oss puts thoughts and texts
//! beside a tool call into one channel, answers and calls into another. The model writes all of them, and the headers
//! between them, before it stops.
//!
//! Such templates begin every part with one control token (`<|start|>`), so their text falls apart into pieces, and those
//! that begin like the prompt for an answer are the model's.

use std::ops::Range;

use serde_json::{Value, json};

use super::TurnShape;
use crate::engine::data::template::ChatTemplate;
use crate::engine::data::{Conversation, Message};

/// Whether a template writes a message in several parts: one with thoughts, or with a text and a tool call.
pub(super) fn probe(template: &ChatTemplate, shape: &TurnShape) -> bool {
    let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    [("thinking", json!("thought")), ("reasoning_content", json!("thought")), ("tool_calls", call)].into_iter().any(
        |(key, value)| {
            let mut answer = Message::assistant("answer");
            answer.extra.insert(key.into(), value);
            let rendered = template.render(&[Message::user("question"), answer], None, false);
            rendered.is_ok_and(|rendered| runs(shape, &rendered.text).iter().any(|run| run.len() > 1))
        },
    )
}

/// The trained range of each of the assistant's messages. `None` where the pieces of the text do not say which message
/// they are.
pub(super) fn turns(
    shape: &TurnShape,
    conversation: &Conversation,
    text: &str,
    assistants: &[usize],
) -> Option<Vec<(usize, Range<usize>)>> {
    let opener = shape.opener().filter(|_| shape.parts)?;
    // Whoever says the token in a message could make a part of what is none.
    let said = |message: &Message| {
        message.content.as_deref().is_some_and(|content| content.contains(opener))
            || message.extra.values().any(|value| says(value, opener))
    };
    if conversation.messages.iter().any(said) || conversation.tools.as_ref().is_some_and(|tools| says(tools, opener)) {
        return None;
    }
    let runs = runs(shape, text);
    let groups: Vec<&[usize]> = assistants.chunk_by(|a, b| a + 1 == *b).collect();
    if runs.len() != groups.len() {
        return None;
    }
    let mut turns = Vec::with_capacity(assistants.len());
    for (run, group) in runs.iter().zip(groups) {
        let parts: Vec<Range<usize>> = match (run.as_slice(), group) {
            ([first, .., last], [_]) => Vec::from([Range { start: first.start, end: last.end }]),
            (parts, messages) if parts.len() == messages.len() => parts.to_vec(),
            _ => return None,
        };
        for (turn, part) in group.iter().zip(parts) {
            let range = part.start + shape.generation_prompt.len()..text[..part.end].trim_end().len();
            if range.start > range.end || !shape.ends_turn(&text[range.clone()]) {
                return None;
            }
            turns.push((*turn, range));
        }
    }
    Some(turns)
}

/// The pieces of a text that the model writes, those that follow one another together.
fn runs(shape: &TurnShape, text: &str) -> Vec<Vec<Range<usize>>> {
    let Some(opener) = shape.opener() else { return Vec::new() };
    let starts: Vec<usize> = text.match_indices(opener).map(|(at, _)| at).collect();
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    let mut runs: Vec<Vec<Range<usize>>> = Vec::new();
    let mut follows = false;
    for piece in starts.iter().zip(ends).map(|(start, end)| *start..end) {
        let own = text[piece.start..].starts_with(&shape.generation_prompt);
        match runs.last_mut().filter(|_| follows) {
            Some(run) if own => run.push(piece),
            _ if own => runs.push(vec![piece]),
            _ => {}
        }
        follows = own;
    }
    runs
}

/// Whether a text is somewhere in a value.
fn says(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.contains(text),
        Value::Array(list) => list.iter().any(|value| says(value, text)),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains(text) || says(value, text)),
        _ => false,
    }
}
