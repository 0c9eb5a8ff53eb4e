//! Gram matrices of thin matrices, summed in `f64`: their upper halves.

use super::simd::multiversion;

multiversion! {
    /// Upper half of BᵀB for B `[n, r]`: a sum over rows.
    pub fn gram_of_columns(b: &[f32], r: usize, gram: &mut [f64]) {
        for row in b.chunks_exact(r) {
            for i in 0..r {
                let x = row[i] as f64;
                let (out, right) = (&mut gram[i * r + i..(i + 1) * r], &row[i..]);
                for j in 0..out.len() {
                    out[j] += x * right[j] as f64;
                }
            }
        }
    }
}

multiversion! {
    /// Upper half of AAᵀ for A `[r, n]`: products of rows, each in eight sums side by side.
    pub fn gram_of_rows(a: &[f32], r: usize, n: usize, gram: &mut [f64]) {
        for i in 0..r {
            let x = &a[i * n..(i + 1) * n];
            for j in i..r {
                let y = &a[j * n..(j + 1) * n];
                let mut sums = [0.0f64; 8];
                let whole = n / 8 * 8;
                let mut at = 0;
                while at < whole {
                    for lane in 0..8 {
                        sums[lane] += x[at + lane] as f64 * y[at + lane] as f64;
                    }
                    at += 8;
                }
                let mut sum = 0.0;
                for k in whole..n {
                    sum += x[k] as f64 * y[k] as f64;
                }
                for lane in 0..8 {
                    sum += sums[lane];
                }
                gram[i * r + j] = sum;
            }
        }
    }
}
