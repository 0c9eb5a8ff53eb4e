//! Hugging Face folders: `config.json` beside one or more safetensors files.

mod config;
pub(crate) mod json;
mod rope;

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use json::Json;

#[cfg(test)]
pub(crate) use config::model_config;
pub(crate) use config::{SUPPORTED, read_config};

use super::safetensors::SafetensorsFile;
use crate::engine::{Error, Result};

/// The safetensors files of a folder and which tensor is in which.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) files: Vec<SafetensorsFile>,
    by_name: HashMap<String, usize>,
    /// What stands before `embed_tokens.weight` and `layers.…` in these files.
    prefix: &'static str,
}

/// Prefixes of the text model's tensors, by who saved the file: transformers' causal models; multimodal models of
/// transformers 5 and of transformers 4; a bare base model.
const PREFIXES: [&str; 4] = ["model.", "model.language_model.", "language_model.model.", ""];

impl Weights {
    /// Opens the files of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Weights> {
        let index = folder.join("model.safetensors.index.json");
        let (files, by_name) = if index.exists() { open_shards(folder, &index)? } else { open_single(folder)? };
        let has = |prefix: &&&str| by_name.contains_key(&format!("{prefix}embed_tokens.weight"));
        let prefix = PREFIXES.iter().find(has).ok_or_else(|| {
            Error::tensor("model.embed_tokens.weight", "absent: these are not the weights of a language model", folder)
        })?;
        Ok(Weights { files, by_name, prefix })
    }

    /// The file that holds a tensor and the tensor's name there; `name` as in the family's Hugging Face model.
    pub(crate) fn find(&self, name: &str) -> Option<(&SafetensorsFile, String)> {
        let suffix = strip_prefix(name);
        let candidates = [format!("{}{suffix}", self.prefix), suffix.to_string(), format!("language_model.{suffix}")];
        candidates.into_iter().find_map(|full| Some((&self.files[*self.by_name.get(&full)?], full)))
    }
}

/// A tensor's name below the text model: `layers.0.mlp.up_proj.weight`, `lm_head.weight`.
pub(crate) fn strip_prefix(name: &str) -> &str {
    let strip = |prefix: &&str| name.strip_prefix(*prefix);
    ["model.language_model.", "language_model.model.", "model."].iter().find_map(strip).unwrap_or(name)
}

type Opened = (Vec<SafetensorsFile>, HashMap<String, usize>);

fn open_single(folder: &Path) -> Result<Opened> {
    let path = folder.join("model.safetensors");
    if !path.exists() {
        return Err(no_weights(folder));
    }
    let file = SafetensorsFile::open(&path)?;
    let by_name = file.names().into_iter().map(|name| (name, 0)).collect();
    Ok((vec![file], by_name))
}

/// Opens the shards that an index names. The index says where a tensor is; the shards say whether it is there.
fn open_shards(folder: &Path, index: &Path) -> Result<Opened> {
    let json = Json::read(index)?;
    let map = json.object("weight_map")?.ok_or_else(|| Error::file("the required key weight_map is missing", index))?;
    let mut files: Vec<SafetensorsFile> = Vec::new();
    let mut opened: HashMap<String, usize> = HashMap::new();
    let mut by_name = HashMap::with_capacity(map.map.len());
    for (tensor, shard) in &map.map {
        let shard = shard.as_str().ok_or_else(|| map.wrong(tensor, "a file name", shard))?;
        let at = match opened.get(shard) {
            Some(&at) => at,
            None => {
                files.push(open_shard(folder, shard, index)?);
                opened.insert(shard.to_string(), files.len() - 1);
                files.len() - 1
            }
        };
        if files[at].info(tensor).is_none() {
            let message = format!("the index says it is in {shard}, which does not hold it; download the model again");
            return Err(Error::tensor(tensor, message, files[at].path()));
        }
        by_name.insert(tensor.clone(), at);
    }
    Ok((files, by_name))
}

fn open_shard(folder: &Path, shard: &str, index: &Path) -> Result<SafetensorsFile> {
    let inside = Path::new(shard).components().all(|c| matches!(c, Component::Normal(_)));
    if !inside || shard.is_empty() {
        return Err(Error::file(format!("the index names {shard:?}, which is outside the model's folder"), index));
    }
    let path = folder.join(shard);
    if !path.exists() {
        let message = format!("the shard {shard} is missing; download or copy it again");
        return Err(Error::file(message, folder));
    }
    SafetensorsFile::open(path)
}

/// Why a folder has nothing to open, and what to do.
fn no_weights(folder: &Path) -> Error {
    let has = |name: &str| folder.join(name).exists();
    let message = if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
        "the weights are a PyTorch pickle, which is not read because it can run code; convert them to safetensors \
         (transformers: model.save_pretrained)"
    } else if has("adapter_config.json") {
        "this folder holds an adapter, not a model; name its base model here"
    } else {
        "no model.safetensors and no model.safetensors.index.json in this folder"
    };
    Error::file(message, folder)
}

/// Why a folder is not a model's, and what to do.
pub(crate) fn no_config(folder: &Path) -> Error {
    if folder.join("adapter_config.json").exists() {
        no_weights(folder)
    } else {
        Error::file("not a model: no config.json in this folder (a model is such a folder, or a .gguf file)", folder)
    }
}

/// `license:` of a README's front matter.
pub(crate) fn license(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("README.md")).ok()?;
    let mut lines = text.lines();
    (lines.next()?.trim_end() == "---").then_some(())?;
    let value = lines.take_while(|l| l.trim_end() != "---").find_map(|l| l.strip_prefix("license:"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_string())
}

/// The Hub id of a folder inside the Hub's cache, `models--org--name/snapshots/<commit>`.
pub(crate) fn hub_id(folder: &Path) -> Option<String> {
    let parts: Vec<_> = folder.components().rev().take(3).map(|c| c.as_os_str().to_str()).collect::<Option<_>>()?;
    let [_, "snapshots", model] = parts[..] else { return None };
    Some(model.strip_prefix("models--")?.replacen("--", "/", 1))
}

/// A `.gguf` file alone in a folder without a `config.json`.
pub(crate) fn only_gguf(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path());
    let mut found = entries.filter(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests;
