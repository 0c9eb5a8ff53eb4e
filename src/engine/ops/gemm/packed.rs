//! The left operand of a product, packed into strips once for all the products that read it.

use super::operand::Left;
use super::scratch::Scratch;
use crate::engine::ops::cpu::{Kernel, Mode};
use crate::engine::ops::pool;

/// Numbers from which packing is spread over the threads.
const PARALLEL: usize = 1 << 15;

/// Strips that a task packs: those from columns read short runs of each row, and some side by side use whole cache lines.
const TOGETHER: usize = 8;

/// A matrix `[rows, depth]` in strips of up to [`Kernel::mr`] rows, each `[units, height]`.
pub(crate) struct Packed {
    scratch: Scratch,
    mode: Mode,
    /// Rows of the matrix.
    pub rows: usize,
    /// Length of the sums.
    pub depth: usize,
    /// Lanes along the depth.
    pub units: usize,
    /// Rows of every strip but the last, which may be lower. It depends on the number of rows alone.
    pub height: usize,
    /// Number of strips.
    pub strips: usize,
}

/// A pointer into packed strips that tasks share.
#[derive(Clone, Copy)]
struct Strips(*mut u32);
// SAFETY: packing tasks write disjoint strips.
unsafe impl Send for Strips {}
// SAFETY: as above.
unsafe impl Sync for Strips {}

impl Strips {
    fn at(self, offset: usize) -> *mut u32 {
        self.0.wrapping_add(offset)
    }
}

/// Height and number of the strips of `rows` rows.
pub(crate) fn strips(kernel: &Kernel, rows: usize) -> (usize, usize) {
    let height = rows.div_ceil(rows.div_ceil(kernel.mr).max(1)).max(1);
    (height, rows.div_ceil(height))
}

impl Packed {
    /// Lanes of 32 bits that a matrix takes.
    pub fn lanes(kernel: &Kernel, rows: usize, depth: usize) -> usize {
        // Packing writes whole vectors, also behind the last strip.
        rows * kernel.units(depth) + 16
    }

    /// Packs a matrix, on all threads if that is worth it and `parallel`.
    pub fn new(kernel: &Kernel, left: Left, parallel: bool) -> Packed {
        let (rows, depth) = (left.rows(), left.depth());
        let (height, strips) = strips(kernel, rows);
        let units = kernel.units(depth);
        let mut scratch = Scratch::take(Self::lanes(kernel, rows, depth));
        let to = Strips(scratch.lanes().as_mut_ptr());
        let pack = |task: usize| {
            let strips = task * TOGETHER..strips.min((task + 1) * TOGETHER);
            let step = if left.along_k() { depth } else { 64 };
            for k in (0..depth).step_by(step.max(1)) {
                let k = k..depth.min(k + step);
                for strip in strips.clone() {
                    let first = strip * height;
                    let height = height.min(rows - first);
                    let start = first * units + k.start / kernel.per_unit() * height;
                    // SAFETY: strips do not overlap and end within the scratch.
                    unsafe { left.pack(kernel, first, height, k.clone(), to.at(start), height) };
                }
            }
        };
        pool::for_each_task(strips.div_ceil(TOGETHER), parallel && rows * depth >= PARALLEL, pack);
        Packed { scratch, mode: kernel.mode, rows, depth, units, height, strips }
    }

    /// Whether it was packed for this kernel's kind of numbers.
    pub fn suits(&self, kernel: &Kernel) -> bool {
        self.mode == kernel.mode
    }

    /// Rows of a strip.
    pub fn height_of(&self, strip: usize) -> usize {
        self.height.min(self.rows - strip * self.height)
    }

    /// A strip from a unit on, `[units, height_of(strip)]`.
    pub fn strip(&self, strip: usize, unit: usize) -> *const u32 {
        let at = strip * self.height * self.units + unit * self.height_of(strip);
        self.scratch.pointer().wrapping_add(at)
    }
}
