//! What the buffers of a step need to know of an adapter, before there is one.

use super::{Adapter, LoraConfig};
use crate::engine::Result;
use crate::engine::model::{LinearKind, ModelConfig};

/// Ranks and widths of an adapter, without its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterShape {
    /// Highest rank on each kind of linear over all layers, indexed by [`LinearKind`]; 0 where none is adapted.
    pub ranks: [usize; LinearKind::ALL.len()],
    /// Most input features of an adapted linear.
    pub widest_input: usize,
    /// Numbers that are trained.
    pub parameters: u64,
    /// Numbers of A and of B of modules of one size, and how many of these there are.
    pub tensors: Vec<([usize; 2], usize)>,
    /// Whether inputs are dropped in training.
    pub dropout: bool,
}

impl AdapterShape {
    /// The shape of an adapter.
    pub fn of(adapter: &Adapter) -> AdapterShape {
        let mut shape = AdapterShape { dropout: adapter.config.dropout > 0.0, ..AdapterShape::default() };
        for m in &adapter.modules {
            shape.add(m.kind, m.rank, m.in_features, m.out_features, 1);
        }
        shape
    }

    /// The shape of a fresh adapter of `model`.
    pub fn fresh(model: &ModelConfig, config: &LoraConfig) -> Result<AdapterShape> {
        config.validate(model)?;
        let mut shape = AdapterShape { dropout: config.dropout > 0.0, ..AdapterShape::default() };
        for &kind in model.linears().iter().filter(|k| config.targets.contains(k)) {
            let (output, input) = model.linear_shape(kind);
            shape.add(kind, config.rank, input, output, model.layers.len());
        }
        Ok(shape)
    }

    /// `count` linears of one kind.
    fn add(&mut self, kind: LinearKind, rank: usize, input: usize, output: usize, count: usize) {
        let highest = &mut self.ranks[kind as usize];
        *highest = (*highest).max(rank);
        self.widest_input = self.widest_input.max(input);
        self.parameters += (rank * (input + output) * count) as u64;
        let sizes = [rank * input, rank * output];
        match self.tensors.iter_mut().find(|(known, _)| *known == sizes) {
            Some((_, n)) => *n += count,
            None => self.tensors.push((sizes, count)),
        }
    }

    /// Numbers of every tensor, those of one size together.
    pub fn tensor_sizes(&self) -> impl Iterator<Item = usize> {
        self.tensors.iter().flat_map(|(sizes, count)| std::iter::repeat_n(*sizes, *count).flatten())
    }

    /// The highest rank.
    pub fn widest_rank(&self) -> usize {
        self.ranks.iter().copied().max().unwrap_or(0)
    }
}
