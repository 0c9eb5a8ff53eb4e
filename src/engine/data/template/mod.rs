//! Chat templates: a model's own Jinja template, rendered as transformers' `apply_chat_template` renders it.
//!
//! Templates come with models from the internet. They are programs, so they run with a budget: a template that loops
//! without end fails instead of hanging.

mod bounds;
mod chatml;
mod environment;
mod python;
#[cfg(test)]
mod tests;

use std::ops::Range;

use minijinja::value::{Value as Jinja, merge_maps};
use minijinja::{Environment, context};
use serde_json::Value;

use super::Message;
pub use chatml::chatml;
pub(in crate::engine::data) use environment::{FAILED, REFUSES, WAS_STOPPED};

/// A template that was compiled, with the values that it may refer to.
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token`, `eos_token` and the like, as the template sees them.
    special_tokens: Jinja,
    generation_tags: bool,
    uses_date: bool,
}

/// What a template made of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text to tokenize, without adding special tokens: the template writes the ones it wants.
    pub text: String,
    /// Byte ranges of `text` that stood within `{% generation %}` tags, in order.
    pub generation: Vec<Range<usize>>,
}

/// Why a template did not render: in words, for the person whose row or template it is.
pub type TemplateError = String;

impl ChatTemplate {
    /// Compiles a template. `special_tokens` are pairs such as `("bos_token", "<s>")`. `now` is what `strftime_now`
    /// tells the template: one instant for a whole data set, or the same rows would give other tokens on another day.
    pub fn new(
        source: &str,
        special_tokens: impl IntoIterator<Item = (String, String)>,
        now: jiff::ZonedDateTime,
    ) -> Result<ChatTemplate, TemplateError> {
        let uses_date = Self::source_uses_date(source);
        // Jinja reads every line break of a template as a line feed.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        let (source, generation_tags) = environment::rewrite_generation_tags(&source);
        let mut environment = environment::new(now);
        let source = match bounds::bounded(&source) {
            Ok(source) => source,
            Err(refusal) => {
                let own = || format!("the chat template is not valid: {}", refusal.describe(&source));
                return Err(bounds::syntax_error(&refusal, &source).unwrap_or_else(own));
            }
        };
        environment.add_template_owned("chat", source).map_err(|e| environment::describe("is not valid", &e))?;
        let special_tokens = Jinja::from_pairs(special_tokens);
        Ok(ChatTemplate { environment, special_tokens, generation_tags, uses_date })
    }

    /// Whether the template marks what the model says with `{% generation %}` tags.
    pub fn has_generation_tags(&self) -> bool {
        self.generation_tags
    }

    /// Whether it may write the date or the time.
    pub fn uses_date(&self) -> bool {
        self.uses_date
    }

    /// Whether a template with this source may write the date or the time: `strftime_now` is all that tells it.
    pub(super) fn source_uses_date(source: &str) -> bool {
        source.contains("strftime_now")
    }

    /// Renders messages. `add_generation_prompt` ends the text with what opens an assistant's turn.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> Result<Rendered, TemplateError> {
        let messages: Vec<Value> = messages.iter().map(Message::to_json).collect();
        let marks = environment::Marks::absent_from(&messages, tools);
        let context = context! {
            messages => messages.iter().map(python::from_json).collect::<Jinja>(),
            tools => tools.map_or(Jinja::from(()), python::from_json),
            documents => (),
            add_generation_prompt,
            __marks__ => marks.to_string(),
        };
        let template = self.environment.get_template("chat").map_err(|e| environment::describe("is not valid", &e))?;
        let mut written = environment::Limited::default();
        template
            .render_captured_to(merge_maps([context, self.special_tokens.clone()]), &mut written)
            .map_err(|e| environment::describe("failed", &e))?;
        let text = written.into_text().ok_or("the chat template failed: it made a text that is not UTF-8")?;
        Ok(if self.generation_tags { marks.take_out(&text) } else { Rendered { text, generation: Vec::new() } })
    }
}

/// Compiles a template that needs no special tokens.
pub fn chat_template(source: &str) -> Result<ChatTemplate, TemplateError> {
    ChatTemplate::new(source, [], jiff::ZonedDateTime::now())
}
