//! Rows of a question and its answer: alpaca, prompt-completion, question-answer.

use serde_json::Value;

use super::fields::{View, wrong_type};
use super::messages::{add_system, entries, list};
use super::{Conversation, Reason};
use crate::engine::data::Message;

/// `instruction, input?, output, system?, history?`. The prompt is the instruction, a line break and the input.
pub fn alpaca(view: &View) -> Result<Conversation, Reason> {
    let mut messages: Vec<Message> = view.optional_text("system")?.map(Message::system).into_iter().collect();
    messages.extend(history(view)?);
    messages.push(Message::user(with_input(view, view.text("instruction")?)?));
    messages.push(Message::assistant(view.text("output")?));
    Ok(Conversation { messages, tools: view.tools()? })
}

/// What is asked, with the input on a new line.
pub fn with_input(view: &View, asked: &str) -> Result<String, Reason> {
    Ok(match view.optional_text("input")? {
        Some(input) => format!("{asked}\n{input}"),
        None => asked.to_string(),
    })
}

/// Earlier rounds: a list of pairs of texts.
fn history(view: &View) -> Result<Vec<Message>, Reason> {
    let (column, Some(value)) = (view.column("history"), view.get("history")) else { return Ok(Vec::new()) };
    let list = match entries(value) {
        Some(list) => list,
        None if value.as_str().is_some_and(|text| text.trim().is_empty()) => return Ok(Vec::new()),
        None => return Err(wrong_type(column, value, "a list of pairs of question and answer")),
    };
    let mut messages = Vec::new();
    for (i, round) in list.iter().enumerate() {
        let pair = match round.as_array().map(Vec::as_slice) {
            Some([question, answer]) => question.as_str().zip(answer.as_str()),
            _ => None,
        };
        let Some((question, answer)) = pair else {
            return Err(wrong_type(&format!("{column}[{i}]"), round, "a pair of texts: question and answer"));
        };
        messages.extend([Message::user(question), Message::assistant(answer)]);
    }
    Ok(messages)
}

/// A text, or a list of messages.
pub fn side(view: &View, field: &'static str, role: &str) -> Result<Vec<Message>, Reason> {
    let (name, value) = (view.column(field), view.required(field)?);
    match value {
        Value::String(text) => Ok(vec![Message::new(role, text)]),
        Value::Array(_) => list(view, value, name),
        other => Err(wrong_type(name, other, "a text or a list of messages")),
    }
}

/// `prompt, completion`: two texts, or two lists of messages. Answers within the prompt are not trained.
pub fn prompt_completion(view: &View) -> Result<Conversation, Reason> {
    let mut messages = side(view, "prompt", "user")?;
    for message in messages.iter_mut().filter(|m| m.is_assistant()) {
        message.train = Some(false);
    }
    messages.extend(side(view, "completion", "assistant")?);
    add_system(view, &mut messages)?;
    Ok(Conversation { messages, tools: view.tools()? })
}

/// `question, answer`.
pub fn question_answer(view: &View) -> Result<Conversation, Reason> {
    let mut messages = vec![Message::user(view.text("question")?), Message::assistant(view.text("answer")?)];
    add_system(view, &mut messages)?;
    Ok(Conversation { messages, tools: view.tools()? })
}
