//! `lora-studio export`: an adapter in the form that another program reads.

use std::path::PathBuf;

use serde::Serialize;

use super::output::{Failure, bytes, grouped, json, say};
use crate::engine::Error;
use crate::engine::config::expand_home;
use crate::engine::peft::folder::{self, AdapterConfig, CONFIG_FILE, ModelCard};
use crate::engine::train::run_dir::input_files;
use crate::engine::{export, formats};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run folder, or an adapter folder
    #[arg(value_name = "RUN_OR_ADAPTER_DIR")]
    from: String,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: String,
    /// The model that the adapter was trained on, where it does not name it or it has moved
    #[arg(long)]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What an adapter can be written as.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// The folder that PEFT and transformers load
    Peft,
}

#[derive(Serialize)]
struct Exported {
    kind: &'static str,
    format: &'static str,
    path: PathBuf,
    base_model: String,
    parameters: usize,
    bytes: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let from = export::adapter_dir(&expand_home(&args.from))?;
    let out = expand_home(&args.out);
    let named = AdapterConfig::read(&from.join(CONFIG_FILE))?;
    let Some(base) = args.model.clone().or(named.base_model) else {
        let message = "the adapter does not name the model that it was trained on: give it with --model";
        return Err(Error::file(message, &from).into());
    };
    let source = formats::open_named(&base).map_err(|e| match args.model {
        None => Error::Other(format!("the adapter's model could not be opened; where it has moved, give --model: {e}")),
        Some(_) => e,
    })?;
    let adapter = folder::read(&from, &source.config)?;
    let chat_template = folder::chat_template(&from)?;
    let card = ModelCard { revision: named.revision, chat_template, ..ModelCard::of(base) };
    match args.format {
        Format::Peft => export::peft(&adapter, &source.config, &card, &out)?,
    }
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |m| m.len());
    let exported = Exported {
        kind: "export",
        format: "peft",
        bytes: input_files(&out)?.iter().map(size).sum(),
        path: out,
        base_model: card.base_model,
        parameters: adapter.params.len(),
    };
    if args.json {
        return json(&exported);
    }
    let (parameters, size) = (grouped(exported.parameters as u64), bytes(exported.bytes));
    say(format!("{parameters} parameters, {size}, read back and found equal: {}", exported.path.display()))
}
