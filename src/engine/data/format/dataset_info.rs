//! LLaMA-Factory's `dataset_info.json`: which files there are and what their columns mean.
//!
//! Its keys are those of LLaMA-Factory's data/README.md and src/llamafactory/data/parser.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Format, fields};
use crate::engine::config::{DataConfig, expand_home, nearest};
use crate::engine::{Error, Result};

/// Such a file is a page of text; what is larger is some other file.
const MAX_FILE: u64 = 16 << 20;

/// One data set of such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetEntry {
    /// Its name.
    pub name: String,
    /// Its files or folders on this computer; empty for a data set of the Hub.
    pub file_names: Vec<PathBuf>,
    /// Its id on the Hugging Face Hub.
    pub hub: Option<String>,
    /// Which part of the Hub's data set: `subset`, `split` and `folder`, where they are named.
    pub parts: BTreeMap<String, String>,
    /// Rows that are used; `None` for all.
    pub samples: Option<usize>,
    /// The format of its rows.
    pub format: Format,
    /// As `data.columns`.
    pub columns: BTreeMap<String, String>,
    /// As `data.roles`.
    pub roles: BTreeMap<String, String>,
    /// Why it cannot be trained on.
    pub problem: Option<String>,
    /// The `dataset_info.json`.
    pub path: PathBuf,
}

/// Reads the data sets of a `dataset_info.json`, or the one of that name. Those that cannot be trained on are in the list
/// with their problem.
///
/// # Errors
/// It is no such file, or has no data set of that name.
pub fn read(path: &Path, name: Option<&str>) -> Result<Vec<DatasetEntry>> {
    let failed = Error::io("read the description of the data sets", path);
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(Error::file("this is no dataset_info.json: it is larger than 16 MiB", path));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read the description of the data sets", path))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let parsed: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::file(format!("this is not valid JSON: {e}"), path))?;
    let Some(all) = parsed.as_object() else {
        return Err(Error::file("expected an object of data sets, as LLaMA-Factory's dataset_info.json has it", path));
    };
    let read = |(name, value): (&String, &Value)| {
        entry(name, value, path).map_err(|reason| Error::file(format!("the data set {name:?}: {reason}"), path))
    };
    let Some(wanted) = name else { return all.iter().map(read).collect() };
    match all.get_key_value(wanted) {
        Some(found) => Ok(vec![read(found)?]),
        None => {
            let hint = nearest(wanted, all.keys().map(String::as_str));
            let names: Vec<&str> = all.keys().take(20).map(String::as_str).collect();
            let message = format!("there is no data set {wanted:?}; found {}{hint}", fields::and(&names));
            Err(Error::file(message, path))
        }
    }
}

impl DatasetEntry {
    /// The settings that train on it. What a person has set by hand (a format, a column, a role) stays.
    ///
    /// # Errors
    /// It cannot be trained on, or consists of several files.
    pub fn apply(&self, settings: &DataConfig) -> Result<DataConfig> {
        let refused = |reason: &str| Error::file(format!("the data set {:?}: {reason}", self.name), &self.path);
        if let Some(problem) = &self.problem {
            return Err(refused(problem));
        }
        let mut changed = settings.clone();
        changed.train = match (&self.hub, self.file_names.as_slice()) {
            (Some(id), _) => id.clone(),
            (None, [file]) => file.to_string_lossy().into_owned(),
            (None, _) => return Err(refused("it names no file")),
        };
        for (part, setting) in [("subset", &mut changed.hub_config), ("split", &mut changed.hub_split)] {
            if let (Some(named), Some(_), true) = (self.parts.get(part), &self.hub, setting.is_empty()) {
                setting.clone_from(named);
            }
        }
        if settings.format == Format::Auto {
            changed.format = self.format;
            changed.columns.clone_from(&self.columns);
            changed.columns.extend(settings.columns.clone());
        }
        changed.roles.clone_from(&self.roles);
        changed.roles.extend(settings.roles.clone());
        Ok(changed)
    }
}

/// The data set that a `data.train` of the form `…/dataset_info.json` or `…/dataset_info.json:NAME` names; `None` for any
/// other.
///
/// # Errors
/// There is no such data set, or there are several and none is named.
pub fn named(spec: &str) -> Option<Result<DatasetEntry>> {
    let is_info = |path: &str| Path::new(path).file_name().is_some_and(|name| name == "dataset_info.json");
    let (path, name) = match spec.rsplit_once(':') {
        _ if is_info(spec) => (spec, None),
        Some((path, name)) if is_info(path) => (path, Some(name)),
        _ => return None,
    };
    let path = expand_home(path);
    let found = read(&path, name).and_then(|mut entries| match entries.len() {
        1 => Ok(entries.remove(0)),
        0 => Err(Error::file("it describes no data set", &path)),
        count => {
            let names: Vec<&str> = entries.iter().take(20).map(|entry| entry.name.as_str()).collect();
            let example = format!("{spec}:{}", names[0]);
            let message = format!("it describes {count} data sets ({}): name one, as in {example}", names.join(", "));
            Err(Error::file(message, &path))
        }
    });
    Some(found)
}

/// The settings with what a `dataset_info.json` says of the format, columns and roles, and sentences about what of it is not
/// followed. The name of the data set stays.
///
/// # Errors
/// As for [`named`].
pub fn resolve(settings: &DataConfig) -> Result<(DataConfig, Vec<String>)> {
    let Some(entry) = named(&settings.train) else { return Ok((settings.clone(), Vec::new())) };
    let entry = entry?;
    let resolved = DataConfig { train: settings.train.clone(), ..entry.apply(settings)? };
    let mut notices = Vec::new();
    if let Some(samples) = entry.samples {
        notices.push(format!("dataset_info.json asks for {samples} rows of {}: all of them are used", entry.name));
    }
    if let Some(folder) = entry.parts.get("folder") {
        notices.push(format!("dataset_info.json asks for the folder {folder}: the folders are not told apart"));
    }
    Ok((resolved, notices))
}

type Columns = BTreeMap<String, String>;

fn entry(name: &str, value: &Value, path: &Path) -> std::result::Result<DatasetEntry, String> {
    let Some(entry) = value.as_object() else { return Err("expected an object".into()) };
    let mut found = DatasetEntry { name: name.into(), path: path.into(), ..DatasetEntry::default() };
    for key in ["subset", "split", "folder"] {
        found.parts.extend(text(entry, key)?.map(|part| (key.to_string(), part.to_string())));
    }
    if let Some(samples) = entry.get("num_samples").filter(|v| !v.is_null()) {
        let count = samples.as_u64().and_then(|n| usize::try_from(n).ok());
        found.samples = Some(count.ok_or("`num_samples`: expected a whole number")?);
    }
    where_from(entry, path, &mut found)?;
    let columns = texts(entry, "columns")?;
    let tags = texts(entry, "tags")?;
    for unsupported in ["images", "videos", "audios"] {
        if columns.as_ref().is_some_and(|columns| columns.contains_key(unsupported)) {
            found.problem = Some(format!("its rows have {unsupported}, and this version trains on text alone"));
        }
    }
    if columns.as_ref().is_some_and(|columns| columns.contains_key("kto_tag")) {
        found.problem = Some("its rows are answers with a verdict (KTO), which this version cannot train on".into());
    }
    let ranking = match entry.get("ranking") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(ranking)) => *ranking,
        Some(_) => return Err("`ranking`: expected true or false".into()),
    };
    match text(entry, "formatting")?.unwrap_or("alpaca") {
        "alpaca" => alpaca(&mut found, columns.as_ref(), ranking),
        "sharegpt" => conversations(&mut found, columns, tags, ranking, ["conversations", "from", "value"]),
        "openai" => conversations(&mut found, columns, tags, ranking, ["messages", "role", "content"]),
        other => return Err(format!("`formatting` is {other:?}; expected alpaca, sharegpt or openai")),
    }
    Ok(found)
}

/// Where its rows are, in LLaMA-Factory's order of precedence.
fn where_from(entry: &Map<String, Value>, path: &Path, found: &mut DatasetEntry) -> std::result::Result<(), String> {
    if let Some(id) = text(entry, "hf_hub_url")? {
        let id = id.trim_start_matches("https://huggingface.co/").trim_start_matches("datasets/");
        found.hub = Some(id.trim_end_matches('/').to_string());
        return Ok(());
    }
    let elsewhere = [
        ("ms_hub_url", "it is on ModelScope, which this program does not ask: download it, and name the file"),
        ("om_hub_url", "it is on Modelers, which this program does not ask: download it, and name the file"),
        ("script_url", "a Python script loads it, which this program does not run: save its rows as a file first"),
        (
            "cloud_file_name",
            "it is in a cloud storage, which this program does not ask: download it, and name the file",
        ),
    ];
    for (key, problem) in elsewhere {
        if text(entry, key)?.is_some() {
            found.problem = Some(problem.into());
            return Ok(());
        }
    }
    let Some(file) = text(entry, "file_name")? else {
        return Err("there is neither `file_name` nor `hf_hub_url`".into());
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    found.file_names.push(folder.join(file));
    Ok(())
}

/// `prompt`, `query`, `response`: what the columns are called when nothing is said, and none of the others then.
fn alpaca(found: &mut DatasetEntry, columns: Option<&Columns>, ranking: bool) {
    let usual = || {
        let usual = [("prompt", "instruction"), ("query", "input"), ("response", "output")];
        usual.map(|(name, column)| (name.to_string(), column.to_string())).into_iter().collect::<Columns>()
    };
    let given = columns.cloned().unwrap_or_else(usual);
    let has = |name: &str| given.contains_key(name);
    let (format, names): (Format, &[(&str, &str)]) = if ranking {
        (
            Format::Preference,
            &[("prompt", "prompt"), ("input", "query"), ("chosen", "chosen"), ("rejected", "rejected")],
        )
    } else if !has("response") {
        // Pre-training: the prompt is the text.
        (Format::Text, &[("text", "prompt")])
    } else if columns.is_some() && !has("query") && !has("history") {
        // A column that is not named is not read, even if the file has one called `input`.
        (Format::PromptCompletion, &[("prompt", "prompt"), ("completion", "response")])
    } else {
        (
            Format::Alpaca,
            &[("instruction", "prompt"), ("input", "query"), ("output", "response"), ("history", "history")],
        )
    };
    found.format = format;
    for (field, name) in names.iter().chain(&[("system", "system"), ("tools", "tools")]) {
        put(found, field, given.get(*name));
    }
}

fn conversations(
    found: &mut DatasetEntry,
    columns: Option<Columns>,
    tags: Option<Columns>,
    ranking: bool,
    [list, role, content]: [&str; 3],
) {
    let (columns, tags) = (columns.unwrap_or_default(), tags.unwrap_or_default());
    found.format = match (ranking, list) {
        (true, _) => Format::Preference,
        (false, "messages") => Format::Messages,
        (false, _) => Format::ShareGpt,
    };
    let or = |name: Option<&String>, usual: &str| Some(name.map_or(usual, String::as_str).to_string());
    put(found, "messages", or(columns.get("messages"), list).as_ref());
    put(found, "role", or(tags.get("role_tag"), role).as_ref());
    put(found, "content", or(tags.get("content_tag"), content).as_ref());
    for name in ["system", "tools", "chosen", "rejected"] {
        put(found, name, columns.get(name));
    }
    let words = [
        ("user_tag", "user", "human"),
        ("assistant_tag", "assistant", "gpt"),
        ("observation_tag", "tool", "observation"),
        ("function_tag", "function_call", "function_call"),
        ("system_tag", "system", "system"),
    ];
    for (tag, role, usual) in words {
        if let Some(word) = tags.get(tag).filter(|word| *word != usual && *word != role) {
            found.roles.insert(word.clone(), role.to_string());
        }
    }
}

/// Says where a field stands, if that is not where it usually does.
fn put(found: &mut DatasetEntry, field: &str, column: Option<&String>) {
    if let Some(column) = column
        && found.format.field(field).is_some_and(|known| known.column != column)
    {
        found.columns.insert(field.to_string(), column.clone());
    }
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> std::result::Result<Option<&'a str>, String> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}`: expected a text")),
    }
}

fn texts(entry: &Map<String, Value>, key: &str) -> std::result::Result<Option<Columns>, String> {
    let table = match entry.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(table)) => table,
        Some(_) => return Err(format!("`{key}`: expected an object of texts")),
    };
    let mut found = Columns::new();
    for (name, value) in table {
        match value {
            Value::Null => {}
            Value::String(text) => {
                found.insert(name.clone(), text.clone());
            }
            _ => return Err(format!("`{key}.{name}`: expected a text")),
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = r#"{
        "plain": {"file_name": "alpaca.json"},
        "dolly": {"file_name": "d.json", "columns": {"prompt": "q", "query": "c", "response": "a", "system": "s"}},
        "two": {"file_name": "d.json", "columns": {"prompt": "q", "response": "a"}},
        "pretrain": {"file_name": "p.jsonl", "columns": {"prompt": "text"}},
        "openai": {"file_name": "m.json", "formatting": "sharegpt", "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "agent"}},
        "rank": {"hf_hub_url": "owner/name", "ranking": true, "formatting": "sharegpt", "subset": "en",
            "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}},
        "dpo": {"file_name": "r.json", "ranking": true,
            "columns": {"prompt": "instruction", "query": "input", "chosen": "yes", "rejected": "no"}},
        "script": {"script_url": "loader"},
        "pictures": {"file_name": "x.json", "columns": {"images": "images"}}
    }"#;

    fn entries() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset_info.json");
        std::fs::write(&path, INFO).unwrap();
        (folder, path)
    }

    fn applied(path: &Path, name: &str) -> DataConfig {
        read(path, Some(name)).unwrap()[0].apply(&DataConfig::default()).unwrap()
    }

    fn pairs(map: &Columns) -> Vec<String> {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn entries_become_settings() {
        let (folder, path) = entries();
        let plain = applied(&path, "plain");
        assert_eq!(plain.train, folder.path().join("alpaca.json").to_string_lossy());
        assert_eq!((plain.format, pairs(&plain.columns)), (Format::Alpaca, vec![]));
        let dolly = applied(&path, "dolly");
        assert_eq!(dolly.format, Format::Alpaca);
        assert_eq!(pairs(&dolly.columns), ["input=c", "instruction=q", "output=a", "system=s"]);
        let two = applied(&path, "two");
        assert_eq!(
            (two.format, pairs(&two.columns)),
            (Format::PromptCompletion, vec!["completion=a".into(), "prompt=q".into()])
        );
        assert_eq!(applied(&path, "pretrain").format, Format::Text);
        let openai = applied(&path, "openai");
        assert_eq!((openai.format, pairs(&openai.roles)), (Format::ShareGpt, vec!["agent=assistant".to_string()]));
        assert_eq!(pairs(&openai.columns), ["content=content", "messages=messages", "role=role"]);
        let rank = applied(&path, "rank");
        assert_eq!((rank.train.as_str(), rank.format), ("owner/name", Format::Preference));
        assert_eq!((rank.hub_config.as_str(), rank.hub_split.as_str()), ("en", ""));
        let other = DataConfig { hub_config: "fr".into(), ..DataConfig::default() };
        assert_eq!(read(&path, Some("rank")).unwrap()[0].apply(&other).unwrap().hub_config, "fr");
        assert_eq!(pairs(&rank.columns), ["content=value", "role=from"]);
        let dpo = applied(&path, "dpo");
        assert_eq!(pairs(&dpo.columns), ["chosen=yes", "prompt=instruction", "rejected=no"]);
        // What was set by hand stays.
        let mut by_hand = DataConfig { format: Format::Text, ..DataConfig::default() };
        by_hand.columns.insert("text".into(), "q".into());
        let changed = read(&path, Some("dolly")).unwrap()[0].apply(&by_hand).unwrap();
        assert_eq!((changed.format, pairs(&changed.columns)), (Format::Text, vec!["text=q".to_string()]));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let (folder, path) = entries();
        let all = read(&path, None).unwrap();
        assert_eq!(all.len(), 9);
        let refused = |name: &str| {
            let entry = all.iter().find(|entry| entry.name == name).unwrap();
            entry.apply(&DataConfig::default()).unwrap_err().to_string()
        };
        assert!(refused("script").contains("the data set \"script\": a Python script loads it"));
        assert!(refused("pictures").contains("its rows have images"));
        let message = read(&path, Some("doly")).unwrap_err().to_string();
        assert!(
            message.contains("there is no data set \"doly\"; found `plain`") && message.contains("did you mean dolly?")
        );
        for (text, expected) in [
            ("[]", "expected an object of data sets"),
            ("{", "not valid JSON"),
            (r#"{"a": {}}"#, "neither `file_name` nor `hf_hub_url`"),
            (r#"{"a": {"file_name": 3}}"#, "`file_name`: expected a text"),
            (r#"{"a": {"file_name": "x", "formatting": "own"}}"#, "expected alpaca, sharegpt or openai"),
            (r#"{"a": {"file_name": "x", "columns": {"prompt": 3}}}"#, "`columns.prompt`: expected a text"),
        ] {
            let path = folder.path().join("wrong.json");
            std::fs::write(&path, text).unwrap();
            let message = read(&path, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
