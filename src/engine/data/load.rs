//! The data set of a run.

use std::sync::Arc;

use super::Sample;
use super::report::Report;
use super::survey::{CutRow, survey_at};
use super::tokens::{Tokenized, Tolerance};
use crate::engine::Result;
use crate::engine::config::{DataConfig, OnBadRow};
use crate::engine::formats::TextTokenizer;

/// Tokenized rows for training and for validation, and what became of the files.
#[derive(Debug, Default)]
pub struct Dataset {
    /// In the order of the source.
    pub train: Samples,
    /// In the order of the source; empty when there is no validation.
    pub validation: Samples,
    /// What a person should know.
    pub report: Report,
}

/// Rows whose tokens are read when they are asked for. Memory holds twelve bytes a row.
#[derive(Debug)]
pub struct Samples {
    rows: Vec<CutRow>,
    tokens: Tokens,
}

#[derive(Debug)]
enum Tokens {
    /// Where they are read, and the length they are cut at.
    Stored(Arc<Tokenized>, usize),
    /// They were given.
    Given(Vec<Sample>),
}

impl Default for Samples {
    fn default() -> Samples {
        Samples { rows: Vec::new(), tokens: Tokens::Given(Vec::new()) }
    }
}

/// Samples that are in memory anyway.
impl From<Vec<Sample>> for Samples {
    fn from(samples: Vec<Sample>) -> Samples {
        let row =
            |s: &Sample| CutRow { row: s.row as u32, tokens: s.tokens.len() as u32, supervised: s.supervised() as u32 };
        Samples { rows: samples.iter().map(row).collect(), tokens: Tokens::Given(samples) }
    }
}

impl Samples {
    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lengths of all of them, in order.
    pub fn rows(&self) -> &[CutRow] {
        &self.rows
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Result<Sample> {
        match &self.tokens {
            Tokens::Stored(store, max_seq_len) => store.sample(self.rows[index].row as usize, *max_seq_len),
            Tokens::Given(samples) => Ok(samples[index].clone()),
        }
    }

    /// All of them, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Result<Sample>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Reads, tokenizes and splits the rows that the settings name. `seed` chooses the held-out rows.
pub fn load(settings: &DataConfig, tokenizer: &TextTokenizer, seed: u64) -> Result<Dataset> {
    load_at(settings, tokenizer, seed, jiff::ZonedDateTime::now(), &mut |_, _| true)
}

/// Like [`load`], with the time that chat templates print (Llama 3 writes the date into its system prompt). A run that
/// continues passes the time of its first start, so that its rows keep their tokens. `progress(done, total)` counts bytes of
/// the files; it returns false to cancel ([`Error::Cancelled`](crate::engine::Error::Cancelled)).
pub fn load_at(
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    seed: u64,
    now: jiff::ZonedDateTime,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Dataset> {
    let tolerance = match settings.on_bad_row {
        OnBadRow::Stop => Tolerance::Stop,
        OnBadRow::Skip => Tolerance::List,
    };
    let found = survey_at(settings, tokenizer, now, tolerance, progress)?;
    let cut = found.cut(settings, seed)?;
    let train = Samples { rows: cut.train, tokens: Tokens::Stored(found.train, settings.max_seq_len) };
    let validation = match found.validation {
        Some(held) => Tokens::Stored(held, settings.max_seq_len),
        None => match &train.tokens {
            Tokens::Stored(store, max_seq_len) => Tokens::Stored(store.clone(), *max_seq_len),
            Tokens::Given(_) => Tokens::Given(Vec::new()),
        },
    };
    Ok(Dataset { train, validation: Samples { rows: cut.validation, tokens: validation }, report: cut.report })
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::super::report::Side;
    use super::super::testing::{CHATML, byte_tokenizer, file, now, shared_data, smollm2};
    use super::super::{Fix, Format, Message, Severity, Topic, inspect, survey};
    use super::*;
    use crate::engine::config::LossOn;
    use crate::engine::formats;

    fn settings(train: &str) -> DataConfig {
        DataConfig { train: train.into(), ..DataConfig::default() }
    }

    fn chatml() -> TextTokenizer {
        byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML))
    }

    fn error(result: Result<Dataset>, folder: &tempfile::TempDir) -> String {
        result.unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    fn all(samples: &Samples) -> Vec<Sample> {
        samples.iter().map(Result::unwrap).collect()
    }

    #[test]
    fn rows_become_samples_whose_answers_are_trained() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(
            &folder,
            "d.jsonl",
            "{\"question\":\"2+2?\",\"answer\":\"4\"}\n\n{\"question\":\"é\",\"answer\":\"ü\"}\n",
        );
        let tokenizer = chatml();
        let data = load(&settings(&path), &tokenizer, 0).unwrap();
        let trained = |i: usize| {
            let s = data.train.get(i).unwrap();
            let ids: Vec<u32> = s.tokens.iter().zip(&s.trained).filter(|(_, t)| **t).map(|(id, _)| *id).collect();
            tokenizer.decode(&ids, false).unwrap()
        };
        assert_eq!((trained(0), trained(1)), ("4<|im_end|>".into(), "ü<|im_end|>".into()));
        assert_eq!(all(&data.train).iter().map(|s| s.row).collect::<Vec<_>>(), [0, 1]);
        // One token a byte: <|im_start|> user \n 2+2? <|im_end|> \n <|im_start|> assistant \n 4 <|im_end|> \n
        let tokens = 1 + 5 + 4 + 1 + 1 + 1 + 10 + 1 + 1 + 1;
        assert_eq!(data.train.get(0).unwrap().tokens.len(), tokens);
        assert_eq!(data.report.train, Side { samples: 2, tokens: 2 * tokens as u64 - 1, trained_tokens: 2 + 3 });
        assert_eq!(data.report.source.format, Format::QuestionAnswer);
        assert!(data.report.notices.is_empty(), "{:?}", data.report.notices);

        let all = DataConfig { loss_on: LossOn::All, ..settings(&path) };
        let data = load(&all, &tokenizer, 0).unwrap();
        assert!(data.train.get(0).unwrap().trained.iter().all(|t| *t));
        assert_eq!(data.report.train.trained_tokens, 2 * tokens as u64 - 1 - 2);
    }

    #[test]
    fn documents_end_with_eos_and_are_trained_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "d.txt", "one\ntwo\n");
        // The padding token is the end-of-sequence token, as in most models: it is trained all the same.
        let mut tokenizer = byte_tokenizer(&["<eos>"], None);
        (tokenizer.pad_token, tokenizer.pad_id) = (tokenizer.eos_token.clone(), tokenizer.eos_id);
        let data = load(&settings(&path), &tokenizer, 0).unwrap();
        assert_eq!(tokenizer.decode(&data.train.get(1).unwrap().tokens, false).unwrap(), "two<eos>");
        assert_eq!(data.train.get(1).unwrap().trained, [true; 4]);
        assert!(data.report.notices.is_empty(), "{:?}", data.report.notices);
    }

    #[test]
    fn long_rows_are_cut_and_rows_without_targets_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(60);
        let rows = [
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#.to_string(),
            format!(r#"{{"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":"{long}"}}]}}"#),
            format!(r#"{{"messages":[{{"role":"user","content":"{long}"}},{{"role":"assistant","content":"b"}}]}}"#),
            r#"{"messages":[{"role":"user","content":"a"}]}"#.to_string(),
        ];
        let path = file(&folder, "d.jsonl", &rows.join("\n"));
        let data = load(&DataConfig { max_seq_len: 40, ..settings(&path) }, &chatml(), 0).unwrap();
        assert_eq!(all(&data.train).iter().map(|s| (s.row, s.tokens.len())).collect::<Vec<_>>(), [(0, 23), (1, 40)]);
        let report = &data.report.source;
        assert_eq!((report.rows, report.truncated, report.tokens_cut, report.longest), (4, 1, 42, 82));
        assert_eq!(
            data.report.notices.iter().map(|n| n.rsplit_once(": ").unwrap().0).collect::<Vec<_>>(),
            [
                "1 of 4 rows cut at max_seq_len (the longest has 82 tokens); 1 row loses the end of its last answer",
                "1 row left out, the first in line 3: nothing in its first 40 tokens is trained (max_seq_len)",
                "1 row left out, the first in line 4: it has no assistant turn to train on",
                // … ends with the user's turn.
                "1 row",
            ]
        );
    }

    #[test]
    fn held_out_rows_are_never_trained() {
        let folder = tempfile::tempdir().unwrap();
        let row = |i: usize| format!("{{\"question\":\"q{i}\",\"answer\":\"a\"}}\n");
        let path = file(&folder, "d.jsonl", &(0..50).map(|i| row(i % 40)).collect::<String>());
        let data = load(&DataConfig { validation_fraction: 0.2, ..settings(&path) }, &chatml(), 7).unwrap();
        assert_eq!(data.report.train.samples + data.report.validation.samples, 50);
        // Ten rows in fifty, and one that says the same as one of them.
        assert_eq!(data.validation.len(), 11);
        let train = all(&data.train);
        assert!(all(&data.validation).iter().all(|v| train.iter().all(|t| t.tokens != v.tokens)));

        let other = file(&folder, "v.jsonl", &(38..42).map(row).collect::<String>());
        let data = load(&DataConfig { validation: other, ..settings(&path) }, &chatml(), 7).unwrap();
        // Rows 38 and 39 are in both files.
        assert_eq!((data.train.len(), data.validation.len()), (48, 4));
        let notice =
            "2 rows left out, the first in line 39: it is also a validation row, which must not be trained on: ";
        let repeated = "10 rows say the same as an earlier one, the first in line 41 (deduplicate leaves them out)";
        assert_eq!(data.report.notices, [format!("{notice}{path}"), repeated.to_string()]);

        let data = load(&DataConfig { validation_rows: 5, ..settings(&path) }, &chatml(), 7).unwrap();
        assert!((5..=6).contains(&data.validation.len()), "{}", data.validation.len());
        let once = DataConfig { deduplicate: true, ..settings(&path) };
        assert_eq!(load(&once, &chatml(), 7).unwrap().train.len(), 40);
    }

    #[test]
    fn a_missing_template_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "d.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}");
        let tokenizer = byte_tokenizer(&["</s>"], None);
        let data = load(&settings(&path), &tokenizer, 0).unwrap();
        assert_eq!(data.report.notices, ["the model has no chat template: conversations are written as ChatML"]);
        let text = tokenizer.decode(&data.train.get(0).unwrap().tokens, false).unwrap();
        assert_eq!(text, "<|im_start|>user\nq</s>\n<|im_start|>assistant\na</s>\n");
        let prompt = Encoder::new(&tokenizer, now()).unwrap().prompt(&[Message::user("q")], true).unwrap();
        let text = tokenizer.decode(&prompt, false).unwrap();
        assert_eq!(text, "<|im_start|>user\nq</s>\n<|im_start|>assistant\n");
    }

    #[test]
    fn what_cannot_be_trained_on_is_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = chatml();
        let load = |name: &str, content: &str| {
            let path = file(&folder, name, content);
            error(load(&settings(&path), &tokenizer, 0), &folder)
        };
        assert_eq!(load("a.jsonl", "\n"), "the data set is empty: it has no rows: a.jsonl");
        assert_eq!(load("a.json", "[]"), "the data set is empty: it has no rows: a.json");
        assert_eq!(
            load("b.jsonl", "{\"text\":\"x\"}\n{\"text\":7}\n"),
            "line 2: `text` is the number 7; expected a text: b.jsonl"
        );
        assert_eq!(
            load("c.jsonl", "{\"question\":\"x\",\"answer\":\"y\"}\n{\"text\":\"x\"}\n"),
            "line 2: this row looks like text (the column `text`), but the others are read as question-answer (the columns \
             `question` and `answer`): keep rows of different formats in different files, and train on one of them: c.jsonl"
        );
        assert_eq!(
            load("d.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"),
            "the only row cannot be trained on: line 1: it has no assistant turn to train on: d.jsonl"
        );
        assert_eq!(
            load("f.txt", "some words, and then a zero\0\n"),
            "line 1: the text holds a zero byte: the file is not plain text: f.txt"
        );
        let skip = |name: &str, content: &str| {
            let settings = DataConfig { on_bad_row: OnBadRow::Skip, ..settings(&file(&folder, name, content)) };
            error(super::load(&settings, &tokenizer, 0), &folder)
        };
        let zero = "the text holds a zero byte: the file is not plain text";
        assert_eq!(
            skip("f.txt", "some words, and then a zero\0\n"),
            format!("its only row cannot be read: line 1: {zero}: f.txt")
        );
        assert_eq!(
            skip("f.txt", "some words, and then a zero\0\nonce more, after other words\0\n"),
            format!("none of its rows can be read: line 1: {zero}: f.txt")
        );
        assert!(
            load("e.jsonl", "{\"chosen\":\"x\",\"rejected\":\"y\"}").starts_with("line 1: these are preference rows")
        );
        let missing = super::load(&settings("no/such.jsonl"), &tokenizer, 0).unwrap_err().to_string();
        assert!(missing.starts_with("there is no such data file") && missing.ends_with(": no/such.jsonl"), "{missing}");
        let nothing = tempfile::tempdir().unwrap();
        let inside = super::load(&settings(&nothing.path().to_string_lossy()), &tokenizer, 0).unwrap_err().to_string();
        assert!(inside.starts_with("there is no data file in this folder"), "{inside}");
        let template = byte_tokenizer(&["</s>"], Some("{% for %}"));
        let broken = super::load(&settings(&folder.path().join("b.jsonl").to_string_lossy()), &template, 0);
        assert!(error(broken, &folder).starts_with("the chat template is not valid: syntax error"));
    }

    #[test]
    fn tags_without_the_terminator_are_completed_or_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "d.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}");
        let trained = |end: &str| {
            let source = format!(
                "{{% for m in messages %}}{{{{ '<|im_start|>' + m.role + '\n' }}}}{{% if m.role == 'assistant' %}}\
                 {{% generation %}}{{{{ m.content }}}}{{% endgeneration %}}{{% else %}}{{{{ m.content }}}}{{% endif %}}\
                 {end}{{% endfor %}}"
            );
            let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(&source));
            let data = load(&settings(&path), &tokenizer, 0).unwrap();
            let sample = data.train.get(0).unwrap();
            let ids: Vec<u32> =
                std::iter::zip(&sample.tokens, &sample.trained).filter(|t| *t.1).map(|t| *t.0).collect();
            (tokenizer.decode(&ids, false).unwrap(), data.report.notices)
        };
        assert_eq!(trained("{{ '.<|im_end|>' }}"), ("a.<|im_end|>".into(), vec![]));
        let notice = "the chat template does not end every answer: the model may not learn to stop";
        let last_only = "{% if loop.last %}{{ '<|im_end|>' }}{% else %}{{ '.' }}{% endif %}";
        assert_eq!(trained(last_only), ("a<|im_end|>".into(), vec![notice.to_string()]));
    }

    #[test]
    fn refusals_of_the_template_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "{\"question\":\"q\",\"answer\":\"a\",\"system\":\"s\"}\n{\"question\":\"q\",\"answer\":\"a\"}\n";
        let path = file(&folder, "d.jsonl", rows);
        let source = format!(
            "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('System role not supported') }}}}{{% endif %}}\
             {CHATML}"
        );
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(&source));
        let data = load_at(&settings(&path), &tokenizer, 0, now(), &mut |_, _| true).unwrap();
        assert_eq!((data.train.len(), data.train.get(0).unwrap().row), (1, 1));
        let dropped = &data.report.source.dropped[0];
        assert_eq!(dropped.reason, "the chat template refuses the conversation: System role not supported");
        assert_eq!((dropped.rows, dropped.first_line), (1, 1));
        // One click away: the system prompt goes into the question.
        let finding = |data: &Dataset, topic| data.report.findings.iter().find(|f| f.topic == topic).cloned();
        let fix = finding(&data, Topic::LeftOut).unwrap().fix.unwrap();
        assert_eq!(fix, Fix::SystemInQuestion);
        let mut changed = settings(&path);
        fix.apply(&mut changed);
        let data = load_at(&changed, &tokenizer, 0, now(), &mut |_, _| true).unwrap();
        let text = tokenizer.decode(&data.train.get(0).unwrap().tokens, false).unwrap();
        assert_eq!(
            (data.train.len(), text.as_str()),
            (2, "<|im_start|>user\ns\n\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n")
        );
        assert_eq!(finding(&data, Topic::LeftOut), None);
        // Where that is not the reason, another template is a way out.
        let source = format!("{{{{ raise_exception('no') }}}}{CHATML}");
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(&source));
        let seen = survey(&settings(&path), &tokenizer, &mut |_, _| true).unwrap();
        assert!(
            seen.cut(&settings(&path), 0).unwrap_err().to_string().contains("none of the 2 rows can be trained on")
        );
        let mut chatml = settings(&path);
        Fix::ChatMl.apply(&mut chatml);
        assert_eq!(load(&chatml, &tokenizer, 0).unwrap().train.len(), 2);
    }

    #[test]
    fn unusual_rows_are_said_and_left_out_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let turn = |(role, text): &(&str, &str)| format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}}");
        let row = |turns: &[(&str, &str)]| {
            format!("{{\"messages\":[{}]}}\n", turns.iter().map(turn).collect::<Vec<_>>().join(","))
        };
        let (q, a) = (("user", "q"), ("assistant", "a"));
        let rows = [row(&[q, a]), row(&[q, q, a]), row(&[q, ("assistant", "")]), row(&[q, ("user", "r"), a, a])];
        let path = file(&folder, "d.jsonl", &rows.concat());
        let data = load(&settings(&path), &chatml(), 0).unwrap();
        assert_eq!(
            data.report.notices,
            [
                "2 rows: two user turns in a row, the first in line 2 (leave_out = [\"two-questions\"] leaves them out)",
                "1 row: an empty answer, the first in line 3 (leave_out = [\"empty-answer\"] leaves them out)",
                "1 row: two answers in a row, the first in line 4 (leave_out = [\"two-answers\"] leaves them out)",
            ]
        );
        let mut changed = settings(&path);
        let fixes: Vec<Fix> = data.report.findings.iter().filter_map(|finding| finding.fix).collect();
        assert_eq!(fixes.len(), 3);
        fixes[..2].iter().for_each(|fix| fix.apply(&mut changed));
        assert_eq!(changed.leave_out, ["two-questions", "empty-answer"]);
        let data = load(&changed, &chatml(), 0).unwrap();
        assert_eq!(all(&data.train).iter().map(|sample| sample.row).collect::<Vec<_>>(), [0]);
        let said = &data.report.notices;
        assert!(
            said[0].starts_with("2 rows left out, the first in line 2: two user turns in a row (leave_out)"),
            "{said:?}"
        );
        assert!(said[1].starts_with("1 row left out, the first in line 3: an empty answer (leave_out)"), "{said:?}");
        let left_out = data.report.findings.iter().filter(|finding| finding.topic == Topic::LeftOut);
        assert_eq!(left_out.map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Note; 2]);
    }

    #[test]
    fn calls_and_tools_that_the_template_leaves_out_are_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let call = r#"[{"type":"function","function":{"name":"f","arguments":{}}}]"#;
        let row = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"q\"}},{{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":{call}}}],\
             \"tools\":{call}}}\n"
        );
        let path = file(
            &folder,
            "d.jsonl",
            &(row
                + "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"),
        );
        let data = load(&settings(&path), &chatml(), 0).unwrap();
        let found: Vec<_> = data.report.findings.iter().map(|f| (f.severity, f.message.as_str(), f.example)).collect();
        assert_eq!(
            found,
            [
                (Severity::Warning, "1 row: a tool call that the chat template leaves out", Some(0)),
                (Severity::Warning, "1 row: tools that the chat template leaves out", Some(0)),
            ]
        );
        let mut changed = settings(&path);
        data.report.findings[0].fix.unwrap().apply(&mut changed);
        assert_eq!(load(&changed, &chatml(), 0).unwrap().train.len(), 1);
        // Most templates cannot write a turn without text at all.
        let text = std::fs::read_to_string(&path).unwrap().replace("\"content\":\"\"", "\"content\":null");
        let path = file(&folder, "e.jsonl", &text);
        let tokenizer = byte_tokenizer(
            &["<|im_start|>", "<|im_end|>"],
            Some(
                "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}",
            ),
        );
        let data = load(&settings(&path), &tokenizer, 0).unwrap();
        assert_eq!(data.train.len(), 1);
        let reason = "1 row left out, the first in line 1: a turn is a tool call without text, which the chat template cannot \
                      write: choose a template that writes tool calls (the chat template failed: ";
        assert!(data.report.notices[0].starts_with(reason), "{:?}", data.report.notices);
    }

    #[test]
    fn words_that_must_not_be_trained_stop_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let row = |asked: &str| format!("{{\"question\":\"{asked}\",\"answer\":\"a\"}}\n");
        let (usual, wrong) = ("a question of some length", "a secret question of some length");
        // The template marks some questions as what the model says.
        let template = |mark: &str| {
            let source = format!(
                "{{% for m in messages %}}{{{{ '<|im_start|>' + m.role + '\n' }}}}{{% if m.role == 'assistant' or {mark} %}}\
                 {{% generation %}}{{{{ m.content + '<|im_end|>' }}}}{{% endgeneration %}}\
                 {{% else %}}{{{{ m.content + '<|im_end|>' }}}}{{% endif %}}{{% endfor %}}"
            );
            byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(&source))
        };
        let path = file(
            &folder,
            "d.jsonl",
            &(0..200).map(|i| row(if i % 50 == 7 { wrong } else { usual })).collect::<String>(),
        );
        let some = template("'secret' in m.content");
        let stopped = error(load(&settings(&path), &some, 0), &folder);
        assert!(stopped.starts_with("words of a user turn are trained in 2 of the "), "{stopped}");
        assert!(
            stopped.ends_with(
                " rows looked at, the first in line 8: choose another chat template, or leave such rows out: d.jsonl"
            ),
            "{stopped}"
        );
        // Every row is looked at, and those are left out.
        let seen = survey(&settings(&path), &some, &mut |_, _| true).unwrap();
        let fix = seen.cut_readable(&settings(&path), 0).unwrap().report.findings[0].fix.unwrap();
        assert_eq!(fix, Fix::LeaveOutFaults);
        let mut changed = settings(&path);
        fix.apply(&mut changed);
        let data = load(&changed, &some, 0).unwrap();
        assert_eq!((data.train.len(), data.report.source.dropped[0].rows), (196, 4));
        assert!(all(&data.train).iter().all(|sample| sample.row % 50 != 7));
        // A fault of all rows is the template's.
        let seen = survey(&settings(&path), &template("true"), &mut |_, _| true).unwrap();
        let finding = seen.cut_readable(&settings(&path), 0).unwrap().report.findings[0].clone();
        assert_eq!((finding.severity, finding.fix), (Severity::Error, Some(Fix::ChatMl)));
        // With the loss on all tokens, all words are meant to be trained.
        assert!(load(&DataConfig { loss_on: LossOn::All, ..settings(&path) }, &template("true"), 0).is_ok());
    }

    #[test]
    fn files_for_tests_in_a_folder_are_said_to_be_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train.jsonl", "test.jsonl", "more/validation-1.jsonl"] {
            std::fs::create_dir_all(folder.path().join("more")).unwrap();
            file(&folder, name, &format!("{{\"question\":\"{name}\",\"answer\":\"a\"}}\n"));
        }
        let path = folder.path().to_string_lossy().into_owned();
        let said = |path: &str| load(&settings(path), &chatml(), 0).unwrap().report.notices;
        let expected = "more/validation-1.jsonl and 1 more are trained on, too, though the name says files for validation or \
                        tests: name the files to train on instead of the folder, and these to validate on";
        assert_eq!(said(&path), [expected]);
        assert!(said(&folder.path().join("train.jsonl").to_string_lossy()).is_empty());
        assert!(said(&folder.path().join("more").to_string_lossy()).is_empty());
    }

    #[test]
    fn built_in_rows_are_read() {
        let seen = inspect("builtin:pirate", &DataConfig::default(), &mut |_| {}, &mut |_, _| true).unwrap();
        assert_eq!((seen.format, seen.wrong_rows), (Format::Messages, 0));
        let model = formats::builtin::model("tiny-chat").unwrap();
        let tokenizer = formats::open(&model).unwrap().tokenizer().unwrap();
        let data = load(&settings("builtin:pirate"), &tokenizer, 0).unwrap();
        assert_eq!(data.train.len(), seen.rows);
        assert!(data.report.notices.is_empty(), "{:?}", data.report.notices);
        let unknown = load(&settings("builtin:ninja"), &tokenizer, 0).unwrap_err().to_string();
        assert_eq!(unknown, "there is no built-in data set \"ninja\": there is builtin:pirate");
    }

    #[test]
    fn real_rows_with_the_real_tokenizer() {
        let (Some(model), Some(gsm8k)) = (smollm2(), shared_data("gsm8k_train.jsonl")) else { return };
        let tokenizer = formats::open(&model).unwrap().tokenizer().unwrap();
        let data = load(&settings(&gsm8k.to_string_lossy()), &tokenizer, 0).unwrap();
        assert_eq!((data.train.len(), data.report.source.rows), (7473, 7473));
        let end = tokenizer.eos_id.unwrap();
        for sample in all(&data.train).iter().filter(|s| s.tokens.len() < 512) {
            let last = sample.trained.iter().rposition(|t| *t).unwrap();
            assert_eq!(sample.tokens[last], end, "row {}", sample.row);
            // One stretch, the answer: the question and the line break behind the terminator are not trained.
            let first = sample.trained.iter().position(|t| *t).unwrap();
            assert!(sample.trained[first..=last].iter().all(|t| *t));
            assert_eq!(last + 2, sample.tokens.len());
        }
        println!("{:?}", data.report);
        for (name, format, rows) in [
            ("alpaca_en_demo.json", Format::Alpaca, 999),
            ("identity.json", Format::Alpaca, 91),
            ("wikisql_train.jsonl", Format::Text, 1000),
            ("wiki_demo.txt", Format::Text, 30),
            ("dpo_en_demo.json", Format::Preference, 300),
        ] {
            let path = shared_data(name).unwrap().to_string_lossy().into_owned();
            let seen = inspect(&path, &DataConfig::default(), &mut |_| {}, &mut |_, _| true).unwrap();
            println!("{name}: {} {} {:?} {:?}", seen.format.name(), seen.rows, seen.columns, seen.problems);
            assert_eq!((seen.format, seen.rows, seen.wrong_rows), (format, rows, 0), "{name}");
            if format != Format::Preference {
                assert_eq!(load(&settings(&path), &tokenizer, 0).unwrap().report.source.rows, rows);
            }
        }
    }
}
