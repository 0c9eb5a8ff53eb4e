//! The sums between the decoder's parts.

use super::rows::for_each_row;
use super::simd::multiversion;
use super::{Mat, MatMut};

/// y ← y + x: the residual connection, and the gradient that joins there.
pub fn add_in_place(y: MatMut, x: Mat) {
    assert_eq!((y.rows, y.cols), (x.rows, x.cols), "add: shapes differ");
    for_each_row(y, |r, y| add_row(y, x.row(r)));
}

/// y ← y + bias, on every row; `bias` is `[cols]`. Its gradient in x is the identity, and the bias is frozen.
pub fn add_bias(y: MatMut, bias: &[f32]) {
    assert_eq!(y.cols, bias.len(), "bias: length differs from the columns");
    for_each_row(y, |_, y| add_row(y, bias));
}

/// y ← factor·y (Gemma's embedding scale). Its backward is itself.
pub fn scale_in_place(y: MatMut, factor: f32) {
    for_each_row(y, |_, y| scale_row(y, factor));
}

multiversion! {
    fn add_row(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

multiversion! {
    fn scale_row(y: &mut [f32], factor: f32) {
        for y in y {
            *y *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_rows_are_added_and_the_rest_is_untouched() {
        // Small integers and halves are exact. 700 × 53 is above the size at which work is split over threads.
        let (rows, cols, stride) = (700, 53, 60);
        let x: Vec<f32> = (0..rows * cols).map(|i| (i % 97) as f32).collect();
        let bias: Vec<f32> = (0..cols).map(|i| 0.5 * i as f32).collect();
        let start: Vec<f32> = (0..rows * stride).map(|i| (i % 31) as f32).collect();
        let mut y = start.clone();
        add_in_place(MatMut::strided(&mut y, rows, cols, stride), Mat::new(&x, rows, cols));
        add_bias(MatMut::strided(&mut y, rows, cols, stride), &bias);
        scale_in_place(MatMut::strided(&mut y, rows, cols, stride), 2.0);
        for (i, (y, start)) in y.iter().zip(&start).enumerate() {
            let (r, c) = (i / stride, i % stride);
            let want = if c < cols { 2.0 * (start + x[r * cols + c] + bias[c]) } else { *start };
            assert_eq!(*y, want, "row {r} column {c}");
        }
    }
}
