//! What a run will take, before anything is loaded: the trainer's own plan, from the configuration alone.

use super::{BatchShape, Plan};
use crate::engine::config::{Checkpointing, RunConfig};
use crate::engine::formats::StoredWeights;
use crate::engine::model::{Layout, LoadOptions, ModelConfig};
use crate::engine::peft::{AdapterShape, LoraConfig};
use crate::engine::{Error, Result};

/// Share of the free memory that `checkpointing = "auto"` spends: the system and other programs want some, too.
const SHARE: f64 = 0.8;

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
    /// Bytes that the device has free before the model is loaded: what `checkpointing = "auto"` may use.
    pub available_bytes: u64,
}

/// The memory and the size of a run.
#[derive(Clone, Debug)]
pub struct Price {
    /// Every item of a step's memory.
    pub plan: Plan,
    /// The buffers behind it.
    pub layout: Layout,
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
}

impl Plan {
    /// The plan of the run that `run` describes: what [`Plan::of_step`] will say once everything is loaded. Only the
    /// target modules and the numbers of `run` are looked at; it takes microseconds.
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
        let size = match inputs.rows {
            Some(rows) => rows.largest_batch(&run.data, &run.train),
            None => BatchShape::largest_unknown(&run.data, &run.train),
        };
        // Positions and targets are 32-bit numbers; and the products below stay far from their type's end.
        if size.tokens > u32::MAX as usize {
            return Err(Error::Config(format!(
                "a batch of {} tokens is too large: lower train.batch_size or data.max_seq_len",
                size.tokens
            )));
        }

        let weights = LoadOptions::of_run(&run.model).loaded_bytes(stored);
        let layers = model.layers.len();
        let mut layout = Layout::for_shape(model, adapter, size, layers);
        let plan = |layout: &Layout| Plan::new(model, weights, adapter, run.train.optimizer, layout);
        match run.train.checkpointing {
            Checkpointing::None => {}
            Checkpointing::PerLayer => layout.keep_layers(0),
            Checkpointing::Auto => {
                // The fastest that fits: every layer that can keep its forward saves computing it twice.
                let free = inputs.available_bytes.saturating_sub(weights) as f64 * SHARE;
                let everything = plan(&layout).total() - weights;
                let others = everything - layout.activation_bytes() as u64;
                let fits = |layout: &Layout| (others + layout.activation_bytes() as u64) as f64 <= free;
                for keep in (0..=layers).rev() {
                    layout.keep_layers(keep);
                    if fits(&layout) {
                        break;
                    }
                }
            }
        }
        Ok(Price {
            plan: plan(&layout),
            trainable_parameters: adapter.parameters,
            total_parameters: stored.parameters() + adapter.parameters,
            layout,
        })
    }
}
