//! A second opinion on a mask, found in another way than the mask itself: not by where the answers are, but by where
//! everything else is.

use std::fmt;
use std::ops::Range;

use super::{Encoded, Encoder};
use crate::engine::config::LossOn;
use crate::engine::data::{Conversation, Example, Message};
use crate::engine::{Error, Result};

/// What is wrong with the tokens of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskFault {
    /// Trained text that does not end with what ends a turn: the model would not learn to stop.
    NoEnd {
        /// The last of that text.
        text: String,
    },
    /// Trained text that is ended twice.
    TwoEnds {
        /// The last of that text.
        text: String,
    },
    /// Words of a message that is not to be trained are trained.
    Trained {
        /// The message, from 0.
        message: usize,
        /// Its role.
        role: String,
    },
    /// The text begins with the beginning-of-sequence token more than once.
    TwoBeginnings,
    /// The tokenizer begins every text with that token, and this one lacks it.
    NoBeginning,
    /// The tokens are not those of the text that the template makes.
    OtherTokens,
}

impl fmt::Display for MaskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskFault::NoEnd { text } => write!(f, "an answer is trained without what ends it: …{text:?}"),
            MaskFault::TwoEnds { text } => write!(f, "an answer is ended twice: …{text:?}"),
            MaskFault::Trained { message, role } => write!(f, "words of messages[{message}] ({role}) are trained"),
            MaskFault::TwoBeginnings => f.write_str("it begins with two beginning-of-sequence tokens"),
            MaskFault::NoBeginning => {
                f.write_str("it lacks the beginning-of-sequence token, which the tokenizer begins every text with")
            }
            MaskFault::OtherTokens => f.write_str("its tokens are not those of the text that the chat template makes"),
        }
    }
}

/// Characters that mark the words of a message. Noncharacters of Unicode: no vocabulary has them, no template trims them.
const MARKS: [char; 2] = ['\u{FDDA}', '\u{FDDB}'];

impl Encoder<'_> {
    /// What is wrong with the tokens that [`Encoder::encode`] made of an example; empty if nothing is. They may be cut
    /// short. Renders and tokenizes the example again: some milliseconds.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn verify(&self, example: &Example, encoded: &Encoded, loss_on: LossOn) -> Result<Vec<MaskFault>> {
        let mut faults = Vec::new();
        self.verify_beginning(encoded, &mut faults);
        let Example::Conversation(conversation) = example else { return Ok(faults) };
        let template = self.template(conversation.tools.is_some());
        let conversation = Conversation {
            messages: template.arguments.fit(&conversation.messages).into_owned(),
            tools: conversation.tools.clone(),
        };
        let Ok(rendered) = template.chat.render(&conversation.messages, conversation.tools.as_ref(), false) else {
            faults.push(MaskFault::OtherTokens);
            return Ok(faults);
        };
        let text = rendered.text;
        let own = self
            .plain
            .encode(text.as_str(), false)
            .map_err(|e| Error::file(format!("the tokenizer failed: {e}"), &self.tokenizer.path))?;
        let same = own.get_ids().iter().zip(&encoded.tokens).all(|(own, token)| own == token);
        if !same || encoded.tokens.len() > own.len() + 1 || encoded.tokens.len() != encoded.trained.len() {
            faults.push(MaskFault::OtherTokens);
            return Ok(faults);
        }
        if loss_on == LossOn::All {
            return Ok(faults);
        }
        let offsets = own.get_offsets();
        let trained: Vec<Range<usize>> = offsets
            .iter()
            .zip(&encoded.trained)
            .filter(|((start, end), trained)| **trained && start < end)
            .map(|(&(start, end), _)| start..end)
            .collect();
        if !template.shape.terminator.is_empty() {
            let whole = encoded.tokens.len() >= own.len();
            let runs = runs(&encoded.trained).filter(|run| whole || run.end < encoded.trained.len());
            for run in runs {
                let place = offsets[run.start.min(offsets.len() - 1)].0..offsets[run.end.min(offsets.len()) - 1].1;
                self.verify_end(text.get(place).unwrap_or_default(), &template.shape, &mut faults);
            }
        }
        for (message, place) in self.untrained(&conversation, &text, loss_on) {
            if trained.iter().any(|token| token.start < place.end && place.start < token.end) {
                let role = conversation.messages[message].role.clone();
                faults.push(MaskFault::Trained { message, role });
            }
        }
        Ok(faults)
    }

    fn verify_beginning(&self, encoded: &Encoded, faults: &mut Vec<MaskFault>) {
        let Some(bos) = self.tokenizer.bos_id else { return };
        match encoded.tokens.as_slice() {
            [first, second, ..] if *first == bos && *second == bos => faults.push(MaskFault::TwoBeginnings),
            [first, ..] if *first != bos && self.tokenizer.adds_bos => faults.push(MaskFault::NoBeginning),
            _ => {}
        }
    }

    /// Whether trained text is ended, and once.
    fn verify_end(&self, run: &str, shape: &crate::engine::data::TurnShape, faults: &mut Vec<MaskFault>) {
        let tail = || run.chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        if !shape.ends_turn(run) {
            faults.push(MaskFault::NoEnd { text: tail() });
        } else if let Some(before) = run.trim_end().strip_suffix(shape.terminator.trim())
            && !shape.terminator.trim().is_empty()
            && before.trim_end().ends_with(shape.terminator.trim())
        {
            faults.push(MaskFault::TwoEnds { text: tail() });
        }
    }

    /// Where the words of messages stand that are not to be trained: index of the message, its place in `text`. They are
    /// put between marks, and the conversation is rendered again. Words that the template changes or leaves out have no
    /// place.
    fn untrained(&self, conversation: &Conversation, text: &str, loss_on: LossOn) -> Vec<(usize, Range<usize>)> {
        let messages = &conversation.messages;
        let is_target = |m: &Message| m.is_assistant() && m.train.unwrap_or(true);
        let last = messages.iter().rposition(is_target);
        let mut marked = messages.clone();
        let mut indices = Vec::new();
        for (i, message) in marked.iter_mut().enumerate() {
            if is_target(message) && (loss_on != LossOn::LastTurn || Some(i) == last) {
                continue;
            }
            let Some(content) = message.content.as_mut() else { continue };
            let words = content.trim();
            if words.is_empty() || content.contains(MARKS) {
                continue;
            }
            let start = content.len() - content.trim_start().len();
            *content =
                format!("{}{}{words}{}{}", &content[..start], MARKS[0], MARKS[1], &content[start + words.len()..]);
            indices.push(i);
        }
        let chat = &self.template(conversation.tools.is_some()).chat;
        let Ok(rendered) = chat.render(&marked, conversation.tools.as_ref(), false) else { return Vec::new() };
        let mut clean = String::with_capacity(text.len());
        let mut places: Vec<Range<usize>> = Vec::new();
        for piece in rendered.text.split_inclusive(MARKS) {
            clean.push_str(piece.trim_end_matches(MARKS));
            match piece.chars().next_back() {
                Some(mark) if mark == MARKS[0] => places.push(clean.len()..clean.len()),
                Some(mark) if mark == MARKS[1] => {
                    if let Some(place) = places.last_mut() {
                        place.end = clean.len();
                    }
                }
                _ => {}
            }
        }
        if clean != text {
            // The template reads what is said, and writes something else for marked words.
            return self.by_words(conversation, &indices, text);
        }
        // Words may come in another order or twice (a system prompt within a question): which message it is, their text
        // says.
        let message = |place: &Range<usize>| {
            let words = &text[place.clone()];
            indices.iter().copied().find(|i| messages[*i].content.as_deref().is_some_and(|c| c.trim() == words))
        };
        places.into_iter().map(|place| (message(&place).unwrap_or(0), place)).collect()
    }

    /// The places of long texts that stand once in `text`, and in no answer.
    fn by_words(&self, conversation: &Conversation, indices: &[usize], text: &str) -> Vec<(usize, Range<usize>)> {
        const LONG: usize = 16;
        let mut found = Vec::new();
        for &i in indices {
            let Some(words) = conversation.messages[i].content.as_deref().map(str::trim) else { continue };
            let mut places = text.match_indices(words);
            if let (true, Some((at, _)), None) = (words.len() >= LONG, places.next(), places.next()) {
                found.push((i, at..at + words.len()));
            }
        }
        found
    }
}

/// The runs of trained tokens.
fn runs(trained: &[bool]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + trained[at..].iter().position(|t| *t)?;
        let end = trained[start..].iter().position(|t| !*t).map_or(trained.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data::testing::{CHATML, byte_tokenizer, now};

    fn example(turns: &[(&str, &str)]) -> Example {
        let messages = turns.iter().map(|(role, content)| Message::new(*role, *content)).collect();
        Example::Conversation(Conversation { messages, tools: None })
    }

    const TURNS: &[(&str, &str)] =
        &[("system", "S."), ("user", " one "), ("assistant", "two"), ("user", "three"), ("assistant", "four")];

    #[test]
    fn right_masks_have_no_faults_and_wrong_ones_their_own() {
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML));
        let encoder = Encoder::new(&tokenizer, now()).unwrap();
        let example = example(TURNS);
        for loss_on in [LossOn::Completions, LossOn::LastTurn, LossOn::All] {
            let encoded = encoder.encode(&example, loss_on).unwrap().unwrap();
            let faults = |encoded: &Encoded| encoder.verify(&example, encoded, loss_on).unwrap();
            assert_eq!(faults(&encoded), []);
            // Cut short, also within an answer.
            for length in 1..encoded.tokens.len() {
                let cut =
                    Encoded { tokens: encoded.tokens[..length].to_vec(), trained: encoded.trained[..length].to_vec() };
                assert_eq!(faults(&cut), [], "{loss_on:?} {length}");
            }
            if loss_on == LossOn::All {
                continue;
            }
            // The terminator is not trained.
            let mut open = encoded.clone();
            let last = open.trained.iter().rposition(|t| *t).unwrap();
            open.trained[last] = false;
            assert_eq!(faults(&open), [MaskFault::NoEnd { text: "four".into() }]);
            // Everything is trained.
            let all = Encoded { trained: vec![true; encoded.tokens.len()], ..encoded.clone() };
            let roles: Vec<String> = faults(&all)
                .iter()
                .filter_map(|fault| match fault {
                    MaskFault::Trained { message, role } => Some(format!("{message} {role}")),
                    _ => None,
                })
                .collect();
            match loss_on {
                LossOn::LastTurn => assert_eq!(roles, ["0 system", "1 user", "2 assistant", "3 user"]),
                _ => assert_eq!(roles, ["0 system", "1 user", "3 user"]),
            }
            let other = Encoded { tokens: encoded.tokens.iter().map(|t| t ^ 1).collect(), ..encoded };
            assert_eq!(faults(&other), [MaskFault::OtherTokens]);
        }
        // An answer that ends itself with the terminator's text.
        let twice = self::example(&[("user", "q"), ("assistant", "a<|im_end|>")]);
        let encoded = encoder.encode(&twice, LossOn::Completions).unwrap().unwrap();
        let faults = encoder.verify(&twice, &encoded, LossOn::Completions).unwrap();
        assert_eq!(faults, [MaskFault::TwoEnds { text: "a<|im_end|><|im_end|>".into() }]);
    }

    #[test]
    fn beginnings_are_counted() {
        let template = "{{ bos_token }}".to_string() + CHATML;
        let mut tokenizer = byte_tokenizer(&["<s>", "<|im_start|>", "<|im_end|>"], Some(&template));
        (tokenizer.bos_token, tokenizer.bos_id) = (Some("<s>".into()), tokenizer.token_id("<s>"));
        tokenizer.adds_bos = true;
        let example = example(TURNS);
        let faults = |tokenizer: &crate::engine::formats::TextTokenizer| {
            let encoder = Encoder::new(tokenizer, now()).unwrap();
            let encoded = encoder.encode(&example, LossOn::Completions).unwrap().unwrap();
            encoder.verify(&example, &encoded, LossOn::Completions).unwrap()
        };
        assert_eq!(faults(&tokenizer), []);
        tokenizer.chat_template = Some("{{ bos_token }}".to_string() + &template);
        assert_eq!(faults(&tokenizer), [MaskFault::TwoBeginnings]);
        tokenizer.chat_template = Some(CHATML.into());
        assert_eq!(faults(&tokenizer), [MaskFault::NoBeginning]);
    }
}
