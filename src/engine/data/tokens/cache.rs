//! Tokenized rows kept on the disk, found again by what they depend on: the bytes of the data, how its rows are read, the
//! chat template, the tokenizer, and the mask.
//!
//! An entry is a folder of four files, made under another name and renamed when it is whole. Nothing changes it later. The
//! folder is that of `LORA_STUDIO_CACHE`, else `lora-studio` where the system keeps caches; deleting it costs the time
//! to tokenize again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bytes::{Bytes, Growing};
use super::record::{RECORD_BYTES, WRONG_BYTES};
use super::{Summary, Tokenized, Tolerance, tokenize};
use crate::engine::config::{DataConfig, MASK_FAULTS, OnBadRow};
use crate::engine::data::Encoder;
use crate::engine::data::rows::Source;
use crate::engine::digest;
use crate::engine::formats::{TextTokenizer, atomic_write};
use crate::engine::{Error, Result};

/// Changes whenever the same input would give other bytes.
const VERSION: u32 = 5;
/// Sources below this size are tokenized again each time: quicker than keeping them in order.
const SMALL: u64 = 1 << 20;
/// Entries that were not used for this long are removed.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// All entries together; the oldest go first.
const LIMIT: u64 = 32 << 30;

const INDEX: &str = "index.bin";
const TOKENS: &str = "tokens.bin";
const WRONG: &str = "wrong.bin";
const SUMMARY: &str = "summary.json";

/// Where entries lie.
pub fn folder() -> Option<PathBuf> {
    digest::cache_folder().map(|folder| folder.join("tokens"))
}

/// The first rows of a source, in memory. `more` is asked now and then; false ends with [`Error::Cancelled`].
pub(in crate::engine::data) fn first(
    source: &Source,
    settings: &DataConfig,
    encoder: &Encoder,
    limit: usize,
    more: &mut dyn FnMut() -> bool,
) -> Result<Tokenized> {
    tokenize(source, settings, encoder, Tolerance::List, in_memory(), limit, &mut |_| more())
}

/// The rows of a source as tokens: from the cache, or read now. `progress(done, total)` counts bytes; false ends with
/// [`Error::Cancelled`].
pub(in crate::engine::data) fn tokenized(
    source: &Source,
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    encoder: &Encoder,
    tolerance: Tolerance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Tokenized> {
    if source.bytes() < SMALL || source.is_in_memory() {
        let made = tokenize(source, settings, encoder, tolerance, in_memory(), usize::MAX, progress)?;
        return source.unchanged().map(|()| made);
    }
    let root = folder().ok_or_else(|| no_place(&Error::Other("the system names no cache folder".into())))?;
    tokenized_in(&root, source, settings, tokenizer, encoder, tolerance, progress)
}

/// [`tokenized`] with entries in this folder, whatever the size.
pub(in crate::engine::data) fn tokenized_in(
    root: &Path,
    source: &Source,
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    encoder: &Encoder,
    tolerance: Tolerance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Tokenized> {
    let key = key(source, settings, tokenizer, encoder, &mut || progress(0))?;
    let entry = root.join(&key);
    if let Some(found) = open(&entry, source)? {
        return Ok(found);
    }
    let making = make_room(root).map_err(|error| no_place(&error))?;
    let file = |name: &str| Growing::create(making.path().join(name));
    let files = [file(INDEX)?, file(TOKENS)?, file(WRONG)?];
    let made = tokenize(source, settings, encoder, tolerance, files, usize::MAX, progress)?;
    // Else the entry would be found under the key of bytes that it is not of.
    source.unchanged()?;
    let summary = serde_json::to_vec(&Stored::of(&made)).map_err(|e| Error::Other(e.to_string()))?;
    atomic_write(making.path().join(SUMMARY), &summary)?;
    // Where another process was quicker, its entry is as good; the files of this one stay readable until they are closed.
    let _ = fs::rename(making.path(), &entry);
    Ok(made)
}

fn in_memory() -> [Growing; 3] {
    std::array::from_fn(|_| Growing::Memory(Vec::new()))
}

fn no_place(error: &Error) -> Error {
    let advice = "LORA_STUDIO_CACHE can name another folder for the tokenized rows";
    Error::Other(format!("the tokenized rows have no place: {error}; {advice}"))
}

/// What is kept beside the rows.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    index_bytes: u64,
    token_bytes: u64,
    wrong_bytes: u64,
    summary: Summary,
}

impl Stored {
    fn of(made: &Tokenized) -> Stored {
        let index_bytes = (made.len() * RECORD_BYTES) as u64;
        let wrong_bytes = (made.summary.wrong_rows * WRONG_BYTES) as u64;
        let (token_bytes, summary) = (made.tokens.len(), made.summary.clone());
        Stored { version: VERSION, index_bytes, token_bytes, wrong_bytes, summary }
    }
}

/// An entry, if it is there and whole. One that is not is removed.
fn open(entry: &Path, source: &Source) -> Result<Option<Tokenized>> {
    let Ok(text) = fs::read(entry.join(SUMMARY)) else { return Ok(None) };
    let opened = serde_json::from_slice::<Stored>(&text).ok().filter(|s| s.version == VERSION).and_then(|stored| {
        let index = Bytes::open(&entry.join(INDEX), stored.index_bytes).ok()?;
        let tokens = Bytes::open(&entry.join(TOKENS), stored.token_bytes).ok()?;
        let wrong = Bytes::open(&entry.join(WRONG), stored.wrong_bytes).ok()?;
        Some(Tokenized::new(source.clone(), stored.summary, [index, tokens, wrong]))
    });
    match &opened {
        // When it was used last decides what goes when room is needed.
        Some(_) => {
            let file = fs::File::options().append(true).open(entry.join(SUMMARY));
            let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
        }
        None => {
            let _ = fs::remove_dir_all(entry);
        }
    }
    Ok(opened)
}

/// What an entry depends on, in hexadecimal. `more` is asked before each file is hashed.
fn key(
    source: &Source,
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    encoder: &Encoder,
    more: &mut dyn FnMut() -> bool,
) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(&VERSION.to_le_bytes());
    add(env!("CARGO_PKG_VERSION").as_bytes());
    // Settings that only choose among tokenized rows are not in it.
    let settings = DataConfig {
        train: String::new(),
        validation: String::new(),
        validation_fraction: 0.0,
        validation_rows: 0,
        hub_config: String::new(),
        hub_split: String::new(),
        hub_validation_split: String::new(),
        deduplicate: false,
        // It decides whether every mask is checked.
        leave_out: if settings.leaves_out(MASK_FAULTS) { vec![MASK_FAULTS.into()] } else { Vec::new() },
        on_bad_row: OnBadRow::Stop,
        max_seq_len: 0,
        packing: false,
        shuffle: false,
        ..settings.clone()
    };
    add(serde_json::to_string(&settings).map_err(|e| Error::Other(e.to_string()))?.as_bytes());
    add(&encoder.fingerprint());
    add(tokenizer.tokenizer.to_string(false).map_err(|e| Error::Other(e.to_string()))?.as_bytes());
    for file in source.files() {
        let ending = file.extension().unwrap_or_default();
        add(ending.to_string_lossy().as_bytes());
        add(digest::sha256_remembered(file, more)?.as_bytes());
    }
    Ok(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// A folder for a new entry, after what nobody needs any more was removed.
fn make_room(root: &Path) -> Result<tempfile::TempDir> {
    fs::create_dir_all(root).map_err(Error::io("make the cache folder", root))?;
    let used = |path: &Path| fs::metadata(path.join(SUMMARY)).or_else(|_| fs::metadata(path))?.modified();
    let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::io("list the cache folder", root))?.flatten() {
        let path = entry.path();
        let size = |name: &str| fs::metadata(path.join(name)).map_or(0, |found| found.len());
        if let Ok(used) = used(&path) {
            entries.push((used, size(INDEX) + size(TOKENS) + size(WRONG), path));
        }
    }
    entries.sort();
    let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
    for (used, size, path) in entries {
        let age = used.elapsed().unwrap_or_default();
        // What is being made by another process is younger than a day.
        let half_made = !path.join(SUMMARY).exists() && age > Duration::from_secs(24 * 3600);
        if half_made || age > UNUSED || (total > LIMIT && path.join(SUMMARY).exists()) {
            let _ = fs::remove_dir_all(&path);
            total -= size;
        }
    }
    tempfile::Builder::new().prefix("new-").tempdir_in(root).map_err(Error::io("make a folder in", root))
}
