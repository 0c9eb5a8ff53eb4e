//! The tokenizer in a GGUF file's metadata, built so that it gives llama.cpp's ids (`llama-vocab.cpp`).

use std::borrow::Cow;
use std::collections::HashMap;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as NormalizerSequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizerSequence;
use tokenizers::pre_tokenizers::split::{Split as SplitPreTokenizer, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::TextTokenizer;
use super::split::{Split, split};
use crate::engine::formats::gguf::GgufFile;
use crate::engine::model::ModelConfig;
use crate::engine::{Error, Result};

/// Kinds of tokens (`enum llama_token_type`).
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

/// Tokens that end a generation wherever they are in a vocabulary (`special_eog_ids`).
const END_TEXTS: [&str; 13] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|end_of_text|>",
    "<end_of_utterance>",
];

/// Tokens that are special by their text, whatever kind the file gives them.
const FILL_IN_TEXTS: [&str; 7] = [
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// Ids that end a sequence: the file's own first, then those whose texts say so.
pub(crate) fn end_tokens(file: &GgufFile) -> Result<Vec<u32>> {
    let mut ids: Vec<u32> = Vec::new();
    let named = ["eos_token_id", "eot_token_id", "eom_token_id"];
    let own = named.iter().filter_map(|key| file.token_id(&format!("tokenizer.ggml.{key}")));
    let tokens = file.strings("tokenizer.ggml.tokens")?.unwrap_or_default();
    let by_text = tokens.iter().zip(0u32..).filter(|(text, _)| END_TEXTS.contains(&text.as_ref())).map(|(_, id)| id);
    for id in own.filter(|id| (*id as usize) < tokens.len()).chain(by_text) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The vocabulary as the file states it.
struct Vocabulary<'a> {
    file: &'a GgufFile,
    tokens: Vec<Cow<'a, str>>,
    kinds: Vec<i64>,
}

impl<'a> Vocabulary<'a> {
    fn read(file: &'a GgufFile) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let mut tokens =
            file.strings(key)?.ok_or_else(|| Error::file(format!("metadata {key} is missing"), file.path()))?;
        for (i, token) in tokens.iter_mut().enumerate().filter(|(_, t)| t.is_empty()) {
            *token = Cow::Owned(format!("[EMPTY_{i}]"));
        }
        let kinds = file.integers("tokenizer.ggml.token_type")?.unwrap_or_else(|| vec![1; tokens.len()]);
        if kinds.len() < tokens.len() {
            return Err(Error::file(
                "metadata tokenizer.ggml.token_type has fewer entries than there are tokens",
                file.path(),
            ));
        }
        Ok(Vocabulary { file, tokens, kinds })
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::file(message, self.file.path())
    }

    /// Text → id; a text must not occur twice.
    fn ids(&self) -> Result<Vocab> {
        let mut ids = Vocab::with_capacity(self.tokens.len());
        for (token, id) in self.tokens.iter().zip(0u32..) {
            if let Some(first) = ids.insert(token.to_string(), id) {
                return Err(self.error(format!("the token {token:?} has two ids, {first} and {id}")));
            }
        }
        Ok(ids)
    }

    /// Tokens that are found in a text before it is cut into words.
    fn special(&self, strip_right: bool) -> Vec<AddedToken> {
        let is_special = |i: usize| {
            let text = self.tokens[i].as_ref();
            let by_text = END_TEXTS.contains(&text) || FILL_IN_TEXTS.contains(&text);
            by_text || matches!(self.kinds[i], UNKNOWN | CONTROL | USER_DEFINED)
        };
        let token = |i: usize| {
            let text = self.tokens[i].to_string();
            let rstrip = strip_right && !["<unk>", "<s>", "<|endoftext|>"].contains(&text.as_str());
            // Users' own tokens are ordinary text when special tokens are left out of a decoded text.
            AddedToken::from(text, self.kinds[i] != USER_DEFINED).normalized(false).rstrip(rstrip)
        };
        (0..self.tokens.len()).filter(|&i| is_special(i)).map(token).collect()
    }
}

impl TextTokenizer {
    /// Builds the tokenizer of a GGUF file, for a model of that configuration.
    pub fn from_gguf(file: &GgufFile, config: &ModelConfig) -> Result<TextTokenizer> {
        let vocabulary = Vocabulary::read(file)?;
        let model = file.str("tokenizer.ggml.model")?.unwrap_or_default();
        let name = file.str("general.name")?.unwrap_or_default().to_lowercase();
        let space_prefix = file.bool("tokenizer.ggml.add_space_prefix")?;
        let (mut tokenizer, adds_bos) = match model.as_ref() {
            "gpt2" => {
                let pre = file.str("tokenizer.ggml.pre")?.unwrap_or_default();
                let Some(split) = split(&pre) else {
                    return Err(vocabulary.error(format!("the tokenizer's splitting rule {pre:?} is not supported")));
                };
                (byte_level(&vocabulary, split)?, split.adds_bos)
            }
            "llama" => (sentencepiece(&vocabulary, space_prefix.unwrap_or(true))?, true),
            other => {
                let message =
                    format!("a tokenizer of kind {other:?} is not supported; gpt2 (byte-level BPE) and llama are");
                return Err(vocabulary.error(message));
            }
        };
        // llama.cpp's rule for Phi-3, whose files do not say which tokens swallow the space after them.
        let strip_right = name.contains("phi-3") || name.contains("phi3");
        let failed = |e: tokenizers::Error| vocabulary.error(format!("the tokenizer cannot be built: {e}"));
        for token in vocabulary.special(strip_right) {
            let special = token.special;
            let added = if special { tokenizer.add_special_tokens([token]) } else { tokenizer.add_tokens([token]) };
            added.map_err(failed)?;
        }
        let spm = model == "llama";
        let text_of = |key: &str, default: Option<u32>| {
            let id = file.token_id(&format!("tokenizer.ggml.{key}")).or(default.filter(|_| spm));
            id.and_then(|id| vocabulary.tokens.get(id as usize)).map(|t| t.to_string())
        };
        let (chat_template, named_templates) = templates(file)?;
        let text = TextTokenizer {
            bos_token: text_of("bos_token_id", Some(1)),
            eos_token: text_of("eos_token_id", Some(2)),
            pad_token: text_of("padding_token_id", None),
            unk_token: text_of("unknown_token_id", Some(0)),
            tokenizer,
            chat_template,
            named_templates,
            bos_id: None,
            eos_id: None,
            pad_id: None,
            adds_bos: false,
            adds_eos: false,
            vocab_size: config.vocab,
            path: file.path().to_path_buf(),
        };
        let mut text = text.finish(config)?;
        let adds_bos = file.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
        let adds_eos = file.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
        text.set_post_processor(adds_bos && text.bos_id.is_some(), adds_eos && text.eos_id.is_some())?;
        Ok(text)
    }
}

/// The default template, and the named ones.
type Templates = (Option<String>, Vec<(String, String)>);

/// `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for every name in `tokenizer.chat_templates`.
fn templates(file: &GgufFile) -> Result<Templates> {
    let default = file.str("tokenizer.chat_template")?.map(Cow::into_owned);
    let mut named = Vec::new();
    for name in file.strings("tokenizer.chat_templates")?.unwrap_or_default() {
        if let Some(template) = file.str(&format!("tokenizer.chat_template.{name}"))? {
            named.push((name.into_owned(), template.into_owned()));
        }
    }
    Ok((default, named))
}

/// Byte-level BPE with the file's merges.
fn byte_level(vocabulary: &Vocabulary<'_>, rule: Split) -> Result<Tokenizer> {
    let ids = vocabulary.ids()?;
    let lines = vocabulary.file.strings("tokenizer.ggml.merges")?;
    let lines = lines.ok_or_else(|| vocabulary.error("metadata tokenizer.ggml.merges is missing"))?;
    let mut merges: Merges = Vec::with_capacity(lines.len());
    let mut seen = std::collections::HashSet::with_capacity(lines.len());
    for line in &lines {
        // The first byte belongs to the left part even if it is a space, as in llama.cpp.
        let first = line.chars().next().map_or(0, char::len_utf8);
        let Some(at) = line.get(first..).and_then(|rest| rest.find(' ')) else { continue };
        let (left, right) = (&line[..first + at], &line[first + at + 1..]);
        let joined = format!("{left}{right}");
        // A merge whose parts or result are no tokens can never be applied; the library would refuse it.
        let possible = [left, right, joined.as_str()].iter().all(|part| ids.contains_key(*part));
        // Of a pair that is listed twice, the first rank counts.
        if possible && seen.insert((left.to_string(), right.to_string())) {
            merges.push((left.to_string(), right.to_string()));
        }
    }
    let bpe = BPE::builder().vocab_and_merges(ids, merges).ignore_merges(rule.ignore_merges).build();
    let failed = |e: tokenizers::Error| vocabulary.error(format!("the tokenizer cannot be built: {e}"));
    let mut tokenizer = Tokenizer::new(bpe.map_err(failed)?);
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for expression in rule.expressions {
        let pattern = SplitPattern::Regex((*expression).to_string());
        let step = SplitPreTokenizer::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        steps.push(step.into());
    }
    steps.push(ByteLevel::new(false, true, false).into());
    tokenizer.with_pre_tokenizer(Some(PreTokenizerSequence::new(steps)));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, false)));
    Ok(tokenizer)
}

/// Pieces longer than this have no merges worked out (SentencePiece trains pieces of at most 16 characters).
const MAX_PIECE: usize = 256;

/// SentencePiece's merging by scores, as ranked merges: of two neighbours that make a piece, the pair whose piece has
/// the highest score is joined first. What is in no piece falls back to bytes.
fn sentencepiece(vocabulary: &Vocabulary<'_>, space_prefix: bool) -> Result<Tokenizer> {
    let ids = vocabulary.ids()?;
    let scores = vocabulary.file.floats("tokenizer.ggml.scores")?.unwrap_or_else(|| vec![0.0; vocabulary.tokens.len()]);
    if scores.len() < vocabulary.tokens.len() {
        return Err(vocabulary.error("metadata tokenizer.ggml.scores has fewer entries than there are tokens"));
    }
    let mut order: Vec<usize> = (0..vocabulary.tokens.len()).filter(|&i| vocabulary.kinds[i] != BYTE).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let known: HashMap<&str, ()> = vocabulary.tokens.iter().map(|t| (t.as_ref(), ())).collect();
    let mut merges: Merges = Vec::new();
    for i in order {
        let piece = vocabulary.tokens[i].as_ref();
        if piece.len() > MAX_PIECE {
            continue;
        }
        // Longer left parts first: runs of one character are joined from the left, so that is how they meet.
        for (at, _) in piece.char_indices().skip(1).collect::<Vec<_>>().into_iter().rev() {
            let (left, right) = piece.split_at(at);
            if known.contains_key(left) && known.contains_key(right) {
                merges.push((left.to_string(), right.to_string()));
            }
        }
    }
    let builder = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
    let unknown = vocabulary.file.token_id("tokenizer.ggml.unknown_token_id").unwrap_or(0);
    let builder = match vocabulary.tokens.get(unknown as usize) {
        Some(token) => builder.unk_token(token.to_string()),
        None => builder,
    };
    let failed = |e: tokenizers::Error| vocabulary.error(format!("the tokenizer cannot be built: {e}"));
    let mut tokenizer = Tokenizer::new(builder.build().map_err(failed)?);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    let mut decoders: Vec<DecoderWrapper> =
        vec![Replace::new("▁", " ").map_err(failed)?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if space_prefix {
        normalizers.push(Prepend::new("▁".to_string()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    normalizers.push(Replace::new(" ", "▁").map_err(failed)?.into());
    tokenizer.with_normalizer(Some(NormalizerSequence::new(normalizers))).map_err(failed)?;
    tokenizer.with_decoder(Some(DecoderSequence::new(decoders)));
    Ok(tokenizer)
}
