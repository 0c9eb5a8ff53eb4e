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

/// A row, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Example {
    /// Rendered with the chat template; the assistant's turns are trained.
    Conversation(Conversation),
    /// Plain text; all of it is trained.
    Document(String),
}
