//! The room, driven by accessible names.

use eframe::egui::{Key, Modifiers, Theme, ViewportEvent, ViewportId};
use egui_kittest::kittest::{NodeT, Queryable};

use super::super::testing::TestWindow;
use super::Picture;
use crate::app::live::Ending;
use crate::app::studio::QueueCommand;
use crate::app::training::{Phase, TrainCommand};
use crate::app::{Command, Readiness, Room};
use crate::engine::config::{Checkpointing, RunConfig};
use crate::engine::device::Device;
use crate::engine::train::{Event, Stop};

fn window(change: impl FnOnce(&mut RunConfig)) -> TestWindow {
    sized([1280.0, 820.0], Theme::Dark, change)
}

fn sized(size: [f32; 2], theme: Theme, change: impl FnOnce(&mut RunConfig)) -> TestWindow {
    let mut w = TestWindow::new(size, theme);
    w.harness.step();
    let mut run = w.window().studio.shared.run.clone();
    change(&mut run);
    w.window().studio.apply(Command::Edit(Box::new(run)));
    w.wait_until_ready();
    w.go(Room::Train);
    w.wait("the gate is open", 60, |w| w.studio.may_start());
    w
}

fn step_of(w: &super::super::Window) -> usize {
    w.studio.view.as_ref().and_then(|v| v.newest).map_or(0, |n| n.step)
}

fn ending(w: &super::super::Window) -> Option<Ending> {
    w.studio.view.as_ref().and_then(|v| v.ending)
}

#[test]
fn a_run_is_started_paused_continued_stopped_and_kept() {
    let mut w = window(|run| {
        run.train.max_steps = 2000;
        run.train.warmup_ratio = 0.0;
        run.sample.every = 10;
    });
    w.picture("train-gate");
    w.click("Start training");
    assert!(w.window().studio.is_training());
    w.picture("train-preparing");
    w.wait("the first point of the curve is there within ten seconds", 10, |w| step_of(w) >= 1);
    // Another start is refused while this one trains.
    w.window().studio.apply(Command::Start);
    let said = w.window().studio.shared.notices.all().next_back().unwrap().text.clone();
    assert!(said.contains("being trained already"), "{said}");
    w.wait("the loss falls", 60, |w| {
        step_of(w) >= 24 && {
            let loss = w.studio.view.as_ref().unwrap().loss.smooth();
            loss.last().unwrap()[1] < 0.6 * loss.first().unwrap()[1]
        }
    });
    w.picture("train-live");
    w.click("Pause");
    assert_eq!(w.window().studio.training.as_ref().unwrap().phase, Phase::Paused);
    // The micro-batch in progress still ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    w.harness.run_steps(2);
    let held = step_of(w.window());
    std::thread::sleep(std::time::Duration::from_millis(300));
    w.harness.run_steps(2);
    assert_eq!(step_of(w.window()), held);
    w.picture("train-paused");
    w.click("Continue");
    w.wait("steps are made again", 30, move |w| step_of(w) > held);
    w.harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::P);
    w.wait("the run is kept", 30, |w| ending(w) == Some(Ending::Stopped));
    w.harness.run_steps(4);
    w.picture("train-stopped");
    let step = step_of(w.window());
    for name in ["Chat with it", "Export it", "Open folder", "Start another"] {
        w.harness.get_by_label(name);
    }
    let view = w.window().studio.view.as_ref().unwrap();
    assert_eq!(view.checkpoint, Some(step));
    assert!(view.adapter.as_ref().unwrap().join("adapter_config.json").is_file());
    assert!(!view.samples.is_empty() && !view.norms.is_empty());
    let (dir, samples, norms) = (view.dir.clone().unwrap(), view.samples.clone(), view.norms.clone());
    assert!(dir.starts_with(w.folder.path().join("runs")), "{}", dir.display());

    // Read back from its folder it is the same run.
    w.window().studio.apply(Command::Show(dir.clone()));
    w.wait("the run is read", 30, |w| !w.studio.reading_run());
    let view = w.window().studio.view.as_ref().unwrap();
    assert!(!view.own);
    assert_eq!((view.ending, view.newest.unwrap().step), (Some(Ending::Stopped), step));
    assert_eq!((&view.samples, &view.norms), (&samples, &norms));
    assert!(!view.notes.is_empty());

    // It goes on from its last step.
    w.click(&format!("Continue from step {step}"));
    w.wait("the run goes on", 60, move |w| step_of(w) > step);
    assert!(w.window().studio.view.as_ref().unwrap().live());
    // Meanwhile the run itself is one click away from any other that is shown.
    w.window().studio.apply(Command::Stop(Stop::Discard));
    w.wait("the run is discarded", 30, |w| ending(w) == Some(Ending::Discarded));

    // What is exported is what is shown.
    let studio = &w.harness.state().as_ref().unwrap().studio;
    let picture = Picture::of(studio.view.as_ref().unwrap(), &studio.shared, false);
    let (png, csv) = (w.folder.path().join("plots.png"), w.folder.path().join("steps.csv"));
    picture.write(&png).unwrap();
    let keep = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/rooms");
    std::fs::create_dir_all(&keep).unwrap();
    std::fs::copy(&png, keep.join("train-plots.png")).unwrap();
    crate::app::series::export_run_csv(&csv, &dir).unwrap();
    assert!(std::fs::read_to_string(&csv).unwrap().lines().count() > step);
    w.click("Start another");
    w.harness.get_by_label("Start training");
}

#[test]
fn runs_wait_for_their_turn_and_for_whoever_stopped_the_one_before() {
    let mut w = sized([1280.0, 1900.0], Theme::Dark, |run| run.train.max_steps = 60);
    w.click("Start training");
    w.wait("the first point is there", 60, |w| step_of(w) >= 1);
    w.click("Pause");
    let queue = |w: &mut TestWindow, rank: usize| {
        let mut run = w.window().studio.shared.run.clone();
        (run.method.rank, run.train.max_steps) = (rank, 3);
        w.window().studio.apply(Command::Edit(Box::new(run)));
        w.window().studio.apply(Command::Train(TrainCommand::Name(format!("of rank {rank}"))));
        w.click("Queue the prepared run");
    };
    queue(&mut w, 5);
    queue(&mut w, 6);
    queue(&mut w, 7);
    w.click("Remove run 2 of the queue");
    let names: Vec<String> = w.window().studio.shared.prefs.queue.iter().map(|run| run.name.clone()).collect();
    assert_eq!(names, ["of rank 5", "of rank 7"]);
    w.picture("train-queue");
    // What cannot be trained cannot wait either.
    let good = w.window().studio.shared.run.clone();
    let mut bad = good.clone();
    bad.data.train = "/nowhere.jsonl".into();
    w.window().studio.apply(Command::Edit(Box::new(bad)));
    w.wait("the rows are missed", 30, |w| w.studio.data.problem.is_some());
    w.window().studio.apply(Command::Queue(QueueCommand::Add));
    assert_eq!(w.window().studio.shared.prefs.queue.len(), 2);
    w.window().studio.apply(Command::Edit(Box::new(good)));
    w.wait_until_ready();
    w.click("Continue");
    let done = |w: &super::super::Window, rank: usize| {
        let view = w.studio.view.as_ref();
        view.is_some_and(|view| view.config.method.rank == rank && view.ending == Some(Ending::Finished))
    };
    w.wait("both are trained", 120, |w| done(w, 7));
    assert_eq!(w.window().studio.view.as_ref().unwrap().name, "of rank 7");
    assert!(w.window().studio.shared.prefs.queue.is_empty() && !w.window().studio.is_training());

    // Stopped by hand, the next one waits; here it is remembered, and begun by hand, too.
    let mut long = w.window().studio.shared.run.clone();
    long.train.max_steps = 2000;
    w.window().studio.apply(Command::Edit(Box::new(long)));
    w.window().studio.apply(Command::Start);
    w.wait("it trains", 60, |w| step_of(w) >= 1 && w.studio.is_training());
    queue(&mut w, 4);
    w.click("Stop and keep");
    w.wait("it is kept", 60, |w| ending(w) == Some(Ending::Stopped));
    w.harness.run_steps(3);
    assert!(!w.window().studio.is_training());
    let file = w.folder.path().join("studio.toml");
    w.window().studio.close();
    let (remembered, warnings) = crate::app::prefs::Prefs::load(&file);
    assert_eq!((remembered.queue.len(), warnings.len()), (1, 0), "{warnings:?}");
    w.click("Begin the first");
    w.wait("it is trained", 60, |w| done(w, 4));
}

#[test]
fn a_run_to_the_end_says_so_and_the_room_is_drawn_everywhere() {
    for (theme, size, name) in [
        (Theme::Light, [1280.0, 820.0], "light"),
        (Theme::Dark, [1000.0, 680.0], "small"),
        (Theme::Dark, [1280.0, 1700.0], "tall"),
    ] {
        let mut w = sized(size, theme, |run| {
            run.train.max_steps = 40;
            run.sample.every = 10;
            run.data.validation_fraction = 0.05;
            run.eval.every = 5;
        });
        w.picture(&format!("train-gate-{name}"));
        w.click("Start training");
        w.wait("the run has finished", 60, |w| ending(w) == Some(Ending::Finished));
        w.harness.get_by_label("Chat with it");
        assert_eq!(step_of(w.window()), 40);
        // Nothing makes the page wider than the window.
        let right = w.harness.get_by_label("Loss plot").rect().right();
        assert!(right < size[0] - 20.0, "{right} of {}", size[0]);
        let loss = w.window().studio.view.as_ref().unwrap().loss.smooth();
        let (first, last) = (loss.first().unwrap()[1], loss.last().unwrap()[1]);
        assert!(last < 0.5 * first, "{first} {last}");
        // The notices in the corner are gone by then.
        w.harness.run_steps(4);
        w.picture(&format!("train-finished-{name}"));
        if name != "tall" {
            continue;
        }
        w.harness.get_by_label("Earlier samples").click();
        w.harness.get_by_label("Earlier in the growth of the adapter").click();
        w.harness.run_steps(4);
        w.picture("train-earlier");
        w.click("Chat with it");
        assert_eq!(w.window().studio.shared.prefs.room, Room::Chat);
    }
}

#[test]
fn memory_that_is_not_as_planned_or_taken_away_by_others_is_said() {
    use crate::app::live::RunView;
    use crate::engine::memory::{Measured, Part};

    let mut w = window(|_| {});
    let mut view = RunView::new(w.window().studio.shared.run.clone(), 0.9);
    (view.total_steps, view.own) = (Some(100), true);
    view.apply(&Event::Step {
        step: 7,
        epoch: 0.1,
        loss: 2.0,
        learning_rate: 1e-4,
        grad_norm: 1.0,
        tokens: 512,
        supervised_tokens: 100,
        tokens_per_second: 500.0,
        memory_bytes: 600 << 20,
    });
    let part = |name: &str, planned: u64, measured: u64| Part { name: name.into(), planned, measured };
    let measured = |allocated: u64, apart: Option<&str>| Measured {
        planned_allocated: 500 << 20,
        allocated,
        planned_resident: 600 << 20,
        resident: 610 << 20,
        parts: vec![part("weights", 100 << 20, 100 << 20), part("workspace", 300 << 20, 320 << 20)],
        apart: apart.map(String::from),
    };
    let said = "The run took 520 MiB where 500 MiB were planned. The difference lies in: workspace.";
    let others = "Other programs have left 300 MiB of the memory.";
    view.apply(&Event::Memory { step: 7, measured: measured(501 << 20, None) });
    w.window().studio.view = Some(view);
    w.harness.run_steps(3);
    assert!(w.harness.query_by_label_contains(said).is_none() && w.harness.query_by_label_contains(others).is_none());

    let view = w.window().studio.view.as_mut().unwrap();
    view.apply(&Event::Memory { step: 7, measured: measured(520 << 20, Some("workspace")) });
    view.apply(&Event::Held { step: 7, held: true, available_bytes: 300 << 20 });
    w.harness.run_steps(3);
    assert!(w.harness.query_by_label_contains(said).is_some() && w.harness.query_by_label_contains(others).is_some());
    w.picture("memory-apart");
    w.window().studio.view.as_mut().unwrap().apply(&Event::Held { step: 7, held: false, available_bytes: 9 << 30 });
    w.harness.run_steps(3);
    assert!(w.harness.query_by_label_contains(others).is_none());
}

#[test]
fn a_trainer_that_panics_leaves_its_curve_and_its_reason() {
    let mut w = window(|_| {});
    w.window().studio.train_with(|_, on_event| {
        on_event(Event::Started {
            run_dir: "run".into(),
            trainable_parameters: 1,
            total_parameters: 2,
            plan_bytes: 3,
            total_steps: 9,
        });
        for step in 1..=5 {
            on_event(Event::Step {
                step,
                epoch: 0.1,
                loss: 2.0,
                learning_rate: 1e-4,
                grad_norm: 1.0,
                tokens: 10,
                supervised_tokens: 5,
                tokens_per_second: 10.0,
                memory_bytes: 1 << 20,
            });
        }
        panic!("a slice was too short")
    });
    w.wait("the run has failed", 30, |w| ending(w) == Some(Ending::Failed));
    let view = w.window().studio.view.as_ref().unwrap();
    assert_eq!(view.loss.raw().points().count(), 5);
    // In the room, and in the corner.
    assert!(w.harness.query_all_by_label_contains("a slice was too short. The run is kept").count() >= 2);
    w.harness.get_by_label("Loss plot");
    w.picture("train-failed");
    // The rest of the window lives on.
    w.click("Start another");
    w.wait("the gate is open", 30, |w| w.studio.may_start());
    w.harness.get_by_label("Start training");
}

#[test]
fn what_is_missing_is_said_and_start_does_nothing() {
    let mut w = window(|_| {});
    let mut run = w.window().studio.shared.run.clone();
    run.data.train = "/no/such/rows.jsonl".into();
    w.window().studio.apply(Command::Edit(Box::new(run)));
    w.wait("the rows are missed", 30, |w| w.studio.data.problem.is_some());
    w.harness.get_by_label("Data: cannot begin");
    w.harness.get_by_label("Start training").click();
    w.harness.run_steps(3);
    assert!(w.window().studio.training.is_none());
    w.picture("train-refused");
    w.click("Choose other data");
    assert_eq!(w.window().studio.shared.prefs.room, Room::Data);
}

/// The rooms of the checks, as they are said to who cannot see them.
fn refused(w: &TestWindow, check: &str) {
    w.harness.get_by_label(&format!("{check}: cannot begin"));
    assert!(w.harness.get_by_label("Start training").accesskit_node().is_disabled(), "{check}");
}

#[test]
fn what_does_not_fit_is_refused_with_a_button_that_makes_it_fit() {
    let mut w = window(|run| {
        run.train.checkpointing = Checkpointing::None;
        run.train.batch_size = 8;
    });
    let with = |w: &mut TestWindow, checkpointing: Checkpointing| {
        let mut run = w.window().studio.shared.run.clone();
        run.train.checkpointing = checkpointing;
        w.window().studio.apply(Command::Edit(Box::new(run)));
        w.window().studio.pricing.bytes()
    };
    let (least, whole) = (with(&mut w, Checkpointing::PerLayer), with(&mut w, Checkpointing::None));
    assert!(least < whole);
    w.window().studio.fix_device(Device {
        kind: "cpu",
        name: "A small processor".into(),
        cores: 2,
        threads: 2,
        memory_bytes: 4 * whole,
        available_bytes: (least + whole) / 2,
        others_bytes: 0,
        driver: None,
        features: Vec::new(),
    });
    w.harness.run_steps(2);
    refused(&w, "Memory");
    // The bar at the bottom says it in every room.
    assert!(w.harness.query_all_by_label_contains("does not fit: ").next().is_some());
    w.picture("train-does-not-fit");
    // Also for who knows the key.
    w.window().studio.apply(Command::Start);
    w.harness.run_steps(2);
    assert!(w.window().studio.training.is_none());
    // The gate and the bar offer the same.
    w.harness.query_all_by_label("Make it fit").next().expect("an offer").click();
    w.harness.run_steps(3);
    assert_eq!(w.window().studio.shared.run.train.checkpointing, Checkpointing::Auto);
    assert!(w.window().studio.may_start());
    assert!(w.harness.query_all_by_label_contains("does not fit: ").next().is_none());
}

#[test]
fn rows_that_are_none_and_a_model_that_is_none_are_refused_in_this_room_too() {
    let mut w = window(|_| {});
    let folder = w.folder.path().to_path_buf();
    for (name, text) in [
        ("empty.jsonl", ""),
        ("broken.jsonl", "{\"question\": \"q\", \"answer\": "),
        ("silent.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}\n"),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let mut run = w.window().studio.shared.run.clone();
        run.data.train = path.display().to_string();
        w.window().studio.apply(Command::Edit(Box::new(run)));
        w.wait_until_ready();
        refused(&w, "Data");
    }
    let mut run = RunConfig::default();
    run.model.source = folder.join("broken.gguf").display().to_string();
    run.data.train = "builtin:pirate".into();
    std::fs::write(&run.model.source, b"GGUF\x03\0\0\0").unwrap();
    w.window().studio.apply(Command::Edit(Box::new(run)));
    w.wait_until_ready();
    refused(&w, "Model");
    w.click("Choose another model");
    assert_eq!(w.window().studio.shared.prefs.room, Room::Model);
}

#[test]
fn rows_that_go_or_change_after_the_checks_are_seen_at_the_start() {
    let row = |answer: &str| format!("{{\"question\":\"What is it?\",\"answer\":\"{answer}\"}}\n");
    let mut w = window(|run| run.train.max_steps = 2);
    let path = w.folder.path().join("rows.jsonl");
    std::fs::write(&path, row("a").repeat(8)).unwrap();
    let choose = |w: &mut TestWindow| {
        let mut run = w.window().studio.shared.run.clone();
        run.data.train = path.display().to_string();
        w.window().studio.apply(Command::Edit(Box::new(run)));
        w.wait("the gate is open", 60, |w| w.studio.may_start());
    };
    choose(&mut w);
    std::fs::remove_file(&path).unwrap();
    w.click("Start training");
    w.wait("the run has ended", 60, |w| ending(w).is_some());
    assert_eq!(ending(w.window()), Some(Ending::Failed));
    assert!(w.harness.query_all_by_label_contains("rows.jsonl").count() > 0);
    w.picture("train-rows-gone");
    w.click("Back to the checks");
    // Others are trained, as they are when the run begins.
    std::fs::write(&path, row("b").repeat(8)).unwrap();
    w.window().studio.apply(Command::Start);
    w.wait("the run has ended", 60, |w| ending(w).is_some());
    assert_eq!(ending(w.window()), Some(Ending::Finished), "{:?}", w.window().studio.view.as_ref().unwrap().failure);
}

#[test]
fn a_run_whose_folder_is_deleted_ends_with_its_reason() {
    let mut w = window(|run| {
        run.train.max_steps = 5000;
        run.output.save_every = 3;
    });
    w.click("Start training");
    w.wait("a checkpoint", 60, |w| w.studio.view.as_ref().is_some_and(|v| v.checkpoint.is_some()));
    let dir = w.window().studio.view.as_ref().unwrap().dir.clone().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    w.wait("the run has ended", 60, |w| ending(w).is_some());
    assert_eq!(ending(w.window()), Some(Ending::Failed));
    let failure = w.window().studio.view.as_ref().unwrap().failure.clone().unwrap();
    assert!(failure.contains(&dir.display().to_string()), "{failure}");
    w.picture("train-folder-gone");
    w.click("Start another");
    w.wait("the gate is open", 30, |w| w.studio.may_start());
}

/// Sets these rows, which take a while to be read.
fn type_rows(w: &mut TestWindow, path: &str) {
    w.window().studio.data.held_up = Some(std::time::Duration::from_secs(3));
    for path in ["/no/such/rows.jsonl", path] {
        let mut run = w.window().studio.shared.run.clone();
        run.data.train = path.into();
        w.window().studio.apply(Command::Edit(Box::new(run)));
    }
    w.harness.run_steps(2);
    assert!(w.window().studio.data.busy());
}

#[test]
fn a_start_that_was_pressed_too_early_is_remembered() {
    let mut w = window(|run| run.train.max_steps = 2);
    type_rows(&mut w, "builtin:pirate");
    w.click("Start training");
    assert!(w.window().studio.about_to_start() && !w.window().studio.is_training());
    w.harness.get_by_label("Starts when the checks are done");
    assert!(w.harness.query_by_label("Start training").is_none());
    w.picture("train-about-to-start");
    // The way back.
    w.click("Cancel the start");
    w.wait("the gate is open", 30, |w| w.studio.may_start());
    assert!(w.window().studio.training.is_none());
    w.harness.get_by_label("Start training");
    // Pressed once, it begins by itself; who went elsewhere meanwhile stays there.
    type_rows(&mut w, "builtin:pirate");
    w.click("Start training");
    w.go(Room::Data);
    w.wait("the run begins", 30, |w| w.studio.is_training());
    assert_eq!(w.window().studio.shared.prefs.room, Room::Data);
    assert!(!w.window().studio.about_to_start());
    w.wait("it ends", 60, |w| ending(w) == Some(Ending::Finished));
    assert_eq!(step_of(w.window()), 2);
}

#[test]
fn a_remembered_start_is_refused_with_what_was_found_and_forgotten_when_the_run_is_changed() {
    let mut w = window(|_| {});
    type_rows(&mut w, "/no/such/rows.csv");
    w.click("Start training");
    w.wait("the refusal", 30, |w| !w.studio.about_to_start());
    assert!(w.window().studio.training.is_none());
    w.harness.get_by_label("Data: cannot begin");
    let said = |w: &mut TestWindow| w.window().studio.shared.notices.all().next_back().unwrap().text.clone();
    let text = said(&mut w);
    assert!(text.contains("training cannot begin yet: Data: ") && text.contains("/no/such/rows.csv"), "{text}");

    type_rows(&mut w, "builtin:pirate");
    w.click("Start training");
    let mut run = w.window().studio.shared.run.clone();
    run.method.rank = 2;
    w.window().studio.apply(Command::Edit(Box::new(run)));
    w.wait("the gate is open", 30, |w| w.studio.may_start());
    assert!(w.window().studio.training.is_none() && !w.window().studio.about_to_start());
    assert!(said(&mut w).contains("the run was changed before it began"));
}

/// A chat template whose tags name the user's words as what is to be trained.
const TRAINS_THE_USER: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% generation %}{{ m.content }}\
                               <|im_end|>{% endgeneration %}\n{% endfor %}";

#[test]
fn a_mask_that_trains_the_users_words_is_shown_and_refused() {
    let mut w = window(|_| {});
    let mut run = w.window().studio.shared.run.clone();
    run.data.chat_template = TRAINS_THE_USER.into();
    w.window().studio.apply(Command::Edit(Box::new(run)));
    w.wait_until_ready();
    w.harness.get_by_label("Data: cannot begin");
    assert!(w.harness.query_all_by_label_contains("ords of a user turn are trained in ").next().is_some());
    let start = w.harness.get_by_label("Start training");
    assert!(start.accesskit_node().is_disabled());
    // Also for who knows the key.
    w.window().studio.apply(Command::Start);
    w.harness.run_steps(3);
    assert!(w.window().studio.training.is_none() && !w.window().studio.about_to_start());
    w.picture("train-error-finding");
    w.go(Room::Data);
    assert!(w.harness.query_all_by_label_contains("ords of a user turn are trained in ").next().is_some());
    w.picture("data-error-finding");
    w.click("row 1");
    w.wait("the row", 30, |w| !w.studio.data.look.waiting());
}

#[test]
fn prompts_are_added_typed_and_removed() {
    let mut w = window(|run| run.sample.prompts = vec!["One".into()]);
    w.click("Add a prompt");
    // An empty one is not part of the run yet.
    assert_eq!(w.window().studio.shared.run.sample.prompts, ["One"]);
    w.harness.get_by_label("Sample prompt 2").focus();
    w.harness.run_steps(2);
    w.harness.get_by_label("Sample prompt 2").type_text("Two");
    w.harness.run_steps(3);
    assert_eq!(w.window().studio.shared.run.sample.prompts, ["One", "Two"]);
    w.click("Remove sample prompt 1");
    assert_eq!(w.window().studio.shared.run.sample.prompts, ["Two"]);
}

#[test]
fn closing_the_window_while_training_asks() {
    let mut w = window(|run| run.train.max_steps = 2000);
    w.click("Start training");
    w.wait("steps are made", 60, |w| step_of(w) > 1);
    let close = |w: &mut TestWindow| {
        let viewport = w.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
        viewport.events.push(ViewportEvent::Close);
        w.harness.step();
        w.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default().events.clear();
        w.harness.run_steps(2);
    };
    close(&mut w);
    w.picture("train-closing");
    let asks = |w: &TestWindow| w.harness.query_by_label("Go on training").is_some();
    w.click("Go on training");
    assert!(w.window().studio.is_training() && !asks(&w));
    // What waits behind the question takes no keys, and Escape leaves all as it is.
    close(&mut w);
    w.harness.key_press_modifiers(Modifiers::COMMAND, Key::P);
    w.harness.run_steps(2);
    assert_eq!(w.window().studio.training.as_ref().unwrap().phase, Phase::Running);
    w.harness.key_press(Key::Escape);
    w.harness.run_steps(2);
    assert!(w.window().studio.is_training() && !asks(&w));
    let Readiness::Training(share) = w.window().studio.readiness(Room::Train) else { panic!("the rail tells nothing") };
    assert!(share > 0.0 && share < 1.0);
    // Enter loses nothing.
    close(&mut w);
    w.harness.key_press(Key::Enter);
    w.wait("the run is kept", 30, |w| ending(w) == Some(Ending::Stopped));
}

/// Time that this thread has had a processor, so that what else runs on the machine does not count.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn cpu_time() -> std::time::Duration {
    // From the C library that the standard library links: CLOCK_THREAD_CPUTIME_ID of linux/time.h, and a timespec.
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0; 2];
    // SAFETY: on 64-bit Linux a timespec is two 64-bit integers, and `time` outlives the call.
    let failed = unsafe { clock_gettime(3, &mut time) } != 0;
    assert!(!failed, "the system has no clock of a thread's CPU time");
    std::time::Duration::new(time[0] as u64, time[1] as u32)
}

/// `cargo test --release --lib ui::train::tests::frames -- --ignored --nocapture`: the goal is a 99th percentile of 4 ms
/// of CPU with a million steps, rasterising excluded.
#[test]
#[ignore = "a measurement"]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn frames_of_a_long_run() {
    use crate::app::live::RunView;
    use eframe::egui::{Context, Pos2, RawInput, Rect, Vec2};

    let folder = tempfile::tempdir().unwrap();
    let context = Context::default();
    let mut window = super::super::Window::new(&context, Some(folder.path().join("s.toml")), std::time::Instant::now());
    let step = |step: usize| Event::Step {
        step,
        epoch: step as f64 / 1e5,
        loss: 2.0 + 0.3 * (step as f64 * 12.9898).sin(),
        learning_rate: 1e-4,
        grad_norm: 1.0 + 0.5 * (step as f64 * 0.78).cos(),
        tokens: 512,
        supervised_tokens: 100,
        tokens_per_second: 500.0 + 20.0 * (step as f64 * 0.3).sin(),
        memory_bytes: 1 << 30,
    };
    let mut view = RunView::new(window.studio.shared.run.clone(), 0.9);
    (1..=1_000_000).for_each(|i| view.apply(&step(i)));
    (view.total_steps, view.own) = (Some(2_000_000), true);
    window.studio.view = Some(view);
    window.studio.shared.prefs.room = Room::Train;
    for height in [820.0, 1700.0] {
        let mut times = Vec::new();
        for frame in 0..520 {
            let screen = Rect::from_min_size(Pos2::ZERO, Vec2::new(1280.0, height));
            let input =
                RawInput { screen_rect: Some(screen), time: Some(f64::from(frame) / 60.0), ..RawInput::default() };
            let next = window.studio.view.as_ref().unwrap().newest.unwrap().step + 1;
            let begin = cpu_time();
            window.studio.view.as_mut().unwrap().apply(&step(next));
            let mut output = context.run_ui(input, |ui| {
                window.logic(ui.ctx());
                window.ui(ui);
            });
            let shapes = std::mem::take(&mut output.shapes);
            std::hint::black_box(context.tessellate(shapes, output.pixels_per_point));
            let time = cpu_time() - begin;
            if frame >= 20 {
                times.push(time.as_secs_f64() * 1e3);
            }
            output.drop_without_applying_deltas();
        }
        times.sort_by(f64::total_cmp);
        println!("1280 x {height}: p50 {:.2} ms, p99 {:.2} ms of CPU", times[250], times[495]);
    }
}
