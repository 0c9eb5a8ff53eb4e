//! Reading real models. The files are those that the comparison environment downloads; without them a test says
//! "skipped" and passes, except on CI.

#![allow(clippy::unwrap_used)] // a test

mod common;

use common::{peers, peers_folder};
use lora_studio::engine::formats::{self, ModelSource};
use sha2::{Digest, Sha256};

const GGUF: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

#[test]
fn smollm2_folder() {
    let Some(path) = peers_folder() else { return };
    let model = formats::open(&path).unwrap();
    assert_eq!(model.parameters().unwrap(), 134_515_008); // transformers: sum(p.numel() for p in model.parameters())
    assert_eq!((model.config.hidden, model.config.layers.len(), model.config.head_dim), (576, 30, 64));
    assert_eq!(model.config.ropes[0].theta, 1e5);
    assert!(model.config.tied && model.tensor("lm_head.weight").unwrap().is_none());
    let embedding = model.required("model.embed_tokens.weight").unwrap();
    assert_eq!(embedding.shape(), [49152, 576]);
    let facts = model.facts().unwrap();
    assert_eq!((facts.format, facts.dtype.as_str(), facts.total_bytes()), ("safetensors", "bfloat16", 269_060_552));
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!((tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id), (Some(1), Some(2), Some(2)));
    assert!(!tokenizer.adds_bos && !tokenizer.adds_eos);
    assert!(tokenizer.chat_template.as_deref().unwrap().starts_with("{% for message in messages %}"));
    assert_eq!(tokenizer.encode("<|im_start|>user\nHi", true).unwrap(), [1, 4093, 198, 26843]);
}

/// Every tensor of the GGUF is what transformers' own GGUF reader made of it before rounding it to bfloat16 (the folder).
#[test]
fn smollm2_gguf_holds_the_folders_weights() {
    let Some(gguf) = peers(GGUF) else { return };
    let gguf = formats::open(&gguf).unwrap();
    assert_eq!(gguf.facts().unwrap().quantization.describe(), "Q4_1 (GGUF)");
    assert_eq!(gguf.facts().unwrap().license.as_deref(), Some("apache-2.0"));
    assert_eq!(digest(&gguf), WEIGHTS);
    let Some(folder) = peers_folder() else { return };
    let folder = formats::open(&folder).unwrap();
    assert_eq!(digest(&folder), WEIGHTS);
    let (mut a, mut b) = (gguf.config.clone(), folder.config.clone());
    a.architecture.clear();
    b.architecture.clear();
    a.eos.retain(|id| *id == 2); // llama.cpp also stops at <|endoftext|>
    assert_eq!(a, b);
}

/// SHA-256 of all weights as bfloat16, in the decoder's order, as the folder has them.
const WEIGHTS: &str = "170dadceb01170d50b3230eef57f978e34bef33d55021e80c082755d187efc06";

fn digest(model: &ModelSource) -> String {
    let mut digest = Sha256::new();
    for (name, shape) in model.config.tensors() {
        let tensor = model.required(&name).unwrap();
        assert_eq!(tensor.shape(), shape, "{name}");
        tensor.to_bf16().iter().for_each(|value| digest.update(value.to_le_bytes()));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Expected ids: tests/reference/gguf_tokens.py.
#[test]
fn smollm2_gguf_gives_llama_cpps_ids() {
    let Some(path) = peers(GGUF) else { return };
    let tokenizer = formats::open(&path).unwrap().tokenizer().unwrap();
    let folder = peers_folder().map(|path| formats::open(path).unwrap().tokenizer().unwrap());
    let cases: serde_json::Value = serde_json::from_str(include_str!("fixtures/tokens/smollm2.json")).unwrap();
    let ids = |v: &serde_json::Value| -> Vec<u32> { serde_json::from_value(v.clone()).unwrap() };
    for case in cases.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, true).unwrap(), ids(&case["ids"]), "{text:?}");
        if let Some(folder) = &folder {
            let expected = case.get("transformers").unwrap_or(&case["ids"]);
            assert_eq!(folder.encode(text, true).unwrap(), ids(expected), "{text:?}");
        }
    }
}
