//! An adapter folder.

use std::path::Path;

use serde::Serialize;

use crate::cli::output::{Failure, bytes, grouped, json, say};
use crate::engine::peft::folder::{self, Targets};
use crate::engine::train::run_dir::input_files;

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    path: &'a Path,
    method: &'static str,
    base_model: Option<&'a str>,
    rank: usize,
    alpha: f64,
    use_rslora: bool,
    dropout: f32,
    target_modules: serde_json::Value,
    modules: usize,
    parameters: usize,
    dtype: &'a str,
    bytes: u64,
}

pub(super) fn show(path: &Path, as_json: bool) -> Result<(), Failure> {
    let info = folder::inspect(path)?;
    let config = &info.config;
    let targets = match &config.targets {
        Targets::Unsaid => serde_json::Value::Null,
        Targets::AllLinear => "all-linear".into(),
        Targets::Names(names) => names.clone().into(),
        Targets::Pattern(pattern, _) => pattern.as_str().into(),
    };
    let size = |file: &std::path::PathBuf| std::fs::metadata(file).map_or(0, |m| m.len());
    let shown = Shown {
        kind: "adapter",
        path,
        method: "lora",
        base_model: config.base_model.as_deref(),
        rank: config.rank,
        alpha: config.alpha,
        use_rslora: config.rslora,
        dropout: config.dropout,
        target_modules: targets,
        modules: info.modules,
        parameters: info.parameters,
        dtype: &info.dtype,
        bytes: input_files(path)?.iter().map(size).sum(),
    };
    if as_json {
        return json(&shown);
    }
    say(format!("adapter     {}", path.display()))?;
    say(format!("base model  {}", shown.base_model.unwrap_or("not named")))?;
    let scale = if shown.use_rslora { "alpha/sqrt(rank)" } else { "alpha/rank" };
    say(format!("method      LoRA, rank {}, alpha {}, scaled by {scale}", shown.rank, shown.alpha))?;
    let targets = match &shown.target_modules {
        serde_json::Value::Array(names) => names.iter().filter_map(|n| n.as_str()).collect::<Vec<_>>().join(", "),
        serde_json::Value::String(text) => text.clone(),
        _ => "as its weights say".into(),
    };
    say(format!("modules     {} ({targets})", grouped(shown.modules as u64)))?;
    say(format!("parameters  {} in {}, {}", grouped(shown.parameters as u64), shown.dtype, bytes(shown.bytes)))
}
