//! Dot products of a few rows of bfloat16 pairs with rows of a weight as they lie in memory.

use std::arch::x86_64::*;

use super::avx512::mask;
use super::avx512_weights::{nibbles, scaled_pairs};
use super::gemv::MOST_ROWS;
use crate::engine::quant::{Dense, FrozenMatrix, Nf4Matrix, Storage};

/// A row of the right operand.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    /// Numbers of 32 bits, rounded on the way.
    F32(&'a [f32]),
    /// bfloat16.
    Bf16(&'a [half::bf16]),
    /// Row of a 4-bit matrix.
    Nf4(&'a Nf4Matrix, usize),
}

/// Row `row` of a weight, if it can be read as it is.
pub(crate) fn row_of(w: &FrozenMatrix, row: usize) -> Option<Row<'_>> {
    let at = row * w.in_features;
    match &w.data {
        Storage::Dense(Dense::F32(v)) => Some(Row::F32(&v[at..at + w.in_features])),
        Storage::Dense(Dense::Bf16(v)) => Some(Row::Bf16(&v[at..at + w.in_features])),
        Storage::Nf4(m) if m.in_features().is_multiple_of(64) && m.block() == 64 => Some(Row::Nf4(m, row)),
        _ => None,
    }
}

/// Rounds a row of `x` to pairs, padded with zeros to whole vectors: `k` rounded up to 32, halved, lanes.
///
/// # Safety
/// The machine has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn pack(x: &[f32], out: &mut [u32]) {
    assert!(out.len() >= x.len().div_ceil(32) * 16);
    for (i, part) in x.chunks(32).enumerate() {
        // SAFETY: masks keep reads inside the part; sixteen lanes of `out` per part exist.
        unsafe {
            let v = rounded(part.as_ptr(), part.len());
            _mm512_storeu_si512(out.as_mut_ptr().add(16 * i).cast(), v);
        }
    }
}

/// Up to 32 numbers as bfloat16.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn rounded(src: *const f32, n: usize) -> __m512i {
    // SAFETY: masks keep reads inside the `n` numbers.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(n), src);
        let high = _mm512_maskz_loadu_ps(mask(n.saturating_sub(16)), src.wrapping_add(16));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// `out[i] = Σ x_i·row` for `m` packed rows of `x`, `stride` lanes apart.
///
/// # Safety
/// The machine has AVX-512 BF16, and `x` holds `m` rows packed by [`pack`].
pub(crate) unsafe fn dots(m: usize, x: *const u32, stride: usize, row: Row, out: &mut [f32; MOST_ROWS]) {
    // SAFETY: passed on.
    unsafe {
        match m {
            1 => dots_of::<1>(x, stride, row, out),
            2 => dots_of::<2>(x, stride, row, out),
            3 => dots_of::<3>(x, stride, row, out),
            _ => dots_of::<4>(x, stride, row, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn dots_of<const M: usize>(x: *const u32, stride: usize, row: Row, out: &mut [f32; MOST_ROWS]) {
    // Two sums a row of x, taken in turns: an addition takes several cycles.
    let mut acc = [[_mm512_setzero_ps(); 2]; M];
    macro_rules! add {
        ($turn:literal, $part:expr, $v:expr) => {
            let v = std::mem::transmute::<__m512i, __m512bh>($v);
            for i in 0..M {
                let x = _mm512_loadu_si512(x.add(i * stride + 16 * $part).cast());
                acc[i][$turn] = _mm512_dpbf16_ps(acc[i][$turn], std::mem::transmute::<__m512i, __m512bh>(x), v);
            }
        };
    }
    // SAFETY: parts lie in the row and in x, which is padded to whole ones.
    unsafe {
        match row {
            Row::F32(w) => {
                let pairs = w.len() / 64;
                for p in 0..pairs {
                    add!(0, 2 * p, rounded(w.as_ptr().add(64 * p), 32));
                    add!(1, 2 * p + 1, rounded(w.as_ptr().add(64 * p + 32), 32));
                }
                for part in 2 * pairs..w.len().div_ceil(32) {
                    add!(0, part, rounded(w.as_ptr().add(32 * part), (w.len() - 32 * part).min(32)));
                }
            }
            Row::Bf16(w) => {
                let src = w.as_ptr().cast::<u16>();
                let pairs = w.len() / 64;
                for p in 0..pairs {
                    add!(0, 2 * p, _mm512_loadu_si512(src.add(64 * p).cast()));
                    add!(1, 2 * p + 1, _mm512_loadu_si512(src.add(64 * p + 32).cast()));
                }
                for part in 2 * pairs..w.len().div_ceil(32) {
                    let n = (w.len() - 32 * part).min(32);
                    let words = if n == 32 { u32::MAX } else { (1u32 << n) - 1 };
                    add!(0, part, _mm512_maskz_loadu_epi16(words, src.add(32 * part).cast()));
                }
            }
            Row::Nf4(m, r) => {
                const SCALES: usize = 64;
                let mut scales = [0f32; SCALES];
                let levels = _mm512_loadu_ps(m.levels().as_ptr());
                let k = m.in_features();
                let codes = m.codes().as_ptr().add(r * k / 2);
                let blocks = k / 64;
                for p in 0..blocks {
                    if p % SCALES == 0 {
                        let n = SCALES.min(blocks - p);
                        m.absmax().fill(r * blocks + p, &mut scales[..n]);
                    }
                    let table = scaled_pairs(levels, scales[p % SCALES]);
                    add!(0, 2 * p, _mm512_permutexvar_epi16(nibbles(codes.add(32 * p)), table));
                    add!(1, 2 * p + 1, _mm512_permutexvar_epi16(nibbles(codes.add(32 * p + 16)), table));
                }
            }
        }
    }
    for i in 0..M {
        out[i] = _mm512_reduce_add_ps(_mm512_add_ps(acc[i][0], acc[i][1]));
    }
}

/// `acc[i][j] = Σ_k a[i][k]·b[k][j]`; see `gemv::accumulate`, which has checked the sizes.
#[target_feature(enable = "avx512f")]
pub(super) fn accumulate<const M: usize>(
    round: bool,
    a: &[f32],
    b: &[f32],
    b_stride: usize,
    acc: &mut [f32],
    cols: usize,
) {
    if round {
        accumulate_of::<M, true>(a, b, b_stride, acc, cols);
    } else {
        accumulate_of::<M, false>(a, b, b_stride, acc, cols);
    }
}

#[target_feature(enable = "avx512f")]
fn accumulate_of<const M: usize, const ROUND: bool>(
    a: &[f32],
    b: &[f32],
    b_stride: usize,
    acc: &mut [f32],
    cols: usize,
) {
    const PARTS: usize = 4;
    let k = a.len() / M;
    for start in (0..cols).step_by(16 * PARTS) {
        let mut masks = [0u16; PARTS];
        for p in 0..PARTS {
            masks[p] = mask((cols - start).saturating_sub(16 * p));
        }
        let mut sums = [[_mm512_setzero_ps(); PARTS]; M];
        // SAFETY: masks keep loads and stores inside the columns; rows and sums are as many as the caller checked.
        unsafe {
            for r in 0..k {
                let row = b.as_ptr().add(r * b_stride + start);
                for p in 0..PARTS {
                    let v = _mm512_maskz_loadu_ps(masks[p], row.wrapping_add(16 * p));
                    let v = if ROUND { super::avx512_pack::round(v) } else { v };
                    for i in 0..M {
                        sums[i][p] = _mm512_fmadd_ps(_mm512_set1_ps(*a.as_ptr().add(i * k + r)), v, sums[i][p]);
                    }
                }
            }
            for i in 0..M {
                for p in 0..PARTS {
                    let to = acc.as_mut_ptr().wrapping_add(i * cols + start + 16 * p);
                    _mm512_mask_storeu_ps(to, masks[p], sums[i][p]);
                }
            }
        }
    }
}
