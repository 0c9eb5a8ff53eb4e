//! The scales of 4-bit blocks, sixteen at a time: a table of 256 numbers as eight look-ups in 32 of them, of which the upper
//! bits of the code choose one. A gather takes as long as sixteen loads.

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::mask;
use crate::engine::quant::nf4::Absmax;

/// Asks for what is stored of the scales of some blocks.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn ask_for(absmax: &Absmax, blocks: Range<usize>) {
    let (first, bytes) = match absmax {
        Absmax::Plain(v) => (v[blocks.clone()].as_ptr().cast::<i8>(), 4 * blocks.len()),
        Absmax::Double { codes, .. } => (codes[blocks.clone()].as_ptr().cast(), blocks.len()),
    };
    for line in (0..bytes).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line));
    }
}

/// The scales of blocks `first..first + n`, as [`Absmax::fill`] gives them, in `out`, of whole vectors: what is stored under a
/// mask cannot be read at once.
///
/// # Safety
/// The machine has AVX-512 F, BW and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn fill(absmax: &Absmax, first: usize, n: usize, out: &mut [f32]) {
    let Absmax::Double { codes, map, nested, nested_block, offset } = absmax else {
        return absmax.fill(first, &mut out[..n]);
    };
    let (Some(map), true) = (map.first_chunk::<256>(), *nested_block >= 16) else {
        return absmax.fill(first, &mut out[..n]);
    };
    let codes = &codes[first..first + n];
    assert!(out.len() >= n.next_multiple_of(16), "scales: room");
    let shift = nested_block.trailing_zeros();
    let offset = _mm512_set1_ps(*offset);
    for start in (0..codes.len()).step_by(16) {
        let n = (codes.len() - start).min(16);
        let at = first + start;
        // Sixteen blocks share at most two nested scales.
        let (low, high) = (nested[at >> shift], nested[(at + n - 1) >> shift]);
        let lower = (((at >> shift) + 1) << shift) - at;
        let nested = _mm512_mask_blend_ps(mask(lower), _mm512_set1_ps(high), _mm512_set1_ps(low));
        // SAFETY: the mask keeps the load within the codes, and there is room for whole vectors.
        unsafe {
            let bytes = _mm_maskz_loadu_epi8(mask(n), codes.as_ptr().add(start).cast());
            let values = look_up(map, _mm512_cvtepu8_epi32(bytes));
            // Two roundings, as elsewhere.
            let scales = _mm512_add_ps(_mm512_mul_ps(values, nested), offset);
            _mm512_storeu_ps(out.as_mut_ptr().add(start), scales);
        }
    }
}

/// `map[code]` of sixteen codes.
#[target_feature(enable = "avx512f")]
#[inline]
fn look_up(map: &[f32; 256], codes: __m512i) -> __m512 {
    let bit = |b: i32| _mm512_test_epi32_mask(codes, _mm512_set1_epi32(b));
    let [b32, b64, b128] = [bit(32), bit(64), bit(128)];
    let two = |i: usize| {
        // SAFETY: 32 numbers of the map from `32 * i` on.
        let (low, high) =
            unsafe { (_mm512_loadu_ps(map.as_ptr().add(32 * i)), _mm512_loadu_ps(map.as_ptr().add(32 * i + 16))) };
        // Of the codes, it reads the lowest five bits.
        _mm512_permutex2var_ps(low, codes, high)
    };
    let four = |i: usize| _mm512_mask_blend_ps(b32, two(2 * i), two(2 * i + 1));
    let eight = |i: usize| _mm512_mask_blend_ps(b64, four(2 * i), four(2 * i + 1));
    _mm512_mask_blend_ps(b128, eight(0), eight(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::cpu::Isa;
    use crate::engine::ops::testing::normal;
    use crate::engine::quant::Nf4Matrix;

    #[test]
    fn scales_are_those_of_the_matrix() {
        if !Isa::Avx512.available() {
            return;
        }
        let m = Nf4Matrix::quantize(&normal(1, 64 * 1000, 1.0), 64, 1000, true);
        let plain = Nf4Matrix::quantize(&normal(1, 64 * 1000, 1.0), 64, 1000, false);
        for matrix in [&m, &plain] {
            for (first, n) in
                [(0, 1000), (0, 1), (3, 36), (250, 20), (255, 16), (255, 1), (241, 15), (984, 16), (999, 1)]
            {
                let (mut want, mut got) = (vec![0.0; n], vec![0.0; n.next_multiple_of(16)]);
                matrix.absmax().fill(first, &mut want);
                // SAFETY: the machine has AVX-512.
                unsafe { fill(matrix.absmax(), first, n, &mut got) };
                assert_eq!(&got[..n], &want[..], "{n} from {first}");
            }
        }
    }
}
