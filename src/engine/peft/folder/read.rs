//! Reading an adapter folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{AdapterConfig, CONFIG_FILE, PREFIX, TEMPLATE_FILE, Targets, WEIGHTS_FILE};
use crate::engine::formats::safetensors::SafetensorsFile;
use crate::engine::model::{LinearKind, ModelConfig};
use crate::engine::peft::lora::scale;
use crate::engine::peft::{Adapter, LoraConfig, LoraModule};
use crate::engine::{Error, Result};

/// What a folder holds, without the model that it is for.
#[derive(Clone, Debug)]
pub struct AdapterInfo {
    /// Its settings.
    pub config: AdapterConfig,
    /// Number of adapted modules.
    pub modules: usize,
    /// Numbers in all A and B.
    pub parameters: usize,
    /// Type of the numbers: `F32`, `BF16` or `F16`.
    pub dtype: String,
}

/// Reads an adapter's settings and counts its weights.
pub fn inspect(dir: &Path) -> Result<AdapterInfo> {
    let config = AdapterConfig::read(&config_file(dir)?)?;
    let (mut modules, mut parameters, mut dtype) = (0, 0, String::new());
    for file in weight_files(dir)? {
        let file = SafetensorsFile::open(file)?;
        for name in file.names() {
            let key = Key::parse(&name).map_err(|message| Error::tensor(&name, message, file.path()))?;
            let Some(info) = file.info(&name) else { continue };
            modules += usize::from(key.is_a);
            parameters += info.shape.iter().product::<usize>();
            dtype = info.dtype.to_string();
        }
    }
    Ok(AdapterInfo { config, modules, parameters, dtype })
}

/// Reads an adapter of `model`, with its weights widened to `f32`. An adapter of another model is refused with the first
/// module that does not fit.
pub fn read(dir: &Path, model: &ModelConfig) -> Result<Adapter> {
    let config = AdapterConfig::read(&config_file(dir)?)?;
    let mut found = Found::default();
    let files = weight_files(dir)?;
    for file in &files {
        let file = SafetensorsFile::open(file)?;
        for name in file.names() {
            found.add(&name, &file, model)?;
        }
    }
    found.assemble(&config, model, &files[0])
}

fn config_file(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(CONFIG_FILE);
    if path.is_file() {
        return Ok(path);
    }
    let message = if dir.join("adapter").join(CONFIG_FILE).is_file() {
        "this folder holds a run: its adapter is the folder adapter in it"
    } else if dir.is_dir() {
        "no adapter_config.json in the folder: not an adapter"
    } else {
        "no such folder"
    };
    Err(Error::file(message, dir))
}

/// The weights: one file, or the shards that an index names.
fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let single = dir.join(WEIGHTS_FILE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = dir.join(format!("{WEIGHTS_FILE}.index.json"));
    if index.is_file() {
        let text = std::fs::read_to_string(&index).map_err(Error::io("read the index of shards", &index))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::file(format!("not JSON: {e}"), &index))?;
        let mut files = std::collections::BTreeSet::new();
        for (tensor, file) in value["weight_map"].as_object().into_iter().flatten() {
            // A plain file name: an index does not reach out of its folder.
            match file.as_str().filter(|f| Path::new(f).file_name().is_some_and(|name| name == *f)) {
                Some(name) => files.insert(dir.join(name)),
                None => return Err(Error::tensor(tensor, "the index does not name a file of the folder", &index)),
            };
        }
        if files.is_empty() {
            return Err(Error::file("the index names no shards (weight_map)", &index));
        }
        return Ok(files.into_iter().collect());
    }
    let message = if dir.join("adapter_model.bin").is_file() {
        "the adapter's weights are a pickle (adapter_model.bin), which can run code when read: load it in PEFT and save \
         it again, which writes adapter_model.safetensors"
    } else {
        "no adapter_model.safetensors in the folder"
    };
    Err(Error::file(message, dir))
}

/// What a tensor's name says.
struct Key {
    /// The layers' path, such as `model.layers`.
    prefix: String,
    layer: usize,
    kind: LinearKind,
    /// A, else B.
    is_a: bool,
}

impl Key {
    /// Takes `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` apart, with or without the prefix, and with
    /// or without an adapter's name before `.weight`.
    fn parse(name: &str) -> std::result::Result<Key, String> {
        let short = name.strip_prefix(PREFIX).unwrap_or(name).replace("_orig_mod.", "");
        let (module, is_a) = match (short.split_once(".lora_A"), short.split_once(".lora_B")) {
            (Some((m, rest)), None) if is_weight(rest) => (m, true),
            (None, Some((m, rest))) if is_weight(rest) => (m, false),
            _ if short.contains("lora_magnitude_vector") => return Err("DoRA adapters are not supported yet".into()),
            _ if short.contains("lora_embedding_") => return Err("adapters on embeddings are not supported".into()),
            _ => return Err("not a weight of LoRA; whole trained modules are not supported".into()),
        };
        let unsupported = || {
            let kinds = "attention and feed-forward of the decoder's layers";
            format!("LoRA is supported on the linears of {kinds}, and this sits on {module}")
        };
        let mut parts = module.rsplitn(4, '.');
        let (kind, block, layer) = (parts.next(), parts.next(), parts.next());
        let prefix = parts.next().unwrap_or_default();
        let kind = kind.and_then(LinearKind::from_name).ok_or_else(unsupported)?;
        let layer = layer.and_then(|l| l.parse().ok()).ok_or_else(unsupported)?;
        let block_fits = block == Some(if kind.is_attention() { "self_attn" } else { "mlp" });
        if !block_fits || prefix.contains("vision") || !(prefix == "layers" || prefix.ends_with(".layers")) {
            return Err(unsupported());
        }
        Ok(Key { prefix: prefix.to_owned(), layer, kind, is_a })
    }
}

/// `.weight`, or `.weight` after the name of an adapter, which holds no dot.
fn is_weight(rest: &str) -> bool {
    let before = rest.strip_suffix(".weight");
    before.is_some_and(|b| b.is_empty() || (b.starts_with('.') && !b[1..].contains('.')))
}

/// The tensors read so far, by layer and place within the layer.
#[derive(Default)]
struct Found {
    prefix: String,
    pairs: BTreeMap<(usize, usize), Pair>,
}

#[derive(Default)]
struct Pair {
    a: Option<Matrix>,
    b: Option<Matrix>,
}

struct Matrix {
    name: String,
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Found {
    fn add(&mut self, name: &str, file: &SafetensorsFile, model: &ModelConfig) -> Result<()> {
        let fail = |message: String| Error::tensor(name, message, file.path());
        let key = Key::parse(name).map_err(fail)?;
        let other = |what: String| fail(format!("an adapter of another model: {what}"));
        if key.layer >= model.layers.len() {
            return Err(other(format!("it has a layer {}, this model has {}", key.layer, model.layers.len())));
        }
        let Some(place) = model.linears().iter().position(|k| *k == key.kind) else {
            let names: Vec<_> = model.linears().iter().map(|k| k.name()).collect();
            let what = format!("this model has no {}, it has {}", key.kind.name(), names.join(", "));
            return Err(other(what));
        };
        let Some(stored) = file.tensor(name)? else { return Ok(()) };
        let &[rows, cols] = stored.shape().as_slice() else {
            return Err(fail(format!("expected a matrix, got shape {:?}", stored.shape())));
        };
        let (out_features, in_features) = model.linear_shape(key.kind);
        if key.is_a && cols != in_features {
            return Err(other(format!("expected shape [r, {in_features}], got {:?}", stored.shape())));
        }
        if !key.is_a && rows != out_features {
            return Err(other(format!("expected shape [{out_features}, r], got {:?}", stored.shape())));
        }
        let data = stored.to_f32();
        if let Some(i) = data.iter().position(|x| !x.is_finite()) {
            return Err(fail(format!("element {i} is {}: the adapter is damaged", data[i])));
        }
        self.prefix = key.prefix;
        let pair = self.pairs.entry((key.layer, place)).or_default();
        let slot = if key.is_a { &mut pair.a } else { &mut pair.b };
        if slot.is_some() {
            return Err(fail("the same module a second time (the file holds more than one adapter)".into()));
        }
        *slot = Some(Matrix { name: name.to_owned(), rows, cols, data });
        Ok(())
    }

    /// Checks the weights against the settings and lays them out in the order of computation.
    fn assemble(self, config: &AdapterConfig, model: &ModelConfig, file: &Path) -> Result<Adapter> {
        if self.pairs.is_empty() {
            return Err(Error::file("the file holds no adapter weights", file));
        }
        self.check_complete(config, model, file)?;
        let mut modules = Vec::with_capacity(self.pairs.len());
        let mut params = Vec::new();
        let mut targets = Vec::new();
        for ((layer, place), pair) in self.pairs {
            let kind = model.linears()[place];
            let path = format!("{}.{layer}.{}", self.prefix, tail(kind));
            let (a, b) = match (pair.a, pair.b) {
                (Some(a), Some(b)) => (a, b),
                (Some(a), None) => return Err(Error::tensor(a.name.replace("lora_A", "lora_B"), "is missing", file)),
                (_, Some(b)) => return Err(Error::tensor(b.name.replace("lora_B", "lora_A"), "is missing", file)),
                (None, None) => continue,
            };
            let rank = config.rank_of(&path);
            for (matrix, got, expected) in [(&a, a.rows, [rank, a.cols]), (&b, b.cols, [b.rows, rank])] {
                if got != rank {
                    let message = format!(
                        "expected shape {expected:?} for the rank {rank} of adapter_config.json, got [{}, {}]",
                        matrix.rows, matrix.cols
                    );
                    return Err(Error::tensor(&matrix.name, message, file));
                }
            }
            let scale = scale(config.alpha_of(&path), rank, config.rslora);
            let (at_a, at_b) = (params.len(), params.len() + a.data.len());
            let (in_features, out_features) = (a.cols, b.rows);
            modules.push(LoraModule { layer, kind, in_features, out_features, rank, scale, a: at_a, b: at_b });
            params.extend_from_slice(&a.data);
            params.extend_from_slice(&b.data);
            if !targets.contains(&kind) {
                targets.push(kind);
            }
        }
        let targets = model.linears().iter().copied().filter(|k| targets.contains(k)).collect();
        let (rank, alpha) = (config.rank, config.alpha as f32);
        let config = LoraConfig { rank, alpha, dropout: config.dropout, rslora: config.rslora, targets };
        Ok(Adapter { config, modules, params })
    }

    /// The weights are those that the settings ask for, no more and no fewer: half an adapter would change the model
    /// without a word.
    fn check_complete(&self, config: &AdapterConfig, model: &ModelConfig, file: &Path) -> Result<()> {
        if matches!(config.targets, Targets::Unsaid) {
            return Ok(());
        }
        for layer in 0..model.layers.len() {
            for (place, &kind) in model.linears().iter().enumerate() {
                let path = format!("{}.{layer}.{}", self.prefix, tail(kind));
                let said =
                    config.adapts(&path) == Some(true) || config.adapts(&model.linear_path(layer, kind)) == Some(true);
                match (said, self.pairs.contains_key(&(layer, place))) {
                    (true, false) => {
                        let message = "adapter_config.json puts LoRA on this module, but the file has no weights for it \
                                       (cut off, or an adapter of another model)";
                        return Err(Error::tensor(path, message, file));
                    }
                    (false, true) => {
                        let message = "the file has weights for this module, but adapter_config.json puts no LoRA on it \
                                       (target_modules)";
                        return Err(Error::tensor(path, message, file));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `self_attn.q_proj`.
fn tail(kind: LinearKind) -> String {
    format!("{}.{}", if kind.is_attention() { "self_attn" } else { "mlp" }, kind.name())
}
/// The chat template beside an adapter: the one it was trained with, where that is not the model's own. Tools that save the
/// tokenizer with the adapter write it, too.
///
/// # Errors
/// The file is there and cannot be read.
pub fn chat_template(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(TEMPLATE_FILE);
    match fs::read_to_string(&path) {
        Ok(template) => Ok(Some(template)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read the chat template", &path)(e)),
    }
}
