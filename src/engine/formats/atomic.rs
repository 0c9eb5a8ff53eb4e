//! Files that appear whole or not at all: a temporary file beside the target, flushed to the disk, then renamed over it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::engine::{Error, Result};

/// Bytes that are written at once.
pub(crate) const BUFFER: usize = 1 << 20;

/// Writes `bytes` to `path`; at every instant the path holds the old file or the new one, never a part.
pub fn atomic_write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    atomic_write_with(path, |file| file.write_all(bytes))
}

/// Like [`atomic_write`], for contents that are produced piece by piece.
pub fn atomic_write_with(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = temporary_in(folder).map_err(Error::io("write the file", path))?;
    let mut buffered = BufWriter::with_capacity(BUFFER, temporary.as_file());
    write(&mut buffered).and_then(|()| buffered.flush()).map_err(Error::io("write the file", path))?;
    drop(buffered);
    temporary.as_file().sync_all().map_err(Error::io("write the file", path))?;
    temporary.persist(path).map_err(|e| e.error).map_err(Error::io("write the file", path))?;
    sync_folder(folder);
    Ok(())
}

/// A temporary file with the permissions of an ordinary one: `tempfile` alone would leave adapters readable by their
/// owner only.
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lora-studio-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's umask still applies.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the rename durable where folders can be synced. The contents are safe already, so a system that refuses is no
/// reason to fail.
fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(handle) = File::open(folder)
    {
        let _ = handle.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        atomic_write(&path, b"one").unwrap();
        atomic_write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        atomic_write(&path, b"one").unwrap();
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = atomic_write_with(&path, |file| file.write_all(b"half").and(Err(full()))).unwrap_err();
        assert!(error.to_string().contains("state.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_one_clear_error() {
        let error = atomic_write("no/such/folder/file.json", b"x").unwrap_err().to_string();
        assert!(
            error.starts_with("could not write the file: ") && error.ends_with("no/such/folder/file.json"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn files_have_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("a"), dir.path().join("b"));
        atomic_write(&ours, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
