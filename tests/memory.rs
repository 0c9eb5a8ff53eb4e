//! What a run allocates against its plan, by an allocator that counts.

#![allow(clippy::unwrap_used)] // a test

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lora_studio::engine::config::RunConfig;
use lora_studio::engine::formats::{self, StoredWeights};
use lora_studio::engine::memory::heap::{self, Counting};
use lora_studio::engine::memory::{BatchShape, Inputs, Item, Machine, Measured, Plan, Program};
use lora_studio::engine::model::{LoadOptions, Model};
use lora_studio::engine::train::{self, Control, Event};

#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

/// The part of what is allocated when everything was there.
const LATER: &str = "what came after the first step";

/// One test at a time: the allocator counts for all.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(dir: &Path, changes: &[&str]) -> RunConfig {
    let mut config = RunConfig::default();
    let usual = ["train.max_steps=4", "train.grad_accumulation=2", "sample.every=0", "output.save_every=0"];
    usual.iter().chain(changes).for_each(|change| config.set(change).unwrap());
    config.output.dir = dir.to_str().unwrap().into();
    config
}

/// The last event about the memory, and the large allocations between one step and the next.
fn run(changes: &[&str]) -> (Measured, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut found, mut steps) = (None, Vec::new());
    let settings = config(&folder.path().join("run"), changes);
    train::run(&settings, None, &Control::new(), &mut |event| match event {
        Event::Memory { measured, .. } => found = Some(measured),
        Event::Step { .. } => steps.push(heap::large_allocations()),
        Event::Failed { error } => panic!("{error}"),
        _ => {}
    })
    .unwrap();
    (found.unwrap(), steps.windows(2).map(|pair| pair[1] - pair[0]).collect())
}

#[test]
fn what_is_allocated_is_what_was_planned() {
    let _alone = alone();
    let configurations: [&[&str]; 8] = [
        &["train.checkpointing=none"],
        &["train.checkpointing=per-layer", "method.rank=4", "data.max_seq_len=128"],
        &["train.checkpointing=per-layer", "train.checkpoint_offload=true", "train.logits_chunk=32"],
        &["train.checkpointing=auto", "train.logits_chunk=2000", "train.batch_size=3"],
        &["model.quantization=none", "model.compute=f32", "method.dropout=0", "train.batch_size=4"],
        &["data.packing=false", "train.batch_size=8", "method.target_modules=[\"q_proj\",\"v_proj\"]"],
        &["data.validation_fraction=0.1", "data.max_seq_len=1024"],
        &["sample.every=2", "sample.prompts=[\"Who are you?\",\"What is a ship?\"]"],
    ];
    for changes in configurations {
        let (measured, large) = run(changes);
        let (planned, found) = (measured.planned_allocated as f64, measured.allocated as f64);
        let error = found / planned - 1.0;
        println!("{changes:?}: planned {planned}, measured {found}, {:.2} %", 100.0 * error);
        // Never more than one in a hundred under what is taken.
        assert!((-0.04..=0.01).contains(&error), "{changes:?}: {error} {measured:?}");
        assert_eq!(measured.apart.is_some(), error.abs() > 0.02, "{measured:?}");
        // After the first step nothing large is allocated, but for the samples.
        if !changes[0].starts_with("sample") {
            assert!(large.iter().all(|n| *n == 0), "{changes:?}: {large:?}");
        }
    }
}

/// Products are cut otherwise for every number of threads, and chunks of logits that are not of one size follow each other.
#[test]
fn any_number_of_threads_takes_what_was_planned_for_it() {
    let _alone = alone();
    let chunks = ["train.logits_chunk=150", "train.batch_size=2", "data.max_seq_len=256", "train.max_steps=6"];
    for (threads, dropout) in [(1, "0"), (3, "0.1"), (4, "0"), (8, "0"), (8, "0.1"), (13, "0")] {
        let dropout = format!("method.dropout={dropout}");
        let changes: Vec<&str> = chunks.iter().copied().chain([dropout.as_str()]).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (measured, large) = pool.install(|| run(&changes));
        let error = measured.allocated as f64 / measured.planned_allocated as f64 - 1.0;
        println!("{threads} threads, {dropout}: {:.2} %, {large:?}", 100.0 * error);
        assert!((-0.01..=0.01).contains(&error), "{threads} threads: {error} {measured:?}");
        assert!(large.iter().all(|n| *n == 0), "{threads} threads: {large:?}");
    }
}

#[test]
fn loading_takes_the_packed_weights_and_one_tensor() {
    let _alone = alone();
    let source = formats::open_named("builtin:tiny-chat").unwrap();
    let stored = StoredWeights::of(&source).unwrap();
    for changes in [&["model.quantization=nf4"][..], &["model.quantization=none", "model.compute=f32"]] {
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions::of_run(&config(folder.path(), changes).model);
        heap::take_peak();
        let before = heap::live_bytes();
        let model = Model::load(&source, &options, &mut |_, _| true).unwrap();
        let (peak, live) = (heap::take_peak() - before, heap::live_bytes() - before);
        let (reading, _) = options.reading_bytes(&stored);
        let packed = model.bytes() as u64;
        // Threads keep a batch of small numbers to themselves, and the file's index is not counted.
        let slack = 1 << 20;
        assert!(live.abs_diff(packed) < slack, "{live} {packed}");
        assert!(peak <= packed + reading + slack, "{peak} {packed} {reading}");
    }
}

#[test]
fn what_is_taken_in_the_middle_of_a_run_is_told_at_once_and_by_its_name() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let settings = config(&folder.path().join("run"), &["train.max_steps=8"]);
    let (mut told, mut taken) = (Vec::new(), Vec::new());
    train::run(&settings, None, &Control::new(), &mut |event| match event {
        Event::Memory { step, measured } => told.push((step, measured)),
        Event::Step { step: 3, .. } => taken = vec![1_u8; 30 << 20],
        Event::Step { step: 5, .. } => taken = Vec::new(),
        _ => {}
    })
    .unwrap();
    assert!(taken.is_empty());
    let steps: Vec<usize> = told.iter().map(|(step, _)| *step).collect();
    // The first step, what somebody else took, and the end.
    assert_eq!(steps, [1, 3, 8], "{told:?}");
    assert_eq!((&told[0].1.apart, told[1].1.apart.as_deref()), (&None, Some(LATER)));
    let part = told[1].1.parts.iter().find(|p| p.name == LATER).unwrap();
    assert!(part.planned == 0 && part.measured.abs_diff(30 << 20) < 1 << 20, "{part:?}");
    // The same in what the run keeps.
    let metrics = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().filter(|line| line.contains(LATER)).count(), 3, "{metrics}");
}

#[test]
fn the_price_before_a_run_is_what_the_run_says() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let settings = config(&folder.path().join("run"), &["train.max_steps=1"]);
    let mut told = None;
    train::run(&settings, None, &Control::new(), &mut |event| {
        if let Event::Memory { measured, .. } = event {
            told = Some(measured);
        }
    })
    .unwrap();
    let source = formats::open_named("builtin:tiny-chat").unwrap();
    let stored = StoredWeights::of(&source).unwrap();
    let tokenizer = source.tokenizer().unwrap();
    let data = lora_studio::engine::data::load(&settings.data, &tokenizer, settings.train.seed).unwrap();
    let rows = BatchShape::of(&data, &settings.data);
    let inputs = Inputs {
        model: &source.config,
        stored: &stored,
        adapter: None,
        rows: Some(&rows),
        available_bytes: 64 << 30,
        program: Program::default(),
        machine: Machine::this(),
    };
    let plan = Plan::price(&inputs, &settings).unwrap().plan;
    // What stays of all that is measured by itself: not the files that are hashed meanwhile, nor the tensor being read.
    let kept = plan.buffers.iter().filter(|b| !b.only && b.item != Item::Files);
    let needed: u64 = kept.map(|b| b.bytes()).sum();
    // Nor what comes and goes later.
    let told = told.unwrap();
    let parts: u64 = told.parts.iter().filter(|p| p.name != LATER).map(|p| p.planned).sum();
    assert_eq!(parts, needed);
}
