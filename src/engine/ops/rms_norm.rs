//! RMSNorm (Zhang & Sennrich 2019, eq. 4), over a whole row or over each head of it.
//!
//! With r = (mean(x²) + ε)^−½: y = x·r ∘ w. The weight is frozen, so the backward gives the gradient in x alone:
//! dx = r·(g − x̂·mean(g ∘ x̂)), where g = dy ∘ w and x̂ = x·r. It recomputes r, which costs less than keeping it.

use super::math::{dot_body, sum_lanes};
use super::rows::for_each_row;
use super::simd::{fma, multiversion};
use super::{Mat, MatMut};

/// y ← RMSNorm(x)·w, `[tokens, groups·n]`, each group of `n = w.len()` columns by itself.
///
/// One group is the ordinary norm; as many groups as heads is the norm on q or k (Qwen3, Gemma 3).
pub fn forward(x: Mat, w: &[f32], eps: f32, y: MatMut) {
    check(x.cols, w);
    assert_eq!((x.rows, x.cols), (y.rows, y.cols), "rms_norm: shapes differ");
    for_each_row(y, |r, y| {
        let groups = x.row(r).chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len()));
        groups.for_each(|(x, y)| norm(x, w, eps, y));
    });
}

/// [`forward`] with y in the place of x.
pub fn forward_in_place(x: MatMut, w: &[f32], eps: f32) {
    check(x.cols, w);
    for_each_row(x, |_, x| x.chunks_exact_mut(w.len()).for_each(|x| norm_in_place(x, w, eps)));
}

/// The gradient in `x`, the norm's input; added to `dx` when `accumulate`, else written.
pub fn backward(dy: Mat, x: Mat, w: &[f32], eps: f32, dx: MatMut, accumulate: bool) {
    check(x.cols, w);
    assert_eq!((x.rows, x.cols), (dy.rows, dy.cols), "rms_norm: shapes differ");
    assert_eq!((x.rows, x.cols), (dx.rows, dx.cols), "rms_norm: shapes differ");
    let keep = if accumulate { 1.0 } else { 0.0 };
    for_each_row(dx, |r, dx| {
        let groups = x.row(r).chunks_exact(w.len()).zip(dy.row(r).chunks_exact(w.len()));
        for ((x, dy), dx) in groups.zip(dx.chunks_exact_mut(w.len())) {
            if keep == 0.0 {
                // What the buffer held may be NaN, and 0·NaN is NaN.
                dx.fill(0.0);
            }
            norm_backward(dy, x, w, eps, dx);
        }
    });
}

/// [`backward`] that turns the gradient of y into the gradient of x in its place.
pub fn backward_in_place(dy: MatMut, x: Mat, w: &[f32], eps: f32) {
    check(x.cols, w);
    assert_eq!((x.rows, x.cols), (dy.rows, dy.cols), "rms_norm: shapes differ");
    for_each_row(dy, |r, dy| {
        let groups = x.row(r).chunks_exact(w.len()).zip(dy.chunks_exact_mut(w.len()));
        groups.for_each(|(x, dy)| norm_backward_in_place(dy, x, w, eps));
    });
}

fn check(cols: usize, w: &[f32]) {
    assert!(!w.is_empty() && cols.is_multiple_of(w.len()), "rms_norm: {cols} columns in groups of {}", w.len());
}

#[inline(always)]
fn rstd<const FMA: bool>(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot_body::<FMA>(x, x) / x.len() as f32 + eps).sqrt()
}

multiversion! {
    fn norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
        let r = rstd::<FMA>(x, eps);
        for (y, (x, w)) in y.iter_mut().zip(x.iter().zip(w)) {
            *y = x * r * w;
        }
    }
}

multiversion! {
    fn norm_in_place(x: &mut [f32], w: &[f32], eps: f32) {
        let r = rstd::<FMA>(x, eps);
        for (x, w) in x.iter_mut().zip(w) {
            *x = *x * r * w;
        }
    }
}

/// mean(dy ∘ w ∘ x)·r³, the factor of x in dx.
#[inline(always)]
fn projection<const FMA: bool>(dy: &[f32], x: &[f32], w: &[f32], r: f32) -> f32 {
    let mut lanes = [0f32; 32];
    let (dyc, dyr) = dy.as_chunks::<32>();
    let (xc, xr) = x.as_chunks::<32>();
    let (wc, wr) = w.as_chunks::<32>();
    for ((dy, x), w) in dyc.iter().zip(xc).zip(wc) {
        for i in 0..32 {
            lanes[i] = fma::<FMA>(dy[i] * w[i], x[i], lanes[i]);
        }
    }
    for (i, lane) in lanes.iter_mut().enumerate().take(dyr.len()) {
        *lane = fma::<FMA>(dyr[i] * wr[i], xr[i], *lane);
    }
    sum_lanes(lanes) / x.len() as f32 * r * r * r
}

multiversion! {
    fn norm_backward(dy: &[f32], x: &[f32], w: &[f32], eps: f32, dx: &mut [f32]) {
        let r = rstd::<FMA>(x, eps);
        let c = projection::<FMA>(dy, x, w, r);
        for (dx, ((dy, x), w)) in dx.iter_mut().zip(dy.iter().zip(x).zip(w)) {
            *dx += dy * w * r - x * c;
        }
    }
}

multiversion! {
    fn norm_backward_in_place(dy: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
        let r = rstd::<FMA>(x, eps);
        let c = projection::<FMA>(dy, x, w, r);
        for (dy, (x, w)) in dy.iter_mut().zip(x.iter().zip(w)) {
            *dy = *dy * w * r - x * c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{assert_close, columns, gradient, normal, with_threads};

    fn reference(x: &[f64], w: &[f32], eps: f32) -> Vec<f64> {
        let one = |x: &[f64]| {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
            let r = 1.0 / (mean + f64::from(eps)).sqrt();
            x.iter().zip(w).map(|(x, w)| x * r * f64::from(*w)).collect::<Vec<_>>()
        };
        x.chunks(w.len()).flat_map(one).collect()
    }

    #[test]
    fn forward_and_backward_against_f64() {
        // (rows, groups, columns of a group, columns of the buffer beyond them)
        for (rows, groups, n, extra) in [(3, 1, 7, 0), (5, 3, 5, 4), (2, 2, 64, 32), (1, 1, 97, 1), (4, 1, 1, 0)] {
            let (cols, stride) = (groups * n, groups * n + extra);
            let seed = (rows * 1000 + cols) as u64;
            let (x, dy) = (normal(seed, rows * stride, 2.0), normal(seed + 1, rows * stride, 1.0));
            let w: Vec<f32> = normal(seed + 2, n, 0.5).iter().map(|w| 1.0 + w).collect();
            let eps = 1e-2;
            let xs = columns(&x, rows, stride, 0, cols);
            let dys = columns(&dy, rows, stride, 0, cols);
            let xs64: Vec<f64> = xs.iter().map(|x| f64::from(*x)).collect();
            let xm = Mat::strided(&x, rows, cols, stride);
            let dym = Mat::strided(&dy, rows, cols, stride);
            let shape = format!("{rows} × {groups} × {n}");

            let mut y = vec![f32::NAN; rows * stride];
            forward(xm, &w, eps, MatMut::strided(&mut y, rows, cols, stride));
            assert_close(&shape, &columns(&y, rows, stride, 0, cols), &reference(&xs64, &w, eps), 3e-7);
            let mut in_place = x.clone();
            forward_in_place(MatMut::strided(&mut in_place, rows, cols, stride), &w, eps);
            assert_eq!(columns(&in_place, rows, stride, 0, cols), columns(&y, rows, stride, 0, cols));

            let want =
                gradient(&xs, |x| reference(x, &w, eps).iter().zip(&dys).map(|(y, dy)| y * f64::from(*dy)).sum());
            let mut dx = vec![f32::NAN; rows * stride];
            backward(dym, xm, &w, eps, MatMut::strided(&mut dx, rows, cols, stride), false);
            // A group of one column has a gradient of nearly nothing, left over from cancellation: ε keeps it up here.
            assert_close(
                &format!("{shape} dx"),
                &columns(&dx, rows, stride, 0, cols),
                &want,
                if n == 1 { 1e-3 } else { 2e-6 },
            );
            let mut in_place = dy.clone();
            backward_in_place(MatMut::strided(&mut in_place, rows, cols, stride), xm, &w, eps);
            assert_eq!(columns(&in_place, rows, stride, 0, cols), columns(&dx, rows, stride, 0, cols));

            let mut sum: Vec<f32> = vec![0.25; rows * stride];
            backward(dym, xm, &w, eps, MatMut::strided(&mut sum, rows, cols, stride), true);
            for (i, s) in columns(&sum, rows, stride, 0, cols).iter().enumerate() {
                let d = columns(&dx, rows, stride, 0, cols)[i];
                assert!((s - 0.25 - d).abs() <= 1e-6 * d.abs().max(1.0), "accumulates: {s} against 0.25 + {d}");
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let (x, w) = (normal(1, 300 * 192, 1.0), normal(2, 192, 1.0));
        let run = || {
            let mut y = vec![0.0; x.len()];
            forward(Mat::new(&x, 300, 192), &w, 1e-5, MatMut::new(&mut y, 300, 192));
            y
        };
        assert_eq!(with_threads(1, run), with_threads(3, run));
    }
}
