//! The configurations and splits of a data set, as its card names them or as the names of its files tell.
//!
//! What the Hub answered is kept beside the downloaded files, so that they can be told apart later without network.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Hub;
use super::front_matter;
use super::id::{HubId, is_inside};
use super::listing::RemoteFile;
use super::problem::Problem;
use super::select;
use crate::engine::formats::atomic_write;
use crate::engine::{Error, Result};

/// Splits that the validation loss is computed on where none is named, the better ones first.
const HELD_OUT: [&str; 2] = ["validation", "test"];
/// The split that is trained on where none is named.
const TRAIN: &str = "train";

/// What a data set consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetParts {
    /// The commit that this was found at.
    pub commit: String,
    /// The default one first.
    pub configs: Vec<DatasetConfig>,
}

/// A configuration: rows of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetConfig {
    /// Its name.
    pub name: String,
    /// Its splits; not empty.
    pub splits: Vec<DatasetSplit>,
}

/// A split: rows for one purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSplit {
    /// Its name.
    pub name: String,
    /// Its files with their sizes in bytes.
    pub files: Vec<(String, u64)>,
}

impl DatasetSplit {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Which rows of a data set are meant; empty names stand for the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartChoice {
    /// The configuration; empty for the default one.
    pub config: String,
    /// The split; empty for `train`, or, for rows to validate on, `validation` or `test`.
    pub split: String,
    /// Whether the rows are for the validation loss.
    pub held_out: bool,
}

impl PartChoice {
    /// Whether nothing is named.
    pub fn is_default(&self) -> bool {
        self.config.is_empty() && self.split.is_empty() && !self.held_out
    }
}

impl DatasetParts {
    /// Of a repository with these files. `card` is the front matter of its README as the API gives it; without one, the
    /// names of the files decide, by the rules of the library `datasets`.
    pub(super) fn of(commit: &str, all: &[RemoteFile], card: &Value) -> DatasetParts {
        let mut configs = select::card_configs(all, card);
        if configs.is_empty() {
            let splits = select::named_splits(all);
            if !splits.is_empty() {
                configs.push(DatasetConfig { name: "default".into(), splits });
            }
        }
        DatasetParts { commit: commit.into(), configs }
    }

    /// The configuration of this name, or the default one.
    pub fn config(&self, name: &str) -> Option<&DatasetConfig> {
        self.configs.iter().find(|config| name.is_empty() || config.name == name)
    }

    /// The rows that are meant.
    ///
    /// # Errors
    /// There is no such configuration or split; what there is, is listed.
    pub fn find(&self, id: &HubId, choice: &PartChoice) -> Result<(&DatasetConfig, &DatasetSplit)> {
        let none = |what: &str, name: &str, there: Vec<&str>| {
            Problem::NoSuchPart.error(format!("{id} has no {what} {name:?}: choose one of {}", there.join(", ")))
        };
        let Some(config) = self.config(&choice.config) else {
            let there = self.configs.iter().map(|config| config.name.as_str()).collect();
            return Err(none("configuration", &choice.config, there));
        };
        match config.split(choice) {
            Some(split) => Ok((config, split)),
            None => {
                let there = config.splits.iter().map(|split| split.name.as_str()).collect();
                let what = if self.configs.len() > 1 {
                    format!("split {:?} in its configuration", choice.split)
                } else {
                    "split".to_string()
                };
                let name = if self.configs.len() > 1 { &config.name } else { &choice.split };
                Err(none(&what, name, there))
            }
        }
    }
}

impl DatasetConfig {
    /// The split that is meant.
    pub fn split(&self, choice: &PartChoice) -> Option<&DatasetSplit> {
        let named = |name: &str| self.splits.iter().find(|split| split.name == name);
        match (choice.split.as_str(), choice.held_out) {
            ("", false) => named(TRAIN).or(self.splits.first()),
            ("", true) => HELD_OUT.into_iter().find_map(named).or(self.splits.first()),
            (name, _) => named(name),
        }
    }
}

impl Hub {
    /// Keeps what a data set consists of.
    pub(super) fn keep_parts(&self, id: &HubId, parts: &DatasetParts) -> Result<()> {
        let path = self.parts_file(id);
        super::cache::create_parent(&path)?;
        atomic_write(&path, serde_json::to_string(parts).unwrap_or_default().as_bytes())
    }

    /// What a data set consists of, if the Hub was asked before; without network.
    pub fn known_parts(&self, id: &HubId) -> Option<DatasetParts> {
        let parts: DatasetParts = serde_json::from_slice(&fs::read(self.parts_file(id)).ok()?).ok()?;
        // The names lead to files.
        let inside = |split: &DatasetSplit| split.files.iter().all(|(name, _)| is_inside(name));
        let whole = parts.configs.iter().all(|config| !config.splits.is_empty() && config.splits.iter().all(inside));
        (whole && !parts.configs.is_empty()).then_some(parts)
    }

    /// Whether files are here, of an older state than the one that these parts were found at.
    pub fn has_older(&self, id: &HubId, parts: &DatasetParts) -> bool {
        self.cache.commit(id).is_some_and(|commit| commit != parts.commit)
    }

    /// What of a data set is here, as its README tells if that is here, too. Only what a person has downloaded is in it.
    pub fn carded_parts(&self, id: &HubId) -> Option<DatasetParts> {
        let folder = self.on_disk(id).ok()?;
        let card = front_matter::card(&fs::read_to_string(folder.join("README.md")).ok()?);
        let parts = self.parts_in(id, &card).ok()?;
        (!card.is_null() && !parts.configs.is_empty()).then_some(parts)
    }

    /// What a data set consists of by the names of the files that are here.
    ///
    /// # Errors
    /// There are none.
    pub fn parts_on_disk(&self, id: &HubId) -> Result<DatasetParts> {
        let parts = self.parts_in(id, &Value::Null)?;
        match parts.configs.is_empty() {
            true => Err(Problem::Unusable.error(format!("{id} has no data files"))),
            false => Ok(parts),
        }
    }

    fn parts_in(&self, id: &HubId, card: &Value) -> Result<DatasetParts> {
        let folder = self.on_disk(id)?;
        let file = |path: &PathBuf| RemoteFile {
            path: path.strip_prefix(&folder).unwrap_or(path).to_string_lossy().replace('\\', "/"),
            size: fs::metadata(path).map_or(0, |found| found.len()),
            etag: String::new(),
        };
        let files: Vec<RemoteFile> = self.dataset_on_disk(id)?.iter().map(file).collect();
        Ok(DatasetParts::of("", &files, card))
    }

    /// That a split is not on this computer, and how to get it.
    pub fn absent_part(&self, id: &HubId, parts: &DatasetParts, config: &DatasetConfig, split: &DatasetSplit) -> Error {
        let several = parts.configs.len() > 1;
        let (of, option) = match several {
            true => (format!(" of its configuration {:?}", config.name), format!(" --config {}", config.name)),
            false => (String::new(), String::new()),
        };
        let advice = if self.offline() {
            "offline mode is on (HF_HUB_OFFLINE): turn it off and download it".to_string()
        } else {
            format!("get it with `lora-studio download --dataset {id}{option} --split {}`", split.name)
        };
        let name = &split.name;
        Problem::NotOnDisk.error(format!("the split {name:?}{of} of {id} is not on this computer yet: {advice}"))
    }

    /// Programs that share the cache look into `refs`, `snapshots` and `blobs` of a repository; this goes with it when it is
    /// deleted.
    fn parts_file(&self, id: &HubId) -> PathBuf {
        self.cache.repo(id).join("lora-studio").join(format!("{}.json", id.revision.replace('/', "--")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::id::RepoKind;
    use super::*;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        paths.iter().map(|path| RemoteFile { path: path.to_string(), size: 3, etag: "0".repeat(40) }).collect()
    }

    #[test]
    fn a_card_names_configurations_and_splits() {
        let all = files(&[
            "README.md",
            "main/test-00000-of-00001.parquet",
            "main/train-00000-of-00002.parquet",
            "main/train-00001-of-00002.parquet",
            "socratic/train.parquet",
        ]);
        let card = json!({"configs": [
            {"config_name": "socratic", "data_files": "socratic/*"},
            {"config_name": "gone", "data_files": [{"split": "train", "path": "gone/*"}]},
            {"config_name": "main", "default": true, "data_files": [
                {"split": "train", "path": ["main/train-*"]}, {"split": "test", "path": "main/test-*"}]},
        ]});
        let parts = DatasetParts::of("c", &all, &card);
        assert_eq!(parts.configs.iter().map(|config| config.name.as_str()).collect::<Vec<_>>(), ["main", "socratic"]);
        let main = &parts.configs[0];
        assert_eq!(
            main.splits.iter().map(|split| (split.name.as_str(), split.files.len())).collect::<Vec<_>>(),
            [("train", 2), ("test", 1)]
        );
        assert_eq!((main.splits[0].bytes(), parts.configs[1].splits[0].name.as_str()), (6, "train"));
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        let found = |config: &str, split: &str, held_out: bool| {
            let choice = PartChoice { config: config.into(), split: split.into(), held_out };
            match parts.find(&id, &choice) {
                Ok((config, split)) => format!("{} {}", config.name, split.name),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(found("", "", false), "main train");
        assert_eq!(found("", "", true), "main test");
        assert_eq!(found("socratic", "", true), "socratic train");
        assert_eq!(found("main", "test", false), "main test");
        let refused = "owner/name has no configuration \"mian\": choose one of main, socratic";
        assert_eq!(found("mian", "", false), refused);
        let refused = "owner/name has no split \"valid\" in its configuration \"main\": choose one of train, test";
        assert_eq!(found("", "valid", false), refused);
    }

    #[test]
    fn without_a_card_the_names_of_files_tell_the_splits() {
        let of = |paths: &[&str]| -> Vec<(String, usize)> {
            let parts = DatasetParts::of("c", &files(paths), &Value::Null);
            assert!(parts.configs.len() <= 1);
            parts.configs.into_iter().flat_map(|c| c.splits).map(|s| (s.name, s.files.len())).collect()
        };
        let splits = |all: &[(&str, usize)]| all.iter().map(|(n, c)| (n.to_string(), *c)).collect::<Vec<_>>();
        assert_eq!(
            of(&["data/test.jsonl", "data/train.jsonl", "data/val.jsonl", "README.md"]),
            splits(&[("train", 1), ("validation", 1), ("test", 1)])
        );
        assert_eq!(of(&["rows.jsonl", "rows.parquet", "rows_test.jsonl"]), splits(&[("train", 1), ("test", 1)]));
        assert_eq!(of(&["test.csv"]), splits(&[("test", 1)]));
        assert_eq!(of(&["images/1.png"]), splits(&[]));
    }

    #[test]
    fn what_the_hub_answered_is_kept_and_told_from_older_files() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::with_cache(cache.path());
        let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
        assert_eq!(hub.known_parts(&id), None);
        let parts = DatasetParts::of(&"a".repeat(40), &files(&["train.jsonl", "test.jsonl"]), &Value::Null);
        hub.keep_parts(&id, &parts).unwrap();
        assert_eq!(hub.known_parts(&id), Some(parts.clone()));
        assert!(!hub.has_older(&id, &parts));
        hub.cache.write_ref(&id, &"b".repeat(40)).unwrap();
        assert!(hub.has_older(&id, &parts));
        hub.cache.write_ref(&id, &"a".repeat(40)).unwrap();
        assert!(!hub.has_older(&id, &parts));
        let mut evil = parts;
        evil.configs[0].splits[0].files[0].0 = "../../x".into();
        hub.keep_parts(&id, &evil).unwrap();
        assert_eq!(hub.known_parts(&id), None);
    }
}
