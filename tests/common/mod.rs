//! Where test data lies, and the architectures' fixtures (tests/reference/architectures.py made them).
#![allow(dead_code)] // every test binary uses its part of this

use std::path::{Path, PathBuf};

use lora_studio::engine::config::{Embeddings, Quantization};
use lora_studio::engine::data::Sample;
use lora_studio::engine::formats;
use lora_studio::engine::model::{LoadOptions, Model, ModelConfig};
use lora_studio::engine::ops::Compute;
use lora_studio::engine::peft::{Adapter, LoraConfig};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

/// Rows of tokens and what transformers and PEFT computed on them in float64.
#[derive(Deserialize)]
pub struct Expected {
    /// Random tokens.
    pub rows: Vec<Vec<u32>>,
    /// Negative log-likelihood of every token after the first, per row.
    pub nll: Vec<Vec<f64>>,
    /// The same with the linears in NF4, computed in float32.
    pub nf4_nll: Vec<Vec<f64>>,
    /// The same with the adapter, unquantized.
    pub adapter_nll: Vec<Vec<f64>>,
    /// How far transformers' own float32 numbers are from these.
    pub float32_error: Float32Error,
}

/// What float32 arithmetic reaches in another implementation.
#[derive(Deserialize)]
pub struct Float32Error {
    /// Largest absolute error of a likelihood.
    pub nll: f64,
    /// Largest absolute error of a likelihood with the adapter.
    pub adapter_nll: f64,
    /// Largest relative L2 error of a tensor's gradient.
    pub gradient: f64,
}

/// The folder of an architecture's fixture.
pub fn architecture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arch").join(name)
}

/// The names of all architectures' fixtures.
pub fn architectures() -> Vec<String> {
    let root = architecture("");
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 17, "{names:?}");
    names
}

/// What the reference computed.
pub fn expected(folder: &Path) -> Expected {
    serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap()
}

/// A file or folder of the comparison environment (`LORA_STUDIO_PEERS`, default `~/.cache/lora-peers`).
pub fn peers(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_PEERS").map(PathBuf::from);
    present(root.or_else(|| Some(dirs::home_dir()?.join(".cache/lora-peers")))?.join(name))
}

/// The real model as a Hugging Face folder. It takes PyTorch to make (smollm2_to_hf.py of the comparison environment), so
/// CI has only the GGUF, whose weights are the same.
pub fn peers_folder() -> Option<PathBuf> {
    let folder = peers("SmolLM2-135M-Instruct.Q4_1.gguf")?.with_file_name("smollm2-hf");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// A file of real rows (`LORA_STUDIO_DATA`, default `../shared/data`).
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_DATA").map(PathBuf::from);
    present(root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")).join(name))
}

/// Says which file a test was skipped for; on CI nothing may be skipped.
fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is required on CI", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(&a, &b)| (a as f64 - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    (difference / norm).sqrt()
}

/// The engine's model of a folder, unquantized.
pub fn load(folder: &Path, compute: Compute) -> Model {
    load_as(folder, Quantization::None, compute)
}

/// The engine's model of a folder.
pub fn load_as(folder: &Path, quantization: Quantization, compute: Compute) -> Model {
    let source = formats::open(folder).unwrap();
    let options = LoadOptions { quantization, double_quant: true, compute, embeddings: Embeddings::Memory };
    Model::load(&source, &options, &mut |_, _| true).unwrap()
}

/// A sample of which the tokens from `from` on are trained.
pub fn sample(tokens: &[u32], from: usize) -> Sample {
    Sample { tokens: tokens.to_vec(), trained: (0..tokens.len()).map(|i| i >= from).collect(), row: 0 }
}

/// Numbers of no pattern, from a seed.
pub struct Random(u64);

impl Random {
    /// The numbers of that seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number (SplitMix64, Steele et al. 2014).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in −1..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    /// Token ids below `vocab`.
    pub fn tokens(&mut self, n: usize, vocab: usize) -> Vec<u32> {
        (0..n).map(|_| (self.next() % vocab as u64) as u32).collect()
    }

    /// An adapter whose A and B are both far from zero.
    pub fn adapter(&mut self, model: &ModelConfig, config: LoraConfig) -> Adapter {
        let mut adapter = Adapter::zeros(model, config);
        for m in &adapter.modules {
            let scale = (3.0 / m.in_features as f32).sqrt();
            adapter.params[m.a_range()].iter_mut().for_each(|a| *a = scale * self.unit());
            adapter.params[m.b_range()].iter_mut().for_each(|b| *b = 0.17 * self.unit());
        }
        adapter
    }
}

/// A random Llama large enough that every kernel is split into blocks and over threads: layers of 320 features, 5 query
/// heads of 64 on one key and value head, 864 in the feed-forward, 1,003 tokens.
pub fn write_wide_model(folder: &Path, layers: usize) {
    let (hidden, heads, head, middle, vocab) = (320, 5, 64, 864, 1003);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": middle,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 1, "head_dim": head,
        "vocab_size": vocab, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "max_position_embeddings": 2048, "tie_word_embeddings": false, "torch_dtype": "float32",
        "bos_token_id": 1, "eos_token_id": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens".to_string(), vec![vocab, hidden]),
        ("lm_head".to_string(), vec![vocab, hidden]),
        ("model.norm".to_string(), vec![hidden]),
    ];
    for layer in 0..layers {
        let linears = [
            ("self_attn.q_proj", heads * head, hidden),
            ("self_attn.k_proj", head, hidden),
            ("self_attn.v_proj", head, hidden),
            ("self_attn.o_proj", hidden, heads * head),
            ("mlp.gate_proj", middle, hidden),
            ("mlp.up_proj", middle, hidden),
            ("mlp.down_proj", hidden, middle),
        ];
        let norms = ["input_layernorm", "post_attention_layernorm"];
        shapes.extend(linears.map(|(name, out, input)| (format!("model.layers.{layer}.{name}"), vec![out, input])));
        shapes.extend(norms.map(|name| (format!("model.layers.{layer}.{name}"), vec![hidden])));
    }
    let mut random = Random::new(320);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            // Uniform numbers of variance 1/3: embeddings and norms of size 1, outputs of linears too, logits of ±4.
            let (centre, scale) = match shape[..] {
                [_] => (1.0, 0.5),
                _ if name == "model.embed_tokens" => (0.0, 1.7),
                [_, input] => (0.0, (3.0 / input as f32).sqrt() * if name == "lm_head" { 4.0 } else { 1.3 }),
                _ => unreachable!(),
            };
            let count = shape.iter().product();
            let bytes = (0..count).flat_map(|_| (centre + scale * random.unit()).to_le_bytes()).collect();
            (name + ".weight", shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(n, s, d)| (n, TensorView::new(Dtype::F32, s.clone(), d).unwrap()));
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}
