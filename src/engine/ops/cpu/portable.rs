//! Plain loops that the compiler turns into whatever vectors the target has at least: NEON on ARM, SSE2 on x86-64.

use super::{Isa, Kernel, Mode, Tile, round_bf16};

// Sixteen columns of six rows fill the 32 vectors of NEON; SSE2 has half of them.
const MR: usize = if cfg!(target_arch = "aarch64") { 6 } else { 4 };
const NR: usize = if cfg!(target_arch = "aarch64") { 16 } else { 8 };

pub(super) static F32: Kernel = Kernel {
    isa: Isa::Portable,
    mode: Mode::F32,
    mr: MR,
    nr: NR,
    tile,
    pack_rows: pack_rows::<false>,
    pack_columns: pack_columns::<false>,
};

pub(super) static ROUNDED: Kernel = Kernel {
    isa: Isa::Portable,
    mode: Mode::Rounded,
    mr: MR,
    nr: NR,
    tile,
    pack_rows: pack_rows::<true>,
    pack_columns: pack_columns::<true>,
};

unsafe fn tile(height: usize, lanes: usize, t: &Tile<'_>) {
    // SAFETY: passed on.
    unsafe {
        match (height, lanes == NR) {
            (1, true) => rows::<1, NR>(t),
            (2, true) => rows::<2, NR>(t),
            (3, true) => rows::<3, NR>(t),
            (4, true) => rows::<4, NR>(t),
            (5, true) => rows::<5, NR>(t),
            (_, true) => rows::<6, NR>(t),
            (1, false) => rows::<1, { NR / 2 }>(t),
            (2, false) => rows::<2, { NR / 2 }>(t),
            (3, false) => rows::<3, { NR / 2 }>(t),
            (4, false) => rows::<4, { NR / 2 }>(t),
            (5, false) => rows::<5, { NR / 2 }>(t),
            (_, false) => rows::<6, { NR / 2 }>(t),
        }
    }
}

/// `a·b + c`, fused where the target always has it: elsewhere a fused one would be a function call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
unsafe fn rows<const H: usize, const N: usize>(t: &Tile<'_>) {
    // SAFETY: the caller's strips, panels and tile have the sizes that `Tile` says.
    unsafe {
        let mut acc = [[0f32; N]; H];
        if !t.first {
            for i in 0..H {
                for j in 0..N {
                    acc[i][j] = *t.partial.add(i * N + j);
                }
            }
        }
        let mut b = t.b;
        for &(strip, units) in t.a {
            for u in 0..units {
                let (a, row) = (&*strip.add(u * t.a_step).cast::<[f32; H]>(), &*b.cast::<[f32; N]>());
                for i in 0..H {
                    for j in 0..N {
                        acc[i][j] = multiply_add(a[i], row[j], acc[i][j]);
                    }
                }
                b = b.wrapping_add(t.b_step);
            }
        }
        finish(&acc, t);
    }
}

/// Stores the sums of a tile: to C, or aside until the next range of k.
#[inline(always)]
pub(super) unsafe fn finish<const H: usize, const N: usize>(acc: &[[f32; N]; H], t: &Tile<'_>) {
    // SAFETY: as in `Tile`.
    unsafe {
        for (i, sums) in acc.iter().enumerate() {
            if !t.last {
                std::ptr::copy_nonoverlapping(sums.as_ptr(), t.partial.add(i * N), N);
                continue;
            }
            let row = t.c.add(i * t.c_stride);
            for (j, sum) in sums.iter().enumerate().take(t.cols) {
                let old = if t.beta == 0.0 { 0.0 } else { t.beta * *row.add(j) };
                *row.add(j) = t.alpha * sum + old;
            }
        }
    }
}

pub(super) unsafe fn pack_rows<const ROUND: bool>(
    src: *const f32,
    stride: usize,
    rows: usize,
    k: usize,
    out: *mut u32,
    out_stride: usize,
    lanes: usize,
) {
    // SAFETY: `rows` rows of `k` numbers can be read, `k` units of `lanes` lanes written.
    unsafe {
        for l in 0..lanes {
            for u in 0..k {
                let v = if l < rows { *src.add(l * stride + u) } else { 0.0 };
                *out.add(u * out_stride + l) = if ROUND { round_bf16(v) } else { v }.to_bits();
            }
        }
    }
}

pub(super) unsafe fn pack_columns<const ROUND: bool>(
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
        for u in 0..k {
            let (from, to) = (src.add(u * stride), out.add(u * out_stride));
            for l in 0..cols {
                let v = *from.add(l);
                *to.add(l) = if ROUND { round_bf16(v) } else { v }.to_bits();
            }
            for l in cols..lanes {
                *to.add(l) = 0;
            }
        }
    }
}
