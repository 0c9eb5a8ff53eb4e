//! `lora-studio inspect`: what a path holds: a model, an adapter, a run or a dataset.

mod adapter;
mod dataset;
mod hub;
mod model;
mod run;

use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::engine::Error;
use crate::engine::config::expand_home;
use crate::engine::data::{Source, dataset_info};
use crate::engine::formats::builtin;
use crate::engine::hub::{Reference, RepoKind};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model, an adapter folder, a run folder, a data file or a folder of them, builtin:NAME, or owner/name on the Hub
    #[arg(value_name = "PATH")]
    path: String,
    /// Change how rows are read, as in a run file: data.columns.question=q; may be given several times
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let no_rows = || match args.set.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage("--set changes how rows are read, and these are none".into())),
    };
    if let Some(name) = args.path.strip_prefix("builtin:") {
        // A name is a model's or a data set's.
        return match builtin::dataset(name) {
            Ok(_) => dataset::show(&args.path, &args.set, args.json),
            Err(no_data) => match builtin::model(name) {
                Ok(_) => no_rows().and_then(|()| model::show(&args.path, args.json)),
                Err(no_model) => Err(Error::Config(format!("{no_model}; {no_data}")).into()),
            },
        };
    }
    // Before names on the Hub: one in a description has a colon, too.
    if dataset_info::named(&args.path).is_some() {
        return dataset::show(&args.path, &args.set, args.json);
    }
    if let Some(id) = Reference::hub(&args.path, RepoKind::Model) {
        // Rows that are here can be looked into.
        if id.kind == RepoKind::Dataset && Source::find(&args.path).is_ok() {
            return dataset::show(&args.path, &args.set, args.json);
        }
        return no_rows().and_then(|()| hub::show(&args.path, &id, args.json));
    }
    let path: PathBuf = expand_home(&args.path);
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::file("there is no such file or folder", &path).into());
        }
        found => found.map_err(Error::io("look at", &path))?,
    };
    if path.is_dir() {
        if path.join("adapter_config.json").is_file() {
            return no_rows().and_then(|()| adapter::show(&path, args.json));
        }
        if path.join("run.toml").is_file() {
            return no_rows().and_then(|()| run::show(&path, args.json));
        }
        // A folder of rows, unless it could be meant as a model.
        let of_rows = ["dataset_info.json", "dataset_dict.json"].iter().any(|name| path.join(name).exists());
        if !path.join("config.json").exists() {
            if of_rows || Source::find(&args.path).is_ok() {
                return dataset::show(&args.path, &args.set, args.json);
            }
            if !holds_weights(&path) {
                let message = "this folder holds no model (config.json), no adapter (adapter_config.json), no run (run.toml) \
                               and no rows (.jsonl, .csv, .parquet, .txt and others)";
                return Err(Error::file(message, &path).into());
            }
        }
        return no_rows().and_then(|()| model::show(&args.path, args.json));
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("gguf") => no_rows().and_then(|()| model::show(&args.path, args.json)),
        _ => dataset::show(&path.to_string_lossy(), &args.set, args.json),
    }
}

/// Whether a folder could be meant as a model, though it has no description.
fn holds_weights(folder: &Path) -> bool {
    let mut files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.any(|file| file.extension().is_some_and(|ending| ["safetensors", "gguf", "bin"].iter().any(|e| ending == *e)))
}
