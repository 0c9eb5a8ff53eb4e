//! The memory that is shown before a run, against what the trainer allocates once everything is loaded.

#![allow(clippy::unwrap_used)] // a test

mod common;

use std::path::Path;

use common::{architecture, architectures};
use lora_studio::engine::config::{self, RunConfig};
use lora_studio::engine::data::{Dataset, Sample, Samples};
use lora_studio::engine::formats::{self, DenseType, ModelSource, StoredWeights};
use lora_studio::engine::memory::{BatchShape, Inputs, Item, Machine, Plan, Program};
use lora_studio::engine::model::{Checkpointing, Layout, LoadOptions, Model, WorkspaceSize};
use lora_studio::engine::peft::{Adapter, AdapterShape, LoraConfig};

/// Rows of uneven lengths, trained but for their first half.
fn dataset() -> Dataset {
    let sample = |n: usize| Sample { tokens: vec![1; n], trained: (0..n).map(|i| 2 * i >= n).collect(), row: 0 };
    Dataset {
        train: [3, 40, 7, 21, 33, 40, 5].map(sample).to_vec().into(),
        validation: [9, 40].map(sample).to_vec().into(),
        ..Dataset::default()
    }
}

fn run(changes: &[&str]) -> RunConfig {
    let mut run = RunConfig::default();
    for change in ["data.max_seq_len=40", "method.rank=3", "train.grad_accumulation=1"].iter().chain(changes) {
        run.set(change).unwrap();
    }
    run
}

/// Everything that the memory depends on, each in every value.
fn settings(targets: &[&str]) -> Vec<RunConfig> {
    let mut all = Vec::new();
    for (checkpointing, targets) in ["none", "per-layer", "auto"].iter().zip(targets.iter().cycle()) {
        for (packing, batch, rank, dropout, optimizer, offload, logits) in [
            (true, 1, 1, "0", "adamw", true, 0),
            (true, 64, 5, "0.1", "adamw-8bit", false, 7),
            (false, 1, 8, "0", "adamw-8bit", false, 0),
            (false, 3, 2, "0.05", "paged-adamw", true, 1),
        ] {
            all.push(run(&[
                &format!("train.checkpointing={checkpointing}"),
                &format!("data.packing={packing}"),
                &format!("train.batch_size={batch}"),
                &format!("method.rank={rank}"),
                &format!("method.dropout={dropout}"),
                &format!("method.target_modules={targets}"),
                &format!("train.optimizer={optimizer}"),
                &format!("train.checkpoint_offload={offload}"),
                &format!("train.logits_chunk={logits}"),
            ]));
        }
    }
    all
}

/// The largest batch by the definition: with packing `batch_size` sequences, but not more than there are tokens; without,
/// the longest rows.
fn size(data: &Dataset, run: &RunConfig) -> WorkspaceSize {
    let top = |mut values: Vec<usize>, n: usize| {
        values.sort();
        values.iter().rev().take(n).sum::<usize>()
    };
    let lengths = |rows: &[Sample]| rows.iter().map(|s| s.tokens.len()).collect::<Vec<_>>();
    let supervised = |rows: &[Sample]| rows.iter().map(Sample::supervised).collect::<Vec<_>>();
    let samples = |of: &Samples| of.iter().map(Result::unwrap).collect::<Vec<_>>();
    let (train, validation) = (&samples(&data.train), &samples(&data.validation));
    let (mut tokens, mut targets) =
        (top(lengths(train), run.train.batch_size), top(supervised(train), run.train.batch_size));
    if run.data.packing {
        tokens = lengths(train).iter().sum::<usize>().min(run.train.batch_size * run.data.max_seq_len);
        targets = tokens;
    }
    WorkspaceSize {
        tokens: tokens.max(top(lengths(validation), 1)),
        longest: top([lengths(train), lengths(validation)].concat(), 1),
        supervised: targets.max(top(supervised(validation), 1)),
    }
}

/// Loads the model as each quantization and computation says, and compares every setting's price with its plan.
fn compare(source: &ModelSource, quantizations: &[&str], targets: &[&str]) {
    let stored = StoredWeights::of(source).unwrap();
    let data = dataset();
    for quantization in quantizations {
        for (compute, double_quant, embeddings) in [("bf16", true, "memory"), ("f32", false, "file")] {
            let model_changes = [
                format!("model.quantization={quantization}"),
                format!("model.compute={compute}"),
                format!("model.double_quant={double_quant}"),
                format!("model.embeddings={embeddings}"),
            ];
            let mut first = RunConfig::default();
            model_changes.iter().for_each(|c| first.set(c).unwrap());
            let model = Model::load(source, &LoadOptions::of_run(&first.model), &mut |_, _| true).unwrap();
            let m = &model.config;
            for mut run in settings(targets) {
                model_changes.iter().for_each(|c| run.set(c).unwrap());
                let lora = LoraConfig::of_run(&run.method, m).unwrap();
                let adapter = Adapter::new(m, lora, 0).unwrap();
                let known = BatchShape::of(&data, &run.data);
                for rows in [Some(&known), None] {
                    let size = match rows {
                        Some(_) => size(&data, &run),
                        None => WorkspaceSize::any_with(&run),
                    };
                    let segments = match rows {
                        Some(rows) => rows.most_rows(&run.data, &run.train),
                        None => run.train.batch_size,
                    };
                    let of_step = |keep| {
                        let layout = Layout::for_training(m, model.compute, &adapter, size.clone(), &keep);
                        let layout = layout.offload(run.train.checkpoint_offload);
                        let layout = layout.chunk_logits(m.vocab, run.train.logits_chunk);
                        let optimizer = run.train.optimizer;
                        Plan::of_step(&model, &adapter, optimizer, &layout, segments, Program::default())
                    };
                    // What half of the layers need, so that the choice has something to decide.
                    let middle = of_step(Checkpointing::KeepLast(m.layers.len() / 2)).needed();
                    let available = (middle as f64 / 0.9).ceil() as u64;
                    let keep = match run.train.checkpointing {
                        config::Checkpointing::None => Checkpointing::None,
                        config::Checkpointing::PerLayer => Checkpointing::PerLayer,
                        config::Checkpointing::Auto => Checkpointing::KeepLast(
                            (0..=m.layers.len())
                                .rev()
                                .find(|n| {
                                    let step = of_step(Checkpointing::KeepLast(*n)).needed();
                                    step as f64 <= 0.9 * available as f64
                                })
                                .unwrap_or(0),
                        ),
                    };
                    let shape = AdapterShape::of(&adapter);
                    for adapter_shape in [None, Some(&shape)] {
                        let inputs = Inputs {
                            model: &source.config,
                            stored: &stored,
                            adapter: adapter_shape,
                            rows,
                            available_bytes: available,
                            program: Program::default(),
                            machine: Machine::this(),
                        };
                        let price = Plan::price(&inputs, &run).unwrap();
                        // A benchmark reads no tensors while it is planned.
                        let mut buffers = price.plan.buffers.clone();
                        buffers.retain(|b| b.item != Item::Loading);
                        assert_eq!(buffers, of_step(keep.clone()).buffers, "{} {run:?}", source.name);
                        let kept = match &keep {
                            Checkpointing::None => m.layers.len(),
                            Checkpointing::PerLayer => 0,
                            Checkpointing::KeepLast(n) => *n,
                        };
                        assert_eq!(price.kept_layers(), kept);
                        let trained = adapter.params.len() as u64;
                        assert_eq!(price.trainable_parameters, trained);
                        assert_eq!(price.total_parameters, model.parameters() + trained);
                    }
                }
            }
        }
    }
}

/// Rows that are not known have every token that they may have.
trait AnyWith {
    fn any_with(run: &RunConfig) -> Self;
}

impl AnyWith for WorkspaceSize {
    fn any_with(run: &RunConfig) -> Self {
        let tokens = run.train.batch_size * run.data.max_seq_len;
        WorkspaceSize { tokens, longest: run.data.max_seq_len, supervised: tokens }
    }
}

#[test]
fn every_architectures_price_is_its_plan() {
    for name in architectures() {
        let source = formats::open(architecture(&name)).unwrap();
        let some = if source.config.fused { "[\"qkv_proj\",\"down_proj\"]" } else { "[\"q_proj\",\"v_proj\"]" };
        compare(&source, &["nf4", "none"], &["all-linear", some, "[\"o_proj\"]"]);
    }
}

#[test]
fn files_that_are_quantized_are_priced_as_they_are_kept() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut folders: Vec<_> = std::fs::read_dir(fixtures.join("bnb")).unwrap().map(|e| e.unwrap().path()).collect();
    let gguf = std::fs::read_dir(fixtures.join("gguf")).unwrap().map(|e| e.unwrap().path());
    folders.extend(gguf.filter(|p| p.extension().is_some_and(|e| e == "gguf")));
    assert!(folders.len() > 6);
    for path in folders {
        let source = formats::open(&path).unwrap();
        compare(&source, &["keep", "nf4", "none"], &["all-linear"]);
    }
}

#[test]
fn the_built_in_models_price_is_its_plan() {
    let source = formats::open_named("builtin:tiny-chat").unwrap();
    compare(&source, &["nf4", "none", "keep"], &["all-linear", "[\"down_proj\",\"q_proj\"]", "[\"gate_proj\"]"]);
}

#[test]
fn parameters_follow_from_the_configuration_alone() {
    for name in architectures() {
        let source = formats::open(architecture(&name)).unwrap();
        let dense = StoredWeights::dense(&source.config, DenseType::Bf16);
        assert_eq!(dense.parameters(), source.parameters().unwrap());
        assert_eq!(dense.parameters(), StoredWeights::of(&source).unwrap().parameters());
    }
}

#[test]
fn what_cannot_be_priced_is_said() {
    let source = formats::open_named("builtin:tiny-chat").unwrap();
    let stored = StoredWeights::of(&source).unwrap();
    let inputs = Inputs {
        model: &source.config,
        stored: &stored,
        adapter: None,
        rows: None,
        available_bytes: 1 << 30,
        program: Program::default(),
        machine: Machine::this(),
    };
    let refused = |changes: &[&str]| Plan::price(&inputs, &run(changes)).unwrap_err().to_string();
    assert!(refused(&["method.target_modules=[\"qkv_proj\"]"]).contains("this model has no linear qkv_proj"));
    assert!(refused(&["method.init_from=some/folder"]).starts_with("method.init_from: the adapter has to be read"));
    assert_eq!(
        refused(&["train.batch_size=65536", "data.max_seq_len=1048576"]),
        "a batch of 68719476736 tokens is too large: lower train.batch_size or data.max_seq_len"
    );
    let mut none = run(&[]);
    none.method.target_modules = config::TargetModules::Names(Vec::new());
    let message = Plan::price(&inputs, &none).unwrap_err().to_string();
    assert!(message.starts_with("method.target_modules is empty"), "{message}");
    // Nothing free: everything is computed twice, and the plan still says what that takes.
    let price = Plan::price(&Inputs { available_bytes: 0, ..inputs }, &run(&[])).unwrap();
    assert_eq!(price.kept_layers(), 0);
}
