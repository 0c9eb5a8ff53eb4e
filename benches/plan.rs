//! What repricing a run costs: `cargo bench --bench plan`. The goal: a model of 80 layers in 50 µs, so that every slider
//! reprices in the frame.

use std::hint::black_box;
use std::time::Instant;

use lora_studio::engine::config::RunConfig;
use lora_studio::engine::formats::{DenseType, StoredWeights};
use lora_studio::engine::memory::heap::Counting;
use lora_studio::engine::memory::{Inputs, Machine, Plan, Program, fit, table};

/// As in the program.
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

const ROUNDS: usize = 2000;

fn main() {
    let model = table::largest_known();
    let stored = StoredWeights::dense(&model, DenseType::Bf16);
    let inputs = Inputs {
        model: &model,
        stored: &stored,
        adapter: None,
        rows: None,
        available_bytes: 40 << 30,
        program: Program::default(),
        machine: Machine::this(),
    };
    let mut run = RunConfig::default();
    run.sample.prompts = vec!["How are you?".into(); 4];
    for (what, sequence, batch) in [("1 × 512", 512, 1), ("8 × 2048", 2048, 8)] {
        run.data.max_seq_len = sequence;
        run.train.batch_size = batch;
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                black_box(Plan::price(black_box(&inputs), black_box(&run)).map_or(0, |price| price.plan.needed()));
                begun.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (median, p99) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        println!("plan of {} layers, {what}: median {median:.1} µs, p99 {p99:.1} µs", model.layers.len());
        let begun = Instant::now();
        black_box(fit::make_it_fit(&inputs, &run));
        println!("  a way to make it fit: {:.0} µs", begun.elapsed().as_secs_f64() * 1e6);
    }
    let begun = Instant::now();
    black_box(table::hardware_table(Program::default(), Machine::this()));
    println!("the hardware table: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}
