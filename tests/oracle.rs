//! The engine's hand-written backward against autograd, and what must hold between ways to compute the same gradient.

#![allow(clippy::unwrap_used)] // a test

mod common;
#[path = "oracle/mod.rs"]
mod decoder;

use std::path::Path;

use common::{architecture, architectures, expected};
use decoder::Oracle;
use lora_studio::engine::data::{Batch, Sample};
use lora_studio::engine::formats;
use lora_studio::engine::model::ModelConfig;
use lora_studio::engine::peft::{Adapter, LoraConfig};

/// The fixture's adapter, read without the engine's reader.
fn fixture_adapter(folder: &Path, config: &ModelConfig) -> Adapter {
    let lora = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets: config.linears().to_vec() };
    let mut adapter = Adapter::zeros(config, lora);
    adapter.params = flat(&folder.join("adapter/adapter_model.safetensors"), config, &adapter);
    adapter
}

/// The tensors of a PEFT file in the order of [`Adapter::params`].
fn flat(file: &Path, config: &ModelConfig, adapter: &Adapter) -> Vec<f32> {
    let tensors = candle_core::safetensors::load(file, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors.len(), 2 * adapter.modules.len());
    let mut values = vec![f32::NAN; adapter.params.len()];
    for m in &adapter.modules {
        for (part, range) in [("lora_A", m.a_range()), ("lora_B", m.b_range())] {
            let name = format!("base_model.model.{}.{part}.weight", config.linear_path(m.layer, m.kind));
            let tensor = tensors.get(&name).unwrap_or_else(|| panic!("no tensor {name}"));
            values[range].copy_from_slice(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }
    values
}

/// All tokens of a row trained.
fn sample(tokens: &[u32]) -> Sample {
    Sample { tokens: tokens.to_vec(), trained: vec![true; tokens.len()], row: 0 }
}

#[test]
fn autograd_agrees_with_transformers() {
    for name in architectures() {
        let folder = architecture(&name);
        let config = formats::open(&folder).unwrap().config;
        let adapter = fixture_adapter(&folder, &config);
        let oracle = Oracle::new(&folder, &config, &adapter).unwrap();
        let expected = expected(&folder);
        let batch = Batch::of(expected.rows.iter().map(|r| sample(r)).collect::<Vec<_>>().iter());
        let nll = oracle.nll(&batch).unwrap();
        let reference = expected.adapter_nll.concat();
        assert_eq!(nll.len(), reference.len());
        let worst = nll.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let (_, gradients) = oracle.loss_and_gradients(&batch).unwrap();
        let reference = flat(&folder.join("gradients.safetensors"), &config, &adapter);
        let mut error: f64 = 0.0;
        for m in &adapter.modules {
            for range in [m.a_range(), m.b_range()] {
                error = error.max(common::relative_error(&reference[range.clone()], &gradients[range]));
            }
        }
        println!("{name}: likelihood {worst:.1e}, gradient {error:.1e}");
        // Both in float64; settings such as the norms' ε are float32 in the engine's configuration.
        assert!(worst < 1e-6, "{name}: likelihoods differ by {worst:.1e}");
        assert!(error < 2e-7, "{name}: gradients differ by {error:.1e}");
    }
}
