use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::app::{Command, Room, Studio};
use crate::engine::config::{DataFormat, OnBadRow, RunConfig};
use crate::engine::data::{self, LengthCounts, Mark, Why};

fn studio() -> Studio {
    let mut studio = Studio::open(None, Arc::new(|| {}));
    settle(&mut studio);
    studio
}

fn wait(studio: &mut Studio, what: &str, mut done: impl FnMut(&Studio) -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        studio.drain();
        if done(studio) {
            return;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn settle(studio: &mut Studio) {
    wait(studio, "model and rows are read", |s| !s.model.busy() && !s.data.busy());
}

fn edit(studio: &mut Studio, change: impl FnOnce(&mut RunConfig)) {
    let mut run = studio.shared.run.clone();
    change(&mut run);
    studio.apply(Command::Edit(Box::new(run)));
}

fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn train_on(studio: &mut Studio, path: &str) -> Readiness {
    edit(studio, |run| run.data.train = path.to_string());
    settle(studio);
    studio.readiness(Room::Data)
}

fn many(count: usize) -> String {
    (0..count).map(|i| format!("{{\"question\":\"{}\",\"answer\":\"{i}\"}}\n", "why? ".repeat(1 + i % 90))).collect()
}

#[test]
fn a_new_length_is_counted_at_once_and_a_new_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let path = file(&folder, "many.jsonl", many(10_000));
    assert_eq!(train_on(&mut studio, &path), Readiness::Ready);
    let whole = studio.data.info.clone().unwrap();
    assert_eq!((whole.report.train.samples, whole.report.source.truncated), (10_000, 0));
    let begun = Instant::now();
    for length in [64, 100, 128] {
        edit(&mut studio, |run| run.data.max_seq_len = length);
        let cut = studio.data.info.clone().unwrap();
        assert!(!studio.data.busy(), "nothing is read again");
        assert_eq!(cut.settings.max_seq_len, length);
        assert!(cut.report.train.tokens < whole.report.train.tokens);
        assert_eq!(cut.histogram, whole.histogram);
    }
    // Each within a frame, with room for a busy machine.
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    edit(&mut studio, |run| (run.data.max_seq_len, run.data.packing) = (512, false));
    let info = studio.data.info.clone().unwrap();
    assert_eq!(info.sequences(), 10_000);
    assert!(info.packed < 5_000 && info.fill() > 0.95, "{} {}", info.packed, info.fill());
    let train = crate::engine::config::TrainConfig { batch_size: 3, grad_accumulation: 4, ..studio.shared.run.train };
    assert_eq!(info.steps_per_epoch(&train), 834);
}

#[test]
fn the_window_counts_what_the_trainer_loads() {
    let mut studio = studio();
    edit(&mut studio, |run| (run.data.validation_fraction, run.data.max_seq_len) = (0.1, 48));
    settle(&mut studio);
    let info = studio.data.info.clone().unwrap();
    let model = studio.model.info.clone().unwrap();
    let run = &studio.shared.run;
    let loaded = data::load(&run.data, &model.tokenizer, run.train.seed).unwrap();
    assert_eq!(info.report, loaded.report);
    let plan = data::plan_epoch(
        loaded.train.rows().iter().map(|row| row.tokens),
        run.train.batch_size,
        &run.data,
        run.train.seed,
        0,
    );
    assert_eq!(info.steps_per_epoch(&run.train), plan.len().div_ceil(run.train.grad_accumulation));
}

#[test]
fn what_cannot_be_read_blocks_with_one_clear_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    std::fs::create_dir(folder.path().join("nothing")).unwrap();
    for (path, reason) in [
        (file(&folder, "empty.jsonl", ""), "the data set is empty: it has no rows"),
        (
            file(&folder, "broken.jsonl", "{\"text\":\"a\"}\n{\"text\" 2}\n"),
            "1 row cannot be read: line 2: not valid JSON",
        ),
        (file(&folder, "binary.jsonl", [0, 159, 146, 150, 7]), "the file holds zero bytes: it is binary, not text"),
        (file(&folder, "latin1.txt", [b'a', 159, 146, 150, 7]), "1 row cannot be read: line 1: the text is not UTF-8"),
        (file(&folder, "zip.jsonl", "PK\u{3}\u{4}"), "the file is a zip archive: unpack it first"),
        (folder.path().join("nothing").display().to_string(), "there is no data file in this folder"),
        (folder.path().join("none.jsonl").display().to_string(), "there is no such data file"),
        (String::new(), "no rows are chosen yet"),
        (
            file(&folder, "silent.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"),
            "the only row cannot be trained on: line 1: it has no assistant turn to train on",
        ),
        (file(&folder, "unknown.jsonl", "{\"a\":1}"), "line 1: no known format"),
    ] {
        match train_on(&mut studio, &path) {
            Readiness::Blocked(text) => assert!(text.starts_with(reason), "{path}: {text}"),
            other => panic!("{path}: {other:?}"),
        }
        assert!(!studio.may_start(), "{path}");
    }
    assert_eq!(train_on(&mut studio, "builtin:pirate"), Readiness::Ready);
    assert!(studio.may_start());
    let recent = studio.shared.prefs.recent_data.clone();
    assert!(recent.first().is_some_and(|name| name == "builtin:pirate"), "{recent:?}");
}

#[test]
fn rows_that_are_left_out_or_cut_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let rows = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n\
                {\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n";
    let readiness = train_on(&mut studio, &file(&folder, "some.jsonl", rows));
    let expected = "1 of 2 rows left out: it has no assistant turn to train on";
    assert_eq!(readiness, Readiness::Warning(expected.into()));
    train_on(&mut studio, &file(&folder, "long.txt", "many words in a row, ".repeat(20)));
    edit(&mut studio, |run| run.data.max_seq_len = 16);
    let expected = "100% of the rows are cut at 16 tokens: a longer maximum keeps more of them";
    assert_eq!(studio.readiness(Room::Data), Readiness::Warning(expected.into()));
}

#[test]
fn rows_are_picked_by_what_becomes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let row = |question: &str, answer: &str| format!("{{\"question\":\"{question}\",\"answer\":\"{answer}\"}}\n");
    let long = "word ".repeat(80);
    let rows =
        [row("a", "b"), row("a", "b"), row("c", &long), row(&long, "d"), row("held", "out"), row("e", "f")].concat();
    let held = file(&folder, "held.jsonl", row("held", "out") + &row("x", &long));
    let path = file(&folder, "rows.jsonl", rows);
    edit(&mut studio, |run| {
        (run.data.train, run.data.validation) = (path, held);
        (run.data.max_seq_len, run.data.deduplicate) = (48, true);
    });
    settle(&mut studio);
    let (info, survey) = (studio.data.info.clone().unwrap(), studio.data.survey.clone().unwrap());
    let rows = |pick| info.picks.rows(pick).map(all_of);
    assert_eq!(rows(Pick::All), None);
    assert_eq!((rows(Pick::Of(Mark::Cut)), rows(Pick::Of(Mark::EndCut))), (Some(vec![2]), Some(vec![2])));
    assert_eq!((rows(Pick::LeftOut), rows(Pick::Of(Mark::Repeated))), (Some(vec![1, 3, 4]), Some(vec![1])));
    for (why, row) in [(Why::Repeats, 1), (Why::Beyond, 3), (Why::InValidation, 4)] {
        let pick = Pick::Of(Mark::LeftOut(why));
        assert!(info.picks.offered().contains(&pick));
        assert_eq!(rows(pick), Some(vec![row]));
    }
    let why = |row| info.picks.why_left_out(&survey, &info.settings, row).unwrap_or_default();
    assert_eq!(why(0), "");
    assert_eq!(why(1), "it says the same as an earlier row");
    assert_eq!(why(3), "nothing in its first 48 tokens is trained");
    assert!(why(4).starts_with("it is also a validation row"));
    let said = |part: &str| info.findings.iter().any(|found| found.sentence.contains(part));
    assert!(said("Of the 2 rows of the validation file, 1 are cut and 0 left out."));
    assert!(info.findings.iter().all(|found| !found.sentence.contains('_')), "{:?}", info.findings);
    // What was asked for is no warning.
    edit(&mut studio, |run| (run.data.validation.clear(), run.data.max_seq_len = 512).0);
    settle(&mut studio);
    assert_eq!(studio.readiness(Room::Data), Readiness::Ready);
}

fn all_of(rows: &RowSet) -> Vec<usize> {
    std::iter::successors(rows.from(0), |row| rows.from(row + 1)).collect()
}

#[test]
fn every_row_of_a_finding_can_be_gone_through() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let turn = |role: &str, text: &str| format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}}");
    let row = |turns: &[String]| format!("{{\"messages\":[{}]}}\n", turns.join(","));
    let rows: String = (0..400)
        .map(|i| {
            let (question, answer) = (turn("user", &format!("{i}?")), turn("assistant", &format!("{i}!")));
            match i % 7 {
                3 => row(&[question.clone(), question, answer]),
                5 => row(&[question, turn("assistant", "")]),
                6 => row(&[question]),
                _ => row(&[question, answer]),
            }
        })
        .collect();
    train_on(&mut studio, &file(&folder, "odd.jsonl", rows));
    let (info, survey) = (studio.data.info.clone().unwrap(), studio.data.survey.clone().unwrap());
    let found = |part: &str| info.findings.iter().find(|found| found.sentence.contains(part)).unwrap();
    for (part, rest) in [("wo user turns in a row", 3), ("mpty answer", 5), ("no assistant turn", 6)] {
        let found = found(part);
        let expected: Vec<usize> = (0..400).filter(|i| i % 7 == rest).collect();
        let pick = Pick::Of(found.mark.unwrap());
        assert_eq!(info.picks.rows(pick).map(all_of), Some(expected.clone()), "{part}");
        assert_eq!((found.rows, found.example.as_ref().unwrap().row), (expected.len(), rest));
        assert!(pick.label(&survey.train.summary, 512).contains(part), "{}", pick.label(&survey.train.summary, 512));
    }
    let offered = info.picks.offered();
    assert!(offered.contains(&Pick::Of(found("mpty answer").mark.unwrap())) && offered.len() >= 7, "{offered:?}");
    // From the row that is shown on, and round the end.
    let pick = Pick::Of(found("wo user turns in a row").mark.unwrap());
    for (from, row) in [(0, 3), (4, 10), (399, 3)] {
        studio.apply(Command::Data(DataCommand::GoThrough(pick, from)));
        assert_eq!((studio.data.look.row, studio.data.pick), (row, pick));
    }
    // Another file has other findings.
    train_on(&mut studio, "builtin:pirate");
    assert_eq!(studio.data.pick, Pick::All);
}

#[test]
fn rows_that_cannot_be_read_hide_no_other_finding_and_still_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let row = |question: &str| format!("{{\"question\":\"{question}\",\"answer\":\"a\"}}\n");
    let path = file(&folder, "rows.jsonl", row("q") + "{\"question\" 3}\n" + &row("q") + &row("r"));
    let Readiness::Blocked(text) = train_on(&mut studio, &path) else { panic!("rows that cannot be read are taken") };
    assert!(text.starts_with("1 row cannot be read: line 2: not valid JSON"), "{text}");
    let info = studio.data.info.clone().unwrap();
    let kinds: Vec<_> = info.findings.iter().map(|found| (found.topic, found.severity)).collect();
    assert!(kinds.contains(&(data::Topic::Unreadable, Weight::Error)), "{kinds:?}");
    assert!(kinds.contains(&(data::Topic::Repeated, Weight::Note)), "{kinds:?}");
    assert_eq!((info.report.train.samples, info.duplicates), (3, 1));
    assert!(!studio.may_start());
    studio.apply(Command::Start);
    assert!(studio.training.is_none() && !studio.about_to_start());
    // What the trainer says of it is the same.
    let model = studio.model.info.clone().unwrap();
    let error = data::load(&studio.shared.run.data, &model.tokenizer, 0).unwrap_err().to_string();
    assert!(error.starts_with("line 2: not valid JSON"), "{error}");
    edit(&mut studio, |run| run.data.on_bad_row = OnBadRow::Skip);
    settle(&mut studio);
    assert!(studio.may_start());
    let skipped = studio.data.info.clone().unwrap();
    assert_eq!(skipped.report.train, info.report.train);
}

#[test]
fn another_template_is_seen_before_all_rows_are_written_with_it() {
    let mut studio = studio();
    wait(&mut studio, "the first row is shown", |s| s.data.look.shown.is_some());
    edit(&mut studio, |run| run.data.chat_template = "{% for m in messages %}<{{ m.content }}>{% endfor %}".into());
    assert!(studio.data.busy() && studio.data.survey.is_some() && studio.data.look.shown.is_some());
    wait(
        &mut studio,
        "the row is written with it",
        |s| matches!(&s.data.look.shown, Some(Ok(preview)) if preview.text.starts_with('<') && !s.data.look.waiting()),
    );
    settle(&mut studio);
    assert!(studio.data.info.is_some());
}

#[test]
fn rows_are_looked_at_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    train_on(&mut studio, &file(&folder, "many.jsonl", many(50)));
    let shown = |s: &Studio| match &s.data.look.shown {
        Some(Ok(preview)) => Some(preview.row.index),
        _ => None,
    };
    wait(&mut studio, "the first row is shown", |s| shown(s) == Some(0));
    studio.apply(Command::Data(DataCommand::Look(7)));
    wait(&mut studio, "row 7 is shown", |s| shown(s) == Some(7));
    // Far beyond the end: the last one.
    studio.apply(Command::Data(DataCommand::Look(1_000)));
    wait(&mut studio, "the last row is shown", |s| shown(s) == Some(49));
    studio.apply(Command::Data(DataCommand::Find { text: "31".into(), from: 49 }));
    wait(&mut studio, "row 31 is found", |s| shown(s) == Some(31));
    studio.apply(Command::Data(DataCommand::Find { text: "Zanzibar".into(), from: 0 }));
    wait(&mut studio, "nothing is found", |s| s.data.finding.outcome.is_some());
    assert_eq!(studio.data.finding.outcome.as_deref(), Some("no row holds \"Zanzibar\""));
    assert_eq!(studio.data.look.row, 31);
}

#[test]
fn a_change_while_reading_gives_up_the_old_reading() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    for i in 0..5 {
        let path = file(&folder, &format!("{i}.jsonl"), many(500 + i));
        edit(&mut studio, |run| run.data.train = path);
        assert_eq!(studio.readiness(Room::Data), Readiness::Busy);
    }
    settle(&mut studio);
    assert_eq!(studio.data.info.clone().unwrap().report.source.rows, 504);
    studio.apply(Command::Data(DataCommand::Reload));
    studio.apply(Command::Data(DataCommand::CancelReading));
    settle(&mut studio);
    match studio.readiness(Room::Data) {
        Readiness::Blocked(text) => assert!(text.starts_with("reading was cancelled"), "{text}"),
        // It was quicker than the cancel.
        other => assert_eq!(other, Readiness::Ready),
    }
}

#[test]
fn a_data_set_that_is_not_here_can_be_downloaded_and_only_once_at_a_time() {
    let mut studio = studio();
    let Readiness::Blocked(text) = train_on(&mut studio, "nobody-of-this-name/rows-that-are-not-here") else {
        panic!("a data set out of nothing")
    };
    assert!(text.contains("is a data set on the Hugging Face Hub that is not on this computer yet"), "{text}");
    let id = studio.data.problem.clone().unwrap().download.unwrap();
    let mut download = Download::default();
    let waker: crate::app::job::Waker = Arc::new(|| {});
    download.start(id.clone(), Wish::Parts, false, &waker).unwrap();
    let refusal = download.start(id, Wish::Parts, false, &waker).unwrap_err();
    assert!(refusal.contains("is being downloaded: wait until it is here, or stop it"), "{refusal}");
    download.cancel();
}

#[test]
fn a_histogram_counts_every_row_and_keeps_outliers_in_its_last_bar() {
    let histogram = Histogram::of(LengthCounts::of((1..=1000).map(|i| 1 + i % 200).chain([50_000])));
    assert!(histogram.open && histogram.bars.len() <= 60, "{:?}", histogram.bars);
    assert_eq!(histogram.bars.iter().sum::<usize>(), 1001);
    assert_eq!((histogram.longer_than(200), histogram.longer_than(100)), (1, 501));
    assert_eq!((histogram.quantile(0.0), histogram.quantile(1.0)), (1, 50_000));
    assert_eq!(Histogram::of(LengthCounts::default()), Histogram::default());
    let even = Histogram::of(LengthCounts::of([5; 10]));
    assert_eq!((even.open, even.bars.iter().sum::<usize>()), (false, 10));
}

#[test]
fn real_rows_are_read_quickly() {
    let folder = std::env::var_os("LORA_STUDIO_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let path = folder.join("gsm8k_train.jsonl");
    if !path.exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is required on CI", path.display());
        println!("skipped: there is no {}", path.display());
        return;
    }
    let mut studio = studio();
    train_on(&mut studio, &path.display().to_string());
    let survey = studio.data.survey.clone().unwrap();
    assert_eq!((survey.train.len(), survey.train.summary.reading.format), (7473, DataFormat::QuestionAnswer));
}

#[test]
fn rows_that_cannot_be_read_are_looked_at_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let path =
        file(&folder, "rows.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}\n{\"question\" 3}\n{\"question\":\"r\"}\n");
    let held = file(&folder, "held.jsonl", "{\"question\":\"x\",\"answer\":\"y\"}\nwords\n");
    edit(&mut studio, |run| (run.data.train, run.data.validation) = (path, held));
    settle(&mut studio);
    let show = |studio: &mut Studio, at: WrongAt| {
        studio.apply(Command::Data(DataCommand::LookAtWrong(at)));
        wait(studio, "the row is shown", |s| !s.data.look.waiting());
        assert_eq!(studio.data.look.wrong, Some(at));
        let Some(Ok(shown)) = studio.data.look.shown.clone() else { panic!("nothing is shown") };
        (shown.row.line, shown.text.clone(), shown.row.fields.len(), shown.refusal.clone().unwrap())
    };
    let at = |at, held_out| WrongAt { held_out, at };
    let syntax = "not valid JSON: expected `:` (column 13)".to_string();
    assert_eq!(show(&mut studio, at(0, false)), (2, "{\"question\" 3}\n".into(), 0, syntax));
    let shape = "there is no `answer`; found the column `question`".to_string();
    assert_eq!(show(&mut studio, at(1, false)), (3, String::new(), 1, shape));
    let (line, text, _, why) = show(&mut studio, at(0, true));
    assert_eq!((line, text.as_str()), (2, "words\n"));
    assert!(why.starts_with("not valid JSON"), "{why}");
    // It stays in sight while other settings are chosen, and goes when a row is asked for.
    edit(&mut studio, |run| run.data.on_bad_row = OnBadRow::Skip);
    settle(&mut studio);
    assert_eq!(studio.data.look.wrong, Some(at(0, true)));
    studio.apply(Command::Data(DataCommand::Look(0)));
    wait(&mut studio, "the row is shown", |s| !s.data.look.waiting());
    assert!(studio.data.look.wrong.is_none());
    // Where nothing else is there, the first is shown.
    let path = file(&folder, "none.jsonl", "{\"question\" 3}\n{\"question\" 4}\n");
    edit(&mut studio, |run| (run.data.train, run.data.on_bad_row) = (path, OnBadRow::Stop));
    settle(&mut studio);
    wait(&mut studio, "the row is shown", |s| !s.data.look.waiting());
    assert_eq!(studio.data.look.wrong, Some(at(0, false)));
    assert!(matches!(&studio.data.look.shown, Some(Ok(shown)) if shown.text == "{\"question\" 3}\n"));
}

#[test]
fn a_finding_of_unusual_rows_is_taken_away_by_its_button() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = studio();
    let row = |answer: &str| format!("{{\"question\":\"q{answer}\",\"answer\":\"{answer}\"}}\n");
    train_on(&mut studio, &file(&folder, "rows.jsonl", row("a") + &row("") + &row("b")));
    let found = |studio: &Studio| {
        let info = studio.data.info.clone().unwrap();
        info.findings.iter().map(|found| (found.sentence.clone(), found.fix(&info.settings, 512))).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&studio),
        [("1 row: an empty answer.".to_string(), Some(data::Fix::LeaveOut(data::Oddity::EmptyAnswer)))]
    );
    edit(&mut studio, |run| data::Fix::LeaveOut(data::Oddity::EmptyAnswer).apply(&mut run.data));
    settle(&mut studio);
    assert_eq!(found(&studio), [("1 row is left out: an empty answer.".to_string(), None)]);
    assert_eq!(studio.readiness(Room::Data), Readiness::Ready, "it was asked for");
    let info = studio.data.info.clone().unwrap();
    assert_eq!(info.report.train.samples, 2);
    assert_eq!(info.picks.rows(Pick::LeftOut).map(all_of), Some(vec![1]));
    // Other rows have nothing to do with it.
    let mut data = studio.shared.run.data.clone();
    crate::app::data::train_on(&mut data, "builtin:pirate".into());
    assert!(data.leave_out.is_empty());
}
