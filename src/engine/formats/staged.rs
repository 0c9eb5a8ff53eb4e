//! Folders that appear whole or not at all.
//!
//! A folder is written under a temporary name beside its target, flushed to the disk, and only then takes the target's
//! name. Whoever looks at the target, also after a power cut, sees the old folder or the new one, never half of one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::engine::{Error, Result};

/// A folder in the making. Dropped without [`StagedFolder::commit`], it disappears.
#[derive(Debug)]
pub struct StagedFolder {
    target: PathBuf,
    parent: PathBuf,
    temp: tempfile::TempDir,
}

impl StagedFolder {
    /// Makes an empty folder beside `target`, whose parents are made too.
    pub fn new(target: impl AsRef<Path>) -> Result<StagedFolder> {
        let target = std::path::absolute(target.as_ref()).map_err(Error::io("find the folder", target.as_ref()))?;
        let (Some(parent), Some(name)) = (target.parent().map(Path::to_path_buf), target.file_name()) else {
            return Err(Error::file("this cannot be the name of a folder to write", &target));
        };
        fs::create_dir_all(&parent).map_err(Error::io("make the folder", &parent))?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        // A temporary folder is private by default; this one becomes an ordinary folder, cut down by the umask alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let temp = builder.tempdir_in(&parent).map_err(Error::io("make a folder in", &parent))?;
        Ok(StagedFolder { target, parent, temp })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Flushes everything and gives the folder its name.
    ///
    /// A folder that has the name already is replaced when it is empty or of our making, which is to say that it holds one
    /// of `markers`; otherwise it is somebody's, and an error. Files in it that the new folder does not have are moved over:
    /// a `.git` or a tokenizer that was put beside an adapter stays.
    pub fn commit(self, markers: &[&str]) -> Result<()> {
        sync_files(self.temp.path())?;
        let rename = || Error::io("put the finished folder in place", &self.target);
        match fs::symlink_metadata(&self.target) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                fs::rename(self.temp.path(), &self.target).map_err(rename())?;
                // The name is the target's now: nothing is left to clean up.
                let _ = self.temp.keep();
            }
            Err(e) => return Err(rename()(e)),
            Ok(_) => {
                check_replaceable(&self.target, markers)?;
                // A link to a folder stays a link: the folder that it points to is exchanged.
                let target = fs::canonicalize(&self.target).map_err(rename())?;
                exchange(self.temp.path(), &target).map_err(rename())?;
                // The temporary name now holds the old folder.
                for name in names(self.temp.path())? {
                    let (from, to) = (self.temp.path().join(&name), target.join(&name));
                    if fs::symlink_metadata(&to).is_err() {
                        fs::rename(from, to).map_err(Error::io("move a file into the new folder", &target))?;
                    }
                }
                self.temp.close().map_err(Error::io("remove the replaced folder", &self.target))?;
            }
        }
        sync_folder(&self.parent)
    }
}

/// Refuses to replace what is not a folder of ours.
fn check_replaceable(dir: &Path, markers: &[&str]) -> Result<()> {
    let names = names(dir)?;
    // What file managers leave behind makes a folder nobody's.
    let left_behind = |n: &OsString| n == "Thumbs.db" || n == "desktop.ini" || n.as_encoded_bytes().starts_with(b".");
    let ours = names.iter().any(|n| markers.iter().any(|m| n == *m));
    match names.iter().find(|n| !left_behind(n)).filter(|_| !ours) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "the folder exists and holds something else (\"{}\"): choose another folder",
                name.to_string_lossy()
            );
            Err(Error::file(message, dir))
        }
    }
}

/// The names in a folder, sorted.
fn names(dir: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(dir).map_err(Error::io("read the folder", dir))?;
    let names: std::io::Result<Vec<OsString>> = entries.map(|e| Ok(e?.file_name())).collect();
    let mut names = names.map_err(Error::io("read the folder", dir))?;
    names.sort();
    Ok(names)
}

/// Swaps two folders, in one step where the system can.
fn exchange(new: &Path, old: &Path) -> std::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            // Some file systems (network, FUSE) do not know how.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let mut aside = new.as_os_str().to_os_string();
    aside.push(".old");
    fs::rename(old, &aside)?;
    if let Err(e) = fs::rename(new, old) {
        fs::rename(&aside, old)?;
        return Err(e);
    }
    fs::rename(&aside, new)
}

/// Flushes every file of a folder without subfolders, then the folder.
fn sync_files(dir: &Path) -> Result<()> {
    for name in names(dir)? {
        let path = dir.join(name);
        // Windows flushes only through a handle that may write.
        let file = File::options().read(true).write(true).open(&path).map_err(Error::io("open the file", &path))?;
        file.sync_all().map_err(Error::io("write the file to the disk", &path))?;
    }
    sync_folder(dir)
}

/// Flushes a folder's list of names, where folders can be opened.
fn sync_folder(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        let file = File::open(dir).map_err(Error::io("open the folder", dir))?;
        file.sync_all().map_err(Error::io("write the folder to the disk", dir))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_replaces_whole_and_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b/adapter");
        for text in ["first", "second"] {
            let staged = StagedFolder::new(&target).unwrap();
            fs::write(staged.path().join("x"), text).unwrap();
            if text == "second" {
                // Until the commit the old one is there, untouched.
                assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "first");
            } else {
                assert!(!target.exists());
            }
            staged.commit(&["x"]).unwrap();
            assert_eq!(fs::read_to_string(target.join("x")).unwrap(), text);
            assert_eq!(names(target.parent().unwrap()).unwrap(), ["adapter"]);
        }
    }

    #[test]
    fn given_up_it_disappears() {
        let root = tempfile::tempdir().unwrap();
        let staged = StagedFolder::new(root.path().join("adapter")).unwrap();
        fs::write(staged.path().join("x"), "half").unwrap();
        drop(staged);
        assert!(names(root.path()).unwrap().is_empty());
    }

    #[test]
    fn somebody_elses_folder_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("thesis");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("chapter1.tex"), "years of work").unwrap();
        fs::write(target.join("x"), "also theirs").unwrap();
        let staged = StagedFolder::new(&target).unwrap();
        fs::write(staged.path().join("x"), "new").unwrap();
        let message = staged.commit(&["marker"]).unwrap_err().to_string();
        assert!(message.contains("chapter1.tex"), "{message}");
        assert_eq!(names(&target).unwrap(), ["chapter1.tex", "x"]);
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "also theirs");
        assert_eq!(names(root.path()).unwrap(), ["thesis"]);
    }

    #[test]
    fn what_lies_beside_our_files_stays() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("adapter");
        fs::create_dir_all(target.join(".git")).unwrap();
        for name in ["marker", "old", "tokenizer.json", ".git/HEAD"] {
            fs::write(target.join(name), "old").unwrap();
        }
        let staged = StagedFolder::new(&target).unwrap();
        fs::write(staged.path().join("marker"), "new").unwrap();
        staged.commit(&["marker"]).unwrap();
        assert_eq!(names(&target).unwrap(), [".git", "marker", "old", "tokenizer.json"]);
        assert_eq!(fs::read_to_string(target.join("marker")).unwrap(), "new");
        assert!(target.join(".git/HEAD").is_file());
        assert_eq!(names(root.path()).unwrap(), ["adapter"]);
    }

    #[test]
    fn a_folder_with_nothing_but_a_file_managers_leavings_is_used() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".DS_Store"), "").unwrap();
        let staged = StagedFolder::new(root.path()).unwrap();
        fs::write(staged.path().join("x"), "new").unwrap();
        staged.commit(&["marker"]).unwrap();
        assert_eq!(names(root.path()).unwrap(), [".DS_Store", "x"]);
    }
}
