//! The lengths of all rows, tokenized once: what a run would train on, for any `max_seq_len`, split or packing, without
//! reading the file again.
//!
//! A survey keeps of a row where it lies and which of its tokens are trained, not the tokens: some hundred bytes a row.
//! Its numbers are those of [`load`](super::load) with the same settings; both go through the same functions.

use std::ops::Range;

use super::format::Format;
use super::inspect::Problem;
use super::load::{Measured, Report, divide};
use super::rows::{Row, RowReader, Source};
use super::tokenize::{Part, Sink, SourceReport, encode_all};
use super::{Encoded, Encoder};
use crate::engine::config::DataConfig;
use crate::engine::formats::TextTokenizer;
use crate::engine::{Error, Result};

/// Wrong rows listed; all are counted.
const LISTED: usize = 100;

/// The rows of a data set, measured with a tokenizer.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The training file.
    pub train: SurveyedFile,
    /// The validation file, if there is one.
    pub validation: Option<SurveyedFile>,
    /// What a person should know about the chat template.
    pub template_notices: Vec<String>,
}

/// The rows of one file.
#[derive(Clone, Debug)]
pub struct SurveyedFile {
    /// The file.
    pub source: Source,
    /// How its rows are read.
    pub format: Format,
    /// Why they are read so.
    pub reason: String,
    /// The rows that can be read, in the file's order.
    pub rows: Vec<SurveyedRow>,
    /// Rows that cannot be read.
    pub wrong_rows: usize,
    /// The first of them, by line.
    pub problems: Vec<Problem>,
    /// Why rows cannot be trained on; each reason once.
    refusals: Vec<String>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct SurveyedRow {
    /// Line in the file, from 1.
    pub line: usize,
    /// Where it lies in the file.
    pub bytes: Range<u64>,
    /// Its length in tokens, before it is cut.
    pub tokens: usize,
    /// Its trained tokens.
    trained: Box<[Range<u32>]>,
    /// Identifies what is in it.
    content: u64,
    /// Index in the refusals, for a row without tokens.
    refusal: Option<usize>,
}

/// A survey for one choice of settings.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// Rows that are trained on.
    pub train: Vec<CutRow>,
    /// Rows that the validation loss is computed on.
    pub validation: Vec<CutRow>,
    /// The same as [`Dataset`](super::Dataset)'s.
    pub report: Report,
}

/// A row as the trainer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRow {
    /// Index of the row in its file, from 0.
    pub row: usize,
    /// Tokens, at most `max_seq_len`.
    pub tokens: usize,
    /// Those that count in the loss.
    pub supervised: usize,
}

impl Measured for CutRow {
    fn row(&self) -> usize {
        self.row
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn supervised(&self) -> usize {
        self.supervised
    }
}

/// Reads and tokenizes all rows that the settings name. Rows that cannot be read are listed; a file that cannot be read,
/// or whose format is not known, is an error. `progress` as for [`load_at`](super::load_at).
pub fn survey(
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Survey> {
    let source = Source::find(&settings.train)?;
    let held = match settings.validation.as_str() {
        "" => None,
        name => Some(Source::find(name)?),
    };
    let before = source.bytes();
    let total = before + held.as_ref().map_or(0, Source::bytes);
    let mut at = |done: u64| progress(done.min(total), total);
    if !at(0) {
        return Err(Error::Cancelled("loading"));
    }
    let encoder = Encoder::new(tokenizer, jiff::ZonedDateTime::now())?;
    let train = SurveyedFile::read(source, settings, &encoder, &mut at)?;
    let validation = match held {
        Some(held) => Some(SurveyedFile::read(held, settings, &encoder, &mut |done| at(before + done))?),
        None => None,
    };
    Ok(Survey { train, validation, template_notices: encoder.notices().to_vec() })
}

impl Survey {
    /// What a run with these settings would train on. Only `max_seq_len` and `validation_fraction` may differ from the
    /// settings of the survey. In proportion to the number of rows, and quick: ten thousand take a millisecond.
    ///
    /// # Errors
    /// Nothing is left to train on, or the share for validation cannot be had; in the words of [`load`](super::load).
    pub fn cut(&self, settings: &DataConfig, seed: u64) -> Result<Cut> {
        let part = self.train.cut(settings.max_seq_len)?;
        let held = self.validation.as_ref().map(|held| held.cut(settings.max_seq_len)).transpose()?;
        let (train, validation, report) = divide(part, held, settings, seed, &self.template_notices)?;
        Ok(Cut { train, validation, report })
    }
}

impl SurveyedFile {
    fn read(
        source: Source,
        settings: &DataConfig,
        encoder: &Encoder,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<SurveyedFile> {
        let mut found = SurveyedFile {
            source: source.clone(),
            format: settings.format,
            reason: String::new(),
            rows: Vec::new(),
            wrong_rows: 0,
            problems: Vec::new(),
            refusals: Vec::new(),
        };
        (found.format, found.reason) = encode_all(&source, settings, encoder, progress, &mut found)?;
        found.problems.sort_by_key(|problem| problem.line);
        Ok(found)
    }

    /// Rows that say the same as an earlier one.
    pub fn duplicates(&self) -> usize {
        let mut seen = std::collections::HashSet::with_capacity(self.rows.len());
        self.rows.iter().filter(|row| !seen.insert(row.content)).count()
    }

    /// The next row from `from` in whose texts `needle` stands, in upper or lower case, round the end of the file.
    /// `progress` as for [`survey`], counted in rows.
    pub fn find(&self, needle: &str, from: usize, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Option<usize>> {
        let needle = needle.to_lowercase();
        let mut reader: RowReader = self.source.reader()?;
        let count = self.rows.len();
        for step in 0..count {
            if step % 256 == 0 && !progress(step as u64, count as u64) {
                return Err(Error::Cancelled("the search"));
            }
            let index = (from + step) % count;
            let SurveyedRow { line, bytes, .. } = &self.rows[index];
            let row = reader.read(bytes, index, *line)?;
            if row.fields.values().any(|value| holds(value, &needle)) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn cut(&self, max_seq_len: usize) -> Result<Part<CutRow>> {
        let mut part = Part {
            samples: Vec::with_capacity(self.rows.len()),
            contents: self.rows.iter().map(|row| row.content).collect(),
            report: SourceReport::of(&self.source),
        };
        (part.report.format, part.report.reason) = (self.format, self.reason.clone());
        for (index, row) in self.rows.iter().enumerate() {
            let first = match row.refusal {
                Some(refusal) => Err(self.refusals[refusal].clone()),
                None => Ok(row.first_trained()),
            };
            if part.report.count(row.line, row.tokens, first, max_seq_len) {
                let (tokens, supervised) = (row.tokens.min(max_seq_len), row.supervised(max_seq_len));
                part.samples.push(CutRow { row: index, tokens, supervised });
            }
        }
        part.report.finish(part.samples.len())?;
        Ok(part)
    }
}

impl SurveyedRow {
    fn first_trained(&self) -> Option<usize> {
        let first = self.trained.iter().map(|range| range.start.max(1)..range.end).find(|range| !range.is_empty())?;
        Some(first.start as usize)
    }

    /// Tokens that count in the loss when the row is cut at `max_seq_len`.
    pub fn supervised(&self, max_seq_len: usize) -> usize {
        let end = u32::try_from(max_seq_len).unwrap_or(u32::MAX);
        self.trained.iter().map(|range| range.end.min(end).saturating_sub(range.start.max(1)) as usize).sum()
    }
}

impl Sink for SurveyedFile {
    fn row(&mut self, row: &Row, content: u64, encoded: std::result::Result<Encoded, String>) {
        let (tokens, trained, refusal) = match encoded {
            Ok(encoded) => (encoded.tokens.len(), runs(&encoded.trained), None),
            Err(reason) => {
                let known = self.refusals.iter().position(|r| *r == reason);
                let refusal = known.unwrap_or_else(|| {
                    self.refusals.push(reason);
                    self.refusals.len() - 1
                });
                (0, Box::default(), Some(refusal))
            }
        };
        let (line, bytes) = (row.line, row.bytes.clone());
        self.rows.push(SurveyedRow { line, bytes, tokens, trained, content, refusal });
    }

    fn wrong(&mut self, error: Error) -> Result<()> {
        let Error::Row { line, message, .. } = error else { return Err(error) };
        self.wrong_rows += 1;
        if self.problems.len() < LISTED {
            self.problems.push(Problem { line, message });
        }
        Ok(())
    }
}

/// Ranges of `true`.
fn runs(flags: &[bool]) -> Box<[Range<u32>]> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, flag) in flags.iter().copied().chain([false]).enumerate() {
        match (flag, start) {
            (true, None) => start = Some(at as u32),
            (false, Some(first)) => {
                runs.push(first..at as u32);
                start = None;
            }
            _ => {}
        }
    }
    runs.into()
}

/// Whether a text in the value holds the lower-case `needle`.
fn holds(value: &serde_json::Value, needle: &str) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.to_lowercase().contains(needle),
        Value::Array(list) => list.iter().any(|v| holds(v, needle)),
        Value::Object(fields) => fields.values().any(|v| holds(v, needle)),
        Value::Number(n) => n.to_string().contains(needle),
        Value::Null | Value::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::testing::{CHATML, byte_tokenizer, file, shared_data};
    use super::*;
    use crate::engine::config::LossOn;

    fn tokenizer() -> TextTokenizer {
        byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML))
    }

    fn look(settings: &DataConfig) -> Survey {
        survey(settings, &tokenizer(), &mut |_, _| true).unwrap()
    }

    /// The numbers of a survey are those of the rows that a run loads, whatever the settings.
    fn same_as_loaded(train: &str, validation: &str) {
        let base = DataConfig { train: train.into(), validation: validation.into(), ..DataConfig::default() };
        for loss_on in [LossOn::Completions, LossOn::All] {
            let seen = look(&DataConfig { loss_on, ..base.clone() });
            for max_seq_len in [2, 40, 90, 150, 10_000] {
                for validation_fraction in [0.0, 0.3] {
                    let fraction = if validation.is_empty() { validation_fraction } else { 0.0 };
                    let settings = DataConfig { loss_on, max_seq_len, validation_fraction: fraction, ..base.clone() };
                    let cut = seen.cut(&settings, 5);
                    let loaded = match load(&settings, &tokenizer(), 5) {
                        Ok(loaded) => loaded,
                        Err(error) => {
                            assert_eq!(cut.unwrap_err().to_string(), error.to_string());
                            continue;
                        }
                    };
                    let cut = cut.unwrap();
                    assert_eq!(cut.report, loaded.report);
                    for (mine, theirs) in [(&cut.train, &loaded.train), (&cut.validation, &loaded.validation)] {
                        let theirs: Vec<CutRow> = theirs
                            .iter()
                            .map(|s| CutRow { row: s.row, tokens: s.tokens.len(), supervised: s.supervised() })
                            .collect();
                        assert_eq!(*mine, theirs);
                    }
                }
            }
        }
    }

    #[test]
    fn a_survey_counts_what_a_run_loads() {
        let folder = tempfile::tempdir().unwrap();
        let row = |i: usize| format!("{{\"question\":\"{}?\",\"answer\":\"{}\"}}\n", "q".repeat(i * 7), i % 4);
        let rows = file(&folder, "d.jsonl", &(0..20).map(row).collect::<String>());
        same_as_loaded(&rows, "");
        let held = file(&folder, "v.jsonl", &(15..25).map(row).collect::<String>());
        same_as_loaded(&rows, &held);
        let refused = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n\
                       {\"messages\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n";
        same_as_loaded(&file(&folder, "m.jsonl", refused), "");
        same_as_loaded(&file(&folder, "t.txt", "one\n\n two \nthree\n"), "");
        if let Some(real) = shared_data("identity.json") {
            same_as_loaded(&real.to_string_lossy(), "");
        }
    }

    #[test]
    fn all_wrong_rows_are_listed_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let text = "{\"text\":\"a\"}\n{\"text\":3}\n{\"text\" 4}\n\n{\"txt\":\"b\"}\n{\"text\":\"c\"}\n";
        let train = file(&folder, "d.jsonl", text);
        let seen = look(&DataConfig { train, ..DataConfig::default() });
        let problems: Vec<_> = seen.train.problems.iter().map(|p| (p.line, p.message.as_str())).collect();
        assert_eq!(
            problems,
            [
                (2, "`text` is the number 3; expected a text"),
                (3, "not valid JSON: expected `:` (column 9)"),
                (5, "there is no `text`; found the column `txt`"),
            ]
        );
        assert_eq!((seen.train.wrong_rows, seen.train.rows.len()), (3, 2));
        assert_eq!(seen.train.rows[1].line, 6);
        // In an array nobody knows where the next row begins: the mistake ends the list.
        let train = file(&folder, "d.json", "[{\"text\":\"a\"},\n{\"text\" 4},\n{\"text\":\"c\"}]");
        let seen = look(&DataConfig { train, ..DataConfig::default() });
        assert_eq!((seen.train.wrong_rows, seen.train.rows.len(), seen.train.problems[0].line), (1, 1, 2));
    }

    #[test]
    fn rows_are_found_and_read_again_in_every_layout() {
        let folder = tempfile::tempdir().unwrap();
        let array = "\u{FEFF}[ {\"text\": \"Uno\"}\n, {\"text\":\n\"Dos, [x]\"},{\"text\":\"Très\"} ]";
        let lines = "\n{\"text\":\"Uno\"}\r\n\n {\"text\":\"Dos, [x]\"}\n{\"text\":\"Tr\\u00e8s\"}";
        for (name, text) in [("a.json", array), ("b.jsonl", lines), ("c.txt", "Uno\n \n\nDos, [x]  \r\nTrès")] {
            let train = file(&folder, name, text);
            let seen = look(&DataConfig { train, ..DataConfig::default() }).train;
            let mut reader = seen.source.reader().unwrap();
            let mut read = |i: usize| {
                let row = reader.read(&seen.rows[i].bytes, i, seen.rows[i].line).unwrap();
                row.fields["text"].as_str().unwrap().to_string()
            };
            assert_eq!([read(2), read(0), read(1)], ["Très", "Uno", "Dos, [x]"], "{name}");
            let find = |needle: &str, from| seen.find(needle, from, &mut |_, _| true).unwrap();
            assert_eq!(
                (find("TRÈS", 0), find("uno", 1), find("o", 1), find("zz", 0)),
                (Some(2), Some(0), Some(1), None)
            );
        }
    }

    #[test]
    fn a_file_that_changed_is_said_to_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let train = file(&folder, "d.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
        let seen = look(&DataConfig { train, ..DataConfig::default() }).train;
        file(&folder, "d.jsonl", "{\"text\":\"a\"}\n");
        let error = seen.source.reader().unwrap().read(&seen.rows[1].bytes, 1, 2).unwrap_err().to_string();
        assert!(error.starts_with("line 2: the file has changed since it was read: read it again"), "{error}");
    }

    #[test]
    fn rows_that_say_the_same_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let train = file(&folder, "d.txt", "a\nb\na\na\n");
        assert_eq!(look(&DataConfig { train, ..DataConfig::default() }).train.duplicates(), 2);
    }
}
