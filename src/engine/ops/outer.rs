//! Sums of outer products over tokens, C `[m, n]` += Σₜ aₜ·bₜᵀ: the gradients of an adapter's matrices.
//!
//! In `f32`, where the operands lie: with one side as short as a rank, packing or rounding them would cost as much as the
//! sums. Each element of C grows by the sums of some tokens at a time, in their order.

use super::cpu::{Isa, Kernel, Tile};
use super::gemm::scratch::{Kept, Scratch};
use super::gemm::{Right, kernel, strips};
use super::simd::prefetch;
use super::{Compute, Mat, MatMut, pool};

/// Columns of C that a task computes: their part of b stays in the L2 cache while the rows of C pass over it.
const COLUMNS: usize = 128;
/// Rows of C that a task computes.
const ROWS: usize = 112;
/// Tokens whose products are summed in registers: what a task reads of them stays in the L1 cache.
const TOKENS: usize = 128;

/// One sum: `c[m, n] += a[tokens, m]ᵀ·b[tokens, n]`.
pub(crate) struct Outer<'a> {
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub c: MatMut<'a>,
}

/// A pointer into C that tasks share; each writes its own elements.
struct Target {
    c: *mut f32,
    stride: usize,
}

// SAFETY: tasks write disjoint elements.
unsafe impl Sync for Target {}

/// Adds to every C. Threaded over parts of all of them.
pub(crate) fn accumulate(all: Vec<Outer>) {
    accumulate_with(kernel(Compute::F32), all);
}

fn accumulate_with(kernel: &Kernel, mut all: Vec<Outer>) {
    all.retain(|o| o.a.rows > 0);
    let mut tasks = Vec::new();
    for (i, Outer { a, b, c }) in all.iter().enumerate() {
        assert_eq!(a.rows, b.rows, "outer products of different numbers of tokens");
        assert_eq!((c.rows, c.cols), (a.cols, b.cols), "outer products: shape of the sum");
        for row in (0..c.rows).step_by(ROWS) {
            tasks.extend((0..c.cols).step_by(COLUMNS).map(|column| (i, row, column)));
        }
    }
    let operands: Vec<(Mat, Mat)> = all.iter().map(|o| (o.a, o.b)).collect();
    let shapes: Vec<(usize, usize)> = all.iter().map(|o| (o.c.rows, o.c.cols)).collect();
    let targets: Vec<Target> =
        all.into_iter().map(|o| Target { c: o.c.data.as_mut_ptr(), stride: o.c.stride }).collect();
    pool::for_each_task(tasks.len(), true, |task| {
        let (i, row, column) = tasks[task];
        let ((a, b), target) = (operands[i], &targets[i]);
        let rows = ROWS.min(shapes[i].0 - row);
        let cols = COLUMNS.min(shapes[i].1 - column);
        let c = target.c.wrapping_add(row * target.stride + column);
        let (a, b) = (a.columns(row, rows), b.columns(column, cols));
        let tokens_from = |first: usize| {
            let count = TOKENS.min(a.rows - first);
            (a.rows_range(first, count), b.rows_range(first, count))
        };
        for first in (0..a.rows).step_by(TOKENS) {
            let next = a.rows.min(first + TOKENS);
            part(kernel, tokens_from(first), tokens_from(next), c, target.stride);
        }
    });
}

/// What [`accumulate`] takes for sums over `tokens` tokens whose C have these numbers of columns, for the memory plan.
pub(crate) fn takes(tokens: usize, columns: impl Iterator<Item = usize>, isa: Isa, kept: &mut Kept) {
    let kernel = Kernel::of(isa, Compute::F32);
    // The last panel of a part, where it is not a whole one.
    let last = columns.map(|n| (n % COLUMNS) % kernel.nr).filter(|cols| *cols < kernel.lanes(*cols));
    let lanes = last.map(|cols| tokens.min(TOKENS) * kernel.lanes(cols)).max().unwrap_or(0);
    kept.tasks(&[lanes]);
}

/// Adds Σₜ aₜ·bₜᵀ to one part of C. `next` are the tokens that follow.
fn part(kernel: &Kernel, (a, b): (Mat, Mat), next: (Mat, Mat), c: *mut f32, stride: usize) {
    let (tokens, m) = (a.rows, a.cols);
    // The narrower operand is in the cache. Of the wider one every number is read once, from places a row apart, which the
    // processor does not guess.
    let tall = m > b.cols;
    let (height, strips) = strips(kernel, m);
    for column in (0..b.cols).step_by(kernel.nr) {
        let cols = kernel.nr.min(b.cols - column);
        let lanes = kernel.lanes(cols);
        // Whole panels are read where they lie.
        let mut packed = (cols < lanes).then(|| Scratch::take(tokens * lanes));
        let (panel, b_step) = match &mut packed {
            None => (b.data[column..].as_ptr().cast(), b.stride),
            Some(packed) => {
                let panel = packed.lanes().as_mut_ptr();
                // SAFETY: there is room for a lane of every token.
                unsafe { Right::Columns(b).pack(kernel, (column, column + cols), 0..tokens, panel, tokens * lanes, 0) };
                (panel.cast_const(), lanes)
            }
        };
        if !tall {
            ask_for(b, next.1, column + kernel.nr, kernel.nr);
        }
        for strip in 0..strips {
            let row = strip * height;
            if tall {
                ask_for(a, next.0, row + height, kernel.mr);
            }
            let tile = Tile {
                a: &[(a.data[row..].as_ptr().cast(), tokens)],
                a_step: a.stride,
                b: panel,
                b_step,
                c: c.wrapping_add(row * stride + column),
                c_stride: stride,
                cols,
                alpha: 1.0,
                beta: 1.0,
                partial: std::ptr::null_mut(),
                first: true,
                last: true,
            };
            // SAFETY: a and b hold `tokens` rows with these columns; the tile lies in C, and no other task has it.
            unsafe { (kernel.tile)(height.min(m - row), lanes, &tile) };
        }
    }
}

/// Asks for columns `from..from + width`, or as many from the first on of the tokens that follow if there are none.
fn ask_for(here: Mat, next: Mat, from: usize, width: usize) {
    let (m, from) = if from < here.cols { (here, from) } else { (next, 0) };
    let columns = from..m.cols.min(from + width);
    for token in 0..m.rows {
        // The last of each line's worth: the first is in the line of the columns before.
        for line in m.row(token)[columns.clone()].chunks(16) {
            prefetch(line[line.len() - 1..].as_ptr().cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::cpu::Isa;
    use crate::engine::ops::testing::{assert_close, normal, with_threads};

    #[test]
    fn against_f64_with_odd_shapes_and_strides() {
        for (tokens, m, n) in
            [(1, 1, 1), (5, 8, 32), (37, 16, 100), (64, 130, 16), (3, 7, 49), (150, 70, 200), (0, 4, 4)]
        {
            let (sa, sb, sc) = (m + 3, n + 2, n + 1);
            let (a, b) = (normal(1, (tokens + 1) * sa, 1.0), normal(2, (tokens + 1) * sb, 1.0));
            let start = normal(3, m * sc, 1.0);
            let run = |isa, threads| {
                let mut c = start.clone();
                with_threads(threads, || {
                    let (a, b) = (Mat::strided(&a, tokens, m, sa), Mat::strided(&b, tokens, n, sb));
                    let c = MatMut::strided(&mut c, m, n, sc);
                    accumulate_with(Kernel::of(isa, Compute::F32), vec![Outer { a, b, c }]);
                });
                c
            };
            let mut want: Vec<f64> = start.iter().map(|v| f64::from(*v)).collect();
            for i in 0..m {
                for j in 0..n {
                    let sum = (0..tokens).map(|t| f64::from(a[t * sa + i]) * f64::from(b[t * sb + j]));
                    want[i * sc + j] += sum.sum::<f64>();
                }
            }
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                let c = run(isa, 1);
                assert_close(&format!("{isa:?} {tokens} tokens, {m} × {n}"), &c, &want, 5e-7);
                for threads in [2, 3] {
                    let same = run(isa, threads).iter().zip(&c).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{threads} threads");
                }
            }
        }
    }
}
