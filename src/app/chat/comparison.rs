//! Base and adapted model over one answer, word by word, as it is shown.

use crate::engine::Result;
use crate::engine::formats::TextTokenizer;
use crate::engine::generate::{Divergence, TextStream};

/// A word of the answer, with the space before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// As it stands in the answer.
    pub text: String,
    /// Tokens that it is made of.
    pub tokens: usize,
    /// Sum of their KL divergences, in nats.
    pub kl: f64,
    /// Probability of all of them for the base model.
    pub base: f64,
    /// Probability of all of them for the adapted model.
    pub adapted: f64,
    /// At one of them the models' likeliest tokens differ.
    pub differs: bool,
}

/// How far the two models are from each other over the adapted answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Mean KL(adapted ‖ base), nats a token.
    pub mean_kl: f64,
    /// Share of the tokens at which the likeliest tokens differ, 0 to 1.
    pub greedy_share: f64,
    /// Tokens that were compared, with the one that ends the answer.
    pub tokens: usize,
    /// The answer; joined, the words are its text.
    pub words: Vec<Word>,
}

impl Comparison {
    /// Puts the tokens together to words; `shown` is the answer's text, which may end before the tokens do.
    pub fn of(divergence: &Divergence, tokenizer: &TextTokenizer, shown: &str) -> Result<Comparison> {
        let mut stream = TextStream::new(tokenizer);
        let mut words: Vec<Word> = Vec::new();
        let mut open = false;
        for token in &divergence.tokens {
            let text = stream.push(token.token)?;
            // A token whose character is not complete yet has no text: what follows belongs to it.
            let begins = text.starts_with(char::is_whitespace) || words.last().is_some_and(|w| w.text.ends_with('\n'));
            if words.is_empty() || (begins && !open) {
                words.push(Word { text: String::new(), tokens: 0, kl: 0.0, base: 1.0, adapted: 1.0, differs: false });
            }
            open = text.is_empty();
            if let Some(word) = words.last_mut() {
                word.text.push_str(&text);
                word.tokens += 1;
                word.kl += token.kl;
                word.base *= token.base;
                word.adapted *= token.adapted;
                word.differs |= token.greedy_differs;
            }
        }
        if let (Some(word), rest) = (words.last_mut(), stream.finish()?) {
            word.text.push_str(&rest);
        }
        let mut left = shown.len();
        for word in &mut words {
            let mut end = left.min(word.text.len());
            while !word.text.is_char_boundary(end) {
                end -= 1;
            }
            word.text.truncate(end);
            left -= end;
        }
        words.retain(|w| !w.text.is_empty());
        Ok(Comparison {
            mean_kl: divergence.mean_kl(),
            greedy_share: divergence.greedy_share(),
            tokens: divergence.tokens.len(),
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::formats;
    use crate::engine::generate::TokenDivergence;

    #[test]
    fn words_join_to_the_text_and_their_numbers_to_the_answers() {
        let tokenizer = formats::open_named("builtin:tiny-chat").unwrap().tokenizer().unwrap();
        let text = "The sea is wide,\nand it shimmers unbelievably.";
        let tokens = tokenizer.encode(text, false).unwrap();
        let one = |token| TokenDivergence { token, kl: 0.5, base: 0.5, adapted: 0.25, greedy_differs: false };
        let divergence = Divergence { tokens: tokens.iter().map(|t| one(*t)).collect() };
        let all = Comparison::of(&divergence, &tokenizer, text).unwrap();
        assert_eq!(all.words.iter().map(|w| w.text.as_str()).collect::<String>(), text);
        assert_eq!(all.words.iter().map(|w| w.tokens).sum::<usize>(), tokens.len());
        assert!(all.words.len() >= 8 && all.words.len() <= 10, "{:?}", all.words);
        for word in &all.words {
            assert_eq!((word.kl, word.base), (0.5 * word.tokens as f64, 0.5f64.powi(word.tokens as i32)));
        }
        assert_eq!((all.mean_kl, all.greedy_share, all.tokens), (0.5, 0.0, tokens.len()));
        // Cut at a stop string.
        let cut = Comparison::of(&divergence, &tokenizer, "The sea is w").unwrap();
        assert_eq!(cut.words.iter().map(|w| w.text.as_str()).collect::<String>(), "The sea is w");
    }
}
