//! The same products on the calling thread, for loops that are parallel already.

use super::{Left, Right, kernel, product};
use crate::engine::ops::{Compute, Mat, MatMut};

/// `c[m,n] = alpha·a[m,k]·b[n,k]ᵀ + beta·c`.
pub fn nt(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Rows(a), Right::Rows(b), beta, c, false);
}

/// `c[m,n] = alpha·a[m,k]·b[k,n] + beta·c`.
pub fn nn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Rows(a), Right::Columns(b), beta, c, false);
}

/// `c[m,n] = alpha·a[k,m]ᵀ·b[k,n] + beta·c`.
pub fn tn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Columns(a), Right::Columns(b), beta, c, false);
}
