//! What a row becomes, whatever its format: a conversation, or a document.

use serde_json::{Map, Value};

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool` or another role that the model's template knows.
    pub role: String,
    /// The text. `None` for an assistant's turn that is only a tool call.
    pub content: Option<String>,
    /// Whether the turn is trained; `None`: as the run says. Only an assistant's turn can be.
    pub train: Option<bool>,
    /// What else the template may read: `tool_calls`, `tool_call_id`, `name`, `reasoning_content`…
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: Some(content.into()), ..Message::default() }
    }

    /// A message of the person.
    pub fn user(content: impl Into<String>) -> Message {
        Message::new("user", content)
    }

    /// An answer of the model.
    pub fn assistant(content: impl Into<String>) -> Message {
        Message::new("assistant", content)
    }

    /// An instruction that stands above the conversation.
    pub fn system(content: impl Into<String>) -> Message {
        Message::new("system", content)
    }

    /// Whether the model speaks here.
    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// As the chat template sees it: absent values are left out, and reasoning is found under the names that templates
    /// use, as in transformers' `_alias_reasoning_fields`.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("role".into(), self.role.clone().into());
        if let Some(content) = &self.content {
            fields.insert("content".into(), content.clone().into());
        }
        for (key, value) in self.extra.iter().filter(|(_, value)| !value.is_null()) {
            fields.insert(key.clone(), value.clone());
        }
        let reasoning = ["reasoning_content", "thinking", "reasoning"].iter().find_map(|key| fields.get(*key)).cloned();
        if let Some(reasoning) = reasoning {
            fields.entry("thinking").or_insert(reasoning.clone());
            fields.insert("reasoning_content".into(), reasoning);
        }
        Value::Object(fields)
    }
}

/// Messages, and the tools the model may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// In order.
    pub messages: Vec<Message>,
    /// JSON schemas of the tools, as the chat template takes them.
    pub tools: Option<Value>,
}

impl Conversation {
    /// What is unusual about it, each kind once: nothing that prevents training, but something to count and to show.
    pub fn oddities(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        let mut odd = |is_odd: bool, what: &'static str| {
            if is_odd && !found.contains(&what) {
                found.push(what);
            }
        };
        let messages = &self.messages;
        let silent = |m: &Message| m.content.as_deref().is_none_or(|text| text.trim().is_empty());
        let calls = |m: &Message| ["tool_calls", "function_call"].iter().any(|key| m.extra.get(*key).is_some());
        odd(
            messages.iter().find(|m| m.role != "system").is_some_and(Message::is_assistant),
            "the first turn is the assistant's",
        );
        for (i, message) in messages.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &messages[i]);
            let again = before.is_some_and(|before| before.role == message.role);
            match message.role.as_str() {
                "system" if again => odd(true, "more than one system turn"),
                "system" => odd(i > 0, "a system turn that is not at the start"),
                "user" => {
                    odd(again, "two user turns in a row");
                    odd(silent(message), "an empty question");
                }
                "assistant" => {
                    odd(again, "two answers in a row");
                    odd(silent(message) && !calls(message), "an empty answer");
                }
                _ => {}
            }
        }
        odd(
            messages.last().is_some_and(|last| last.role == "user"),
            "ends with the user's turn (nothing to train in it)",
        );
        found
    }
}

/// A row, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Example {
    /// Rendered with the chat template; the assistant's turns are trained.
    Conversation(Conversation),
    /// Plain text; all of it is trained.
    Document(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_conversations_are_told_from_usual_ones() {
        let [s, u, a] = [Message::system("s"), Message::user("u"), Message::assistant("a")];
        let of = |messages: &[&Message]| {
            Conversation { messages: messages.iter().map(|m| (*m).clone()).collect(), tools: None }.oddities()
        };
        let nothing: [&str; 0] = [];
        assert_eq!(of(&[&s, &u, &a, &u, &a]), nothing);
        let mut call = Message { content: None, ..a.clone() };
        call.extra.insert("tool_calls".into(), serde_json::json!([{}]));
        assert_eq!(of(&[&u, &call, &Message::new("tool", ""), &a]), nothing);
        assert_eq!(of(&[&s, &a, &u, &a]), ["the first turn is the assistant's"]);
        assert_eq!(of(&[&u, &u, &u, &a]), ["two user turns in a row"]);
        assert_eq!(of(&[&u, &a, &a]), ["two answers in a row"]);
        assert_eq!(of(&[&u, &a, &u]), ["ends with the user's turn (nothing to train in it)"]);
        assert_eq!(of(&[&u, &Message::assistant(" ")]), ["an empty answer"]);
        assert_eq!(of(&[&Message::user(""), &a]), ["an empty question"]);
        assert_eq!(of(&[&s, &s, &u, &a, &s]), ["more than one system turn", "a system turn that is not at the start"]);
    }
}
