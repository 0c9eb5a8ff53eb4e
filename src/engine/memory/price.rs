//! What a run will take, before anything is loaded: the trainer's own plan, from the configuration alone.

use super::kernels::Blocks;
use super::plan::{Loading, Parts, Phase, Samples};
use super::{BatchShape, Machine, Plan, Program};
use crate::engine::config::{Checkpointing, OptimizerKind, RunConfig};
use crate::engine::formats::StoredWeights;
use crate::engine::generate::Footprint;
use crate::engine::model::{Layout, LoadOptions, ModelConfig};
use crate::engine::ops::Compute;
use crate::engine::peft::{AdapterShape, LoraConfig};
use crate::engine::{Error, Result};

/// Share of the free memory that `checkpointing = "auto"` spends: the system and other programs want some, too.
const SHARE: f64 = 0.9;

/// What is known of a run's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The model.
    pub model: &'a ModelConfig,
    /// How its weights are stored.
    pub stored: &'a StoredWeights,
    /// The adapter that the run continues from (`method.init_from`); a fresh one follows from the run file.
    pub adapter: Option<&'a AdapterShape>,
    /// The rows, once they are tokenized; until then every row is taken to have `max_seq_len` tokens.
    pub rows: Option<&'a BatchShape>,
    /// Bytes that the device has free before the model is loaded, beside what the program holds: what
    /// `checkpointing = "auto"` may use.
    pub available_bytes: u64,
    /// What the program holds by then.
    pub program: Program,
    /// The machine.
    pub machine: Machine,
}

/// The memory and the size of a run.
#[derive(Clone, Debug)]
pub struct Price {
    /// Every buffer of the run.
    pub plan: Plan,
    /// The buffers behind it.
    pub layout: Layout,
    /// What is trained.
    pub adapter: AdapterShape,
    /// Bytes of the files that the run keeps beside its memory while it trains: a paged optimizer's, the layers' inputs.
    pub file_bytes: u64,
    /// Numbers that are trained.
    pub trainable_parameters: u64,
    /// Numbers of the model and the adapter.
    pub total_parameters: u64,
}

impl Price {
    /// Layers that keep their forward; the others compute it again.
    pub fn kept_layers(&self) -> usize {
        self.layout.kept_layers()
    }

    /// Layers of the model.
    pub fn layers(&self) -> usize {
        self.layout.layers
    }
}

impl Plan {
    /// The plan of the run that `run` describes: what the trainer takes once everything is loaded. Only the target modules
    /// and the numbers of `run` are looked at; it takes microseconds.
    pub fn price(inputs: &Inputs, run: &RunConfig) -> Result<Price> {
        let Inputs { model, stored, .. } = *inputs;
        let fresh;
        let adapter = match inputs.adapter {
            Some(shape) => shape,
            None if run.method.init_from.is_empty() => {
                fresh = AdapterShape::fresh(model, &LoraConfig::of_run(&run.method, model)?)?;
                &fresh
            }
            None => {
                let message = "method.init_from: the adapter has to be read before its memory is known";
                return Err(Error::Config(message.into()));
            }
        };
        let (size, segments) = match inputs.rows {
            Some(rows) => (rows.largest_batch(&run.data, &run.train), rows.most_rows(&run.data, &run.train)),
            None => (BatchShape::largest_unknown(&run.data, &run.train), run.train.batch_size),
        };
        // Positions and targets are 32-bit numbers; and the products below stay far from their type's end.
        if size.tokens > u32::MAX as usize {
            return Err(Error::Config(format!(
                "a batch of {} tokens is too large: lower train.batch_size or data.max_seq_len",
                size.tokens
            )));
        }

        let options = LoadOptions::of_run(&run.model);
        let layers = model.layers.len();
        let (allocated, mapped) = options.reading_bytes(stored);
        let layout = Layout::for_shape(model, run.model.compute, adapter, size, layers);
        let mut layout = layout.offload(run.train.checkpoint_offload).chunk_logits(model.vocab, run.train.logits_chunk);
        let mut plan = Plan::new(&Parts {
            model,
            weights: options.weight_bytes(stored),
            loading: Loading { allocated, mapped },
            adapter,
            optimizer: run.train.optimizer,
            layout: &layout,
            samples: samples(model, adapter, run.model.compute, &run.sample.prompts),
            segments,
            accumulation: run.train.grad_accumulation,
            blocks: Blocks::of(&options, stored),
            machine: &inputs.machine,
            program: inputs.program,
        });
        let kept = match run.train.checkpointing {
            Checkpointing::None => layers,
            Checkpointing::PerLayer => 0,
            Checkpointing::Auto => {
                // The fastest that fits: every layer that can keep its forward saves computing it twice.
                let budget = (inputs.available_bytes as f64 * SHARE) as u64;
                let later = plan.most_from(Phase::Forward);
                let loading = plan.bytes_in(Phase::Load);
                let all = layout.activation_bytes();
                (0..=layers)
                    .rev()
                    .find(|keep| {
                        let spared = (all - layout.activation_bytes_with(*keep)) as u64;
                        loading.max(later - spared) <= budget
                    })
                    .unwrap_or(0)
            }
        };
        layout.keep_layers(kept);
        plan.keep(&layout);
        let moments = if run.train.optimizer == OptimizerKind::PagedAdamw { 8 * adapter.parameters } else { 0 };
        Ok(Price {
            plan,
            file_bytes: moments + (4 * layout.in_file() * layout.stream_len) as u64,
            adapter: adapter.clone(),
            trainable_parameters: adapter.parameters,
            total_parameters: stored.parameters() + adapter.parameters,
            layout,
        })
    }
}

/// What answering the sample prompts takes, base and adapted one after the other.
fn samples(model: &ModelConfig, adapter: &AdapterShape, compute: Compute, prompts: &[String]) -> Samples {
    // Tokens of a prompt are not known before it is tokenized: about one for three bytes, and the template's.
    let tokens = prompts.iter().map(|p| p.len() / 3 + 32).max().unwrap_or(0).min(model.max_positions);
    let new = crate::engine::train::SAMPLE_TOKENS.min(model.max_positions - tokens);
    let (cache, buffers) = Footprint::session(model, adapter, compute, (prompts.len(), tokens, new));
    Samples { cache, buffers }
}
