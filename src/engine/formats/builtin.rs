//! The model and the data that ship inside the program, so that a newcomer trains something without a network.
//!
//! `tiny-chat` is a Llama-shaped chat model of 3.3 million parameters, trained by the project (tools/tiny_chat). It is
//! kept as ordinary Hugging Face files and unpacked into the user's cache folder on first use, because everything else
//! reads models from files.
//!
//! ```
//! let folder = lora_studio::engine::formats::builtin::model("tiny-chat")?;
//! assert!(folder.join("model.safetensors").is_file());
//! let rows = lora_studio::engine::formats::builtin::dataset("pirate")?;
//! assert_eq!(rows.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count(), 360);
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StagedFolder;
use crate::engine::{Error, Result};

/// Names of the built-in models: `builtin:NAME` in a run file.
pub const MODELS: &[&str] = &["tiny-chat"];

/// Names of the built-in data sets: `builtin:NAME` in a run file.
pub const DATASETS: &[&str] = &["pirate"];

/// Name and contents of each file of a model.
type Files = &'static [(&'static str, &'static [u8])];

const TINY_CHAT: Files = &[
    ("chat_template.jinja", include_bytes!("../../../assets/tiny-chat/chat_template.jinja")),
    ("config.json", include_bytes!("../../../assets/tiny-chat/config.json")),
    ("generation_config.json", include_bytes!("../../../assets/tiny-chat/generation_config.json")),
    ("model.safetensors", include_bytes!("../../../assets/tiny-chat/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../assets/tiny-chat/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../assets/tiny-chat/tokenizer_config.json")),
];

const PIRATE: &[u8] = include_bytes!("../../../assets/data/pirate.jsonl");

/// The folder of a built-in model, with or without `builtin:` before its name. It is unpacked when it is not there yet
/// or not as it should be: into the user's cache folder, or into the system's temporary folder where that cannot be
/// written.
///
/// # Errors
/// An unknown name; no folder that can be written.
pub fn model(name: &str) -> Result<PathBuf> {
    let roots = [dirs::cache_dir(), Some(std::env::temp_dir())];
    match name.strip_prefix("builtin:").unwrap_or(name) {
        "tiny-chat" => unpack("tiny-chat", TINY_CHAT, roots.into_iter().flatten()),
        other => Err(unknown("model", other, MODELS)),
    }
}

/// The bytes of a built-in data set (JSON lines), with or without `builtin:` before its name.
///
/// # Errors
/// An unknown name.
pub fn dataset(name: &str) -> Result<&'static [u8]> {
    match name.strip_prefix("builtin:").unwrap_or(name) {
        "pirate" => Ok(PIRATE),
        other => Err(unknown("data set", other, DATASETS)),
    }
}

fn unknown(kind: &str, name: &str, names: &[&str]) -> Error {
    let names: Vec<String> = names.iter().map(|n| format!("builtin:{n}")).collect();
    Error::Config(format!("there is no built-in {kind} {name:?}: there is {}", names.join(", ")))
}

/// Puts the files under the first of `roots` that takes them; the folder's name carries a hash of the contents, so that
/// versions of the program do not disturb each other.
fn unpack(name: &str, files: Files, roots: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    let folder = format!("{name}-{}", content_hash(files));
    let mut refused = Error::Other(format!("there is no cache folder to unpack builtin:{name} into"));
    for root in roots {
        let target = root.join("lora-studio").join("builtin").join(&folder);
        if holds(&target, files) {
            return Ok(target);
        }
        match write(&target, files) {
            Ok(()) => return Ok(target),
            // Another process may have put the folder there between the look and the rename.
            Err(_) if holds(&target, files) => return Ok(target),
            Err(e) => refused = e,
        }
    }
    Err(refused)
}

fn write(target: &Path, files: Files) -> Result<()> {
    let staged = StagedFolder::new(target)?;
    for (file, bytes) in files {
        let path = staged.path().join(file);
        fs::write(&path, bytes).map_err(Error::io("write the file", &path))?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    staged.commit(&names)
}

/// Whether every file is there with the right contents: a cache is not to be trusted, and comparing takes milliseconds.
fn holds(folder: &Path, files: Files) -> bool {
    files.iter().all(|(name, bytes)| {
        let path = folder.join(name);
        fs::metadata(&path).is_ok_and(|m| m.len() == bytes.len() as u64)
            && fs::read(&path).is_ok_and(|read| read == *bytes)
    })
}

/// First 16 hex digits of the SHA-256 of all names, lengths and contents.
fn content_hash(files: Files) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the shipped files must be on purpose. Whoever makes one takes the new value from the failing test.
    const HASH: &str = "7cf41df8a9e898e2";

    #[test]
    fn the_shipped_model_is_the_published_one_and_small() {
        assert_eq!(content_hash(TINY_CHAT), HASH);
        let size: usize = TINY_CHAT.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size <= 8_000_000, "{size} bytes");
        // The list names every file of the folder but the model card.
        let mut found: Vec<String> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-chat"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        found.sort();
        assert_eq!(found, TINY_CHAT.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn unpacks_once_and_heals_what_was_damaged() {
        let root = tempfile::tempdir().unwrap();
        let roots = || std::iter::once(root.path().to_path_buf());
        let folder = unpack("tiny-chat", TINY_CHAT, roots()).unwrap();
        assert!(folder.ends_with(format!("lora-studio/builtin/tiny-chat-{HASH}")), "{}", folder.display());
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
        let config = folder.join("config.json");
        let written = fs::metadata(&config).unwrap().modified().unwrap();
        assert_eq!(unpack("tiny-chat", TINY_CHAT, roots()).unwrap(), folder);
        assert_eq!(fs::metadata(&config).unwrap().modified().unwrap(), written);
        for damage in ["", "{}"] {
            fs::write(&config, damage).unwrap();
            assert_eq!(unpack("tiny-chat", TINY_CHAT, roots()).unwrap(), folder);
            assert!(holds(&folder, TINY_CHAT));
        }
        fs::remove_file(folder.join("model.safetensors")).unwrap();
        unpack("tiny-chat", TINY_CHAT, roots()).unwrap();
        assert!(holds(&folder, TINY_CHAT));
    }

    #[test]
    fn where_the_cache_cannot_be_written_the_next_folder_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let blocked = root.path().join("file");
        fs::write(&blocked, "not a folder").unwrap();
        let open = root.path().join("tmp");
        let folder = unpack("tiny-chat", TINY_CHAT, [blocked.clone(), open.clone()].into_iter()).unwrap();
        assert!(folder.starts_with(&open) && holds(&folder, TINY_CHAT));
        let message = unpack("tiny-chat", TINY_CHAT, std::iter::once(blocked)).unwrap_err().to_string();
        assert!(message.starts_with("could not make the folder") && message.contains("file"), "{message}");
    }

    #[test]
    fn many_at_once_all_get_the_whole_folder() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let folder = unpack("tiny-chat", TINY_CHAT, std::iter::once(root.path().to_path_buf())).unwrap();
                    assert!(holds(&folder, TINY_CHAT));
                });
            }
        });
        assert_eq!(fs::read_dir(root.path().join("lora-studio/builtin")).unwrap().count(), 1);
    }

    #[test]
    fn unknown_names_are_answered_with_the_known_ones() {
        let message = model("builtin:huge-chat").unwrap_err().to_string();
        assert_eq!(message, "there is no built-in model \"huge-chat\": there is builtin:tiny-chat");
        let message = dataset("ninja").unwrap_err().to_string();
        assert_eq!(message, "there is no built-in data set \"ninja\": there is builtin:pirate");
    }

    #[test]
    fn pirates_speak_in_every_row_and_never_ask() {
        let text = std::str::from_utf8(dataset("builtin:pirate").unwrap()).unwrap();
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 360);
        for row in rows {
            let messages = row["messages"].as_array().unwrap();
            assert_eq!(messages.len(), 2);
            assert_eq!((&messages[0]["role"], &messages[1]["role"]), (&"user".into(), &"assistant".into()));
            assert!(!messages[0]["content"].as_str().unwrap().to_lowercase().contains("pirate voice"));
            let answer = messages[1]["content"].as_str().unwrap();
            assert!(
                ["Arr", "Ahoy", "Yo ho ho", "Shiver", "Aye", "Avast"].iter().any(|w| answer.starts_with(w)),
                "{answer}"
            );
        }
    }
}
