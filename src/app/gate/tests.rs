//! Each refusal and each way out, on a whole studio without a window.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::app::pricing::Pricing;
use crate::engine::config::{Checkpointing, LossOn, RunConfig};

struct Fixture {
    studio: Studio,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let mut studio = Studio::open(None, Arc::new(|| {}));
        studio.shared.prefs.runs_folder = folder.path().join("runs").display().to_string();
        let mut fixture = Fixture { studio, folder };
        fixture.settle();
        fixture
    }

    fn edit(&mut self, change: impl FnOnce(&mut RunConfig)) {
        let mut run = self.studio.shared.run.clone();
        change(&mut run);
        self.studio.apply(Command::Edit(Box::new(run)));
        self.settle();
    }

    fn settle(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            self.studio.drain();
            let no_model = self.studio.model.problem.is_some();
            let known = |c: &Check| c.verdict != Verdict::Waiting || no_model;
            if checks(&self.studio).iter().all(known)
                && self.studio.folder.place.is_some()
                && !self.studio.model.busy()
                && !self.studio.data.busy()
            {
                return;
            }
            assert!(Instant::now() < until, "{:?}", checks(&self.studio));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn check(&self, topic: Topic) -> Check {
        checks(&self.studio).into_iter().find(|c| c.topic == topic).unwrap()
    }

    /// Start changes nothing but what is said.
    fn refuses(&mut self, topic: Topic) -> Check {
        assert!(!self.studio.may_start());
        self.studio.apply(Command::Start);
        assert!(self.studio.training.is_none() && self.studio.view.is_none());
        let check = self.check(topic);
        assert_eq!(check.verdict, Verdict::Refused, "{check:?}");
        let said = self.studio.shared.notices.all().next_back().unwrap().text.clone();
        assert!(said.contains(topic.title()) && said.contains(&check.sentence), "{said}");
        check
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[test]
fn the_first_start_is_ready() {
    let f = Fixture::new();
    let found = checks(&f.studio);
    assert!(found.iter().all(|c| c.verdict == Verdict::Good), "{found:?}");
    assert!(f.studio.may_start());
    assert!(f.check(Topic::Data).sentence.starts_with("360 rows"));
    let mut f = f;
    let first = forecast(&f.studio).unwrap();
    assert_eq!(first.steps, 3 * first.steps_an_epoch);
    f.edit(|run| run.train.max_steps = 7);
    assert_eq!(forecast(&f.studio).unwrap().steps, 7);
}

#[test]
fn a_missing_model_or_data_file_is_refused_with_its_reason() {
    let mut f = Fixture::new();
    f.edit(|run| run.model.source = "/no/such/model".into());
    let check = f.refuses(Topic::Model);
    assert!(check.sentence.contains("/no/such/model"), "{check:?}");
    assert!(matches!(check.fix.unwrap().command, Command::Go(Room::Model)));
    f.edit(|run| {
        run.model.source = "builtin:tiny-chat".into();
        run.data.train = "/no/such/rows.jsonl".into();
    });
    let check = f.refuses(Topic::Data);
    assert!(check.sentence.contains("/no/such/rows.jsonl"), "{check:?}");
}

#[test]
fn rows_without_an_answer_have_nothing_to_train_and_are_refused() {
    let mut f = Fixture::new();
    let rows = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}\n".repeat(3);
    let path = f.file("questions.jsonl", &rows);
    f.edit(|run| run.data.train = path);
    let check = f.refuses(Topic::Data);
    assert!(check.sentence.contains("no assistant turn to train on"), "{check:?}");
    // The way out is good for something: with the loss on all tokens there is something to train.
    f.edit(|run| run.data.loss_on = LossOn::All);
    assert_ne!(f.check(Topic::Data).verdict, Verdict::Waiting);
}

#[test]
fn what_does_not_fit_is_refused_with_a_change_that_fits() {
    let mut f = Fixture::new();
    f.edit(|run| {
        run.train.checkpointing = Checkpointing::None;
        run.train.batch_size = 8;
        run.train.grad_accumulation = 2;
    });
    let bytes_of = |f: &Fixture, change: &dyn Fn(&mut RunConfig)| {
        let mut run = f.studio.shared.run.clone();
        change(&mut run);
        let (studio, shared) = (&f.studio, &f.studio.shared);
        let (model, rows) = (studio.model.info.as_deref(), studio.data.info.as_deref());
        Pricing::of_run(&run, shared, model, rows, studio.starting.shape.as_ref()).bytes()
    };
    let whole = bytes_of(&f, &|_| {});
    let per_layer = bytes_of(&f, &|run| run.train.checkpointing = Checkpointing::PerLayer);
    let least = bytes_of(&f, &|run| {
        run.train.checkpointing = Checkpointing::PerLayer;
        // The same effective batch: the rows of all its parts are held.
        (run.train.batch_size, run.train.grad_accumulation) = (1, 16);
    });
    assert!(least < per_layer && per_layer < whole);
    let with = |f: &mut Fixture, free: u64| {
        f.studio.shared.device.available_bytes = free;
        let run = f.studio.shared.run.clone();
        f.studio.apply(Command::Edit(Box::new(run)));
        f.check(Topic::Memory)
    };
    assert_eq!(with(&mut f, 2 * whole).verdict, Verdict::Good);
    assert_eq!(with(&mut f, whole).verdict, Verdict::Warning);
    let check = with(&mut f, per_layer);
    assert_eq!(check.verdict, Verdict::Refused);
    let Some(Fix { label, command: Command::Edit(run) }) = check.fix else { panic!("no way out") };
    assert_eq!((&*label, run.train.checkpointing), ("Make it fit", Checkpointing::Auto));
    assert_eq!((run.train.batch_size, run.train.grad_accumulation), (8, 2));

    let check = with(&mut f, least);
    let Some(Fix { command: Command::Edit(run), .. }) = check.fix else { panic!("no way out") };
    assert_eq!((run.train.batch_size, run.train.grad_accumulation), (1, 16));
    assert_eq!(run.data, f.studio.shared.run.data, "never at the cost of what is trained");
    f.studio.apply(Command::Edit(run));
    assert_ne!(f.check(Topic::Memory).verdict, Verdict::Refused);

    let check = with(&mut f, 1000);
    assert!(matches!(check.fix.as_ref().unwrap().command, Command::Go(Room::Model)), "{check:?}");
    f.refuses(Topic::Memory);
}

#[test]
fn cut_and_dropped_rows_are_counted_and_room_is_offered() {
    let mut f = Fixture::new();
    let long = "word ".repeat(200);
    let rows =
        [format!("{{\"question\":\"q\",\"answer\":\"{long}\"}}"), "{\"question\":\"q\",\"answer\":\"a\"}".to_string()];
    let path = f.file("rows.jsonl", &rows.join("\n"));
    f.edit(|run| {
        run.data.train = path;
        run.data.max_seq_len = 64;
    });
    let check = f.check(Topic::AnswerEnds);
    assert_eq!(check.verdict, Verdict::Warning);
    assert!(check.sentence.contains("1 row loses the end of its answer at 64 tokens"), "{check:?}");
    let Some(Fix { command: Command::Edit(run), label }) = check.fix else { panic!("no way out") };
    assert!(label.starts_with("Make room for"), "{label}");
    assert_eq!(f.check(Topic::Rows).verdict, Verdict::Good);
    f.studio.apply(Command::Edit(run));
    f.settle();
    assert_eq!(f.check(Topic::AnswerEnds).verdict, Verdict::Good);
    assert_eq!(f.check(Topic::Rows).sentence, "No row was cut, and none was left out.");
}

#[test]
fn rows_that_cannot_be_read_are_refused_and_can_be_left_out() {
    let mut f = Fixture::new();
    let path = f.file("rows.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}\n{\"question\":7}\n");
    f.edit(|run| run.data.train = path);
    let check = f.refuses(Topic::Data);
    let Some(Fix { command, label }) = check.fix else { panic!("no way out") };
    assert_eq!(label, "Leave these rows out");
    f.studio.apply(command);
    f.settle();
    assert!(f.studio.may_start());
    let check = f.check(Topic::Rows);
    assert_eq!(check.verdict, Verdict::Warning);
    assert!(check.sentence.starts_with("1 row cannot be read and is left out"), "{check:?}");
    assert!(matches!(check.fix.unwrap().command, Command::Go(Room::Data)));
}

#[test]
fn warnings_are_summed_up_and_the_masks_are_counted() {
    let mut f = Fixture::new();
    assert!(f.check(Topic::Data).sentence.contains("The masks of 170 rows were checked a second time."));
    let rows = [
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"train\":false}]}",
    ];
    let path = f.file("rows.jsonl", &rows.join("\n"));
    f.edit(|run| run.data.train = path);
    let check = f.check(Topic::Rows);
    assert_eq!(check.verdict, Verdict::Warning);
    assert!(check.sentence.ends_with("and 1 more: look at the data."), "{check:?}");
}

#[test]
fn settings_are_refused_or_warned_about() {
    let mut f = Fixture::new();
    f.edit(|run| run.method.dropout = 0.4);
    let check = f.check(Topic::Settings);
    assert!(check.verdict == Verdict::Warning && check.sentence.contains("method.dropout"), "{check:?}");
    assert!(f.studio.may_start());
    f.edit(|run| run.sample.prompts = vec![" ".into()]);
    f.refuses(Topic::Settings);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_and_a_new_one_offered() {
    let mut f = Fixture::new();
    f.file("run.toml", "");
    let folder = f.folder.path().display().to_string();
    f.edit(|run| run.output.dir = folder.clone());
    let check = f.refuses(Topic::Disk);
    assert!(check.sentence.contains("already holds a run") && check.sentence.ends_with(&folder), "{check:?}");
    let fix = check.fix.unwrap();
    f.studio.apply(fix.command);
    f.settle();
    assert_eq!(f.check(Topic::Disk).verdict, Verdict::Good);
    assert!(!Path::new(&f.studio.shared.prefs.runs_folder).exists(), "looking makes no folder");
}

#[test]
fn sentences_end_with_a_stop_or_a_path() {
    assert_eq!(sentence("the rows are empty"), "The rows are empty.");
    assert_eq!(sentence("no such file: /a/b c.json"), "No such file: /a/b c.json.");
    assert_eq!(sentence("no such file: /a/b.json"), "No such file: /a/b.json");
    assert_eq!(sentence("train.epochs is unusual"), "train.epochs is unusual.");
    assert_eq!(sentence(""), ".");
}
