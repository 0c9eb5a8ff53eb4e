//! Products of a few rows, as in generating token by token: nothing is packed, the right operand is read once.

#[cfg(target_arch = "x86_64")]
use super::avx512_gemv::accumulate as accumulate_avx512;
use super::{Isa, round_bf16};

/// Most rows that come here.
pub(crate) const MOST_ROWS: usize = 4;

/// Sums kept apart along a dot product, so that additions do not wait for each other.
const LANES: usize = 32;

/// Columns that are summed at a time, for the same reason.
const COLUMNS: usize = 32;

/// `out[i] = Σ x_i·w` for the `m` rows of `x`, `w.len()` elements apart. The inputs are rounded before, where they are.
pub(crate) fn dots(isa: Isa, m: usize, x: &[f32], w: &[f32], out: &mut [f32; MOST_ROWS]) {
    debug_assert!(m <= MOST_ROWS && x.len() >= m * w.len());
    macro_rules! by_rows {
        ($f:ident) => {
            match m {
                1 => $f::<1>(x, w, out),
                2 => $f::<2>(x, w, out),
                3 => $f::<3>(x, w, out),
                _ => $f::<4>(x, w, out),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the machine has what `isa` names.
    unsafe {
        if isa >= Isa::Avx512 {
            return by_rows!(dots_avx512);
        }
        if isa == Isa::Avx2 {
            return by_rows!(dots_avx2);
        }
    }
    let _ = isa;
    by_rows!(dots_portable)
}

/// `acc[i][j] = Σ_k a[i][k]·b[k][j]` for `m` rows of `a` and columns `0..cols` of `b`.
///
/// `a` is `[m, k]` contiguous, `b` has a row every `b_stride`, `acc` is `[m, cols]` contiguous.
pub(crate) fn accumulate(
    isa: Isa,
    round: bool,
    m: usize,
    a: &[f32],
    b: &[f32],
    b_stride: usize,
    acc: &mut [f32],
    cols: usize,
) {
    assert!(a.len() >= m && acc.len() >= m * cols && b.len() + b_stride >= a.len() / m * b_stride + cols);
    macro_rules! by_rows {
        ($f:ident) => {
            match m {
                1 => $f::<1>(round, a, b, b_stride, acc, cols),
                2 => $f::<2>(round, a, b, b_stride, acc, cols),
                3 => $f::<3>(round, a, b, b_stride, acc, cols),
                _ => $f::<4>(round, a, b, b_stride, acc, cols),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the machine has what `isa` names.
    unsafe {
        if isa >= Isa::Avx512 {
            return by_rows!(accumulate_avx512);
        }
        if isa == Isa::Avx2 {
            return by_rows!(accumulate_avx2);
        }
    }
    let _ = isa;
    by_rows!(accumulate_portable)
}

/// Whether the target always has fused multiply-add.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// `a·b + c`, fused where that is one instruction.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn dots_body<const M: usize, const FUSED: bool>(x: &[f32], w: &[f32], out: &mut [f32; MOST_ROWS]) {
    let k = w.len();
    let mut acc = [[0f32; LANES]; M];
    let whole = k / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let w = &w[at..at + LANES];
        for i in 0..M {
            let x = &x[i * k + at..i * k + at + LANES];
            for l in 0..LANES {
                acc[i][l] = multiply_add::<FUSED>(x[l], w[l], acc[i][l]);
            }
        }
    }
    for i in 0..M {
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                acc[i][l] += acc[i][l + width];
            }
            width /= 2;
        }
        out[i] = (whole..k).fold(acc[i][0], |s, j| multiply_add::<FUSED>(x[i * k + j], w[j], s));
    }
}

#[inline(always)]
fn accumulate_body<const M: usize, const FUSED: bool>(
    round: bool,
    a: &[f32],
    b: &[f32],
    b_stride: usize,
    acc: &mut [f32],
    cols: usize,
) {
    let whole = cols / COLUMNS * COLUMNS;
    for start in (0..whole).step_by(COLUMNS) {
        let b = &b[start..];
        let sums = if round {
            columns::<M, COLUMNS, FUSED, true>(a, b, b_stride)
        } else {
            columns::<M, COLUMNS, FUSED, false>(a, b, b_stride)
        };
        for i in 0..M {
            acc[i * cols + start..][..COLUMNS].copy_from_slice(&sums[i]);
        }
    }
    for j in whole..cols {
        let sums = if round {
            columns::<M, 1, FUSED, true>(a, &b[j..], b_stride)
        } else {
            columns::<M, 1, FUSED, false>(a, &b[j..], b_stride)
        };
        for i in 0..M {
            acc[i * cols + j] = sums[i][0];
        }
    }
}

/// The first `N` columns of `b`.
#[inline(always)]
fn columns<const M: usize, const N: usize, const FUSED: bool, const ROUND: bool>(
    a: &[f32],
    b: &[f32],
    b_stride: usize,
) -> [[f32; N]; M] {
    let k = a.len() / M;
    let mut sums = [[0f32; N]; M];
    for r in 0..k {
        let row = &b[r * b_stride..][..N];
        for i in 0..M {
            let f = a[i * k + r];
            for l in 0..N {
                let v = if ROUND { round_bf16(row[l]) } else { row[l] };
                sums[i][l] = multiply_add::<FUSED>(f, v, sums[i][l]);
            }
        }
    }
    sums
}

/// Compiles a loop for one instruction set.
macro_rules! versions {
    ($dots:ident $(, $feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        fn $dots<const M: usize>(x: &[f32], w: &[f32], out: &mut [f32; MOST_ROWS]) {
            dots_body::<M, { FUSED $(|| !$feature.is_empty())? }>(x, w, out);
        }
    };
    ($dots:ident, $accumulate:ident $(, $feature:literal)?) => {
        versions!($dots $(, $feature)?);

        $(#[target_feature(enable = $feature)])?
        fn $accumulate<const M: usize>(
            round: bool,
            a: &[f32],
            b: &[f32],
            b_stride: usize,
            acc: &mut [f32],
            cols: usize,
        ) {
            accumulate_body::<M, { FUSED $(|| !$feature.is_empty())? }>(round, a, b, b_stride, acc, cols);
        }
    };
}

versions!(dots_portable, accumulate_portable);
#[cfg(target_arch = "x86_64")]
versions!(dots_avx2, accumulate_avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
versions!(dots_avx512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");
