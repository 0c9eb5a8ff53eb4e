//! The small matrix products of one attention block: keys, values and their like are packed into panels once and used
//! by many blocks; the other operand is packed strip by strip where it is used.
//!
//! The loops are those of the linears ([`cpu`](crate::engine::ops::cpu)), so the inputs are bfloat16 where the linears'
//! are.

use crate::engine::ops::cpu::{Kernel, Tile};
use crate::engine::ops::gemm::scratch::Scratch;
use crate::engine::ops::gemm::{Left, Right, strips};
use crate::engine::ops::mat::Element;
use crate::engine::ops::{Mat, scratch};

/// Whole panels begin at multiples of it with every kernel.
pub(super) const GRAIN: usize = 32;

/// Lanes that `n` columns of depth `k` take in panels.
pub(super) fn packed_len(kernel: &Kernel, k: usize, n: usize) -> usize {
    n.div_ceil(kernel.nr) * kernel.nr * kernel.units(k)
}

/// Lanes that the strips of any left operand of depth `k` take, a strip at a time.
pub(super) fn strip_len(kernel: &Kernel, k: usize) -> usize {
    // Packing writes whole vectors, also behind the strip.
    kernel.mr * kernel.units(k) + 16
}

/// Packs B `[k, n]` into panels.
pub(super) fn pack(kernel: &Kernel, b: Right, out: &mut [u32]) {
    let (k, n) = (b.depth(), b.columns());
    assert!(out.len() >= packed_len(kernel, k, n), "no room for the panels");
    // SAFETY: there is room.
    unsafe { b.pack(kernel, (0, n), 0..k, out.as_mut_ptr(), kernel.units(k) * kernel.nr, 0) };
}

/// Rows that are widened together before they are packed: whole panels, and whole units.
const PIECE: usize = 64;

/// Packs the keys `[n, d]` of a head as B `[d, n]`.
pub(super) fn pack_keys<T: Element>(kernel: &Kernel, keys: Mat<T>, out: &mut [u32]) {
    pieces(keys, |start, rows, whole| {
        let (n, d) = (rows.rows, rows.cols);
        let panel = kernel.units(d) * kernel.nr;
        assert!(out.len() >= packed_len(kernel, d, whole), "no room for the panels");
        let out = out[start / kernel.nr * panel..].as_mut_ptr();
        // SAFETY: there is room; pieces begin with a panel.
        unsafe { Right::Rows(rows).pack(kernel, (0, n), 0..d, out, panel, 0) };
    });
}

/// Packs the values `[n, d]` of a head as B.
pub(super) fn pack_values<T: Element>(kernel: &Kernel, values: Mat<T>, out: &mut [u32]) {
    pieces(values, |start, rows, whole| {
        let (n, d) = (rows.rows, rows.cols);
        assert!(out.len() >= packed_len(kernel, whole, d), "no room for the panels");
        let panel = kernel.units(whole) * kernel.nr;
        // SAFETY: there is room; pieces begin with a unit.
        unsafe {
            Right::Columns(rows).pack(kernel, (0, d), 0..n, out.as_mut_ptr(), panel, start / kernel.per_unit());
        }
    });
}

/// Calls `f(first row, rows, rows of all)` with rows of 32-bit numbers: all at once where they lie, or some at a time.
fn pieces<T: Element>(m: Mat<T>, mut f: impl FnMut(usize, Mat, usize)) {
    if m.rows == 0 {
        return;
    }
    if let Some(data) = T::wide(m.data) {
        return f(0, Mat::strided(data, m.rows, m.cols, m.stride), m.rows);
    }
    scratch::with(PIECE * m.cols, |wide| {
        for start in (0..m.rows).step_by(PIECE) {
            let rows = PIECE.min(m.rows - start);
            for (r, to) in wide.chunks_exact_mut(m.cols.max(1)).take(rows).enumerate() {
                T::widen_to(m.row(start + r), to);
            }
            f(start, Mat::new(wide, rows, m.cols), m.rows);
        }
    });
}

/// B `[depth, columns]` in panels, of which a part is used.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub data: &'a [u32],
    /// Depth and columns that were packed.
    pub depth: usize,
    pub columns: usize,
    /// First row and column of the part: multiples of [`GRAIN`].
    pub from: (usize, usize),
}

/// C `[m, n]`, rows `stride` apart: C = alpha·A·B + beta·C, `A [m, k]`. Serial; `strip` is for [`strip_len`] lanes.
///
/// # Safety
/// `c` must be valid for writing `m` rows of `n` elements `stride` apart, and nobody else may use them meanwhile.
pub(super) unsafe fn product(
    kernel: &Kernel,
    a: Left,
    b: Panels,
    n: usize,
    (alpha, beta): (f32, f32),
    c: *mut f32,
    stride: usize,
    strip: &mut Scratch,
) {
    let (m, k, nr) = (a.rows(), a.depth(), kernel.nr);
    if m == 0 || n == 0 {
        return;
    }
    let (units, depth) = (kernel.units(k), kernel.units(b.depth));
    let (first_unit, first_panel) = (b.from.0 / kernel.per_unit(), b.from.1 / nr);
    assert!(b.from.0.is_multiple_of(kernel.per_unit()) && b.from.1.is_multiple_of(nr), "a part between panels");
    assert!(b.from.0 + k <= b.depth && b.from.1 + n <= b.columns, "panels too short");
    assert!(b.data.len() >= packed_len(kernel, b.depth, b.columns), "panels too short");
    let strip = strip.lanes();
    assert!(strip.len() >= strip_len(kernel, k), "no room for a strip");
    let (height, count) = strips(kernel, m);
    for s in 0..count {
        let first = s * height;
        let height = height.min(m - first);
        // SAFETY: the rows exist, and there is room for a strip.
        unsafe { a.pack(kernel, first, height, 0..k, strip.as_mut_ptr(), height) };
        for panel in 0..n.div_ceil(nr) {
            let at = first_panel + panel;
            // As it was packed, which may be wider than what is used.
            let lanes = kernel.lanes((b.columns - at * nr).min(nr));
            let tile = Tile {
                a: &[(strip.as_ptr(), units)],
                a_step: height,
                b: b.data[at * depth * nr + first_unit * lanes..].as_ptr(),
                b_step: lanes,
                c: c.wrapping_add(first * stride + panel * nr),
                c_stride: stride,
                cols: nr.min(n - panel * nr),
                alpha,
                beta,
                partial: std::ptr::null_mut(),
                first: true,
                last: true,
            };
            // SAFETY: strip and panel are packed for these units; the tile lies in C, which is the caller's.
            unsafe { (kernel.tile)(height, lanes, &tile) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::Compute;
    use crate::engine::ops::cpu::Isa;
    use crate::engine::ops::testing::{assert_close, normal};

    #[test]
    fn parts_of_panels_against_f64() {
        let (depth, columns) = (70, 100);
        let b = normal(2, depth * columns, 1.0);
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            let kernel = Kernel::of(isa, Compute::F32);
            let mut panels = vec![0; packed_len(kernel, depth, columns)];
            pack(kernel, Right::Columns(Mat::new(&b, depth, columns)), &mut panels);
            for (m, n, k, from) in
                [(1, 1, 1, (0, 0)), (15, 100, 70, (0, 0)), (64, 36, 6, (64, 64)), (13, 40, 32, (32, 32))]
            {
                for transposed in [false, true] {
                    let a = normal(1, m * k, 1.0);
                    let left =
                        if transposed { Left::Columns(Mat::new(&a, k, m)) } else { Left::Rows(Mat::new(&a, m, k)) };
                    let mut strip = Scratch::take(strip_len(kernel, k));
                    let stride = n + 1;
                    let mut c = vec![1.0; m * stride];
                    let part = Panels { data: &panels, depth, columns, from };
                    // SAFETY: `c` has `m` rows of `stride` elements.
                    unsafe { product(kernel, left, part, n, (0.5, 2.0), c.as_mut_ptr(), stride, &mut strip) };
                    let mut want = vec![1.0; m * stride];
                    for i in 0..m {
                        for j in 0..n {
                            let at = |p: usize| if transposed { a[p * m + i] } else { a[i * k + p] };
                            let sum: f64 = (0..k)
                                .map(|p| f64::from(at(p)) * f64::from(b[(from.0 + p) * columns + from.1 + j]))
                                .sum();
                            want[i * stride + j] = 2.0 + 0.5 * sum;
                        }
                    }
                    assert_close(&format!("{isa:?} {m}×{n}×{k}"), &c, &want, 5e-7);
                }
            }
        }
    }
}
