//! Blocks of the types that most GGUF files consist of, expanded with the vectors that the machine has: the same bits as
//! candle's `to_float`, which is compiled for the oldest machine. Layouts are those of ggml-common.h.

use half::f16;

use crate::engine::ops::simd::multiversion;

/// Numbers of a K-quant's block.
const K: usize = 256;
/// Numbers of the others.
const SMALL: usize = 32;

/// The little-endian 16-bit number at `at`.
#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Scale and minimum `j` of the eight of a block of Q4_K or Q5_K: in six bits each, packed in twelve bytes behind their own
/// scales `d` and `min`, which are converted once a block.
#[inline(always)]
fn scale_and_min(j: usize, block: &[u8], d: f32, min: f32) -> (f32, f32) {
    let packed = &block[4..16];
    let (scale, least) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (d * f32::from(scale), min * f32::from(least))
}

multiversion! {
    /// Scale, then 16 bytes: the low nibbles are the first half.
    pub(super) fn q4_0(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<18>().0.iter().zip(out.as_chunks_mut::<SMALL>().0) {
            let d = half_at(block, 0);
            let q = &block[2..18];
            for j in 0..16 {
                out[j] = ((q[j] & 15) as i32 - 8) as f32 * d;
                out[j + 16] = ((q[j] >> 4) as i32 - 8) as f32 * d;
            }
        }
    }
}

multiversion! {
    /// Scale and minimum, then as [`q4_0`].
    pub(super) fn q4_1(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<20>().0.iter().zip(out.as_chunks_mut::<SMALL>().0) {
            let (d, m) = (half_at(block, 0), half_at(block, 2));
            let q = &block[4..20];
            for j in 0..16 {
                out[j] = (q[j] & 15) as f32 * d + m;
                out[j + 16] = (q[j] >> 4) as f32 * d + m;
            }
        }
    }
}

multiversion! {
    /// Scale, then 32 signed bytes.
    pub(super) fn q8_0(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<34>().0.iter().zip(out.as_chunks_mut::<SMALL>().0) {
            let d = half_at(block, 0);
            let q = &block[2..34];
            for j in 0..32 {
                out[j] = q[j] as i8 as f32 * d;
            }
        }
    }
}

multiversion! {
    /// Sixteen scales and minima in four bits each, two bits a number, and the scales of the scales and of the minima.
    pub(super) fn q2_k(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<84>().0.iter().zip(out.as_chunks_mut::<K>().0) {
            let (d, min) = (half_at(block, 80), half_at(block, 82));
            for (n, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
                let (q, scales) = (&block[16 + 32 * n..48 + 32 * n], &block[8 * n..8 * n + 8]);
                for half in 0..2 {
                    let (mut s, mut m) = ([0f32; 4], [0f32; 4]);
                    for i in 0..4 {
                        s[i] = d * (scales[half + 2 * i] & 15) as f32;
                        m[i] = min * (scales[half + 2 * i] >> 4) as f32;
                    }
                    for l in 16 * half..16 * half + 16 {
                        let q = q[l];
                        out[l] = s[0] * (q & 3) as f32 - m[0];
                        out[l + 32] = s[1] * (q >> 2 & 3) as f32 - m[1];
                        out[l + 64] = s[2] * (q >> 4 & 3) as f32 - m[2];
                        out[l + 96] = s[3] * (q >> 6) as f32 - m[3];
                    }
                }
            }
        }
    }
}

multiversion! {
    /// The third bits in 32 bytes (a zero takes 4 away), the lower two, sixteen scales in six bits each, and their scale.
    pub(super) fn q3_k(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<110>().0.iter().zip(out.as_chunks_mut::<K>().0) {
            let (packed, d) = (&block[96..108], half_at(block, 108));
            let mut scales = [0f32; 16];
            for (j, scale) in scales.iter_mut().enumerate() {
                let low = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
                *scale = d * ((low | (packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4) as f32 - 32.0);
            }
            for (n, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
                let (q, high, s) = (&block[32 + 32 * n..64 + 32 * n], &block[..32], &scales[8 * n..8 * n + 8]);
                for half in 0..2 {
                    let s = [s[half], s[half + 2], s[half + 4], s[half + 6]];
                    for l in 16 * half..16 * half + 16 {
                        let (q, h) = (q[l], high[l] >> (4 * n));
                        out[l] = s[0] * ((q & 3 | (h & 1) << 2) as i32 - 4) as f32;
                        out[l + 32] = s[1] * ((q >> 2 & 3 | (h >> 1 & 1) << 2) as i32 - 4) as f32;
                        out[l + 64] = s[2] * ((q >> 4 & 3 | (h >> 2 & 1) << 2) as i32 - 4) as f32;
                        out[l + 96] = s[3] * ((q >> 6 | (h >> 3 & 1) << 2) as i32 - 4) as f32;
                    }
                }
            }
        }
    }
}

multiversion! {
    /// Scale of the scales and of the minima, eight of each, then nibbles in groups of 64.
    pub(super) fn q4_k(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<144>().0.iter().zip(out.as_chunks_mut::<K>().0) {
            let (d, min) = (half_at(block, 0), half_at(block, 2));
            for (g, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
                let (d1, m1) = scale_and_min(2 * g, block, d, min);
                let (d2, m2) = scale_and_min(2 * g + 1, block, d, min);
                let q = &block[16 + 32 * g..48 + 32 * g];
                for j in 0..32 {
                    out[j] = d1 * (q[j] & 15) as f32 - m1;
                    out[j + 32] = d2 * (q[j] >> 4) as f32 - m2;
                }
            }
        }
    }
}

multiversion! {
    /// As [`q4_k`], with the fifth bits in 32 bytes before the nibbles.
    pub(super) fn q5_k(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<176>().0.iter().zip(out.as_chunks_mut::<K>().0) {
            let (d, min) = (half_at(block, 0), half_at(block, 2));
            let high = &block[16..48];
            for (g, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
                let (d1, m1) = scale_and_min(2 * g, block, d, min);
                let (d2, m2) = scale_and_min(2 * g + 1, block, d, min);
                let q = &block[48 + 32 * g..80 + 32 * g];
                for j in 0..32 {
                    let (h1, h2) = (high[j] >> (2 * g) & 1, high[j] >> (2 * g + 1) & 1);
                    out[j] = d1 * (q[j] & 15 | h1 << 4) as f32 - m1;
                    out[j + 32] = d2 * (q[j] >> 4 | h2 << 4) as f32 - m2;
                }
            }
        }
    }
}

multiversion! {
    /// The lower four bits, the upper two, sixteen signed scales, and their scale.
    pub(super) fn q6_k(data: &[u8], out: &mut [f32]) {
        for (block, out) in data.as_chunks::<210>().0.iter().zip(out.as_chunks_mut::<K>().0) {
            let d = half_at(block, 208);
            for (n, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
                let (low, high) = (&block[64 * n..64 * n + 64], &block[128 + 32 * n..160 + 32 * n]);
                let scales = &block[192 + 8 * n..200 + 8 * n];
                for half in 0..2 {
                    let mut s = [0f32; 4];
                    for i in 0..4 {
                        s[i] = d * scales[half + 2 * i] as i8 as f32;
                    }
                    for l in 16 * half..16 * half + 16 {
                        let (a, b, h) = (low[l], low[l + 32], high[l]);
                        out[l] = s[0] * ((a & 15 | (h & 3) << 4) as i32 - 32) as f32;
                        out[l + 32] = s[1] * ((b & 15 | (h >> 2 & 3) << 4) as i32 - 32) as f32;
                        out[l + 64] = s[2] * ((a >> 4 | (h >> 4 & 3) << 4) as i32 - 32) as f32;
                        out[l + 96] = s[3] * ((b >> 4 | (h >> 6) << 4) as i32 - 32) as f32;
                    }
                }
            }
        }
    }
}
