//! A run as it is watched: what continuing, falling behind and looking elsewhere do to it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::app::prefs::Prefs;
use crate::app::training::TrainCommand;
use crate::app::{Command, Room, Studio};
use crate::engine::train::Stop;

fn step(step: usize) -> Event {
    Event::Step {
        step,
        epoch: 0.0,
        loss: 1.0 / step as f64,
        learning_rate: 1e-4,
        grad_norm: 1.0,
        tokens: 10,
        supervised_tokens: 1,
        tokens_per_second: 10.0,
        memory_bytes: 1,
    }
}

fn started(dir: &Path, total_steps: usize) -> Event {
    Event::Started { run_dir: dir.into(), trainable_parameters: 1, total_parameters: 2, plan_bytes: 3, total_steps }
}

fn sample(step: usize) -> Event {
    Event::Sample { step, prompt: "p".into(), base: "b".into(), adapted: format!("a{step}") }
}

/// A run folder with these events.
fn folder(events: &[Event]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), RunConfig::default().to_toml().unwrap()).unwrap();
    let mut files = [String::new(), String::new()];
    for event in events {
        let file = &mut files[usize::from(matches!(event, Event::Sample { .. }))];
        *file += &(serde_json::to_string(event).unwrap() + "\n");
    }
    std::fs::write(folder.path().join("metrics.jsonl"), &files[0]).unwrap();
    std::fs::write(folder.path().join("samples.jsonl"), &files[1]).unwrap();
    std::fs::write(folder.path().join("log.txt"), "2026-01-31 23:59:58+01:00 two rows were cut\n").unwrap();
    folder
}

fn until(studio: &mut Studio, what: &str, mut done: impl FnMut(&Studio) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        studio.drain();
        if done(studio) {
            return;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_that_continues_forgets_what_came_after_its_checkpoint() {
    let mut view = RunView::new(RunConfig::default(), 0.5);
    view.apply(&started(Path::new("/runs/mine"), 20));
    assert_eq!(view.name, "mine");
    for i in 1..=10 {
        view.apply(&step(i));
        if i % 5 == 0 {
            view.apply(&Event::Eval { step: i, loss: 1.0 / i as f64 });
            view.apply(&sample(i));
        }
    }
    assert_eq!((view.best, view.samples.len(), view.trained_seconds), (Some((0.1, 10)), 2, 10.0));
    assert_eq!(view.remaining(), Some(Duration::from_secs(10)));
    view.apply(&step(8));
    assert_eq!((view.best, view.samples.len()), (Some((0.2, 5)), 1));
    assert_eq!((view.newest.unwrap().step, view.loss.raw().points().count()), (8, 8));
    assert!((view.trained_seconds - 8.0).abs() < 1e-9, "{}", view.trained_seconds);
    // The same sample again, as when the record was read while it was written, is no second one.
    view.apply(&sample(5));
    assert_eq!(view.samples.len(), 1);
}

#[test]
fn a_folder_is_read_with_samples_notes_and_its_end() {
    let interrupted = folder(&[started(Path::new("x"), 9), step(1), step(2), sample(2)]);
    let view = RunView::read(interrupted.path(), 0.5).unwrap();
    assert_eq!((view.ending, view.samples.len()), (Some(Ending::Interrupted), 1));
    assert_eq!(view.notes, ["two rows were cut"]);
    assert!(!view.live() && view.checkpoint.is_none());
    let failed = folder(&[started(Path::new("x"), 9), step(1), Event::Failed { error: "the disk is full".into() }]);
    let view = RunView::read(failed.path(), 0.5).unwrap();
    assert_eq!((view.ending, view.failure.as_deref()), (Some(Ending::Failed), Some("the disk is full")));
    assert!(RunView::read(Path::new("/no/such/run"), 0.5).is_err());
}

#[test]
fn a_window_that_fell_behind_reads_what_it_missed() {
    const STEPS: usize = 9000;
    let mut events = vec![started(Path::new("x"), STEPS)];
    events.extend((1..=STEPS).map(step));
    let folder = folder(&events);
    let dir = folder.path().to_path_buf();
    let mut studio = Studio::open(None, Arc::new(|| {}));
    let (send, receive) = crossbeam_channel::bounded::<()>(1);
    studio.train_with(move |_, on_event| {
        on_event(started(&dir, STEPS));
        (1..=STEPS).for_each(|i| on_event(step(i)));
        let _ = send.send(());
        on_event(Event::Finished {
            steps: STEPS,
            loss: 1.0,
            adapter_dir: dir.join("adapter"),
            seconds: 1.0,
            peak_memory_bytes: 1,
        });
        Ok(())
    });
    // Nobody looks until all steps are made: most of them do not fit into the channel.
    receive.recv_timeout(Duration::from_secs(30)).unwrap();
    let id = studio.view.as_ref().unwrap().id;
    until(&mut studio, "the end is seen", |s| !s.is_training());
    until(&mut studio, "the steps are read", |s| s.view.as_ref().unwrap().newest.unwrap().step == STEPS);
    let view = studio.view.as_ref().unwrap();
    assert_eq!((view.loss.raw().points().count(), view.id), (STEPS, id));
    assert_eq!(view.ending, Some(Ending::Finished));
}

#[test]
fn a_run_that_the_program_left_in_the_middle_is_shown_at_its_next_start() {
    let settings = tempfile::tempdir().unwrap();
    let path = settings.path().join("studio.toml");
    let opened = |training: &Path| {
        let prefs = Prefs { training: training.display().to_string(), room: Room::Data, ..Prefs::default() };
        prefs.save(&path).unwrap();
        let mut studio = Studio::open(Some(path.clone()), Arc::new(|| {}));
        until(&mut studio, "it has looked", |s| s.shared.prefs.training.is_empty() && !s.reading_run());
        studio
    };
    let left = folder(&[started(Path::new("x"), 9), step(1), step(2)]);
    let mut studio = opened(left.path());
    let view = studio.view.as_ref().unwrap();
    assert_eq!((view.ending, view.newest.unwrap().step), (Some(Ending::Interrupted), 2));
    assert_eq!((studio.shared.prefs.room, studio.continuable()), (Room::Train, Some(left.path())));
    assert!(studio.shared.notices.all().any(|notice| notice.text.contains("was interrupted after step 2")));
    // It is said once.
    studio.close();
    assert!(Prefs::load(&path).0.training.is_empty());

    let mut events = vec![started(Path::new("x"), 2), step(1), step(2)];
    events.push(Event::Finished {
        steps: 2,
        loss: 1.0,
        adapter_dir: "adapter".into(),
        seconds: 1.0,
        peak_memory_bytes: 1,
    });
    let finished = folder(&events);
    for dir in [finished.path(), Path::new("/no/such/run")] {
        let studio = opened(dir);
        assert!(studio.view.is_none() && studio.shared.prefs.room == Room::Data);
        assert_eq!(studio.shared.notices.all().len(), 0);
    }
}

#[test]
fn a_run_that_is_trained_is_remembered_until_it_ends() {
    let settings = tempfile::tempdir().unwrap();
    let path = settings.path().join("studio.toml");
    let mut studio = Studio::open(Some(path.clone()), Arc::new(|| {}));
    studio.train_with(|control, on_event| {
        on_event(started(Path::new("/runs/mine"), 1000));
        while control.stopping() == Stop::No {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    until(&mut studio, "it is written", |_| Prefs::load(&path).0.training == "/runs/mine");
    studio.apply(Command::Stop(Stop::Discard));
    until(&mut studio, "it ends", |s| !s.is_training());
    studio.close();
    assert!(Prefs::load(&path).0.training.is_empty());
}

#[test]
fn another_run_is_shown_while_one_is_trained_and_back() {
    let other = folder(&[started(Path::new("x"), 9), step(1), step(2)]);
    let mut studio = Studio::open(None, Arc::new(|| {}));
    studio.train_with(|control, on_event| {
        on_event(started(Path::new("/runs/mine"), 1000));
        for i in 1.. {
            on_event(step(i));
            std::thread::sleep(Duration::from_millis(1));
            if control.stopping() != Stop::No {
                break;
            }
        }
        Ok(())
    });
    let newest = |view: &Option<RunView>| view.as_ref().and_then(|v| v.newest).map_or(0, |n| n.step);
    until(&mut studio, "it trains", |s| newest(&s.view) > 2);
    studio.apply(Command::Show(other.path().to_path_buf()));
    until(&mut studio, "the other is shown", |s| s.training_elsewhere());
    assert_eq!(newest(&studio.view), 2);
    // It cannot be put away by starting another one, and the other takes none of its steps.
    studio.apply(Command::Start);
    std::thread::sleep(Duration::from_millis(20));
    studio.drain();
    assert_eq!(newest(&studio.view), 2);
    studio.apply(Command::Train(TrainCommand::Live));
    assert!(!studio.training_elsewhere() && newest(&studio.view) > 2);
    studio.apply(Command::Train(TrainCommand::Another));
    assert!(studio.view.is_some(), "a run in training stays on show");
    studio.apply(Command::Stop(Stop::Discard));
    until(&mut studio, "it ends", |s| !s.is_training());
    assert_eq!(studio.view.as_ref().unwrap().ending, Some(Ending::Discarded));
    studio.apply(Command::Train(TrainCommand::Another));
    assert!(studio.view.is_none());
}
