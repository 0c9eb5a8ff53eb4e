//! A small tokenizer for tests: one token a byte, and the special tokens that are asked for.

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use crate::engine::formats::TextTokenizer;

pub const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}\
     {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Byte-level tokenizer; `eos` is the last of the special tokens.
pub fn byte_tokenizer(special: &[&str], template: Option<&str>) -> TextTokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let vocab: Vec<(String, u32)> = alphabet.iter().zip(0..).map(|(c, id)| (c.to_string(), id)).collect();
    let model = BPE::builder().vocab_and_merges(tokenizers::models::bpe::Vocab::from_iter(vocab), vec![]);
    let mut tokenizer = Tokenizer::new(model.build().unwrap());
    // As GPT-2's: the post-processor cuts white space out of the offsets.
    let byte_level = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_post_processor(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    tokenizer.add_special_tokens(special.iter().map(|t| AddedToken::from(*t, true))).unwrap();
    let eos = special.last().map(|t| t.to_string());
    TextTokenizer {
        chat_template: template.map(str::to_string),
        named_templates: Vec::new(),
        bos_token: None,
        eos_id: eos.as_deref().and_then(|t| tokenizer.token_to_id(t)),
        eos_token: eos,
        pad_token: None,
        unk_token: None,
        bos_id: None,
        pad_id: None,
        adds_bos: false,
        adds_eos: false,
        vocab_size: 256 + special.len(),
        path: PathBuf::from("tokenizer.json"),
        tokenizer,
    }
}

/// A fixed time, so that templates that print the date are the same on every day.
pub fn now() -> jiff::ZonedDateTime {
    "2024-07-26T12:00:00+00:00[UTC]".parse().unwrap()
}

/// A file with this content in a folder of its own.
pub fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

/// Real rows (`LORA_STUDIO_DATA`, default `../shared/data`), or `None` with a word about it. CI requires them.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LORA_STUDIO_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    found([folder.join(name)])
}

/// The real model (in `LORA_STUDIO_PEERS`, default `~/.cache/lora-peers`) as a folder or a GGUF file, likewise.
pub fn smollm2() -> Option<PathBuf> {
    let folder = std::env::var_os("LORA_STUDIO_PEERS").map(PathBuf::from);
    let folder = folder.or_else(|| Some(dirs::home_dir()?.join(".cache/lora-peers")))?;
    found(["smollm2-hf", "SmolLM2-135M-Instruct.Q4_1.gguf"].map(|name| folder.join(name)))
}

fn found<const N: usize>(candidates: [PathBuf; N]) -> Option<PathBuf> {
    let missing = candidates[0].display().to_string();
    if let Some(path) = candidates.into_iter().find(|path| path.exists()) {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing} is required on CI");
    println!("skipped: there is no {missing}");
    None
}

/// The bytes, packed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut writer, bytes).unwrap();
    writer.finish().unwrap()
}
