//! Formats of rows: which one a file has, and how a row of it becomes a conversation or a document.
//!
//! ```
//! use lora_studio::engine::data::{Example, Format};
//!
//! let row = serde_json::json!({"question": "2 + 2?", "answer": "4"});
//! let row = row.as_object().unwrap();
//! let (format, reason) = Format::detect(row)?;
//! assert_eq!(format, Format::QuestionAnswer);
//! assert_eq!(reason, "the rows have the columns `question` and `answer`");
//! let Example::Conversation(conversation) = format.read(row)? else { panic!() };
//! assert_eq!(conversation.messages[1].content.as_deref(), Some("4"));
//! # Ok::<(), String>(())
//! ```

mod fields;
mod messages;
mod pairs;
mod reading;
mod sharegpt;

pub use reading::Reading;
use serde_json::{Map, Value};

use super::{Conversation, Example};
pub use crate::engine::config::DataFormat as Format;

/// The columns of a row, in the file's order.
pub type Fields = Map<String, Value>;

/// Why a row cannot be read: what was expected and what was found. The caller knows the line.
pub type Reason = String;

impl Format {
    /// Recognises the format by the columns of a row; also says why.
    pub fn detect(row: &Fields) -> Result<(Format, Reason), Reason> {
        let has = |name: &str| row.contains_key(name);
        let (format, columns): (Format, &[&str]) = if has("chosen") && has("rejected") {
            (Format::Preference, &["chosen", "rejected"])
        } else if has("messages") {
            (Format::Messages, &["messages"])
        } else if has("conversations") {
            (Format::ShareGpt, &["conversations"])
        } else if has("prompt") && has("completion") {
            (Format::PromptCompletion, &["prompt", "completion"])
        } else if has("question") && has("answer") {
            (Format::QuestionAnswer, &["question", "answer"])
        } else if has("instruction") && has("output") {
            (Format::Alpaca, &["instruction", "output"])
        } else if has("text") {
            (Format::Text, &["text"])
        } else {
            return Err(format!(
                "no known format: expected messages, conversations, prompt and completion, question and answer, \
                 instruction and output, or text; found {}",
                fields::columns(row)
            ));
        };
        let names: Vec<String> = columns.iter().map(|c| format!("`{c}`")).collect();
        let noun = if columns.len() == 1 { "the column" } else { "the columns" };
        Ok((format, format!("the rows have {noun} {}", names.join(" and "))))
    }

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

    /// Reads a row. [`Format::Auto`] recognises each row by itself.
    pub fn read(self, row: &Fields) -> Result<Example, Reason> {
        let conversation = match self {
            Format::Auto => return Format::detect(row)?.0.read(row),
            Format::Text => return fields::text(row, "text").map(|text| Example::Document(text.to_string())),
            Format::Messages => messages::read(row)?,
            Format::ShareGpt => sharegpt::read(row)?,
            Format::Alpaca => pairs::alpaca(row)?,
            Format::PromptCompletion => pairs::prompt_completion(row)?,
            Format::QuestionAnswer => pairs::question_answer(row)?,
            Format::Preference => {
                return Err("these are preference rows (a chosen and a rejected answer), which need a preference \
                            method that this version does not have; for supervised training, give rows with one \
                            answer each, such as prompt and completion"
                    .into());
            }
        };
        Ok(Example::Conversation(conversation))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::data::Message;

    fn read(format: Format, row: Value) -> Result<Example, Reason> {
        format.read(row.as_object().unwrap())
    }

    fn messages(format: Format, row: Value) -> Vec<Message> {
        match read(format, row).unwrap() {
            Example::Conversation(conversation) => conversation.messages,
            Example::Document(text) => panic!("a document: {text}"),
        }
    }

    #[test]
    fn every_format_is_recognised() {
        for (row, format) in [
            (json!({"messages": []}), Format::Messages),
            (json!({"conversations": []}), Format::ShareGpt),
            (json!({"instruction": "", "input": "", "output": ""}), Format::Alpaca),
            (json!({"prompt": "", "completion": ""}), Format::PromptCompletion),
            (json!({"id": 3, "question": "", "answer": ""}), Format::QuestionAnswer),
            (json!({"text": ""}), Format::Text),
            (json!({"conversations": [], "chosen": {}, "rejected": {}}), Format::Preference),
        ] {
            assert_eq!(Format::detect(row.as_object().unwrap()).unwrap().0, format, "{row}");
        }
        let unknown = json!({"txet": 1, "b": 2});
        assert_eq!(
            Format::detect(unknown.as_object().unwrap()).unwrap_err(),
            "no known format: expected messages, conversations, prompt and completion, question and answer, \
             instruction and output, or text; found the columns `txet`, `b`"
        );
        assert_eq!(serde_json::to_value(Format::ShareGpt).unwrap(), Format::ShareGpt.name());
    }

    #[test]
    fn messages_keep_what_templates_read() {
        let row = json!({"messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}], "weight": 0},
            {"role": "tool", "content": "3", "tool_call_id": "x"},
            {"role": "model", "content": "done", "train": true},
        ], "tools": "[{\"name\": \"f\"}]"});
        let Example::Conversation(c) = read(Format::Messages, row).unwrap() else { panic!() };
        assert_eq!(c.tools, Some(json!([{"name": "f"}])));
        assert_eq!(c.messages[1], Message::user("ab"));
        assert_eq!(c.messages[2].content, None);
        assert_eq!(c.messages[2].train, Some(false));
        assert_eq!(c.messages[2].to_json()["tool_calls"][0]["function"]["name"], "f");
        assert_eq!(c.messages[3].to_json(), json!({"role": "tool", "content": "3", "tool_call_id": "x"}));
        assert_eq!(c.messages[4], Message { train: Some(true), ..Message::assistant("done") });
    }

    #[test]
    fn reasoning_is_found_under_the_names_of_templates() {
        let row = json!({"messages": [{"role": "assistant", "content": "4", "reasoning": "2+2"}]});
        assert_eq!(
            messages(Format::Messages, row)[0].to_json(),
            json!({"role": "assistant", "content": "4", "reasoning": "2+2", "thinking": "2+2", "reasoning_content": "2+2"})
        );
    }

    #[test]
    fn sharegpt_maps_speakers() {
        let row = json!({"system": "s", "conversations": [
            {"from": "human", "value": "h"},
            {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
            {"from": "observation", "value": "o"},
            {"from": "gpt", "value": "g"},
        ]});
        let m = messages(Format::ShareGpt, row);
        let roles: Vec<_> = m.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
        assert_eq!(m[2].content, None);
        assert_eq!(
            m[2].extra["tool_calls"],
            json!([{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}])
        );
        let wrong = json!({"conversations": [{"from": "robot", "value": "x"}]});
        assert_eq!(
            read(Format::ShareGpt, wrong).unwrap_err(),
            "conversations[0]: `from` is \"robot\"; expected human, gpt, system, function_call or observation"
        );
    }

    #[test]
    fn alpaca_joins_instruction_and_input() {
        let row = json!({"instruction": "Add.", "input": "2, 2", "output": "4", "system": "s",
                         "history": [["q", "a"]]});
        let expected = [
            Message::system("s"),
            Message::user("q"),
            Message::assistant("a"),
            Message::user("Add.\n2, 2"),
            Message::assistant("4"),
        ];
        assert_eq!(messages(Format::Alpaca, row), expected);
        let row = json!({"instruction": "Hi", "input": "", "output": "Hello", "system": ""});
        assert_eq!(messages(Format::Alpaca, row), [Message::user("Hi"), Message::assistant("Hello")]);
    }

    #[test]
    fn prompts_may_be_texts_or_messages() {
        let row = json!({"prompt": "p", "completion": "c"});
        assert_eq!(messages(Format::PromptCompletion, row), [Message::user("p"), Message::assistant("c")]);
        // Only the completion is trained, also when the prompt holds earlier answers.
        let row = json!({"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                                    {"role": "user", "content": "c"}],
                         "completion": [{"role": "assistant", "content": "d"}]});
        let m = messages(Format::PromptCompletion, row);
        assert_eq!(m.iter().map(|m| m.train).collect::<Vec<_>>(), [None, Some(false), None, None]);
    }

    #[test]
    fn wrong_types_are_named() {
        for (format, row, message) in [
            (Format::Messages, json!({"messages": "hi"}), "`messages` is the text \"hi\"; expected a list of messages"),
            (Format::Messages, json!({"messages": []}), "`messages` is empty"),
            (Format::Messages, json!({"messages": [3]}), "messages[0] is the number 3; expected an object"),
            (
                Format::Messages,
                json!({"messages": [{"role": "user", "content": 5}]}),
                "messages[0]: `content` is the number 5; expected a text",
            ),
            (
                Format::Messages,
                json!({"messages": [{"content": "x"}]}),
                "messages[0]: there is no `role`; found the column `content`",
            ),
            (
                Format::Messages,
                json!({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}),
                "messages[0]: `content` has a part of type \"image\"; only text is trained",
            ),
            (
                Format::Messages,
                json!({"messages": [{"role": "user"}]}),
                "messages[0]: there is no `content`; found the column `role`",
            ),
            (Format::Alpaca, json!({"instruction": "x"}), "there is no `output`; found the column `instruction`"),
            (Format::QuestionAnswer, json!({"question": "x", "answer": ["y"]}), "`answer` is a list; expected a text"),
            (Format::Text, json!({"text": null}), "`text` is null; expected a text"),
        ] {
            assert_eq!(read(format, row.clone()).unwrap_err(), message, "{row}");
        }
        assert!(read(Format::Auto, json!({"chosen": "a", "rejected": "b"})).unwrap_err().contains("preference rows"));
    }
}
