//! Loops over the rows of a matrix, in parallel. Rows are independent, so the thread count changes no bit.

use super::{Element, MatMut, pool};

/// Elements that are worth a task of their own: about 10 µs of elementwise work.
const GRAIN: usize = 16 * 1024;

/// Calls `f(r, row)` for every row of `y`.
pub(crate) fn for_each_row<T: Element>(y: MatMut<T>, f: impl Fn(usize, &mut [T]) + Sync) {
    let MatMut { data, rows, cols, stride } = y;
    if rows == 0 || cols == 0 {
        return;
    }
    let data = &mut data[..(rows - 1) * stride + cols];
    let block = (GRAIN / cols).max(1);
    let all = SharedRows { data: data.as_mut_ptr(), cols, stride };
    pool::for_each_task(rows.div_ceil(block), true, |task| {
        for r in task * block..rows.min((task + 1) * block) {
            // SAFETY: the row lies in `y`, and is visited once.
            f(r, unsafe { all.row(r) });
        }
    });
}

/// Calls `f(r, row of y, row of z)` for every row of two matrices of as many rows.
pub(crate) fn for_each_row_of_two<T: Element>(y: MatMut, z: MatMut<T>, f: impl Fn(usize, &mut [f32], &mut [T]) + Sync) {
    assert_eq!(y.rows, z.rows, "matrices of different numbers of rows");
    let rows = SharedRows { data: z.data.as_mut_ptr(), cols: z.cols, stride: z.stride };
    for_each_row(y, |r, y| {
        // SAFETY: every row is visited once, and lies in `z`.
        f(r, y, unsafe { rows.row(r) });
    });
}

/// A matrix whose rows are written by whoever has the row.
struct SharedRows<T> {
    data: *mut T,
    cols: usize,
    stride: usize,
}

// SAFETY: each row is used by one thread.
unsafe impl<T: Send> Sync for SharedRows<T> {}

impl<T> SharedRows<T> {
    /// # Safety
    /// The row must exist, and nobody else may use it meanwhile.
    #[allow(clippy::mut_from_ref)]
    unsafe fn row(&self, r: usize) -> &mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(r * self.stride), self.cols) }
    }
}
