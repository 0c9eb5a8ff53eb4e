//! AdamW over the adapter's tensors, with clipping by the global norm, and where its moments lie: in memory in 32 bits, in
//! memory in 8 bits, or in a file.
//!
//! ```
//! use lora_studio::engine::config::OptimizerKind;
//! use lora_studio::engine::train::Optimizer;
//! // A and B of rank 16 on a linear of 576 by 1,536, and a tensor too small for 8 bits.
//! let tensors = [16 * 576, 16 * 1536, 1000];
//! let bytes = |kind| Optimizer::state_bytes(kind, tensors);
//! assert_eq!(bytes(OptimizerKind::Adamw), 8 * (9216 + 24576 + 1000));
//! assert_eq!(bytes(OptimizerKind::Adamw8bit), 2 * (9216 + 24576) + 8 * (36 + 96) + 8 * 1000);
//! ```

mod paged;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;

use crate::engine::Result;
use crate::engine::config::OptimizerKind;
use crate::engine::ops::adamw::{self, AdamW};
use crate::engine::ops::adamw_8bit::{self, Moments};
use paged::PagedMoments;

/// Tensors of fewer numbers keep their moments in 32 bits with `adamw-8bit`, too (`min_8bit_size` of bitsandbytes).
const SMALLEST_8BIT: usize = 4096;

/// The optimizer and its state.
#[derive(Debug)]
pub struct Optimizer {
    /// Constants of the update.
    settings: AdamW,
    /// Updates made.
    steps: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Of each tensor of the adapter in order.
    Memory(Vec<TensorMoments>),
    Paged(PagedMoments),
}

/// Both moments of a tensor of the adapter.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorMoments {
    /// In 32 bits.
    Full {
        /// First moment, laid out as the tensor.
        m: Vec<f32>,
        /// Second moment.
        v: Vec<f32>,
    },
    /// In 8 bits.
    Blocks(Moments),
}

/// [`TensorMoments`] wherever they lie.
#[derive(Clone, Copy, Debug)]
pub enum TensorView<'a> {
    /// In 32 bits.
    Full {
        /// First moment.
        m: &'a [f32],
        /// Second moment.
        v: &'a [f32],
    },
    /// In 8 bits.
    Blocks(&'a Moments),
    /// In 32 bits in a file, in the machine's byte order.
    File {
        /// The file.
        file: &'a File,
        /// Where the first moment begins, in bytes.
        m: u64,
        /// Where the second moment begins.
        v: u64,
    },
}

impl Optimizer {
    /// No update made yet. `tensors` are the numbers of parameters of the adapter's tensors, which lie one after the
    /// other. A paged optimizer keeps its file in `folder`; the error says why it could not.
    pub fn new(
        kind: OptimizerKind,
        settings: AdamW,
        tensors: impl IntoIterator<Item = usize>,
        folder: &Path,
    ) -> Result<Optimizer> {
        let in_memory = |n: usize| match kind {
            OptimizerKind::Adamw8bit if n >= SMALLEST_8BIT => TensorMoments::Blocks(Moments::zeros(n)),
            _ => TensorMoments::Full { m: vec![0.0; n], v: vec![0.0; n] },
        };
        let state = match kind {
            OptimizerKind::PagedAdamw => State::Paged(PagedMoments::new(tensors.into_iter().collect(), folder)?),
            _ => State::Memory(tensors.into_iter().map(in_memory).collect()),
        };
        Ok(Optimizer { settings, steps: 0, state })
    }

    /// Bytes of memory that the state takes; a paged optimizer's file is not memory, and takes 8 bytes a parameter.
    pub fn state_bytes(kind: OptimizerKind, tensors: impl IntoIterator<Item = usize>) -> u64 {
        let tensors = tensors.into_iter();
        let of_tensor = |n: usize| match kind {
            OptimizerKind::Adamw8bit if n >= SMALLEST_8BIT => adamw_8bit::bytes(n),
            _ => 8 * n,
        };
        match kind {
            OptimizerKind::PagedAdamw => paged::buffer_bytes(tensors.sum()),
            _ => tensors.map(of_tensor).sum::<usize>() as u64,
        }
    }

    /// One update. Gradients are scaled down so that their norm is at most `max_norm` (0: never), as
    /// `torch.nn.utils.clip_grad_norm_` does; `norm` is theirs before that. Fails only where the state is in a file that
    /// cannot be read or written; parameters and state are then of no more use.
    pub fn step(
        &mut self,
        params: &mut [f32],
        grads: &[f32],
        norm: f64,
        max_norm: f64,
        learning_rate: f64,
    ) -> Result<()> {
        self.steps += 1;
        let step = Step {
            settings: &self.settings,
            learning_rate,
            t: self.steps,
            grad_factor: adamw::clip_factor(norm, max_norm) as f32,
        };
        match &mut self.state {
            State::Memory(tensors) => step.of_tensors(tensors, params, grads),
            State::Paged(moments) => moments.step(&step, params, grads)?,
        }
        Ok(())
    }

    /// Takes over the moments that a checkpoint holds, of every tensor in order, after `steps` updates. Moments that were
    /// kept in another way are converted; whether any were is returned.
    pub(super) fn restore(&mut self, steps: u64, saved: impl Iterator<Item = Result<TensorMoments>>) -> Result<bool> {
        self.steps = steps;
        let mut converted = false;
        match &mut self.state {
            State::Memory(tensors) => {
                for (tensor, saved) in tensors.iter_mut().zip(saved) {
                    let (saved, different) = saved?.like(tensor);
                    *tensor = saved;
                    converted |= different;
                }
            }
            State::Paged(moments) => {
                for (i, saved) in saved.enumerate() {
                    let saved = saved?;
                    converted |= matches!(saved, TensorMoments::Blocks(_));
                    let (m, v) = saved.into_full();
                    moments.write(i, &m, &v)?;
                }
            }
        }
        Ok(converted)
    }

    /// The moments of every tensor in order, to be saved.
    pub(super) fn tensors(&self) -> Vec<TensorView<'_>> {
        match &self.state {
            State::Memory(tensors) => tensors.iter().map(TensorMoments::view).collect(),
            State::Paged(moments) => moments.views(),
        }
    }
}

impl TensorMoments {
    /// What lies here.
    pub fn view(&self) -> TensorView<'_> {
        match self {
            TensorMoments::Full { m, v } => TensorView::Full { m, v },
            TensorMoments::Blocks(moments) => TensorView::Blocks(moments),
        }
    }

    /// How many parameters.
    fn len(&self) -> usize {
        match self {
            TensorMoments::Full { m, .. } => m.len(),
            TensorMoments::Blocks(moments) => moments.m.len(),
        }
    }

    fn into_full(self) -> (Vec<f32>, Vec<f32>) {
        match self {
            TensorMoments::Full { m, v } => (m, v),
            TensorMoments::Blocks(moments) => moments.dequantize(),
        }
    }

    /// The same moments kept as `other` is, and whether that changed them.
    fn like(self, other: &TensorMoments) -> (TensorMoments, bool) {
        match (self, other) {
            (TensorMoments::Full { m, v }, TensorMoments::Blocks(_)) => {
                (TensorMoments::Blocks(Moments::quantize(&m, &v)), true)
            }
            (TensorMoments::Blocks(moments), TensorMoments::Full { .. }) => {
                let (m, v) = moments.dequantize();
                (TensorMoments::Full { m, v }, true)
            }
            (same, _) => (same, false),
        }
    }
}

/// What is the same for all tensors in one update.
struct Step<'a> {
    settings: &'a AdamW,
    learning_rate: f64,
    t: u64,
    grad_factor: f32,
}

impl Step<'_> {
    /// The update of tensors that lie one after the other, both halves at once: nothing is allocated.
    fn of_tensors(&self, tensors: &mut [TensorMoments], params: &mut [f32], grads: &[f32]) {
        let &Step { settings, learning_rate, t, grad_factor } = self;
        match tensors {
            [] => {}
            [TensorMoments::Full { m, v }] => self.of_full(params, grads, m, v),
            [TensorMoments::Blocks(moments)] => {
                adamw_8bit::step(params, grads, moments, settings, learning_rate, t, grad_factor);
            }
            _ => {
                let (first, second) = tensors.split_at_mut(tensors.len() / 2);
                let n = first.iter().map(TensorMoments::len).sum();
                let ((first_params, second_params), (first_grads, second_grads)) =
                    (params.split_at_mut(n), grads.split_at(n));
                rayon::join(
                    || self.of_tensors(first, first_params, first_grads),
                    || self.of_tensors(second, second_params, second_grads),
                );
            }
        }
    }

    /// The update of parameters whose moments are in 32 bits.
    fn of_full(&self, params: &mut [f32], grads: &[f32], m: &mut [f32], v: &mut [f32]) {
        adamw::step(params, grads, m, v, self.settings, self.learning_rate, self.t, self.grad_factor);
    }
}
