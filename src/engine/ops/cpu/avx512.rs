//! 512-bit vectors: fourteen rows by thirty-two columns keep 28 sums in registers, with two for the panel and one for the
//! broadcast. With bfloat16 an instruction adds two products to each of 16 sums.

use std::arch::x86_64::*;

use super::{Isa, Kernel, Mode, Tile, avx512_pack as pack};

const MR: usize = 14;
const NR: usize = 32;

pub(super) static F32: Kernel = Kernel {
    isa: Isa::Avx512,
    mode: Mode::F32,
    mr: MR,
    nr: NR,
    tile: tile_f32,
    pack_rows: pack::rows::<false>,
    pack_columns: pack::columns::<false>,
};

pub(super) static ROUNDED: Kernel = Kernel {
    isa: Isa::Avx512,
    mode: Mode::Rounded,
    mr: MR,
    nr: NR,
    tile: tile_f32,
    pack_rows: pack::rows::<true>,
    pack_columns: pack::columns::<true>,
};

pub(super) static PAIRS: Kernel = Kernel {
    isa: Isa::Avx512Bf16,
    mode: Mode::Pairs,
    mr: MR,
    nr: NR,
    tile: tile_pairs,
    pack_rows: pack::rows_pairs,
    pack_columns: pack::columns_pairs,
};

/// Defines the tile of one kind of numbers and the function that chooses its height and width.
macro_rules! kernel {
    ($choose:ident, $tile:ident, $features:literal, $add:expr) => {
        unsafe fn $choose(height: usize, lanes: usize, t: &Tile<'_>) {
            type Table = [unsafe fn(&Tile<'_>); MR];
            #[rustfmt::skip]
            static WHOLE: Table = [
                $tile::<1, 2>, $tile::<2, 2>, $tile::<3, 2>, $tile::<4, 2>, $tile::<5, 2>, $tile::<6, 2>, $tile::<7, 2>,
                $tile::<8, 2>, $tile::<9, 2>, $tile::<10, 2>, $tile::<11, 2>, $tile::<12, 2>, $tile::<13, 2>, $tile::<14, 2>,
            ];
            #[rustfmt::skip]
            static HALF: Table = [
                $tile::<1, 1>, $tile::<2, 1>, $tile::<3, 1>, $tile::<4, 1>, $tile::<5, 1>, $tile::<6, 1>, $tile::<7, 1>,
                $tile::<8, 1>, $tile::<9, 1>, $tile::<10, 1>, $tile::<11, 1>, $tile::<12, 1>, $tile::<13, 1>, $tile::<14, 1>,
            ];
            let table = if lanes == NR { &WHOLE } else { &HALF };
            // SAFETY: passed on; this kernel is only chosen on a machine that has the instructions.
            unsafe { table[height - 1](t) }
        }

        #[target_feature(enable = $features)]
        unsafe fn $tile<const H: usize, const W: usize>(t: &Tile<'_>) {
            // SAFETY: the caller's strips, panels and tile have the sizes that `Tile` says.
            unsafe {
                let mut acc = [[_mm512_setzero_ps(); W]; H];
                if !t.first {
                    for i in 0..H {
                        for j in 0..W {
                            acc[i][j] = _mm512_loadu_ps(t.partial.add((i * W + j) * 16));
                        }
                    }
                }
                let mut b = t.b.cast::<f32>();
                for &(strip, units) in t.a {
                    let mut a = strip.cast::<f32>();
                    for _ in 0..units {
                        let mut column = [_mm512_setzero_ps(); W];
                        for j in 0..W {
                            column[j] = _mm512_loadu_ps(b.add(16 * j));
                        }
                        for i in 0..H {
                            let x = _mm512_set1_ps(*a.add(i));
                            for j in 0..W {
                                acc[i][j] = $add(acc[i][j], x, column[j]);
                            }
                        }
                        a = a.wrapping_add(t.a_step);
                        b = b.wrapping_add(t.b_step);
                    }
                }
                // Written out here, not in a function: passed on, the sums would leave their registers.
                if !t.last {
                    for i in 0..H {
                        for j in 0..W {
                            _mm512_storeu_ps(t.partial.add((i * W + j) * 16), acc[i][j]);
                        }
                    }
                    return;
                }
                let mut masks = [0u16; W];
                for j in 0..W {
                    masks[j] = mask(t.cols.saturating_sub(16 * j));
                }
                let (alpha, beta) = (_mm512_set1_ps(t.alpha), _mm512_set1_ps(t.beta));
                for i in 0..H {
                    for j in 0..W {
                        let at = t.c.wrapping_add(i * t.c_stride + 16 * j);
                        let mut v = _mm512_mul_ps(alpha, acc[i][j]);
                        if t.beta != 0.0 {
                            v = _mm512_fmadd_ps(beta, _mm512_maskz_loadu_ps(masks[j], at), v);
                        }
                        _mm512_mask_storeu_ps(at, masks[j], v);
                    }
                }
            }
        }
    };
}

kernel!(tile_f32, rows_f32, "avx512f", |sum, x, y| _mm512_fmadd_ps(x, y, sum));
kernel!(tile_pairs, rows_pairs, "avx512f,avx512bf16", |sum, x, y| _mm512_dpbf16_ps(
    sum,
    std::mem::transmute::<__m512, __m512bh>(x),
    std::mem::transmute::<__m512, __m512bh>(y)
));

/// The first `n` of 16 lanes.
#[inline(always)]
pub(super) fn mask(n: usize) -> u16 {
    if n >= 16 { u16::MAX } else { (1 << n) - 1 }
}
