//! Models that are already on this computer, from three programs' folders. Nothing is read but names, manifests,
//! configurations and the first bytes of GGUF files; whatever is broken is passed over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Hub;
use super::disk::{gguf_names, has_weights, is_gguf, walk};
use super::id::is_commit;
use crate::engine::config::expand_home;
use crate::engine::formats::describe;

/// How a model is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// A folder with `config.json` and safetensors.
    Folder,
    /// A GGUF file.
    Gguf,
}

/// Whose folder a model was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalOrigin {
    /// The cache of the Hugging Face Hub.
    HuggingFace,
    /// LM Studio.
    LmStudio,
    /// Ollama.
    Ollama,
}

/// A model that is on this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalModel {
    /// What people call it: `owner/name`, `owner/name:file.gguf`, Ollama's `llama3.2:1b`.
    pub name: String,
    /// What [`crate::engine::formats::open`] takes.
    pub path: PathBuf,
    /// Bytes of the weights.
    pub bytes: u64,
    /// How it is stored.
    pub kind: LocalKind,
    /// Where it was found.
    pub origin: LocalOrigin,
    /// Why it cannot be trained, as far as its configuration tells: an architecture that is not supported, or parts
    /// that are missing.
    pub obstacle: Option<String>,
}

/// Models in the Hub's cache, in LM Studio's and in Ollama's folders, by name.
pub fn local_models() -> Vec<LocalModel> {
    Hub::from_environment().local_models()
}

/// Models in LM Studio's and in Ollama's folders.
fn models_of_other_programs() -> Vec<LocalModel> {
    let home = expand_home("~");
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let lm_studio = [home.join(".lmstudio/models"), home.join(".cache/lm-studio/models")];
    for folder in lm_studio {
        // The older folder is often a link to the newer one.
        if let Ok(real) = fs::canonicalize(&folder)
            && seen.insert(real)
        {
            found.extend(lm_studio_models(&folder));
        }
    }
    let ollama = std::env::var_os("OLLAMA_MODELS").map(PathBuf::from);
    for folder in ollama.into_iter().chain([home.join(".ollama/models"), "/usr/share/ollama/.ollama/models".into()]) {
        if let Ok(real) = fs::canonicalize(&folder)
            && seen.insert(real)
        {
            found.extend(ollama_models(&folder));
        }
    }
    found
}

impl Hub {
    /// Models in this Hub's cache, in LM Studio's and in Ollama's folders, by name.
    pub fn local_models(&self) -> Vec<LocalModel> {
        let mut found = self.cached_models();
        found.extend(models_of_other_programs());
        found.sort_by_key(|model| (model.origin, model.name.to_lowercase()));
        found
    }

    /// Bytes of everything in the cache, data sets and unfinished downloads included.
    pub fn cache_bytes(&self) -> u64 {
        let mut bytes = 0;
        for repo in folders(&self.cache.root) {
            // Snapshots are links to the blobs, and on Windows the files themselves.
            for part in ["blobs", "snapshots"] {
                add_bytes(&repo.join(part), 8, &mut bytes);
            }
        }
        bytes
    }

    /// The models in the Hub's cache.
    pub fn cached_models(&self) -> Vec<LocalModel> {
        let mut found = Vec::new();
        for repo in folders(&self.cache.root) {
            let name = repo.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("models--"));
            let Some(name) = name.map(|name| name.replacen("--", "/", 1)) else { continue };
            let main =
                fs::read_to_string(repo.join("refs/main")).map(|text| text.trim().to_string()).unwrap_or_default();
            for snapshot in folders(&repo.join("snapshots")) {
                let Some(commit) = snapshot.file_name().and_then(|n| n.to_str()).filter(|c| is_commit(c)) else {
                    continue;
                };
                let name = if commit == main { name.clone() } else { format!("{name}@{commit}") };
                found.extend(models_in(&snapshot, &name));
            }
        }
        found
    }
}

/// The models of a snapshot.
fn models_in(folder: &Path, name: &str) -> Vec<LocalModel> {
    let mut found = Vec::new();
    let ggufs: Vec<_> =
        gguf_names(folder).into_iter().filter(|(file, _)| starts_like_gguf(&folder.join(file))).collect();
    // Beside GGUF files a config.json is decoration.
    let has_config = folder.join("config.json").is_file();
    if has_config && (ggufs.is_empty() || has_weights(folder)) {
        found.extend(folder_model(folder, name, LocalOrigin::HuggingFace));
    }
    let only = ggufs.len() == 1 && found.is_empty();
    for (file, bytes) in ggufs {
        let name = if only { name.to_string() } else { format!("{name}:{file}") };
        found.push(gguf_model(name, folder.join(file), bytes, LocalOrigin::HuggingFace));
    }
    found
}

/// A folder with a configuration; `None` when it is of an adapter or of something else than a model.
fn folder_model(folder: &Path, name: &str, origin: LocalOrigin) -> Option<LocalModel> {
    let mut bytes = 0;
    for file in fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|e| e == "safetensors") {
            bytes += fs::metadata(&file).map_or(0, |found| found.len());
        }
    }
    let obstacle = match describe(folder) {
        Err(error) => Some(error.to_string()),
        Ok(_) if !has_weights(folder) => Some("only a part of it is on this computer: download the rest".to_string()),
        Ok(_) => None,
    };
    let (name, path) = (name.to_string(), folder.to_path_buf());
    Some(LocalModel { name, path, bytes, kind: LocalKind::Folder, origin, obstacle })
}

fn gguf_model(name: String, path: PathBuf, bytes: u64, origin: LocalOrigin) -> LocalModel {
    LocalModel { name, path, bytes, kind: LocalKind::Gguf, origin, obstacle: None }
}

/// `publisher/model/file.gguf`, and folders of safetensors.
fn lm_studio_models(root: &Path) -> Vec<LocalModel> {
    let mut found = Vec::new();
    for folder in folders(root).iter().flat_map(|publisher| folders(publisher)) {
        let Ok(name) = folder.strip_prefix(root) else { continue };
        let name = name.to_string_lossy().replace('\\', "/");
        let ggufs: Vec<_> = files(&folder).into_iter().filter(|path| is_gguf(path) && starts_like_gguf(path)).collect();
        for path in &ggufs {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let name = if ggufs.len() == 1 { name.clone() } else { format!("{name}:{file}") };
            let bytes = fs::metadata(path).map_or(0, |found| found.len());
            found.push(gguf_model(name, path.clone(), bytes, LocalOrigin::LmStudio));
        }
        if ggufs.is_empty() && folder.join("config.json").is_file() {
            found.extend(folder_model(&folder, &name, LocalOrigin::LmStudio));
        }
    }
    found
}

/// Ollama's manifests name the layers of a model; the one of the weights is a GGUF file.
fn ollama_models(root: &Path) -> Vec<LocalModel> {
    let manifests = root.join("manifests");
    let mut found = Vec::new();
    walk(&manifests, 5, &mut |manifest| {
        let Ok(path) = manifest.strip_prefix(&manifests) else { return };
        let Some((blob, bytes)) = ollama_weights(root, manifest) else { return };
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let Some((tag, parts)) = parts.split_last() else { return };
        let name = parts.join("/");
        let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        found.push(gguf_model(format!("{name}:{tag}"), blob, bytes, LocalOrigin::Ollama));
    });
    found
}

fn ollama_weights(root: &Path, manifest: &Path) -> Option<(PathBuf, u64)> {
    // A manifest is some hundred bytes; anything large is something else.
    if fs::metadata(manifest).ok()?.len() > 1 << 20 {
        return None;
    }
    let json: Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    let is_model = |layer: &&Value| layer["mediaType"] == "application/vnd.ollama.image.model";
    let digest = json["layers"].as_array()?.iter().find(is_model)?["digest"].as_str()?;
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let blob = root.join("blobs").join(format!("sha256-{hex}"));
    let bytes = fs::metadata(&blob).ok()?.len();
    starts_like_gguf(&blob).then_some((blob, bytes))
}

/// Adds up the files below a folder; links count nothing.
fn add_bytes(folder: &Path, depth: usize, bytes: &mut u64) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => add_bytes(&path, depth - 1, bytes),
            Ok(found) if found.is_file() => *bytes += found.len(),
            _ => {}
        }
    }
}

fn starts_like_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder, Path::is_dir)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder, Path::is_file)
}

fn entries(folder: &Path, wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| wanted(path)).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn names(models: &[LocalModel]) -> Vec<&str> {
        models.iter().map(|model| model.name.as_str()).collect()
    }

    #[test]
    fn ollama_manifests_lead_to_the_weights_and_broken_ones_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let manifest = |path: &str, layers: &str| {
            write(
                &root.join("manifests").join(path),
                format!("{{\"schemaVersion\":2,\"layers\":[{layers}]}}").as_bytes(),
            );
        };
        let layer = |kind: &str, digest: &str| {
            format!("{{\"mediaType\":\"application/vnd.ollama.image.{kind}\",\"digest\":\"{digest}\",\"size\":6}}")
        };
        let both = format!("{},{}", layer("template", "sha256:bb"), layer("model", "sha256:aa"));
        manifest("registry.ollama.ai/library/llama3.2/1b", &both);
        manifest("registry.ollama.ai/somebody/own/latest", &both);
        manifest("hf.co/org/name-GGUF/Q4_K_M", &both);
        manifest("registry.ollama.ai/library/gone/latest", &layer("model", "sha256:cc"));
        manifest("registry.ollama.ai/library/evil/latest", &layer("model", "sha256:../../x"));
        manifest("registry.ollama.ai/library/other/latest", &layer("model", "sha256:bb"));
        write(&root.join("manifests/registry.ollama.ai/library/broken/latest"), b"{");
        write(&root.join("blobs/sha256-aa"), b"GGUF\x03\0");
        write(&root.join("blobs/sha256-bb"), b"not a model");
        let mut found = ollama_models(root);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names(&found), ["hf.co/org/name-GGUF:Q4_K_M", "llama3.2:1b", "somebody/own:latest"]);
        let expected = (root.join("blobs/sha256-aa"), 6, LocalKind::Gguf);
        assert!(found.iter().all(|m| (m.path.clone(), m.bytes, m.kind) == expected));
    }

    #[test]
    fn lm_studio_has_a_folder_a_model() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("pub/one-GGUF/one-Q4.gguf"), b"GGUF1");
        write(&dir.path().join("pub/one-GGUF/mmproj-one.gguf"), b"GGUF1");
        write(&dir.path().join("pub/two-GGUF/a.gguf"), b"GGUF");
        write(&dir.path().join("pub/two-GGUF/b.gguf"), b"GGUF22");
        write(&dir.path().join("pub/broken/b.gguf"), b"GG");
        write(&dir.path().join("readme.txt"), b"x");
        let found = lm_studio_models(dir.path());
        assert_eq!(names(&found), ["pub/one-GGUF", "pub/two-GGUF:a.gguf", "pub/two-GGUF:b.gguf"]);
        assert_eq!((found[2].bytes, found[2].origin), (6, LocalOrigin::LmStudio));
    }

    #[test]
    fn the_cache_says_what_can_be_trained_and_passes_over_what_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let (main, old) = ("a".repeat(40), "b".repeat(40));
        let repo = dir.path().join("models--org--some-model");
        write(&repo.join("refs/main"), main.as_bytes());
        let whole = crate::engine::formats::builtin::model("tiny-chat").unwrap();
        for commit in [&main, &old] {
            let folder = repo.join("snapshots").join(commit);
            for name in ["config.json", "model.safetensors"] {
                write(&folder.join(name), &fs::read(whole.join(name)).unwrap());
            }
        }
        fs::remove_file(repo.join("snapshots").join(&old).join("model.safetensors")).unwrap();
        write(&repo.join("snapshots/no-commit/config.json"), b"{}");
        write(&dir.path().join("models--org--speech/refs/main"), main.as_bytes());
        let speech = dir.path().join("models--org--speech/snapshots").join(&main);
        write(&speech.join("config.json"), b"{\"model_type\": \"whisper\"}");
        write(&dir.path().join("models--org--empty/refs/main"), b"garbage");
        write(&dir.path().join("datasets--org--rows/snapshots").join(&main).join("config.json"), b"{}");
        write(&dir.path().join("version.txt"), b"1");
        let hub = Hub::with(super::super::settings::Settings::read(|name| {
            (name == "HF_HUB_CACHE").then(|| dir.path().to_string_lossy().into_owned())
        }));
        let mut found = hub.cached_models();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let partial = format!("org/some-model@{old}");
        assert_eq!(names(&found), ["org/some-model", partial.as_str(), "org/speech"]);
        assert_eq!(found[0].obstacle, None);
        assert_eq!(found[0].bytes, fs::metadata(whole.join("model.safetensors")).unwrap().len());
        crate::engine::formats::open(&found[0].path).unwrap();
        assert!(found[1].obstacle.as_ref().unwrap().contains("only a part"));
        assert!(found[2].obstacle.as_ref().unwrap().contains("whisper"));
    }
}
