//! What a user calls a model or an adapter, opened and loaded.

use indicatif::ProgressBar;

use super::args::words;
use super::download;
use super::output::{Failure, interactive};
use crate::engine::config::{Embeddings, Quantization, expand_home};
use crate::engine::export;
use crate::engine::formats::{self, ModelSource};
use crate::engine::model::{LoadOptions, Model, ModelConfig};
use crate::engine::ops::Compute;
use crate::engine::peft::{self, Adapter};

/// How a model is loaded for a look at it: by default exactly, so that numbers compare with other programs'.
#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// How the weights lie in memory; keep: as they are stored
    #[arg(long, default_value = "keep", value_parser = words::<Quantization>(&["none", "nf4", "keep"]))]
    quantization: Quantization,
    /// Type of the inputs of matrix products
    #[arg(long, default_value = "f32", value_parser = words::<Compute>(&["f32", "bf16"]))]
    compute: Compute,
}

/// Opens `builtin:NAME`, a folder, a `.gguf` file, or a model of the Hub, which is downloaded if it is not there yet.
pub(super) fn open_model(name: &str) -> Result<ModelSource, Failure> {
    download::fetch_missing(name)?;
    Ok(formats::open_named(name)?)
}

/// Reads the weights, with a line on a terminal while it takes time.
pub(super) fn load_model(source: &ModelSource, args: &LoadArgs) -> Result<Model, Failure> {
    let options = LoadOptions {
        quantization: args.quantization,
        double_quant: true,
        compute: args.compute,
        embeddings: Embeddings::File,
    };
    load_with(source, &options)
}

/// [`load_model`] with options of the engine.
pub(super) fn load_with(source: &ModelSource, options: &LoadOptions) -> Result<Model, Failure> {
    let bar = if interactive() { ProgressBar::new(1) } else { ProgressBar::hidden() };
    let model = Model::load(source, options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    Ok(model?)
}

/// Reads an adapter folder, or what a run folder holds: its result, or its newest checkpoint.
pub(super) fn load_adapter(name: Option<&str>, config: &ModelConfig) -> Result<Option<Adapter>, Failure> {
    match name {
        Some(name) => Ok(Some(peft::folder::read(&export::adapter_dir(&expand_home(name))?, config)?)),
        None => Ok(None),
    }
}

/// The chat template that an adapter was trained with, where it is not the model's own.
pub(super) fn chat_template_of(name: &str) -> Result<Option<String>, Failure> {
    Ok(peft::folder::chat_template(&export::adapter_dir(&expand_home(name))?)?)
}

/// A path with `~` expanded; `builtin:NAME` as it is.
pub(super) fn expanded(text: &str) -> String {
    expand_home(text).to_string_lossy().into_owned()
}
