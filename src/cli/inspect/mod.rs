//! `lora-studio inspect`: what a path holds: a model, an adapter, a run or a dataset.

mod adapter;
mod dataset;
mod hub;
mod model;
mod run;

use std::path::PathBuf;

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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(name) = args.path.strip_prefix("builtin:") {
        // A name is a model's or a data set's.
        return match builtin::dataset(name) {
            Ok(_) => dataset::show(&args.path, args.json),
            Err(no_data) => match builtin::model(name) {
                Ok(_) => model::show(&args.path, args.json),
                Err(no_model) => Err(Error::Config(format!("{no_model}; {no_data}")).into()),
            },
        };
    }
    if let Some(id) = Reference::hub(&args.path, RepoKind::Model) {
        return hub::show(&args.path, &id, args.json);
    }
    let path: PathBuf = expand_home(&args.path);
    if dataset_info::named(&args.path).is_some() {
        return dataset::show(&args.path, args.json);
    }
    if !path.exists() {
        return Err(Error::file("there is no such file or folder", &path).into());
    }
    if path.is_dir() {
        if path.join("adapter_config.json").is_file() {
            return adapter::show(&path, args.json);
        }
        if path.join("run.toml").is_file() {
            return run::show(&path, args.json);
        }
        // A folder of rows, unless it could be meant as a model.
        if !path.join("config.json").exists() && Source::find(&args.path).is_ok() {
            return dataset::show(&args.path, args.json);
        }
        return model::show(&args.path, args.json);
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("gguf") => model::show(&args.path, args.json),
        _ => dataset::show(&path.to_string_lossy(), args.json),
    }
}
