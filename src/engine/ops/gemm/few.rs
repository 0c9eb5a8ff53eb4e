//! Products of up to four rows: dot products with the rows of the right operand, or sums of its rows.

use rayon::prelude::*;

use super::operand::Right;
use super::scratch::Scratch;
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::cpu::avx512_gemv;
use crate::engine::ops::cpu::{Kernel, Mode, gemv, round_bf16};
use crate::engine::ops::{Mat, MatMut};

/// Numbers of the right operand that a task reads.
const TASK: usize = 1 << 16;

/// Whether [`product`] takes this product.
pub(super) fn suits(m: usize, right: &Right) -> bool {
    m <= gemv::MOST_ROWS
        && match right {
            Right::Rows(_) | Right::WeightRows(_) => true,
            // Not cut into tasks, so only what is small: values of an attention.
            Right::Columns(b) => b.rows * b.cols <= 1 << 20,
            Right::WeightColumns(_) => false,
        }
}

/// `c[m,n] = alpha·a[m,k]·right[k,n] + beta·c` for m up to four and a right operand that [`suits`].
pub(super) fn product(kernel: &Kernel, alpha: f32, a: Mat, right: Right, beta: f32, c: MatMut, parallel: bool) {
    // The left operand, rounded if it is to be.
    let mut scratch = Scratch::take(a.rows * a.cols);
    let x = &mut scratch.floats()[..a.rows * a.cols];
    for r in 0..a.rows {
        let row = &mut x[r * a.cols..(r + 1) * a.cols];
        row.copy_from_slice(a.row(r));
        if kernel.mode != Mode::F32 {
            row.iter_mut().for_each(|v| *v = round_bf16(*v));
        }
    }
    match right {
        Right::Columns(b) => sum_rows(kernel, alpha, a.rows, x, b, beta, c),
        _ => dots(kernel, alpha, a.rows, x, right, beta, c, parallel),
    }
}

/// Each element one dot product.
fn dots(kernel: &Kernel, alpha: f32, m: usize, x: &[f32], right: Right, beta: f32, c: MatMut, parallel: bool) {
    let (n, k) = (right.columns(), right.depth());
    #[cfg(target_arch = "x86_64")]
    let lanes = k.div_ceil(32) * 16;
    #[cfg(target_arch = "x86_64")]
    let mut packed = (kernel.mode == Mode::Pairs).then(|| Scratch::take(m * lanes));
    #[cfg(target_arch = "x86_64")]
    let packed = packed.as_mut().map(|s| {
        let s = &mut s.lanes()[..m * lanes];
        for (x, out) in x.chunks_exact(k).zip(s.chunks_exact_mut(lanes)) {
            // SAFETY: only machines with bfloat16 products have kernels of pairs.
            unsafe { avx512_gemv::pack(x, out) };
        }
        &*s
    });
    let store = Store { c: c.data.as_mut_ptr(), stride: c.stride, alpha, beta };
    let run = |first: usize, end: usize| {
        let mut row = Scratch::take(k);
        let row = &mut row.floats()[..k];
        let mut out = [0f32; gemv::MOST_ROWS];
        for j in first..end {
            #[cfg(target_arch = "x86_64")]
            if let Some(packed) = packed {
                use avx512_gemv::Row;
                let direct = match &right {
                    Right::Rows(b) => Some(Row::F32(b.row(j))),
                    Right::WeightRows(w) => avx512_gemv::row_of(w, j),
                    _ => None,
                };
                let direct = direct.unwrap_or_else(|| {
                    decode(&right, j, row);
                    Row::F32(row)
                });
                // SAFETY: as above; `packed` holds m rows.
                unsafe { avx512_gemv::dots(m, packed.as_ptr(), lanes, direct, &mut out) };
                store.column(j, m, &out);
                continue;
            }
            match &right {
                Right::Rows(b) if kernel.mode == Mode::F32 => gemv::dots(kernel.isa, m, x, b.row(j), &mut out),
                _ => {
                    decode(&right, j, row);
                    if kernel.mode == Mode::Rounded {
                        row.iter_mut().for_each(|v| *v = round_bf16(*v));
                    }
                    gemv::dots(kernel.isa, m, x, row, &mut out);
                }
            }
            store.column(j, m, &out);
        }
    };
    let step = (TASK / k).max(1);
    if parallel && n > step {
        (0..n.div_ceil(step)).into_par_iter().for_each(|t| run(t * step, n.min((t + 1) * step)));
    } else {
        run(0, n);
    }
}

/// Column `j` of the right operand as 32-bit numbers.
fn decode(right: &Right, j: usize, out: &mut [f32]) {
    match right {
        Right::Rows(b) => out.copy_from_slice(b.row(j)),
        Right::WeightRows(w) => w.dequantize_row(j, out),
        Right::Columns(_) | Right::WeightColumns(_) => unreachable!("stored along k"),
    }
}

/// Where results go: columns, each written by one task.
struct Store {
    c: *mut f32,
    stride: usize,
    alpha: f32,
    beta: f32,
}

// SAFETY: tasks write disjoint columns.
unsafe impl Sync for Store {}

impl Store {
    fn column(&self, j: usize, m: usize, sums: &[f32; gemv::MOST_ROWS]) {
        for (i, sum) in sums.iter().enumerate().take(m) {
            // SAFETY: row and column are in C, and no other task has this column.
            unsafe {
                let at = self.c.add(i * self.stride + j);
                *at = self.alpha * sum + if self.beta == 0.0 { 0.0 } else { self.beta * *at };
            }
        }
    }
}

/// Rows of `b` added up, each times an element of x.
fn sum_rows(kernel: &Kernel, alpha: f32, m: usize, x: &[f32], b: Mat, beta: f32, mut c: MatMut) {
    let mut scratch = Scratch::take(m * b.cols);
    let sums = &mut scratch.floats()[..m * b.cols];
    gemv::accumulate(kernel.isa, kernel.mode != Mode::F32, m, x, b.data, b.stride, sums, b.cols);
    for i in 0..m {
        for (c, s) in c.row_mut(i).iter_mut().zip(&sums[i * b.cols..]) {
            *c = alpha * s + if beta == 0.0 { 0.0 } else { beta * *c };
        }
    }
}
