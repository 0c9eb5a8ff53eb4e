//! Matrix products: `C = alpha·op(A)·op(B) + beta·C`.
//!
//! A sum over k always runs in the order of k, so results do not depend on the number of threads. With `beta == 0` what
//! C held before is not read.

use rayon::prelude::*;

use super::{Compute, Mat, MatMut};

pub mod serial;

/// `c[m,n] = alpha·a[m,k]·b[n,k]ᵀ + beta·c`. Threaded.
pub fn nt(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.cols, b.rows), (b.cols, c.cols), "shapes");
    by_rows(a.rows, c, |start, rows, c| serial::nt(alpha, a.rows_range(start, rows), b, beta, c, compute));
}

/// `c[m,n] = alpha·a[m,k]·b[k,n] + beta·c`. Threaded.
pub fn nn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.cols, b.cols), (b.rows, c.cols), "shapes");
    by_rows(a.rows, c, |start, rows, c| serial::nn(alpha, a.rows_range(start, rows), b, beta, c, compute));
}

/// `c[m,n] = alpha·a[k,m]ᵀ·b[k,n] + beta·c`. Threaded.
pub fn tn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    assert_eq!((a.rows, b.cols), (b.rows, c.cols), "shapes");
    by_rows(a.cols, c, |start, rows, c| serial::tn(alpha, a.columns(start, rows), b, beta, c, compute));
}

/// Calls `f(first row, rows, part of c)` for strips of c in parallel.
fn by_rows(m: usize, c: MatMut, f: impl Fn(usize, usize, MatMut) + Sync) {
    assert_eq!(m, c.rows, "rows");
    const STRIP: usize = 16;
    if m == 0 || c.cols == 0 {
        return;
    }
    let (cols, stride) = (c.cols, c.stride);
    let used = (m - 1) * stride + cols;
    c.data[..used].par_chunks_mut(STRIP * stride).enumerate().for_each(|(i, part)| {
        let rows = STRIP.min(m - i * STRIP);
        f(i * STRIP, rows, MatMut::strided(part, rows, cols, stride));
    });
}
