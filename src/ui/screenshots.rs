//! The pictures of the README, from real runs.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use eframe::egui::Theme;

use super::testing::TestWindow;
use crate::app::chat::{ChatCommand, Choice, Phase};
use crate::app::export::ExportCommand;
use crate::app::live::Ending;
use crate::app::runs::{Curves, RunsCommand};
use crate::app::training::TrainCommand;
use crate::app::{Command, Room};
use crate::engine::config::{RunConfig, expand_home};

/// Set in the process that takes the pictures; its home folder is one made for them.
const INSIDE: &str = "LORA_STUDIO_SCREENSHOTS";
const MODEL: &str = "SmolLM2-135M-Instruct";
/// Width of the border that the harness draws.
const BORDER: usize = 8;
/// 1440 × 900 within the border.
const SIZE: [f32; 2] = [1456.0, 916.0];

/// A run that is compared: its name, and what is its own.
type Variant = (&'static str, fn(&mut RunConfig));

const VARIANTS: [Variant; 3] = [
    ("Grade school maths, rank 8", |run| {
        (run.method.rank, run.method.alpha, run.train.learning_rate) = (8, 16.0, 1e-4);
        run.sample.prompts.clear();
    }),
    ("Grade school maths, rank 32", |run| {
        (run.method.rank, run.method.alpha) = (32, 64.0);
        run.sample.prompts.clear();
    }),
    ("Grade school maths", |_| {}),
];

/// The settings that the runs share.
fn prepared(run: &mut RunConfig) {
    run.model.source = format!("~/models/{MODEL}");
    run.data.train = "~/data/gsm8k_train.jsonl".into();
    run.data.validation = "~/data/gsm8k_check.jsonl".into();
    run.data.validation_fraction = 0.0;
    run.data.max_seq_len = 512;
    (run.method.rank, run.method.alpha, run.method.dropout) = (16, 32.0, 0.0);
    (run.train.batch_size, run.train.grad_accumulation, run.train.max_steps) = (1, 1, 48);
    (run.train.learning_rate, run.train.warmup_ratio) = (2e-4, 0.05);
    run.eval.every = 8;
    run.sample.every = 12;
    run.sample.prompts = [
        "Ann has 3 boxes with 12 pencils each. She gives 9 pencils away. How many are left?",
        "A train goes 60 miles an hour. How far does it go in 2 hours and 30 minutes?",
    ]
    .map(String::from)
    .into();
}

/// Takes the pictures in `screenshots/` from runs on SmolLM2-135M-Instruct and GSM8K:
///
/// `cargo test --release --lib ui::screenshots -- --ignored --nocapture`
///
/// The model is looked for in `LORA_STUDIO_PEERS` (default `~/.cache/lora-peers`, made by tests/reference/), the rows in
/// `LORA_STUDIO_DATA` (default `../shared/data`). It takes five minutes on a quiet machine and leaves its runs in
/// the folder `ada` of the temporary ones; while they lie there, only the rooms are drawn again.
#[test]
#[ignore = "trains for minutes: for the README"]
fn pictures_of_real_runs() {
    if std::env::var_os(INSIDE).is_some() {
        return take_pictures();
    }
    let Some(home) = made_home() else { return };
    // A process of its own, because its home folder, which the pictures name, belongs to the whole process.
    let status = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "ui::screenshots::pictures_of_real_runs", "--ignored", "--nocapture"])
        .env("HOME", &home)
        .env(INSIDE, "1")
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("HF_HOME")
        .env_remove("HF_HUB_CACHE")
        .status()
        .unwrap();
    assert!(status.success());
}

/// A home folder as a person has it: a model, and files of rows. None where they are not on this machine.
fn made_home() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = |name: &str, default: PathBuf| std::env::var_os(name).map_or(default, PathBuf::from);
    let model = root("LORA_STUDIO_PEERS", expand_home("~/.cache/lora-peers")).join("smollm2-hf");
    let rows = root("LORA_STUDIO_DATA", manifest.join("../shared/data"));
    if let Some(missing) = [&model, &rows].into_iter().find(|p| !p.exists()) {
        assert!(std::env::var_os("CI").is_none(), "missing: {}", missing.display());
        eprintln!("SKIPPED: needs {}", missing.display());
        return None;
    }
    let home = std::env::temp_dir().join("ada");
    let (models, data) = (home.join("models").join(MODEL), home.join("data"));
    std::fs::create_dir_all(&models).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    for file in std::fs::read_dir(&model).unwrap() {
        let file = file.unwrap();
        let to = models.join(file.file_name());
        if !to.exists() {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
    for name in ["gsm8k_train.jsonl", "alpaca_en_demo.json"] {
        std::fs::write(data.join(name), std::fs::read(rows.join(name)).unwrap()).unwrap();
    }
    // A few rows are enough for a validation loss that falls.
    let check = std::fs::read_to_string(rows.join("gsm8k_test.jsonl")).unwrap();
    let check: Vec<&str> = check.lines().take(16).collect();
    std::fs::write(data.join("gsm8k_check.jsonl"), check.join("\n")).unwrap();
    Some(home)
}

/// Renders the window into `screenshots/NAME.png`.
fn shot(window: &mut TestWindow, name: &str) {
    window.harness.remove_cursor();
    window.harness.run_steps(6);
    let image = window.harness.render().expect("a renderer: install mesa-vulkan-drivers");
    // The harness draws a border around the window that a screen has not.
    let (width, height) = (image.width() as usize, image.height() as usize);
    let rows = image.as_raw().chunks_exact(4 * width).skip(BORDER).take(height - 2 * BORDER);
    let pixels = rows.flat_map(|row| row[4 * BORDER..4 * (width - BORDER)].chunks_exact(4));
    let colors: Vec<u8> = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join(format!("{name}.png"))).unwrap();
    let mut encoder = png::Encoder::new(file, (width - 2 * BORDER) as u32, (height - 2 * BORDER) as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&colors).unwrap();
    writer.finish().unwrap();
    eprintln!("{name}.png");
}

/// Lets the notices in the corner go, which stay for six seconds.
fn notices_gone(window: &mut TestWindow) {
    let until = Instant::now() + Duration::from_millis(6500);
    wait(window, "the notices are gone", 20, |_| Instant::now() > until);
}

/// Steps seldom: what trains has the processor.
fn wait(window: &mut TestWindow, what: &str, seconds: u64, done: impl Fn(&super::Window) -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !done(window.window()) {
        assert!(Instant::now() < until, "waited {seconds} s in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
        window.harness.step();
    }
}

/// A window whose runs lie where they lie by default, with the draft that all pictures share.
fn window(theme: Theme) -> TestWindow {
    let mut window = TestWindow::new(SIZE, theme);
    let studio = &mut window.window().studio;
    studio.shared.prefs.runs_folder.clear();
    studio.shared.prefs.export_folder = "~/adapters".into();
    let mut run = studio.shared.run.clone();
    prepared(&mut run);
    studio.apply(Command::Edit(Box::new(run)));
    window.wait_until_ready();
    window
}

fn listed(window: &mut TestWindow) -> Vec<(String, PathBuf)> {
    window.window().studio.apply(Command::Runs(RunsCommand::Refresh));
    wait(window, "the runs are listed", 20, |w| !w.studio.runs.busy() && w.studio.runs.list.is_some());
    let list = window.window().studio.runs.list.clone().unwrap();
    list.into_iter().map(|run| (run.name, run.path)).collect()
}

fn take_pictures() {
    let mut dark = window(Theme::Dark);
    // What the renderer holds is there before the runs, which measure the whole program.
    dark.harness.render().expect("a renderer: install mesa-vulkan-drivers");
    dark.go(Room::Runs);
    let there = listed(&mut dark);
    for (name, change) in VARIANTS {
        if !there.iter().any(|(known, _)| known == name) {
            train(&mut dark, name, change);
        }
    }
    let runs = listed(&mut dark);
    let main = runs.iter().find(|(name, _)| name == VARIANTS[2].0).unwrap().1.clone();
    notices_gone(&mut dark);

    dark.go(Room::Model);
    shot(&mut dark, "model");
    dark.go(Room::Method);
    shot(&mut dark, "method");
    dark.window().studio.apply(Command::Train(TrainCommand::Another));
    dark.go(Room::Train);
    shot(&mut dark, "start");
    finished(&mut dark, &main);
    compared(&mut dark, &runs);
    let strongest = runs.iter().find(|(name, _)| name == VARIANTS[1].0).unwrap().1.clone();
    chat(&mut dark, &strongest);
    let mut light = window(Theme::Light);
    light.go(Room::Data);
    wait(&mut light, "the row is shown", 60, |w| w.studio.data.look.shown.is_some());
    light.click("Show as: tokens");
    shot(&mut light, "data");
    light.go(Room::Settings);
    shot(&mut light, "settings");
    let mut run = light.window().studio.shared.run.clone();
    run.data.train = "~/data/alpaca_en_demo.json".into();
    light.window().studio.apply(Command::Edit(Box::new(run)));
    light.wait_until_ready();
    light.go(Room::Data);
    wait(&mut light, "the row is shown", 60, |w| w.studio.data.look.shown.is_some());
    light.click("Show as: chat");
    shot(&mut light, "data-chat");
    export(&mut dark, &main);
}

fn train(window: &mut TestWindow, name: &str, change: fn(&mut RunConfig)) {
    let draft = window.window().studio.shared.run.clone();
    let mut run = draft.clone();
    change(&mut run);
    let studio = &mut window.window().studio;
    studio.apply(Command::Edit(Box::new(run)));
    studio.apply(Command::Train(TrainCommand::Another));
    studio.apply(Command::Train(TrainCommand::Name(name.into())));
    window.wait_until_ready();
    window.go(Room::Train);
    wait(window, "the gate is open", 60, |w| w.studio.may_start());
    window.click("Start training");
    let main = name == VARIANTS[2].0;
    if main {
        let step = |w: &super::Window| w.studio.view.as_ref().and_then(|v| v.newest).map_or(0, |n| n.step);
        wait(window, "the curve shows", 300, |w| step(w) >= 30);
        notices_gone(window);
        shot(window, "train");
    }
    wait(window, "the run has finished", 600, |w| !w.studio.is_training());
    assert_eq!(window.window().studio.view.as_ref().unwrap().ending, Some(Ending::Finished));
    let studio = &mut window.window().studio;
    studio.apply(Command::Edit(Box::new(draft)));
    studio.apply(Command::Train(TrainCommand::Name(String::new())));
    window.wait_until_ready();
}

fn finished(window: &mut TestWindow, run: &Path) {
    window.window().studio.apply(Command::Show(run.to_path_buf()));
    wait(window, "the run is read", 30, |w| !w.studio.reading_run() && w.studio.view.is_some());
    window.harness.set_size([SIZE[0], 1436.0].into());
    shot(window, "train-finished");
    window.harness.set_size(SIZE.into());
    window.harness.run_steps(4);
}

fn compared(window: &mut TestWindow, runs: &[(String, PathBuf)]) {
    window.go(Room::Runs);
    let paths: Vec<PathBuf> = VARIANTS.map(|(name, _)| runs.iter().find(|r| r.0 == name).unwrap().1.clone()).into();
    for path in &paths {
        window.window().studio.apply(Command::Runs(RunsCommand::Compare(path.clone(), true)));
    }
    wait(window, "the curves are read", 20, |w| {
        paths.iter().all(|run| matches!(w.studio.runs.curves(run), Some(Curves::Ready(_))))
    });
    shot(window, "runs");
}

fn chat(window: &mut TestWindow, run: &Path) {
    let studio = &mut window.window().studio;
    studio.shared.prefs.chat.temperature = 0.0;
    studio.shared.prefs.chat.max_new_tokens = 120;
    studio.shared.prefs.chat.repetition_penalty = 1.1;
    studio.apply(Command::Go(Room::Chat));
    studio.apply(Command::Chat(ChatCommand::Choose(Choice::Adapter(run.to_path_buf()))));
    wait(window, "the adapter is looked at", 30, |w| w.studio.chat.chosen.is_some());
    for prompt in [
        "Tom reads 15 pages a day. His book has 240 pages. How many days does he need?",
        "A pen costs 2 dollars and a book 5 dollars. What do 3 pens and 2 books cost?",
    ] {
        window.window().studio.apply(Command::Chat(ChatCommand::Ask(prompt.into())));
        wait(window, "both have answered and were compared", 200, |w| {
            let chat = &w.studio.chat;
            chat.resident.as_ref().is_some_and(|r| r.phase == Phase::Idle) && chat.turns.last().is_some_and(|t| !t.open)
        });
    }
    assert!(window.window().studio.chat.turns[0].comparison.is_some());
    shot(window, "chat");
    window.window().studio.apply(Command::Chat(ChatCommand::Unload));
}

fn export(window: &mut TestWindow, run: &Path) {
    let folder = expand_home("~/adapters");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let studio = &mut window.window().studio;
    studio.apply(Command::Go(Room::Export));
    studio.apply(Command::Export(ExportCommand::Choose(Some(run.to_path_buf()))));
    // What was looked at first is the newest adapter.
    window.harness.run_steps(4);
    wait(window, "the adapter is looked at", 30, |w| w.studio.export.offer.is_some());
    window.window().studio.apply(Command::Export(ExportCommand::Write));
    wait(window, "it is written", 60, |w| {
        assert_eq!(w.studio.export.refusal, None);
        w.studio.export.done.is_some()
    });
    notices_gone(window);
    shot(window, "export");
}
