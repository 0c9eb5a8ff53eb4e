//! The working memory of products, for the memory plan: the driver's own cut, without the products.

use smallvec::SmallVec;

use super::cut::{self, SumShape, cut_shapes};
use super::driver::SERIAL;
use super::packed::{Packed, strips};
use super::scratch::Kept;
use crate::engine::ops::cpu::Kernel;

/// One output of [`sums`](super::sums): its columns, the depth of each term, and how many columns of the right operands are
/// decoded together (1 where they are no quantized weight across its rows).
#[derive(Clone, Debug)]
pub(crate) struct SumTakes {
    /// Columns of C.
    pub cols: usize,
    /// Length of each term's sums.
    pub depths: SmallVec<[usize; 4]>,
    /// Columns that are decoded together.
    pub block: usize,
}

/// What computing sums of `rows` rows takes beside the packed operands.
pub(crate) fn sums_take(kernel: &Kernel, rows: usize, outputs: &[SumTakes], kept: &mut Kept, threads: usize) {
    let work: usize = outputs.iter().map(|o| rows * o.cols * o.depths.iter().sum::<usize>()).sum();
    if work == 0 {
        return;
    }
    let (_, strips) = strips(kernel, rows);
    let threads = if work >= SERIAL { threads } else { 1 };
    let shapes: SmallVec<[SumShape; 3]> = outputs
        .iter()
        .map(|o| SumShape {
            cols: o.cols,
            units: o.depths.iter().map(|k| kernel.units(*k)).collect(),
            granularity: o.block.div_ceil(kernel.nr).max(1),
        })
        .collect();
    kept.tasks(&[cut::lanes(kernel, &cut_shapes(kernel, &shapes, strips, threads))]);
}

/// What one product of `rows` rows takes, its packed left operand included.
pub(crate) fn product_takes(kernel: &Kernel, rows: usize, product: SumTakes, kept: &mut Kept, threads: usize) {
    let lanes = product.depths.iter().map(|k| Packed::lanes(kernel, rows, *k)).sum();
    kept.hold(&[lanes], |kept| sums_take(kernel, rows, &[product], kept, threads));
}
