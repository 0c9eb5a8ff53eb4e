//! AdamW over the flat adapter buffer, with clipping by the global norm.

use crate::engine::config::OptimizerKind;
use crate::engine::ops::adamw::{self, AdamW};

/// The optimizer's state: both moments in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// Constants of the update.
    pub settings: AdamW,
    /// First moment, the layout of the parameters.
    pub m: Vec<f32>,
    /// Second moment.
    pub v: Vec<f32>,
    /// Updates made.
    pub steps: u64,
}

impl Optimizer {
    /// No update made yet.
    pub fn new(settings: AdamW, parameters: usize) -> Self {
        Self { settings, m: vec![0.0; parameters], v: vec![0.0; parameters], steps: 0 }
    }

    /// Bytes of memory that the state takes.
    pub fn state_bytes(kind: OptimizerKind, tensors: impl IntoIterator<Item = usize>) -> u64 {
        match kind {
            OptimizerKind::Adamw => 8 * tensors.into_iter().sum::<usize>() as u64,
        }
    }

    /// One update. Gradients are scaled down so that their norm is at most `max_norm` (0: never), as
    /// `torch.nn.utils.clip_grad_norm_` does; `norm` is theirs before that.
    pub fn step(&mut self, params: &mut [f32], grads: &[f32], norm: f64, max_norm: f64, learning_rate: f64) {
        let factor = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        self.steps += 1;
        adamw::step(params, grads, &mut self.m, &mut self.v, &self.settings, learning_rate, self.steps, factor as f32);
    }
}
