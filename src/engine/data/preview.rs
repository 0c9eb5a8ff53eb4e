//! One row as the model will see it: its messages, the text that the chat template makes of them, its tokens and which of
//! them are trained.

use std::collections::HashSet;
use std::ops::Range;

use super::format::{Fields, Reading};
use super::rows::{Row, Source, WrongRow};
use super::{Encoder, Example};
use crate::engine::Result;
use crate::engine::config::LossOn;
use crate::engine::formats::TextTokenizer;

/// Bytes that are shown of a row that cannot be read.
const RAW: usize = 64 << 10;

/// Shows rows; made once for a tokenizer.
pub struct Previewer<'a> {
    encoder: Encoder<'a>,
    tokenizer: &'a TextTokenizer,
    /// Ids of tokens that are never part of ordinary text.
    special: HashSet<u32>,
}

/// A row in all its shapes.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The row as it stands in the file; without columns if it cannot be taken apart.
    pub row: Row,
    /// What its format made of it; `None` if it cannot be read so.
    pub example: Option<Example>,
    /// What is tokenized; of a row that cannot be taken apart, what stands in the file.
    pub text: String,
    /// Its tokens, before they are cut at `max_seq_len`: those that training uses.
    pub tokens: Vec<PreviewToken>,
    /// Why the row has no tokens.
    pub refusal: Option<String>,
}

/// One token of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewToken {
    /// Its number in the vocabulary.
    pub id: u32,
    /// How the vocabulary writes it.
    pub piece: String,
    /// Bytes of [`Preview::text`] that it stands for; empty for a token that is added, and for all but the first that
    /// share a character.
    pub range: Range<usize>,
    /// Whether it counts in the loss.
    pub trained: bool,
    /// Whether it is one of the vocabulary's special tokens.
    pub special: bool,
    /// Whether it ends an answer and is trained: from it the model learns to stop.
    pub ends_turn: bool,
}

impl<'a> Previewer<'a> {
    /// Compiles the model's own chat template.
    pub fn new(tokenizer: &'a TextTokenizer) -> Result<Previewer<'a>> {
        Self::with_template(tokenizer, "")
    }

    /// Compiles the template of `data.chat_template`; see [`Encoder::with_template`].
    pub fn with_template(tokenizer: &'a TextTokenizer, choice: &str) -> Result<Previewer<'a>> {
        let encoder = Encoder::with_template(tokenizer, choice, jiff::ZonedDateTime::now())?;
        let added = tokenizer.tokenizer.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id);
        let special = special.chain([tokenizer.bos_id, tokenizer.eos_id].into_iter().flatten()).collect();
        Ok(Previewer { encoder, tokenizer, special })
    }

    /// Shows a row that is read so.
    pub fn show(&self, row: Row, reading: &Reading, loss_on: LossOn) -> Result<Preview> {
        let mut preview = Preview { row, example: None, text: String::new(), tokens: Vec::new(), refusal: None };
        let example = match reading.read(&preview.row.fields) {
            Ok(example) => preview.example.insert(example),
            Err(reason) => {
                preview.refusal = Some(reason);
                return Ok(preview);
            }
        };
        match self.encoder.trace(example, loss_on)? {
            Err(reason) => preview.refusal = Some(reason),
            Ok(traced) => {
                let mut covered = 0;
                let ids = traced.encoded.tokens.iter().zip(&traced.encoded.trained).zip(&traced.offsets);
                for ((&id, &trained), &(_, end)) in ids {
                    // White space that a tokenizer leaves out of its offsets is shown with the token behind it.
                    let start = covered;
                    covered = end.max(covered);
                    let range =
                        if traced.text.get(start..covered).is_some() { start..covered } else { covered..covered };
                    let special = self.special.contains(&id);
                    let piece = self.tokenizer.tokenizer.id_to_token(id).unwrap_or_default();
                    preview.tokens.push(PreviewToken { id, piece, range, trained, special, ends_turn: false });
                }
                preview.text = traced.text;
                self.mark_ends(&mut preview);
            }
        }
        Ok(preview)
    }

    /// Shows a row that cannot be read: its columns if it has any, else what stands in the file in its place.
    ///
    /// # Errors
    /// The file has changed, or it cannot be opened any more.
    pub fn show_wrong(&self, source: &Source, wrong: &WrongRow, reading: &Reading, loss_on: LossOn) -> Result<Preview> {
        let WrongRow { file, line, bytes, message } = wrong;
        let mut reader = source.reader()?;
        let mut shown = match reader.read(*file, bytes, 0, *line) {
            Ok(row) if !row.fields.is_empty() => self.show(row, reading, loss_on)?,
            _ => {
                // Where not even the file's beginning can be read there is nothing to show but the reason.
                let text = reader.raw(*file, bytes, *line, RAW).ok().flatten().unwrap_or_default();
                let row = Row { index: 0, file: *file, line: *line, bytes: bytes.clone(), fields: Fields::new() };
                Preview { row, example: None, text, tokens: Vec::new(), refusal: None }
            }
        };
        shown.refusal = Some(message.clone());
        Ok(shown)
    }

    /// Marks the trained tokens that end an answer: the end-of-sequence token, and the last one of the terminator that
    /// the template writes.
    fn mark_ends(&self, preview: &mut Preview) {
        let shape = self.encoder.turn_shape();
        let tokens = &mut preview.tokens;
        for at in 0..tokens.len() {
            let token = &tokens[at];
            let run_ends = tokens.get(at + 1).is_none_or(|next| !next.trained);
            let text = &preview.text[token.range.clone()];
            let terminates = (!shape.terminator.is_empty() && text == shape.terminator)
                || (run_ends && token.special && shape.ends_turn(&preview.text[..token.range.end]));
            tokens[at].ends_turn = at > 0 && token.trained && (Some(token.id) == self.tokenizer.eos_id || terminates);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CHATML, byte_tokenizer, file, shared_data, smollm2};
    use super::super::{Format, load, survey};
    use super::*;
    use crate::engine::config::DataConfig;
    use crate::engine::formats;

    /// Every row that a run trains on, shown: the same tokens and the same mask.
    fn same_as_trained(train: &str, tokenizer: &TextTokenizer, loss_on: LossOn) {
        let settings = DataConfig { train: train.into(), loss_on, max_seq_len: 1 << 20, ..DataConfig::default() };
        let loaded = load(&settings, tokenizer, 0).unwrap();
        let seen = survey(&settings, tokenizer, &mut |_, _| true).unwrap().train;
        let previewer = Previewer::new(tokenizer).unwrap();
        for sample in loaded.train.iter().take(200) {
            let sample = sample.unwrap();
            let row = seen.row(sample.row).unwrap();
            let shown = previewer.show(row, &seen.summary.reading, loss_on).unwrap();
            assert_eq!(shown.tokens.iter().map(|t| t.id).collect::<Vec<_>>(), sample.tokens);
            assert_eq!(shown.tokens.iter().map(|t| t.trained).collect::<Vec<_>>(), sample.trained);
            assert_eq!(shown.tokens.len(), seen.record(sample.row).unwrap().tokens as usize);
            // The ranges follow one another and leave nothing out.
            let covered: String = shown.tokens.iter().map(|t| &shown.text[t.range.clone()]).collect();
            assert_eq!(covered, shown.text);
        }
    }

    #[test]
    fn what_is_shown_is_what_is_trained() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML));
        let rows = "{\"question\":\"é?\",\"answer\":\"ü\"}\n{\"question\":\"b\",\"answer\":\"c\"}\n";
        let path = file(&folder, "d.jsonl", rows);
        for loss_on in [LossOn::Completions, LossOn::All] {
            same_as_trained(&path, &tokenizer, loss_on);
            same_as_trained(&file(&folder, "d.txt", "Grüße\n zwei\n"), &tokenizer, loss_on);
        }
        let (Some(model), Some(gsm8k)) = (smollm2(), shared_data("gsm8k_train.jsonl")) else { return };
        let tokenizer = formats::open(&model).unwrap().tokenizer().unwrap();
        same_as_trained(&gsm8k.to_string_lossy(), &tokenizer, LossOn::Completions);
    }

    #[test]
    fn the_end_of_the_answer_is_marked() {
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML));
        let previewer = Previewer::new(&tokenizer).unwrap();
        let fields = serde_json::json!({"question": "q", "answer": "a"});
        let row = Row { index: 0, file: 0, line: 1, bytes: 0..0, fields: fields.as_object().unwrap().clone() };
        let shown = previewer.show(row.clone(), &Reading::of(Format::QuestionAnswer), LossOn::Completions).unwrap();
        let ends: Vec<usize> = (0..shown.tokens.len()).filter(|i| shown.tokens[*i].ends_turn).collect();
        // …assistant\n a <|im_end|> \n: the last but one, and not the end of the question.
        assert_eq!(ends, [shown.tokens.len() - 2]);
        let end = &shown.tokens[ends[0]];
        assert!(end.special && end.trained);
        assert_eq!((&shown.text[end.range.clone()], end.piece.as_str()), ("<|im_end|>", "<|im_end|>"));
        let refused = previewer.show(row, &Reading::of(Format::Text), LossOn::All).unwrap();
        assert!(refused.example.is_none() && refused.tokens.is_empty());
        assert_eq!(refused.refusal.unwrap(), "there is no `text`; found the columns `question`, `answer`");
    }
}
