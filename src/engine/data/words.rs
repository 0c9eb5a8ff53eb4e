//! Byte-level tokenizers, several times faster: the text is split into words in place, and each word's tokens come from the
//! tokenizers crate once.
//!
//! The crate keeps an alignment of every character through every stage of its pipeline, which takes most of its time.
//! Without a normalizer, text and tokens are aligned byte by byte, so none is needed. Where a tokenizer has
//! anything that is not known here to be plain splitting, [`Words::of`] is `None` and the crate does all the work. Tests
//! compare tokens and offsets with the crate's.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use rustc_hash::FxBuildHasher;
use serde_json::Value;
use tokenizers::{Model, ModelWrapper, NormalizerWrapper, Tokenizer};

/// Longer words are not kept.
const KEPT_BYTES: usize = 64;
/// Words kept in each part of the cache.
const KEPT_WORDS: usize = 4 << 10;
/// Parts of the cache, so that threads seldom wait for one another.
const PARTS: usize = 64;
/// What GPT-2 splits at (`ByteLevel` with `use_regex`), without its last look-ahead; see [`Split::Pattern`].
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
/// How such patterns end: white space leaves its last character to the word behind it. Without the last alternative that
/// character is a piece by itself all the same: the one between two matches.
const SPACES: [&str; 2] = [r"|\s+(?!\S)|\s+", r"|\s+(?!\S)"];

/// Tokens of a word with their lengths in bytes.
type Tokens = Box<[(u32, u32)]>;
type Part = Mutex<HashMap<Box<str>, Tokens, FxBuildHasher>>;

/// Tokens, and the bytes that each stands for.
pub type Aligned = (Vec<u32>, Vec<(usize, usize)>);

/// A tokenizer that is taken apart.
pub struct Words {
    model: ModelWrapper,
    /// Added tokens, the longest first, and their ids.
    added: Option<Regex>,
    added_ids: HashMap<String, u32>,
    splits: Vec<Split>,
    /// Other texts are for the crate.
    ascii_only: bool,
    cache: Box<[Part]>,
    /// What a byte is called in the vocabulary.
    names: [char; 256],
}

/// A stage that splits a piece of text.
enum Split {
    /// Every numeric character by itself.
    EachDigit,
    /// Stretches of numeric characters.
    Digits,
    /// At each match; what lies between matches is a piece, too.
    Pattern(Regex),
    /// The same, and a match of white space alone that is longer than a character and has a word behind it leaves its last
    /// character to that word: what `\s+(?!\S)|\s+` does, without looking ahead.
    Spaces {
        regex: Regex,
        /// Line ends have an alternative of their own, which keeps its last character.
        keeps_line_ends: bool,
    },
}

impl Words {
    /// Takes a tokenizer apart; `None` if it has anything that is not known here.
    pub fn of(tokenizer: &Tokenizer) -> Option<Words> {
        let ModelWrapper::BPE(bpe) = tokenizer.get_model() else { return None };
        let plain = |affix: &Option<String>| affix.as_deref().unwrap_or_default().is_empty();
        let same_each_time = bpe.dropout.is_none_or(|dropout| dropout == 0.0) && !bpe.byte_fallback;
        // NFC leaves ASCII as it is.
        let ascii_only = match tokenizer.get_normalizer() {
            None => false,
            Some(NormalizerWrapper::NFC(_)) => true,
            Some(_) => return None,
        };
        if tokenizer.get_truncation().is_some()
            || tokenizer.get_padding().is_some()
            || !same_each_time
            || !plain(&bpe.continuing_subword_prefix)
            || !plain(&bpe.end_of_word_suffix)
        {
            return None;
        }
        let splits = splits(&serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?)?;
        let tokens = tokenizer.get_added_tokens_decoder();
        if tokens.values().any(|t| t.normalized || t.lstrip || t.rstrip || t.single_word || t.content.is_empty()) {
            return None;
        }
        let added_ids: HashMap<String, u32> = tokens.into_iter().map(|(id, token)| (token.content, id)).collect();
        let mut contents: Vec<&String> = added_ids.keys().collect();
        contents.sort_by_key(|content| std::cmp::Reverse(content.len()));
        let pattern = contents.iter().map(|content| regex::escape(content)).collect::<Vec<_>>().join("|");
        let added = if contents.is_empty() { None } else { Some(Regex::new(&pattern).ok()?) };
        let cache = (0..PARTS).map(|_| Part::default()).collect();
        Some(Words {
            model: tokenizer.get_model().clone(),
            added,
            added_ids,
            splits,
            ascii_only,
            cache,
            names: byte_names(),
        })
    }

    /// The tokens of a text, and the bytes of it that each stands for, whole characters; `None` for a text that is left to the
    /// crate.
    ///
    /// # Errors
    /// The model's, which byte-level ones do not have.
    pub fn encode(&self, text: &str) -> Result<Option<Aligned>, String> {
        if self.ascii_only && !text.is_ascii() {
            return Ok(None);
        }
        let mut into = Encoded { text, ids: Vec::new(), offsets: Vec::new() };
        let mut at = 0;
        for found in self.added.iter().flat_map(|added| added.find_iter(text)) {
            self.split(&text[at..found.start()], at, &self.splits, &mut into)?;
            let id = self.added_ids.get(found.as_str()).copied().unwrap_or_default();
            into.ids.push(id);
            into.offsets.push((found.start(), found.end()));
            at = found.end();
        }
        self.split(&text[at..], at, &self.splits, &mut into)?;
        Ok(Some((into.ids, into.offsets)))
    }

    fn split(&self, piece: &str, start: usize, splits: &[Split], into: &mut Encoded) -> Result<(), String> {
        let Some((split, rest)) = splits.split_first() else { return self.word(piece, start, into) };
        let mut at = 0;
        let mut cut = |end: usize| {
            let piece = &piece[at..end];
            let place = start + at;
            at = end;
            if piece.is_empty() { Ok(()) } else { self.split(piece, place, rest, into) }
        };
        match split {
            Split::EachDigit | Split::Digits => {
                let each = matches!(split, Split::EachDigit);
                let mut before = None;
                for (place, c) in piece.char_indices() {
                    let numeric = c.is_numeric();
                    if before.is_some_and(|before| before != numeric || (each && numeric)) {
                        cut(place)?;
                    }
                    before = Some(numeric);
                }
            }
            Split::Pattern(regex) => {
                for found in regex.find_iter(piece).filter(|found| !found.is_empty()) {
                    cut(found.start())?;
                    cut(found.end())?;
                }
            }
            Split::Spaces { regex, keeps_line_ends } => {
                let mut from = 0;
                while let Some(found) = regex.find_at(piece, from) {
                    let mut end = found.end();
                    if found.is_empty() {
                        break;
                    }
                    let last = found.as_str().chars().next_back().map_or(0, char::len_utf8);
                    let spaces = || found.as_str().chars().all(char::is_whitespace);
                    let line_ends = *keeps_line_ends && found.as_str().ends_with(['\r', '\n']);
                    if end < piece.len() && found.len() > last && !line_ends && spaces() {
                        end -= last;
                    }
                    cut(found.start())?;
                    cut(end)?;
                    from = end;
                }
            }
        }
        cut(piece.len())
    }

    fn word(&self, word: &str, start: usize, into: &mut Encoded) -> Result<(), String> {
        if word.is_empty() {
            return Ok(());
        }
        if word.len() > KEPT_BYTES {
            into.push(start, &self.tokens(word)?);
            return Ok(());
        }
        let part = FxBuildHasher.hash_one(word) as usize >> 7;
        let part = &self.cache[part % PARTS];
        let known = part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = known.get(word) {
            into.push(start, tokens);
            return Ok(());
        }
        drop(known);
        let tokens = self.tokens(word)?;
        into.push(start, &tokens);
        let mut known = part.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_WORDS {
            known.clear();
        }
        known.insert(word.into(), tokens);
        Ok(())
    }

    /// The tokens of a word, by the model.
    fn tokens(&self, word: &str) -> Result<Tokens, String> {
        let named: String = word.bytes().map(|byte| self.names[usize::from(byte)]).collect();
        let tokens = self.model.tokenize(&named).map_err(|e| e.to_string())?;
        Ok(tokens.into_iter().map(|token| (token.id, token.value.chars().count() as u32)).collect())
    }
}

struct Encoded<'a> {
    text: &'a str,
    ids: Vec<u32>,
    offsets: Vec<(usize, usize)>,
}

impl Encoded<'_> {
    fn push(&mut self, start: usize, tokens: &[(u32, u32)]) {
        let mut at = start;
        for &(id, bytes) in tokens {
            let (mut from, mut to) = (at, at + bytes as usize);
            at = to;
            // A token of a part of a character stands for the character.
            while !self.text.is_char_boundary(from) {
                from -= 1;
            }
            while to < self.text.len() && !self.text.is_char_boundary(to) {
                to += 1;
            }
            self.ids.push(id);
            self.offsets.push((from, to));
        }
    }
}

/// The stages of a pre-tokenizer that ends with `ByteLevel`.
fn splits(pre_tokenizer: &Value) -> Option<Vec<Split>> {
    let stages = match pre_tokenizer["type"].as_str()? {
        "Sequence" => pre_tokenizer["pretokenizers"].as_array()?.as_slice(),
        _ => std::slice::from_ref(pre_tokenizer),
    };
    let (last, others) = stages.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
        return None;
    }
    let mut splits = others.iter().map(split).collect::<Option<Vec<_>>>()?;
    if last["use_regex"] != false {
        splits.push(Split::Spaces { regex: Regex::new(GPT2).ok()?, keeps_line_ends: false });
    }
    Some(splits)
}

fn split(stage: &Value) -> Option<Split> {
    match stage["type"].as_str()? {
        "Digits" if stage["individual_digits"] == true => Some(Split::EachDigit),
        "Digits" => Some(Split::Digits),
        "Split" if stage["behavior"] == "Isolated" && stage["invert"] == false => {
            pattern(stage["pattern"]["Regex"].as_str()?)
        }
        _ => None,
    }
}

/// A regular expression without look-around, or one that looks ahead behind white space alone.
fn pattern(pattern: &str) -> Option<Split> {
    let Some(words) = SPACES.iter().find_map(|spaces| pattern.strip_suffix(spaces)) else {
        return Regex::new(pattern).ok().map(Split::Pattern);
    };
    // White space may be matched alone by the alternative for line ends only, which is the one before.
    let line_ends = [r"|\s*[\r\n]+", r"|\s*[\r\n]"];
    let others = line_ends.iter().find_map(|end| words.strip_suffix(end));
    if others.unwrap_or(words).replace(r"[^\s", "").contains(r"\s") {
        return None;
    }
    let regex = Regex::new(&format!(r"{words}|\s+")).ok()?;
    Some(Split::Spaces { regex, keeps_line_ends: others.is_some() })
}

/// What each byte is called in the vocabulary of a byte-level tokenizer: printable ones are themselves, the others follow
/// from U+0100 on (`bytes_to_unicode` of GPT-2's encoder.py).
fn byte_names() -> [char; 256] {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        if printable(byte as u8) {
            return char::from(byte as u8);
        }
        next += 1;
        char::from_u32(next - 1).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use tokenizers::PostProcessorWrapper;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;
    use crate::engine::data::random::Random;
    use crate::engine::data::testing::{byte_tokenizer, shared_data, smollm2};
    use crate::engine::formats;

    /// Pieces that texts are made of: letters, digits, spaces and line ends of all kinds, parts of contractions, characters
    /// of several bytes, added tokens and what only looks like them.
    const PIECES: &[&str] = &[
        "a",
        "Word",
        "the",
        "'s",
        "'ll",
        "'",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\u{A0}",
        "\u{3000}",
        "7",
        "2024",
        "½",
        "é",
        "e\u{301}",
        "漢字",
        "🙂",
        "👩‍👩‍👧",
        ".",
        ",",
        "!?",
        "(",
        "_",
        "ß",
        "İ",
        "\u{200B}",
        "\0",
        "<|im_start|>",
        "<|im_end|>",
        "<|im_",
        "<|endoftext|>",
        "\u{FFFD}",
        "\u{1F1E6}\u{1F1FA}",
        "<",
        ">",
        "x1",
        "١٢",
    ];

    fn same(tokenizer: &Tokenizer, words: &Words, text: &str) {
        let expected = tokenizer.encode(text, false).unwrap();
        let Some((ids, offsets)) = words.encode(text).unwrap() else {
            assert!(!text.is_ascii());
            return;
        };
        assert_eq!(ids, expected.get_ids(), "{text:?}");
        assert_eq!(offsets, expected.get_offsets(), "{text:?}");
    }

    fn same_everywhere(mut tokenizer: Tokenizer, rounds: usize) {
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        let words = Words::of(&tokenizer).unwrap();
        same(&tokenizer, &words, "");
        let mut random = Random::new(3, "texts", 0);
        for _ in 0..rounds {
            let text: String = (0..random.below(30)).map(|_| PIECES[random.below(PIECES.len())]).collect();
            same(&tokenizer, &words, &text);
        }
        for name in ["identity.json", "gsm8k_test.jsonl", "wiki_demo.txt"] {
            let Some(path) = shared_data(name) else { continue };
            for line in std::fs::read_to_string(path).unwrap().lines().take(200) {
                same(&tokenizer, &words, line);
            }
        }
    }

    #[test]
    fn tokens_and_offsets_are_the_crates() {
        let tiny = formats::open(formats::builtin::model("tiny-chat").unwrap()).unwrap();
        same_everywhere(tiny.tokenizer().unwrap().tokenizer, 20_000);
        let bytes = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], None).tokenizer;
        same_everywhere(bytes.clone(), 5_000);
        // What llama.cpp splits SmolLM's and GPT-2's words at: nothing stands for a single space before a word.
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
        let step = |pattern: &str| serde_json::json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let stages = serde_json::json!({"type": "Sequence", "pretokenizers": [
            step(r"\p{N}"), step(gpt2),
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]});
        let mut smol = bytes.clone();
        let stages: tokenizers::PreTokenizerWrapper = serde_json::from_value(stages).unwrap();
        smol.with_pre_tokenizer(Some(stages));
        same_everywhere(smol, 20_000);
        // What Llama 3 and Qwen 2 split at.
        for digits in [r"\p{N}{1,3}", r"\p{N}"] {
            let pattern = format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            let stages = serde_json::json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            ]});
            let mut tokenizer = bytes.clone();
            let stages: tokenizers::PreTokenizerWrapper = serde_json::from_value(stages).unwrap();
            tokenizer.with_pre_tokenizer(Some(stages));
            same_everywhere(tokenizer.clone(), 20_000);
            tokenizer.with_normalizer(Some(tokenizers::normalizers::NFC)).unwrap();
            same_everywhere(tokenizer, 5_000);
        }
        if let Some(model) = smollm2() {
            same_everywhere(formats::open(&model).unwrap().tokenizer().unwrap().tokenizer, 20_000);
        }
    }

    #[test]
    fn what_is_not_known_is_left_to_the_crate() {
        let mut spaced = byte_tokenizer(&["<eos>"], None).tokenizer;
        spaced.with_pre_tokenizer(Some(ByteLevel::new(true, false, true)));
        assert!(Words::of(&spaced).is_none());
        let mut normalized = byte_tokenizer(&["<eos>"], None).tokenizer;
        normalized.with_normalizer(Some(tokenizers::normalizers::Lowercase)).unwrap();
        assert!(Words::of(&normalized).is_none());
    }
}
