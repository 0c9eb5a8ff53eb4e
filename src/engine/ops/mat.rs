//! Views of row-major matrices with a row stride, so that q, k and v (or gate and up) are columns of one buffer.

/// A row-major matrix `[rows, cols]` of `f32`, rows `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    /// Element (0, 0) is `data[0]`.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next, at least `cols`.
    pub stride: usize,
}

/// A writable [`Mat`].
#[derive(Debug)]
pub struct MatMut<'a> {
    /// Element (0, 0) is `data[0]`.
    pub data: &'a mut [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next, at least `cols`.
    pub stride: usize,
}

impl<'a> Mat<'a> {
    /// A contiguous matrix; `data` may be longer than `rows * cols`.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows are `stride` elements apart.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(stride >= cols, "stride {stride} below {cols} columns");
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + cols, "matrix data too short");
        Self { data, rows, cols, stride }
    }

    /// Row `r`, `[cols]`.
    pub fn row(&self, r: usize) -> &'a [f32] {
        &self.data[r * self.stride..r * self.stride + self.cols]
    }

    /// Columns `start..start + cols` of every row.
    pub fn columns(&self, start: usize, cols: usize) -> Mat<'a> {
        assert!(start + cols <= self.cols);
        let from = if self.rows == 0 { 0 } else { start };
        Mat::strided(&self.data[from..], self.rows, cols, self.stride)
    }

    /// Rows `start..start + rows`.
    pub fn rows_range(&self, start: usize, rows: usize) -> Mat<'a> {
        assert!(start + rows <= self.rows);
        let from = if rows == 0 { 0 } else { start * self.stride };
        Mat::strided(&self.data[from..], rows, self.cols, self.stride)
    }
}

impl<'a> MatMut<'a> {
    /// A contiguous matrix; `data` may be longer than `rows * cols`.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows are `stride` elements apart.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(stride >= cols, "stride {stride} below {cols} columns");
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + cols, "matrix data too short");
        Self { data, rows, cols, stride }
    }

    /// The same matrix, read-only.
    pub fn as_ref(&self) -> Mat<'_> {
        Mat { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// Row `r`, `[cols]`.
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        &mut self.data[r * self.stride..r * self.stride + self.cols]
    }

    /// Columns `start..start + cols` of every row.
    pub fn columns(self, start: usize, cols: usize) -> MatMut<'a> {
        assert!(start + cols <= self.cols);
        let from = if self.rows == 0 { 0 } else { start };
        MatMut::strided(&mut self.data[from..], self.rows, cols, self.stride)
    }
}
