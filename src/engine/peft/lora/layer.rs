//! LoRA beside one frozen linear in one pass.

use super::LoraModule;
use crate::engine::ops::{Compute, Mat, MatMut, dropout, dropout::DropoutKey, gemm};

/// One adapted linear in one pass: where it is, its weights, and the dropout of this pass.
#[derive(Clone, Copy, Debug)]
pub struct LoraPass<'a> {
    /// Shapes, scale and offsets.
    pub module: &'a LoraModule,
    /// A `[r, in]`.
    pub a: &'a [f32],
    /// B `[out, r]`.
    pub b: &'a [f32],
    /// Probability and key of this module's dropout; `None` outside training.
    pub dropout: Option<(f32, DropoutKey)>,
    /// Type of the products' inputs.
    pub compute: Compute,
}

impl<'a> LoraPass<'a> {
    /// `y += B h` with `h = s·A x`, for rows that go through the linear by themselves (in training the products are
    /// part of the linear's own, see [`model::linear`](crate::engine::model)).
    ///
    /// `x [tokens, in]`, `y [tokens, out]`, `h [tokens, r]`.
    pub fn forward(&self, x: Mat, y: MatMut, h: &mut [f32]) {
        let LoraModule { rank, scale, .. } = *self.module;
        gemm::nt(scale, x, self.a(), 0.0, MatMut::new(h, x.rows, rank), self.compute);
        gemm::nt(1.0, Mat::new(h, x.rows, rank), self.b(), 1.0, y, self.compute);
    }

    /// A `[r, in]`.
    pub fn a(&self) -> Mat<'a> {
        Mat::new(self.a, self.module.rank, self.module.in_features)
    }

    /// B `[out, r]`.
    pub fn b(&self) -> Mat<'a> {
        Mat::new(self.b, self.module.out_features, self.module.rank)
    }

    /// The input of A: `x` itself, or `x` with this pass's mask in `buffer`.
    pub fn dropped<'b>(&self, x: Mat<'b>, buffer: &'b mut [f32]) -> Mat<'b> {
        let Some((p, key)) = self.dropout else { return x };
        dropout::apply(x, p, key, MatMut::new(buffer, x.rows, x.cols));
        Mat::new(buffer, x.rows, x.cols)
    }
}
