//! Against folders that PEFT wrote: `tests/reference/peft_folder.py` made everything under `tests/fixtures/peft`.

use crate::engine::model::{Family, ModelConfig};

/// The two-layer Llama of `tests/reference/peft_folder.py`.
pub(crate) fn tiny_llama() -> ModelConfig {
    ModelConfig { max_positions: 128, norm_eps: 1e-6, ..ModelConfig::llama(8, 12, 2, 2, 1, 4, 32) }
}

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CONFIG_FILE, ModelCard, WEIGHTS_FILE, inspect, read, write};
use crate::engine::model::LinearKind;
use crate::engine::peft::{Adapter, LoraConfig};

/// The same, as a Phi-3.
fn tiny_phi3() -> ModelConfig {
    ModelConfig { family: Family::Phi3, architecture: "Phi3ForCausalLM".into(), fused: true, ..tiny_llama() }
}

const CASES: [&str; 6] = ["patterns", "all_linear", "regex_rslora", "one_layer", "excluded", "phi3"];

fn model_of(case: &str) -> ModelConfig {
    if case == "phi3" { tiny_phi3() } else { tiny_llama() }
}

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peft").join(case)
}

/// Rank, scale and digest of every module, in the form of expected.json.
fn described(adapter: &Adapter, model: &ModelConfig) -> Value {
    let modules = adapter.modules.iter().map(|m| {
        let mut digest = Sha256::new();
        for range in [m.a_range(), m.b_range()] {
            digest.update(bytemuck::cast_slice::<f32, u8>(&adapter.params[range]));
        }
        let sha256: String = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
        (model.linear_path(m.layer, m.kind), json!({"rank": m.rank, "scale": m.scale, "sha256": sha256}))
    });
    Value::Object(modules.collect())
}

/// The same modules, with the scales of Python rounded to the `f32` that multiplies.
fn assert_same(got: &Value, want: &Value, case: &str) {
    let (got, want) = (got.as_object().unwrap(), want.as_object().unwrap());
    assert_eq!(got.len(), want.len(), "{case}: {:?} {:?}", got.keys(), want.keys());
    for (path, want) in want {
        let got = &got[path];
        assert_eq!(got["rank"], want["rank"], "{case} {path}");
        assert_eq!(got["sha256"], want["sha256"], "{case} {path}");
        let scale = |v: &Value| v["scale"].as_f64().unwrap() as f32;
        assert_eq!(scale(got), scale(want), "{case} {path}");
    }
}

#[test]
fn pefts_folders_are_read_as_peft_reads_them() {
    let expected: Value = serde_json::from_str(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.as_object().unwrap().len(), CASES.len());
    for case in CASES {
        let model = model_of(case);
        let adapter = read(&fixture(case), &model).unwrap();
        assert_same(&described(&adapter, &model), &expected[case], case);
    }
    let patterns = read(&fixture("patterns"), &tiny_llama()).unwrap();
    let config = LoraConfig {
        rank: 2,
        alpha: 4.0,
        dropout: 0.05,
        rslora: false,
        targets: vec![LinearKind::Q, LinearKind::V, LinearKind::Down],
    };
    assert_eq!(patterns.config, config);
}

#[test]
fn modules_lie_in_the_order_of_computation_without_gaps() {
    // As Adapter::zeros lays them out: optimizer state and gradients have this layout too.
    let model = tiny_llama();
    let read = read(&fixture("all_linear"), &model).unwrap();
    assert_eq!(read.modules, Adapter::zeros(&model, read.config.clone()).modules);
}

#[test]
fn what_is_written_is_what_peft_writes() {
    let root = tempfile::tempdir().unwrap();
    for case in CASES {
        let model = model_of(case);
        let adapter = read(&fixture(case), &model).unwrap();
        let dir = root.path().join(case);
        write(&dir, &adapter, &model, &ModelCard::of("some/model")).unwrap();
        let again = read(&dir, &model).unwrap();
        assert_eq!((&again.config, &again.modules), (&adapter.config, &adapter.modules), "{case}");
        assert_eq!(again.params, adapter.params, "{case}");

        let file = |dir: &Path, name| fs::read(dir.join(name)).unwrap();
        // The cases in f32: the very bytes.
        if !["regex_rslora", "one_layer"].contains(&case) {
            assert!(file(&dir, WEIGHTS_FILE) == file(&fixture(case), WEIGHTS_FILE), "{case}");
        }
        // Every key of ours is in PEFT's file; those that do not say the same thing another way have the same value.
        let ours: Value = serde_json::from_slice(&file(&dir, CONFIG_FILE)).unwrap();
        let theirs: Value = serde_json::from_slice(&file(&fixture(case), CONFIG_FILE)).unwrap();
        assert_eq!(ours.as_object().unwrap().len(), 19);
        for (key, value) in ours.as_object().unwrap() {
            match key.as_str() {
                "base_model_name_or_path" => assert_eq!(value, "some/model"),
                "target_modules" | "rank_pattern" | "alpha_pattern" | "layers_to_transform" | "layers_pattern" => {
                    assert!(theirs.get(key).is_some(), "{case} {key}");
                }
                _ => assert_eq!(Some(value), theirs.get(key), "{case} {key}"),
            }
        }
    }
}

#[test]
fn the_settings_file_to_the_byte() {
    let root = tempfile::tempdir().unwrap();
    let model = tiny_llama();
    let config = LoraConfig {
        rank: 16,
        alpha: 32.0,
        dropout: 0.05,
        rslora: false,
        targets: LoraConfig::targets(&model, &["q_proj", "v_proj"]).unwrap(),
    };
    let mut adapter = Adapter::new(&model, config, 0).unwrap();
    adapter.modules[1].scale = 0.1;
    let card = ModelCard { revision: Some("main".into()), ..ModelCard::of("café/модель") };
    write(&root.path().join("a"), &adapter, &model, &card).unwrap();
    // json.dumps of the same dictionary in Python, indent=2, sort_keys=True.
    let expected = r#"{
  "alpha_pattern": {
    "model.layers.0.self_attn.v_proj": 1.6
  },
  "base_model_name_or_path": "caf\u00e9/\u043c\u043e\u0434\u0435\u043b\u044c",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layers_pattern": null,
  "layers_to_transform": null,
  "lora_alpha": 32,
  "lora_dropout": 0.05,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 16,
  "rank_pattern": {},
  "revision": "main",
  "target_modules": [
    "q_proj",
    "v_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
}"#;
    assert_eq!(fs::read_to_string(root.path().join("a").join(CONFIG_FILE)).unwrap(), expected);
    let card = fs::read_to_string(root.path().join("a/README.md")).unwrap();
    for line in ["base_model: \"café/модель\"", "library_name: peft", "| Rank | 16 |", "| Alpha | 32 |"] {
        assert!(card.lines().any(|l| l == line), "{line} in\n{card}");
    }
}

#[test]
fn peft_loads_what_is_written() {
    let Some(python) = crate::engine::test_support::python() else { return };
    let root = tempfile::tempdir().unwrap();
    let adapters = CASES.map(|case| {
        let model = model_of(case);
        let adapter = read(&fixture(case), &model).unwrap();
        write(&root.path().join(case), &adapter, &model, &ModelCard::of("some/model")).unwrap();
        (case, described(&adapter, &model))
    });
    let out = std::process::Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/peft_folder.py"))
        .arg("check")
        .args(CASES.map(|case| root.path().join(case)))
        .env("OMP_NUM_THREADS", "1")
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let seen: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    assert_eq!(seen.len(), CASES.len(), "{text}");
    for ((case, expected), seen) in adapters.iter().zip(seen) {
        assert_same(expected, &seen["modules"], case);
        assert_eq!((&seen["warnings"], &seen["finite"]), (&json!([]), &json!(true)), "{case}");
    }
}

/// A copy of a fixture whose settings are edited.
fn edited(case: &str, edit: impl FnOnce(&mut serde_json::Map<String, Value>)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixture(case).join(WEIGHTS_FILE), dir.path().join(WEIGHTS_FILE)).unwrap();
    let text = fs::read_to_string(fixture(case).join(CONFIG_FILE)).unwrap();
    let mut config: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    fs::write(dir.path().join(CONFIG_FILE), serde_json::to_string(&config).unwrap()).unwrap();
    dir
}

#[test]
fn only_the_type_is_needed() {
    let dir = edited("all_linear", |c| c.retain(|k, _| k == "peft_type"));
    let info = inspect(dir.path()).unwrap();
    assert_eq!((info.config.rank, info.config.alpha, info.modules), (8, 8.0, 14));
    let message = read(dir.path(), &tiny_llama()).unwrap_err().to_string();
    assert!(message.contains("rank 8") && message.contains("got [2, 8]"), "{message}");
    let dir = edited("all_linear", |c| c.retain(|k, _| k == "peft_type" || k == "r"));
    let adapter = read(dir.path(), &tiny_llama()).unwrap();
    assert_eq!((adapter.config.alpha, adapter.modules[0].scale, adapter.modules.len()), (8.0, 4.0, 14));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases = [
        ("peft_type", json!("IA3"), "IA3"),
        ("peft_type", Value::Null, "peft_type"),
        ("use_dora", json!(true), "use_dora"),
        ("modules_to_save", json!(["lm_head"]), "modules_to_save"),
        ("bias", json!("lora_only"), "lora_only"),
        ("init_lora_weights", json!("pissa_niter_16"), "pissa_niter_16"),
        ("alora_invocation_tokens", json!([1, 2]), "alora_invocation_tokens"),
        ("r", json!("sixteen"), "sixteen"),
        ("r", json!(0), "r: "),
        ("target_modules", json!("(q_proj"), "(q_proj"),
        ("target_modules", json!([1]), "[1]"),
        ("rank_pattern", json!({"q_proj": -1}), "rank_pattern[\"q_proj\"]"),
        // More and less than the weights hold.
        ("target_modules", json!(["q_proj", "v_proj", "down_proj", "up_proj"]), "model.layers.0.mlp.up_proj"),
        ("target_modules", json!(["q_proj", "v_proj"]), "model.layers.0.mlp.down_proj"),
    ];
    for (key, value, word) in cases {
        let dir = edited("patterns", |c| {
            c.insert(key.into(), value);
        });
        let message = read(dir.path(), &tiny_llama()).unwrap_err().to_string();
        assert!(message.contains(word), "{key}: {message}");
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_with_the_first_module_that_differs() {
    let wider = ModelConfig { hidden: 16, ..tiny_llama() };
    let message = read(&fixture("patterns"), &wider).unwrap_err().to_string();
    assert!(message.contains("another model") && message.contains("_proj.lora_"), "{message}");
    let shallow = ModelConfig { layers: tiny_llama().layers[..1].to_vec(), ..tiny_llama() };
    let message = read(&fixture("patterns"), &shallow).unwrap_err().to_string();
    assert!(message.contains("it has a layer 1, this model has 1"), "{message}");
    let deep = ModelConfig { layers: vec![tiny_llama().layers[0].clone(); 3], ..tiny_llama() };
    let message = read(&fixture("patterns"), &deep).unwrap_err().to_string();
    assert!(message.contains("model.layers.2.self_attn.q_proj"), "{message}");
    let message = read(&fixture("patterns"), &tiny_phi3()).unwrap_err().to_string();
    assert!(message.contains("qkv_proj"), "{message}");
}

#[test]
fn damaged_and_foreign_weights_are_one_clear_error() {
    let weights = fs::read(fixture("patterns").join(WEIGHTS_FILE)).unwrap();
    let with = |bytes: &[u8]| {
        let dir = edited("patterns", |_| {});
        fs::write(dir.path().join(WEIGHTS_FILE), bytes).unwrap();
        read(dir.path(), &tiny_llama()).unwrap_err().to_string()
    };
    assert!(with(&weights[..weights.len() - 4]).contains("truncated"));
    assert!(with(b"").contains("truncated"));
    let mut nan = weights.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let message = with(&nan);
    assert!(message.contains("layers.1.self_attn.v_proj.lora_B.weight") && message.contains("NaN"), "{message}");
    let renamed = |from: &str, to: &str| {
        let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&weights[8..8 + length]).unwrap().replace(from, to);
        let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
        [&(padded.len() as u64).to_le_bytes()[..], padded.as_bytes(), &weights[8 + length..]].concat()
    };
    let message = with(&renamed("q_proj.lora_A.weight", "q_proj.lora_magnitude_vector"));
    assert!(message.contains("DoRA"), "{message}");
    let message = with(&renamed("model.layers.0.self_attn.q_proj", "model.embed_tokens"));
    assert!(message.contains("model.embed_tokens"), "{message}");
    // Without the prefix and with an adapter's name, as `state_dict()` has them: read.
    for (from, to) in [("base_model.model.", ""), (".lora_A.weight", ".lora_A.default.weight")] {
        let dir = edited("patterns", |_| {});
        fs::write(dir.path().join(WEIGHTS_FILE), renamed(from, to)).unwrap();
        let adapter = read(dir.path(), &tiny_llama()).unwrap();
        assert_eq!(adapter.params, read(&fixture("patterns"), &tiny_llama()).unwrap().params);
    }
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = |dir: &Path| read(dir, &tiny_llama()).unwrap_err().to_string();
    assert!(message(&dir.path().join("nowhere")).starts_with("no such folder"));
    assert!(message(dir.path()).contains("adapter_config.json"));
    fs::create_dir_all(dir.path().join("run/adapter")).unwrap();
    fs::write(dir.path().join("run/adapter").join(CONFIG_FILE), "{}").unwrap();
    assert!(message(&dir.path().join("run")).starts_with("this folder holds a run"));
    fs::copy(fixture("patterns").join(CONFIG_FILE), dir.path().join(CONFIG_FILE)).unwrap();
    assert!(message(dir.path()).contains("adapter_model.safetensors"));
    fs::write(dir.path().join("adapter_model.bin"), "pickle").unwrap();
    assert!(message(dir.path()).contains("pickle"));
}

#[test]
fn shards_are_read_together() {
    let dir = edited("patterns", |_| {});
    let whole = dir.path().join(WEIGHTS_FILE);
    let bytes = fs::read(&whole).unwrap();
    fs::remove_file(&whole).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    for half in 0..2 {
        let name = format!("adapter_model-0000{}-of-00002.safetensors", half + 1);
        let part: Vec<_> = tensors.iter().filter(|(n, _)| n.contains(&format!("layers.{half}."))).collect();
        map.extend(part.iter().map(|(n, _)| (n.to_string(), json!(name))));
        safetensors::serialize_to_file(part, None, &dir.path().join(&name)).unwrap();
    }
    let index = dir.path().join("adapter_model.safetensors.index.json");
    fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    let adapter = read(dir.path(), &tiny_llama()).unwrap();
    assert_eq!(adapter.params, read(&fixture("patterns"), &tiny_llama()).unwrap().params);
    map.insert("x".into(), json!("../outside.safetensors"));
    fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    assert!(read(dir.path(), &tiny_llama()).unwrap_err().to_string().contains("tensor x"));
}
