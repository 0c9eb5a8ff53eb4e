//! `lora-studio eval`: the loss of a model, with or without an adapter, on the rows of a data file.

use std::time::Instant;

use serde::Serialize;

use super::args::{with_changes, words};
use super::model::{LoadArgs, load_adapter, load_model, open_model};
use super::output::{Failure, duration, grouped, json, note, progress_bar, say};
use crate::engine::config::{DataConfig, DataFormat, LossOn};
use crate::engine::data;
use crate::engine::model::{Workspace, WorkspaceSize};
use crate::engine::train::{evaluate, mean_loss};

/// Tokens that go through the model at once, unless one row is longer.
const BATCH_TOKENS: usize = 2048;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model: builtin:NAME, a folder, a .gguf file, or owner/name on the Hub
    #[arg(long)]
    model: String,
    /// An adapter folder
    #[arg(long)]
    adapter: Option<String>,
    /// The rows: builtin:NAME or a file
    #[arg(long)]
    data: String,
    /// Shape of the rows
    #[arg(long, default_value = "auto", value_parser = words::<DataFormat>(&FORMATS))]
    format: DataFormat,
    #[command(flatten)]
    load: LoadArgs,
    /// Which tokens count: all, or the assistant's
    #[arg(long, default_value = "all", value_parser = words::<LossOn>(&["all", "completions"]))]
    loss_on: LossOn,
    /// Longer rows are cut to this many tokens; the model's context length if not given
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    max_seq_len: Option<u32>,
    /// Change how the rows are read, as in a run file: data.columns.question=q; may be given several times
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What rows can look like; see the run file's `data.format`.
const FORMATS: [&str; 8] =
    ["auto", "messages", "sharegpt", "alpaca", "prompt-completion", "question-answer", "text", "preference"];

/// One row's loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Row {
    /// Predicted tokens.
    tokens: usize,
    /// The mean of their negative log-likelihoods in nats; null for a row that predicts nothing.
    nll: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Evaluation {
    rows: Vec<Row>,
    /// Mean over all predicted tokens, in nats.
    loss: f64,
    perplexity: f64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let source = open_model(&args.model)?;
    let tokenizer = source.tokenizer()?;
    let adapter = load_adapter(args.adapter.as_deref(), &source.config)?;
    let settings = DataConfig {
        train: super::model::expanded(&args.data),
        format: args.format,
        max_seq_len: args.max_seq_len.map_or(source.config.max_positions, |n| n as usize),
        loss_on: args.loss_on,
        ..DataConfig::default()
    };
    let settings = with_changes(settings, &args.set)?;
    let data = data::load(&settings, &tokenizer, 0)?;
    for notice in &data.report.notices {
        note(format!("warning: {notice}"));
    }
    let model = load_model(&source, &args.load)?;

    let started = Instant::now();
    let longest = data.train.rows().iter().map(|row| row.tokens).max().unwrap_or(0) as usize;
    let supervised = data.train.rows().iter().map(|row| row.supervised).max().unwrap_or(0) as usize;
    let size = WorkspaceSize { tokens: longest.max(BATCH_TOKENS), longest, supervised: supervised.max(BATCH_TOKENS) };
    let mut workspace = Workspace::for_inference(&model, adapter.as_ref(), size);
    let bar = progress_bar(data.train.len() as u64, "{human_pos}/{human_len} rows  {eta} left");
    let losses = evaluate(&model, adapter.as_ref(), &data.train, &mut workspace, &mut |done| {
        bar.set_position(done as u64);
        true
    })?;
    bar.finish_and_clear();
    let mut rows = vec![Row { tokens: 0, nll: None }; data.report.source.rows];
    for (cut, loss) in data.train.rows().iter().zip(&losses) {
        if let Some(row) = rows.get_mut(cut.row as usize).filter(|_| loss.tokens > 0) {
            *row = Row { tokens: loss.tokens, nll: Some(loss.nll / loss.tokens as f64) };
        }
    }

    let loss = mean_loss(&losses);
    if args.json {
        return json(&Evaluation { rows, loss, perplexity: loss.exp() });
    }
    let seconds = started.elapsed().as_secs_f64();
    say(format!("rows        {}", grouped(data.train.len() as u64)))?;
    say(format!("tokens      {} predicted", grouped(losses.iter().map(|l| l.tokens as u64).sum())))?;
    say(format!("loss        {loss:.4}"))?;
    say(format!("perplexity  {:.3}", loss.exp()))?;
    let speed = data.report.train.tokens as f64 / seconds.max(1e-9);
    say(format!("time        {} ({} tokens/s)", duration(seconds), grouped(speed as u64)))
}
