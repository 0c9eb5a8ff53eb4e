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
    /// Whether one message may be written in several parts, each of which begins like the prompt for an answer.
    pub(super) parts: bool,
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
            let header = before.strip_prefix(open.as_str()).unwrap_or_default();
            shape.lead = header[shape.prompt_length(header)..].to_string();
        }
        let first = shape.control_tokens.iter().filter_map(|token| after.find(token.as_str())).min();
        shape.terminator = match first {
            // Control tokens that follow one another end the turn together.
            Some(mut end) => {
                while let Some(token) = shape.control_token_at(&after[end..]) {
                    end += token.len();
                }
                after[..end].to_string()
            }
            None => after.trim_end().to_string(),
        };
        shape.parts = super::parts::probe(template, &shape);
        shape
    }

    /// The control token that the prompt for an answer begins with.
    pub(super) fn opener(&self) -> Option<&str> {
        self.control_token_at(&self.generation_prompt)
    }

    /// The control token that `text` begins with.
    fn control_token_at(&self, text: &str) -> Option<&str> {
        self.control_tokens.iter().find(|token| text.starts_with(token.as_str())).map(String::as_str)
    }

    /// How much of a turn's text is the prompt for an answer: as far as the two agree. The prompt may say more than the
    /// turn does (it opens thoughts that history drops).
    pub(super) fn prompt_length(&self, turn: &str) -> usize {
        let pairs = turn.chars().zip(self.generation_prompt.chars());
        let common = pairs.take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
        self.outside_control_token(turn, common)
    }

    /// Moves a place in `text` that is inside a control token to where that token begins.
    fn outside_control_token(&self, text: &str, place: usize) -> usize {
        let inside = |at: &usize| self.control_token_at(&text[*at..]).is_some_and(|token| at + token.len() > place);
        text.char_indices().map(|(at, _)| at).take_while(|at| *at < place).find(inside).unwrap_or(place)
    }

    /// Whether a turn's text contains what ends it, white space aside.
    pub(in crate::engine::data) fn ends_turn(&self, text: &str) -> bool {
        let text = text.trim_end();
        let terminator = self.terminator.trim();
        (!terminator.is_empty() && text.ends_with(terminator))
            || self.control_tokens.iter().any(|token| text.ends_with(token.as_str()))
    }

    /// The end of the terminator, if it stands right at `from`, white space aside.
    pub(super) fn terminator_end(&self, text: &str, from: usize) -> Option<usize> {
        let tail = text[from..].trim_start();
        let terminator = self.terminator.trim_start();
        let found = !terminator.is_empty() && tail.starts_with(terminator);
        found.then_some(text.len() - tail.len() + terminator.len())
    }

    /// Like [`Self::terminator_end`]; another control token will do.
    pub(super) fn immediate_end(&self, text: &str, from: usize) -> Option<usize> {
        let tail = text[from..].trim_start();
        let other = || self.control_token_at(tail).map(|token| text.len() - tail.len() + token.len());
        self.terminator_end(text, from).or_else(other)
    }

    /// The end of the first terminator behind `from`.
    pub(super) fn first_terminator(&self, text: &str, from: usize) -> Option<usize> {
        let terminator = self.terminator.trim_start();
        (!terminator.is_empty()).then(|| text[from..].find(terminator).map(|at| from + at + terminator.len()))?
    }

    /// The end of a turn whose answer ends at `from`, within `text[..limit]`. After a tool call the call itself stands
    /// between the answer and the terminator.
    pub(super) fn turn_end(&self, text: &str, from: usize, limit: usize, calls_tool: bool) -> Option<usize> {
        let text = &text[..limit];
        let first = || self.first_terminator(text, from);
        let immediate = || self.immediate_end(text, from);
        if calls_tool { first().or_else(immediate) } else { immediate().or_else(first) }
    }
}
