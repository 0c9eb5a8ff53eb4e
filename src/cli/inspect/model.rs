//! A model.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::output::{Failure, bytes, grouped, json, say};
use crate::engine::formats::{self, Quantization, TextTokenizer};
use crate::engine::model::ModelConfig;

#[derive(Serialize)]
pub(super) struct Shown {
    kind: &'static str,
    pub path: PathBuf,
    pub name: String,
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
    pub format: &'static str,
    quantization: String,
    pub dtype: String,
    pub files: usize,
    pub bytes: u64,
    pub license: Option<String>,
    chat_template: bool,
    eos_token: Option<String>,
    /// Whether the weights are on this computer.
    downloaded: bool,
}

pub(super) fn show(name: &str, as_json: bool) -> Result<(), Failure> {
    let source = formats::open_named(name)?;
    let facts = source.facts()?;
    let tokenizer = source.tokenizer()?;
    let shape =
        Shape { config: &source.config, parameters: facts.parameters, quantization: facts.quantization.clone() };
    let mut shown = Shown::new(&shape, &tokenizer);
    shown.bytes = facts.total_bytes();
    shown.path = source.path.clone();
    shown.name = source.name.clone();
    shown.format = facts.format;
    shown.dtype = facts.dtype;
    shown.files = facts.files.len();
    shown.license = facts.license;
    shown.downloaded = true;
    shown.print(as_json)
}

/// What the configuration says of a model.
pub(super) struct Shape<'a> {
    pub config: &'a ModelConfig,
    pub parameters: u64,
    pub quantization: Quantization,
}

impl Shown {
    /// What the small files say; the rest is for who knows it.
    pub(super) fn new(shape: &Shape<'_>, tokenizer: &TextTokenizer) -> Shown {
        let config = shape.config;
        Shown {
            kind: "model",
            path: PathBuf::new(),
            name: String::new(),
            architecture: config.architecture.clone(),
            parameters: shape.parameters,
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
            format: "safetensors",
            quantization: shape.quantization.describe(),
            dtype: "unknown".into(),
            files: 0,
            bytes: 0,
            license: None,
            chat_template: tokenizer.chat_template.is_some(),
            eos_token: tokenizer.eos_token.clone(),
            downloaded: false,
        }
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return json(self);
        }
        self.lines().iter().try_for_each(say)
    }

    fn lines(&self) -> Vec<String> {
        let shown = self;
        let files = if shown.files == 1 { "file" } else { "files" };
        let model = if shown.downloaded { shown.path.display().to_string() } else { shown.name.clone() };
        let mut lines = vec![
            format!("model         {model}"),
            format!("architecture  {}, {} layers", shown.architecture, shown.layers),
            format!("parameters    {}", grouped(shown.parameters)),
            format!(
                "width         {} hidden, {} feed-forward, {} heads of {}, {} for keys and values",
                shown.hidden, shown.intermediate, shown.heads, shown.head_dim, shown.kv_heads
            ),
            format!("context       {} tokens", grouped(shown.context_length as u64)),
            format!("vocabulary    {} tokens", grouped(shown.vocabulary as u64)),
            format!(
                "stored        {}, {}, quantization {}, {} {files}, {}",
                shown.format,
                shown.dtype,
                shown.quantization,
                shown.files,
                bytes(shown.bytes)
            ),
            format!("linears       {}", shown.linears.join(", ")),
            format!("template      {}", if shown.chat_template { "its own" } else { "none: ChatML is used" }),
            format!("licence       {}", shown.license.as_deref().unwrap_or("not named")),
        ];
        if !shown.downloaded {
            lines.push(format!("weights       not on this computer: lora-studio download {}", shown.name));
        }
        lines
    }
}
