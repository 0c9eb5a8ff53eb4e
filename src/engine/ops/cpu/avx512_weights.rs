//! Decoding NF4 and bfloat16 weights straight into panels with 512-bit vectors.
//!
//! Sixteen values of a table fit a register, so a nibble becomes its number by one permutation; the table is scaled by
//! the block's absmax before, once for 64 values. A byte of NF4 holds two neighbouring k, which is what a lane of bfloat16
//! pairs holds.

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::mask;
use super::avx512_pack::{round, transpose};
use super::{Isa, Kernel, Mode};
use crate::engine::quant::{Dense, FrozenMatrix, Nf4Matrix, Storage};

/// Rows ahead of the present one that are asked for where columns are packed: they lie pages apart, where the processor does
/// not guess them.
const AHEAD: usize = 24;

/// Packs rows of `w` as lanes if there is a loop for its layout; see `gemm::weights::pack_rows`.
pub(crate) unsafe fn pack_rows(
    kernel: &Kernel,
    w: &FrozenMatrix,
    first: usize,
    rows: usize,
    k: Range<usize>,
    out: *mut u32,
    stride: usize,
    lanes: usize,
) -> bool {
    if kernel.isa < Isa::Avx512 {
        return false;
    }
    // SAFETY: the kernel says that the machine has the instructions; the caller's room is as large as it says.
    unsafe {
        match (&w.data, kernel.mode) {
            (Storage::Nf4(m), mode) if suits(m) && k.len().is_multiple_of(32) && k.start.is_multiple_of(32) => {
                match mode {
                    Mode::Pairs => nf4_rows_pairs(m, first, rows, k, out, stride, lanes),
                    Mode::Rounded => nf4_rows::<true>(m, first, rows, k, out, stride, lanes),
                    Mode::F32 => nf4_rows::<false>(m, first, rows, k, out, stride, lanes),
                }
                true
            }
            (Storage::Dense(Dense::Bf16(v)), Mode::Pairs) => {
                let src = v.as_ptr().cast::<u16>().add(first * w.in_features + k.start);
                bf16_rows(src, w.in_features, rows, k.len(), out, stride, lanes);
                true
            }
            _ => false,
        }
    }
}

/// Packs columns of `w` if there is a loop for its layout; see `gemm::weights::pack_columns`.
pub(crate) unsafe fn pack_columns(
    kernel: &Kernel,
    w: &FrozenMatrix,
    (first, end): (usize, usize),
    k: Range<usize>,
    out: *mut u32,
    panel_lanes: usize,
    unit: usize,
) -> bool {
    if kernel.isa < Isa::Avx512 {
        return false;
    }
    const NR: usize = 32;
    for (i, column) in (first..end).step_by(NR).enumerate() {
        let cols = NR.min(end - column);
        let stride = if cols <= NR / 2 { NR / 2 } else { NR };
        // SAFETY: as above.
        unsafe {
            let out = out.add(i * panel_lanes + unit * stride);
            match (&w.data, kernel.mode) {
                (Storage::Nf4(m), mode) if suits(m) && first.is_multiple_of(32) => match mode {
                    Mode::Pairs => nf4_columns_pairs(m, column, k.clone(), out),
                    Mode::Rounded => nf4_columns::<true>(m, column, k.clone(), out),
                    Mode::F32 => nf4_columns::<false>(m, column, k.clone(), out),
                },
                (Storage::Dense(Dense::Bf16(v)), Mode::Pairs) => {
                    let src = v.as_ptr().cast::<u16>().add(k.start * w.in_features + column);
                    if cols == NR {
                        bf16_columns(src, w.in_features, k.len(), out);
                    } else {
                        for lane in (0..stride).step_by(16) {
                            let exist = cols.saturating_sub(lane).min(16);
                            few_bf16_columns(src.add(lane), w.in_features, exist, k.len(), out.add(lane), stride);
                        }
                    }
                }
                _ => return false,
            }
        }
    }
    true
}

/// Whether every 32 numbers that begin at a multiple of 32 in a row share one scale, and begin at a byte.
fn suits(m: &Nf4Matrix) -> bool {
    m.in_features().is_multiple_of(32) && m.block().is_multiple_of(32)
}

/// The table scaled and rounded to bfloat16, twice: an index may have any fifth bit.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
pub(super) fn scaled_pairs(levels: __m512, scale: f32) -> __m512i {
    let half = _mm512_cvtneps_pbh(_mm512_mul_ps(levels, _mm512_set1_ps(scale)));
    // SAFETY: both are 256 bits.
    _mm512_broadcast_i64x4(unsafe { std::mem::transmute::<__m256bh, __m256i>(half) })
}

/// Sixteen bytes as 32 words in the order of the numbers: high nibble, low nibble. Bits above the fourth are left in.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) unsafe fn nibbles(codes: *const u8) -> __m512i {
    // SAFETY: sixteen bytes can be read.
    let bytes = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(codes.cast()) });
    _mm512_or_si512(_mm512_srli_epi32::<4>(bytes), _mm512_slli_epi32::<16>(bytes))
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn nf4_rows_pairs(
    m: &Nf4Matrix,
    first: usize,
    rows: usize,
    k: Range<usize>,
    out: *mut u32,
    stride: usize,
    lanes: usize,
) {
    // SAFETY: rows and k are in the matrix, whose codes and scales are as many as its shape says; `out` has room.
    unsafe {
        let lane_mask = mask(lanes);
        let levels = _mm512_loadu_ps(m.levels().as_ptr());
        let codes = m.codes().as_ptr();
        let mut v = [_mm512_setzero_si512(); 16];
        let mut tables = [_mm512_setzero_si512(); 16];
        let unaligned = m.in_features() & (m.block() - 1) != 0;
        for at in k.clone().step_by(32) {
            if at == k.start || at & (m.block() - 1) == 0 || unaligned {
                for r in 0..rows {
                    let number = (first + r) * m.in_features() + at;
                    tables[r] = scaled_pairs(levels, m.absmax().get(number >> m.block().trailing_zeros()));
                }
            }
            for r in 0..rows {
                let codes = codes.add(((first + r) * m.in_features() + at) / 2);
                // The rows of the next lanes.
                _mm_prefetch::<_MM_HINT_T1>(codes.wrapping_add(8 * m.in_features()).cast());
                v[r] = _mm512_permutexvar_epi16(nibbles(codes), tables[r]);
            }
            let t = transpose(v);
            let out = out.add((at - k.start) / 2 * stride);
            for i in 0..16 {
                _mm512_mask_storeu_epi32(out.add(i * stride).cast(), lane_mask, t[i]);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn nf4_rows<const ROUND: bool>(
    m: &Nf4Matrix,
    first: usize,
    rows: usize,
    k: Range<usize>,
    out: *mut u32,
    stride: usize,
    lanes: usize,
) {
    // SAFETY: as above.
    unsafe {
        let lane_mask = mask(lanes);
        let levels = _mm512_loadu_ps(m.levels().as_ptr());
        let codes = m.codes().as_ptr();
        let (mut even, mut odd) = ([_mm512_setzero_si512(); 16], [_mm512_setzero_si512(); 16]);
        for at in k.clone().step_by(32) {
            for r in 0..rows {
                let number = (first + r) * m.in_features() + at;
                let table = _mm512_mul_ps(levels, _mm512_set1_ps(m.absmax().get(number >> m.block().trailing_zeros())));
                let table = if ROUND { round(table) } else { table };
                let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.add(number / 2).cast()));
                even[r] = _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), table));
                odd[r] = _mm512_castps_si512(_mm512_permutexvar_ps(bytes, table));
            }
            let (e, o) = (transpose(even), transpose(odd));
            let out = out.add((at - k.start) * stride);
            for i in 0..16 {
                _mm512_mask_storeu_epi32(out.add(2 * i * stride).cast(), lane_mask, e[i]);
                _mm512_mask_storeu_epi32(out.add((2 * i + 1) * stride).cast(), lane_mask, o[i]);
            }
        }
    }
}

/// One panel of 32 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn nf4_columns_pairs(m: &Nf4Matrix, column: usize, k: Range<usize>, out: *mut u32) {
    // SAFETY: as above.
    unsafe {
        let levels = _mm512_loadu_ps(m.levels().as_ptr());
        let codes = m.codes().as_ptr();
        let words = |row: usize| {
            let number = row * m.in_features() + column;
            let table = scaled_pairs(levels, m.absmax().get(number >> m.block().trailing_zeros()));
            let codes = codes.add(number / 2);
            _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(AHEAD / 2 * m.in_features()).cast());
            _mm512_permutexvar_epi16(nibbles(codes), table)
        };
        let [low, high] = side_by_side();
        let mut out = out;
        for row in k.clone().step_by(2) {
            let a = words(row);
            let b = if row + 1 < k.end { words(row + 1) } else { _mm512_setzero_si512() };
            _mm512_storeu_si512(out.cast(), _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(out.add(16).cast(), _mm512_permutex2var_epi16(a, high, b));
            out = out.add(32);
        }
    }
}

/// One panel of 32 columns.
#[target_feature(enable = "avx512f")]
unsafe fn nf4_columns<const ROUND: bool>(m: &Nf4Matrix, column: usize, k: Range<usize>, out: *mut u32) {
    // SAFETY: as above.
    unsafe {
        let levels = _mm512_loadu_ps(m.levels().as_ptr());
        let codes = m.codes().as_ptr();
        let low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        let mut out = out;
        for row in k {
            let number = row * m.in_features() + column;
            let table = _mm512_mul_ps(levels, _mm512_set1_ps(m.absmax().get(number >> m.block().trailing_zeros())));
            let table = if ROUND { round(table) } else { table };
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.add(number / 2).cast()));
            let even = _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), table);
            let odd = _mm512_permutexvar_ps(bytes, table);
            _mm512_storeu_ps(out.cast(), _mm512_permutex2var_ps(even, low, odd));
            _mm512_storeu_ps(out.add(16).cast(), _mm512_permutex2var_ps(even, high, odd));
            out = out.add(32);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn bf16_rows(
    src: *const u16,
    row_stride: usize,
    rows: usize,
    k: usize,
    out: *mut u32,
    stride: usize,
    lanes: usize,
) {
    // SAFETY: `rows` rows of `k` numbers can be read, `k / 2` units (rounded up) of `lanes` lanes written.
    unsafe {
        let lane_mask = mask(lanes);
        let mut v = [_mm512_setzero_si512(); 16];
        for at in (0..k).step_by(32) {
            let words = if k - at >= 32 { u32::MAX } else { (1u32 << (k - at)) - 1 };
            for r in 0..rows {
                let from = src.add(r * row_stride + at);
                // The rows of the next lanes: those of these are too short for the processor to guess them.
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(16 * row_stride).cast());
                v[r] = _mm512_maskz_loadu_epi16(words, from.cast());
            }
            let t = transpose(v);
            for i in 0..(k - at).div_ceil(2).min(16) {
                _mm512_mask_storeu_epi32(out.add((at / 2 + i) * stride).cast(), lane_mask, t[i]);
            }
        }
    }
}

/// One panel of 32 columns.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn bf16_columns(src: *const u16, row_stride: usize, k: usize, out: *mut u32) {
    // SAFETY: `k` rows of 32 numbers can be read, `k / 2` units (rounded up) of 32 lanes written.
    unsafe {
        let [low, high] = side_by_side();
        let (mut row, mut out) = (src, out);
        for u in 0..k.div_ceil(2) {
            let second = row.wrapping_add(row_stride);
            for row in [row, second] {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(AHEAD * row_stride).cast());
            }
            let a = _mm512_loadu_si512(row.cast());
            let b = if 2 * u + 1 < k { _mm512_loadu_si512(second.cast()) } else { _mm512_setzero_si512() };
            _mm512_storeu_si512(out.cast(), _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(out.add(16).cast(), _mm512_permutex2var_epi16(a, high, b));
            row = second.wrapping_add(row_stride);
            out = out.add(32);
        }
    }
}

/// Which words of two rows make pairs: 0 and 32, 1 and 33, …
#[target_feature(enable = "avx512f")]
#[inline]
fn side_by_side() -> [__m512i; 2] {
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let low = _mm512_or_si512(lane, _mm512_slli_epi32::<16>(_mm512_add_epi32(lane, _mm512_set1_epi32(32))));
    [low, _mm512_add_epi32(low, _mm512_set1_epi32(0x0010_0010))]
}

/// Sixteen lanes, `cols` of them from columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn few_bf16_columns(src: *const u16, row_stride: usize, cols: usize, k: usize, out: *mut u32, stride: usize) {
    // SAFETY: `k` rows of `cols` numbers can be read, `k / 2` units (rounded up) of 16 lanes written.
    unsafe {
        let load = mask(cols);
        for u in 0..k.div_ceil(2) {
            let row = src.add(2 * u * row_stride);
            let a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(load, row.cast()));
            let second = if 2 * u + 1 < k { load } else { 0 };
            let b = _mm256_maskz_loadu_epi16(second, row.wrapping_add(row_stride).cast());
            let both = _mm512_or_si512(a, _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(b)));
            _mm512_storeu_si512(out.add(u * stride).cast(), both);
        }
    }
}
