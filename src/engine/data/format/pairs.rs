//! Rows of a question and its answer: alpaca, prompt-completion, question-answer.

use serde_json::Value;

use super::fields::{optional_text, required, text, wrong_type};
use super::{Conversation, Fields, Reason};
use crate::engine::data::Message;

/// `instruction, input?, output, system?, history?`. The prompt is the instruction, a line break and the input.
pub fn alpaca(row: &Fields) -> Result<Conversation, Reason> {
    let instruction = text(row, "instruction")?;
    let prompt = match optional_text(row, "input")? {
        Some(input) => format!("{instruction}\n{input}"),
        None => instruction.to_string(),
    };
    let mut messages: Vec<Message> = optional_text(row, "system")?.map(Message::system).into_iter().collect();
    messages.extend(history(row)?);
    messages.push(Message::user(prompt));
    messages.push(Message::assistant(text(row, "output")?));
    Ok(Conversation { messages, tools: None })
}

/// Earlier rounds: a list of pairs of texts.
fn history(row: &Fields) -> Result<Vec<Message>, Reason> {
    let list = match row.get("history") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type("history", other, "a list of pairs of question and answer")),
    };
    let mut messages = Vec::new();
    for (i, round) in list.iter().enumerate() {
        let pair = match round.as_array().map(Vec::as_slice) {
            Some([question, answer]) => question.as_str().zip(answer.as_str()),
            _ => None,
        };
        let Some((question, answer)) = pair else {
            return Err(wrong_type(&format!("history[{i}]"), round, "a pair of texts: question and answer"));
        };
        messages.extend([Message::user(question), Message::assistant(answer)]);
    }
    Ok(messages)
}

/// `prompt, completion`: two texts, or two lists of messages. Answers within the prompt are not trained.
pub fn prompt_completion(row: &Fields) -> Result<Conversation, Reason> {
    let side = |name: &str, role: &str| match required(row, name)? {
        Value::String(text) => Ok(vec![Message::new(role, text)]),
        value @ Value::Array(_) => super::messages::list(value, name),
        other => Err(wrong_type(name, other, "a text or a list of messages")),
    };
    let mut messages = side("prompt", "user")?;
    for message in messages.iter_mut().filter(|m| m.is_assistant()) {
        message.train = Some(false);
    }
    messages.extend(side("completion", "assistant")?);
    Ok(Conversation { messages, tools: super::fields::tools(row)? })
}

/// `question, answer`.
pub fn question_answer(row: &Fields) -> Result<Conversation, Reason> {
    let mut messages: Vec<Message> = optional_text(row, "system")?.map(Message::system).into_iter().collect();
    messages.extend([Message::user(text(row, "question")?), Message::assistant(text(row, "answer")?)]);
    Ok(Conversation { messages, tools: None })
}
