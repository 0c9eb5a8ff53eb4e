//! What the window costs: `cargo test --release --test window -- --ignored --nocapture --test-threads 1`, on a machine
//! that does nothing else. docs/performance.md has the numbers and the goals.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::common;
use super::desk::Desk;
use super::losses;

/// Times that each thing is measured.
const TIMES: usize = 5;

/// Steps of the run whose speed is measured, and how often (`LORA_STUDIO_PAIRS`) it is made in the window and without.
const STEPS: usize = 48;
const PAIRS: usize = 4;

/// Some steps of a real model on real rows.
fn smollm2(steps: usize) -> Option<String> {
    let (model, rows) = (common::peers("smollm2-hf")?, common::data("gsm8k_train.jsonl")?);
    let (model, rows) = (model.canonicalize().unwrap(), rows.canonicalize().unwrap());
    Some(format!(
        "[model]\nsource = \"{}\"\nquantization = \"nf4\"\n[data]\ntrain = \"{}\"\nmax_seq_len = 512\n\
         [train]\nmax_steps = {steps}\ngrad_accumulation = 1\n",
        model.display(),
        rows.display()
    ))
}

/// Tokens a second of a run, its first two steps left out; and the same by what its process was given of the processors,
/// which says something on a busy machine too.
struct Speed {
    tokens: f64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Speed {
    /// Follows the run of a process to its end. `run` finds its folder.
    fn of(process: u32, run: impl Fn() -> Option<PathBuf>) -> Speed {
        let (mut from, mut to) = (None, 0.0);
        for _ in 0..60_000 {
            let steps = run().map_or(0, |run| losses(&run).len());
            let ended = run().is_some_and(|run| run.join("adapter/adapter_model.safetensors").is_file());
            to = cpu_seconds(process).unwrap_or(to);
            if steps >= 2 && from.is_none() {
                from = Some((steps, to));
            }
            if ended && let Some((steps, from)) = from {
                let record = fs::read_to_string(run().unwrap().join("metrics.jsonl")).unwrap();
                let events = record.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
                let steps: Vec<_> = events.filter(|event| event["event"] == "step").skip(steps).collect();
                let tokens = |step: &Value| step["tokens"].as_f64().unwrap();
                let seconds = |step: &Value| tokens(step) / step["tokens_per_second"].as_f64().unwrap();
                let sum = |of: &dyn Fn(&Value) -> f64| steps.iter().map(of).sum::<f64>();
                return Speed { tokens: sum(&tokens), seconds: sum(&seconds), cpu_seconds: to - from };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the run does not end")
    }

    /// In tokens a second.
    fn by_the_clock(&self) -> f64 {
        self.tokens / self.seconds
    }

    /// In tokens a second of processor time.
    fn by_the_processor(&self) -> f64 {
        self.tokens / self.cpu_seconds
    }
}

fn print(what: &str, unit: &str, mut numbers: Vec<f64>) {
    numbers.sort_by(f64::total_cmp);
    let all: Vec<String> = numbers.iter().map(|n| format!("{n:.1}")).collect();
    println!("{what}: median {:.1} {unit} ({})", numbers[numbers.len() / 2], all.join(", "));
}

/// Seconds that a process, while it lives, has had a processor; the system counts in hundredths.
fn cpu_seconds(id: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    Some(fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0)
}

#[test]
#[ignore = "a measurement"]
fn launch_and_first_point() {
    let Some(_) = Desk::new() else { return };
    let mut launch = Vec::new();
    let mut first_point = |what: &str, run: Option<String>| {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let desk = Desk::new().unwrap();
            run.iter().for_each(|run| desk.prepare(run));
            let mut window = desk.open();
            launch.extend(window.told("first_frame_ms"));
            window.start();
            times.push(window.wait("a point", 120, |w| w.told("start_to_first_point_ms")));
        }
        print(what, "ms", times);
    };
    first_point("Start to the first point, built-in", None);
    if let Some(run) = smollm2(20) {
        first_point("Start to the first point, SmolLM2", Some(run));
    }
    print("launch to the first frame", "ms", launch);
}

/// A large file, which `LORA_STUDIO_LARGE` names, is read with SmolLM2's tokenizer: from the program's start to its first row
/// as tokens, and the memory while the rest is read.
#[test]
#[ignore = "a measurement"]
fn launch_to_the_first_row() {
    let Some(rows) = std::env::var_os("LORA_STUDIO_LARGE").map(PathBuf::from) else { return };
    let (Some(model), Some(_)) = (common::peers("smollm2-hf"), Desk::new()) else { return };
    let (model, rows) = (model.canonicalize().unwrap(), rows.canonicalize().unwrap());
    let (mut launch, mut times, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let desk = Desk::new().unwrap();
        let source = format!("[model]\nsource = \"{}\"\n[data]\ntrain = \"{}\"\n", model.display(), rows.display());
        desk.prepare_in("data", &source);
        let mut window = desk.open();
        launch.extend(window.told("first_frame_ms"));
        times.push(window.wait("a row", 60, |w| w.told("first_row_ms")));
        std::thread::sleep(Duration::from_secs(8));
        let status = fs::read_to_string(format!("/proc/{}/status", window.child.id())).unwrap();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        held.extend(peak.map(|kb: f64| kb * 1024.0 / 1e6));
    }
    print("launch to the first frame", "ms", launch);
    print("launch to the first row as tokens", "ms", times);
    print("memory at most, eight seconds later", "MB", held);
}

#[test]
#[ignore = "a measurement"]
fn an_idle_window() {
    let Some(desk) = Desk::new() else { return };
    let mut window = desk.open();
    std::thread::sleep(Duration::from_secs(5));
    let before = cpu_seconds(window.child.id()).unwrap();
    std::thread::sleep(Duration::from_secs(30));
    let share = (cpu_seconds(window.child.id()).unwrap() - before) / 30.0;
    window.press("ctrl+q");
    window.wait_end(30);
    let frames = window.told("frames").unwrap();
    println!("idle for 30 s: {:.2} % of a core; {frames} frames from start to end", 100.0 * share);
}

#[test]
#[ignore = "a measurement"]
fn speed_in_the_window_and_without() {
    let Some(run) = smollm2(STEPS) else { return };
    let pairs = std::env::var("LORA_STUDIO_PAIRS").map_or(PAIRS, |n| n.parse().unwrap());
    let mut sums = [[0.0; 3]; 2];
    for pair in 0..pairs {
        let Some(desk) = Desk::new() else { return };
        let mut measured = [None, None];
        // In turn, so that a machine that becomes slower or faster favours neither.
        for which in [pair % 2, 1 - pair % 2] {
            measured[which] = Some(if which == 0 { in_the_window(&desk, &run) } else { without(&desk, &run) });
        }
        let [Some((inside, frames)), Some((outside, _))] = &measured else { unreachable!() };
        println!(
            "tokens a second: window {:.1}, command line {:.1}: {:.3}; of processor time {:.1}, {:.1}: {:.3}; \
             {frames} frames",
            inside.by_the_clock(),
            outside.by_the_clock(),
            inside.by_the_clock() / outside.by_the_clock(),
            inside.by_the_processor(),
            outside.by_the_processor(),
            inside.by_the_processor() / outside.by_the_processor(),
        );
        for (sum, speed) in sums.iter_mut().zip([inside, outside]) {
            for (sum, part) in sum.iter_mut().zip([speed.tokens, speed.seconds, speed.cpu_seconds]) {
                *sum += part;
            }
        }
    }
    let [inside, outside] = sums.map(|[tokens, seconds, cpu]| [tokens / seconds, tokens / cpu]);
    println!(
        "all pairs, window against command line: {:.3} by the clock, {:.3} by processor time",
        inside[0] / outside[0],
        inside[1] / outside[1]
    );
}

/// The speed of a run in the window, with nobody at the mouse, and the frames that were painted from launch to close.
fn in_the_window(desk: &Desk, run: &str) -> (Speed, f64) {
    desk.prepare(run);
    let mut window = desk.open();
    window.start();
    let speed = Speed::of(window.child.id(), || desk.run());
    window.wait("the end of the run", 60, |w| losses(&w.desk.run()?).len().checked_sub(STEPS));
    std::thread::sleep(Duration::from_secs(1));
    window.press("ctrl+q");
    window.wait_end(30);
    (speed, window.told("frames").unwrap())
}

/// The speed of the same run from the command line.
fn without(desk: &Desk, run: &str) -> (Speed, f64) {
    let (file, folder) = (desk.path("run.toml"), desk.path("command-line"));
    fs::write(&file, format!("{run}[output]\ndir = \"{}\"\n", folder.display())).unwrap();
    let mut child = desk.command(&["train", &file.display().to_string()]).stderr(Stdio::null()).spawn().unwrap();
    let speed = Speed::of(child.id(), || Some(folder.clone()).filter(|f| f.is_dir()));
    assert!(child.wait().unwrap().success());
    (speed, 0.0)
}
