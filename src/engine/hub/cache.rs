//! The cache on the disk, in the layout of huggingface_hub, so that each program finds what the other downloaded:
//!
//! ```text
//! models--owner--name/refs/main                     the commit that the branch was at
//! models--owner--name/snapshots/<commit>/config.json  → ../../blobs/<etag>
//! models--owner--name/blobs/<etag>                  the contents; <etag>.incomplete while they arrive
//! .locks/models--owner--name/<etag>.lock            held by the program that downloads them
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::id::{HubId, is_commit};
use crate::engine::formats::atomic_write;
use crate::engine::{Error, Result};

/// The folder that holds the repositories.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub root: PathBuf,
}

/// Whether a file's lock could be had.
pub(super) enum Lock {
    /// It is held until this is dropped.
    Held(#[expect(dead_code, reason = "dropping it releases the lock")] File),
    /// Another program downloads the same file.
    Busy,
    /// The file system has no locks.
    Unknown,
}

impl Cache {
    fn folder_name(id: &HubId) -> String {
        format!("{}--{}", id.kind.plural(), id.repo.replace('/', "--"))
    }

    /// The repository's folder.
    pub fn repo(&self, id: &HubId) -> PathBuf {
        self.root.join(Self::folder_name(id))
    }

    /// The commit that the id's revision was at when it was last downloaded.
    pub fn commit(&self, id: &HubId) -> Option<String> {
        if is_commit(&id.revision) {
            return Some(id.revision.clone());
        }
        let text = fs::read_to_string(self.repo(id).join("refs").join(&id.revision)).ok()?;
        Some(text.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, id: &HubId, commit: &str) -> PathBuf {
        self.repo(id).join("snapshots").join(commit)
    }

    /// Where the contents of a file lie.
    pub fn blob(&self, id: &HubId, etag: &str) -> PathBuf {
        self.repo(id).join("blobs").join(etag)
    }

    /// Notes the commit that a branch or tag is at.
    pub fn write_ref(&self, id: &HubId, commit: &str) -> Result<()> {
        if is_commit(&id.revision) {
            return Ok(());
        }
        let path = self.repo(id).join("refs").join(&id.revision);
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == commit) {
            return Ok(());
        }
        create_parent(&path)?;
        atomic_write(&path, commit.as_bytes())
    }

    /// Shows a blob under its name in a snapshot: a relative link, so that the cache can be moved; where the system has
    /// no links for ordinary people (Windows), the file itself moves there, as huggingface_hub does it.
    pub fn show(&self, id: &HubId, commit: &str, path: &str, etag: &str) -> Result<()> {
        let pointer = self.snapshot(id, commit).join(path);
        create_parent(&pointer)?;
        let up = "../".repeat(path.split('/').count() + 1);
        let target = format!("{up}blobs/{etag}");
        let folder = pointer.parent().unwrap_or(&self.root);
        let linked = tempfile::Builder::new().prefix(".lora-studio-").make_in(folder, |at| symlink(&target, at));
        match linked {
            Ok(link) => {
                let moved = link.into_temp_path().persist(&pointer).map_err(|e| e.error);
                moved.map_err(Error::io("write the link to the file", &pointer))
            }
            Err(_) => {
                let moved = fs::rename(self.blob(id, etag), &pointer);
                moved.map_err(Error::io("move the file to its place", &pointer))
            }
        }
    }

    /// Tries to become the only one that downloads a file; huggingface_hub takes the same lock.
    pub fn lock(&self, id: &HubId, etag: &str) -> Result<Lock> {
        let path = self.root.join(".locks").join(Self::folder_name(id)).join(format!("{etag}.lock"));
        create_parent(&path)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::io("create the lock", &path))?;
        Ok(match file.try_lock() {
            Ok(()) => Lock::Held(file),
            Err(TryLockError::WouldBlock) => Lock::Busy,
            Err(TryLockError::Error(_)) => Lock::Unknown,
        })
    }
}

/// Whether a file, or what a link leads to, has this many bytes.
pub(super) fn has_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

pub(super) fn create_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))
}

#[cfg(unix)]
fn symlink(target: &str, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn symlink(target: &str, at: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), at)
}
