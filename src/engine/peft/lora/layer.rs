//! LoRA beside one frozen linear: the products through rank r, forward and backward.

use super::LoraModule;
use crate::engine::model::LoraScratch;
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

impl LoraPass<'_> {
    /// `y += s·B h` with `h = A dropout(x)`, kept for the backward.
    ///
    /// `x [tokens, in]`, `y [tokens, out]`, `h [tokens, r]`.
    pub fn forward(&self, x: Mat, y: MatMut, h: &mut [f32], scratch: &mut LoraScratch) {
        let LoraModule { rank, out_features, scale, .. } = *self.module;
        self.project(x, h, scratch);
        let b = Mat::new(self.b, out_features, rank);
        gemm::nt(scale, Mat::new(h, x.rows, rank), b, 1.0, y, self.compute);
    }

    /// `h [tokens, r] = A dropout(x)`.
    pub fn project(&self, x: Mat, h: &mut [f32], scratch: &mut LoraScratch) {
        let LoraModule { rank, in_features, .. } = *self.module;
        let tokens = x.rows;
        let x = self.dropped(x, &mut scratch.dropped);
        let a = Mat::new(self.a, rank, in_features);
        gemm::nt(1.0, x, a, 0.0, MatMut::new(h, tokens, rank), self.compute);
    }

    /// Accumulates `dA [r, in]`, `dB [out, r]` and, where asked for, `dx [tokens, in]`.
    ///
    /// With dh = s·dy B: dA += dhᵀ dropout(x), dB += s·dyᵀ h, dx += mask ∘ (dh A).
    pub fn backward(
        &self,
        dy: Mat,
        x: Mat,
        h: &[f32],
        da: &mut [f32],
        db: &mut [f32],
        dx: Option<MatMut>,
        scratch: &mut LoraScratch,
    ) {
        let LoraModule { rank, in_features, out_features, scale, .. } = *self.module;
        let tokens = x.rows;
        let a = Mat::new(self.a, rank, in_features);
        let b = Mat::new(self.b, out_features, rank);

        gemm::nn(scale, dy, b, 0.0, MatMut::new(&mut scratch.dh, tokens, rank), self.compute);

        // dB is the product with the short side first, so that the wide dy is never transposed.
        let db_t = &mut scratch.db_t[..rank * out_features];
        let h = Mat::new(h, tokens, rank);
        gemm::tn(scale, h, dy, 0.0, MatMut::new(db_t, rank, out_features), self.compute);
        for (o, row) in db.chunks_exact_mut(rank).enumerate() {
            for (r, value) in row.iter_mut().enumerate() {
                *value += db_t[r * out_features + o];
            }
        }

        let x = self.dropped(x, &mut scratch.dropped);
        let dh = Mat::new(&scratch.dh, tokens, rank);
        gemm::tn(1.0, dh, x, 1.0, MatMut::new(da, rank, in_features), self.compute);

        let Some(dx) = dx else { return };
        match self.dropout {
            None => gemm::nn(1.0, dh, a, 1.0, dx, self.compute),
            Some((p, key)) => {
                let d = &mut scratch.d_dropped[..tokens * in_features];
                gemm::nn(1.0, dh, a, 0.0, MatMut::new(d, tokens, in_features), self.compute);
                dropout::backward(Mat::new(d, tokens, in_features), p, key, dx);
            }
        }
    }

    /// The input of A: `x` itself, or `x` with this pass's mask in `buffer`.
    fn dropped<'b>(&self, x: Mat<'b>, buffer: &'b mut [f32]) -> Mat<'b> {
        let Some((p, key)) = self.dropout else { return x };
        dropout::apply(x, p, key, MatMut::new(buffer, x.rows, x.cols));
        Mat::new(buffer, x.rows, x.cols)
    }
}
