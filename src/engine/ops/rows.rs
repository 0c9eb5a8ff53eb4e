//! Loops over the rows of a matrix, in parallel. Rows are independent, so the thread count changes no bit.

use rayon::prelude::*;

use super::MatMut;

/// Elements that are worth a task of their own: about 10 µs of elementwise work.
const GRAIN: usize = 16 * 1024;

/// Calls `f(r, row)` for every row of `y`.
pub(crate) fn for_each_row(y: MatMut, f: impl Fn(usize, &mut [f32]) + Sync) {
    let MatMut { data, rows, cols, stride } = y;
    if rows == 0 || cols == 0 {
        return;
    }
    let data = &mut data[..(rows - 1) * stride + cols];
    let block = (GRAIN / cols).max(1);
    let run = |first: usize, chunk: &mut [f32]| {
        for (i, row) in chunk.chunks_mut(stride).enumerate() {
            f(first + i, &mut row[..cols]);
        }
    };
    if rows <= block {
        run(0, data);
    } else {
        data.par_chunks_mut(block * stride).enumerate().for_each(|(i, chunk)| run(i * block, chunk));
    }
}
