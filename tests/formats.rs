//! Reading real models. The files are those that the comparison environment downloads; without them a test says
//! "skipped" and passes, except on CI.

use std::path::PathBuf;

use lora_studio::engine::formats;

/// A file or folder of the comparison environment (`LORA_STUDIO_PEERS`, default `~/.cache/lora-peers`).
fn peers(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_PEERS").map(PathBuf::from);
    let root = root.or_else(|| Some(dirs::home_dir()?.join(".cache/lora-peers")))?;
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is required on CI", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

#[test]
fn smollm2_folder() {
    let Some(path) = peers("smollm2-hf") else { return };
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
