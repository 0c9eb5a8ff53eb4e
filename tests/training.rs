//! Whole runs of the trainer on the built-in model: reproducible, resumable, stopped without loss.

#![allow(clippy::unwrap_used)] // a test

use std::collections::BTreeMap;
use std::path::Path;

use lora_studio::engine::Result;
use lora_studio::engine::config::RunConfig;
use lora_studio::engine::formats;
use lora_studio::engine::peft::folder::ModelCard;
use lora_studio::engine::train::checkpoint::{self, Checkpoint};
use lora_studio::engine::train::{self, Control, Event, LoadPhase, Stop, TensorMoments, run_dir};

/// A short run that exercises what randomness and state there is: dropout, shuffling, accumulation, warm-up, validation.
fn config(dir: &Path, changes: &[&str]) -> RunConfig {
    let mut config = RunConfig::default();
    for change in [
        "data.max_seq_len=96",
        "data.validation_fraction=0.05",
        "method.rank=4",
        "method.alpha=8",
        "method.dropout=0.1",
        "train.max_steps=8",
        "train.grad_accumulation=2",
        "train.learning_rate=1e-3",
        "sample.every=0",
        "output.save_every=3",
    ]
    .iter()
    .chain(changes)
    {
        config.set(change).unwrap();
    }
    config.output.dir = dir.to_str().unwrap().into();
    config
}

fn run(config: &RunConfig, control: &Control) -> (Result<()>, Vec<Event>) {
    let mut events = Vec::new();
    let result = train::run(config, None, control, &mut |e| events.push(e));
    (result, events)
}

fn resume(dir: &Path) -> (Result<()>, Vec<Event>) {
    let mut events = Vec::new();
    let result = train::run(&RunConfig::default(), Some(dir), &Control::new(), &mut |e| events.push(e));
    (result, events)
}

#[test]
fn loading_is_told_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let settings = config(&dir, &["train.max_steps=1", "data.validation_fraction=0"]);
    for phase in [LoadPhase::Data, LoadPhase::Model] {
        let control = Control::new();
        let mut events = Vec::new();
        let result = train::run(&settings, None, &control, &mut |e| {
            if matches!(e, Event::Loading { phase: p, .. } if p == phase) {
                control.stop(Stop::Keep);
            }
            events.push(e);
        });
        result.unwrap();
        // One event of the phase: it ended at once, without an error and without a folder.
        assert!(matches!(events.last(), Some(Event::Loading { phase: p, done, total }) if *p == phase && done < total));
        assert!(events.iter().all(|e| matches!(e, Event::Loading { .. })));
        assert!(!dir.exists());
    }

    let (result, events) = run(&settings, &Control::new());
    result.unwrap();
    for phase in [LoadPhase::Data, LoadPhase::Model] {
        let counts = |e: &Event| match e {
            Event::Loading { phase: p, done, total } if *p == phase => Some((*done, *total)),
            _ => None,
        };
        let counts: Vec<_> = events.iter().filter_map(counts).collect();
        assert!(counts.is_sorted());
        let (done, total) = *counts.last().unwrap();
        let expected = match phase {
            LoadPhase::Data => formats::builtin::dataset("builtin:pirate").unwrap().len() as u64,
            LoadPhase::Model => {
                let facts = formats::open_named("builtin:tiny-chat").unwrap().facts().unwrap();
                // The file holds a header, too.
                assert!(facts.total_bytes() - total < 100_000, "{} {total}", facts.total_bytes());
                total
            }
        };
        assert_eq!((done, total), (expected, expected));
    }
    assert!(run_dir::events(&dir).unwrap().all(|e| !matches!(e.unwrap(), Event::Loading { .. })));
}

#[test]
fn norms_of_the_adapters_change_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let settings = config(&dir, &["method.target_modules=[\"v_proj\",\"q_proj\"]", "method.dropout=0"]);
    let (result, events) = run(&settings, &Control::new());
    result.unwrap();
    let norms = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|e| matches!(e, Event::AdapterNorms { .. })).cloned().collect()
    };
    let sent = norms(&events);
    // A short run has them after every step, the last one once.
    assert_eq!(sent.iter().map(|e| e.step().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    let recorded: Vec<Event> = run_dir::events(&dir).unwrap().map(Result::unwrap).collect();
    assert_eq!(norms(&recorded), sent);
    let source = formats::open_named("builtin:tiny-chat").unwrap();
    let adapter = lora_studio::engine::peft::folder::read(&dir.join("adapter"), &source.config).unwrap();
    let (Some(Event::AdapterNorms { modules, layers, norms, .. }), true) = (sent.last(), sent.len() == 8) else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (modules.as_slice(), *layers),
        (["q_proj".to_string(), "v_proj".to_string()].as_slice(), source.config.layers.len())
    );
    // Of the adapter that was written: the product written out.
    for m in &adapter.modules {
        let (a, b) = (&adapter.params[m.a_range()], &adapter.params[m.b_range()]);
        let mut square = 0.0;
        for o in 0..m.out_features {
            for i in 0..m.in_features {
                let sum: f64 =
                    (0..m.rank).map(|k| f64::from(b[o * m.rank + k]) * f64::from(a[k * m.in_features + i])).sum();
                square += (f64::from(m.scale) * sum).powi(2);
            }
        }
        let column = modules.iter().position(|name| name == m.kind.name()).unwrap();
        let found = f64::from(norms[m.layer * modules.len() + column].unwrap());
        assert!((found - square.sqrt()).abs() <= 1e-5 * square.sqrt() && found > 0.0, "{found} {}", square.sqrt());
    }
}

/// Loss and gradient norm of each step, as bits.
fn curve(events: &[Event]) -> BTreeMap<usize, (u64, u64)> {
    let step = |e: &Event| match e {
        Event::Step { step, loss, grad_norm, .. } => Some((*step, (loss.to_bits(), grad_norm.to_bits()))),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

fn adapter(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn the_same_run_twice_gives_the_same_bits_however_much_is_recomputed() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    // However much: all of it, a part, and with the layers' inputs in a file; and however few rows have logits at a time.
    for (name, checkpointing, offload, logits) in [
        ("a", "none", false, 0),
        ("b", "none", false, 0),
        ("c", "per-layer", false, 16),
        ("d", "auto", false, 64),
        ("e", "per-layer", true, 0),
        ("f", "none", true, 1000),
    ] {
        let dir = folder.path().join(name);
        let changes = [
            format!("train.checkpointing={checkpointing}"),
            format!("train.checkpoint_offload={offload}"),
            format!("train.logits_chunk={logits}"),
        ];
        let (result, events) = run(&config(&dir, &changes.each_ref().map(String::as_str)), &Control::new());
        result.unwrap();
        assert_eq!(curve(&events).len(), 8);
        let names = files(&dir);
        assert!(names.iter().all(|name| !name.starts_with(".tmp")), "nothing of the file is left: {names:?}");
        results.push((curve(&events), adapter(&dir)));
    }
    for other in &results[1..] {
        assert!(*other == results[0]);
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let (result, all) = run(&config(&whole, &[]), &Control::new());
    result.unwrap();

    let parts = folder.path().join("parts");
    let control = Control::new();
    let mut first = Vec::new();
    train::run(&config(&parts, &[]), None, &control, &mut |e| {
        if matches!(e, Event::Step { step: 5, .. }) {
            control.stop(Stop::Keep);
        }
        first.push(e);
    })
    .unwrap();
    assert!(matches!(first.last(), Some(Event::Finished { steps: 5, .. })), "{:?}", first.last());
    let (result, second) = resume(&parts);
    result.unwrap();

    let mut joined = curve(&first);
    joined.extend(curve(&second));
    assert_eq!(joined, curve(&all));
    assert!(adapter(&parts) == adapter(&whole));
    // The folder's own record is of one run, as if it had never stopped.
    let recorded = run_dir::events(&parts).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let steps = recorded.iter().filter(|e| matches!(e, Event::Step { .. })).map(|e| e.step().unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_run_that_died_goes_on_from_its_newest_whole_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(&config(&whole, &[]), &Control::new()).0.unwrap();

    let died = folder.path().join("died");
    let control = Control::new();
    let result = train::run(&config(&died, &[]), None, &control, &mut |e| {
        if matches!(e, Event::Step { step: 7, .. }) {
            control.stop(Stop::Discard); // nothing more is written, as if the process had been killed here
        }
    });
    result.unwrap();
    assert!(!died.join("adapter").exists());
    // Step 6's checkpoint is damaged on the disk: step 3's is used.
    let newest = died.join("checkpoints/step-6/optimizer.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let (result, events) = resume(&died);
    result.unwrap();
    assert_eq!(curve(&events).keys().copied().collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    assert!(adapter(&died) == adapter(&whole));
}

/// What lies in a run's folder, without what checkpoints hold.
fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_str().unwrap().to_string()).collect();
    names.sort();
    names
}

/// Ranks at which tensors are large enough for 8 bits.
const LARGE: &str = "method.rank=32";

#[test]
fn every_optimizer_goes_on_to_the_same_bits_and_leaves_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    for kind in ["adamw", "adamw-8bit", "paged-adamw"] {
        let optimizer = format!("train.optimizer={kind}");
        let changes: &[&str] = &[LARGE, &optimizer, "train.weight_decay=0.1", "train.max_grad_norm=0.1"];
        let whole = folder.path().join(kind);
        let (result, all) = run(&config(&whole, changes), &Control::new());
        result.unwrap();

        let died = folder.path().join(format!("{kind}-died"));
        let control = Control::new();
        let mut first = Vec::new();
        train::run(&config(&died, changes), None, &control, &mut |e| {
            if matches!(e, Event::Step { step: 5, .. }) {
                control.stop(Stop::Discard); // nothing more is written, as if the process had been killed here
            }
            first.push(e);
        })
        .unwrap();
        let (result, second) = resume(&died);
        result.unwrap();
        assert!(!second.iter().any(|e| matches!(e, Event::Note { message } if message.contains("moments"))));
        assert_eq!(curve(&second).keys().copied().collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        let mut joined = curve(&first);
        joined.extend(curve(&second));
        assert_eq!(joined, curve(&all), "{kind}");
        assert!(adapter(&died) == adapter(&whole), "{kind}");
        let saved = std::fs::metadata(whole.join("checkpoints/step-8/optimizer.safetensors")).unwrap().len();
        results.push((curve(&all), adapter(&whole), files(&whole), saved));
    }
    let [full, eight, paged] = &results[..] else { panic!("three optimizers") };
    assert!(full == paged, "in a file they are the same numbers");
    assert_eq!(full.2, eight.2);
    assert!(eight.3 < full.3 * 3 / 4, "moments in 8 bits are saved in 8 bits: {} {}", eight.3, full.3);
    assert_ne!(full.1, eight.1);
    for (step, (loss, _)) in &full.0 {
        let (a, b) = (f64::from_bits(*loss), f64::from_bits(eight.0[step].0));
        assert!((a - b).abs() < 0.01 * a, "step {step}: {a} {b}");
    }
}

#[test]
fn a_run_goes_on_with_another_optimizer_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, converted) in
        [("adamw", "adamw-8bit", true), ("adamw-8bit", "paged-adamw", true), ("paged-adamw", "adamw", false)]
    {
        let dir = folder.path().join(from);
        let control = Control::new();
        let optimizer = format!("train.optimizer={from}");
        train::run(&config(&dir, &[LARGE, &optimizer]), None, &control, &mut |e| {
            if matches!(e, Event::Step { step: 4, .. }) {
                control.stop(Stop::Keep);
            }
        })
        .unwrap();
        let file = dir.join("run.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let line = |kind: &str| format!("optimizer = \"{kind}\"");
        assert!(text.contains(&line(from)));
        std::fs::write(&file, text.replace(&line(from), &line(to))).unwrap();
        let (result, events) = resume(&dir);
        result.unwrap();
        let said = events.iter().any(|e| matches!(e, Event::Note { message } if message.contains("converted")));
        assert_eq!(said, converted, "{from} {to}");
        assert_eq!(curve(&events).keys().copied().collect::<Vec<_>>(), [5, 6, 7, 8]);
    }
}

#[test]
fn the_adapter_of_a_run_continues_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let (_, first) = run(&config(&a, &["train.max_steps=20", "train.schedule=constant"]), &Control::new());
    let from = format!("method.init_from={}", a.join("adapter").display());
    let (result, second) = run(&config(&b, &["train.max_steps=1", &from]), &Control::new());
    result.unwrap();
    let evals = |events: &[Event]| -> Vec<f64> {
        let loss = |e: &Event| if let Event::Eval { loss, .. } = e { Some(*loss) } else { None };
        events.iter().filter_map(loss).collect()
    };
    let (first, second) = (evals(&first), evals(&second));
    assert!(first[1] < first[0] - 0.1, "20 steps lower the validation loss: {first:?}");
    assert_eq!(second[0].to_bits(), first[1].to_bits(), "the second run begins where the first ended");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let control = Control::new();
    let result = train::run(&config(&dir, &["output.save_every=1"]), None, &control, &mut |e| {
        if matches!(e, Event::Step { step: 2, .. }) {
            control.stop(Stop::Discard);
        }
    });
    result.unwrap();
    // An adapter so large that the forward overflows.
    let model = formats::open_named("builtin:tiny-chat").unwrap().config;
    let newest = dir.join("checkpoints/step-1");
    let mut checkpoint = checkpoint::load(&newest, &model).unwrap();
    checkpoint.adapter.params.iter_mut().for_each(|p| *p = 1e30);
    let Checkpoint { adapter, moments, state } = &checkpoint;
    let moments: Vec<TensorMoments> = moments.read().collect::<Result<_>>().unwrap();
    let moments: Vec<_> = moments.iter().map(TensorMoments::view).collect();
    checkpoint::save(&newest, adapter, &model, &ModelCard::default(), &moments, state).unwrap();
    std::fs::remove_dir_all(dir.join("checkpoints/step-2")).ok();

    let (result, events) = resume(&dir);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("is not a number at step 2"), "{error}");
    assert!(error.contains("checkpoints/step-1"), "the error names what is kept: {error}");
    assert!(matches!(events.last(), Some(Event::Failed { .. })));
    assert_eq!(
        run_dir::events(&dir).unwrap().last().unwrap().unwrap(),
        *events.last().unwrap(),
        "the run folder says it too"
    );
    assert!(newest.join("adapter_model.safetensors").exists());
    assert!(!dir.join("adapter").exists());
}

#[test]
fn a_run_that_is_stopped_does_not_measure_its_validation_first() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    // While the first validation is measured, and after a step.
    for stopped_at in [0, 2] {
        let _ = std::fs::remove_dir_all(&dir);
        let control = Control::new();
        let mut events = Vec::new();
        train::run(&config(&dir, &["sample.prompts=Hi"]), None, &control, &mut |e| {
            let step = match &e {
                Event::Started { .. } => Some(0),
                Event::Step { step, .. } => Some(*step),
                _ => None,
            };
            if step == Some(stopped_at) {
                control.stop(Stop::Keep);
            }
            events.push(e);
        })
        .unwrap();
        let measured = events.iter().filter(|e| matches!(e, Event::Eval { .. } | Event::Sample { .. })).count();
        assert_eq!(measured, if stopped_at == 0 { 0 } else { 1 }, "{events:?}");
        let saved = dir.join(format!("checkpoints/step-{stopped_at}"));
        assert!(saved.is_dir() && dir.join("adapter").is_dir());
        assert!(matches!(events.last(), Some(Event::Finished { steps, .. }) if *steps == stopped_at));
    }
}

#[test]
fn a_folder_that_is_taken_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (run_there, file) = (folder.path().join("run"), folder.path().join("file"));
    std::fs::create_dir(&run_there).unwrap();
    std::fs::write(run_there.join("run.toml"), "").unwrap();
    std::fs::write(&file, "").unwrap();
    for (dir, expected) in [(run_there, "already holds a run"), (file, "this is a file")] {
        let (result, events) = run(&config(&dir, &["model.source=/no/such/model"]), &Control::new());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("output.dir"), "{error}");
        assert!(matches!(&events[..], [Event::Failed { .. }]), "{events:?}");
    }
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    for (change, expected) in [
        ("model.source=builtin:nothing", "tiny-chat"),
        ("model.source=/no/such/model", "/no/such/model"),
        ("data.train=/no/such/rows.jsonl", "/no/such/rows.jsonl"),
        ("method.init_from=/no/such/adapter", "/no/such/adapter"),
    ] {
        let (result, events) = run(&config(&dir, &[change]), &Control::new());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{change}: {error}");
        assert!(matches!(&events[..], [Event::Failed { .. }]), "{events:?}");
        assert!(!dir.exists());
    }
}
