//! What a template writes around an answer, found out by rendering a known one.

use crate::engine::data::Message;
use crate::engine::data::template::ChatTemplate;

/// What a template writes around an assistant's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnShape {
    /// The prompt for an answer, such as `<|im_start|>assistant\n`. Empty where the user's turn ends with it.
    pub generation_prompt: String,
    /// What stands between that prompt and the answer: a space for Llama 2, empty thoughts for Qwen 3.
    pub lead: String,
    /// What ends a turn, such as `<|im_end|>`. Empty when the template ends turns with nothing.
    pub terminator: String,
    /// Control tokens of the vocabulary, longest first; each could end a turn.
    control_tokens: Vec<String>,
}

/// Stands for an answer. Noncharacters of Unicode: no vocabulary has them, no template trims them.
pub(super) fn marker(turn: usize) -> String {
    format!("\u{FDD2}{turn}\u{FDD3}")
}

impl TurnShape {
    /// Renders a question and an answer, and looks at what is around the answer. `control_tokens` are the texts of the
    /// vocabulary's special tokens.
    pub fn probe(template: &ChatTemplate, mut control_tokens: Vec<String>) -> TurnShape {
        control_tokens.retain(|token| !token.trim().is_empty());
        control_tokens.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        let mut shape = TurnShape { control_tokens, ..TurnShape::default() };
        let render = |messages: &[Message], prompt| template.render(messages, None, prompt).map(|r| r.text).ok();
        let question = [Message::user("question")];
        let answered = [Message::user("question"), Message::assistant(marker(0))];
        let Some(whole) = render(&answered, false) else { return shape };
        let Some(at) = whole.rfind(&marker(0)) else { return shape };
        let (before, after) = (&whole[..at], &whole[at + marker(0).len()..]);
        if let (Some(open), Some(prompted)) = (render(&question, false), render(&question, true)) {
            shape.generation_prompt = prompted.strip_prefix(open.as_str()).unwrap_or_default().to_string();
            shape.lead = before.strip_prefix(prompted.as_str()).unwrap_or_default().to_string();
        }
        let white = after.len() - after.trim_start().len();
        shape.terminator = match shape.control_token_at(&after[white..]) {
            Some(token) => after[..white + token.len()].to_string(),
            None => match shape.control_tokens.iter().filter_map(|t| Some(after.find(t)? + t.len())).min() {
                Some(end) => after[..end].to_string(),
                None => after.trim_end().to_string(),
            },
        };
        shape
    }

    fn control_token_at(&self, text: &str) -> Option<&str> {
        self.control_tokens.iter().find(|token| text.starts_with(token.as_str())).map(String::as_str)
    }

    /// The end of the terminator, if one stands right at `from`, white space aside.
    pub(super) fn immediate_end(&self, text: &str, from: usize) -> Option<usize> {
        let tail = &text[from..];
        let white = tail.len() - tail.trim_start().len();
        let terminator = self.terminator.trim_start();
        if !terminator.is_empty() && tail[white..].starts_with(terminator) {
            return Some(from + white + terminator.len());
        }
        self.control_token_at(&tail[white..]).map(|token| from + white + token.len())
    }

    /// The end of a turn whose answer ends at `from`, within `text[..limit]`. After a tool call the call itself stands
    /// between the answer and the terminator.
    pub(super) fn turn_end(&self, text: &str, from: usize, limit: usize, calls_tool: bool) -> Option<usize> {
        let text = &text[..limit];
        let first = || {
            let terminator = self.terminator.trim_start();
            (!terminator.is_empty()).then(|| text[from..].find(terminator).map(|at| from + at + terminator.len()))?
        };
        let immediate = || self.immediate_end(text, from);
        if calls_tool { first().or_else(immediate) } else { immediate().or_else(first) }
    }
}
