//! What a row becomes, whatever its format: a conversation, or a document.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Severity;

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

/// Something unusual about a conversation: nothing that prevents training, but something to count, to show and, where a person
/// wishes it, to leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// The first turn is the assistant's.
    AssistantFirst,
    /// More than one system turn in a row.
    SeveralSystems,
    /// A system turn that is not at the start.
    LateSystem,
    /// Two user turns in a row.
    TwoQuestions,
    /// A user turn without words.
    EmptyQuestion,
    /// Two assistant turns in a row.
    TwoAnswers,
    /// An assistant turn without words and without a call.
    EmptyAnswer,
    /// It ends with the user's turn.
    UserLast,
    /// It has a tool call that the chat template does not write.
    UnwrittenCall,
    /// It has tools that the chat template does not write.
    UnwrittenTools,
    /// A text holds a zero byte.
    ZeroByte,
}

impl Oddity {
    /// All of them.
    pub const ALL: [Oddity; 11] = [
        Oddity::AssistantFirst,
        Oddity::SeveralSystems,
        Oddity::LateSystem,
        Oddity::TwoQuestions,
        Oddity::EmptyQuestion,
        Oddity::TwoAnswers,
        Oddity::EmptyAnswer,
        Oddity::UserLast,
        Oddity::UnwrittenCall,
        Oddity::UnwrittenTools,
        Oddity::ZeroByte,
    ];

    /// Its name in run files: a word of `data.leave_out`.
    pub fn name(self) -> &'static str {
        match self {
            Oddity::AssistantFirst => "assistant-first",
            Oddity::SeveralSystems => "several-systems",
            Oddity::LateSystem => "late-system",
            Oddity::TwoQuestions => "two-questions",
            Oddity::EmptyQuestion => "empty-question",
            Oddity::TwoAnswers => "two-answers",
            Oddity::EmptyAnswer => "empty-answer",
            Oddity::UserLast => "user-last",
            Oddity::UnwrittenCall => "unwritten-call",
            Oddity::UnwrittenTools => "unwritten-tools",
            Oddity::ZeroByte => "zero-byte",
        }
    }

    /// What it is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Oddity::AssistantFirst => "the first turn is the assistant's",
            Oddity::SeveralSystems => "more than one system turn",
            Oddity::LateSystem => "a system turn that is not at the start",
            Oddity::TwoQuestions => "two user turns in a row",
            Oddity::EmptyQuestion => "an empty question",
            Oddity::TwoAnswers => "two answers in a row",
            Oddity::EmptyAnswer => "an empty answer",
            Oddity::UserLast => "ends with the user's turn (nothing to train in it)",
            Oddity::UnwrittenCall => "a tool call that the chat template leaves out",
            Oddity::UnwrittenTools => "tools that the chat template leaves out",
            Oddity::ZeroByte => "a text with a zero byte in it",
        }
    }

    /// How much it matters: the model would learn to say nothing where the row has a call.
    pub(super) fn severity(self) -> Severity {
        match self {
            Oddity::UnwrittenCall | Oddity::UnwrittenTools | Oddity::ZeroByte => Severity::Warning,
            _ => Severity::Note,
        }
    }

    /// What is unusual about a plain text.
    pub(super) fn of_document(text: &str) -> Vec<Oddity> {
        if text.contains('\0') { vec![Oddity::ZeroByte] } else { Vec::new() }
    }

    /// The one that these words are of.
    pub(super) fn of_words(words: &str) -> Option<Oddity> {
        Oddity::ALL.into_iter().find(|oddity| oddity.words() == words)
    }
}

impl Conversation {
    /// What is unusual about it in itself, each kind once.
    pub fn oddities(&self) -> Vec<Oddity> {
        let mut found = Vec::new();
        let mut odd = |is_odd: bool, what: Oddity| {
            if is_odd && !found.contains(&what) {
                found.push(what);
            }
        };
        let messages = &self.messages;
        let silent = |m: &Message| m.content.as_deref().is_none_or(|text| text.trim().is_empty());
        let calls = |m: &Message| ["tool_calls", "function_call"].iter().any(|key| m.extra.get(*key).is_some());
        odd(messages.iter().find(|m| m.role != "system").is_some_and(Message::is_assistant), Oddity::AssistantFirst);
        for (i, message) in messages.iter().enumerate() {
            odd(message.content.as_deref().is_some_and(|text| text.contains('\0')), Oddity::ZeroByte);
            let before = i.checked_sub(1).map(|i| &messages[i]);
            let again = before.is_some_and(|before| before.role == message.role);
            match message.role.as_str() {
                "system" if again => odd(true, Oddity::SeveralSystems),
                "system" => odd(i > 0, Oddity::LateSystem),
                "user" => {
                    odd(again, Oddity::TwoQuestions);
                    odd(silent(message), Oddity::EmptyQuestion);
                }
                "assistant" => {
                    odd(again, Oddity::TwoAnswers);
                    odd(silent(message) && !calls(message), Oddity::EmptyAnswer);
                }
                _ => {}
            }
        }
        odd(messages.last().is_some_and(|last| last.role == "user"), Oddity::UserLast);
        found
    }

    /// Puts the system prompt in front of the first question, for templates that know no system turn. Without a question it
    /// stays where it is.
    pub(super) fn merge_system(&mut self) {
        let systems = self.messages.iter().take_while(|message| message.role == "system").count();
        let Some(question) = self.messages.get_mut(systems).filter(|message| message.role == "user") else { return };
        let Some(asked) = question.content.take() else { return };
        let prompts = self.messages.drain(..systems).filter_map(|system| system.content);
        let parts: Vec<String> = prompts.chain([asked]).filter(|text| !text.is_empty()).collect();
        self.messages[0].content = Some(parts.join("\n\n"));
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
            let odd =
                Conversation { messages: messages.iter().map(|m| (*m).clone()).collect(), tools: None }.oddities();
            odd.into_iter().map(Oddity::words).collect::<Vec<_>>()
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
        assert_eq!(of(&[&u, &Message::assistant("a\0b")]), ["a text with a zero byte in it"]);
        assert_eq!(Oddity::of_document("a\0b"), [Oddity::ZeroByte]);
        assert_eq!(Oddity::of_document("ab"), []);
        assert_eq!(of(&[&s, &s, &u, &a, &s]), ["more than one system turn", "a system turn that is not at the start"]);
        for oddity in Oddity::ALL {
            assert_eq!(Oddity::of_words(oddity.words()), Some(oddity));
            assert!(crate::engine::config::LEAVE_OUT.contains(&oddity.name()));
        }
        assert_eq!(Oddity::ALL.len() + 1, crate::engine::config::LEAVE_OUT.len());
    }

    #[test]
    fn a_system_prompt_is_put_into_the_first_question() {
        let [s, u, a] = [Message::system("s"), Message::user("u"), Message::assistant("a")];
        let merged = |messages: &[&Message]| {
            let mut conversation =
                Conversation { messages: messages.iter().map(|m| (*m).clone()).collect(), tools: None };
            conversation.merge_system();
            conversation.messages
        };
        assert_eq!(merged(&[&s, &u, &a]), [Message::user("s\n\nu"), a.clone()]);
        assert_eq!(merged(&[&s, &s, &u]), [Message::user("s\n\ns\n\nu")]);
        assert_eq!(merged(&[&u, &s, &a]), [u.clone(), s.clone(), a.clone()]);
        assert_eq!(merged(&[&s, &a]), [s.clone(), a.clone()]);
        assert_eq!(merged(&[&Message::system(""), &u]), std::slice::from_ref(&u));
        assert_eq!(merged(&[]), []);
    }
}
