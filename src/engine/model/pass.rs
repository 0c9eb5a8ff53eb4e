//! What one pass through the decoder shares between layers.

use crate::engine::model::LinearKind;
use crate::engine::ops::{Compute, attention::Segment, dropout::DropoutKey, rope::RopeTable};
use crate::engine::peft::lora::{Adapter, LoraPass};

/// One pass over a batch: the adapter, the dropout key, and where the samples lie.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// The adapter, or `None` for the base model.
    pub adapter: Option<&'a Adapter>,
    /// Key of this micro-batch's dropout (its `layer` and `module` are filled in per linear); `None` outside training.
    pub dropout: Option<DropoutKey>,
    /// Type of the products' inputs.
    pub compute: Compute,
    /// Rows of each sample.
    pub segments: &'a [Segment],
    /// Position of each row in its sample, `[tokens]`.
    pub positions: &'a [u32],
    /// Offset of each linear's part in [`Saved::lora_h`](crate::engine::model::Saved) and its rank, by [`LinearKind`].
    pub lora_h_at: &'a [(usize, usize)],
    /// One table for each of the model's rotary embeddings.
    pub ropes: &'a [RopeTable],
}

impl<'a> Pass<'a> {
    /// The LoRA on a linear in this pass, if it has one.
    pub fn lora(&self, layer: usize, kind: LinearKind) -> Option<LoraPass<'a>> {
        let adapter = self.adapter?;
        let module = adapter.module(layer, kind)?;
        let p = adapter.config.dropout;
        let dropout = self
            .dropout
            .filter(|_| p > 0.0)
            .map(|key| (p, DropoutKey { layer: layer as u32, module: kind as u32, ..key }));
        Some(LoraPass {
            module,
            a: &adapter.params[module.a_range()],
            b: &adapter.params[module.b_range()],
            dropout,
            compute: self.compute,
        })
    }

    /// Where a linear's A·x lies in `Saved::lora_h`: `[tokens, r]` of this pass.
    pub fn lora_h(&self, kind: LinearKind) -> std::ops::Range<usize> {
        let (at, rank) = self.lora_h_at[kind as usize];
        at..at + rank * self.positions.len()
    }
}
