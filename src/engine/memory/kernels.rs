//! Working memory that the threads keep between the products of a step: asked of the products themselves, in their order.

use super::Machine;
use crate::engine::config::Quantization;
use crate::engine::formats::{Role, StoredForm, StoredWeights};
use crate::engine::model::{GATE_UP, GroupShape, Layout, LinearKind, LoadOptions, Model, ModelConfig, QKV};
use crate::engine::ops::attention::{self, Segment};
use crate::engine::ops::gemm::scratch::Kept;
use crate::engine::ops::{Compute, cross_entropy};
use crate::engine::peft::AdapterShape;
use crate::engine::quant::{FrozenMatrix, Storage, nf4};

/// Numbers of a GGUF block along a row, at most.
const GGUF_BLOCK: usize = 256;

/// How the weights are stored, as far as the products care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Numbers of a linear that are decoded together.
    pub linear: usize,
    /// Of the head.
    pub head: usize,
    /// Type of the products' inputs.
    pub compute: Compute,
}

impl Blocks {
    /// Of weights that are loaded like this.
    pub fn of(options: &LoadOptions, stored: &StoredWeights) -> Blocks {
        let keep = options.quantization == Quantization::Keep;
        let of = |role| {
            let nf4 = role == Role::Linear && options.quantization == Quantization::Nf4;
            let block = |form| match form {
                StoredForm::Blocks { .. } if keep => GGUF_BLOCK,
                StoredForm::Nf4 { .. } if keep => nf4::BLOCK,
                _ if nf4 => nf4::BLOCK,
                _ => 1,
            };
            stored.matrices.iter().filter(|g| g.role == role).map(|g| block(g.form)).max().unwrap_or(1)
        };
        Blocks { linear: of(Role::Linear), head: of(Role::Head), compute: options.compute }
    }

    /// Of a loaded model.
    pub fn of_model(model: &Model) -> Blocks {
        let block = |weight: &FrozenMatrix| match &weight.data {
            Storage::Dense(_) => 1,
            Storage::Nf4(_) => nf4::BLOCK,
            Storage::Blocks(_) => GGUF_BLOCK,
        };
        let linears = model.layers.iter().flat_map(|l| &l.linears);
        let linear = linears.map(|l| block(&l.weight)).max().unwrap_or(1);
        Blocks { linear, head: block(&model.head), compute: model.compute }
    }
}

/// What the threads keep after the forward, and after the backward.
#[derive(Clone, Debug)]
pub(super) struct KernelBytes {
    /// Bytes after the forward.
    pub forward: usize,
    /// After the backward: the buffers themselves.
    pub all: Kept,
}

/// The products of one step on the largest batch. Layers are alike, so one stands for all.
pub(super) fn step(
    m: &ModelConfig,
    adapter: &AdapterShape,
    layout: &Layout,
    segments: usize,
    blocks: Blocks,
    machine: &Machine,
) -> KernelBytes {
    let kernel = machine.kernel(blocks.compute);
    let (t, threads) = (layout.size.tokens, machine.threads);
    let mut kept = Kept::new(threads);
    let segments = laid(t, layout.size.longest, segments);
    let shape = m.attention_shape(blocks.compute);
    let (rows, head) = ((layout.size.supervised, layout.logits_rows), (m.hidden, m.vocab));
    let group = |kinds: &[LinearKind]| {
        let of = m.linears().iter().copied().filter(|kind| kinds.contains(kind));
        let member = |kind: LinearKind| (m.linear_shape(kind).0, adapter.ranks[kind as usize]);
        GroupShape {
            input: of.clone().next().map_or(0, |kind| m.linear_shape(kind).1),
            members: of.map(member).collect(),
            dropout: adapter.dropout,
            block: blocks.linear,
        }
    };
    let [qkv, o, gate_up, down] = [&QKV[..], &[LinearKind::O], &GATE_UP, &[LinearKind::Down]].map(group);
    let mut forward = 0;
    // The second time, buffers that grew for a later product are there for the earlier ones.
    for _ in 0..2 {
        qkv.forward_takes(kernel, t, &mut kept, threads);
        attention::forward_takes(&shape, &segments, &mut kept);
        for group in [&o, &gate_up, &down] {
            group.forward_takes(kernel, t, &mut kept, threads);
        }
        if forward == 0 {
            let mut kept = kept.clone();
            cross_entropy::takes(kernel, rows, head, blocks.head, false, &mut kept, threads);
            forward = kept.bytes();
        }
        cross_entropy::takes(kernel, rows, head, blocks.head, true, &mut kept, threads);
        for group in [&down, &gate_up, &o] {
            group.backward_takes(kernel, t, &mut kept, threads);
        }
        attention::backward_takes(&shape, &segments, &mut kept);
        qkv.backward_takes(kernel, t, &mut kept, threads);
    }
    KernelBytes { forward, all: kept }
}

/// So many samples in so many tokens: one as long as the longest, the others alike.
fn laid(tokens: usize, longest: usize, segments: usize) -> Vec<Segment> {
    let longest = longest.min(tokens);
    let rest = tokens - longest;
    let others = segments.saturating_sub(1).clamp(rest.div_ceil(longest.max(1)), rest.max(1)).min(rest);
    let mut all = Vec::with_capacity(others + 1);
    all.push(Segment::of(0..longest));
    for i in 0..others {
        all.push(Segment::of(longest + rest * i / others..longest + rest * (i + 1) / others));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fill_the_batch() {
        for (tokens, longest, segments) in [(512, 512, 1), (512, 512, 9), (1000, 300, 2), (1000, 300, 40), (7, 3, 99)] {
            let laid = laid(tokens, longest, segments);
            assert_eq!(laid.iter().map(|s| s.q.len()).sum::<usize>(), tokens);
            assert!(laid.iter().all(|s| (1..=longest).contains(&s.q.len())), "{laid:?}");
            assert!(laid.windows(2).all(|w| w[0].q.end == w[1].q.start));
        }
    }
}
