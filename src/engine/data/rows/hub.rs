//! The data files of a data set of the Hub that is on this computer.

use std::path::{Path, PathBuf};

use super::kind;
use crate::engine::hub::{Hub, HubId, Problem};
use crate::engine::{Error, Result};

/// What a data set is read from: the file or the folder that stands for it, and its files.
pub(super) fn data_files(id: &HubId, hub: &Hub) -> Result<(PathBuf, Vec<PathBuf>)> {
    let unusable = |message: String| Error::Hub { problem: Problem::Unusable, message };
    let mut files = hub.dataset_on_disk(id)?;
    let folder = hub.on_disk(&HubId { file: None, ..id.clone() })?;
    // The first part that is named stands for all of them, as it does for models in parts.
    if let [only] = &files[..]
        && id.file.is_some()
        && let Some(part) = Part::of(only).filter(Part::is_first)
    {
        let all = hub.dataset_on_disk(&HubId { file: None, ..id.clone() })?;
        files = all.into_iter().filter(|file| Part::of(file).is_some_and(|other| other.split == part.split)).collect();
    }
    let readable: Vec<PathBuf> = files.iter().filter(|file| kind::named(file).is_some()).cloned().collect();
    let mut splits: Vec<Vec<PathBuf>> = Vec::new();
    for file in &readable {
        let split = Part::of(file).map(|part| part.split);
        match splits.iter_mut().find(|files| split.is_some() && Part::of(&files[0]).map(|part| part.split) == split) {
            Some(files) => files.push(file.clone()),
            None => splits.push(vec![file.clone()]),
        }
    }
    match (&splits[..], &files[..]) {
        ([only], _) => {
            if let Some(part) = Part::of(&only[0])
                && (id.file.is_none() || part.is_first())
                && only.len() < part.count
            {
                let (here, count) = (only.len(), part.count);
                return Err(unusable(format!(
                    "only {here} of the {count} parts of {id} are on this computer: download it again to get the others"
                )));
            }
            let path = if only.len() == 1 { only[0].clone() } else { folder };
            Ok((path, only.clone()))
        }
        ([], [first, ..]) => {
            let ending = first.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            Err(unusable(format!(
                "{id} holds its rows as .{ending}, which are not read: convert them to .jsonl first, and choose that file"
            )))
        }
        ([], []) => Err(unusable(format!("{id} has no data files"))),
        (several, _) => {
            let name = |file: &Path| file.strip_prefix(&folder).unwrap_or(file).to_string_lossy().replace('\\', "/");
            let bytes = |files: &[PathBuf]| files.iter().map(|f| std::fs::metadata(f).map_or(0, |m| m.len())).sum();
            let files: Vec<(String, u64)> = several.iter().map(|files| (name(&files[0]), bytes(files))).collect();
            Err(Error::Hub {
                message: format!("{id} has {} data files: choose one, as in {id}:{}", files.len(), files[0].0),
                problem: Problem::Choice { files },
            })
        }
    }
}

/// A file's name as that of one part of a split: `train-00000-of-00003-0a1b2c.parquet`.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// Folder, name and ending, without number and checksum: the same for all parts.
    split: (PathBuf, String, usize, String),
    number: usize,
    count: usize,
}

impl Part {
    fn of(file: &Path) -> Option<Part> {
        let name = file.file_name()?.to_str()?;
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let (before, rest) = stem.rsplit_once("-of-")?;
        let (split, number) = before.rsplit_once('-')?;
        // Some writers put a checksum of the part behind the number of parts.
        let count = rest.split('-').next()?;
        let digits =
            |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
        let (number, count) = (digits(number)??, digits(count)??);
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        Some(Part { split: (folder, split.to_string(), count, ending.to_string()), number, count })
    }

    fn is_first(&self) -> bool {
        self.number == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::hub::{RepoKind, problem};

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_data_set_of_the_hub_is_one_file_a_choice_or_a_clear_no() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::with_cache(cache.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let absent = data_files(&id, &hub).unwrap_err();
        assert_eq!(problem(&absent), Some(&Problem::NotOnDisk));
        let repo = cache.path().join("datasets--owner--name");
        let snapshot = repo.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(snapshot.join("data")).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs/main"), COMMIT).unwrap();
        let none = data_files(&id, &hub).unwrap_err().to_string();
        assert!(none.starts_with("owner/name has no data files"), "{none}");
        let train = snapshot.join("data/train.jsonl");
        std::fs::write(&train, "{}").unwrap();
        assert_eq!(data_files(&id, &hub).unwrap(), (train.clone(), vec![train]));
        std::fs::write(snapshot.join("more.txt"), "rows").unwrap();
        let several = data_files(&id, &hub).unwrap_err();
        let files = vec![("data/train.jsonl".to_string(), 2), ("more.txt".to_string(), 4)];
        assert_eq!(problem(&several), Some(&Problem::Choice { files }));
        let named = HubId { file: Some("more.txt".into()), ..id };
        assert_eq!(data_files(&named, &hub).unwrap().1, [snapshot.join("more.txt")]);
    }

    #[test]
    fn parts_of_a_split_are_read_together() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::with_cache(cache.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let repo = cache.path().join("datasets--owner--name");
        let snapshot = repo.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(snapshot.join("data")).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs/main"), COMMIT).unwrap();
        let write = |name: &str| {
            let path = snapshot.join("data").join(name);
            std::fs::write(&path, "PAR1").unwrap();
            path
        };
        let train = ["train-00000-of-00002-ab12.parquet", "train-00001-of-00002-cd34.parquet"];
        let train: Vec<PathBuf> = vec![write(train[0])]
            .into_iter()
            .chain({
                let missing = data_files(&id, &hub).unwrap_err().to_string();
                assert!(missing.starts_with("only 1 of the 2 parts of owner/name"), "{missing}");
                vec![write(train[1])]
            })
            .collect();
        assert_eq!(data_files(&id, &hub).unwrap(), (snapshot.clone(), train.clone()));
        write("test-00000-of-00001.parquet");
        let choice = data_files(&id, &hub).unwrap_err();
        let first = "data/train-00000-of-00002-ab12.parquet".to_string();
        let files = vec![("data/test-00000-of-00001.parquet".to_string(), 4), (first.clone(), 8)];
        assert_eq!(problem(&choice), Some(&Problem::Choice { files }));
        let named = |file: &str| data_files(&HubId { file: Some(file.into()), ..id.clone() }, &hub).unwrap().1;
        assert_eq!(named(&first), train);
        assert_eq!(named("data/train-00001-of-00002-cd34.parquet"), train[1..]);
    }
}
