//! The same products on the calling thread, for loops that are parallel already.

use half::bf16;

use crate::engine::ops::{Compute, Mat, MatMut};

/// `c[m,n] = alpha·a[m,k]·b[n,k]ᵀ + beta·c`.
pub fn nt(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.cols, b.rows), (b.cols, c.cols), "shapes");
    product(a.cols, |i, k| a.data[i * a.stride + k], |k, j| b.data[j * b.stride + k], alpha, beta, c, compute);
}

/// `c[m,n] = alpha·a[m,k]·b[k,n] + beta·c`.
pub fn nn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.cols, b.cols), (b.rows, c.cols), "shapes");
    product(a.cols, |i, k| a.data[i * a.stride + k], |k, j| b.data[k * b.stride + j], alpha, beta, c, compute);
}

/// `c[m,n] = alpha·a[k,m]ᵀ·b[k,n] + beta·c`.
pub fn tn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.rows, b.cols), (b.rows, c.cols), "shapes");
    product(a.rows, |i, k| a.data[k * a.stride + i], |k, j| b.data[k * b.stride + j], alpha, beta, c, compute);
}

fn product(
    k: usize,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    alpha: f32,
    beta: f32,
    mut c: MatMut,
    compute: Compute,
) {
    let round = |v: f32| if compute == Compute::Bf16 { bf16::from_f32(v).to_f32() } else { v };
    for i in 0..c.rows {
        for (j, c) in c.row_mut(i).iter_mut().enumerate() {
            let sum: f32 = (0..k).map(|k| round(a(i, k)) * round(b(k, j))).sum();
            *c = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *c };
        }
    }
}
