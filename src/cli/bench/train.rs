//! `bench train`: steps on real rows, laid out as the Python benchmark of PEFT does: chat-formatted rows one after the
//! other, cut into full sequences, the loss on every token. No padding, so every token is work.

use std::time::Instant;

use serde::Serialize;

use super::{Args, median};
use crate::cli::model::{expanded, load_with, open_model};
use crate::cli::output::{Failure, bytes, duration, json, note, say};
use crate::engine::Error;
use crate::engine::config::{self, DataConfig, Embeddings};
use crate::engine::data::{Batch, Encoder, Example, Reading, Sample, Source};
use crate::engine::formats::TextTokenizer;
use crate::engine::memory::{Item, Plan, Program, heap, process};
use crate::engine::model::{Checkpointing, Layout, Workspace, WorkspaceSize};
use crate::engine::ops::adamw::AdamW;
use crate::engine::ops::dropout::DropoutKey;
use crate::engine::peft::Adapter;
use crate::engine::train::Optimizer;

/// Steps before those that count: the first touches every buffer, the second finds them warm.
const WARM_UP: usize = 2;
/// Steps that count, unless told otherwise.
const STEPS: u32 = 8;
/// PEFT's usual rate, and that of the benchmark it is compared with.
const LEARNING_RATE: f64 = 2e-4;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Measured {
    tok_s: f64,
    step_s: f64,
    first_step_s: f64,
    plan_bytes: u64,
    peak_memory_bytes: u64,
    /// Of them what is allocated, as planned and as counted.
    planned_allocated_bytes: u64,
    allocated_bytes: u64,
    peak_rss_mb: u64,
    losses: Vec<f64>,
    config: serde_json::Value,
}

pub(super) fn run(args: &Args, process_started: Instant) -> Result<(), Failure> {
    let source = open_model(&args.model)?;
    let tokenizer = source.tokenizer()?;
    let (seq, batch) = (args.seq as usize, args.batch as usize);
    let steps = args.steps.unwrap_or(STEPS) as usize + WARM_UP;
    let tokens = chat_tokens(args, &tokenizer, seq * batch * steps)?;

    let program = Program::measured();
    let mut adapter = Adapter::new(&source.config, args.lora(&source.config), 0)?;
    let options = args.load_options(Embeddings::Memory);
    let model = load_with(&source, &options)?;
    drop(source); // its mapped pages would count as the run's memory
    let keep = match args.checkpointing {
        config::Checkpointing::PerLayer => Checkpointing::PerLayer,
        // A benchmark of the fastest way: what is measured must not depend on what else runs.
        config::Checkpointing::None | config::Checkpointing::Auto => Checkpointing::None,
    };
    let size = WorkspaceSize { tokens: seq * batch, longest: seq, supervised: (seq - 1) * batch };
    let layout = Layout::for_training(&model.config, model.compute, &adapter, size, &keep);
    let layout = layout.offload(args.checkpoint_offload).chunk_logits(model.config.vocab, args.logits_chunk as usize);
    // What reading took and has freed goes back, and the largest that follows is measured from here on.
    heap::give_back();
    heap::take_peak();
    let mut plan = Plan::of_step(&model, &adapter, args.optimizer, &layout, batch, program);
    plan.buffers.retain(|b| b.item != Item::Files); // neither a model's files nor checkpoints are gone through
    let (plan_bytes, planned_allocated_bytes) = (plan.total(), plan.allocated());
    let scratch = std::env::temp_dir();
    let mut workspace = Workspace::new(&model.config, layout, &scratch)?;
    plan.reserve();

    let mut grads = vec![0.0; adapter.params.len()];
    let constants = AdamW { weight_decay: 0.01, ..AdamW::default() };
    let mut optimizer = Optimizer::new(args.optimizer, constants, adapter.tensor_sizes(), &scratch)?;
    let (mut losses, mut times, mut first_step_s) = (Vec::new(), Vec::new(), 0.0);
    for (step, ids) in tokens.chunks_exact(seq * batch).take(steps).enumerate() {
        let begun = Instant::now();
        let samples: Vec<Sample> = ids.chunks_exact(seq).enumerate().map(|(row, ids)| all_trained(ids, row)).collect();
        let laid = Batch::of(&samples);
        let scale = 1.0 / laid.targets.len() as f32;
        let dropout = DropoutKey { seed: 0, step: step as u64, micro: 0, layer: 0, module: 0 };
        grads.fill(0.0);
        let sum = model.loss_and_gradients(&laid, &adapter, scale, Some(dropout), &mut grads, &mut workspace)?;
        // Without clipping, as the benchmark of PEFT.
        optimizer.step(&mut adapter.params, &grads, 0.0, 0.0, LEARNING_RATE)?;
        let loss = sum / laid.targets.len() as f64;
        if !loss.is_finite() {
            let what = "the loss";
            return Err(Error::NotFinite { what, step: step + 1, kept: "a benchmark keeps nothing".into() }.into());
        }
        losses.push((loss * 1e4).round() / 1e4);
        if step == 0 {
            first_step_s = process_started.elapsed().as_secs_f64();
        }
        if step >= WARM_UP {
            times.push(begun.elapsed().as_secs_f64());
        }
        if !args.json {
            note(format!("step {:>3}  loss {loss:.4}  {}", step + 1, duration(begun.elapsed().as_secs_f64())));
        }
    }
    let step_s = median(&times);
    let peak = process::peak_resident_bytes();
    let measured = Measured {
        tok_s: rounded((seq * batch) as f64 / step_s, 1),
        step_s: rounded(step_s, 4),
        first_step_s: rounded(first_step_s, 2),
        plan_bytes,
        planned_allocated_bytes,
        allocated_bytes: heap::take_peak(),
        peak_memory_bytes: peak,
        peak_rss_mb: peak >> 20,
        losses,
        config: settings(args),
    };
    if args.json {
        return json(&measured);
    }
    say(format!("speed       {:.1} tokens/s ({} a step of {} tokens)", measured.tok_s, duration(step_s), seq * batch))?;
    say(format!("first step  {} after the program began", duration(first_step_s)))?;
    say(format!("memory      {} planned, {} at most in the process", bytes(plan_bytes), bytes(peak)))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

/// The arguments, for whoever keeps the line.
fn settings(args: &Args) -> serde_json::Value {
    serde_json::json!({
        "model": args.model, "data": args.data(), "seq": args.seq, "batch": args.batch, "steps": args.steps.unwrap_or(STEPS),
        "rank": args.rank, "quantization": args.quantization, "compute": args.compute,
        "embeddings": args.embeddings.unwrap_or_default(),
        "checkpointing": args.checkpointing, "checkpoint_offload": args.checkpoint_offload, "logits_chunk": args.logits_chunk,
        "optimizer": args.optimizer, "dropout": args.dropout, "threads": rayon::current_num_threads(),
    })
}

/// A sequence whose every token is a target. The first of a sequence is predicted by nothing.
fn all_trained(ids: &[u32], row: usize) -> Sample {
    Sample { tokens: ids.to_vec(), trained: vec![true; ids.len()], row }
}

/// The rows' conversations as tokens, one after the other, until there are `needed`.
fn chat_tokens(args: &Args, tokenizer: &TextTokenizer, needed: usize) -> Result<Vec<u32>, Failure> {
    let rows = Source::find(&expanded(args.data()))?;
    let encoder = Encoder::new(tokenizer, jiff::ZonedDateTime::now())?;
    let mut ids = Vec::with_capacity(needed);
    // Small files are gone through again: for a benchmark, tokens are tokens.
    while ids.len() < needed {
        let before = ids.len();
        let mut chosen: Option<Reading> = None;
        for row in rows.rows()? {
            let row = row?;
            let wrong = |message: String| Error::Row { path: rows.path().to_path_buf(), line: row.line, message };
            let reading = match &mut chosen {
                Some(reading) => reading,
                None => chosen.insert(Reading::choose(&DataConfig::default(), &[&row.fields]).map_err(wrong)?),
            };
            let example = reading.read(&row.fields).map_err(wrong)?;
            let encoded = match &example {
                Example::Conversation(c) => encoder.prompt(&c.messages, false)?,
                Example::Document(text) => tokenizer.encode(text, true)?,
            };
            ids.extend(encoded);
            if ids.len() >= needed {
                break;
            }
        }
        if ids.len() == before {
            return Err(Error::file("the data set is empty: it has no rows", rows.path()).into());
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_predicts_all_but_its_first_token() {
        let batch = Batch::of(&[all_trained(&[5, 6, 7], 0), all_trained(&[8, 9, 10], 1)]);
        assert_eq!(batch.targets, [(0, 6), (1, 7), (3, 9), (4, 10)]);
        assert_eq!(rounded(1.23456, 2), 1.23);
    }
}
