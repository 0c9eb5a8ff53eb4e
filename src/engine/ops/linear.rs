//! Products with a frozen weight W `[out, in]` in whatever layout it is stored.

use super::{Compute, Mat, MatMut, gemm};
use crate::engine::quant::FrozenMatrix;

/// `y[tokens, out] = x[tokens, in]·Wᵀ + beta·y`. Threaded.
pub fn forward(x: Mat, w: &FrozenMatrix, y: MatMut, beta: f32, compute: Compute) {
    let dense = dense(w);
    gemm::nt(1.0, x, Mat::new(&dense, w.out_features, w.in_features), beta, y, compute);
}

/// `dx[tokens, in] = dy[tokens, out]·W + beta·dx`. Threaded.
pub fn backward(dy: Mat, w: &FrozenMatrix, dx: MatMut, beta: f32, compute: Compute) {
    let dense = dense(w);
    gemm::nn(1.0, dy, Mat::new(&dense, w.out_features, w.in_features), beta, dx, compute);
}

fn dense(w: &FrozenMatrix) -> Vec<f32> {
    let mut out = vec![0.0; w.out_features * w.in_features];
    w.dequantize_rows(0..w.out_features, &mut out);
    out
}
