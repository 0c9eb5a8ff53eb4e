//! The program in a real window: started, used from the keyboard, closed and killed, on a screen that nobody sees (Xvfb).

#![cfg(all(feature = "gui", target_os = "linux"))]
#![allow(clippy::unwrap_used)] // a test

#[path = "../common/mod.rs"]
mod common;
mod desk;
mod measure;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use desk::{Desk, text};

/// A run of the built-in model that is saved often and too long to end by itself.
const LONG_RUN: &str = r#"
[data]
max_seq_len = 128
[method]
rank = 4
alpha = 8
[train]
max_steps = 5000
learning_rate = 1e-3
[output]
save_every = 2
"#;

/// The losses of the steps that a run's record has so far.
fn losses(run: &Path) -> Vec<f64> {
    let record = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let events = record.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == "step").map(|step| step["loss"].as_f64().unwrap()).collect()
}

fn checkpoints(run: &Path) -> usize {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten();
    entries.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("step-")).count()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

#[test]
fn two_keys_train_the_built_in_model_and_one_leaves() {
    let Some(desk) = Desk::new() else { return };
    let mut window = desk.open();
    let run = window.start();
    window.wait("a point of the curve", 60, |w| w.told("start_to_first_point_ms"));
    window.wait("the adapter", 300, |_| run.join("adapter/adapter_model.safetensors").is_file().then_some(()));
    window.wait("the end of the run", 60, |_| {
        let record = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        record.lines().last().unwrap().contains("\"finished\"").then_some(())
    });
    let losses = losses(&run);
    assert!(losses.len() >= 20, "{losses:?}");
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    assert!(last < 0.5 * first, "from {first} to {last}: {losses:?}");
    assert!(run.join("adapter/adapter_config.json").is_file());
    assert!(window.is_shown());

    window.press("ctrl+q");
    assert_eq!(window.wait_end(30).code(), Some(0), "{}", window.said());
    let said = window.said();
    assert!(said.lines().all(|line| line.starts_with('{')), "nothing but numbers is said: {said}");
    assert!(desk.path("settings/studio.toml").is_file());
}

#[test]
fn a_run_outlives_being_closed_by_mistake_and_being_killed() {
    let Some(desk) = Desk::new() else { return };
    desk.prepare(LONG_RUN);
    let mut window = desk.open();
    let run = window.start();
    window.wait("two steps", 60, |_| (losses(&run).len() >= 2).then_some(()));
    // It asks, and trains on meanwhile.
    window.press("ctrl+q");
    let steps = losses(&run).len();
    window.wait("more steps", 60, |_| (losses(&run).len() >= steps + 3).then_some(()));
    assert!(window.is_shown());
    window.wait("a checkpoint", 60, |_| (checkpoints(&run) > 0).then_some(()));
    window.child.kill().unwrap();
    let status = window.wait_end(10);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert!(!run.join("adapter").exists());
    let inspect = || {
        let path = run.display().to_string();
        let shown = desk.command(&["inspect", &path, "--json"]).stdout(Stdio::piped()).output().unwrap();
        serde_json::from_slice::<Value>(&shown.stdout).unwrap()
    };
    assert_eq!(inspect()["state"], "interrupted", "{}", inspect());

    // The next start shows what was left, and goes on with it when it is asked to.
    let mut again = desk.open();
    std::thread::sleep(Duration::from_secs(1));
    let steps = losses(&run).len();
    again.ask("continue the shown");
    again.wait("more steps", 60, |_| (losses(&run).len() >= steps + 3).then_some(()));
    assert_eq!(desk.run().as_ref(), Some(&run), "the same run, and no other");
    again.press("ctrl+q");
    std::thread::sleep(Duration::from_millis(500));
    assert!(again.is_shown());
    again.press("Return");
    assert_eq!(again.wait_end(60).code(), Some(0), "{}", again.said());
    assert!(again.said().lines().all(|line| line.starts_with('{')), "{}", again.said());
    assert_eq!(inspect()["state"], "stopped", "{}", inspect());
    assert!(run.join("adapter/adapter_model.safetensors").is_file());

    let steps = losses(&run).len() + 4;
    let (path, fewer) = (run.display().to_string(), format!("train.max_steps={steps}"));
    let resumed = desk.command(&["train", "--resume", &path, "--set", &fewer]).output().unwrap();
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!((&inspect()["state"], &inspect()["steps"]), (&"finished".into(), &steps.into()), "{}", inspect());
    assert!(run.join("adapter/adapter_model.safetensors").is_file());
}

#[test]
fn a_window_in_which_nothing_happens_paints_nothing() {
    let Some(desk) = Desk::new() else { return };
    let mut window = desk.open();
    std::thread::sleep(Duration::from_secs(10));
    window.press("ctrl+q");
    assert_eq!(window.wait_end(30).code(), Some(0), "{}", window.said());
    let (frames, seconds) = (window.told("frames").unwrap(), window.told("seconds").unwrap());
    assert!(seconds > 10.0 && frames < 60.0, "{frames} frames in {seconds} seconds");
}
