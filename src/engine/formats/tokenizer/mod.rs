//! Tokenizers and chat templates of models.

mod folder;
mod gguf;
mod split;

use std::path::PathBuf;

use tokenizers::Tokenizer;

use crate::engine::model::ModelConfig;
use crate::engine::{Error, Result};

pub(crate) use gguf::end_tokens;

/// A model's tokenizer with what chat templates need.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    /// The tokenizer itself; no truncation, no padding.
    pub tokenizer: Tokenizer,
    /// The default chat template (Jinja), if the model has one.
    pub chat_template: Option<String>,
    /// Other templates by name, such as `tool_use`.
    pub named_templates: Vec<(String, String)>,
    /// Text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// Text of the token that ends a sequence.
    pub eos_token: Option<String>,
    /// Text of the padding token.
    pub pad_token: Option<String>,
    /// Text of the token for what is not in the vocabulary.
    pub unk_token: Option<String>,
    /// Id of `bos_token`.
    pub bos_id: Option<u32>,
    /// Id of `eos_token`.
    pub eos_id: Option<u32>,
    /// Id of `pad_token`.
    pub pad_id: Option<u32>,
    /// Encoding with special tokens begins with `bos_id`.
    pub adds_bos: bool,
    /// Encoding with special tokens ends with `eos_id`.
    pub adds_eos: bool,
    /// Rows of the model's embedding: every id is below.
    pub vocab_size: usize,
    /// Where it was read from.
    pub path: PathBuf,
}

impl TextTokenizer {
    /// Ids of a text. Special tokens written in the text are recognised; `add_special_tokens` adds those that the
    /// tokenizer puts around a text.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, add_special_tokens);
        let encoding = encoding.map_err(|e| Error::file(format!("the tokenizer failed: {e}"), &self.path))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of ids.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let text = self.tokenizer.decode(ids, skip_special_tokens);
        text.map_err(|e| Error::file(format!("the tokenizer failed: {e}"), &self.path))
    }

    /// Id of a token's text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Looks up ids of the special tokens, finds out what encoding adds, and refuses a tokenizer of another model.
    fn finish(mut self, config: &ModelConfig) -> Result<TextTokenizer> {
        let _ = self.tokenizer.with_truncation(None);
        self.tokenizer.with_padding(None);
        self.drop_unused_beyond(config.vocab)?;
        let id = |token: &Option<String>| token.as_deref().and_then(|t| self.tokenizer.token_to_id(t));
        (self.bos_id, self.eos_id, self.pad_id) = (id(&self.bos_token), id(&self.eos_token), id(&self.pad_token));
        let plain = self.encode("a", false)?;
        let special = self.encode("a", true)?;
        let added = special.len() > plain.len();
        self.adds_bos = added && self.bos_id.is_some() && special.first().copied() == self.bos_id;
        self.adds_eos = added && self.eos_id.is_some() && special.last().copied() == self.eos_id;
        Ok(self)
    }

    /// Every id must have a row in the embedding. Special tokens beyond it that nothing uses are an exception that
    /// published models make (Gemma 3 1B keeps its larger siblings' image token): they are read as plain text.
    fn drop_unused_beyond(&mut self, vocab: usize) -> Result<()> {
        let beyond = |t: &Tokenizer| {
            let mut found: Vec<(String, u32)> =
                t.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= vocab).collect();
            found.sort_by_key(|(_, id)| *id);
            found
        };
        let outside = beyond(&self.tokenizer);
        let Some((token, id)) = outside.first() else { return Ok(()) };
        let added = self.tokenizer.get_added_tokens_decoder();
        let named = [&self.bos_token, &self.eos_token, &self.pad_token, &self.unk_token];
        let templates = self.chat_template.iter().chain(self.named_templates.iter().map(|(_, t)| t));
        let used = |token: &str| {
            named.iter().any(|n| n.as_deref() == Some(token)) || templates.clone().any(|t| t.contains(token))
        };
        let harmless = |(token, id): &(String, u32)| added.get(id).is_some_and(|a| a.special) && !used(token);
        if !outside.iter().all(harmless) {
            let message = format!(
                "the tokenizer does not fit the model: token {token:?} has id {id}, but the model's vocabulary has \
                 {vocab} entries; use the tokenizer that came with the model"
            );
            return Err(Error::file(message, &self.path));
        }
        let failed = |e: &dyn std::fmt::Display| Error::file(format!("the tokenizer cannot be read: {e}"), &self.path);
        let mut json = serde_json::to_value(&self.tokenizer).map_err(|e| failed(&e))?;
        if let Some(list) = json.get_mut("added_tokens").and_then(|v| v.as_array_mut()) {
            list.retain(|t| t["id"].as_u64().is_none_or(|id| (id as usize) < vocab));
        }
        self.tokenizer = serde_json::from_value(json).map_err(|e| failed(&e))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
