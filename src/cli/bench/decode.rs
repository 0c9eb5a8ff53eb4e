//! `bench decode`: greedy tokens one after the other, as the Python benchmark of llama.cpp measures them.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::{Args, median};
use crate::cli::model::{load_with, open_model};
use crate::cli::output::{Failure, bytes, grouped, json, say};
use crate::engine::config::Embeddings;
use crate::engine::generate::{Footprint, Request, Sampling, generate};
use crate::engine::memory::{Program, process};
use crate::engine::peft::{Adapter, AdapterShape};

/// Tokens that are decoded, unless told otherwise.
const TOKENS: u32 = 200;
/// The first of four runs does not count.
const RUNS: usize = 4;
const PROMPT: &str = "Once upon a time";
/// Tokens of the prompts that the speed of reading prompts is measured with.
const PREFILL: usize = 512;

#[derive(Serialize)]
struct Measured {
    decode_tok_s: f64,
    prefill_tok_s: f64,
    tokens: usize,
    batch: usize,
    plan_bytes: u64,
    peak_memory_bytes: u64,
    peak_rss_mb: u64,
    config: serde_json::Value,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let source = open_model(&args.model)?;
    let prompt = source.tokenizer()?.encode(PROMPT, false)?;
    let program = Program::measured();
    let options = args.load_options(Embeddings::File);
    let model = load_with(&source, &options)?;
    let tokens = (args.steps.unwrap_or(TOKENS) as usize).min(model.config.max_positions - prompt.len());
    let batch = args.batch as usize;
    // Nothing stops an answer: every run decodes the same number of tokens.
    let request = Request {
        tokens: prompt,
        adapted: false,
        max_new_tokens: tokens,
        sampling: Sampling::greedy(),
        stop: Vec::new(),
    };
    let adapter = args.adapted.then(|| Adapter::new(&model.config, args.lora(&model.config), 0)).transpose()?;
    let requests: Vec<Request> = (0..batch)
        .map(|i| Request { adapted: args.adapted && (i % 2 == 1 || batch == 1), ..request.clone() })
        .collect();
    let shape = adapter.as_ref().map(AdapterShape::of).unwrap_or_default();
    let session = |prompt, new| {
        let (cache, buffers) = Footprint::session(&model.config, &shape, model.compute, (batch, prompt, new));
        let all = prompt + new;
        cache
            + buffers
            + Footprint::of_a_prompt(&model.config, model.compute, (prompt, all), rayon::current_num_threads())
    };
    let prefilled = PREFILL.min(model.config.max_positions - 1);
    let sessions = session(request.tokens.len(), tokens).max(session(prefilled, 1));
    let planned = program.resident + model.bytes() as u64 + 4 * shape.parameters + sessions;
    let (mut decode, mut prefill) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let generated = generate(&model, adapter.as_ref(), &requests, &mut |_, _| {}, &AtomicBool::new(false))?;
        if run > 0 {
            // The first token of each sequence comes with the prompt.
            let after = generated.new_tokens.saturating_sub(batch) as f64;
            decode.push(after / generated.decode_seconds.max(1e-9));
        }
    }
    let read = |request: Request| {
        let tokens: Vec<u32> = request.tokens.iter().copied().cycle().take(prefilled).collect();
        Request { tokens, max_new_tokens: 1, ..request }
    };
    let requests: Vec<Request> = requests.into_iter().map(read).collect();
    for run in 0..RUNS {
        let generated = generate(&model, adapter.as_ref(), &requests, &mut |_, _| {}, &AtomicBool::new(false))?;
        if run > 0 {
            prefill.push(generated.prompt_tokens as f64 / generated.prefill_seconds.max(1e-9));
        }
    }
    let peak = process::peak_resident_bytes();
    let rounded = |x: f64| (10.0 * x).round() / 10.0;
    let measured = Measured {
        decode_tok_s: rounded(median(&decode)),
        prefill_tok_s: rounded(median(&prefill)),
        tokens,
        batch,
        plan_bytes: planned,
        peak_memory_bytes: peak,
        peak_rss_mb: peak >> 20,
        config: serde_json::json!({
            "model": args.model, "quantization": args.quantization, "compute": args.compute, "embeddings": options.embeddings,
            "adapted": args.adapted,
            "threads": rayon::current_num_threads(),
        }),
    };
    if args.json {
        return json(&measured);
    }
    say(format!(
        "decode   {:.1} tokens/s, {} tokens in {batch} at once",
        measured.decode_tok_s,
        grouped(tokens as u64)
    ))?;
    say(format!("prefill  {:.1} tokens/s", measured.prefill_tok_s))?;
    say(format!("memory   {} planned, {} at most in the process", bytes(planned), bytes(peak)))
}
