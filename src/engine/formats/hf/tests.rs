//! `config.json` against transformers (tests/reference/hf_configs.py), folders against what goes wrong with folders.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::engine::formats::safetensors::{Content, TensorData, write};
use crate::engine::formats::{ModelSource, open};
use crate::engine::model::{Activation, ModelConfig, RopeScaling};
use crate::engine::ops::rope::RopeTable;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn understood(config: &Value) -> Result<ModelConfig> {
    let Value::Object(map) = config.clone() else { panic!("not an object") };
    model_config(&Json { map, path: "config.json".into() })
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn configurations_mean_what_transformers_understands() {
    let cases: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/configs.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let config = understood(&case["config"]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = |key: &str| case["expected"][key].clone();
        let number = |key: &str| expected(key).as_f64();
        let ours = json!({
            "architecture": config.architecture, "layer_prefix": config.layer_prefix, "hidden": config.hidden,
            "intermediate": config.intermediate, "vocab": config.vocab, "heads": config.heads,
            "kv_heads": config.kv_heads, "head_dim": config.head_dim, "max_positions": config.max_positions,
            "tied": config.tied, "qkv_bias": config.qkv_bias, "o_bias": config.o_bias, "mlp_bias": config.mlp_bias,
            "windows": config.layers.iter().map(|l| l.window).collect::<Vec<_>>(),
            "positions": config.layers.iter().map(|l| l.rope.is_some()).collect::<Vec<_>>(),
            "parameters": config.tensors().iter().map(|(_, s)| s.iter().product::<usize>()).sum::<usize>(),
        });
        for (key, value) in ours.as_object().unwrap() {
            assert_eq!(*value, expected(key), "{name}: {key}");
        }
        let close = |ours: f32, key: &str| {
            let theirs = number(key).unwrap();
            assert!((f64::from(ours) - theirs).abs() <= 1e-7 * theirs, "{name}: {key} {ours} {theirs}");
        };
        close(config.norm_eps, "norm_eps");
        close(config.attention_scale, "attention_scale");
        assert_eq!(config.attention_softcap.map(f64::from), number("attention_softcap"), "{name}");
        assert_eq!(config.final_softcap.map(f64::from), number("final_softcap"), "{name}");
        let silu = expected("activation").as_str().unwrap().contains("SiLU");
        assert_eq!(config.activation, if silu { Activation::Silu } else { Activation::GeluTanh }, "{name}");
        for (which, list) in expected("frequencies").as_object().unwrap() {
            // A model whose local layers are like its global ones has one rotary embedding.
            let rope = if which == "local" { config.ropes.last() } else { config.ropes.first() }.unwrap();
            let theirs = floats(list);
            let table = RopeTable::new(rope, 1);
            assert_eq!(table.inv_freq().len(), theirs.len(), "{name}");
            for (ours, theirs) in table.inv_freq().iter().zip(theirs) {
                assert!((f64::from(*ours) - theirs).abs() <= 3e-7 * theirs, "{name}: {which} {ours} {theirs}");
            }
        }
        let factor = match &config.ropes[0].scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                *attention_factor
            }
            _ => 1.0,
        };
        assert!((factor - number("attention_factor").unwrap()).abs() < 1e-12, "{name}: {factor}");
    }
}

/// The same model as transformers 4 and as transformers 5 writes it.
#[test]
fn both_generations_of_files_mean_the_same() {
    for entry in std::fs::read_dir(fixtures("arch")).unwrap() {
        let folder = entry.unwrap().path();
        let five = model_config(&Json::read(&folder.join("config.json")).unwrap()).unwrap();
        let four = model_config(&Json::read(&folder.join("config.v4.json")).unwrap()).unwrap();
        assert_eq!(five, four, "{}", folder.display());
        open(&folder).unwrap();
    }
}

#[test]
fn ids_come_from_the_text_the_top_and_the_generation_settings() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: Value| std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    write(
        "config.json",
        json!({"model_type": "gemma3", "eos_token_id": [1, 106], "text_config": {
            "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "bos_token_id": 2}}),
    );
    write("generation_config.json", json!({"eos_token_id": [106, 49]}));
    let (config, _) = read_config(dir.path()).unwrap();
    assert_eq!((config.bos, config.eos), (Some(2), vec![1, 106, 49]));
}

fn tiny() -> Value {
    json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8, "hidden_size": 4,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1})
}

#[test]
fn what_a_configuration_cannot_say() {
    let refuse = |change: &dyn Fn(&mut Value)| {
        let mut config = tiny();
        change(&mut config);
        understood(&config).unwrap_err().to_string()
    };
    let set = |key: &'static str, value: Value| move |c: &mut Value| c[key] = value.clone();
    let cases: [(&str, Value, &str); 16] = [
        ("hidden_size", Value::Null, "the required key hidden_size is missing: config.json"),
        ("vocab_size", Value::Null, "the required key vocab_size is missing: config.json"),
        ("hidden_size", json!("4"), "hidden_size: expected a whole number, got \"4\": config.json"),
        ("hidden_size", json!(-4), "hidden_size: expected a whole number, got -4: config.json"),
        ("num_attention_heads", json!(0), "num_attention_heads must not be 0: config.json"),
        ("num_hidden_layers", json!(1e12), "num_hidden_layers is 1000000000000, which cannot be: config.json"),
        ("hidden_size", json!(1u64 << 60), "the hidden size is 1152921504606846976, which cannot be: config.json"),
        ("num_key_value_heads", json!(3), "2 query heads cannot share 3 key and value heads: config.json"),
        ("head_dim", json!(3), "the head size 3 is odd, which rotary positions cannot have: config.json"),
        ("hidden_act", json!("relu"), "the activation relu is not supported"),
        ("rope_scaling", json!({"rope_type": "mrope"}), "rotary embeddings of type mrope are not supported"),
        ("rope_scaling", json!({"type": "linear"}), "the rotary setting factor is missing: config.json"),
        ("rope_theta", json!(0), "rope_theta must be positive, got 0: config.json"),
        ("rope_scaling", json!([1]), "rope_scaling: expected an object, got [1]: config.json"),
        (
            "eos_token_id",
            json!("</s>"),
            "eos_token_id: expected a token id or a list of them, got \"</s>\": config.json",
        ),
        (
            "bos_token_id",
            json!(8),
            "the beginning-of-sequence token 8 is outside the vocabulary of 8 entries: config.json",
        ),
    ];
    for (key, value, message) in cases {
        let found = refuse(&set(key, value));
        assert!(found.starts_with(message), "{found}");
    }
    let unknown = |c: &mut Value| {
        c["model_type"] = json!("qwen3_moe");
        c["architectures"] = json!(["Qwen3MoeForCausalLM"]);
    };
    assert_eq!(
        refuse(&unknown),
        "the architecture Qwen3MoeForCausalLM (model_type qwen3_moe) is not supported; supported are: Llama, Mistral, \
         Qwen2, Qwen3, Gemma, Gemma 2, Gemma 3 (text), Phi-3, SmolLM3: config.json"
    );
    let classifier = set("architectures", json!(["LlamaForSequenceClassification"]));
    assert!(
        refuse(&classifier).starts_with("the architecture LlamaForSequenceClassification is not supported: of llama,")
    );
}

/// Writes a folder of the tiny model in shards of the given tensors; `change` may spoil the tensors first.
fn folder(dir: &Path, prefix: &str, shards: usize, change: impl Fn(&mut Vec<(String, Vec<usize>)>)) {
    std::fs::write(dir.join("config.json"), tiny().to_string()).unwrap();
    let mut tensors = understood(&tiny()).unwrap().tensors();
    change(&mut tensors);
    let values = vec![0.5f32; 64];
    let data: Vec<TensorData<'_>> = tensors
        .iter()
        .map(|(name, shape)| {
            let name = name.strip_prefix("model.").map_or_else(|| name.clone(), |rest| format!("{prefix}{rest}"));
            TensorData::f32(name, shape, &values[..shape.iter().product()])
        })
        .collect();
    if shards == 1 {
        return write(dir.join("model.safetensors"), &data, &[("format", "pt")]).unwrap();
    }
    let mut map = serde_json::Map::new();
    for (i, part) in data.chunks(data.len().div_ceil(shards)).enumerate() {
        let name = format!("model-{:05}-of-{shards:05}.safetensors", i + 1);
        write(dir.join(&name), part, &[]).unwrap();
        map.extend(part.iter().map(|t| (t.name.clone(), json!(name))));
    }
    std::fs::write(dir.join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
}

#[test]
fn prefixes_of_every_writer() {
    for (prefix, shards) in
        [("model.", 1), ("model.", 3), ("model.language_model.", 1), ("language_model.model.", 2), ("", 1)]
    {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), prefix, shards, |_| {});
        let model = open(dir.path()).unwrap();
        for (name, shape) in model.config.tensors() {
            assert_eq!(model.required(&name).unwrap().shape(), shape, "{prefix}{name}");
        }
        assert!(model.tensor("model.layers.0.self_attn.q_proj.bias").unwrap().is_none());
        assert!(model.tensor("model.layers.1.self_attn.q_proj.weight").unwrap().is_none());
        assert_eq!(model.facts().unwrap().files.len(), shards);
    }
}

/// What `open` says about a folder that was spoiled after it was written.
fn spoiled(shards: usize, spoil: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path(), "model.", shards, |_| {});
    spoil(dir.path());
    let message = open(dir.path()).unwrap_err().to_string();
    message.replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn spoiled_folders_give_one_clear_error_each() {
    let remove = |name: &'static str| move |dir: &Path| std::fs::remove_file(dir.join(name)).unwrap();
    let put = |name: &'static str, text: &'static str| move |dir: &Path| std::fs::write(dir.join(name), text).unwrap();
    let cut = |name: &'static str, by: u64| {
        move |dir: &Path| {
            let file = std::fs::File::options().write(true).open(dir.join(name)).unwrap();
            file.set_len(file.metadata().unwrap().len() - by).unwrap();
        }
    };
    let second = "model-00002-of-00003.safetensors";
    assert_eq!(
        spoiled(3, remove(second)),
        "the shard model-00002-of-00003.safetensors is missing; download or copy it again: DIR"
    );
    assert_eq!(
        spoiled(3, cut(second, 1)),
        "the file is truncated: it is shorter than its header says; download or copy it again: DIR/model-00002-of-00003.safetensors"
    );
    assert!(spoiled(1, cut("model.safetensors", 100)).starts_with("the file is truncated"));
    assert!(spoiled(1, put("model.safetensors", "")).starts_with("the file is truncated"));
    assert!(spoiled(1, put("config.json", "{")).starts_with("not valid JSON: EOF while parsing"));
    assert_eq!(spoiled(1, put("config.json", "[]")), "expected a JSON object: DIR/config.json");
    assert_eq!(
        spoiled(1, remove("config.json")),
        "not a model: no config.json in this folder (a model is such a folder, or a .gguf file): DIR"
    );
    assert_eq!(
        spoiled(1, remove("model.safetensors")),
        "no model.safetensors and no model.safetensors.index.json in this folder: DIR"
    );
    let pickle = |dir: &Path| std::fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap();
    assert!(spoiled(1, pickle).starts_with("the weights are a PyTorch pickle"));
    let adapter = |dir: &Path| std::fs::rename(dir.join("config.json"), dir.join("adapter_config.json")).unwrap();
    assert!(spoiled(1, adapter).starts_with("this folder holds an adapter, not a model"));
    let index = "model.safetensors.index.json";
    assert_eq!(spoiled(2, put(index, "{}")), format!("the required key weight_map is missing: DIR/{index}"));
    for outside in ["../x.safetensors", "/etc/passwd", ""] {
        let json = json!({"weight_map": {"model.embed_tokens.weight": outside}}).to_string();
        let message = spoiled(2, |dir: &Path| std::fs::write(dir.join(index), &json).unwrap());
        assert_eq!(message, format!("the index names {outside:?}, which is outside the model's folder: DIR/{index}"));
    }
    let wrong_file = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join(index)).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json["weight_map"]["model.norm.weight"] = json!("model-00001-of-00002.safetensors");
        std::fs::write(dir.join(index), json.to_string()).unwrap();
    };
    assert!(
        spoiled(2, wrong_file).starts_with("tensor model.norm.weight: the index says it is in model-00001-of-00002")
    );
    let larger = |dir: &Path| {
        let mut config = tiny();
        config["intermediate_size"] = json!(8);
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    };
    assert_eq!(
        spoiled(1, larger),
        "tensor model.layers.0.mlp.gate_proj.weight: has shape [6, 4] where the configuration says [8, 4]: DIR/model.safetensors"
    );
    let deeper = |dir: &Path| {
        let mut config = tiny();
        config["num_hidden_layers"] = json!(2);
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    };
    assert_eq!(
        spoiled(1, deeper),
        "tensor model.layers.1.input_layernorm.weight: absent, though the configuration asks for it: DIR"
    );
    let eight = |dir: &Path| {
        let path = dir.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes[8..]).replacen("\"F32\"", "\"I32\"", 1);
        std::fs::write(&path, [&bytes[..8], text.as_bytes()].concat()).unwrap();
    };
    assert!(spoiled(1, eight).contains("stored as I32, which is not supported (F32, F16 and BF16 are)"));
    let weights_without_words = |dir: &Path| write(dir.join("model.safetensors"), &[], &[]).unwrap();
    assert!(spoiled(1, weights_without_words).starts_with("tensor model.embed_tokens.weight: absent"));
    assert!(open("/no/such/folder").unwrap_err().to_string().starts_with("there is no such file or folder"));
}

#[test]
fn quantized_folders() {
    let quantized = |settings: Value| {
        spoiled(1, |dir: &Path| {
            let mut config = tiny();
            config["quantization_config"] = settings.clone();
            std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        })
    };
    let eight = quantized(json!({"quant_method": "bitsandbytes", "load_in_8bit": true}));
    assert!(eight.starts_with("the weights are in bitsandbytes' 8-bit format, which is not supported"), "{eight}");
    let gptq = quantized(json!({"quant_method": "gptq", "bits": 4}));
    assert!(gptq.starts_with("the weights are quantized with gptq, which is not supported"), "{gptq}");
}

/// tests/reference/bnb_folder.py: the values are those that bitsandbytes computes, to the bit.
#[test]
fn bitsandbytes_folders() {
    use crate::engine::formats::{Quantization, Stored};
    for (name, double_quant) in [("nf4", false), ("nf4-double", true), ("fp4-double", true)] {
        let folder = fixtures("bnb").join(name);
        let model: ModelSource = open(&folder).unwrap();
        assert_eq!(model.facts().unwrap().quantization, Quantization::Bitsandbytes4bit { double_quant });
        assert_eq!(model.facts().unwrap().dtype, "bfloat16");
        let expected = SafetensorsFile::open(folder.join("expected.safetensors")).unwrap();
        assert_eq!(expected.names().len(), 2);
        for tensor in expected.names() {
            let found = model.required(&tensor).unwrap();
            assert!(matches!(found, Stored::Nf4(_)), "{name} {tensor}");
            assert_eq!(found.to_f32(), expected.tensor(&tensor).unwrap().unwrap().to_f32(), "{name} {tensor}");
        }
        assert!(matches!(model.required("lm_head.weight").unwrap(), Stored::Dense { .. }));
    }
}

#[test]
fn a_damaged_quantization_state_is_an_error() {
    let folder = fixtures("bnb/nf4-double");
    let file = SafetensorsFile::open(folder.join("model.safetensors")).unwrap();
    let weight = "model.layers.0.mlp.up_proj.weight";
    let spoil = |suffix: &str, bytes: Option<&[u8]>| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("config.json"), dir.path().join("config.json")).unwrap();
        let mut tensors = Vec::new();
        for name in file.names() {
            let (info, own) = (file.info(&name).unwrap(), file.bytes(&name).unwrap());
            let mut data = TensorData {
                dtype: info.dtype,
                shape: info.shape.clone(),
                content: Content::Bytes(own.to_vec().into()),
                name,
            };
            if data.name == format!("{weight}.{suffix}") {
                let Some(bytes) = bytes else { continue };
                data.shape = vec![bytes.len() * 8 / data.dtype.bitsize()];
                data.content = Content::Bytes(bytes.to_vec().into());
            }
            tensors.push(data);
        }
        write(dir.path().join("model.safetensors"), &tensors, &[]).unwrap();
        let message = open(dir.path()).and_then(|m| m.tensor(weight)).unwrap_err().to_string();
        assert!(message.starts_with(&format!("tensor {weight}")), "{message}");
        message
    };
    let state = "quant_state.bitsandbytes__nf4";
    assert!(spoil(state, None).contains("has shape [9000, 1]") || spoil(state, None).contains("stored as U8"));
    assert!(spoil(state, Some(b"{")).contains("is not valid JSON"));
    assert!(spoil(state, Some(b"{\"blocksize\": 64}")).contains("names no two-dimensional shape"));
    assert!(spoil(state, Some(b"{\"blocksize\": 64, \"shape\": [40, 450]}")).contains("[40, 450]"));
    assert!(spoil("absmax", None).contains("absent, though the weight is stored in 4 bits"));
    assert!(spoil("absmax", Some(&[0; 3])).contains("absmax has 3 values"));
    assert!(spoil("nested_absmax", Some(&[0; 4])).contains("nested_absmax has 1 values"));
    assert!(spoil("quant_map", Some(&[0; 60])).contains("quant_map has 15 values"));
    assert!(spoil("nested_quant_map", Some(&[0; 16])).contains("nested_quant_map has 4 values"));
}

#[test]
fn licences_and_ids() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("models--org--some-name/snapshots/0123abcd");
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(hub_id(&folder).as_deref(), Some("org/some-name"));
    assert_eq!(hub_id(dir.path()), None);
    assert_eq!(license(&folder), None);
    std::fs::write(folder.join("README.md"), "---\nlanguage:\n- en\nlicense: \"apache-2.0\"\n---\nlicense: x\n")
        .unwrap();
    assert_eq!(license(&folder).as_deref(), Some("apache-2.0"));
    std::fs::write(folder.join("README.md"), "# Title\nlicense: mit\n").unwrap();
    assert_eq!(license(&folder), None);
}
