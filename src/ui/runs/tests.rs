//! The room driven by accessible names, over run folders of all kinds.

use std::path::{Path, PathBuf};

use eframe::egui::Theme;
use egui_kittest::kittest::Queryable;

use crate::app::runs::{Curves, MOST_COMPARED, RunsCommand};
use crate::app::{Command, Room};
use crate::engine::config::RunConfig;
use crate::engine::train::Event;
use crate::engine::train::run_dir::{self, RunDir, Status};
use crate::ui::testing::TestWindow;

fn step(step: usize, loss: f64) -> Event {
    Event::Step {
        step,
        epoch: 0.0,
        loss,
        learning_rate: 1e-4,
        grad_norm: 1.0,
        tokens: 100,
        supervised_tokens: 50,
        tokens_per_second: 50.0,
        memory_bytes: 1 << 20,
    }
}

/// A run folder with some steps, still owned by the caller: it counts as training until it is dropped.
fn begun(folder: &Path, rate: f64, steps: usize) -> RunDir {
    let mut config = RunConfig::default();
    config.train.learning_rate = rate;
    config.output.dir = folder.display().to_string();
    let mut run = RunDir::create(&config, &[]).unwrap();
    let (run_dir, plan_bytes) = (folder.to_path_buf(), 1 << 20);
    let started =
        Event::Started { run_dir, trainable_parameters: 1234, total_parameters: 9999, plan_bytes, total_steps: 40 };
    run.record(&started).unwrap();
    for i in 1..=steps {
        run.record(&step(i, 3.0 * (-(i as f64) * rate * 300.0).exp() + 0.5 + 0.1 * (i as f64).sin())).unwrap();
        if i % 10 == 0 {
            run.record(&Event::Eval { step: i, loss: 2.5 / i as f64 + 0.6 }).unwrap();
        }
    }
    run.finish_record().unwrap();
    run
}

fn finish(mut run: RunDir, folder: &Path) {
    std::fs::create_dir_all(folder.join("adapter")).unwrap();
    let adapter_dir = folder.join("adapter");
    let event = Event::Finished { steps: 40, loss: 0.5, adapter_dir, seconds: 80.0, peak_memory_bytes: 1 << 20 };
    run.record(&event).unwrap();
}

/// A finished, an interrupted, a failed and a broken run.
fn runs(folder: &Path) -> [PathBuf; 4] {
    let paths = ["20260101-a-finished", "20260102-b-killed", "20260103-c-failed", "20260104-d-broken"];
    let paths = paths.map(|name| folder.join(name));
    finish(begun(&paths[0], 1e-4, 40), &paths[0]);
    drop(begun(&paths[1], 5e-4, 23));
    let mut failed = begun(&paths[2], 1e-4, 5);
    failed.record(&Event::Failed { error: "the loss is not a number at step 6".into() }).unwrap();
    drop(failed);
    std::fs::create_dir_all(&paths[3]).unwrap();
    std::fs::write(paths[3].join("run.toml"), "[model]\nsauce = 1").unwrap();
    paths
}

fn open(size: [f32; 2], theme: Theme) -> (TestWindow, [PathBuf; 4]) {
    let mut window = TestWindow::new(size, theme);
    let paths = runs(&window.folder.path().join("runs"));
    window.go(Room::Runs);
    listed(&mut window, 4);
    (window, paths)
}

fn listed(window: &mut TestWindow, count: usize) {
    window.wait("the runs are listed", 20, |w| {
        !w.studio.runs.busy() && w.studio.runs.list.as_ref().is_some_and(|list| list.len() == count)
    });
}

fn compared(window: &mut TestWindow, runs: &[&PathBuf]) {
    for run in runs {
        window.click(&format!("Compare {}", run.file_name().unwrap().to_string_lossy()));
    }
    let paths: Vec<PathBuf> = runs.iter().map(|run| run.to_path_buf()).collect();
    window.wait("the curves are read", 20, |w| {
        paths.iter().all(|run| matches!(w.studio.runs.curves(run), Some(Curves::Ready(_))))
    });
}

fn select(window: &mut TestWindow, run: &Path) {
    window.click(&format!("Select {}", run.file_name().unwrap().to_string_lossy()));
    window.wait("the notes are read", 20, |w| {
        w.studio.runs.notes.text.is_some() || w.studio.runs.notes.problem.is_some()
    });
}

#[test]
fn without_runs_the_room_says_where_to_go() {
    let mut window = TestWindow::new([1000.0, 680.0], Theme::Dark);
    window.go(Room::Runs);
    listed(&mut window, 0);
    window.picture("runs-empty");
    window.click("Go to training");
    assert_eq!(window.window().studio.shared.prefs.room, Room::Train);
}

#[test]
fn finished_interrupted_failed_and_broken_runs_are_told_apart_sorted_and_filtered() {
    let (mut window, paths) = open([1280.0, 900.0], Theme::Dark);
    let status = |w: &mut TestWindow, run: &Path| w.window().studio.runs.summary(run).unwrap().status.clone();
    assert_eq!(status(&mut window, &paths[0]), Status::Finished);
    assert_eq!(status(&mut window, &paths[1]), Status::Interrupted);
    assert!(matches!(status(&mut window, &paths[2]), Status::Failed(why) if why.contains("not a number")));
    assert!(matches!(status(&mut window, &paths[3]), Status::Broken(why) if why.contains("sauce")));
    for word in ["finished", "interrupted", "failed", "cannot be read", "4 runs"] {
        window.harness.get_by_label(word);
    }
    // A broken run is shown with its reason, and can only be opened or deleted.
    select(&mut window, &paths[3]);
    assert!(window.harness.query_all_by_label_contains("sauce").count() >= 1);
    assert!(window.harness.query_by_label("Duplicate into a new run").is_none());
    select(&mut window, &paths[1]);
    window.harness.get_by_label("Continue the run");
    assert!(window.harness.query_by_label("Chat with it").is_none());

    let top = |w: &TestWindow, name: &str| w.harness.get_by_label(name).rect().top();
    let (a, b) = ("Select 20260101-a-finished", "Select 20260102-b-killed");
    window.click("Sort by Name");
    assert!(top(&window, a) < top(&window, b));
    window.click("Sort by Name");
    assert!(top(&window, a) > top(&window, b));
    let filter = window.harness.get_by_label("Filter runs");
    filter.focus();
    filter.type_text("INTERR tiny");
    window.harness.run_steps(3);
    window.harness.get_by_label("1 of 4 runs");
    assert!(window.harness.query_by_label(a).is_none() && window.harness.query_by_label(b).is_some());
}

#[test]
fn curves_lie_over_each_other_and_the_settings_that_differ_are_listed() {
    let (mut window, paths) = open([1280.0, 1300.0], Theme::Dark);
    compared(&mut window, &[&paths[0], &paths[1]]);
    let runs = &window.window().studio.runs;
    let expected = [("train.learning_rate".to_string(), vec!["0.0001".to_string(), "0.0005".to_string()])];
    assert_eq!(runs.differences, expected);
    window.harness.get_by_label("train.learning_rate");
    window.harness.get_by_label("Loss plot");
    window.harness.get_by_label("Validation loss plot");
    select(&mut window, &paths[0]);
    window.picture("runs-compared");
    // Left out again, there is nothing to compare.
    window.click("Compare 20260102-b-killed");
    assert!(window.window().studio.runs.differences.is_empty());
    assert!(window.harness.query_by_label("train.learning_rate").is_none());
}

#[test]
fn of_hundreds_of_runs_only_those_that_are_seen_are_drawn() {
    let mut window = TestWindow::new([1280.0, 900.0], Theme::Dark);
    let folder = window.folder.path().join("runs");
    drop(begun(&folder.join("run-000"), 1e-4, 5));
    for i in 1..400 {
        let copy = folder.join(format!("run-{i:03}"));
        std::fs::create_dir(&copy).unwrap();
        for name in ["run.toml", "metrics.jsonl"] {
            std::fs::copy(folder.join("run-000").join(name), copy.join(name)).unwrap();
        }
    }
    window.go(Room::Runs);
    listed(&mut window, 400);
    window.harness.get_by_label("400 runs");
    let drawn = window.harness.query_all_by_label_contains("Select run-").count();
    assert!((5..40).contains(&drawn), "{drawn}");
    window.picture("runs-many");
}

#[test]
fn more_runs_than_colours_are_refused() {
    let mut window = TestWindow::new([1000.0, 680.0], Theme::Light);
    let folder = window.folder.path().join("runs");
    let paths: Vec<PathBuf> = (0..=MOST_COMPARED).map(|i| folder.join(format!("run-{i}"))).collect();
    paths.iter().for_each(|path| drop(begun(path, 1e-4, 2)));
    window.go(Room::Runs);
    listed(&mut window, MOST_COMPARED + 1);
    for path in paths {
        window.window().studio.apply(Command::Runs(RunsCommand::Compare(path, true)));
    }
    window.harness.run_steps(2);
    assert_eq!(window.window().studio.runs.compared.len(), MOST_COMPARED);
    window.harness.get_by_label_contains("leave one out first");
}

#[test]
fn names_and_notes_stay_and_a_duplicate_is_prepared() {
    let (mut window, paths) = open([1280.0, 900.0], Theme::Light);
    select(&mut window, &paths[1]);
    let notes = window.harness.get_by_label("Notes of the run");
    notes.focus();
    notes.type_text("higher rate, worse");
    window.harness.run_steps(3);
    let run = paths[1].clone();
    window.wait("the notes are written", 20, |_| run_dir::notes(&run).unwrap() == "higher rate, worse");

    window.click("Rename…");
    let field = window.harness.get_by_label("Name of the run");
    field.focus();
    field.type_text(" twice");
    window.harness.run_steps(3);
    window.picture("runs-rename");
    window.click("Rename it");
    let run = paths[1].clone();
    window.wait("it is renamed", 20, |w| {
        w.studio.runs.summary(&run).is_some_and(|summary| summary.name.ends_with(" twice"))
    });
    // Another start of the room finds both.
    select(&mut window, &paths[0]);
    window.click("Select 20260102-b-killed twice");
    window.wait("notes are read", 20, |w| w.studio.runs.notes.text.as_deref() == Some("higher rate, worse"));

    window.click("Duplicate into a new run");
    window.wait("it is prepared", 20, |w| w.studio.shared.prefs.room == Room::Method);
    let draft = &window.window().studio.shared.run;
    assert_eq!((draft.train.learning_rate, draft.output.dir.as_str()), (5e-4, ""));
    assert!(draft.record.is_none());
}

#[test]
fn deleting_asks_moves_to_the_trash_and_is_refused_while_a_run_trains() {
    let (mut window, paths) = open([1280.0, 900.0], Theme::Dark);
    // Begun after the list was read: the list does not know that it trains.
    let live = window.folder.path().join("runs/20260105-e-live");
    let training = begun(&live, 1e-4, 3);
    window.window().studio.apply(Command::Runs(RunsCommand::Delete(live.clone())));
    window.wait("it is refused", 20, |w| w.studio.runs.refusal.is_some());
    let refusal = window.window().studio.runs.refusal.clone().unwrap();
    assert!(refusal.contains("is being trained: stop it first") && live.is_dir(), "{refusal}");
    listed(&mut window, 5);
    drop(training);

    select(&mut window, &paths[2]);
    window.click("Delete…");
    window.picture("runs-delete");
    window.click("Keep the run");
    assert!(paths[2].is_dir());
    window.click("Delete…");
    window.click("Move to the trash");
    window.wait("it is done or refused", 30, |w| !w.studio.runs.deleting());
    if let Some(refusal) = window.window().studio.runs.refusal.clone() {
        assert!(paths[2].is_dir() && refusal.contains("it is still there"), "{refusal}");
        eprintln!("SKIPPED: this system has no trash ({refusal})");
        return;
    }
    assert!(!paths[2].exists());
    listed(&mut window, 4);
    assert!(window.window().studio.runs.selected.is_none());
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let mine = |item: &trash::TrashItem| item.original_path() == paths[2];
        let found: Vec<_> = trash::os_limited::list().unwrap().into_iter().filter(mine).collect();
        assert_eq!(found.len(), 1, "it is in the trash");
        trash::os_limited::purge_all(found).unwrap();
    }
}

#[test]
fn a_run_of_this_window_goes_to_the_runs_folder_and_is_listed_when_it_ends() {
    let mut window = TestWindow::new([1280.0, 900.0], Theme::Dark);
    window.wait_until_ready();
    let mut run = window.window().studio.shared.run.clone();
    run.train.max_steps = 2;
    run.train.grad_accumulation = 1;
    run.data.max_seq_len = 128;
    run.sample.prompts.clear();
    window.window().studio.apply(Command::Edit(Box::new(run)));
    window.wait_until_ready();
    window.window().studio.apply(Command::Start);
    window.go(Room::Runs);
    window.wait("it has ended", 60, |w| !w.studio.is_training());
    listed(&mut window, 1);
    window.wait("it is finished", 20, |w| {
        let list = w.studio.runs.list.as_deref().unwrap_or_default();
        list.first().is_some_and(|run| run.status == Status::Finished && run.steps == 2)
    });
    let folder = window.folder.path().join("runs");
    let run = window.window().studio.runs.list.as_ref().unwrap()[0].path.clone();
    assert_eq!(run.canonicalize().unwrap().parent().unwrap(), folder.canonicalize().unwrap());
    select(&mut window, &run);
    window.click("Chat with it");
    window.wait("it is shown", 20, |w| w.studio.view.as_ref().is_some_and(|view| view.adapter.is_some()));
    assert_eq!(window.window().studio.shared.prefs.room, Room::Chat);
}
