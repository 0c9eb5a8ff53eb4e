//! A repository on the Hub, of which only the small files are fetched.

use serde::Serialize;

use super::model::{self, Shape, Shown};
use crate::cli::download;
use crate::cli::output::{Failure, bytes, json, say};
use crate::engine::formats;
use crate::engine::hub::{DatasetParts, DatasetSplit, Hub, HubId, Listing, RepoKind};

/// What is known of files that cannot be looked into before they are here.
#[derive(Serialize)]
struct Files<'a> {
    kind: &'static str,
    name: String,
    downloaded: bool,
    bytes: u64,
    license: Option<&'a str>,
    files: Vec<File<'a>>,
    /// Of a data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<DatasetParts>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    bytes: u64,
}

pub(super) fn show(name: &str, id: &HubId, as_json: bool) -> Result<(), Failure> {
    let hub = Hub::from_environment();
    if id.kind == RepoKind::Dataset {
        let listing = download::listed(&hub, id)?;
        return files("dataset", &listing, hub.known_parts(id), as_json);
    }
    if hub.on_disk(id).is_ok() || hub.offline() {
        return model::show(name, as_json);
    }
    let listing = download::listed(&hub, id)?;
    let small = listing.without_weights();
    if !small.files.iter().any(|file| file.path == "config.json") {
        return files("model", &listing, None, as_json);
    }
    let folder = download::fetch(&hub, &small)?;
    let found = formats::describe(&folder)?;
    let shape = Shape { config: &found.config, parameters: found.parameters, quantization: found.quantization.clone() };
    let mut shown = Shown::new(&shape, &found.tokenizer(&folder)?);
    shown.path = folder;
    shown.name = id.to_string();
    shown.dtype = found.dtype.unwrap_or(shown.dtype);
    shown.bytes = listing.weight_bytes();
    shown.files = listing.files.iter().filter(|file| file.path.ends_with(".safetensors")).count();
    shown.license = listing.license;
    shown.print(as_json)
}

fn files(kind: &'static str, listing: &Listing, parts: Option<DatasetParts>, as_json: bool) -> Result<(), Failure> {
    let file = |file: &'_ crate::engine::hub::RemoteFile| (file.path.clone(), file.size);
    let list: Vec<(String, u64)> = listing.files.iter().map(file).collect();
    let license = listing.license.as_deref();
    if as_json {
        let files = list.iter().map(|(path, bytes)| File { path, bytes: *bytes }).collect();
        let (name, bytes) = (listing.id.to_string(), listing.total_bytes());
        return json(&Files { kind, name, downloaded: false, bytes, license, files, parts });
    }
    say(format!("{kind:<9}{}, not on this computer", listing.id))?;
    say(format!("licence  {}", license.unwrap_or("not named")))?;
    for config in parts.iter().flat_map(|parts| &parts.configs) {
        let split = |split: &DatasetSplit| format!("{} ({})", split.name, bytes(split.bytes()));
        let splits: Vec<String> = config.splits.iter().map(split).collect();
        say(format!("config   {}: {}", config.name, splits.join(", ")))?;
    }
    for (path, size) in &list {
        say(format!("file     {path}, {}", bytes(*size)))?;
    }
    Ok(())
}
