//! The fields of each format, and the columns in which they usually stand.

use super::Format;

/// A field of a format: what a column of the file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldOfFormat {
    /// Its name: a key of `data.columns`.
    pub name: &'static str,
    /// The column in which it stands unless `data.columns` says otherwise.
    pub column: &'static str,
    /// Whether a row cannot be read without it.
    pub required: bool,
    /// Whether it is a key of each message and not a column of the file.
    pub in_messages: bool,
    /// One sentence of help.
    pub help: &'static str,
}

const fn required(name: &'static str, help: &'static str) -> FieldOfFormat {
    FieldOfFormat { name, column: name, required: true, in_messages: false, help }
}

const fn optional(name: &'static str, help: &'static str) -> FieldOfFormat {
    FieldOfFormat { name, column: name, required: false, in_messages: false, help }
}

const fn key(name: &'static str, column: &'static str, help: &'static str) -> FieldOfFormat {
    FieldOfFormat { name, column, required: true, in_messages: true, help }
}

const SYSTEM: FieldOfFormat = optional("system", "The system prompt above the conversation.");
const TOOLS: FieldOfFormat = optional("tools", "Schemas of the tools that may be called: a list, or its JSON text.");

const MESSAGES: &[FieldOfFormat] = &[
    required("messages", "The list of messages."),
    key("role", "role", "In each message: who speaks."),
    key("content", "content", "In each message: what is said."),
    SYSTEM,
    TOOLS,
];

const SHAREGPT: &[FieldOfFormat] = &[
    FieldOfFormat { column: "conversations", ..required("messages", "The list of messages.") },
    key("role", "from", "In each message: who speaks."),
    key("content", "value", "In each message: what is said."),
    SYSTEM,
    TOOLS,
];

const ALPACA: &[FieldOfFormat] = &[
    required("instruction", "What is to be done."),
    optional("input", "What it is to be done with; it follows the instruction on a new line."),
    required("output", "The answer."),
    SYSTEM,
    TOOLS,
    optional("history", "Earlier rounds: a list of pairs of question and answer."),
];

const PROMPT_COMPLETION: &[FieldOfFormat] = &[
    required("prompt", "What is asked: a text, or a list of messages."),
    required("completion", "The answer: a text, or a list of messages."),
    SYSTEM,
    TOOLS,
];

const QUESTION_ANSWER: &[FieldOfFormat] =
    &[required("question", "What is asked."), required("answer", "The answer."), SYSTEM, TOOLS];

const TEXT: &[FieldOfFormat] = &[required("text", "The text; all of it is trained.")];

const PREFERENCE: &[FieldOfFormat] = &[
    required("chosen", "The better answer: a text, a message, or a list of messages."),
    optional("rejected", "The worse answer; not trained on."),
    optional("prompt", "What is asked: a text, or a list of messages."),
    optional("input", "What follows the prompt on a new line."),
    FieldOfFormat { column: "conversations", ..optional("messages", "The conversation before the answer.") },
    FieldOfFormat { required: false, ..key("role", "role", "In each message: who speaks.") },
    FieldOfFormat { required: false, ..key("content", "content", "In each message: what is said.") },
    SYSTEM,
    TOOLS,
];

impl Format {
    /// What its columns are read as, for a person who says which column is which. None for [`Format::Auto`].
    pub fn fields(self) -> &'static [FieldOfFormat] {
        match self {
            Format::Auto => &[],
            Format::Messages => MESSAGES,
            Format::ShareGpt => SHAREGPT,
            Format::Alpaca => ALPACA,
            Format::PromptCompletion => PROMPT_COMPLETION,
            Format::QuestionAnswer => QUESTION_ANSWER,
            Format::Text => TEXT,
            Format::Preference => PREFERENCE,
        }
    }

    /// The field of that name.
    pub(super) fn field(self, name: &str) -> Option<&'static FieldOfFormat> {
        self.fields().iter().find(|field| field.name == name)
    }
}

/// Columns of two texts that belong together, by the names that published data sets give them, the surest first: the
/// format, its two fields and the columns that hold them. Upper and lower case are the same.
pub(super) const PAIRS: &[(Format, [(&str, &str); 2])] = &[
    (Format::PromptCompletion, [("prompt", "prompt"), ("completion", "completion")]),
    (Format::QuestionAnswer, [("question", "question"), ("answer", "answer")]),
    (Format::Alpaca, [("instruction", "instruction"), ("output", "output")]),
    // Dolly and its kin.
    (Format::Alpaca, [("instruction", "instruction"), ("output", "response")]),
    (Format::Alpaca, [("instruction", "instruction"), ("output", "completion")]),
    (Format::Alpaca, [("instruction", "instruction"), ("output", "answer")]),
    (Format::PromptCompletion, [("prompt", "prompt"), ("completion", "response")]),
    (Format::PromptCompletion, [("prompt", "prompt"), ("completion", "output")]),
    (Format::PromptCompletion, [("prompt", "prompt"), ("completion", "answer")]),
    (Format::PromptCompletion, [("prompt", "prompt"), ("completion", "target")]),
    // OpenOrca, MetaMathQA, and many more.
    (Format::QuestionAnswer, [("question", "question"), ("answer", "response")]),
    (Format::QuestionAnswer, [("question", "query"), ("answer", "response")]),
    (Format::QuestionAnswer, [("question", "query"), ("answer", "answer")]),
    (Format::QuestionAnswer, [("question", "problem"), ("answer", "solution")]),
    (Format::QuestionAnswer, [("question", "q"), ("answer", "a")]),
    (Format::PromptCompletion, [("prompt", "input"), ("completion", "output")]),
    (Format::PromptCompletion, [("prompt", "input"), ("completion", "response")]),
    (Format::PromptCompletion, [("prompt", "input"), ("completion", "target")]),
    // FLAN and P3.
    (Format::PromptCompletion, [("prompt", "inputs"), ("completion", "targets")]),
    (Format::PromptCompletion, [("prompt", "source"), ("completion", "target")]),
    (Format::PromptCompletion, [("prompt", "user"), ("completion", "assistant")]),
    (Format::PromptCompletion, [("prompt", "human"), ("completion", "assistant")]),
];

/// The first of [`PAIRS`] that are formats by their own names: their columns count whatever they hold.
pub(super) const EXACT_PAIRS: usize = 3;

/// Other names of columns that may be absent.
pub(super) const SYNONYMS: &[(&str, &[&str])] =
    &[("input", &["context"]), ("system", &["system_prompt", "system_message"])];

/// Columns that hold lists of messages, by the names that published data sets give them.
pub(super) const LISTS: &[&str] =
    &["conversation", "dialog", "dialogue", "dialogs", "dialogues", "chat", "chats", "turns", "data"];

/// Columns of single texts, the surest first.
pub(super) const TEXTS: &[&str] = &["text", "content", "body", "article", "document", "passage", "story", "code"];

/// Keys of a message: who speaks.
pub(super) const ROLE_KEYS: &[&str] = &["role", "from", "speaker", "author"];

/// Keys of a message: what is said.
pub(super) const CONTENT_KEYS: &[&str] = &["content", "value", "text", "message", "utterance"];
