//! A model.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::model::open_model;
use crate::cli::output::{Failure, bytes, grouped, json, say};

#[derive(Serialize)]
struct Shown {
    kind: &'static str,
    path: PathBuf,
    name: String,
    architecture: String,
    parameters: u64,
    layers: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocabulary: usize,
    context_length: usize,
    tied_embeddings: bool,
    linears: Vec<&'static str>,
    format: &'static str,
    quantization: String,
    dtype: String,
    files: usize,
    bytes: u64,
    license: Option<String>,
    chat_template: bool,
    eos_token: Option<String>,
}

pub(super) fn show(name: &str, as_json: bool) -> Result<(), Failure> {
    let source = open_model(name)?;
    let facts = source.facts()?;
    let tokenizer = source.tokenizer()?;
    let config = &source.config;
    let shown = Shown {
        kind: "model",
        bytes: facts.total_bytes(),
        path: source.path.clone(),
        name: source.name.clone(),
        architecture: config.architecture.clone(),
        parameters: facts.parameters,
        layers: config.layers.len(),
        hidden: config.hidden,
        intermediate: config.intermediate,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        vocabulary: config.vocab,
        context_length: config.max_positions,
        tied_embeddings: config.tied,
        linears: config.linears().iter().map(|k| k.name()).collect(),
        format: facts.format,
        quantization: facts.quantization.describe(),
        dtype: facts.dtype,
        files: facts.files.len(),
        license: facts.license,
        chat_template: tokenizer.chat_template.is_some(),
        eos_token: tokenizer.eos_token,
    };
    if as_json {
        return json(&shown);
    }
    let files = if shown.files == 1 { "file" } else { "files" };
    say(format!("model         {}", shown.path.display()))?;
    say(format!("architecture  {}, {} layers", shown.architecture, shown.layers))?;
    say(format!("parameters    {}", grouped(shown.parameters)))?;
    say(format!(
        "width         {} hidden, {} feed-forward, {} heads of {}, {} for keys and values",
        shown.hidden, shown.intermediate, shown.heads, shown.head_dim, shown.kv_heads
    ))?;
    say(format!("context       {} tokens", grouped(shown.context_length as u64)))?;
    say(format!("vocabulary    {} tokens", grouped(shown.vocabulary as u64)))?;
    say(format!(
        "stored        {}, {}, quantization {}, {} {files}, {}",
        shown.format,
        shown.dtype,
        shown.quantization,
        shown.files,
        bytes(shown.bytes)
    ))?;
    say(format!("linears       {}", shown.linears.join(", ")))?;
    say(format!("template      {}", if shown.chat_template { "its own" } else { "none: ChatML is used" }))?;
    say(format!("licence       {}", shown.license.as_deref().unwrap_or("not named")))
}
