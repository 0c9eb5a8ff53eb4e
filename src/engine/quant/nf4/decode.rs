//! Nibbles to numbers. The instruction set changes only how fast: a number is one entry of a table.

/// Writes `table[high nibble], table[low nibble]` for every byte: `out` is twice as long as `codes`.
pub(super) fn expand(table: &[f32; 16], codes: &[u8], out: &mut [f32]) {
    assert_eq!(codes.len() * 2, out.len());
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine has the instructions.
            unsafe { expand_avx512(table, codes, out) };
            return;
        }
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            unsafe { expand_avx2(table, codes, out) };
            return;
        }
    }
    expand_portable(table, codes, out);
}

fn expand_portable(table: &[f32; 16], codes: &[u8], out: &mut [f32]) {
    for (byte, pair) in codes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = table[(byte >> 4) as usize];
        pair[1] = table[(byte & 15) as usize];
    }
}

/// Eight bytes at a time: the table is one register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn expand_avx512(table: &[f32; 16], codes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::*;
    let whole = codes.len() / 8 * 8;
    // SAFETY: unaligned loads and stores of eight bytes and sixteen numbers that the slices have.
    unsafe {
        let table = _mm512_loadu_ps(table.as_ptr());
        // Each byte twice, its high nibble moved down in the even lanes.
        let shifts = _mm512_set_epi32(0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4);
        for at in (0..whole).step_by(8) {
            let bytes = _mm_loadl_epi64(codes.as_ptr().add(at).cast());
            let index = _mm512_srlv_epi32(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(bytes, bytes)), shifts);
            _mm512_storeu_ps(out.as_mut_ptr().add(2 * at), _mm512_permutexvar_ps(index, table));
        }
    }
    expand_portable(table, &codes[whole..], &mut out[2 * whole..]);
}

/// Four bytes at a time: the table is two registers, the fourth bit chooses.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn expand_avx2(table: &[f32; 16], codes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::*;
    let whole = codes.len() / 4 * 4;
    // SAFETY: unaligned loads and stores of eight numbers that the slices have.
    unsafe {
        let low = _mm256_loadu_ps(table.as_ptr());
        let high = _mm256_loadu_ps(table.as_ptr().add(8));
        let shifts = _mm256_set_epi32(0, 4, 0, 4, 0, 4, 0, 4);
        for at in (0..whole).step_by(4) {
            let bytes = _mm_cvtsi32_si128(i32::from_le_bytes([codes[at], codes[at + 1], codes[at + 2], codes[at + 3]]));
            let index = _mm256_srlv_epi32(_mm256_cvtepu8_epi32(_mm_unpacklo_epi8(bytes, bytes)), shifts);
            let (a, b) = (_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index));
            // The blend looks at the sign bit: bring the fourth bit there.
            let choose = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            _mm256_storeu_ps(out.as_mut_ptr().add(2 * at), _mm256_blendv_ps(a, b, choose));
        }
    }
    expand_portable(table, &codes[whole..], &mut out[2 * whole..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_same_numbers() {
        let table: [f32; 16] = std::array::from_fn(|i| i as f32 - 7.5);
        let codes: Vec<u8> = (0..=255).chain([7, 77, 177]).collect();
        let run = |f: &dyn Fn(&mut [f32])| {
            let mut out = vec![0.0; codes.len() * 2];
            f(&mut out);
            out
        };
        let plain = run(&|o| expand_portable(&table, &codes, o));
        assert_eq!(plain[2 * 0x3c..][..2], [3.0 - 7.5, 12.0 - 7.5]);
        assert_eq!(run(&|o| expand(&table, &codes, o)), plain);
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has the instructions.
            assert_eq!(run(&|o| unsafe { expand_avx2(&table, &codes, o) }), plain);
        }
    }
}
