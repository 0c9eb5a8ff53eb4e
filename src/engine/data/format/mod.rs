//! Formats of rows: which one a file has, and how a row of it becomes a conversation or a document.
//!
//! ```
//! use lora_studio::engine::config::DataConfig;
//! use lora_studio::engine::data::{Example, Format, Reading};
//!
//! let row = serde_json::json!({"query": "2 + 2?", "response": "4"});
//! let row = row.as_object().unwrap();
//! let reading = Reading::choose(&DataConfig::default(), &[row])?;
//! assert_eq!(reading.format, Format::QuestionAnswer);
//! assert_eq!(reading.reason, "the columns `query` and `response`");
//! assert_eq!(reading.column("answer"), "response");
//! let Example::Conversation(conversation) = reading.read(row)? else { panic!() };
//! assert_eq!(conversation.messages[1].content.as_deref(), Some("4"));
//! # Ok::<(), String>(())
//! ```

pub mod dataset_info;
mod detect;
mod fields;
mod messages;
mod names;
mod pairs;
mod preference;
mod reading;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{Conversation, Example};
pub use crate::engine::config::DataFormat as Format;
pub use names::FieldOfFormat;
pub use reading::Reading;

/// The columns of a row, in the file's order.
pub type Fields = Map<String, Value>;

/// Why a row cannot be read: what was expected and what was found. The caller knows the line.
pub type Reason = String;

impl Format {
    /// The name in run files.
    pub fn name(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Messages => "messages",
            Format::ShareGpt => "sharegpt",
            Format::Alpaca => "alpaca",
            Format::PromptCompletion => "prompt-completion",
            Format::QuestionAnswer => "question-answer",
            Format::Text => "text",
            Format::Preference => "preference",
        }
    }

    /// Whether its rows are written with the chat template.
    pub fn is_conversation(self) -> bool {
        self != Format::Text
    }
}
