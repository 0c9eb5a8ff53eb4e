//! Writing an adapter folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{CARD_FILE, CONFIG_FILE, MARKERS, ModelCard, PREFIX, TEMPLATE_FILE, WEIGHTS_FILE};
use crate::engine::formats::StagedFolder;
use crate::engine::formats::safetensors::{self, TensorData};
use crate::engine::model::ModelConfig;
use crate::engine::peft::lora::scale;
use crate::engine::peft::{Adapter, LoraModule};
use crate::engine::{Error, Result};

/// Writes an adapter as PEFT's folder `dir`, whole or not at all. An adapter folder that is there is replaced; a folder of
/// something else is left alone, with an error.
pub fn write(dir: &Path, adapter: &Adapter, model: &ModelConfig, card: &ModelCard) -> Result<()> {
    let staged = StagedFolder::new(dir)?;
    write_files(staged.path(), adapter, model, card)?;
    staged.commit(&MARKERS)
}

/// Writes the files into a folder that nobody looks at yet.
pub(crate) fn write_files(dir: &Path, adapter: &Adapter, model: &ModelConfig, card: &ModelCard) -> Result<()> {
    let tensors: Vec<_> = tensors(adapter, model, "", &adapter.params).collect();
    safetensors::write(dir.join(WEIGHTS_FILE), &tensors, &METADATA)?;
    write_file(&dir.join(CONFIG_FILE), &config_json(adapter, model, card))?;
    if let Some(template) = &card.chat_template {
        write_file(&dir.join(TEMPLATE_FILE), template)?;
    }
    write_file(&dir.join(CARD_FILE), &card.markdown(adapter))
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io("write the file", path))
}

/// What PEFT writes into the header.
pub(crate) const METADATA: [(&str, &str); 1] = [("format", "pt")];

/// A and B of each module under PEFT's names, `prefix` before them; `values` are the adapter's parameters, or anything
/// that lies as they do.
pub(crate) fn tensors<'a>(
    adapter: &'a Adapter,
    model: &'a ModelConfig,
    prefix: &'a str,
    values: &'a [f32],
) -> impl Iterator<Item = TensorData<'a>> {
    adapter.modules.iter().flat_map(move |m| {
        let path = format!("{prefix}{PREFIX}{}", model.linear_path(m.layer, m.kind));
        [
            TensorData::f32(format!("{path}.lora_A.weight"), &[m.rank, m.in_features], &values[m.a_range()]),
            TensorData::f32(format!("{path}.lora_B.weight"), &[m.out_features, m.rank], &values[m.b_range()]),
        ]
    })
}

/// The small set of keys that every version of PEFT knows, as Python's `json.dumps(indent=2, sort_keys=True)` prints it.
fn config_json(adapter: &Adapter, model: &ModelConfig, card: &ModelCard) -> String {
    let config = &adapter.config;
    let path = |m: &LoraModule| model.linear_path(m.layer, m.kind);
    let mut rank_pattern = BTreeMap::new();
    let mut alpha_pattern = BTreeMap::new();
    for m in &adapter.modules {
        if m.rank != config.rank {
            rank_pattern.insert(path(m), m.rank);
        }
        if scale(f64::from(config.alpha), m.rank, config.rslora) != m.scale {
            alpha_pattern.insert(path(m), number(alpha(m, config.rslora)));
        }
    }
    let keys: BTreeMap<&str, Value> = BTreeMap::from([
        ("peft_type", json!("LORA")),
        ("task_type", json!("CAUSAL_LM")),
        ("base_model_name_or_path", if card.base_model.is_empty() { Value::Null } else { json!(card.base_model) }),
        ("revision", json!(card.revision)),
        ("inference_mode", json!(true)),
        ("r", json!(config.rank)),
        ("lora_alpha", number(shortest(config.alpha))),
        ("lora_dropout", json!(shortest(config.dropout))),
        ("target_modules", json!(target_modules(adapter, model))),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("use_rslora", json!(config.rslora)),
        ("use_dora", json!(false)),
        ("init_lora_weights", json!(true)),
        ("modules_to_save", Value::Null),
        ("rank_pattern", json!(rank_pattern)),
        ("alpha_pattern", json!(alpha_pattern)),
        ("layers_to_transform", Value::Null),
        ("layers_pattern", Value::Null),
    ]);
    ascii(&format!("{:#}", json!(keys)))
}

/// Names where they say it all, and whole paths where layers differ, or where a vision tower has linears of these names.
fn target_modules(adapter: &Adapter, model: &ModelConfig) -> Vec<String> {
    let kinds: Vec<_> =
        model.linears().iter().filter(|k| adapter.modules.iter().any(|m| m.kind == **k)).copied().collect();
    let everywhere = adapter.modules.len() == kinds.len() * model.layers.len();
    let mut names: Vec<String> = if everywhere && model.layer_prefix == "model.layers" {
        kinds.iter().map(|k| k.name().to_owned()).collect()
    } else {
        adapter.modules.iter().map(|m| model.linear_path(m.layer, m.kind)).collect()
    };
    names.sort();
    names
}

/// An α that gives exactly the module's scale when it is read back.
fn alpha(m: &LoraModule, rslora: bool) -> f64 {
    let r = m.rank as f64;
    let exact = f64::from(m.scale) * if rslora { r.sqrt() } else { r };
    // The short number that a person wrote, when it gives the same scale.
    let short = shortest(exact as f32);
    if scale(short, m.rank, rslora) == m.scale { short } else { exact }
}

/// The decimal number that `x` prints as, rather than its exact binary value: 0.05, not 0.05000000074505806.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// Without a fraction where there is none: 32, not 32.0.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 9e15 { json!(x as i64) } else { json!(x) }
}

/// Escapes what is not ASCII, as Python does: PEFT opens the file in the system's encoding.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
