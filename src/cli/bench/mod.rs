//! `lora-studio bench`: how fast this machine trains, decodes, multiplies and prepares data.

mod data;
mod decode;
mod gemm;
mod train;

use std::path::Path;
use std::time::Instant;

use super::args::words;
use super::output::Failure;
use crate::engine::config::{Checkpointing, Embeddings, OptimizerKind, Quantization};
use crate::engine::model::{LoadOptions, ModelConfig};
use crate::engine::ops::Compute;
use crate::engine::peft::LoraConfig;

/// What to measure.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// Steps on real rows
    Train,
    /// Tokens one after the other
    Decode,
    /// Products of a decoder's shapes with frozen weights
    Gemm,
    /// A data file to tokens and packed batches
    Data,
}

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to measure
    what: What,
    /// The model: builtin:NAME, a folder, a .gguf file, or owner/name on the Hub
    #[arg(long, default_value = "builtin:tiny-chat")]
    model: String,
    /// Tokens of a sequence
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    seq: u32,
    /// Sequences of a step
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Rank of the adapter; its alpha is twice that
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    rank: u32,
    /// Every second sequence to decode, or the only one, has an adapter of that rank on all linears, the others have none
    #[arg(long)]
    adapted: bool,
    /// How the frozen weights lie in memory
    #[arg(long, default_value = "nf4", value_parser = words::<Quantization>(&["nf4", "none", "keep"]))]
    quantization: Quantization,
    /// Type of the inputs of matrix products
    #[arg(long, default_value = "bf16", value_parser = words::<Compute>(&["bf16", "f32"]))]
    compute: Compute,
    /// Where the embeddings of tokens are looked up; if not given, as in training and in chat
    #[arg(long, value_parser = words::<Embeddings>(&["memory", "file"]))]
    embeddings: Option<Embeddings>,
    /// What a layer keeps for its backward
    #[arg(long, default_value = "none", value_parser = words::<Checkpointing>(&["none", "per-layer", "auto"]))]
    checkpointing: Checkpointing,
    /// The inputs of layers that are computed again wait in a file, which lies in the system's folder for temporary files
    #[arg(long)]
    checkpoint_offload: bool,
    /// Rows whose logits exist at a time; 0: as many as 56 MiB hold
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=65536))]
    logits_chunk: u32,
    /// How AdamW keeps its moments; the file of paged-adamw lies in the system's folder for temporary files
    #[arg(long, default_value = "adamw", value_parser = words::<OptimizerKind>(&["adamw", "adamw-8bit", "paged-adamw"]))]
    optimizer: OptimizerKind,
    /// Dropout of the adapter
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    dropout: f64,
    /// Training steps that count, after two that do not (8 if not given); tokens to decode (200)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Rows to train on; if not given, GSM8K where the project's test data lies, or else builtin:pirate
    #[arg(long)]
    data: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, started: Instant) -> Result<(), Failure> {
    match args.what {
        What::Train => train::run(args, started),
        What::Decode => decode::run(args),
        What::Gemm => gemm::run(args),
        What::Data => data::run(args),
    }
}

impl Args {
    /// The rows to train on.
    fn data(&self) -> &str {
        let usual = "../shared/data/gsm8k_train.jsonl";
        match &self.data {
            Some(data) => data,
            None if Path::new(usual).is_file() => usual,
            None => "builtin:pirate",
        }
    }

    /// How the model is loaded, its embeddings as is usual for what is measured.
    fn load_options(&self, usual: Embeddings) -> LoadOptions {
        LoadOptions {
            quantization: self.quantization,
            double_quant: true,
            compute: self.compute,
            embeddings: self.embeddings.unwrap_or(usual),
        }
    }

    /// The adapter: on all linears.
    fn lora(&self, model: &ModelConfig) -> LoraConfig {
        LoraConfig {
            rank: self.rank as usize,
            alpha: 2.0 * self.rank as f32,
            dropout: self.dropout as f32,
            rslora: false,
            targets: model.linears().to_vec(),
        }
    }
}

/// A number from 0 to below 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|x| (0.0..1.0).contains(x));
    number.ok_or_else(|| "a number from 0 to below 1 is expected".into())
}

/// The middle of the values, which one slow step does not move.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_the_peers() {
        // `times[len(times) // 2]` of the sorted times, as the Python benchmark takes it.
        assert_eq!(super::median(&[3.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(super::median(&[5.0]), 5.0);
        assert_eq!(super::median(&[]), 0.0);
    }
}
