//! Which files of a repository are needed.

use regex::Regex;
use serde_json::Value;

use super::listing::RemoteFile;
use super::parts::{DatasetConfig, DatasetSplit};

/// What a model's repository has for training.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ModelFiles {
    /// A folder of safetensors: these files.
    Folder(Vec<RemoteFile>),
    /// Only GGUF files: one of these.
    Gguf(Vec<RemoteFile>),
    /// Nothing, because.
    Nothing(&'static str),
}

/// Chooses among all files of a model's repository.
pub(super) fn model_files(all: &[RemoteFile]) -> ModelFiles {
    let has = |name: &str| all.iter().any(|file| file.path == name);
    let is_shard = |path: &str| numbered(path, "model-", ".safetensors");
    let sharded = has("model.safetensors.index.json") && all.iter().any(|file| is_shard(&file.path));
    let is_weights = |path: &str| match sharded {
        // Both forms hold the same weights; the index is what is opened.
        true => is_shard(path) || path == "model.safetensors.index.json",
        false => path == "model.safetensors",
    };
    let weights = all.iter().any(|file| is_weights(&file.path));
    if has("config.json") && weights {
        let wanted = |file: &&RemoteFile| is_weights(&file.path) || is_small(&file.path);
        return ModelFiles::Folder(all.iter().filter(wanted).cloned().collect());
    }
    let gguf: Vec<_> = all.iter().filter(|file| is_gguf_model(&file.path)).cloned().collect();
    let ends = |ending: &str| all.iter().any(|file| file.path.ends_with(ending));
    if !gguf.is_empty() {
        ModelFiles::Gguf(gguf)
    } else if has("adapter_config.json") {
        ModelFiles::Nothing("it holds an adapter, not a model: name its base model")
    } else if ends(".gguf") {
        ModelFiles::Nothing(
            "its GGUF files are split into parts, which are not read: choose a repository with whole files",
        )
    } else if ends(".bin") || ends(".pth") || ends(".pt") {
        ModelFiles::Nothing(
            "its weights are a PyTorch pickle, which is not read because it can run code: choose a repository with \
             safetensors",
        )
    } else if weights {
        ModelFiles::Nothing("it has weights but no config.json, so the model's shape is not known")
    } else {
        ModelFiles::Nothing("it has no model.safetensors and no .gguf file: it may not be a language model")
    }
}

/// Files beside the weights that describe the model and its tokenizer.
fn is_small(path: &str) -> bool {
    const NAMES: [&str; 8] = [
        "config.json",
        "generation_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "README.md",
        "vocab.txt",
    ];
    let template = path.starts_with("additional_chat_templates/") && path.ends_with(".jinja");
    let beside = !path.contains('/') && (path.starts_with("tokenizer") || path.starts_with("chat_template"));
    NAMES.contains(&path) || beside || template
}

/// A GGUF file that is a whole language model: no part of one, and no vision projector.
fn is_gguf_model(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    name.ends_with(".gguf") && !name.starts_with("mmproj") && !is_gguf_part(name)
}

/// `…-00001-of-00003.gguf`; a file that is part 1 of 1 is whole.
fn is_gguf_part(name: &str) -> bool {
    let stem = name.trim_end_matches(".gguf");
    let Some((rest, count)) = stem.rsplit_once("-of-") else { return false };
    let part = rest.rsplit('-').next().unwrap_or("");
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    digits(count) && digits(part) && count != "00001"
}

/// `model-00001-of-00004.safetensors`.
fn numbered(path: &str, before: &str, after: &str) -> bool {
    let middle = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    middle.and_then(|m| m.split_once("-of-")).is_some_and(|(part, of)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(part) && digits(of)
    })
}

/// Endings of data files, the preferred first where a repository has the same rows in several.
pub(super) const DATA_ENDINGS: [&str; 17] = [
    ".jsonl",
    ".ndjson",
    ".json",
    ".jsonl.gz",
    ".json.gz",
    ".jsonl.zst",
    ".json.zst",
    ".parquet",
    ".csv",
    ".tsv",
    ".csv.gz",
    ".tsv.gz",
    ".csv.zst",
    ".tsv.zst",
    ".txt",
    ".txt.gz",
    ".txt.zst",
];
/// Files that describe a data set and hold no rows.
const NO_DATA: [&str; 6] =
    ["dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "README.txt", "requirements.txt"];
/// Words that name a split in a file's name, as the library `datasets` knows them.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// The files that may hold rows.
fn data_files(all: &[RemoteFile]) -> Vec<&RemoteFile> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
    let is_data = |file: &&RemoteFile| {
        let lower = file.path.to_ascii_lowercase();
        let hidden = file.path.split('/').any(|part| part.starts_with('.') || part.starts_with("__"));
        !hidden && !NO_DATA.contains(&name(&file.path).as_str()) && DATA_ENDINGS.iter().any(|e| lower.ends_with(e))
    };
    all.iter().filter(is_data).collect()
}

fn split_of(name: &str, files: impl IntoIterator<Item = impl std::borrow::Borrow<RemoteFile>>) -> DatasetSplit {
    let file = |file: &RemoteFile| (file.path.clone(), file.size);
    DatasetSplit { name: name.into(), files: files.into_iter().map(|f| file(f.borrow())).collect() }
}

/// The splits that the names of the files tell: what names none is for training, where nothing else is.
pub(super) fn named_splits(all: &[RemoteFile]) -> Vec<DatasetSplit> {
    let mut splits: Vec<(&str, Vec<&RemoteFile>)> = SPLITS.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let mut unnamed = Vec::new();
    for file in data_files(all) {
        let split = split_named(&file.path).and_then(|name| SPLITS.iter().position(|(split, _)| *split == name));
        match split {
            Some(at) => splits[at].1.push(file),
            None => unnamed.push(file),
        }
    }
    if splits[0].1.is_empty() {
        splits[0].1 = unnamed;
    }
    let named = splits.into_iter().filter(|(_, files)| !files.is_empty());
    named.map(|(name, files)| split_of(name, of_one_kind(files))).collect()
}

/// The split that a file's name tells, with its folders.
pub(in crate::engine) fn split_named(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split(|c: char| !c.is_ascii_alphabetic()).any(|word| words.contains(&word));
    SPLITS.iter().find(|(_, words)| has(words)).map(|(name, _)| *name)
}

/// The same rows often come in two formats: one of them is enough.
fn of_one_kind(files: Vec<&RemoteFile>) -> Vec<&RemoteFile> {
    let of = |ending: &str| -> Vec<&RemoteFile> {
        files.iter().filter(|f| f.path.to_ascii_lowercase().ends_with(ending)).copied().collect()
    };
    DATA_ENDINGS.iter().map(|ending| of(ending)).find(|found| !found.is_empty()).unwrap_or_default()
}

/// The configurations that a data set's card names and that have files, the default one first.
pub(super) fn card_configs(all: &[RemoteFile], card: &Value) -> Vec<DatasetConfig> {
    let Some(named) = card.get("configs").and_then(Value::as_array) else { return Vec::new() };
    let data = data_files(all);
    let mut configs: Vec<(bool, DatasetConfig)> = Vec::new();
    for config in named {
        let name = config["config_name"].as_str().unwrap_or("default");
        let splits = card_splits(config, &data);
        if !splits.is_empty() && !configs.iter().any(|(_, other)| other.name == name) {
            let is_default = config["default"] == true;
            configs.push((is_default, DatasetConfig { name: name.into(), splits }));
        }
    }
    let chosen = configs.iter().position(|(is_default, _)| *is_default);
    let chosen = chosen.or_else(|| configs.iter().position(|(_, config)| config.name == "default"));
    if let Some(at) = chosen {
        configs[..=at].rotate_right(1);
    }
    configs.into_iter().map(|(_, config)| config).collect()
}

/// The splits of one configuration of a card: `data_files` is a pattern, some, or a list of splits with theirs.
fn card_splits(config: &Value, data: &[&RemoteFile]) -> Vec<DatasetSplit> {
    let folder = config["data_dir"].as_str().unwrap_or_default().trim_matches('/');
    let inside = |pattern: &str| match folder {
        "" => pattern.to_string(),
        folder => format!("{folder}/{pattern}"),
    };
    let texts = |value: &Value| -> Vec<Regex> {
        let patterns: Vec<&str> = match value {
            Value::String(text) => vec![text],
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        patterns.iter().filter_map(|pattern| glob(&inside(pattern))).collect()
    };
    let matching = |patterns: &[Regex]| -> Vec<&RemoteFile> {
        data.iter().filter(|file| patterns.iter().any(|pattern| pattern.is_match(&file.path))).copied().collect()
    };
    let files = &config["data_files"];
    let mut splits = Vec::new();
    let listed = files.as_array().into_iter().flatten().filter(|entry| entry.is_object());
    for entry in listed {
        splits.push(split_of(entry["split"].as_str().unwrap_or("train"), matching(&texts(&entry["path"]))));
    }
    if splits.is_empty() && files.is_null() && !folder.is_empty() {
        let within: Vec<RemoteFile> = matching(&texts(&Value::from("**"))).into_iter().cloned().collect();
        splits = named_splits(&within);
    } else if splits.is_empty() {
        splits.push(split_of("train", matching(&texts(files))));
    }
    splits.retain(|split: &DatasetSplit| !split.files.is_empty());
    splits
}

/// `*` within a folder, `**` across folders, `?` one letter, as in a data set's card.
fn glob(pattern: &str) -> Option<Regex> {
    let mut out = String::from("^");
    let mut rest = pattern.trim_start_matches("./");
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_string(), 3),
            '*' if rest.starts_with("**") => (".*".to_string(), 2),
            '*' => ("[^/]*".to_string(), 1),
            '?' => ("[^/]".to_string(), 1),
            c => (regex::escape(&c.to_string()), c.len_utf8()),
        };
        out.push_str(&token);
        rest = &rest[length..];
    }
    out.push('$');
    Regex::new(&out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        paths.iter().map(|path| RemoteFile { path: path.to_string(), size: 1, etag: "0".repeat(40) }).collect()
    }

    fn paths(files: &[RemoteFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    fn dataset_files(all: &[RemoteFile], card: &Value) -> Vec<RemoteFile> {
        let parts = super::super::parts::DatasetParts::of("", all, card);
        let Some(split) = parts.config("").and_then(|config| config.split(&Default::default())) else {
            return Vec::new();
        };
        let is_in = |file: &&RemoteFile| split.files.iter().any(|(path, _)| *path == file.path);
        all.iter().filter(is_in).cloned().collect()
    }

    fn folder(all: &[&str]) -> Vec<String> {
        let ModelFiles::Folder(found) = model_files(&files(all)) else { panic!("{:?}", model_files(&files(all))) };
        paths(&found).iter().map(|p| p.to_string()).collect()
    }

    #[test]
    fn a_model_is_its_configuration_tokenizer_and_weights_once() {
        let all = [
            ".gitattributes",
            "LICENSE",
            "README.md",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "consolidated.safetensors",
            "model.fp16.safetensors",
            "onnx/model.onnx",
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
            "special_tokens_map.json",
            "chat_template.jinja",
            "original/consolidated.00.pth",
            "original/tokenizer.model",
            "x-Q4.gguf",
        ];
        let expected = [
            "README.md",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
            "special_tokens_map.json",
            "chat_template.jinja",
        ];
        assert_eq!(folder(&all), expected);
    }

    #[test]
    fn shards_come_with_their_index_and_without_the_whole() {
        let all = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors",
            "model.safetensors.index.json",
        ];
        let expected = [all[0], all[1], all[2], all[4]];
        assert_eq!(folder(&all), expected);
        // An index whose shards are not there is of no use; the whole file is.
        assert_eq!(folder(&["config.json", "model.safetensors", all[4]]), ["config.json", "model.safetensors"]);
    }

    #[test]
    fn gguf_only_repositories_offer_whole_models() {
        let all = ["README.md", "config.json", "a-Q4_K_M.gguf", "q8/a-Q8_0.gguf", "mmproj-f16.gguf"];
        let parts = ["a-bf16-00001-of-00002.gguf", "a-bf16-00002-of-00002.gguf"];
        let both: Vec<&str> = all.iter().chain(&parts).copied().collect();
        let ModelFiles::Gguf(found) = model_files(&files(&both)) else { panic!() };
        assert_eq!(paths(&found), ["a-Q4_K_M.gguf", "q8/a-Q8_0.gguf"]);
        let reason = |all: &[&str]| match model_files(&files(all)) {
            ModelFiles::Nothing(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason(&parts).contains("split into parts"));
        assert!(reason(&["config.json", "pytorch_model.bin"]).contains("pickle"));
        assert!(reason(&["adapter_config.json", "adapter_model.safetensors"]).contains("adapter"));
        assert!(reason(&["model.safetensors"]).contains("config.json"));
        assert!(reason(&["README.md"]).contains("may not be a language model"));
    }

    #[test]
    fn a_data_set_is_the_training_split_of_its_default_configuration() {
        let all = files(&[
            "README.md",
            "dataset_infos.json",
            "main/test-00000-of-00001.parquet",
            "main/train-00000-of-00001.parquet",
            "socratic/train-00000-of-00001.parquet",
        ]);
        let config = |name: &str| {
            json!({"config_name": name, "data_files": [
                {"split": "test", "path": format!("{name}/test-*")}, {"split": "train", "path": format!("{name}/train-*")}]})
        };
        let card = json!({"configs": [config("main"), config("socratic")]});
        assert_eq!(paths(&dataset_files(&all, &card)), ["main/train-00000-of-00001.parquet"]);
        let mut socratic = card.clone();
        socratic["configs"][1]["default"] = json!(true);
        assert_eq!(paths(&dataset_files(&all, &socratic)), ["socratic/train-00000-of-00001.parquet"]);
    }

    #[test]
    fn without_a_card_names_decide() {
        let chosen = |all: &[&str]| -> Vec<String> {
            dataset_files(&files(all), &Value::Null).iter().map(|f| f.path.clone()).collect()
        };
        assert_eq!(chosen(&["data/test.jsonl", "data/train.jsonl", "README.md"]), ["data/train.jsonl"]);
        assert_eq!(chosen(&["alpaca.json", "dataset_infos.json", ".cache/x.json"]), ["alpaca.json"]);
        assert_eq!(chosen(&["rows.jsonl", "rows.parquet", "rows_test.jsonl"]), ["rows.jsonl"]);
        assert_eq!(chosen(&["test.csv"]), ["test.csv"]);
        assert_eq!(chosen(&["images/1.png"]), Vec::<String>::new());
    }

    #[test]
    fn patterns_of_cards() {
        let matches = |pattern: &str, path: &str| glob(pattern).unwrap().is_match(path);
        assert!(matches("data/*.jsonl", "data/a.jsonl") && !matches("data/*.jsonl", "data/x/a.jsonl"));
        assert!(matches("**/train*", "a/b/train-1.json") && matches("**/train*", "train-1.json"));
        assert!(matches("a?.csv", "ab.csv") && !matches("a?.csv", "abc.csv") && !matches("a.csv", "aXcsv"));
        let card = json!({"configs": [{"config_name": "default", "data_files": "b.jsonl"}]});
        assert_eq!(paths(&dataset_files(&files(&["a.jsonl", "b.jsonl"]), &card)), ["b.jsonl"]);
    }
}
