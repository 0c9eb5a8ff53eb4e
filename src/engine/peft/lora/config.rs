//! The settings of a LoRA adapter.

use crate::engine::model::LinearKind;

/// Rank, scale, dropout and where the adapter sits.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank r.
    pub rank: usize,
    /// α; the update is scaled by α/r, or α/√r with `rslora`.
    pub alpha: f32,
    /// Probability with which an input of A is zeroed in training.
    pub dropout: f32,
    /// Rank-stabilised scaling (Kalajdzievski 2023).
    pub rslora: bool,
    /// The linears that get an adapter, in every layer.
    pub targets: Vec<LinearKind>,
}

impl LoraConfig {
    /// The factor on B·A.
    pub fn scale(&self) -> f32 {
        let r = self.rank as f32;
        self.alpha / if self.rslora { r.sqrt() } else { r }
    }
}
