//! A frozen linear with its bias and, where it is adapted, the LoRA beside it.

use crate::engine::model::LinearKind;
use crate::engine::model::LoraScratch;
use crate::engine::ops::{Compute, Mat, MatMut, elementwise, linear};
use crate::engine::peft::lora::LoraPass;
use crate::engine::quant::FrozenMatrix;

/// y = W x + b with W frozen.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Which linear of the layer.
    pub kind: LinearKind,
    /// W `[out, in]`.
    pub weight: FrozenMatrix,
    /// b `[out]`.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `y = W x + b`, or `y += …` with `accumulate`; then the adapter's part, whose `h [tokens, r]` is kept.
    pub fn forward(
        &self,
        x: Mat,
        mut y: MatMut,
        accumulate: bool,
        compute: Compute,
        lora: Option<(LoraPass, &mut [f32])>,
        scratch: &mut LoraScratch,
    ) {
        let beta = if accumulate { 1.0 } else { 0.0 };
        linear::forward(x, &self.weight, y.reborrow(), beta, compute);
        if let Some(bias) = &self.bias {
            elementwise::add_bias(y.reborrow(), bias);
        }
        if let Some((lora, h)) = lora {
            lora.forward(x, y, h, scratch);
        }
    }

    /// `dx = dy W` (or `+=`), with the adapter's share, and the adapter's gradients. `dx = None` where nothing below
    /// is trained: then only the adapter's gradients are computed.
    pub fn backward(
        &self,
        dy: Mat,
        x: Mat,
        mut dx: Option<(MatMut, bool)>,
        compute: Compute,
        lora: Option<LoraGradient>,
        scratch: &mut LoraScratch,
    ) {
        if let Some((dx, accumulate)) = &mut dx {
            let beta = if *accumulate { 1.0 } else { 0.0 };
            linear::backward(dy, &self.weight, dx.reborrow(), beta, compute);
        }
        if let Some(LoraGradient { pass, h, da, db }) = lora {
            pass.backward(dy, x, h, da, db, dx.map(|(dx, _)| dx), scratch);
        }
    }
}

/// What an adapted linear's backward needs: the forward's `h` and where the gradients accumulate.
pub struct LoraGradient<'a> {
    /// The module in this pass.
    pub pass: LoraPass<'a>,
    /// `[tokens, r]` from the forward.
    pub h: &'a [f32],
    /// Gradient of A `[r, in]`.
    pub da: &'a mut [f32],
    /// Gradient of B `[out, r]`.
    pub db: &'a mut [f32],
}
