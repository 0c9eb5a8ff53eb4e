//! The adapter's weights in one flat buffer, with the gradients in a second of the same layout.

use super::{LoraConfig, LoraPass};
use crate::engine::model::{LinearKind, ModelConfig};
use crate::engine::ops::Compute;

/// Where one adapted linear lies in the flat buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraModule {
    /// Decoder layer.
    pub layer: usize,
    /// Which linear of it.
    pub kind: LinearKind,
    /// Input features of the linear.
    pub in_features: usize,
    /// Output features of the linear.
    pub out_features: usize,
    /// Rank r of this module.
    pub rank: usize,
    /// Factor on B·A.
    pub scale: f32,
    /// A `[r, in]` begins here.
    pub a: usize,
    /// B `[out, r]` begins here.
    pub b: usize,
}

impl LoraModule {
    /// Elements of A.
    pub fn a_range(&self) -> std::ops::Range<usize> {
        self.a..self.a + self.rank * self.in_features
    }

    /// Elements of B.
    pub fn b_range(&self) -> std::ops::Range<usize> {
        self.b..self.b + self.rank * self.out_features
    }
}

/// A LoRA adapter of one model: master weights in f32.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its settings.
    pub config: LoraConfig,
    /// The adapted linears, by layer and then in the order of computation.
    pub modules: Vec<LoraModule>,
    /// All A and B, `[Σ r·(in + out)]`.
    pub params: Vec<f32>,
}

impl Adapter {
    /// An adapter of zeros for `model`: every targeted linear of every layer, A then B of each module in order.
    pub fn zeros(model: &ModelConfig, config: LoraConfig) -> Adapter {
        let mut modules = Vec::new();
        let mut at = 0;
        for layer in 0..model.layers.len() {
            for &kind in model.linears().iter().filter(|k| config.targets.contains(k)) {
                let (out_features, in_features) = model.linear_shape(kind);
                let a = at;
                let b = a + config.rank * in_features;
                at = b + config.rank * out_features;
                let (rank, scale) = (config.rank, config.scale());
                modules.push(LoraModule { layer, kind, in_features, out_features, rank, scale, a, b });
            }
        }
        Adapter { config, modules, params: vec![0.0; at] }
    }

    /// Numbers of A, then of B, of every module in order: the tensors that lie in `params`.
    pub fn tensor_sizes(&self) -> impl Iterator<Item = usize> {
        self.modules.iter().flat_map(|m| [m.a_range().len(), m.b_range().len()])
    }

    /// A module outside training.
    pub fn pass<'a>(&'a self, module: &'a LoraModule, compute: Compute) -> LoraPass<'a> {
        let (a, b) = (&self.params[module.a_range()], &self.params[module.b_range()]);
        LoraPass { module, a, b, dropout: None, compute }
    }

    /// The module on a linear, if it is adapted.
    pub fn module(&self, layer: usize, kind: LinearKind) -> Option<&LoraModule> {
        self.modules.iter().find(|m| m.layer == layer && m.kind == kind)
    }
}
