//! Runs that are continued: what stays, what is said, and what is refused.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::place::{Place, text};

/// A run of two steps in the folder `run`, with a validation.
fn two_steps(place: &Place) -> (String, Vec<Value>) {
    let file = "[data]\nmax_seq_len = 128\nvalidation_fraction = 0.05\n[method]\nrank = 4\n[train]\nmax_steps = 2\n";
    let (run, folder) = (place.file("run.toml", file), place.path("run").display().to_string());
    let events = place.json(&["train", &run, "--set", &format!("output.dir={folder}"), "--json"]);
    (folder, events)
}

fn metrics(folder: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(folder).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["event"] == kind).collect()
}

#[test]
fn hidden_files_beside_a_run_stay() {
    let place = Place::new();
    fs::create_dir_all(place.path("run/.git")).unwrap();
    let theirs = ["run/.git/HEAD", "run/.env", "run/letter.txt"];
    for name in theirs {
        place.file(name, "theirs");
    }
    let (folder, _) = two_steps(&place);
    place.ok(&["train", "--resume", &folder, "--set", "train.max_steps=3"]);
    for name in theirs {
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), "theirs", "{name}");
    }
}

#[test]
fn a_finished_run_that_is_resumed_ends_as_it_did() {
    let place = Place::new();
    let (folder, first) = two_steps(&place);
    let weights = || fs::read(Path::new(&folder).join("adapter/adapter_model.safetensors")).unwrap();
    let (before, trained) = (metrics(&folder), weights());
    let again = place.json(&["train", "--resume", &folder, "--json"]);
    assert!(of_kind(&again, "step").is_empty());
    let (was, is) = (first.last().unwrap(), again.last().unwrap());
    assert_eq!((&is["event"], &is["steps"], &is["loss"]), (&was["event"], &was["steps"], &was["loss"]));
    assert_eq!(weights(), trained);
    // The record has every step and every validation once.
    for kind in ["step", "eval", "adapter_norms", "checkpoint"] {
        assert_eq!(of_kind(&metrics(&folder), kind), of_kind(&before, kind), "{kind}");
    }
    let shown = place.ok(&["train", "--resume", &folder]);
    let loss = format!(", loss {:.3}, ", was["loss"].as_f64().unwrap());
    assert!(shown.contains("2 steps in ") && shown.contains(&loss), "{shown}");
    let validation = of_kind(&before, "eval").last().unwrap()["loss"].as_f64().unwrap();
    assert!(shown.contains(&format!("\nvalidation loss {validation:.4}\n")), "{shown}");
}

#[test]
fn a_run_stays_in_its_folder() {
    let place = Place::new();
    let (folder, _) = two_steps(&place);
    let settings = || fs::read_to_string(place.path("run/run.toml")).unwrap();
    let before = settings();
    let refused = place.usage(&["train", "--resume", &folder, "--set", "output.dir=elsewhere"]);
    assert!(refused.contains("continued in its own folder"), "{refused}");
    assert_eq!(settings(), before);
}

#[test]
fn rows_that_changed_since_the_run_began_are_said() {
    let place = Place::new();
    let row = |answer: &str| format!("{{\"question\":\"Who are you?\",\"answer\":\"{answer}\"}}\n").repeat(4);
    let data = place.file("rows.jsonl", &row("A cat."));
    let run = place.file("run.toml", "[method]\nrank = 4\n[train]\nmax_steps = 1\n");
    let folder = place.path("run").display().to_string();
    let set = [format!("data.train={data}"), format!("output.dir={folder}")];
    place.ok(&["train", &run, "--set", &set[0], "--set", &set[1]]);
    let resume = || {
        let output = place.run(&["train", "--resume", &folder]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(!resume().contains("changed"));
    place.file("rows.jsonl", &row("A dog."));
    let said = resume();
    assert!(said.contains(&format!("an input has changed since the run began: {data}\n")), "{said}");
}
