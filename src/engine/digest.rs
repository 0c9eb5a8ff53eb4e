//! SHA-256 of files, remembered for as long as a file is the same.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::formats::atomic_write;
use super::{Error, Result};

/// Bytes of a file that are read at once.
pub(crate) const BUFFER: usize = 1 << 18;
/// Files below this size are hashed each time.
const SMALL: u64 = 4 << 20;

/// The program's cache folder: `LORA_STUDIO_CACHE`, or `lora-studio` where the system keeps caches.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("LORA_STUDIO_CACHE") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(dirs::cache_dir()?.join("lora-studio")),
    }
}

/// SHA-256 of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    sha256_while(path, &mut || true)
}

/// [`sha256`]; `more` is asked before each of them, and ends it with [`Error::Cancelled`] when it returns false.
fn sha256_while(path: &Path, more: &mut dyn FnMut() -> bool) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read the file", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        if !more() {
            return Err(Error::Cancelled("reading the file"));
        }
        let n = file.read(&mut buffer).map_err(Error::io("read the file", path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(hex(&hasher.finalize()))
}

/// [`sha256`], from the last time if path, size and time of change are what they were then. `more` is asked now and then;
/// false ends it with [`Error::Cancelled`].
pub fn sha256_remembered(path: &Path, more: &mut dyn FnMut() -> bool) -> Result<String> {
    let found = fs::metadata(path).map_err(Error::io("read the file", path))?;
    let modified = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let (Some(modified), true, Some(folder)) = (modified, found.len() >= SMALL, cache_folder()) else {
        return sha256_while(path, more);
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let file = Remembered { file: absolute, bytes: found.len(), modified: modified.as_nanos(), sha256: String::new() };
    let name = &hex(&Sha256::digest(file.file.as_os_str().as_encoded_bytes()))[..32];
    let place = folder.join("digests").join(format!("{name}.json"));
    let known = fs::read(&place).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
    if let Some(known) = known.filter(|known| Remembered { sha256: String::new(), ..known.clone() } == file) {
        return Ok(known.sha256);
    }
    let file = Remembered { sha256: sha256_while(path, more)?, ..file };
    // Only a saving of time: a cache that cannot be written is none.
    if let Ok(text) = serde_json::to_vec(&file)
        && place.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok())
    {
        let _ = atomic_write(&place, &text);
    }
    Ok(file.sha256)
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    file: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u128,
    sha256: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
