//! The bytes of a training step, itemised, from the same lengths that the buffers are allocated from.

use crate::engine::config::OptimizerKind;
use crate::engine::model::{Layout, Model, ModelConfig};
use crate::engine::ops::cross_entropy;
use crate::engine::peft::lora::{Adapter, AdapterShape};
use crate::engine::train::Optimizer;

/// What the items of a [`Plan`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The frozen model as it lies in memory.
    Weights,
    /// The adapter's master weights.
    Adapter,
    /// Their gradients.
    Gradients,
    /// The optimizer's two moments, or of a paged one the buffers that they go through.
    Optimizer,
    /// What is kept from the forward to the backward.
    Activations,
    /// Buffers of the layer that is being computed.
    Scratch,
    /// A chunk of logits.
    Logits,
    /// Rotary tables.
    Rope,
}

/// Bytes by item.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// Every item once.
    pub items: Vec<(Item, u64)>,
}

impl Plan {
    /// The plan of training `adapter` on `model` with an optimizer in the buffers of `layout`.
    pub fn of_step(model: &Model, adapter: &Adapter, optimizer: OptimizerKind, layout: &Layout) -> Plan {
        Self::new(&model.config, model.bytes() as u64, &AdapterShape::of(adapter), optimizer, layout)
    }

    /// The plan from what it depends on: bytes of the weights, the tensors that are trained and how.
    pub(super) fn new(
        model: &ModelConfig,
        weights: u64,
        adapter: &AdapterShape,
        optimizer: OptimizerKind,
        layout: &Layout,
    ) -> Plan {
        let parameters = 4 * adapter.parameters;
        Plan {
            items: vec![
                (Item::Weights, weights),
                (Item::Adapter, parameters),
                (Item::Gradients, parameters),
                (Item::Optimizer, Optimizer::state_bytes(optimizer, adapter.tensor_sizes())),
                (Item::Activations, layout.activation_bytes() as u64),
                (Item::Scratch, layout.scratch_bytes() as u64),
                (Item::Logits, cross_entropy::scratch_bytes(model.vocab) as u64),
                (Item::Rope, rope_bytes(model, layout.size.longest)),
            ],
        }
    }

    /// All items.
    pub fn total(&self) -> u64 {
        self.items.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Cosine and sine for every position and rotating pair.
fn rope_bytes(m: &ModelConfig, longest: usize) -> u64 {
    m.ropes.iter().map(|r| (4 * r.dims * longest) as u64).sum()
}
