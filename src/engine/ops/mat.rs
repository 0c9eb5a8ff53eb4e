//! Views of row-major matrices with a row stride, so that q, k and v (or gate and up) are columns of one buffer.

use std::marker::PhantomData;

use half::bf16;

use super::cpu::round_bf16;
use super::simd::multiversion;

/// What a matrix of activations holds. They are computed in `f32`; some are kept in half of its bytes.
pub trait Element: Copy + Send + Sync {
    /// The value in 32 bits.
    fn widen(self) -> f32;
    /// The values themselves, where they are in 32 bits.
    fn wide(values: &[Self]) -> Option<&[f32]>;
    /// The values themselves, where they are bfloat16.
    fn halves(values: &[Self]) -> Option<&[bf16]>;
    /// Writes the values in 32 bits.
    fn widen_to(values: &[Self], out: &mut [f32]);
    /// Writes the nearest values of this type.
    fn narrow(values: &[f32], out: &mut [Self]);
}

impl Element for f32 {
    fn widen(self) -> f32 {
        self
    }

    fn wide(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }

    fn halves(_: &[f32]) -> Option<&[bf16]> {
        None
    }

    fn widen_to(values: &[f32], out: &mut [f32]) {
        out.copy_from_slice(values);
    }

    fn narrow(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        // `to_f32` asks whether it is a number first, which keeps loops from being vectorized.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn wide(_: &[bf16]) -> Option<&[f32]> {
        None
    }

    fn halves(values: &[bf16]) -> Option<&[bf16]> {
        Some(values)
    }

    fn widen_to(values: &[bf16], out: &mut [f32]) {
        widen_row(values, out);
    }

    fn narrow(values: &[f32], out: &mut [Self]) {
        round_row(values, out);
    }
}

multiversion! {
    fn widen_row(values: &[bf16], out: &mut [f32]) {
        let out = &mut out[..values.len()];
        for i in 0..values.len() {
            out[i] = values[i].widen();
        }
    }
}

multiversion! {
    /// Rounds to nearest even.
    fn round_row(values: &[f32], out: &mut [bf16]) {
        let out = &mut out[..values.len()];
        for i in 0..values.len() {
            out[i] = bf16::from_bits((round_bf16(values[i]).to_bits() >> 16) as u16);
        }
    }
}

/// A row-major matrix `[rows, cols]`, rows `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T = f32> {
    /// Element (0, 0) is `data[0]`.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next, at least `cols`.
    pub stride: usize,
}

/// Elements from one row to the next of a buffer of activations with so many columns: an odd number of cache lines, so that
/// neighbouring rows do not fall on the same few sets of a cache, as those of 3,072 columns would.
pub fn row_stride(cols: usize) -> usize {
    row_stride_of::<f32>(cols)
}

/// [`row_stride`] of other elements.
pub fn row_stride_of<T>(cols: usize) -> usize {
    let line = 64 / size_of::<T>();
    let lines = cols.div_ceil(line);
    line * (lines + usize::from(lines.is_multiple_of(2)))
}

/// Some columns of a matrix, writable, while others of its columns may be written through other values.
#[derive(Debug)]
pub(crate) struct ColumnsMut<'a> {
    /// Element (0, 0).
    pub data: *mut f32,
    pub rows: usize,
    pub cols: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    _of: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut` of its columns.
unsafe impl Send for ColumnsMut<'_> {}
// SAFETY: nothing can be read or written through a shared one without a promise of its own.
unsafe impl Sync for ColumnsMut<'_> {}

impl<'a> From<MatMut<'a>> for ColumnsMut<'a> {
    fn from(m: MatMut<'a>) -> Self {
        Self { data: m.data.as_mut_ptr(), rows: m.rows, cols: m.cols, stride: m.stride, _of: PhantomData }
    }
}

impl ColumnsMut<'_> {
    /// Row `r`, `[cols]`.
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows);
        // SAFETY: the row lies in the matrix, whose borrow this value has, and nobody else has these columns.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(r * self.stride), self.cols) }
    }
}

/// A writable [`Mat`].
#[derive(Debug)]
pub struct MatMut<'a, T = f32> {
    /// Element (0, 0) is `data[0]`.
    pub data: &'a mut [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next, at least `cols`.
    pub stride: usize,
}

impl<'a, T: Element> Mat<'a, T> {
    /// A contiguous matrix; `data` may be longer than `rows * cols`.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows are `stride` elements apart.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(stride >= cols, "stride {stride} below {cols} columns");
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + cols, "matrix data too short");
        Self { data, rows, cols, stride }
    }

    /// Row `r`, `[cols]`.
    pub fn row(&self, r: usize) -> &'a [T] {
        &self.data[r * self.stride..r * self.stride + self.cols]
    }

    /// Columns `start..start + cols` of every row.
    pub fn columns(&self, start: usize, cols: usize) -> Mat<'a, T> {
        assert!(start + cols <= self.cols);
        let from = if self.rows == 0 { 0 } else { start };
        Mat::strided(&self.data[from..], self.rows, cols, self.stride)
    }

    /// Rows `start..start + rows`.
    pub fn rows_range(&self, start: usize, rows: usize) -> Mat<'a, T> {
        assert!(start + rows <= self.rows);
        let from = if rows == 0 { 0 } else { start * self.stride };
        Mat::strided(&self.data[from..], rows, self.cols, self.stride)
    }
}

impl<'a, T: Element> MatMut<'a, T> {
    /// A contiguous matrix; `data` may be longer than `rows * cols`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows are `stride` elements apart.
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(stride >= cols, "stride {stride} below {cols} columns");
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + cols, "matrix data too short");
        Self { data, rows, cols, stride }
    }

    /// The same matrix, read-only.
    pub fn as_ref(&self) -> Mat<'_, T> {
        Mat { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// Row `r`, `[cols]`.
    pub fn row_mut(&mut self, r: usize) -> &mut [T] {
        &mut self.data[r * self.stride..r * self.stride + self.cols]
    }

    /// Columns `start..start + cols` of every row.
    pub fn columns(self, start: usize, cols: usize) -> MatMut<'a, T> {
        assert!(start + cols <= self.cols);
        let from = if self.rows == 0 { 0 } else { start };
        MatMut::strided(&mut self.data[from..], self.rows, cols, self.stride)
    }
}

impl<'a> MatMut<'a> {
    /// Columns `start..start + cols` for each of `parts`, which are in ascending order and do not overlap.
    pub(crate) fn split_columns(self, parts: impl Iterator<Item = (usize, usize)>) -> Vec<ColumnsMut<'a>> {
        let data = self.data.as_mut_ptr();
        let mut end = 0;
        let part = |(start, cols): (usize, usize)| {
            assert!(start >= end && start + cols <= self.cols, "columns that overlap, or do not exist");
            end = start + cols;
            let data = data.wrapping_add(start);
            ColumnsMut { data, rows: self.rows, cols, stride: self.stride, _of: PhantomData }
        };
        parts.map(part).collect()
    }
}
