//! Packing with 512-bit vectors: 16 lanes by 16 units at a time.

use std::arch::x86_64::*;

use super::avx512::mask;

/// Packs rows along k as `f32`, rounded to bfloat16 or not.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn rows<const ROUND: bool>(
    src: *const f32,
    stride: usize,
    rows: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: `rows` rows of `k` numbers can be read, `k` units of `lanes` lanes written; masks cut the rest.
    unsafe {
        let lane_mask = mask(lanes);
        for u in (0..k).step_by(16) {
            let load = mask(k - u);
            let mut v = [_mm512_setzero_si512(); 16];
            for l in 0..rows {
                let x = _mm512_maskz_loadu_ps(load, src.add(l * stride + u));
                v[l] = _mm512_castps_si512(if ROUND { round(x) } else { x });
            }
            let v = transpose(v);
            for i in 0..(k - u).min(16) {
                _mm512_mask_storeu_epi32(out.add((u + i) * out_stride).cast(), lane_mask, v[i]);
            }
        }
    }
}

/// Packs rows along k as pairs of bfloat16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn rows_pairs(
    src: *const f32,
    stride: usize,
    rows: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: as above, with two k a unit; an odd last one is paired with zero.
    unsafe {
        let lane_mask = mask(lanes);
        for at in (0..k).step_by(32) {
            let (low, high) = (mask(k - at), mask((k - at).saturating_sub(16)));
            let mut v = [_mm512_setzero_si512(); 16];
            for l in 0..rows {
                let row = src.add(l * stride + at);
                let x = _mm512_maskz_loadu_ps(low, row);
                let y = _mm512_maskz_loadu_ps(high, row.wrapping_add(16));
                v[l] = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x));
            }
            let v = transpose(v);
            for i in 0..(k - at).div_ceil(2).min(16) {
                _mm512_mask_storeu_epi32(out.add((at / 2 + i) * out_stride).cast(), lane_mask, v[i]);
            }
        }
    }
}

/// Packs rows across k as `f32`, rounded to bfloat16 or not.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn columns<const ROUND: bool>(
    src: *const f32,
    stride: usize,
    cols: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: `k` rows of `cols` numbers can be read, `k` units of `lanes` lanes written; masks cut the rest.
    unsafe {
        let (load, store) = (mask(cols), mask(lanes));
        for u in 0..k {
            let x = _mm512_maskz_loadu_ps(load, src.add(u * stride));
            let x = if ROUND { round(x) } else { x };
            _mm512_mask_storeu_ps(out.add(u * out_stride).cast(), store, x);
        }
    }
}

/// Packs rows across k as pairs of bfloat16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn columns_pairs(
    src: *const f32,
    stride: usize,
    cols: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: as above, with two k a unit; an odd last one is paired with zero.
    unsafe {
        let (load, store) = (mask(cols), mask(lanes));
        let zip = zip_halves();
        for u in 0..k.div_ceil(2) {
            let row = src.add(2 * u * stride);
            let x = _mm512_maskz_loadu_ps(load, row);
            let second = if 2 * u + 1 < k { load } else { 0 };
            let y = _mm512_maskz_loadu_ps(second, row.wrapping_add(stride));
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x));
            _mm512_mask_storeu_epi32(out.add(u * out_stride).cast(), store, _mm512_permutexvar_epi16(zip, both));
        }
    }
}

/// Order of words that puts the halves of a vector side by side: 0, 16, 1, 17, …
#[target_feature(enable = "avx512f")]
#[inline]
fn zip_halves() -> __m512i {
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_or_si512(lane, _mm512_slli_epi32::<16>(_mm512_add_epi32(lane, _mm512_set1_epi32(16))))
}

/// Sixteen numbers rounded to bfloat16.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn round(v: __m512) -> __m512 {
    let bits = _mm512_castps_si512(v);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    let cut = _mm512_and_si512(up, _mm512_set1_epi32(0xffff_0000u32 as i32));
    // NaN stays NaN.
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
    _mm512_mask_blend_ps(nan, _mm512_castsi512_ps(cut), v)
}

/// Transposes 16 by 16 lanes of 32 bits.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn transpose(v: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let (mut a, mut b) = ([zero; 16], [zero; 16]);
    // Within 128-bit parts: pairs of rows, then quadruples.
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    for i in 0..4 {
        b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    // Then the 128-bit parts: even ones and odd ones, twice.
    for i in 0..4 {
        a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[4 + i]);
        a[4 + i] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[4 + i]);
        a[8 + i] = _mm512_shuffle_i32x4::<0x88>(b[8 + i], b[12 + i]);
        a[12 + i] = _mm512_shuffle_i32x4::<0xdd>(b[8 + i], b[12 + i]);
    }
    for i in 0..4 {
        b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[8 + i]);
        b[8 + i] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[8 + i]);
        b[4 + i] = _mm512_shuffle_i32x4::<0x88>(a[4 + i], a[12 + i]);
        b[12 + i] = _mm512_shuffle_i32x4::<0xdd>(a[4 + i], a[12 + i]);
    }
    b
}
