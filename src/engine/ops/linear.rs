//! Products with a frozen weight W `[out, in]` in whatever layout it is stored.
//!
//! The weight is decoded a few columns of the result at a time, straight into what the innermost loop reads: nowhere is
//! there a dense copy of it.

use super::gemm::{Left, Right, kernel, product};
use super::{Compute, Mat, MatMut};
use crate::engine::quant::{Dense, FrozenMatrix, Storage};

/// `y[tokens, out] = x[tokens, in]·Wᵀ + beta·y`. Threaded.
pub fn forward(x: Mat, w: &FrozenMatrix, y: MatMut, beta: f32, compute: Compute) {
    product(kernel(compute), 1.0, Left::Rows(x), rows(w), beta, y, true);
}

/// `dx[tokens, in] = dy[tokens, out]·W + beta·dx`. Threaded.
pub fn backward(dy: Mat, w: &FrozenMatrix, dx: MatMut, beta: f32, compute: Compute) {
    product(kernel(compute), 1.0, Left::Rows(dy), columns(w), beta, dx, true);
}

/// Wᵀ as the right operand of a product.
pub(crate) fn rows(w: &FrozenMatrix) -> Right<'_> {
    match &w.data {
        Storage::Dense(Dense::F32(v)) => Right::Rows(Mat::new(v, w.out_features, w.in_features)),
        _ => Right::WeightRows(w),
    }
}

/// W as the right operand of a product.
pub(crate) fn columns(w: &FrozenMatrix) -> Right<'_> {
    match &w.data {
        Storage::Dense(Dense::F32(v)) => Right::Columns(Mat::new(v, w.out_features, w.in_features)),
        _ => Right::WeightColumns(w),
    }
}
