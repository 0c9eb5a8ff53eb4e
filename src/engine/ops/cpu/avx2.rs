//! 256-bit vectors with fused multiply-add: six rows by sixteen columns keep twelve sums in registers.

use std::arch::x86_64::*;

use super::{Isa, Kernel, Mode, Tile, portable};

const MR: usize = 6;
const NR: usize = 16;

pub(super) static F32: Kernel = Kernel {
    isa: Isa::Avx2,
    mode: Mode::F32,
    mr: MR,
    nr: NR,
    tile,
    pack_rows: pack_rows::<false>,
    pack_columns: pack_columns::<false>,
};

pub(super) static ROUNDED: Kernel = Kernel {
    isa: Isa::Avx2,
    mode: Mode::Rounded,
    mr: MR,
    nr: NR,
    tile,
    pack_rows: pack_rows::<true>,
    pack_columns: pack_columns::<true>,
};

unsafe fn tile(height: usize, lanes: usize, t: &Tile<'_>) {
    // SAFETY: passed on; this kernel is only chosen on a machine that has the instructions.
    unsafe {
        match (height, lanes == NR) {
            (1, true) => rows::<1, 2, NR>(t),
            (2, true) => rows::<2, 2, NR>(t),
            (3, true) => rows::<3, 2, NR>(t),
            (4, true) => rows::<4, 2, NR>(t),
            (5, true) => rows::<5, 2, NR>(t),
            (_, true) => rows::<6, 2, NR>(t),
            (1, false) => rows::<1, 1, { NR / 2 }>(t),
            (2, false) => rows::<2, 1, { NR / 2 }>(t),
            (3, false) => rows::<3, 1, { NR / 2 }>(t),
            (4, false) => rows::<4, 1, { NR / 2 }>(t),
            (5, false) => rows::<5, 1, { NR / 2 }>(t),
            (_, false) => rows::<6, 1, { NR / 2 }>(t),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const H: usize, const W: usize, const N: usize>(t: &Tile<'_>) {
    // SAFETY: the caller's strips, panels and tile have the sizes that `Tile` says.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); W]; H];
        if !t.first {
            for i in 0..H {
                for j in 0..W {
                    acc[i][j] = _mm256_loadu_ps(t.partial.add(i * N + j * 8));
                }
            }
        }
        let mut b = t.b.cast::<f32>();
        for &(strip, units) in t.a {
            let mut a = strip.cast::<f32>();
            for _ in 0..units {
                let mut column = [_mm256_setzero_ps(); W];
                for j in 0..W {
                    column[j] = _mm256_loadu_ps(b.add(8 * j));
                }
                for i in 0..H {
                    let x = _mm256_broadcast_ss(&*a.add(i));
                    for j in 0..W {
                        acc[i][j] = _mm256_fmadd_ps(x, column[j], acc[i][j]);
                    }
                }
                a = a.wrapping_add(t.a_step);
                b = b.wrapping_add(t.b_step);
            }
        }
        let mut sums = [[0f32; N]; H];
        for i in 0..H {
            for j in 0..W {
                _mm256_storeu_ps(sums[i].as_mut_ptr().add(8 * j), acc[i][j]);
            }
        }
        portable::finish(&sums, t);
    }
}

/// Eight rows by eight k at a time, transposed in registers; the edges by plain loops.
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_rows<const ROUND: bool>(
    src: *const f32,
    stride: usize,
    rows: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: `rows` rows of `k` numbers can be read, `k` units of `lanes` lanes written; full blocks lie inside.
    unsafe {
        let (full_rows, full_k) = (rows / 8 * 8, k / 8 * 8);
        for l in (0..full_rows).step_by(8) {
            for u in (0..full_k).step_by(8) {
                let mut v = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    v[i] = _mm256_loadu_ps(src.add((l + i) * stride + u));
                    if ROUND {
                        v[i] = round(v[i]);
                    }
                }
                let v = transpose(v);
                for i in 0..8 {
                    _mm256_storeu_ps(out.add((u + i) * out_stride + l).cast(), v[i]);
                }
            }
        }
        let edge = |l: usize, u: usize, rows: usize, k: usize, lanes: usize| {
            portable::pack_rows::<ROUND>(
                src.add(l * stride + u),
                stride,
                rows,
                k,
                out.add(u * out_stride + l),
                out_stride,
                lanes,
            )
        };
        if full_rows > 0 && full_k < k {
            edge(0, full_k, full_rows, k - full_k, full_rows);
        }
        if full_rows < lanes {
            edge(full_rows, 0, rows - full_rows, k, lanes - full_rows);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn transpose(v: [__m256; 8]) -> [__m256; 8] {
    let mut pairs = [_mm256_setzero_ps(); 8];
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    let mut quads = [_mm256_setzero_ps(); 8];
    for i in 0..2 {
        let p = &pairs[4 * i..4 * i + 4];
        quads[4 * i] = _mm256_shuffle_ps::<0x44>(p[0], p[2]);
        quads[4 * i + 1] = _mm256_shuffle_ps::<0xee>(p[0], p[2]);
        quads[4 * i + 2] = _mm256_shuffle_ps::<0x44>(p[1], p[3]);
        quads[4 * i + 3] = _mm256_shuffle_ps::<0xee>(p[1], p[3]);
    }
    let mut out = [_mm256_setzero_ps(); 8];
    for i in 0..4 {
        out[i] = _mm256_permute2f128_ps::<0x20>(quads[i], quads[i + 4]);
        out[i + 4] = _mm256_permute2f128_ps::<0x31>(quads[i], quads[i + 4]);
    }
    out
}

/// Eight numbers rounded to bfloat16.
#[target_feature(enable = "avx2,fma")]
fn round(v: __m256) -> __m256 {
    let bits = _mm256_castps_si256(v);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let cut = _mm256_and_si256(up, _mm256_set1_epi32(0xffff_0000u32 as i32));
    // NaN stays NaN.
    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v);
    _mm256_blendv_ps(_mm256_castsi256_ps(cut), v, nan)
}

#[target_feature(enable = "avx2,fma")]
unsafe fn pack_columns<const ROUND: bool>(
    src: *const f32,
    stride: usize,
    cols: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: `k` rows of `cols` numbers can be read, `k` units of `lanes` lanes written.
    unsafe {
        let full = cols / 8 * 8;
        for u in 0..k {
            for l in (0..full).step_by(8) {
                let v = _mm256_loadu_ps(src.add(u * stride + l));
                _mm256_storeu_ps(out.add(u * out_stride + l).cast(), if ROUND { round(v) } else { v });
            }
        }
        if full < lanes {
            let (cols, lanes) = (cols - full, lanes - full);
            portable::pack_columns::<ROUND>(src.add(full), stride, cols, k, out.add(full), out_stride, lanes);
        }
    }
}
