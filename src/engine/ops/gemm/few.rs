//! Products of up to four rows, as in decoding token by token: dot products with the rows of the right operand, or sums of
//! its rows. Nothing is packed but the few rows; the right operand is read once, where it lies.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::operand::Right;
use super::scratch::Scratch;
use super::through_rank::{Projected, ThroughRank};
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::cpu::avx512_gemv;
use crate::engine::ops::cpu::{Kernel, Mode, gemv, round_bf16};
use crate::engine::ops::{ColumnsMut, Mat, MatMut, pool};

/// Most rows that come here.
pub(crate) const MOST_ROWS: usize = gemv::MOST_ROWS;

/// Numbers of right operands that a task reads, at least: two microseconds.
const LEAST: usize = 1 << 13;

/// Columns of a task, at most: their sums are on the stack.
const MOST_COLUMNS: usize = 256;

/// Tasks for each thread, so that they end together.
const TASKS: usize = 8;

/// One linear of some rows: `c = x·right + beta·c`, and its adapter's part on the last of the rows.
pub(crate) struct FewOutput<'a> {
    pub c: ColumnsMut<'a>,
    pub right: Right<'a>,
    /// Factor on what C holds; 0 does not read it.
    pub beta: f32,
    pub adapter: Option<&'a ThroughRank>,
}

/// Whether [`product`] takes this product.
pub(super) fn suits(m: usize, right: &Right) -> bool {
    m <= MOST_ROWS
        && match right {
            Right::Rows(_) | Right::WeightRows(_) => true,
            // Not cut into tasks, so only what is small: values of an attention.
            Right::Columns(b) => b.rows * b.cols <= 1 << 20,
            Right::WeightColumns(_) => false,
        }
}

/// `c[m,n] = alpha·a[m,k]·right[k,n] + beta·c` for m up to four and a right operand that [`suits`].
pub(super) fn product(kernel: &Kernel, alpha: f32, a: Mat, right: Right, beta: f32, c: MatMut, parallel: bool) {
    match right {
        Right::Columns(b) => sum_rows(kernel, alpha, a, b, beta, c),
        _ => {
            let output = FewOutput { c: c.into(), right, beta, adapter: None };
            outputs_of(kernel, alpha, a, 0, vec![output], parallel);
        }
    }
}

/// Computes all outputs, which read the same rows `x [up to four, in]`; adapters are added from row `adapted` on.
pub(crate) fn outputs(kernel: &Kernel, x: Mat, adapted: usize, outputs: Vec<FewOutput>) {
    outputs_of(kernel, 1.0, x, adapted, outputs, true);
}

/// A part of the work: some columns of the output of that index.
enum Task {
    /// Of A·x: numbers of h.
    Project(usize, Range<usize>),
    /// Of the output.
    Columns(usize, Range<usize>),
}

fn outputs_of(kernel: &Kernel, alpha: f32, x: Mat, adapted: usize, outputs: Vec<FewOutput>, parallel: bool) {
    let columns: usize = outputs.iter().map(|o| o.c.cols).sum();
    if x.rows == 0 || columns == 0 {
        return;
    }
    let x = Rows::new(kernel, x);
    let last = x.m - adapted.min(x.m);
    let adapters = || outputs.iter().map(|o| o.adapter.filter(|_| last > 0));

    // What goes through rank r comes first: it is done, or nearly, when the first columns need it.
    let mut tasks = Vec::new();
    for (i, adapter) in adapters().enumerate() {
        let step = (LEAST / x.k.max(1)).clamp(8, MOST_COLUMNS);
        let rank = adapter.map_or(0, |a| a.rank());
        tasks.extend((0..rank).step_by(step).map(|r| Task::Project(i, r..rank.min(r + step))));
    }
    let projections = tasks.len();
    let share = columns.div_ceil(rayon::current_num_threads() * TASKS).max(LEAST / x.k.max(1));
    // Whole tiles of B.
    let step = share.next_multiple_of(super::through_rank::TILE).min(MOST_COLUMNS);
    for (i, output) in outputs.iter().enumerate() {
        let n = output.c.cols;
        tasks.extend((0..n).step_by(step).map(|j| Task::Columns(i, j..n.min(j + step))));
    }

    let hs: Vec<Option<Projected>> = adapters().map(|a| a.map(|a| a.room(kernel, last))).collect();
    let projected = AtomicUsize::new(0);
    let run = |task: usize| match &tasks[task] {
        Task::Project(i, range) => {
            let _counted = Counted(&projected);
            if let (Some(adapter), Some(h)) = (outputs[*i].adapter, &hs[*i]) {
                let mut sums = [0f32; MOST_ROWS * MOST_COLUMNS];
                x.dots(kernel, x.m - last, &adapter.a(), range.clone(), &mut sums, MOST_COLUMNS);
                // SAFETY: no other task has these numbers, and nobody reads them before all are counted.
                unsafe { adapter.keep(kernel, h, range.clone(), &sums, MOST_COLUMNS) };
            }
        }
        Task::Columns(i, range) => {
            let output = &outputs[*i];
            let mut sums = [0f32; MOST_ROWS * MOST_COLUMNS];
            x.dots(kernel, 0, &output.right, range.clone(), &mut sums, MOST_COLUMNS);
            if let (Some(adapter), Some(h)) = (output.adapter, &hs[*i]) {
                let mut waited = 0;
                while projected.load(Ordering::Acquire) < projections {
                    pool::wait(&mut waited);
                }
                let sums = &mut sums[(x.m - last) * MOST_COLUMNS..];
                // SAFETY: all of h is there.
                unsafe { adapter.add(kernel, h, range.clone(), sums, MOST_COLUMNS) };
            }
            for (row, sums) in sums.chunks_exact(MOST_COLUMNS).take(x.m).enumerate() {
                // SAFETY: no other task has these columns.
                let c = unsafe {
                    let at = output.c.data.add(row * output.c.stride + range.start);
                    std::slice::from_raw_parts_mut(at, range.len())
                };
                store(&sums[..range.len()], alpha, output.beta, c);
            }
        }
    };
    pool::for_each_task(tasks.len(), parallel && pool::worth(x.m * x.k * columns), run);
}

/// Counts a task when it ends, in whatever way: others wait for it.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

fn store(sums: &[f32], alpha: f32, beta: f32, c: &mut [f32]) {
    if beta == 0.0 {
        c.iter_mut().zip(sums).for_each(|(c, s)| *c = alpha * s);
    } else {
        c.iter_mut().zip(sums).for_each(|(c, s)| *c = alpha * s + beta * *c);
    }
}

/// The few rows, rounded as the kernel rounds.
struct Rows {
    m: usize,
    k: usize,
    /// `[m, k]`, or pairs of bfloat16, `[m, lanes]`.
    x: Scratch,
    pairs: bool,
}

impl Rows {
    fn new(kernel: &Kernel, a: Mat) -> Rows {
        let (m, k) = (a.rows, a.cols);
        #[cfg(target_arch = "x86_64")]
        if kernel.mode == Mode::Pairs {
            let lanes = avx512_gemv::lanes(k);
            let mut x = Scratch::take((m * lanes).max(1));
            for (r, out) in x.lanes()[..m * lanes].chunks_exact_mut(lanes.max(1)).enumerate() {
                // SAFETY: only machines with bfloat16 products have kernels of pairs.
                unsafe { avx512_gemv::pack(a.row(r), out) };
            }
            return Rows { m, k, x, pairs: true };
        }
        let mut x = Scratch::take((m * k).max(1));
        for (r, out) in x.floats()[..m * k].chunks_exact_mut(k.max(1)).enumerate() {
            out.copy_from_slice(a.row(r));
            if kernel.mode != Mode::F32 {
                out.iter_mut().for_each(|v| *v = round_bf16(*v));
            }
        }
        Rows { m, k, x, pairs: false }
    }

    /// Products of the rows from `first` on with `columns` of `right`: `sums[i·stride + j]`.
    fn dots(
        &self,
        kernel: &Kernel,
        first: usize,
        right: &Right,
        columns: Range<usize>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let m = self.m - first;
        #[cfg(target_arch = "x86_64")]
        if self.pairs {
            use avx512_gemv::Rows;
            let lanes = avx512_gemv::lanes(self.k);
            let x = &self.x.shared_lanes()[first * lanes..self.m * lanes];
            let rows = match right {
                Right::Rows(b) => Some(Rows::F32(*b)),
                Right::WeightRows(w) => Rows::of(w),
                _ => None,
            };
            if let Some(rows) = rows {
                // SAFETY: as above.
                let dots =
                    |scratch: &mut [f32]| unsafe { avx512_gemv::dots(m, x, rows, columns, scratch, sums, stride) };
                return with_own(rows.scratch(), dots);
            }
            // Four at a time: the sums of one row would wait for each other.
            with_own(4 * self.k, |decoded| {
                for start in columns.clone().step_by(4) {
                    let count = (columns.end - start).min(4);
                    let decoded = &mut decoded[..count * self.k];
                    for (j, row) in decoded.chunks_exact_mut(self.k).enumerate() {
                        decode(right, start + j, row);
                    }
                    let rows = Rows::F32(Mat::new(decoded, count, self.k));
                    let sums = &mut sums[start - columns.start..];
                    // SAFETY: as above.
                    unsafe { avx512_gemv::dots(m, x, rows, 0..count, &mut [], sums, stride) };
                }
            });
            return;
        }
        let x = &self.x.shared_floats()[first * self.k..self.m * self.k];
        let mut out = [0f32; MOST_ROWS];
        with_own(self.k, |row| {
            for (j, column) in columns.enumerate() {
                match right {
                    Right::Rows(b) if kernel.mode == Mode::F32 => gemv::dots(kernel.isa, m, x, b.row(column), &mut out),
                    _ => {
                        decode(right, column, row);
                        if kernel.mode == Mode::Rounded {
                            row.iter_mut().for_each(|v| *v = round_bf16(*v));
                        }
                        gemv::dots(kernel.isa, m, x, row, &mut out);
                    }
                }
                (0..m).for_each(|i| sums[i * stride + j] = out[i]);
            }
        });
    }
}

thread_local! {
    /// What a thread decodes into: thousands of tasks a token would wait for the list of all threads.
    static OWN: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` so many numbers of this thread's own, with leftover contents.
fn with_own<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    OWN.with_borrow_mut(|own| {
        if own.len() < len {
            own.resize(len, 0.0);
        }
        f(&mut own[..len])
    })
}

/// Column `j` of the right operand as 32-bit numbers.
fn decode(right: &Right, j: usize, out: &mut [f32]) {
    match right {
        Right::Rows(b) => out.copy_from_slice(b.row(j)),
        Right::WeightRows(w) => w.dequantize_row(j, out),
        Right::Columns(_) | Right::WeightColumns(_) => unreachable!("stored along k"),
    }
}

/// Rows of `b` added up, each times an element of a row of `a`.
fn sum_rows(kernel: &Kernel, alpha: f32, a: Mat, b: Mat, beta: f32, mut c: MatMut) {
    let m = a.rows;
    let mut x = Scratch::take(m * a.cols);
    let x = &mut x.floats()[..m * a.cols];
    for (r, out) in x.chunks_exact_mut(a.cols.max(1)).enumerate() {
        out.copy_from_slice(a.row(r));
        if kernel.mode != Mode::F32 {
            out.iter_mut().for_each(|v| *v = round_bf16(*v));
        }
    }
    let mut scratch = Scratch::take(m * b.cols);
    let sums = &mut scratch.floats()[..m * b.cols];
    gemv::accumulate(kernel.isa, kernel.mode != Mode::F32, m, x, b.data, b.stride, sums, b.cols);
    for i in 0..m {
        store(&sums[i * b.cols..][..b.cols], alpha, beta, c.row_mut(i));
    }
}
