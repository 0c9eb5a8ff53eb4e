//! What tests share: where other programs are, and what to do without them.

use std::path::PathBuf;

/// The Python of the peers' virtual environment (`LORA_STUDIO_PEERS`, or `~/.cache/lora-peers`). CI has none, so that a
/// test that wants it says that it is skipped, there too.
pub(crate) fn python() -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_PEERS")
        .map(PathBuf::from)
        .or_else(|| Some(dirs::home_dir()?.join(".cache/lora-peers")))?;
    let found = root.join("venv/bin/python");
    if !found.exists() {
        eprintln!("skipped: no Python with PEFT at {}", found.display());
    }
    found.exists().then_some(found)
}
