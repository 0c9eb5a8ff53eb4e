//! Against the files of tests/reference/gguf_models.py, which llama.cpp computes like transformers.

use std::path::{Path, PathBuf};

use half::bf16;

use super::testing::{entry, file, text};
use super::*;
use crate::engine::formats::hf::json::Json;
use crate::engine::formats::safetensors::SafetensorsFile;
use crate::engine::formats::{ModelSource, open};
use crate::engine::model::{RopeConfig, RopeScaling};

const NAMES: [&str; 14] = [
    "llama",
    "llama-bias",
    "llama3-rope",
    "llama-headdim",
    "llama-linear",
    "llama-yarn",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "phi3",
    "phi3-longrope",
    "smollm3",
];

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn gguf(name: &str) -> ModelSource {
    open(fixtures("gguf").join(format!("{name}.gguf"))).unwrap()
}

/// Numbers of a rotary embedding, those that the file holds in 32 bits rounded so.
fn rope_numbers(rope: &RopeConfig) -> Vec<f64> {
    let single = |x: f64| f64::from(x as f32);
    let mut numbers = vec![single(rope.theta), rope.dims as f64];
    match &rope.scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => numbers.push(single(*factor)),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, attention_factor, truncate } => {
            numbers.extend([*factor, *beta_fast, *beta_slow, *attention_factor].map(single));
            numbers.extend([*original_max_positions as f64, f64::from(u8::from(*truncate))]);
        }
        RopeScaling::LongRope { short_factor, long_factor, original_max_positions, attention_factor } => {
            numbers.extend(short_factor.iter().chain(long_factor).map(|f| single(*f)));
            numbers.extend([*original_max_positions as f64, single(*attention_factor)]);
        }
        // Written out as factors; compared on their own.
        RopeScaling::Llama3 { .. } | RopeScaling::Factors(_) => {}
    }
    numbers
}

#[test]
fn metadata_says_what_config_json_says() {
    for name in NAMES {
        let mut ours = gguf(name).config;
        let json = Json::read(&fixtures("gguf").join(format!("{name}.json"))).unwrap();
        let mut theirs = crate::engine::formats::hf::model_config(&json).unwrap();
        let ropes = |c: &ModelConfig| c.ropes.iter().map(rope_numbers).collect::<Vec<_>>();
        assert_eq!(ropes(&ours), ropes(&theirs), "{name}");
        for config in [&mut ours, &mut theirs] {
            config.ropes.clear();
            config.architecture.clear();
            // These files have no tokens.
            (config.bos, config.pad) = (None, None);
            config.eos.clear();
        }
        assert_eq!(ours, theirs, "{name}");
    }
}

/// transformers' `_compute_llama3_parameters`, in f64.
#[test]
fn llama3_frequencies_come_as_factors() {
    let config = gguf("llama3-rope").config;
    let RopeScaling::Factors(factors) = &config.ropes[0].scaling else { panic!("{:?}", config.ropes) };
    let (theta, dims) = (config.ropes[0].theta, config.ropes[0].dims);
    let (factor, low, high, original) = (8.0, 1.0, 4.0, 64.0);
    let mut kinds = [false; 3];
    for (i, found) in factors.iter().enumerate() {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(2.0 * i as f64 / dims as f64);
        let smooth = (original / wavelength - low) / (high - low);
        let (kind, expected) = match wavelength {
            w if w < original / high => (0, 1.0),
            w if w > original / low => (1, factor),
            _ => (2, 1.0 / ((1.0 - smooth) / factor + smooth)),
        };
        kinds[kind] = true;
        assert!((found - expected).abs() < 1e-5 * expected, "{i}: {found} {expected}");
    }
    assert_eq!(kinds, [true; 3]);
}

/// Names, the order of rows of q and k, and Gemma's norms: every tensor is that of the Hugging Face model.
#[test]
fn tensors_are_those_of_the_hugging_face_model() {
    for name in NAMES {
        let model = gguf(name);
        let original = SafetensorsFile::open(fixtures("arch").join(name).join("model.safetensors")).unwrap();
        for (tensor, shape) in model.config.tensors() {
            let found = model.required(&tensor).unwrap();
            // The last layer of this file is a copy of the first.
            let source = if name == "smollm3" { tensor.replace(".layers.3.", ".layers.0.") } else { tensor.clone() };
            let expected = original.tensor(&source).unwrap().unwrap().to_f32();
            assert_eq!(found.shape(), shape, "{name} {tensor}");
            let rounded = |x: f32| if shape.len() > 1 { bf16::from_f32(x).to_f32() } else { x };
            for (a, b) in found.to_f32().into_iter().zip(expected) {
                // Taking away the 1 that Gemma's converter added loses the last bits of small weights.
                let tolerance = if model.config.norm_plus_one && shape.len() == 1 { 3e-7 } else { 0.0 };
                assert!((a - rounded(b)).abs() <= tolerance, "{name} {tensor}: {a} {b}");
            }
        }
    }
}

#[test]
fn no_cut_and_no_flipped_byte_of_a_file_panics() {
    let whole = std::fs::read(fixtures("gguf/qwen2.gguf")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.gguf");
    let read = |bytes: &[u8]| -> Result<()> {
        std::fs::write(&path, bytes).unwrap();
        let model = open(&path)?;
        for (name, _) in model.config.tensors() {
            model.tensor(&name)?;
        }
        model.tokenizer().map(|_| ())
    };
    let data = whole.len() - 50_000; // everything before is header for sure, the tensors are larger
    for cut in (0..data).step_by(61).chain([whole.len() - 1]) {
        let message = read(&whole[..cut]).unwrap_err().to_string();
        assert!(message.contains("truncated"), "{cut}: {message}");
    }
    let mut seed = 1u64;
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            bytes[(seed >> 33) as usize % 2500] = (seed >> 20) as u8;
        }
        let _ = read(&bytes);
    }
}

#[test]
fn hostile_headers_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.gguf");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open(&path).unwrap_err().to_string()
    };
    let huge = u64::MAX.to_le_bytes();
    let array = |count: &[u8], kind: u32| [&kind.to_le_bytes()[..], count].concat();
    let tensor = |dims: &[u64], kind: u32, offset: u64| {
        let mut bytes = text("token_embd.weight");
        bytes.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| bytes.extend(d.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes
    };
    let arch = |name: &str| entry("general.architecture", 8, &text(name));
    assert!(message(b"GGML\x03\0\0\0").contains("not a GGUF file"));
    assert!(message(b"GGUF\x01\0\0\0").contains("version 1"));
    assert!(message(b"GGUF\0\0\0\x03").contains("big-endian"));
    assert!(message(&file(u64::MAX, &[], 0, &[])).contains("truncated"));
    assert!(message(&file(0, &[], u64::MAX, &[])).contains("truncated"));
    assert!(message(&file(1, &huge, 0, &[])).contains("truncated"));
    assert!(message(&file(1, &entry("k", 9, &array(&huge, 5)), 0, &[])).contains("impossible length"));
    assert!(message(&file(1, &entry("k", 9, &array(&(1u64 << 40).to_le_bytes(), 5)), 0, &[])).contains("truncated"));
    assert!(message(&file(1, &entry("k", 9, &array(&huge, 8)), 0, &[])).contains("truncated"));
    let nested: Vec<u8> = (0..100).flat_map(|_| array(&1u64.to_le_bytes(), 9)).collect();
    assert!(message(&file(1, &entry("k", 9, &nested), 0, &[])).contains("nested too deeply"));
    assert!(message(&file(1, &entry("k", 77, &[0; 8]), 0, &[])).contains("unknown type 77"));
    let zero = entry("general.alignment", 4, &0u32.to_le_bytes());
    assert!(message(&file(1, &zero, 0, &[])).contains("general.alignment"));
    assert!(message(&file(2, &[arch("llama"), arch("llama")].concat(), 0, &[])).contains("there twice"));
    assert!(message(&file(0, &[], 1, &tensor(&[1 << 40, 1 << 40], 0, 0))).contains("impossible shape"));
    assert!(message(&file(0, &[], 1, &tensor(&[64, 64], 0, 0))).contains("truncated"));
    assert!(message(&file(0, &[], 1, &tensor(&[8], 0, u64::MAX - 3))).contains("truncated"));
    assert!(message(&file(0, &[], 1, &tensor(&[33, 4], 2, 0))).contains("rows of 33 in blocks of 32"));
    assert!(message(&file(0, &[], 1, &tensor(&[1; 9], 0, 0))).contains("9 dimensions"));
    assert!(message(&file(0, &[], 0, &[])).contains("general.architecture is missing"));
    let unknown = message(&file(1, &arch("mamba"), 0, &[]));
    assert!(unknown.contains("the architecture mamba is not supported; supported are: Llama, Mistral"), "{unknown}");
    let adapter = [entry("general.type", 8, &text("adapter")), arch("llama")].concat();
    assert!(message(&file(2, &adapter, 0, &[])).contains("holds an adapter"));
    assert!(message(&file(1, &arch("llama"), 0, &[])).contains("embedding_length is missing"));
}

#[test]
fn a_type_without_kernels_is_named() {
    let mut bytes = std::fs::read(fixtures("gguf/qwen2.gguf")).unwrap();
    let name = b"blk.0.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&25u32.to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.gguf");
    std::fs::write(&path, bytes).unwrap();
    let message = open(&path).unwrap_err().to_string();
    assert!(message.starts_with("tensor blk.0.ffn_up.weight: stored as I16, which is not supported; "), "{message}");
}

/// What llama.cpp quantizes is what the gguf package says it is (tests/reference/gguf_blocks.py), bit for bit, however it is
/// cut into pieces.
#[test]
fn every_type_is_read_as_the_gguf_package_reads_it() {
    let file = GgufFile::open(fixtures("gguf-blocks.gguf")).unwrap();
    let expected = SafetensorsFile::open(fixtures("gguf-blocks.safetensors")).unwrap();
    let names: Vec<&str> = SUPPORTED_TYPES.split(", ").collect();
    assert_eq!(file.tensor_names(), names);
    for name in names {
        let expected = expected.tensor(name).unwrap().unwrap().to_f32();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let stored = stored(&file, name).unwrap().unwrap();
        assert_eq!(stored.shape(), [2, 512], "{name}");
        assert_eq!(bits(&stored.to_f32()), bits(&expected), "{name}");
        let Stored::Blocks(blocks) = stored else { continue };
        for (start, length) in [(0, 1), (31, 2), (255, 258), (500, 100), (1023, 1)] {
            let mut part = vec![0.0; length];
            blocks.dequantize(start, &mut part);
            assert_eq!(bits(&part), bits(&expected[start..start + length]), "{name} from {start}");
        }
    }
}
