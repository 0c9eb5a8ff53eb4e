//! What of a repository is on this computer; without network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Hub;
use super::id::{HubId, RepoKind};
use super::problem::Problem;
use crate::engine::Result;

impl Hub {
    /// The folder, or the GGUF file, of a model that was downloaded whole, by this or by another program.
    pub fn on_disk(&self, id: &HubId) -> Result<PathBuf> {
        let absent = |what: &str| {
            let advice = if self.settings.offline {
                "offline mode is on (HF_HUB_OFFLINE): turn it off and download it".to_string()
            } else {
                let dataset = if id.kind == RepoKind::Dataset { "--dataset " } else { "" };
                format!("get it with `lora-studio download {dataset}{id}`")
            };
            Problem::NotOnDisk.error(format!("{id} {what}: {advice}"))
        };
        let folder = self.cache.commit(id).map(|commit| self.cache.snapshot(id, &commit)).filter(|f| f.is_dir());
        let Some(folder) = folder else { return Err(absent("is not on this computer yet")) };
        if let Some(file) = &id.file {
            let path = folder.join(file);
            return if path.is_file() { Ok(path) } else { Err(absent("is not on this computer yet")) };
        }
        if id.kind == RepoKind::Dataset {
            return Ok(folder);
        }
        match whole_model(&folder) {
            Some(path) => Ok(path),
            None => {
                let ggufs = gguf_names(&folder);
                match ggufs.len() {
                    0 => Err(absent("is on this computer only in part")),
                    _ => Err(Problem::Choice { files: ggufs.clone() }.error(format!(
                        "several GGUF files of {id} are on this computer: choose one, as in {id}:{}; there are {}",
                        ggufs[0].0,
                        ggufs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                    ))),
                }
            }
        }
    }

    /// The data files of a data set that was downloaded, by name; empty if none was.
    pub fn dataset_on_disk(&self, id: &HubId) -> Result<Vec<PathBuf>> {
        let path = self.on_disk(id)?;
        if path.is_file() {
            return Ok(vec![path]);
        }
        let mut found = Vec::new();
        walk(&path, 4, &mut |file| found.push(file.to_path_buf()));
        found.retain(|file| {
            let name = file.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
            super::select::DATA_ENDINGS.iter().any(|ending| name.ends_with(ending))
        });
        found.sort();
        Ok(found)
    }
}

/// What there is to open in a folder: itself when it holds a configuration and all weights, or its only GGUF file.
pub(super) fn whole_model(folder: &Path) -> Option<PathBuf> {
    if folder.join("config.json").is_file() && has_weights(folder) {
        return Some(folder.to_path_buf());
    }
    match &gguf_names(folder)[..] {
        [(name, _)] => Some(folder.join(name)),
        _ => None,
    }
}

/// Whether `model.safetensors`, or every shard that the index names, is there.
pub(super) fn has_weights(folder: &Path) -> bool {
    let Ok(index) = fs::read(folder.join("model.safetensors.index.json")) else {
        return folder.join("model.safetensors").is_file();
    };
    let Ok(Value::Object(index)) = serde_json::from_slice(&index) else { return false };
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else { return false };
    let shards: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    !shards.is_empty() && shards.iter().all(|shard| folder.join(shard).is_file())
}

/// The GGUF files of a snapshot with their sizes, by their names in the repository.
pub(super) fn gguf_names(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    walk(folder, 3, &mut |file| {
        if is_gguf(file)
            && let (Ok(name), Ok(data)) = (file.strip_prefix(folder), fs::metadata(file))
        {
            found.push((name.to_string_lossy().replace('\\', "/"), data.len()));
        }
    });
    found.sort();
    found
}

/// Whether a name is a GGUF file's, and of a model rather than of a projector.
pub(super) fn is_gguf(file: &Path) -> bool {
    let name = file.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".gguf") && !name.starts_with("mmproj")
}

/// Every file below a folder, some folders deep; what cannot be read is passed over.
pub(super) fn walk(folder: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        // A link to a file counts as the file; one that leads nowhere as nothing.
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => walk(&path, depth - 1, visit),
            Ok(found) if found.is_file() => visit(&path),
            _ => {}
        }
    }
}
