//! What loading a model takes at most: the packed weights, one tensor, and little more.
//!
//! Each model is loaded in a process of its own, because what the whole process holds is looked at.
//! `LORA_STUDIO_LOAD=FOLDER_OR_FILE LORA_STUDIO_QUANTIZATION=nf4 cargo test --release --test loading -- --ignored --nocapture`
//! measures another model.

#![allow(clippy::unwrap_used)] // a test

mod common;

use std::path::Path;
use std::process::Command;

use common::{peers, peers_folder};
use lora_studio::engine::config::RunConfig;
use lora_studio::engine::formats::{self, StoredWeights};
use lora_studio::engine::memory::heap::{self, Counting};
use lora_studio::engine::memory::process;
use lora_studio::engine::model::{LoadOptions, Model};

/// As in the program.
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// What may be taken beside the packed weights and a tensor.
const BESIDE: u64 = 150_000_000;

/// Loads the model in a process of its own, in each quantization.
fn check(model: &Path, quantizations: &[&str]) {
    for quantization in quantizations {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "of_the_named_model", "--ignored", "--nocapture"]);
        child.env("LORA_STUDIO_LOAD", model).env("LORA_STUDIO_QUANTIZATION", quantization);
        let done = child.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
        let line = said.lines().find(|line| line.contains("beside"));
        println!("{}", line.expect("the child measured nothing"));
    }
}

#[test]
fn loading_takes_the_packed_weights_one_tensor_and_150_megabytes_at_most() {
    if let Some(folder) = peers_folder() {
        check(&folder, &["nf4", "none"]);
    }
    if let Some(file) = peers("SmolLM2-135M-Instruct.Q4_1.gguf") {
        check(&file, &["nf4", "none", "keep"]);
    }
}

#[test]
#[ignore = "measures the model that LORA_STUDIO_LOAD names, alone in its process"]
fn of_the_named_model() {
    let model = std::env::var("LORA_STUDIO_LOAD").unwrap();
    let mut run = RunConfig::default();
    run.set(&format!("model.quantization={}", std::env::var("LORA_STUDIO_QUANTIZATION").unwrap())).unwrap();
    let options = LoadOptions::of_run(&run.model);
    let source = formats::open(&model).unwrap();
    let (_, tensor) = options.reading_bytes(&StoredWeights::of(&source).unwrap());
    heap::take_peak();
    let (allocated, held) = (heap::live_bytes(), process::resident_bytes());
    let loaded = Model::load(&source, &options, &mut |_, _| true).unwrap();
    let packed = loaded.bytes() as u64;
    let allocated = heap::take_peak() - allocated;
    // What was held before counts as well where the peak was earlier: never too little.
    let held = process::peak_resident_bytes().saturating_sub(held);
    let beside = |bytes: u64| (bytes as f64 - (packed + tensor) as f64) / 1e6;
    println!(
        "{model} {:?}: packed {:.1} MB, one tensor {:.1}; allocated at most {:.1}, {:+.1} beside both; held {:.1}, {:+.1}",
        options.quantization,
        packed as f64 / 1e6,
        tensor as f64 / 1e6,
        allocated as f64 / 1e6,
        beside(allocated),
        held as f64 / 1e6,
        beside(held),
    );
    assert!(allocated.max(held) <= packed + tensor + BESIDE, "{allocated} {held}: {packed} {tensor}");
    // Less than what is there in the end would be a wrong measurement.
    assert!(allocated >= packed && (held == 0 || held as f64 > 0.9 * packed as f64), "{allocated} {held} {packed}");
}
