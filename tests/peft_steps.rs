//! Training SmolLM2-135M-Instruct from the command line for 24 steps: the same losses and gradient norms as transformers
//! + PEFT + bitsandbytes from the same bytes, initial adapter and order (tests/reference/peft_steps.py says how).
#![allow(clippy::unwrap_used)] // a test

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use lora_studio::engine::formats;
use lora_studio::engine::train::Event;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

const GGUF: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The order in which PEFT's modules are numbered for their initial values.
const LINEARS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];
const RANK: usize = 16;

#[derive(Deserialize)]
struct Reference {
    tokens: Vec<u64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    source: String,
    quantization: String,
    compute: String,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
}

/// One model at a time: they share the machine's memory and cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The initial A of a module, as `initial_a` in the script computes it.
fn initial_a(module: usize, rows: usize, cols: usize) -> Vec<f32> {
    let scale = (1.0 / (cols as f64).sqrt()) as f32;
    let value = |i: u64| {
        // SplitMix64 (Steele et al. 2014), the upper 24 bits.
        let z = (((module as u64) << 32) + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let u = ((z ^ (z >> 31)) >> 40) as f32;
        (u / (1 << 23) as f32 - 1.0) * scale
    };
    (0..(rows * cols) as u64).map(value).collect()
}

/// Writes the initial adapter as a PEFT folder.
fn write_initial_adapter(folder: &Path, model: &Path) {
    let config = formats::open(model).unwrap().config;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for layer in 0..config.layers.len() {
        for (index, linear) in LINEARS.iter().enumerate() {
            let kind = config.linears()[index];
            assert!(linear.ends_with(kind.name()));
            let (out, input) = config.linear_shape(kind);
            let a = initial_a(layer * LINEARS.len() + index, RANK, input);
            let name = |part| format!("base_model.model.model.layers.{layer}.{linear}.{part}.weight");
            tensors.push((name("lora_A"), vec![RANK, input], a.iter().flat_map(|v| v.to_le_bytes()).collect()));
            tensors.push((name("lora_B"), vec![out, RANK], vec![0; 4 * out * RANK]));
        }
    }
    let views = tensors.iter().map(|(n, s, d)| (n, TensorView::new(Dtype::F32, s.clone(), d).unwrap()));
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    std::fs::create_dir(folder).unwrap();
    let file = folder.join("adapter_model.safetensors");
    std::fs::write(file, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    let names = LINEARS.map(|l| l.rsplit('.').next().unwrap());
    let json = serde_json::json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": RANK, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none", "target_modules": names,
    });
    std::fs::write(folder.join("adapter_config.json"), json.to_string()).unwrap();
}

/// The first `n` rows of GSM8K as text.
fn write_rows(file: &Path, gsm8k: &Path, n: usize) {
    let rows = std::fs::read_to_string(gsm8k).unwrap();
    let text = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = format!("{}\n{}", row["question"].as_str().unwrap(), row["answer"].as_str().unwrap());
        serde_json::json!({ "text": text }).to_string() + "\n"
    };
    std::fs::write(file, rows.lines().take(n).map(text).collect::<String>()).unwrap();
}

/// Trains as the reference did; returns its steps' losses, gradient norms and tokens.
fn train(model: &Path, quantization: &str, compute: &str, gsm8k: &Path, steps: usize) -> Vec<(f64, f64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let adapter = dir.path().join("initial");
    write_initial_adapter(&adapter, model);
    let rows = dir.path().join("rows.jsonl");
    write_rows(&rows, gsm8k, steps);
    let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
    let run = format!(
        "[model]\nsource = {}\nquantization = {quantization:?}\ndouble_quant = true\ncompute = {compute:?}\n\
         [data]\ntrain = {}\nformat = \"text\"\nloss_on = \"all\"\nmax_seq_len = 1024\npacking = false\nshuffle = false\n\
         [method]\nrank = {RANK}\nalpha = 32\ndropout = 0.0\ntarget_modules = \"all-linear\"\ninit_from = {}\n\
         [train]\nmax_steps = {steps}\nbatch_size = 1\ngrad_accumulation = 1\nlearning_rate = 2e-4\n\
         schedule = \"constant\"\nwarmup_ratio = 0.0\nweight_decay = 0.0\nmax_grad_norm = 1.0\n\
         [sample]\nevery = 0\nprompts = []\n[output]\ndir = {}\nsave_every = 0\n",
        quoted(model),
        quoted(&rows),
        quoted(&adapter),
        quoted(&dir.path().join("run"))
    );
    let file = dir.path().join("run.toml");
    std::fs::write(&file, run).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_lora-studio")).arg("train").arg(&file).arg("--json").output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let events = stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let step = |event| match event {
        Event::Step { loss, grad_norm, tokens, .. } => Some((loss, grad_norm, tokens)),
        _ => None,
    };
    events.filter_map(step).collect()
}

/// The largest relative difference of two courses.
fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max)
}

/// Trains and compares with the reference of `like`; `loss` and `norm` are the allowed relative differences.
fn compare(model: Option<PathBuf>, quantization: &str, compute: &str, like: [&str; 3], loss: f64, norm: f64) {
    let (Some(model), Some(gsm8k)) = (model, common::data("gsm8k_train.jsonl")) else { return };
    let reference: Reference = serde_json::from_str(include_str!("fixtures/peft_steps.json")).unwrap();
    let find = |like: [&str; 3]| {
        let case = |c: &&Case| [&*c.source, &*c.quantization, &*c.compute] == like;
        reference.cases.iter().find(case).unwrap_or_else(|| panic!("no reference {like:?}"))
    };
    let case = find(like);
    let steps = {
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
        train(&model, quantization, compute, &gsm8k, case.losses.len())
    };
    assert_eq!(steps.iter().map(|s| s.2).collect::<Vec<_>>(), reference.tokens);
    let (losses, norms): (Vec<f64>, Vec<f64>) = steps.iter().map(|s| (s.0, s.1)).unzip();
    for i in 0..steps.len() {
        let theirs = (case.losses[i], case.grad_norms[i]);
        println!("{:2}  loss {:.5} {:.5}  gradient norm {:.5} {:.5}", i + 1, losses[i], theirs.0, norms[i], theirs.1);
    }
    let off = (difference(&losses, &case.losses), difference(&norms, &case.grad_norms));
    println!("{quantization} {compute} against {like:?}: loss {:.1e}, gradient norm {:.1e}", off.0, off.1);
    assert!(off.0 < loss, "a loss differs by {:.1e}", off.0);
    assert!(off.1 < norm, "a gradient norm differs by {:.1e}", off.1);
    if compute == "bf16" && like[2] == "f32" {
        // How far transformers' own run in this type is from exact arithmetic.
        let theirs = find([like[0], like[1], "bf16"]);
        let theirs = (difference(&theirs.losses, &case.losses), difference(&theirs.grad_norms, &case.grad_norms));
        println!("PEFT in bf16 against the same: loss {:.1e}, gradient norm {:.1e}", theirs.0, theirs.1);
        assert!(off.0 < theirs.0 && off.1 < theirs.1, "further from exact arithmetic than PEFT");
    }
}

#[test]
fn nf4_f32() {
    compare(common::peers(GGUF), "nf4", "f32", ["gguf", "nf4", "f32"], 3e-4, 1e-3);
}

#[test]
fn nf4_bf16() {
    compare(common::peers(GGUF), "nf4", "bf16", ["gguf", "nf4", "bf16"], 1e-2, 2e-2);
}

#[test]
fn unquantized_f32() {
    compare(common::peers(GGUF), "none", "f32", ["gguf", "none", "f32"], 3e-4, 1e-3);
}

/// Without quantization, transformers keeps the residual stream, norms and loss in bf16 too and is up to 4 % off its own
/// f32 losses; here only the inputs of products are bf16. So the reference is f32.
#[test]
fn unquantized_bf16() {
    compare(common::peers(GGUF), "none", "bf16", ["gguf", "none", "f32"], 3e-3, 5e-2);
}

/// The GGUF's own blocks, dequantized on the fly, are the same numbers.
#[test]
fn blocks_kept_f32() {
    compare(common::peers(GGUF), "keep", "f32", ["gguf", "none", "f32"], 3e-4, 1e-3);
}

#[test]
fn folder_nf4_f32() {
    compare(common::peers_folder(), "nf4", "f32", ["hf", "nf4", "f32"], 3e-4, 1e-3);
}

/// Against f32, and nearer to it than PEFT in bf16.
#[test]
fn folder_nf4_bf16() {
    compare(common::peers_folder(), "nf4", "bf16", ["hf", "nf4", "f32"], 1e-2, 5e-2);
}

#[test]
fn folder_unquantized_f32() {
    compare(common::peers_folder(), "none", "f32", ["hf", "none", "f32"], 3e-4, 1e-3);
}
