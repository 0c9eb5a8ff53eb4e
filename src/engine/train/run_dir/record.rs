//! The record of a run's inputs: which files, how large, which bytes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::config::{FileRecord, Record, RunConfig};
use crate::engine::digest::{sha256, sha256_remembered};
use crate::engine::formats::atomic_write;
use crate::engine::{Error, Result};

/// Inputs up to this size are hashed again when a run is continued; larger ones are compared by size.
const REHASH_BYTES: u64 = 64 << 20;

/// The files behind an input: itself, or those of a folder that make up a model or an adapter.
pub fn input_files(input: &Path) -> Result<Vec<PathBuf>> {
    if !input.is_dir() {
        return Ok(vec![input.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(input).map_err(Error::io("list the folder", input))? {
        let path = entry.map_err(Error::io("list the folder", input))?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        if path.is_file() && ["safetensors", "json", "jinja", "gguf", "model"].contains(&extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The record without hashes.
pub(super) fn begin(inputs: &[PathBuf]) -> Result<Record> {
    let mut files = Vec::new();
    for input in inputs {
        for path in input_files(input)? {
            let bytes = fs::metadata(&path).map_err(Error::io("read the file", &path))?.len();
            let path = std::path::absolute(&path).unwrap_or(path);
            files.push(FileRecord { path: path.to_string_lossy().into_owned(), bytes, sha256: String::new() });
        }
    }
    Ok(Record {
        version: env!("CARGO_PKG_VERSION").into(),
        created: jiff::ZonedDateTime::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        files,
    })
}

/// Hashes the inputs and writes the run file again, now complete.
pub(super) fn hash_into(mut config: RunConfig, mut record: Record, path: &Path) -> Result<()> {
    for file in &mut record.files {
        file.sha256 = sha256_remembered(Path::new(&file.path), &mut || true)?;
    }
    config.record = Some(record);
    atomic_write(path, config.to_toml()?.as_bytes())
}

/// One sentence for each input that is not what the record says: a continued run would not repeat the original.
pub fn changed_inputs(record: &Record) -> Vec<String> {
    let mut changed = Vec::new();
    for file in &record.files {
        let path = Path::new(&file.path);
        let Ok(meta) = fs::metadata(path) else {
            changed.push(format!("an input of the run is gone: {}", file.path));
            continue;
        };
        let hash = || sha256(path).unwrap_or_default();
        let small = meta.len() <= REHASH_BYTES && !file.sha256.is_empty();
        if meta.len() != file.bytes || (small && hash() != file.sha256) {
            changed.push(format!("an input has changed since the run began: {}", file.path));
        }
    }
    changed
}
