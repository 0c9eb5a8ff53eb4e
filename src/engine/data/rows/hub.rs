//! The data files of a data set of the Hub that is on this computer.

use std::path::{Path, PathBuf};

use super::kind;
use crate::engine::hub::{DatasetParts, Hub, HubId, PartChoice, Problem};
use crate::engine::{Error, Result};

/// What a data set is read from: the file or the folder that stands for it, and its files.
pub(super) fn data_files(id: &HubId, part: &PartChoice, hub: &Hub) -> Result<(PathBuf, Vec<PathBuf>)> {
    if id.file.is_none() {
        // A newer state that was only looked at takes nothing away that is here.
        let known = hub.known_parts(id);
        if let Some(parts) = known.filter(|parts| !(part.is_default() && hub.has_older(id, parts))) {
            return files_of(id, part, &parts, hub);
        }
        // Another program downloaded it: its README tells what it consists of, else the names of the files.
        let here = match hub.carded_parts(id) {
            Some(parts) => Some(parts),
            None if part.is_default() => None,
            None => Some(hub.parts_on_disk(id)?),
        };
        if let Some(parts) = here {
            let found = files_of(id, part, &parts, hub)?;
            return all_here(id, &found.1).map(|()| found);
        }
    }
    all_files(id, hub)
}

/// Whether all parts of a split are here, as far as their names tell.
fn all_here(id: &HubId, files: &[PathBuf]) -> Result<()> {
    for part in files.iter().filter_map(|file| Part::of(file)) {
        let here = files.iter().filter_map(|file| Part::of(file)).filter(|other| other.split == part.split).count();
        if here < part.count {
            return Err(missing_parts(id, here, part.count));
        }
    }
    Ok(())
}

fn missing_parts(id: &HubId, here: usize, count: usize) -> Error {
    let message =
        format!("only {here} of the {count} parts of {id} are on this computer: download it again to get the others");
    Error::Hub { problem: Problem::Unusable, message }
}

/// The files of one split, all of which must be here.
fn files_of(id: &HubId, part: &PartChoice, parts: &DatasetParts, hub: &Hub) -> Result<(PathBuf, Vec<PathBuf>)> {
    let (config, split) = parts.find(id, part)?;
    let folder = hub.on_disk(id).map_err(|_| hub.absent_part(id, parts, config, split))?;
    let files: Vec<PathBuf> = split.files.iter().map(|(name, _)| folder.join(name)).collect();
    if !files.iter().all(|file| file.is_file()) {
        return Err(hub.absent_part(id, parts, config, split));
    }
    if let Some(unread) = files.iter().find(|file| kind::named(file).is_none()) {
        return Err(not_read(id, unread));
    }
    Ok((if let [only] = &files[..] { only.clone() } else { folder }, files))
}

fn not_read(id: &HubId, file: &Path) -> Error {
    let ending = file.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
    let message = format!(
        "{id} holds its rows as .{ending}, which are not read: convert them to .jsonl first, and choose that file"
    );
    Error::Hub { problem: Problem::Unusable, message }
}

/// What is here of a data set of which the Hub was not asked what it consists of.
fn all_files(id: &HubId, hub: &Hub) -> Result<(PathBuf, Vec<PathBuf>)> {
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
                return Err(missing_parts(id, only.len(), part.count));
            }
            let path = if only.len() == 1 { only[0].clone() } else { folder };
            Ok((path, only.clone()))
        }
        ([], [first, ..]) => Err(not_read(id, first)),
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
    use serde_json::json;

    use crate::engine::hub::testing::Server;
    use crate::engine::hub::{RepoKind, problem};

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_data_set_of_the_hub_is_one_file_a_choice_or_a_clear_no() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::with_cache(cache.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let absent = all_files(&id, &hub).unwrap_err();
        assert_eq!(problem(&absent), Some(&Problem::NotOnDisk));
        let repo = cache.path().join("datasets--owner--name");
        let snapshot = repo.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(snapshot.join("data")).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs/main"), COMMIT).unwrap();
        let none = all_files(&id, &hub).unwrap_err().to_string();
        assert!(none.starts_with("owner/name has no data files"), "{none}");
        let train = snapshot.join("data/train.jsonl");
        std::fs::write(&train, "{}").unwrap();
        assert_eq!(all_files(&id, &hub).unwrap(), (train.clone(), vec![train]));
        std::fs::write(snapshot.join("more.txt"), "rows").unwrap();
        let several = all_files(&id, &hub).unwrap_err();
        let files = vec![("data/train.jsonl".to_string(), 2), ("more.txt".to_string(), 4)];
        assert_eq!(problem(&several), Some(&Problem::Choice { files }));
        let named = HubId { file: Some("more.txt".into()), ..id };
        assert_eq!(all_files(&named, &hub).unwrap().1, [snapshot.join("more.txt")]);
    }

    #[test]
    fn the_split_that_is_meant_is_read_and_one_that_is_not_here_says_how_to_get_it() {
        let text = |name: &str| format!("{{\"text\": \"{name}\"}}\n").into_bytes();
        let names = ["a/train.jsonl", "a/test.jsonl", "b/train.jsonl"];
        let server = Server::new(&names.map(|name| (name, text(name))));
        let config = |name: &str| {
            json!({"config_name": name, "data_files": [
            {"split": "train", "path": format!("{name}/train*")}, {"split": "test", "path": format!("{name}/test*")}]})
        };
        server.state().info = json!({"cardData": {"configs": [config("a"), config("b")]}});
        let folder = tempfile::tempdir().unwrap();
        let hub = server.hub(folder.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let part =
            |config: &str, split: &str, held_out| PartChoice { config: config.into(), split: split.into(), held_out };
        let get = |part: &PartChoice| hub.download(&hub.dataset_part(&id, part).unwrap(), &mut |_| true).unwrap();
        let snapshot = get(&part("", "", false));
        let read = |part: &PartChoice| match data_files(&id, part, &hub) {
            Ok((path, files)) => {
                assert_eq!(files, std::slice::from_ref(&path));
                path.strip_prefix(&snapshot).unwrap().to_string_lossy().replace('\\', "/")
            }
            Err(error) => format!("{:?}: {error}", problem(&error).unwrap()),
        };
        assert_eq!(read(&part("", "", false)), "a/train.jsonl");
        let absent = "NotOnDisk: the split \"test\" of its configuration \"a\" of owner/name is not on this computer yet: \
                      get it with `lora-studio download --dataset owner/name --config a --split test`";
        assert_eq!(read(&part("", "", true)), absent);
        assert!(read(&part("b", "", false)).starts_with("NotOnDisk: the split \"train\" of its configuration \"b\""));
        get(&part("a", "test", false));
        // Two files are here now, and still there is nothing to choose: the training split is what is trained on.
        assert_eq!(read(&part("", "", false)), "a/train.jsonl");
        assert_eq!(read(&part("", "", true)), "a/test.jsonl");
        assert!(read(&part("c", "", false)).ends_with("has no configuration \"c\": choose one of a, b"));
        // Of what another program downloaded, the names of the files tell.
        std::fs::remove_dir_all(folder.path().join("hub/datasets--owner--name/lora-studio")).unwrap();
        assert_eq!(read(&part("", "test", false)), "a/test.jsonl");
        assert!(read(&part("", "dev", false)).ends_with("has no split \"dev\": choose one of train, test"));
        assert!(read(&part("", "", false)).starts_with("Choice"), "two files, and nothing tells which is meant");
        // Its README knows better: what stands in a folder of another name is another configuration.
        std::fs::create_dir_all(snapshot.join("b")).unwrap();
        std::fs::write(snapshot.join("b/train-00000-of-00002.jsonl"), "{}").unwrap();
        let card = "---\nconfigs:\n- config_name: b\n  data_files: b/*\n- config_name: a\n  default: true\n  data_files:\n  \
                    - split: train\n    path: a/train*\n  - split: test\n    path: a/test*\n---\n";
        std::fs::write(snapshot.join("README.md"), card).unwrap();
        assert_eq!(read(&part("", "", false)), "a/train.jsonl");
        assert_eq!(read(&part("", "", true)), "a/test.jsonl");
        assert_eq!(read(&part("a", "test", false)), "a/test.jsonl");
        assert!(read(&part("b", "", false)).ends_with(
            "only 1 of the 2 parts of owner/name are on this computer: download it again to get the others"
        ));
        assert!(read(&part("c", "", false)).ends_with("has no configuration \"c\": choose one of a, b"));
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
                let missing = all_files(&id, &hub).unwrap_err().to_string();
                assert!(missing.starts_with("only 1 of the 2 parts of owner/name"), "{missing}");
                vec![write(train[1])]
            })
            .collect();
        assert_eq!(all_files(&id, &hub).unwrap(), (snapshot.clone(), train.clone()));
        write("test-00000-of-00001.parquet");
        let choice = all_files(&id, &hub).unwrap_err();
        let first = "data/train-00000-of-00002-ab12.parquet".to_string();
        let files = vec![("data/test-00000-of-00001.parquet".to_string(), 4), (first.clone(), 8)];
        assert_eq!(problem(&choice), Some(&Problem::Choice { files }));
        let named = |file: &str| all_files(&HubId { file: Some(file.into()), ..id.clone() }, &hub).unwrap().1;
        assert_eq!(named(&first), train);
        assert_eq!(named("data/train-00001-of-00002-cd34.parquet"), train[1..]);
    }
}
