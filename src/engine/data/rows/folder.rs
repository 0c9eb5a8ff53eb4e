//! The data files of a folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::kind::{self, Kind};
use crate::engine::{Error, Result};

/// Folders within folders that are looked into.
const DEPTH: usize = 16;

/// The data files in a folder and in the folders in it, by name. Hidden files and files of other kinds are left out, and
/// beside tables and JSON also the texts that describe them.
pub(super) fn data_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(folder, DEPTH, &mut HashSet::new(), &mut found)?;
    found.sort();
    if found.iter().any(|file| !is_text(file)) {
        found.retain(|file| !describes(file));
    }
    if found.is_empty() {
        if holds_arrow(folder, 2) {
            let message = "the rows of this folder are in Arrow files, as the library datasets saves them: save them as \
                           Parquet (in Python: load_from_disk(folder).to_parquet(\"rows.parquet\"))";
            return Err(Error::file(message, folder));
        }
        let endings = kind::ENDINGS.join(", .");
        return Err(Error::file(format!("there is no data file in this folder (.{endings})"), folder));
    }
    Ok(found)
}

/// Whether there is an Arrow file in the folder, or in a folder in it.
fn holds_arrow(folder: &Path, depth: usize) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => depth > 0 && holds_arrow(&path, depth - 1),
        false => path.extension().is_some_and(|ending| ending == "arrow"),
    })
}

fn is_text(file: &Path) -> bool {
    matches!(kind::named(file), Some(Kind::Text | Kind::Document))
}

/// Whether a file tells about the others, by its name.
fn describes(file: &Path) -> bool {
    const JSON: [&str; 5] =
        ["dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "requirements.txt"];
    let name = file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    JSON.contains(&name.as_str()) || (is_text(file) && (name.starts_with("readme") || name.starts_with("license")))
}

fn walk(folder: &Path, depth: usize, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e| Error::io("read the folder", folder)(e);
    // A link may lead back to where it lies.
    if !seen.insert(std::fs::canonicalize(folder).map_err(failed)?) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("read the folder", folder)(e))? {
        let entry = entry.map_err(|e| Error::io("read the folder", folder)(e))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(data) if data.is_dir() && depth > 0 => walk(&path, depth - 1, seen, found)?,
            Ok(data) if data.is_file() && kind::named(&path).is_some() => found.push(path),
            // Other kinds, and links that lead nowhere.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_by_name_without_what_is_not_data() {
        let folder = tempfile::tempdir().unwrap();
        let names = |of: &Path| -> Vec<String> {
            let name = |f: PathBuf| f.strip_prefix(of).unwrap().to_string_lossy().replace('\\', "/");
            data_files(of).unwrap().into_iter().map(name).collect()
        };
        let write = |name: &&str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        assert!(data_files(folder.path()).unwrap_err().to_string().starts_with("there is no data file in this folder"));
        ["b.md", "README.md", "a/z.txt", "picture.png", ".hidden.txt", ".git/x.json", "noending"]
            .iter()
            .for_each(write);
        assert_eq!(names(folder.path()), ["README.md", "a/z.txt", "b.md"]);
        ["b.csv.gz", "a/y.parquet", "dataset_info.json"].iter().for_each(write);
        assert_eq!(names(folder.path()), ["a/y.parquet", "a/z.txt", "b.csv.gz", "b.md"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/back")).unwrap();
        assert_eq!(names(folder.path()).len(), 4);
    }
}
