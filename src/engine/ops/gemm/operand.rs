//! The operands of a product and how they are packed.

use std::ops::Range;

use super::weights;
use crate::engine::ops::Mat;
use crate::engine::ops::cpu::Kernel;
use crate::engine::quant::FrozenMatrix;

/// The left operand, `[m, k]`.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// Stored as `[m, k]`.
    Rows(Mat<'a>),
    /// Stored as `[k, m]`.
    Columns(Mat<'a>),
}

/// The right operand, `[k, n]`.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Stored as `[n, k]`.
    Rows(Mat<'a>),
    /// Stored as `[k, n]`.
    Columns(Mat<'a>),
    /// A frozen weight `[n, k]`.
    WeightRows(&'a FrozenMatrix),
    /// A frozen weight `[k, n]`.
    WeightColumns(&'a FrozenMatrix),
}

impl Left<'_> {
    pub fn rows(&self) -> usize {
        match self {
            Left::Rows(a) => a.rows,
            Left::Columns(a) => a.cols,
        }
    }

    pub fn depth(&self) -> usize {
        match self {
            Left::Rows(a) => a.cols,
            Left::Columns(a) => a.rows,
        }
    }

    /// Whether a row's numbers lie side by side along k.
    pub fn along_k(&self) -> bool {
        matches!(self, Left::Rows(_))
    }

    /// Packs rows `first..first + height` over `k` (which starts at a whole unit) to `[units, stride]` at `out`.
    ///
    /// # Safety
    /// `out` has room for it.
    pub unsafe fn pack(
        &self,
        kernel: &Kernel,
        first: usize,
        height: usize,
        k: Range<usize>,
        out: *mut u32,
        stride: usize,
    ) {
        // SAFETY: the rows and k are within the matrix, whose data is as long as its shape says.
        unsafe {
            match self {
                Left::Rows(a) => {
                    let src = a.data.as_ptr().add(first * a.stride + k.start);
                    (kernel.pack_rows)(src, a.stride, height, k.len(), out, stride, height);
                }
                Left::Columns(a) => {
                    let src = a.data.as_ptr().add(k.start * a.stride + first);
                    (kernel.pack_columns)(src, a.stride, height, k.len(), out, stride, height);
                }
            }
        }
    }
}

impl Right<'_> {
    pub fn columns(&self) -> usize {
        match self {
            Right::Rows(b) => b.rows,
            Right::Columns(b) => b.cols,
            Right::WeightRows(w) => w.out_features,
            Right::WeightColumns(w) => w.in_features,
        }
    }

    pub fn depth(&self) -> usize {
        match self {
            Right::Rows(b) => b.cols,
            Right::Columns(b) => b.rows,
            Right::WeightRows(w) => w.in_features,
            Right::WeightColumns(w) => w.out_features,
        }
    }

    /// Panels that are decoded together because a quantized block spans them.
    pub fn granularity(&self, nr: usize) -> usize {
        match self {
            Right::WeightColumns(w) => weights::block(w).div_ceil(nr).max(1),
            _ => 1,
        }
    }

    /// Packs columns `first..end` over `k` (which starts at a whole unit), a panel every `panel_lanes` lanes, into the
    /// units from `unit` on. The last panel is a half one when half is enough. Lanes without a column hold zeros.
    ///
    /// # Safety
    /// `out` has room for it.
    pub unsafe fn pack(
        &self,
        kernel: &Kernel,
        (first, end): (usize, usize),
        k: Range<usize>,
        out: *mut u32,
        panel_lanes: usize,
        unit: usize,
    ) {
        match self {
            Right::WeightRows(w) => {
                // SAFETY: passed on.
                for_lanes(kernel, first, end, |column, exist, lanes, at, stride| unsafe {
                    let out = out.add(at / kernel.nr * panel_lanes + unit * stride + at % kernel.nr);
                    weights::pack_rows(kernel, w, column, exist, k.clone(), out, stride, lanes);
                });
            }
            // SAFETY: passed on.
            Right::WeightColumns(w) => unsafe {
                weights::pack_columns(kernel, w, (first, end), k, out, panel_lanes, unit);
            },
            // SAFETY: the columns and k are within the matrix, whose data is as long as its shape says.
            Right::Rows(b) => for_lanes(kernel, first, end, |column, exist, lanes, at, stride| unsafe {
                let out = out.add(at / kernel.nr * panel_lanes + unit * stride + at % kernel.nr);
                let src = b.data.as_ptr().add(column * b.stride + k.start);
                (kernel.pack_rows)(src, b.stride, exist, k.len(), out, stride, lanes);
            }),
            Right::Columns(b) => {
                // A few rows at a time for all panels: their pages stay in the TLB, however far apart rows are.
                const ROWS: usize = 64;
                for at in k.clone().step_by(ROWS) {
                    let rows = ROWS.min(k.end - at);
                    let unit = unit + (at - k.start) / kernel.per_unit();
                    // SAFETY: as above.
                    for_lanes(kernel, first, end, |column, exist, lanes, lane, stride| unsafe {
                        let out = out.add(lane / kernel.nr * panel_lanes + unit * stride + lane % kernel.nr);
                        let src = b.data.as_ptr().add(at * b.stride + column);
                        (kernel.pack_columns)(src, b.stride, exist, rows, out, stride, lanes);
                    });
                }
            }
        }
    }
}

/// Calls `f(column, columns that exist, lanes, lane from the first, lanes between units)` for runs of at most 16 lanes of
/// the panels of columns `first..end`.
pub(super) fn for_lanes(
    kernel: &Kernel,
    first: usize,
    end: usize,
    mut f: impl FnMut(usize, usize, usize, usize, usize),
) {
    for panel in (first..end).step_by(kernel.nr) {
        let cols = kernel.nr.min(end - panel);
        let stride = kernel.lanes(cols);
        for at in (0..stride).step_by(16) {
            let lanes = (stride - at).min(16);
            let exist = (cols - at).min(lanes);
            f(panel + at, exist, lanes, panel - first + at, stride);
        }
    }
}
