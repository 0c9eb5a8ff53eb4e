//! The small matrix products of one attention block: one operand is packed into panels once and used many times.

use crate::engine::ops::simd::fma;
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::simd::{Level, level};

/// Columns of a panel: two AVX-512 registers.
pub(super) const NR: usize = 32;

/// Floats that `n` columns of depth `k` take in panels.
pub(super) fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(NR) * NR * k
}

/// Packs B `[k, n]`, element (p, j) at `b[p·row + j·column]`, into panels `[n / NR][k][NR]`, filled up with zeros.
pub(super) fn pack(b: &[f32], row: usize, column: usize, k: usize, n: usize, out: &mut [f32]) {
    for (panel, out) in out[..packed_len(k, n)].chunks_exact_mut(k.max(1) * NR).enumerate() {
        let first = panel * NR;
        let width = NR.min(n - first);
        if column == 1 {
            for (p, out) in out.chunks_exact_mut(NR).enumerate() {
                out[..width].copy_from_slice(&b[p * row + first..][..width]);
                out[width..].fill(0.0);
            }
        } else {
            // Transposing: reads go along a row of the source, which is a column of B.
            if width < NR {
                out.fill(0.0);
            }
            for j in 0..width {
                let source = &b[(first + j) * column..];
                for p in 0..k {
                    out[p * NR + j] = source[p * row];
                }
            }
        }
    }
}

/// A operand: element (i, p) at `data[i·row + p·column]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub column: usize,
}

/// B operand: panels of depth `depth`, of which the rows from `first` on are used.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub data: &'a [f32],
    pub depth: usize,
    pub first: usize,
}

/// What is done with the product.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Store {
    Write,
    Add,
}

/// C `[m, n]`, rows `stride` apart: C = alpha·A·B, or C += alpha·A·B.
///
/// # Safety
/// `c` must be valid for writing `m` rows of `n` elements `stride` apart, and nobody else may use them meanwhile.
pub(super) unsafe fn product(
    (m, n, k): (usize, usize, usize),
    alpha: f32,
    a: Left,
    b: Panels,
    store: Store,
    c: *mut f32,
    stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(k == 0 || a.data.len() > (m - 1) * a.row + (k - 1) * a.column, "left operand too short");
    assert!(b.first + k <= b.depth && b.data.len() >= packed_len(b.depth, n), "panels too short");
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: the CPU has the features; the rest is the caller's promise and the checks above.
        Level::Avx512 => return unsafe { product_avx512((m, n, k), alpha, a, b, store, c, stride) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { product_avx2((m, n, k), alpha, a, b, store, c, stride) },
        Level::Portable => {}
    }
    // SAFETY: the caller's promise and the checks above.
    unsafe { product_body::<4, 8, false>((m, n, k), alpha, a, b, store, c, stride) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn product_avx512(
    shape: (usize, usize, usize),
    alpha: f32,
    a: Left,
    b: Panels,
    store: Store,
    c: *mut f32,
    stride: usize,
) {
    // SAFETY: `product` has checked.
    unsafe { product_body::<8, NR, true>(shape, alpha, a, b, store, c, stride) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn product_avx2(
    shape: (usize, usize, usize),
    alpha: f32,
    a: Left,
    b: Panels,
    store: Store,
    c: *mut f32,
    stride: usize,
) {
    // SAFETY: `product` has checked.
    unsafe { product_body::<6, 16, true>(shape, alpha, a, b, store, c, stride) }
}

/// Tiles of `M` rows and `W` columns, a divisor of [`NR`], chosen so that the sums and a row of B fill the registers:
/// 16 of 512 bits (of 32), 12 of 256 bits (of 16), 8 of 128 bits (of 16).
#[inline(always)]
unsafe fn product_body<const M: usize, const W: usize, const FMA: bool>(
    (m, n, k): (usize, usize, usize),
    alpha: f32,
    a: Left,
    b: Panels,
    store: Store,
    c: *mut f32,
    stride: usize,
) {
    for j in (0..n).step_by(W) {
        let panel = &b.data[(j / NR) * b.depth * NR + b.first * NR + j % NR..];
        let width = W.min(n - j);
        let mut i = 0;
        while i < m {
            let rows = match m - i {
                left if left >= M => M,
                left if left >= 4 => 4,
                _ => 1,
            };
            // SAFETY: rows `i..i + rows` and columns `j..j + width` lie inside what `product` has checked.
            unsafe {
                let a_tile = a.data.as_ptr().add(i * a.row);
                let c_tile = c.add(i * stride + j);
                if rows == M {
                    let sums = tile::<M, W, FMA>(k, a_tile, a.row, a.column, panel.as_ptr());
                    write(&sums, alpha, store, c_tile, stride, width);
                } else if rows == 4 {
                    let sums = tile::<4, W, FMA>(k, a_tile, a.row, a.column, panel.as_ptr());
                    write(&sums, alpha, store, c_tile, stride, width);
                } else {
                    let sums = tile::<1, W, FMA>(k, a_tile, a.row, a.column, panel.as_ptr());
                    write(&sums, alpha, store, c_tile, stride, width);
                }
            }
            i += rows;
        }
    }
}

/// `M × W` sums over `k`, in registers.
#[inline(always)]
unsafe fn tile<const M: usize, const W: usize, const FMA: bool>(
    k: usize,
    a: *const f32,
    row: usize,
    column: usize,
    panel: *const f32,
) -> [[f32; W]; M] {
    let mut sums = [[0f32; W]; M];
    for p in 0..k {
        // SAFETY: the panel has `k` rows of `NR` from here, of which `W` belong to this tile.
        let b = unsafe { &*panel.add(p * NR).cast::<[f32; W]>() };
        for i in 0..M {
            // SAFETY: `i < M` rows and `p < k` columns of A exist.
            let a = unsafe { *a.add(i * row + p * column) };
            for j in 0..W {
                sums[i][j] = fma::<FMA>(a, b[j], sums[i][j]);
            }
        }
    }
    sums
}

#[inline(always)]
unsafe fn write<const M: usize, const W: usize>(
    sums: &[[f32; W]; M],
    alpha: f32,
    store: Store,
    c: *mut f32,
    stride: usize,
    width: usize,
) {
    for (i, sums) in sums.iter().enumerate() {
        // SAFETY: the caller owns these `width` elements of row `i`.
        let c = unsafe { std::slice::from_raw_parts_mut(c.add(i * stride), width) };
        match (store, c.as_chunks_mut::<W>().0) {
            (Store::Write, [c]) => {
                for j in 0..W {
                    c[j] = alpha * sums[j];
                }
            }
            (Store::Add, [c]) => {
                for j in 0..W {
                    c[j] += alpha * sums[j];
                }
            }
            (Store::Write, _) => {
                for (c, s) in c.iter_mut().zip(sums) {
                    *c = alpha * s;
                }
            }
            (Store::Add, _) => {
                for (c, s) in c.iter_mut().zip(sums) {
                    *c += alpha * s;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{assert_close, normal, time};

    #[test]
    fn against_f64_with_odd_shapes() {
        for (m, n, k) in [(1, 1, 1), (8, 32, 64), (9, 33, 5), (64, 20, 7), (3, 100, 31), (13, 64, 1), (5, 7, 0)] {
            let (a, b) = (normal(1, (m + 2) * (k + 3), 1.0), normal(2, (k + 2) * (n + 3), 1.0));
            // A and B plain and transposed.
            for (transposed_a, transposed_b) in [(false, false), (true, false), (false, true), (true, true)] {
                let (ar, ac) = if transposed_a { (1, m + 2) } else { (k + 3, 1) };
                let (br, bc) = if transposed_b { (1, k + 2) } else { (n + 3, 1) };
                let mut panels = vec![f32::NAN; packed_len(k, n)];
                pack(&b, br, bc, k, n, &mut panels);
                let stride = n + 1;
                let mut c = vec![1.0; m * stride];
                let left = Left { data: &a, row: ar, column: ac };
                let right = Panels { data: &panels, depth: k, first: 0 };
                for (store, before) in [(Store::Write, 0.0), (Store::Add, 1.0)] {
                    c.fill(1.0);
                    // SAFETY: `c` has `m` rows of `stride` elements.
                    unsafe { product((m, n, k), 0.5, left, right, store, c.as_mut_ptr(), stride) };
                    let mut want = vec![1.0; m * stride];
                    for i in 0..m {
                        for j in 0..n {
                            let sum: f64 =
                                (0..k).map(|p| f64::from(a[i * ar + p * ac]) * f64::from(b[p * br + j * bc])).sum();
                            want[i * stride + j] = before + 0.5 * sum;
                        }
                    }
                    assert_close(&format!("{m}×{n}×{k}"), &c, &want, 5e-7);
                }
            }
        }
    }

    #[test]
    fn part_of_the_depth() {
        let (a, b) = (normal(1, 3 * 4, 1.0), normal(2, 10 * 40, 1.0));
        let (mut all, mut part) = (vec![0.0; packed_len(10, 40)], vec![0.0; packed_len(4, 40)]);
        pack(&b, 40, 1, 10, 40, &mut all);
        pack(&b[5 * 40..], 40, 1, 4, 40, &mut part);
        let left = Left { data: &a, row: 4, column: 1 };
        let run = |data: &[f32], depth, first| {
            let mut c = vec![0.0; 3 * 40];
            // SAFETY: `c` has 3 rows of 40 elements.
            unsafe { product((3, 40, 4), 1.0, left, Panels { data, depth, first }, Store::Write, c.as_mut_ptr(), 40) };
            c
        };
        assert_eq!(run(&all, 10, 5), run(&part, 4, 0));
    }

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        for (name, m, n, k, tn) in
            [("q·kᵀ", 64, 512, 64, false), ("p·v", 64, 64, 512, false), ("pᵀ·do", 512, 64, 64, true)]
        {
            let (a, b) = (normal(1, 540 * 540, 1.0), normal(2, k * n, 1.0));
            let mut panels = vec![0.0; packed_len(k, n) + 16];
            let skip = panels.as_ptr().align_offset(64);
            pack(&b, n, 1, k, n, &mut panels[skip..]);
            let mut c = vec![0.0; m * (n + 16)];
            let left =
                if tn { Left { data: &a, row: 1, column: m + 16 } } else { Left { data: &a, row: k + 16, column: 1 } };
            let right = Panels { data: &panels[skip..], depth: k, first: 0 };
            time(&format!("{name}: {} MFLOP", 2 * m * n * k / 1_000_000), 300, || {
                // SAFETY: `c` has `m` rows of `n + 16` elements.
                unsafe { product((m, n, k), 1.0, left, right, Store::Write, c.as_mut_ptr(), n + 16) };
            });
        }
    }
}
