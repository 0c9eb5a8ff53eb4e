//! The program as a user runs it: arguments, output, exit status, and what it leaves on the disk.

#![allow(clippy::unwrap_used)] // a test

mod data;
mod place;
mod resume;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use place::{Place, text};
use serde_json::Value;

/// A run that takes a second or two: 8 steps of two packs each.
const RUN: &str = r#"
[data]
max_seq_len = 128
[method]
rank = 4
alpha = 8
[train]
max_steps = 8
grad_accumulation = 2
learning_rate = 2e-3
[output]
save_every = 2
"#;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// Starts a run and waits until it has said `event` for the step.
#[allow(clippy::zombie_processes)] // the caller waits
fn start_until(place: &Place, arguments: &[&str], event: &str, step: u64) -> (Child, BufReader<impl Read + use<>>) {
    let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the run ended before {event} {step}");
        let value: Value = serde_json::from_str(&line).unwrap();
        if value["event"] == event && value["step"] == step {
            return (child, lines);
        }
    }
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("adapter_model.safetensors")).unwrap()
}

#[test]
fn it_says_how_it_is_used() {
    let place = Place::new();
    // Without arguments it opens the window, where it has one (tests/window.rs).
    let help = place.ok(if cfg!(feature = "gui") { &["--help"] } else { &[] });
    for command in ["train", "plan", "eval", "chat", "export", "inspect", "download", "bench", "devices"] {
        assert!(help.lines().any(|l| l.trim_start().starts_with(&format!("{command} "))), "{command} in {help}");
        assert!(place.ok(&[command, "--help"]).contains("Usage: lora-studio"));
    }
    assert_eq!(place.ok(&["--version"]).trim(), format!("lora-studio {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_are_status_2() {
    let place = Place::new();
    let run = place.file("run.toml", "");
    assert!(place.usage(&["trian"]).contains("'train'"));
    assert!(place.usage(&["train"]).contains("RUN.toml"));
    place.usage(&["train", &run, "--resume", "x"]);
    place.usage(&["train", &run, "--jsno"]);
    place.usage(&["eval", "--model", "builtin:tiny-chat"]);
    place.usage(&["eval", "--model", "m", "--data", "d", "--quantization", "nf5"]);
    place.usage(&["bench", "train", "--steps", "0"]);
    place.usage(&["bench", "train", "--dropout", "1"]);
    place.usage(&["export", "x", "--format", "pfet", "--out", "y"]);
    let unknown = place.usage(&["train", &run, "--set", "method.rnak=8"]);
    assert_eq!(unknown, "error: --set method.rnak=8: unknown key method.rnak; did you mean method.rank?\n");
    let range = place.usage(&["train", &run, "--set", "method.rank=0"]);
    assert!(range.ends_with("method.rank = 0: a whole number from 1 to 4096 is expected\n"), "{range}");
}

#[test]
fn wrong_input_is_one_clear_line() {
    let place = Place::new();
    let none = place.path("none").display().to_string();
    let error = place.error(&["train", &none]);
    assert!(error.starts_with("could not read the run file: ") && error.ends_with(&none), "{error}");

    let unknown = place.file("unknown.toml", "[method]\nrank = 8\nalhpa = 16\n");
    let error = place.error(&["train", &unknown]);
    assert_eq!(error, format!("line 3: unknown key alhpa in [method]; did you mean alpha?: {unknown}"));
    let later = place.file("later.toml", "[method]\nkind = \"dora\"\n");
    assert!(place.error(&["train", &later]).contains("not available in this version; what is: lora"));

    let run = place.file("run.toml", RUN);
    let with = |set: String| place.error(&["train", &run, "--set", &set]);
    assert!(with(format!("model.source={none}")).ends_with(&none));
    assert!(with(format!("data.train={none}")).ends_with(&none));
    assert!(with(format!("method.init_from={none}")).ends_with(&none));
    assert!(with("model.source=builtin:none".into()).contains("builtin:tiny-chat"));
    assert!(with("method.target_modules=[\"qkv_proj\"]".into()).contains("no linear qkv_proj"));
    let rows = place.file("rows.jsonl", "{\"question\":\"a\",\"answer\":\"b\"}\n{\"question\":\"a\",\"answer\":3}\n");
    let keys = "data.on_bad_row = \"skip\" leaves out those that cannot be)";
    let row = with(format!("data.train={rows}"));
    assert!(row.starts_with("line 2: ") && row.ends_with(keys), "{row}");
    let empty = place.file("empty.jsonl", "");
    assert!(with(format!("data.train={empty}")).contains("empty"));
    // None of these left a run folder.
    assert!(!place.path("runs").exists());

    assert!(place.error(&["train", "--resume", &none]).contains("not a run folder"));
    assert!(place.error(&["inspect", &none]).ends_with(&none));
    assert!(place.error(&["inspect", "builtin:none"]).contains("builtin:tiny-chat"));
    let base = ["eval", "--model", "builtin:tiny-chat", "--data"];
    assert!(place.error(&[&base[..], &[&none]].concat()).ends_with(&none));
    // There is no run file whose keys could help.
    let row = place.error(&[&base[..], &[&rows]].concat());
    assert!(row.starts_with("line 2: ") && row.ends_with(&rows), "{row}");
    assert!(place.error(&[&base[..], &["builtin:pirate", "--adapter", &none]].concat()).ends_with(&none));
    assert!(place.error(&["export", &none, "--format", "peft", "--out", "x"]).ends_with(&none));
}

#[test]
fn the_status_says_it_when_nobody_reads_the_error() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    for (arguments, status) in
        [(vec!["train", "none.toml"], 1), (vec!["train", &run, "--set", "method.rnak=8"], 2), (vec!["trian"], 2)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(&arguments).stderr(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn a_failed_run_says_so_in_its_events_too() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let output = place.run(&["train", &run, "--set", "data.train=none.jsonl", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let events: Vec<Value> = text(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((events.len(), keys(&events[0])), (1, vec!["event", "error"]));
    assert_eq!(text(&output.stderr), format!("error: {}\n", events[0]["error"].as_str().unwrap()));
}

#[test]
fn a_run_is_planned_before_it_is_begun() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let set = ["--set", "train.checkpointing=none", "--set", "train.batch_size=4"];
    let plan = |more: &[&str]| place.json(&[&["plan", &run, "--json"][..], &set, more].concat()).remove(0);
    let whole = plan(&["--device-memory", "8GiB"]);
    assert_eq!((&whole["fits"], &whole["fix"], &whole["rows_known"]), (&true.into(), &Value::Null, &true.into()));
    // The phases are sums of the buffers, and the peak is the largest.
    let buffers = whole["buffers"].as_array().unwrap();
    let bytes = |b: &Value| number(b, "each") * number(b, "count");
    let weights: f64 = buffers.iter().filter(|b| b["from"] == "load").map(bytes).sum();
    let phases = whole["phases"].as_array().unwrap();
    assert_eq!((&phases[0]["phase"], number(&phases[0], "bytes")), (&"load".into(), weights));
    let most = phases.iter().map(|p| number(p, "bytes")).fold(0.0, f64::max);
    assert_eq!(number(&whole, "needed_bytes"), most);
    assert_eq!(number(&whole, "total_bytes"), most + number(&whole["program"], "resident"));

    // A device with less: what must change, and that it is enough.
    let program = number(&whole["program"], "resident");
    let small = ["--device-memory", &format!("{}", (program + 0.8 * most) as u64)];
    let refused = plan(&small);
    assert_eq!(refused["fits"], false);
    let settings = refused["fix"]["changes"].as_array().unwrap().iter().flat_map(|c| c["settings"].as_array().unwrap());
    let settings: Vec<&str> = settings.map(|s| s.as_str().unwrap()).collect();
    assert!(!settings.is_empty());
    let fixed: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
    assert_eq!(plan(&[&small[..], &fixed].concat())["fits"], true);

    // Three of the four layers' inputs stay in memory; moments are 8 bytes for each trained number.
    assert_eq!(number(&whole, "file_bytes"), 0.0);
    let files = ["--set", "train.checkpointing=per-layer", "--set", "train.checkpoint_offload=true"];
    let input = plan(&files)["file_bytes"].as_f64().unwrap();
    let stream = |b: &&Value| b["name"] == "inputs of the layers";
    assert_eq!(input, number(buffers.iter().find(stream).unwrap(), "each"));
    let paged = number(&plan(&["--set", "train.optimizer=paged-adamw"]), "file_bytes");
    assert_eq!(paged, 8.0 * number(&whole, "trainable_parameters"));

    let text = place.ok(&[&["plan", &run][..], &set, &small].concat());
    assert!(text.contains("it fits with") && text.contains("--set 'train."), "{text}");
    assert!(place.usage(&["plan", &run, "--device-memory", "8 gigs"]).contains("not a size"));
    assert!(
        place
            .usage(&["plan", &run, "--device-memory", "8"])
            .contains("8 B is no device's memory: write a unit, such as 8GiB")
    );
    let table = place.json(&["plan", "--table", "--json"]);
    assert_eq!((table.len(), table[2]["model"].as_str().unwrap()), (7, "7B (Llama 2)"));
    assert!(place.ok(&["plan", "--table"]).contains("70B"));
}

#[test]
fn a_run_that_does_not_fit_is_refused_with_what_would_make_it_fit() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let train = |memory: &str, set: &str| {
        place.command(&["train", &run, "--set", set]).env("LORA_STUDIO_MEMORY", memory).output().unwrap()
    };
    let refused = train("120MiB", "train.batch_size=16");
    let line = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{line}");
    assert!(
        line.starts_with("error: the run does not fit: it takes ") && line.contains("it fits with train."),
        "{line}"
    );
    assert!(!place.path("runs").exists());
    let nothing = text(&train("30MiB", "train.batch_size=1").stderr);
    assert!(nothing.contains("choose a smaller model, or close other programs"), "{nothing}");
}

#[test]
fn devices_say_what_they_have() {
    let place = Place::new();
    let cpu = &place.json(&["devices", "--json"])[0];
    let expected =
        ["kind", "name", "cores", "threads", "memory_bytes", "available_bytes", "others_bytes", "driver", "features"];
    assert_eq!(keys(cpu), expected);
    assert_eq!(cpu["kind"], "cpu");
    assert!(number(cpu, "available_bytes") <= number(cpu, "memory_bytes"));
    assert!(place.ok(&["devices"]).starts_with("cpu  "));
}

#[test]
fn a_run_from_its_file_to_its_adapter() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let events = place.json(&["train", &run, "--json", "--set", "data.validation_fraction=0.1"]);
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[1]), ("started", "eval"));
    assert_eq!(*kinds.last().unwrap(), "finished");

    let started = &events[0];
    assert_eq!(
        keys(started),
        ["event", "run_dir", "trainable_parameters", "total_parameters", "plan_bytes", "total_steps"]
    );
    let steps: Vec<&Value> = events.iter().filter(|e| e["event"] == "step").collect();
    assert_eq!(steps.iter().map(|s| s["step"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let step = [
        "event",
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "supervised_tokens",
        "tokens_per_second",
        "memory_bytes",
    ];
    for s in &steps {
        assert_eq!(keys(s), step);
        assert!(number(s, "tokens") >= number(s, "supervised_tokens") && number(s, "supervised_tokens") > 0.0);
    }
    let evals: Vec<f64> = events.iter().filter(|e| e["event"] == "eval").map(|e| number(e, "loss")).collect();
    assert!(evals.last().unwrap() < &(0.97 * evals[0]), "the validation loss falls: {evals:?}");
    let saved: Vec<u64> =
        events.iter().filter(|e| e["event"] == "checkpoint").map(|e| e["step"].as_u64().unwrap()).collect();
    assert_eq!(saved, [2, 4, 6, 8]);
    let finished = events.last().unwrap();
    assert_eq!(keys(finished), ["event", "steps", "loss", "adapter_dir", "seconds", "peak_memory_bytes"]);
    assert_eq!(finished["steps"], 8);

    // What it left: the newest three checkpoints, metrics equal to what was said, settings that say everything.
    let folder = PathBuf::from(started["run_dir"].as_str().unwrap());
    assert!(folder.starts_with(place.path("runs")) && folder.to_string_lossy().ends_with("-tiny-chat-pirate"));
    let steps: Vec<bool> = (1..=8).map(|n| folder.join(format!("checkpoints/step-{n}")).is_dir()).collect();
    assert_eq!(steps, [false, false, false, true, false, true, false, true]);
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let metrics: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(metrics, events.iter().filter(|e| e["event"] != "sample").cloned().collect::<Vec<_>>());
    let settings: toml::Table = toml::from_str(&fs::read_to_string(folder.join("run.toml")).unwrap()).unwrap();
    assert_eq!(settings["method"]["rank"].as_integer(), Some(4));
    assert_eq!(settings["data"]["validation_fraction"].as_float(), Some(0.1));
    assert_eq!(settings["model"]["double_quant"].as_bool(), Some(true));
    for file in settings["record"]["files"].as_array().unwrap() {
        assert_eq!(file["sha256"].as_str().unwrap().len(), 64, "{file}");
    }

    // The folder and its adapter as others see them.
    let folder = folder.display().to_string();
    let shown = &place.json(&["inspect", &folder, "--json"])[0];
    assert_eq!((shown["kind"].as_str(), shown["state"].as_str()), (Some("run"), Some("finished")));
    assert_eq!((shown["steps"].as_u64(), &shown["checkpoints"]), (Some(8), &serde_json::json!([8, 6, 4])));
    let adapter = finished["adapter_dir"].as_str().unwrap();
    let shown = &place.json(&["inspect", adapter, "--json"])[0];
    assert_eq!((shown["kind"].as_str(), shown["rank"].as_u64()), (Some("adapter"), Some(4)));
    assert_eq!(shown["parameters"], started["trainable_parameters"]);
    assert_eq!(shown["base_model"], "builtin:tiny-chat");

    // Exported from the run, from the adapter, and not over somebody's files.
    let out = place.path("out").display().to_string();
    let exported = &place.json(&["export", &folder, "--format", "peft", "--out", &out, "--json"])[0];
    assert_eq!((exported["kind"].as_str(), exported["format"].as_str()), (Some("export"), Some("peft")));
    assert_eq!(weights(Path::new(&out)), weights(Path::new(adapter)));
    place.ok(&["export", adapter, "--format", "peft", "--out", &out]);
    let mine = place.path("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("letter.txt"), "dear").unwrap();
    place.error(&["export", adapter, "--format", "peft", "--out", &mine.display().to_string()]);
    assert_eq!(fs::read_dir(&mine).unwrap().count(), 1);

    // On the pirate's answers the adapter is better than the base model.
    let base =
        ["eval", "--model", "builtin:tiny-chat", "--data", "builtin:pirate", "--loss-on", "completions", "--json"];
    let plain = &place.json(&base)[0];
    let adapted = &place.json(&[&base[..], &["--adapter", &folder]].concat())[0];
    assert_eq!(keys(plain), ["rows", "loss", "perplexity"]);
    let rows = plain["rows"].as_array().unwrap();
    assert_eq!(keys(&rows[0]), ["tokens", "nll"]);
    let tokens: f64 = rows.iter().map(|r| number(r, "tokens")).sum();
    let sum: f64 = rows.iter().map(|r| number(r, "tokens") * number(r, "nll")).sum();
    assert!((number(plain, "loss") - sum / tokens).abs() < 1e-9);
    assert!((number(plain, "perplexity") - number(plain, "loss").exp()).abs() < 1e-9);
    assert!(number(adapted, "loss") < 0.97 * number(plain, "loss"), "{} {}", plain["loss"], adapted["loss"]);
}

#[test]
fn a_person_sees_a_run() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let shown = place.ok(&["train", &run, "--set", "train.max_steps=2"]);
    assert!(place.ok(&["train", &run, "--set", "train.max_steps=1"]).contains("\n1 step in "));
    for words in [
        "model      builtin:tiny-chat (nf4, double quantization, bf16)",
        "method     LoRA, rank 4, alpha 8, all linears",
        "trainable  71,680 of 3,350,784 (2.14%)",
        "step 2/2  loss ",
        "try it     lora-studio chat --model builtin:tiny-chat --adapter ",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
}

#[test]
fn both_models_answer_side_by_side() {
    let place = Place::new();
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/presets/quickstart.toml").to_string();
    let folder = place.path("run").display().to_string();
    let prompts = "sample.prompts=[\"Hello! Who are you?\"]";
    let shown = place.ok(&["train", &run, "--set", &format!("output.dir={folder}"), "--set", prompts]);
    // At the end of a run both answers stand in two columns under the prompt.
    assert!(shown.contains("\nHello! Who are you?\nbase "), "{shown}");
    assert!(shown.lines().any(|l| l.contains(" │ adapted")), "{shown}");

    let chat = ["chat", "--model", "builtin:tiny-chat", "--prompt", "Hello! Who are you?", "--json"];
    let base = &place.json(&chat)[0];
    assert_eq!(keys(base), ["prompt", "text", "tokens", "tokens_per_second"]);
    assert!(number(base, "tokens") > 3.0 && !base["text"].as_str().unwrap().contains("<|im_end|>"), "{base}");
    let adapted = &place.json(&[&chat[..], &["--adapter", &folder]].concat())[0];
    assert_ne!(adapted["text"], base["text"]);
    let both = &place.json(&[&chat[..], &["--adapter", &folder, "--compare"]].concat())[0];
    let shape = ["prompt", "base", "adapted", "base_tokens", "adapted_tokens", "tokens_per_second"];
    assert_eq!(keys(both), shape);
    assert_eq!((&both["base"], &both["adapted"]), (&base["text"], &adapted["text"]));
    assert_eq!((&both["base_tokens"], &both["adapted_tokens"]), (&base["tokens"], &adapted["tokens"]));

    // The same seed gives the same answer, and a limit is kept.
    let drawn = |seed: &str| {
        let more = ["--temperature", "4", "--seed", seed, "--max-new-tokens", "12"];
        place.json(&[&chat[..], &more].concat()).remove(0)
    };
    assert_eq!(drawn("1")["text"], drawn("1")["text"]);
    assert_ne!(drawn("1")["text"], drawn("2")["text"]);
    assert!(number(&drawn("1"), "tokens") <= 12.0);

    place.usage(&["chat", "--model", "builtin:tiny-chat", "--compare", "--prompt", "Hi"]);
    let cold = place.usage(&["chat", "--model", "builtin:tiny-chat", "--prompt", "Hi", "--temperature=-1"]);
    assert!(cold.contains("temperature"), "{cold}");
}

#[test]
fn a_conversation_comes_from_standard_input() {
    use std::io::Write;
    let place = Place::new();
    let mut command = place.command(&["chat", "--model", "builtin:tiny-chat", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // A letter that is no UTF-8 ends nothing.
    let lines = b"What is the colour of the sky?\n\n/new\n\xe9t\xe9\n/new\nWho are you?\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = text(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let prompts: Vec<&str> = answers.iter().map(|a| a["prompt"].as_str().unwrap()).collect();
    assert_eq!(prompts, ["What is the colour of the sky?", "\u{fffd}t\u{fffd}", "Who are you?"]);
    // After /new nothing of the first question is left.
    let alone = &place.json(&["chat", "--model", "builtin:tiny-chat", "--prompt", "Who are you?", "--json"])[0];
    assert_eq!(answers[2]["text"], alone["text"]);
}

#[test]
fn a_killed_run_goes_on_with_the_same_bits() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let whole = place.path("whole").display().to_string();
    place.ok(&["train", &run, "--set", &format!("output.dir={whole}")]);

    let killed = place.path("killed");
    let dir = format!("output.dir={}", killed.display());
    let (mut child, _lines) = start_until(&place, &["train", &run, "--set", &dir, "--json"], "step", 5);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("adapter").exists());

    let folder = killed.display().to_string();
    let again = place.error(&["train", &run, "--set", &dir]);
    assert!(again.contains("already holds a run") && again.contains("--resume"), "{again}");
    let events = place.json(&["train", "--resume", &folder, "--json"]);
    let steps: Vec<u64> = events.iter().filter(|e| e["event"] == "step").map(|e| e["step"].as_u64().unwrap()).collect();
    assert!(steps[0] == 5 || steps[0] == 7, "from the newest checkpoint: {steps:?}");
    assert_eq!(*steps.last().unwrap(), 8);
    assert_eq!(weights(&killed.join("adapter")), weights(&Path::new(&whole).join("adapter")));

    // The metrics tell one run: every step once, the same losses.
    let losses = |folder: &Path| -> Vec<(u64, f64)> {
        let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let events = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        events.filter(|e| e["event"] == "step").map(|e| (e["step"].as_u64().unwrap(), number(&e, "loss"))).collect()
    };
    assert_eq!(losses(&killed), losses(Path::new(&whole)));
}

/// Killed without a chance to do anything, with each way of keeping the optimizer's state, at a rank at which it is in 8 bits.
#[test]
fn a_killed_run_goes_on_with_the_same_bits_whatever_the_optimizer() {
    let place = Place::new();
    for kind in ["adamw-8bit", "paged-adamw"] {
        // The layers' inputs wait in a file, too: nothing of that is left either.
        let offload = "[train]\ncheckpointing = \"per-layer\"\ncheckpoint_offload = true";
        let run = place.file("run.toml", &RUN.replace("rank = 4", "rank = 32").replace("[train]", offload));
        let whole = place.path(&format!("{kind}-whole")).display().to_string();
        let killed = place.path(&format!("{kind}-killed"));
        let optimizer = format!("train.optimizer={kind}");
        let set = |dir: &str| {
            [
                "train".into(),
                run.clone(),
                "--set".into(),
                optimizer.clone(),
                "--set".into(),
                format!("output.dir={dir}"),
            ]
        };
        place.ok(&set(&whole).each_ref().map(String::as_str));

        let [a, b, c, d, e, f] = set(&killed.display().to_string());
        let (mut child, _lines) = start_until(&place, &[&a, &b, &c, &d, &e, &f, "--json"], "step", 5);
        child.kill().unwrap();
        child.wait().unwrap();
        let names = |folder: &Path| -> Vec<_> {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert!(!killed.join("adapter").exists());
        assert_eq!(names(&killed).len() + 1, names(Path::new(&whole)).len(), "nothing of the optimizer is left behind");
        place.ok(&["train", "--resume", &killed.display().to_string()]);
        assert_eq!(names(&killed), names(Path::new(&whole)));
        assert_eq!(weights(&killed.join("adapter")), weights(&Path::new(&whole).join("adapter")), "{kind}");
    }
}

#[test]
fn a_finished_run_can_be_made_longer_but_not_different() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let folder = place.path("run").display().to_string();
    place.ok(&["train", &run, "--set", &format!("output.dir={folder}"), "--set", "train.max_steps=2"]);
    let refused = place.usage(&["train", "--resume", &folder, "--set", "method.rank=8"]);
    assert!(refused.contains("keeps its model, data and method"), "{refused}");
    let events = place.json(&["train", "--resume", &folder, "--set", "train.max_steps=4", "--json"]);
    let steps: Vec<u64> = events.iter().filter(|e| e["event"] == "step").map(|e| e["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [3, 4]);
    let settings: toml::Table = toml::from_str(&fs::read_to_string(place.path("run/run.toml")).unwrap()).unwrap();
    assert_eq!(settings["train"]["max_steps"].as_integer(), Some(4));
    assert!(settings["record"]["files"].is_array());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_a_checkpoint() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let folder = place.path("run");
    let dir = format!("output.dir={}", folder.display());
    let arguments =
        ["train", &run, "--set", &dir, "--set", "train.max_steps=100000", "--set", "output.save_every=0", "--json"];
    let (mut child, mut lines) = start_until(&place, &arguments, "step", 2);
    // While it runs, nobody else trains in its folder.
    let busy = place.error(&["train", "--resume", &folder.display().to_string()]);
    assert!(busy.contains("another process trains in this folder"), "{busy}");
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let checkpoint =
        rest.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).find(|e| e["event"] == "checkpoint");
    let checkpoint = checkpoint.expect(&rest);
    assert!(Path::new(checkpoint["path"].as_str().unwrap()).join("adapter_model.safetensors").is_file());
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_the_run_with_a_checkpoint() {
    let place = Place::new();
    let run = place.file("run.toml", RUN);
    let folder = place.path("run");
    let dir = format!("output.dir={}", folder.display());
    let arguments = ["train", &run, "--set", &dir, "--set", "train.max_steps=100000", "--json"];
    let (mut child, lines) = start_until(&place, &arguments, "step", 1);
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(fs::read_dir(folder.join("checkpoints")).unwrap().count() > 0);
}

#[test]
fn models_and_data_are_described() {
    let place = Place::new();
    let model = &place.json(&["inspect", "builtin:tiny-chat", "--json"])[0];
    assert_eq!((model["kind"].as_str(), model["architecture"].as_str()), (Some("model"), Some("LlamaForCausalLM")));
    assert_eq!((model["parameters"].as_u64(), model["chat_template"].as_bool()), (Some(3_279_104), Some(true)));
    let data = &place.json(&["inspect", "builtin:pirate", "--json"])[0];
    assert_eq!((data["kind"].as_str(), data["format"].as_str()), (Some("dataset"), Some("messages")));
    assert_eq!(data["rows"], 360);
    let rows = place.file("rows.jsonl", "{\"text\":\"a\"}\n{\"text\":3}\n");
    let data = &place.json(&["inspect", &rows, "--json"])[0];
    assert_eq!((data["rows"].as_u64(), data["wrong_rows"].as_u64()), (Some(1), Some(1)));
    assert_eq!(data["problems"][0]["line"], 2);
    assert!(place.ok(&["inspect", &rows]).contains("line 2: "));
}

#[test]
fn rows_that_predict_nothing_keep_their_place() {
    let place = Place::new();
    let turn = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}"#;
    let rows = place
        .file("rows.jsonl", &format!("{turn}\n{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}\n{turn}\n"));
    let arguments = ["eval", "--model", "builtin:tiny-chat", "--data", &rows, "--loss-on", "completions", "--json"];
    let evaluation = &place.json(&arguments)[0];
    let rows = evaluation["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]), (3, &serde_json::json!({"tokens": 0, "nll": null})));
    assert_eq!(rows[0], rows[2]);
    // A quantized or rounded model is near the exact one, and not the same.
    for options in [["--quantization", "nf4"], ["--compute", "bf16"]] {
        let other = &place.json(&[&arguments[..], &options].concat())[0];
        let difference = (number(other, "loss") - number(evaluation, "loss")).abs();
        assert!(difference > 0.0 && difference < 0.5, "{options:?}: {difference}");
    }
}

#[test]
fn benchmarks_measure() {
    let place = Place::new();
    let bench = ["bench", "train", "--seq", "64", "--batch", "2", "--steps", "3", "--rank", "4"];
    let measured = &place.json(&[&bench[..], &["--data", "builtin:pirate", "--json"]].concat())[0];
    let shape = [
        "tok_s",
        "step_s",
        "first_step_s",
        "plan_bytes",
        "peak_memory_bytes",
        "planned_allocated_bytes",
        "allocated_bytes",
        "peak_rss_mb",
        "losses",
        "config",
    ];
    assert_eq!(keys(measured), shape);
    assert_eq!(measured["losses"].as_array().unwrap().len(), 5);
    let speed = 128.0 / number(measured, "step_s");
    assert!((number(measured, "tok_s") / speed - 1.0).abs() < 0.02, "{measured}");
    assert!(number(measured, "first_step_s") > number(measured, "step_s") / 2.0);
    let decoded = &place.json(&["bench", "decode", "--steps", "20", "--batch", "2", "--json"])[0];
    assert_eq!(
        keys(decoded),
        [
            "decode_tok_s",
            "prefill_tok_s",
            "tokens",
            "batch",
            "plan_bytes",
            "peak_memory_bytes",
            "peak_rss_mb",
            "config"
        ]
    );
    assert!(number(decoded, "decode_tok_s") > 0.0 && decoded["tokens"] == 20, "{decoded}");
    let adapted = &place.json(&["bench", "decode", "--steps", "4", "--adapted", "--json"])[0];
    assert!(number(adapted, "decode_tok_s") > 0.0 && adapted["batch"] == 1, "{adapted}");
    assert_eq!(adapted["config"]["adapted"], true);
    let products = place.json(&["bench", "gemm", "--seq", "16", "--json"]);
    assert!(products.len() >= 6 && products.iter().all(|p| number(p, "gflops") > 0.0));
}

/// Chunks of logits that are not of one size: a buffer that grew from one to the next would be there twice for a while, as
/// memory that is freed does not go back at once.
#[test]
fn a_benchmark_takes_what_it_planned_and_takes_it_once() {
    let place = Place::new();
    let bench =
        ["bench", "train", "--seq", "256", "--batch", "4", "--steps", "1", "--data", "builtin:pirate", "--json"];
    for threads in ["1", "2", "5"] {
        for chunk in ["0", "1000", "300", "32"] {
            let mut command = place.command(&[&bench[..], &["--logits-chunk", chunk]].concat());
            let output = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
            let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
            let measured = &measured;
            let apart = |planned, found| number(measured, planned) / number(measured, found) - 1.0;
            let allocated = apart("planned_allocated_bytes", "allocated_bytes");
            let held = apart("plan_bytes", "peak_memory_bytes");
            println!("{threads} threads, chunk {chunk}: {allocated} {held} {measured}");
            assert!(allocated.abs() < 0.0025, "{threads} threads, chunks of {chunk}: {allocated} {measured}");
            assert!(held.abs() < 0.04, "{threads} threads, chunks of {chunk}: {held} {measured}");
        }
    }
}

/// The built-in model's folder laid out as huggingface_hub keeps a model that it downloaded.
fn cache_with_a_model(place: &Place) -> PathBuf {
    let inspected = &place.json(&["inspect", "builtin:tiny-chat", "--json"])[0];
    let (commit, repo) = ("c".repeat(40), place.path("hub/models--acme--tiny"));
    let snapshot = repo.join("snapshots").join(&commit);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), commit).unwrap();
    for entry in fs::read_dir(inspected["path"].as_str().unwrap()).unwrap().flatten() {
        fs::copy(entry.path(), snapshot.join(entry.file_name())).unwrap();
    }
    place.path("hub")
}

#[test]
fn a_model_of_the_hub_that_is_on_the_disk_needs_no_network() {
    let place = Place::new();
    let cache = cache_with_a_model(&place);
    let offline = |arguments: &[&str], offline: &str| {
        let mut command = place.command(arguments);
        // Nothing listens on this port, so whatever asked the network would fail.
        command.env("HF_HUB_CACHE", &cache).env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_OFFLINE", offline);
        command.output().unwrap()
    };
    for switch in ["0", "1"] {
        let shown = offline(&["inspect", "acme/tiny", "--json"], switch);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!((shown["name"].as_str(), shown["downloaded"].as_bool()), (Some("acme/tiny"), Some(true)));
        let answer =
            offline(&["chat", "--model", "acme/tiny", "--prompt", "Hi", "--max-new-tokens", "2", "--json"], switch);
        assert!(answer.status.success(), "{}", text(&answer.stderr));
    }
    let refused = |arguments: &[&str], switch: &str| {
        let output = offline(arguments, switch);
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        line
    };
    assert!(
        refused(&["chat", "--model", "acme/other", "--prompt", "Hi"], "0").contains("check the network connection")
    );
    assert!(refused(&["chat", "--model", "acme/other", "--prompt", "Hi"], "1").contains("offline mode is on"));
    assert!(refused(&["download", "acme/other"], "1").contains("offline mode is on"));
    assert!(refused(&["download", "nonsense"], "0").contains("owner/name"));
}
