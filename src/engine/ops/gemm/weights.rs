//! Packing panels from frozen weights, decoding them on the way.

use std::cell::RefCell;
use std::ops::Range;

use super::operand::for_lanes;
use crate::engine::ops::cpu::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::cpu::avx512_weights;
use crate::engine::quant::{FrozenMatrix, Storage};

/// Numbers that are decoded before they are packed, where that is not done in one: they stay in the L1 cache between the two.
const DECODED: usize = 4096;

thread_local! {
    static BUFFER: RefCell<[f32; DECODED]> = const { RefCell::new([0.0; DECODED]) };
}

/// Numbers along a row that are decoded together.
pub(super) fn block(w: &FrozenMatrix) -> usize {
    match &w.data {
        Storage::Dense(_) => 1,
        Storage::Nf4(m) => m.block(),
        Storage::Blocks(b) => b.dtype().block_size(),
    }
}

/// Packs rows `first..first + rows` of `w` over columns `k` as lanes of a panel: `x·Wᵀ`.
///
/// # Safety
/// `out` has room for the units of `k` of `lanes` lanes, `stride` apart.
pub(super) unsafe fn pack_rows(
    kernel: &Kernel,
    w: &FrozenMatrix,
    first: usize,
    rows: usize,
    k: Range<usize>,
    out: *mut u32,
    stride: usize,
    lanes: usize,
) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: passed on.
    if unsafe { avx512_weights::pack_rows(kernel, w, first, rows, k.clone(), out, stride, lanes) } {
        return;
    }
    const STEP: usize = 256;
    BUFFER.with_borrow_mut(|decoded| {
        assert!(rows * STEP <= DECODED, "a panel of more columns");
        for at in k.clone().step_by(STEP) {
            let n = STEP.min(k.end - at);
            for r in 0..rows {
                w.dequantize_part(first + r, at, &mut decoded[r * STEP..][..n]);
            }
            let unit = (at - k.start) / kernel.per_unit();
            // SAFETY: `rows` rows of `n` numbers were written; the target is the caller's.
            unsafe { (kernel.pack_rows)(decoded.as_ptr(), STEP, rows, n, out.add(unit * stride), stride, lanes) };
        }
    });
}

/// Packs columns `first..end` of `w` over rows `k`: `dy·W`. A panel every `panel_lanes` lanes, into the units from `unit`.
///
/// # Safety
/// `out` has room for it.
pub(super) unsafe fn pack_columns(
    kernel: &Kernel,
    w: &FrozenMatrix,
    (first, end): (usize, usize),
    k: Range<usize>,
    out: *mut u32,
    panel_lanes: usize,
    unit: usize,
) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: passed on.
    if unsafe { avx512_weights::pack_columns(kernel, w, (first, end), k.clone(), out, panel_lanes, unit) } {
        return;
    }
    /// Columns and rows that are decoded together.
    const COLUMNS: usize = 256;
    const ROWS: usize = DECODED / COLUMNS;
    BUFFER.with_borrow_mut(|decoded| {
        for start in (first..end).step_by(COLUMNS) {
            let cols = COLUMNS.min(end - start);
            let out = out.wrapping_add((start - first) / kernel.nr * panel_lanes);
            for at in k.clone().step_by(ROWS) {
                let n = ROWS.min(k.end - at);
                for r in 0..n {
                    w.dequantize_part(at + r, start, &mut decoded[r * cols..][..cols]);
                }
                let unit = unit + (at - k.start) / kernel.per_unit();
                // SAFETY: `n` rows of `cols` numbers were written; the target is the caller's.
                for_lanes(kernel, start, start + cols, |column, exist, lanes, lane, stride| unsafe {
                    let out = out.add(lane / kernel.nr * panel_lanes + unit * stride + lane % kernel.nr);
                    (kernel.pack_columns)(decoded.as_ptr().add(column - start), cols, exist, n, out, stride, lanes);
                });
            }
        }
    });
}
