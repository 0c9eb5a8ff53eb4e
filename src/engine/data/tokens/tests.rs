use std::sync::Arc;

use super::cache::tokenized_in;
use super::*;
use crate::engine::config::{DataConfig, LossOn, OnBadRow};
use crate::engine::data::testing::{CHATML, byte_tokenizer, file, gzip, now, shared_data};
use crate::engine::data::{CutRow, Encoded, Encoder, Previewer, Survey, survey};
use crate::engine::formats::TextTokenizer;

fn tokenizer() -> TextTokenizer {
    byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(CHATML))
}

fn look(settings: &DataConfig) -> Survey {
    survey(settings, &tokenizer(), &mut |_, _| true).unwrap()
}

fn settings(train: &str) -> DataConfig {
    DataConfig { train: train.into(), ..DataConfig::default() }
}

/// The rows encoded one by one, without index or cut.
fn encoded(train: &str, loss_on: LossOn) -> Vec<std::result::Result<Encoded, String>> {
    let tokenizer = tokenizer();
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let rows: Vec<Row> = Source::find(train).unwrap().rows().unwrap().map(Result::unwrap).collect();
    let first: Vec<_> = rows.iter().map(|row| &row.fields).collect();
    let reading = Reading::choose(&settings(train), &first).unwrap();
    rows.iter().map(|row| encoder.encode(&reading.read(&row.fields).unwrap(), loss_on).unwrap()).collect()
}

/// What is kept of the rows, and in what length, is what cutting each of them by hand gives.
fn as_cut_by_hand(train: &str) {
    for loss_on in [LossOn::Completions, LossOn::All] {
        let rows = encoded(train, loss_on);
        let seen = look(&DataConfig { loss_on, ..settings(train) });
        assert_eq!(seen.train.len(), rows.len());
        for max_seq_len in [2, 40, 90, 150, 10_000] {
            let mut expected = Vec::new();
            for (row, encoded) in rows.iter().enumerate() {
                let Ok(encoded) = encoded else { continue };
                let (mut tokens, mut trained) = (encoded.tokens.clone(), encoded.trained.clone());
                tokens.truncate(max_seq_len);
                trained.truncate(max_seq_len);
                let sample = Sample { tokens, trained, row };
                if sample.supervised() > 0 {
                    expected.push(sample);
                }
            }
            let cut = match seen.cut(&DataConfig { loss_on, max_seq_len, ..settings(train) }, 5) {
                Ok(cut) => cut,
                Err(error) => {
                    assert!(expected.is_empty() && error.to_string().contains("can be trained on"), "{error}");
                    continue;
                }
            };
            let samples: Vec<Sample> =
                cut.train.iter().map(|row| seen.train.sample(row.row as usize, max_seq_len).unwrap()).collect();
            assert_eq!(samples, expected);
            let counted = |s: &Sample| CutRow {
                row: s.row as u32,
                tokens: s.tokens.len() as u32,
                supervised: s.supervised() as u32,
            };
            assert_eq!(cut.train, expected.iter().map(counted).collect::<Vec<_>>());
            assert_eq!(cut.report.source.rows, rows.len());
            assert_eq!(cut.report.train.tokens, expected.iter().map(|s| s.tokens.len() as u64).sum::<u64>());
        }
    }
}

#[test]
fn a_cut_keeps_what_cutting_each_row_by_hand_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| format!("{{\"question\":\"{}?\",\"answer\":\"{}\"}}\n", "q".repeat(i * 7), i % 4);
    as_cut_by_hand(&file(&folder, "d.jsonl", &(0..20).map(row).collect::<String>()));
    let refused = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n\
                   {\"messages\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n";
    as_cut_by_hand(&file(&folder, "m.jsonl", refused));
    let turns = |n: usize| {
        let turn = |i: usize| format!("{{\"role\":\"{}\",\"content\":\"{i}\"}}", ["user", "assistant"][i % 2]);
        format!("{{\"messages\":[{}]}}\n", (0..n).map(turn).collect::<Vec<_>>().join(","))
    };
    as_cut_by_hand(&file(&folder, "n.jsonl", &(2..12).map(turns).collect::<String>()));
    as_cut_by_hand(&file(&folder, "t.txt", "one\n\n two \nthree\n"));
    if let Some(real) = shared_data("identity.json") {
        as_cut_by_hand(&real.to_string_lossy());
    }
}

#[test]
fn what_is_kept_on_the_disk_is_what_was_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let row = |i: usize| match i % 5 {
        4 => "{\"question\":3}\n".to_string(),
        _ => format!("{{\"question\":\"{}\",\"answer\":\"{}\"}}\n", "é".repeat(i % 31), "a".repeat(i % 7)),
    };
    let path = file(&folder, "d.jsonl", &(0..9000).map(row).collect::<String>());
    let tokenizer = tokenizer();
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let read = |settings: &DataConfig, root: &std::path::Path, progress: &mut dyn FnMut(u64) -> bool| {
        let source = Source::find(&path).unwrap();
        tokenized_in(root, &source, settings, &tokenizer, &encoder, Tolerance::List, progress)
    };
    let memory = look(&settings(&path)).train;
    let mut calls = 0;
    let mut counting = |_| {
        calls += 1;
        true
    };
    let made = read(&settings(&path), cache.path(), &mut counting).unwrap();
    let while_making = std::mem::take(&mut calls);
    assert!(while_making > 5, "{while_making}");
    let found = read(&DataConfig { max_seq_len: 99, ..settings(&path) }, cache.path(), &mut |_| {
        calls += 1;
        true
    });
    let found = found.unwrap();
    let pieces = std::fs::metadata(&path).unwrap().len().div_ceil(crate::engine::digest::BUFFER as u64) as usize;
    assert!(
        calls < while_making && calls <= pieces + 1,
        "the second time the file is hashed and no row is read: {calls}"
    );
    for other in [&made, &found] {
        assert_eq!((&other.summary, other.len()), (&memory.summary, 7200));
        for row in (0..7200).step_by(13) {
            assert_eq!(other.record(row).unwrap(), memory.record(row).unwrap());
            assert_eq!(other.sample(row, 40).unwrap(), memory.sample(row, 40).unwrap());
        }
        assert_eq!(other.duplicates().unwrap(), memory.duplicates().unwrap());
    }
    let entries = || std::fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(entries(), 1);

    // Other bytes, another mask, another template: other entries.
    read(&DataConfig { loss_on: LossOn::All, ..settings(&path) }, cache.path(), &mut |_| true).unwrap();
    assert_eq!(entries(), 2);
    // Cancelled: nothing is left behind.
    std::fs::write(&path, "{\"question\":\"a\",\"answer\":\"b\"}\n").unwrap();
    let error = read(&settings(&path), cache.path(), &mut |_| false).unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)));
    assert_eq!(entries(), 2);
    assert_eq!(read(&settings(&path), cache.path(), &mut |_| true).unwrap().len(), 1);
    // A damaged entry is made again.
    for entry in std::fs::read_dir(cache.path()).unwrap() {
        std::fs::write(entry.unwrap().path().join("tokens.bin"), "short").unwrap();
    }
    assert_eq!(read(&settings(&path), cache.path(), &mut |_| true).unwrap().sample(0, 9).unwrap().tokens.len(), 9);
}

#[test]
fn who_waits_for_slow_rows_can_give_up() {
    let folder = tempfile::tempdir().unwrap();
    // Of a question of its own, each row takes all of the template's budget: the thousand of them would take minutes.
    let source = format!(
        "{{% if 'slow' in messages[0].content %}}{{% for a in range(10000) %}}{{% for b in range(10000) %}}{{% endfor %}}{{% endfor %}}{{% endif %}}{CHATML}"
    );
    let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(&source));
    let rows: String = (0..1000).map(|i| format!("{{\"question\":\"slow {i}\",\"answer\":\"a\"}}\n")).collect();
    let train = file(&folder, "d.jsonl", &rows);
    let started = std::time::Instant::now();
    let error = survey(&settings(&train), &tokenizer, &mut |_, _| started.elapsed().as_millis() < 300).unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)), "{error}");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    // One that ends for nothing is no template.
    let source = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
    let tokenizer = byte_tokenizer(&["<|im_end|>"], Some(source));
    let error = survey(&settings(&train), &tokenizer, &mut |_, _| true).unwrap_err().to_string();
    assert!(error.starts_with("the chat template does not come to an end: it was stopped"), "{error}");
}

#[test]
fn all_wrong_rows_are_listed_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"text\":\"a\"}\n{\"text\":3}\n{\"text\" 4}\n\n{\"txt\":\"b\"}\n{\"text\":\"c\"}\n";
    let train = file(&folder, "d.jsonl", text);
    let seen = look(&settings(&train));
    let problems: Vec<_> = seen.train.summary.wrong.iter().map(|p| (p.line, p.message.as_str())).collect();
    assert_eq!(
        problems,
        [
            (2, "`text` is the number 3; expected a text"),
            (3, "not valid JSON: expected `:` (column 9)"),
            (5, "there is no `text`; found the column `txt`"),
        ]
    );
    assert_eq!((seen.train.summary.wrong_rows, seen.train.len()), (3, 2));
    assert_eq!(seen.train.record(1).unwrap().line, 6);
    let stopped = seen.cut(&settings(&train), 0).unwrap_err().to_string();
    assert!(stopped.starts_with("line 2: `text` is the number 3; expected a text: "), "{stopped}");
    let skipping = DataConfig { on_bad_row: OnBadRow::Skip, ..settings(&train) };
    let cut = seen.cut(&skipping, 0).unwrap();
    assert_eq!((cut.train.len(), cut.report.source.wrong_rows), (2, 3));
    assert!(cut.report.notices[0].starts_with("3 rows that cannot be read left out"), "{:?}", cut.report.notices);
    // In an array the place on the line helps, where all rows stand on one.
    let train = file(&folder, "d.json", "[{\"text\":\"a\"},{\"text\":4},\n{\"text\" 4},\n{\"text\":\"c\"}]");
    let seen = look(&settings(&train)).train;
    let problems: Vec<_> = seen.summary.wrong.iter().map(|p| (p.line, p.message.as_str())).collect();
    let shape = (1, "`text` is the number 4; expected a text (column 15)");
    assert_eq!(problems, [shape, (2, "not valid JSON: expected `:` (line 2, column 9)")]);
    assert_eq!((seen.summary.wrong_rows, seen.len()), (2, 2));
}

#[test]
fn every_wrong_row_can_be_looked_at_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let row = |i: usize| match i % 3 {
        0 => format!("{{\"text\":\"row {i}\"}}\n"),
        1 => format!("{{\"text\":{i}}}\n"),
        _ => format!("{{\"text\" {i}}}\n"),
    };
    let (first, second) = (0..3000).partition::<Vec<usize>, _>(|i| *i < 1000);
    let text = |rows: &[usize]| rows.iter().map(|i| row(*i)).collect::<String>();
    file(&folder, "a.jsonl", &text(&first));
    std::fs::write(folder.path().join("b.jsonl.gz"), gzip(text(&second).as_bytes())).unwrap();
    let settings = settings(&folder.path().to_string_lossy());
    let tokenizer = tokenizer();
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let source = Source::find(&settings.train).unwrap();
    let kept = || {
        let more = &mut |_| true;
        tokenized_in(cache.path(), &source, &settings, &tokenizer, &encoder, Tolerance::List, more).unwrap()
    };
    let previewer = Previewer::new(&tokenizer).unwrap();
    for seen in [kept(), kept(), Arc::into_inner(look(&settings).train).unwrap()] {
        assert_eq!((seen.summary.wrong_rows, seen.len(), seen.summary.wrong.len()), (2000, 1000, 100));
        let wrong: Vec<usize> = (0..3000).filter(|i| i % 3 != 0).collect();
        for at in (0..2000).step_by(61).chain([99, 100, 665, 666, 1999]) {
            let found = seen.wrong_row(at).unwrap();
            let (i, file) = (wrong[at], usize::from(wrong[at] >= 1000));
            assert_eq!((found.file as usize, found.line), (file, i + 1 - 1000 * file), "{at}");
            let expected = match i % 3 {
                1 => format!("`text` is the number {i}; expected a text"),
                _ => "not valid JSON: expected `:` (column 9)".to_string(),
            };
            assert_eq!(found.message, expected);
            if at < 100 {
                assert_eq!(seen.summary.wrong[at], found);
            }
            let shown = previewer.show_wrong(&seen.source, &found, &seen.summary.reading, LossOn::Completions).unwrap();
            assert_eq!(shown.refusal.as_deref(), Some(expected.as_str()));
            match i % 3 {
                1 => assert_eq!(shown.row.fields["text"], i),
                _ => assert_eq!(shown.text, row(i)),
            }
        }
        assert!(seen.wrong_row(2000).is_err());
    }
}

#[test]
fn rows_are_found_and_read_again_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let array = "\u{FEFF}[ {\"text\": \"Uno\"}\n, {\"text\":\n\"Dos, [x]\"},{\"text\":\"Très\"} ]";
    let lines = "\n{\"text\":\"Uno\"}\r\n\n {\"text\":\"Dos, [x]\"}\n{\"text\":\"Tr\\u00e8s\"}";
    for (name, text) in [("a.json", array), ("b.jsonl", lines), ("c.txt", "Uno\n \n\nDos, [x]  \r\nTrès")] {
        let seen = look(&settings(&file(&folder, name, text))).train;
        let read = |i: usize| seen.row(i).unwrap().fields["text"].as_str().unwrap().to_string();
        assert_eq!([read(2), read(0), read(1)], ["Très", "Uno", "Dos, [x]"], "{name}");
        let find = |needle: &str, from| seen.find(needle, from, &mut |_, _| true).unwrap();
        assert_eq!((find("TRÈS", 0), find("uno", 1), find("o", 1), find("zz", 0)), (Some(2), Some(0), Some(1), None));
    }
}

#[test]
fn a_file_that_changed_is_said_to_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(&folder, "d.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    let seen = look(&settings(&train)).train;
    file(&folder, "d.jsonl", "{\"text\":\"a\"}\n");
    let error = seen.row(1).unwrap_err().to_string();
    assert!(error.starts_with("line 2: the file has changed since it was read: read it again"), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let row = |i: usize| format!("{{\"question\":\"{i}\",\"answer\":\"{}\"}}\n", "a".repeat(300));
    let path = file(&folder, "d.jsonl", &(0..2500).map(row).collect::<String>());
    let tokenizer = tokenizer();
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let read = |progress: &mut dyn FnMut(u64) -> bool| {
        let source = Source::find(&path).unwrap();
        tokenized_in(cache.path(), &source, &settings(&path), &tokenizer, &encoder, Tolerance::List, progress)
    };
    let refused = "the file has changed while it was read: wait until it is written, or read a copy of it: ";
    // One row more, when the first chunk is there: in a moment that comes behind the hash.
    let mut grow = |done| {
        if done > 0 {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, row(0).as_bytes()).unwrap();
        }
        true
    };
    assert!(read(&mut grow).unwrap_err().to_string().starts_with(refused));
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    let error = survey(&settings(&path), &tokenizer, &mut |done, _| grow(done)).unwrap_err().to_string();
    assert!(error.starts_with(refused), "{error}");
    // Deleted: the rows are there, but nobody could look at them.
    let mut delete = |done| {
        if done > 0 {
            let _ = std::fs::remove_file(&path);
        }
        true
    };
    let error = read(&mut delete).unwrap_err().to_string();
    assert!(error.starts_with(refused), "{error}");
}

#[test]
fn who_waits_where_no_row_ends_can_give_up() {
    let folder = tempfile::tempdir().unwrap();
    // Half a minute of empty lines in a few kilobytes.
    let row = zstd::encode_all(&b"{\"text\":\"a\"}\n"[..], 1).unwrap();
    let nothing = zstd::encode_all(&vec![b'\n'; 64 << 20][..], 1).unwrap();
    let train = folder.path().join("d.jsonl.zst");
    std::fs::write(&train, [row, nothing.repeat(300)].concat()).unwrap();
    let started = std::time::Instant::now();
    let settings = settings(&train.to_string_lossy());
    let error = survey(&settings, &tokenizer(), &mut |_, _| started.elapsed().as_millis() < 300).unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)), "{error}");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn the_first_rows_are_the_first_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| format!("{{\"question\":\"{i}?\",\"answer\":\"{}\"}}\n", "a".repeat(i % 9));
    let path = file(&folder, "d.jsonl", &(0..3000).map(row).collect::<String>());
    let (all, tokenizer) = (look(&settings(&path)).train, tokenizer());
    for limit in [1, 5, 1500, 9000] {
        let first = crate::engine::data::survey_first(&settings(&path), &tokenizer, limit, &mut || true).unwrap().train;
        assert_eq!(first.len(), limit.min(3000));
        for row in [0, first.len() - 1] {
            assert_eq!(first.sample(row, 99).unwrap(), all.sample(row, 99).unwrap());
            assert_eq!(first.row(row).unwrap(), all.row(row).unwrap());
        }
    }
}

#[test]
fn rows_that_say_the_same_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let seen = look(&settings(&file(&folder, "d.txt", "a\nb\na\na\n"))).train;
    assert_eq!(seen.duplicates().unwrap(), 2);
    let repeats: Vec<bool> = (0..4).map(|row| seen.repeats_an_earlier(row).unwrap()).collect();
    assert_eq!(repeats, [false, false, true, true]);
}
