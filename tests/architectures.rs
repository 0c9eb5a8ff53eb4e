//! Every supported architecture against transformers and PEFT (tests/reference/architectures.py).

#![allow(clippy::unwrap_used)] // a test

mod common;

use common::{Expected, architecture, architectures, expected, load, load_as, relative_error, sample};
use lora_studio::engine::config::Quantization;
use lora_studio::engine::data::Batch;
use lora_studio::engine::formats;
use lora_studio::engine::model::{Checkpointing, Model, Workspace, WorkspaceSize};
use lora_studio::engine::ops::Compute;
use lora_studio::engine::peft::{Adapter, folder};

#[test]
fn configurations_of_transformers_4_and_5_say_the_same() {
    for name in architectures() {
        let folder = architecture(&name);
        let old = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("config.v4.json"), old.path().join("config.json")).unwrap();
        std::fs::copy(folder.join("model.safetensors"), old.path().join("model.safetensors")).unwrap();
        let (old, new) = (formats::open(old.path()).unwrap().config, formats::open(&folder).unwrap().config);
        assert_eq!(old, new, "{name}");
    }
}

/// A fixture's model and adapter, and what to expect.
fn fixture(name: &str, compute: Compute) -> (Model, Adapter, Expected) {
    let path = architecture(name);
    let model = load(&path, compute);
    let adapter = folder::read(&path.join("adapter"), &model.config).unwrap();
    assert_eq!(adapter.config.rank, 4);
    (model, adapter, expected(&path))
}

/// Every row alone, then all of them packed.
fn batches(rows: &[Vec<u32>]) -> Vec<(Batch, std::ops::Range<usize>)> {
    let samples: Vec<_> = rows.iter().map(|r| sample(r, 0)).collect();
    let alone = samples.iter().enumerate().map(|(i, s)| (Batch::of([s]), i..i + 1));
    alone.chain([(Batch::of(&samples), 0..rows.len())]).collect()
}

/// The largest difference of a token's likelihood, and of a row's mean.
fn differences(model: &Model, adapter: Option<&Adapter>, rows: &[Vec<u32>], expected: &[Vec<f64>]) -> (f64, f64) {
    let (mut token, mut mean) = (0.0f64, 0.0f64);
    for (batch, range) in batches(rows) {
        let mut ws = Workspace::for_inference(model, adapter, WorkspaceSize::of([&batch]));
        let nll = model.nll(&batch, adapter, &mut ws).unwrap();
        let mut nll = nll.into_iter();
        for row in &expected[range] {
            let ours: Vec<f64> = nll.by_ref().take(row.len()).map(f64::from).collect();
            assert_eq!(ours.len(), row.len());
            let total: f64 = ours.iter().zip(row).map(|(a, b)| a - b).sum();
            mean = mean.max((total / row.len() as f64).abs());
            token = ours.iter().zip(row).map(|(a, b)| (a - b).abs()).fold(token, f64::max);
        }
        assert_eq!(nll.next(), None);
    }
    (token, mean)
}

#[test]
fn likelihoods_equal_transformers() {
    for name in architectures() {
        let (model, adapter, expected) = fixture(&name, Compute::F32);
        let (token, mean) = differences(&model, None, &expected.rows, &expected.nll);
        let (adapted_token, adapted_mean) = differences(&model, Some(&adapter), &expected.rows, &expected.adapter_nll);
        let theirs = &expected.float32_error;
        println!(
            "{name}: token {token:.1e}, row {mean:.1e} (transformers' float32: {:.1e}); with adapter {adapted_token:.1e}, \
             {adapted_mean:.1e} ({:.1e})",
            theirs.nll, theirs.adapter_nll
        );
        assert!(token < 6e-5 && adapted_token < 6e-5, "{name}: {token:.1e}, with adapter {adapted_token:.1e}");
        assert!(mean < 1e-5 && adapted_mean < 1e-5, "{name}: {mean:.1e}, with adapter {adapted_mean:.1e}");
    }
}

/// The same weights are quantized as bitsandbytes quantizes, to the same numbers.
#[test]
fn likelihoods_in_nf4_equal_bitsandbytes() {
    for name in architectures() {
        let path = architecture(&name);
        let model = load_as(&path, Quantization::Nf4, Compute::F32);
        let expected = expected(&path);
        let (token, mean) = differences(&model, None, &expected.rows, &expected.nf4_nll);
        println!("{name}: token {token:.1e}, row {mean:.1e}");
        assert!(token < 5e-5 && mean < 1e-5, "{name}: token {token:.1e}, row {mean:.1e}");
    }
}

/// Gradients of the adapter for all rows, and the largest relative error of a tensor.
fn gradient_error(name: &str, compute: Compute) -> (f64, f64) {
    let (model, adapter, expected) = fixture(name, compute);
    let reference = architecture(name).join("gradients.safetensors");
    let reference = candle_core::safetensors::load(reference, &candle_core::Device::Cpu).unwrap();
    let all = batches(&expected.rows).pop().unwrap().0;
    let mut ws = Workspace::for_training(&model, &adapter, WorkspaceSize::of([&all]), &Checkpointing::None);
    let mut gradients = vec![0.0; adapter.params.len()];
    let loss = model.loss_and_gradients(&all, &adapter, 1.0, None, &mut gradients, &mut ws).unwrap();
    let total: f64 = expected.adapter_nll.concat().iter().sum();
    let mut worst = 0.0f64;
    for m in &adapter.modules {
        for (part, range) in [("lora_A", m.a_range()), ("lora_B", m.b_range())] {
            let tensor = format!("base_model.model.{}.{part}.weight", model.config.linear_path(m.layer, m.kind));
            let exact = reference[&tensor].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let exact: Vec<f64> = exact.into_iter().map(f64::from).collect();
            worst = worst.max(relative_error(&gradients[range], &exact));
        }
    }
    ((loss / total - 1.0).abs(), worst)
}

#[test]
fn adapter_gradients_equal_peft() {
    for name in architectures() {
        let (loss, gradient) = gradient_error(&name, Compute::F32);
        let theirs = expected(&architecture(&name)).float32_error.gradient;
        println!("{name}: loss {loss:.1e}, gradient {gradient:.1e} (PEFT's float32: {theirs:.1e})");
        assert!(loss < 1e-6, "{name}: {loss:.1e}");
        assert!(gradient < 1e-5, "{name}: {gradient:.1e}");
    }
}

/// With bfloat16 inputs, each is rounded by up to 2⁻⁹ = 0.2 %: the whole stays near.
#[test]
fn bfloat16_stays_near() {
    for name in architectures() {
        let (loss, gradient) = gradient_error(&name, Compute::Bf16);
        println!("{name}: loss {loss:.1e}, gradient {gradient:.1e}");
        assert!(loss < 0.002, "{name}: {loss:.1e}");
        assert!(gradient < 0.1, "{name}: {gradient:.1e}");
    }
}
