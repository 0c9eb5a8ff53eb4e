//! Conversations and documents to tokens with a mask.

mod arguments;
mod choice;
mod verify;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use sha2::{Digest, Sha256};
use tokenizers::{PostProcessorWrapper, Tokenizer};

use super::mask::{self, TurnShape};
use super::template::{self, ChatTemplate, FAILED};
use super::words::{self, Words};
use super::{Conversation, Example, Message, Oddity};
use crate::engine::config::LossOn;
use crate::engine::formats::TextTokenizer;
use crate::engine::{Error, Result};
use arguments::Arguments;
use choice::Choice;
pub use choice::{template_names, template_source};
pub use verify::MaskFault;

/// The notice of [`Encoder::notices`] about a template whose answers do not all end with a trained token.
pub const NO_END: &str = "the chat template does not end every answer: the model may not learn to stop";

/// What is wrong with a call that has no text beside it, for templates that know no calls.
const NO_TEXT: &str = "a turn is a tool call without text, which the chat template cannot write: choose a template that writes \
                       tool calls";

/// Tokens and which of them are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// One flag a token.
    pub trained: Vec<bool>,
}

impl Encoded {
    /// The first token that is predicted and counts in the loss.
    pub(in crate::engine::data) fn first_trained(&self) -> Option<usize> {
        self.trained.iter().skip(1).position(|t| *t).map(|at| at + 1)
    }
}

/// Tokens with the text that they stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Traced {
    pub encoded: Encoded,
    /// What was tokenized.
    pub text: String,
    /// Bytes of `text`, one range a token; empty for tokens that are added to it.
    pub offsets: Vec<(usize, usize)>,
}

/// A tokenizer and its chat template, ready for many rows.
///
/// Rendered conversations are tokenized once, as a whole and without added special tokens, as transformers does: the
/// template writes the ones it wants, so there is never a second beginning-of-sequence token. The trained ranges of the
/// text then choose the tokens: a token is trained if it contains any trained character.
pub struct Encoder<'a> {
    tokenizer: &'a TextTokenizer,
    /// Without a post-processor: that of byte-level tokenizers may cut white space out of the offsets.
    plain: Tokenizer,
    /// The same, faster; `None` for those that cannot be taken apart.
    words: Option<Words>,
    default: Template,
    tool_use: Option<Template>,
    notices: Vec<String>,
    /// The source of `default`, if that is not the model's own template.
    other_source: Option<String>,
    fingerprint: [u8; 32],
}

struct Template {
    chat: ChatTemplate,
    shape: TurnShape,
    arguments: Arguments,
    writes_calls: bool,
    writes_tools: bool,
}

impl<'a> Encoder<'a> {
    /// Compiles the model's own templates. `now` is the time that templates may print.
    pub fn new(tokenizer: &'a TextTokenizer, now: jiff::ZonedDateTime) -> Result<Encoder<'a>> {
        Self::with_template(tokenizer, "", now)
    }

    /// Compiles the template of `data.chat_template`: empty for the model's own, the name of one of its templates,
    /// `chatml`, the path of a `.jinja` file, or the text of a template. `now` is the time that templates may print.
    pub fn with_template(tokenizer: &'a TextTokenizer, choice: &str, now: jiff::ZonedDateTime) -> Result<Encoder<'a>> {
        let mut plain = tokenizer.tokenizer.clone();
        plain.with_post_processor(None::<PostProcessorWrapper>);
        let chosen = Choice::of(tokenizer, choice)?;
        let special = special_tokens(tokenizer);
        let compile = |source: &str| {
            let chat =
                ChatTemplate::new(source, special.clone(), now.clone()).map_err(|r| chosen.error(tokenizer, r))?;
            // What takes all of its budget for one question is asked no other.
            if let Err(reason) = chat.render(&[Message::user("question")], None, false)
                && reason.ends_with(template::WAS_STOPPED)
            {
                return Err(chosen.error(tokenizer, reason));
            }
            let shape = TurnShape::probe(&chat, control_tokens(tokenizer));
            let arguments = Arguments::probe(&chat);
            let (writes_calls, writes_tools) = arguments::writes(&chat);
            Ok::<_, Error>(Template { chat, shape, arguments, writes_calls, writes_tools })
        };
        let default = compile(&chosen.source)?;
        let tool_use = chosen.tool_source.as_deref().map(compile).transpose()?;
        let mut notices = chosen.notices.clone();
        if default.shape.terminator.is_empty() && tokenizer.eos_id.is_some() {
            notices.push(
                "the chat template writes nothing that ends a turn: the end-of-sequence token is added to each \
                 conversation, so that the model learns to stop"
                    .to_string(),
            );
        } else if !mask::trains_terminators(&default.chat, &default.shape) {
            notices.push(NO_END.to_string());
        }
        let fingerprint = fingerprint(&chosen, &special, &now);
        let other_source = chosen.is_other.then_some(chosen.source);
        Ok(Encoder {
            tokenizer,
            words: Words::of(&plain),
            plain,
            default,
            tool_use,
            notices,
            other_source,
            fingerprint,
        })
    }

    /// The source of the template, if it is not the model's own: what has to be kept with an adapter that was trained with
    /// it.
    pub fn other_template(&self) -> Option<&str> {
        self.other_source.as_deref()
    }

    /// Whether the template writes the date: the same rows have other tokens on another day.
    pub fn uses_date(&self) -> bool {
        self.default.chat.uses_date() || self.tool_use.as_ref().is_some_and(|t| t.chat.uses_date())
    }

    /// Identifies how rows are written: SHA-256 over the sources of the templates, the special tokens they may write, and
    /// the time if they write it. The tokenizer is not part of it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// What a person should know about how conversations are written for this model.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What the template writes around an answer.
    pub fn turn_shape(&self) -> &TurnShape {
        &self.default.shape
    }

    /// What is unusual about a conversation, also in how the template writes it.
    pub fn oddities(&self, conversation: &Conversation) -> Vec<Oddity> {
        let mut found = conversation.oddities();
        let template = self.template(conversation.tools.is_some());
        let calls = |message: &Message| message.extra.get("tool_calls").is_some_and(|calls| !calls.is_null());
        if !template.writes_calls && conversation.messages.iter().any(calls) {
            found.push(Oddity::UnwrittenCall);
        }
        if !template.writes_tools && conversation.tools.is_some() {
            found.push(Oddity::UnwrittenTools);
        }
        found
    }

    /// Tokens of an example. The inner error says why the row cannot be used; the caller knows the row.
    pub fn encode(&self, example: &Example, loss_on: LossOn) -> Result<std::result::Result<Encoded, String>> {
        match example {
            Example::Document(text) => self.document(text).map(Ok),
            Example::Conversation(conversation) => {
                Ok(self.conversation(conversation, loss_on)?.map(|traced| traced.encoded))
            }
        }
    }

    /// The same tokens as [`Encoder::encode`], with the text that each stands for.
    pub(super) fn trace(&self, example: &Example, loss_on: LossOn) -> Result<std::result::Result<Traced, String>> {
        let text = match example {
            Example::Conversation(conversation) => return self.conversation(conversation, loss_on),
            Example::Document(text) => text,
        };
        let encoded = self.document(text)?;
        // The text's own tokens lie between special ones that the tokenizer puts around it.
        let (own, places) = self.aligned(text)?;
        let before = encoded.tokens.windows(own.len().max(1)).position(|w| w == own).unwrap_or(0);
        let mut offsets = vec![(0, 0); before];
        offsets.extend(places);
        offsets.resize(encoded.tokens.len(), (text.len(), text.len()));
        Ok(Ok(Traced { encoded, text: text.clone(), offsets }))
    }

    /// The tokens of a text, without any that are added to it, and the bytes that each stands for.
    fn aligned(&self, text: &str) -> Result<words::Aligned> {
        let failed =
            |e: &dyn std::fmt::Display| Error::file(format!("the tokenizer failed: {e}"), &self.tokenizer.path);
        if let Some(words) = &self.words
            && let Some(found) = words.encode(text).map_err(|e| failed(&e))?
        {
            return Ok(found);
        }
        let encoding = self.plain.encode(text, false).map_err(|e| failed(&e))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// What ends an answer: the model's own tokens (`eos`), the tokenizer's, and what the chat template writes at the end of a
    /// turn.
    pub fn stop_tokens(&self, eos: &[u32]) -> Vec<u32> {
        let mut stop = eos.to_vec();
        stop.extend(self.tokenizer.eos_id);
        stop.extend(self.tokenizer.token_id(self.turn_shape().terminator.trim()));
        stop.sort_unstable();
        stop.dedup();
        stop
    }

    /// The text that the chat template makes.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> std::result::Result<String, String> {
        let template = self.template(tools.is_some());
        template.chat.render(&template.arguments.fit(messages), tools, add_generation_prompt).map(|r| r.text)
    }

    /// Tokens to generate from: the conversation so far, and the prompt for an answer.
    pub fn prompt(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>> {
        let text = self.render(messages, None, add_generation_prompt).map_err(Error::Other)?;
        self.tokenizer.encode(&text, false)
    }

    fn template(&self, with_tools: bool) -> &Template {
        self.tool_use.as_ref().filter(|_| with_tools).unwrap_or(&self.default)
    }

    /// A document: the tokenizer's own special tokens around it, an end-of-sequence token behind it; all of it trained.
    fn document(&self, text: &str) -> Result<Encoded> {
        let mut tokens = self.tokenizer.encode(text, true)?;
        if let Some(eos) = self.tokenizer.eos_id.filter(|eos| tokens.last() != Some(eos)) {
            tokens.push(eos);
        }
        Ok(Encoded { trained: vec![true; tokens.len()], tokens })
    }

    fn conversation(
        &self,
        conversation: &Conversation,
        loss_on: LossOn,
    ) -> Result<std::result::Result<Traced, String>> {
        let template = self.template(conversation.tools.is_some());
        let fitted = match template.arguments.fit(&conversation.messages) {
            Cow::Borrowed(_) => None,
            Cow::Owned(messages) => Some(Conversation { messages, tools: conversation.tools.clone() }),
        };
        let conversation = fitted.as_ref().unwrap_or(conversation);
        let rendered = match template.chat.render(&conversation.messages, conversation.tools.as_ref(), false) {
            Ok(rendered) => rendered,
            // Templates that know no calls add the text that is not there to another.
            Err(reason) if reason.starts_with(FAILED) && conversation.messages.iter().any(|m| m.content.is_none()) => {
                return Ok(Err(format!("{NO_TEXT} ({reason})")));
            }
            Err(reason) => return Ok(Err(reason)),
        };
        let ranges = match loss_on {
            LossOn::All => Vec::from([Range { start: 0, end: rendered.text.len() }]),
            LossOn::Completions | LossOn::LastTurn => {
                let last_only = loss_on == LossOn::LastTurn;
                match mask::trained_ranges(&template.chat, &template.shape, conversation, &rendered, last_only) {
                    Ok(ranges) => ranges,
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        };
        let (tokens, mut offsets) = self.aligned(&rendered.text)?;
        let mut encoded = Encoded { tokens, trained: trained_tokens(&offsets, &ranges) };
        if template.shape.terminator.is_empty()
            && let Some(eos) = self.tokenizer.eos_id.filter(|eos| encoded.tokens.last() != Some(eos))
        {
            let last = conversation.messages.last();
            let answered = last.is_some_and(|m| m.is_assistant() && m.train.unwrap_or(true));
            encoded.tokens.push(eos);
            encoded.trained.push(answered || loss_on == LossOn::All);
        }
        offsets.resize(encoded.tokens.len(), (rendered.text.len(), rendered.text.len()));
        Ok(Ok(Traced { encoded, text: rendered.text, offsets }))
    }
}

/// A token is trained if it contains any trained character: at a border that runs through a token, the token carries
/// text that the model must learn to say. transformers' `return_assistant_tokens_mask` decides the same.
fn trained_tokens(offsets: &[(usize, usize)], ranges: &[Range<usize>]) -> Vec<bool> {
    let mut ranges = ranges.iter().peekable();
    let mut trained = Vec::with_capacity(offsets.len());
    for &(start, end) in offsets {
        while ranges.peek().is_some_and(|range| range.end <= start) {
            ranges.next();
        }
        trained.push(ranges.peek().is_some_and(|range| start < range.end && range.start < end));
    }
    trained
}

/// See [`Encoder::fingerprint`].
fn fingerprint(chosen: &Choice, special: &[(String, String)], now: &jiff::ZonedDateTime) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    let sources = [Some(&chosen.source), chosen.tool_source.as_ref()];
    for source in sources.into_iter().flatten() {
        part(source);
        if ChatTemplate::source_uses_date(source) {
            // Most write the day alone; the time of day is in few, and then no two runs are alike.
            let clock = ["%H", "%I", "%M", "%S", "%T", "%R", "%X", "%c", "%s"].iter().any(|code| source.contains(code));
            part(&if clock { now.to_string() } else { now.date().to_string() });
        }
    }
    for (name, token) in special {
        part(name);
        part(token);
    }
    hash.finalize().into()
}

fn special_tokens(tokenizer: &TextTokenizer) -> Vec<(String, String)> {
    [
        ("bos_token", &tokenizer.bos_token),
        ("eos_token", &tokenizer.eos_token),
        ("pad_token", &tokenizer.pad_token),
        ("unk_token", &tokenizer.unk_token),
    ]
    .into_iter()
    .filter_map(|(name, token)| Some((name.to_string(), token.clone()?)))
    .collect()
}

/// Tokens that are never part of ordinary text.
fn control_tokens(tokenizer: &TextTokenizer) -> Vec<String> {
    let added = tokenizer.tokenizer.get_added_tokens_decoder();
    let special = added.into_values().filter(|token| token.special).map(|token| token.content);
    let named = [&tokenizer.bos_token, &tokenizer.eos_token].into_iter().flatten().cloned();
    special.chain(named).collect::<BTreeSet<_>>().into_iter().collect()
}
