//! Dot products of a few rows of bfloat16 pairs with rows of a weight as they lie in memory.

use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;

use super::avx512::mask;
use super::avx512_scales;
use super::avx512_weights::{nibbles, scaled_pairs};
use crate::engine::ops::Mat;
use crate::engine::quant::{Dense, FrozenMatrix, Nf4Matrix, Storage};

/// Rows of a right operand that are read where they are.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// Numbers of 32 bits, rounded on the way.
    F32(Mat<'a>),
    /// bfloat16.
    Bf16(Mat<'a, bf16>),
    /// A 4-bit matrix.
    Nf4(&'a Nf4Matrix),
}

/// Rows that are read side by side: what is read of x serves all of them, and their sums do not wait for each other.
const GROUP: usize = 4;

/// Bytes ahead of what is read that are asked for. The hardware's own prefetching begins anew with every page, which takes
/// as long as reading the page.
const AHEAD: usize = 6 << 10;

impl<'a> Rows<'a> {
    /// The rows of a weight, if they can be read as they are.
    pub fn of(w: &'a FrozenMatrix) -> Option<Rows<'a>> {
        match &w.data {
            Storage::Dense(Dense::F32(v)) => Some(Rows::F32(Mat::new(v, w.out_features, w.in_features))),
            Storage::Dense(Dense::Bf16(v)) => Some(Rows::Bf16(Mat::new(v, w.out_features, w.in_features))),
            Storage::Nf4(m) if m.in_features().is_multiple_of(64) && m.block() == 64 => Some(Rows::Nf4(m)),
            _ => None,
        }
    }

    fn shape(&self) -> (usize, usize) {
        match self {
            Rows::F32(m) => (m.rows, m.cols),
            Rows::Bf16(m) => (m.rows, m.cols),
            Rows::Nf4(m) => (m.out_features(), m.in_features()),
        }
    }

    /// Floats of scratch that [`dots`] takes.
    pub fn scratch(&self) -> usize {
        match self {
            Rows::Nf4(m) => (GROUP * m.in_features() / 64).next_multiple_of(16),
            _ => 0,
        }
    }
}

/// Lanes of a packed row of `k` numbers.
pub(crate) fn lanes(k: usize) -> usize {
    k.div_ceil(32) * 16
}

/// Rounds a row of x to pairs, padded with zeros to whole vectors: [`lanes`] of them.
///
/// # Safety
/// The machine has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn pack(x: &[f32], out: &mut [u32]) {
    assert!(out.len() >= lanes(x.len()));
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
    // SAFETY: masks keep loads inside the `n` numbers.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(n), src);
        let high = _mm512_maskz_loadu_ps(mask(n.saturating_sub(16)), src.wrapping_add(16));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// `out[i·stride + j] = Σ x_i·row(first + j)` for the `m` packed rows of x, one to four, and the rows of `range`.
///
/// # Safety
/// The machine has AVX-512 BF16.
pub(crate) unsafe fn dots(
    m: usize,
    x: &[u32],
    rows: Rows,
    range: Range<usize>,
    scratch: &mut [f32],
    out: &mut [f32],
    stride: usize,
) {
    let (count, k) = rows.shape();
    assert!((1..=4).contains(&m) && x.len() >= m * lanes(k), "dots: rows of x");
    assert!(range.end <= count && range.len() <= stride && out.len() >= (m - 1) * stride + range.len(), "dots: rows");
    assert!(scratch.len() >= rows.scratch(), "dots: scratch");
    // SAFETY: the sizes are as checked.
    unsafe {
        match m {
            1 => dots_of::<1>(x, rows, range, scratch, out, stride),
            2 => dots_of::<2>(x, rows, range, scratch, out, stride),
            3 => dots_of::<3>(x, rows, range, scratch, out, stride),
            _ => dots_of::<4>(x, rows, range, scratch, out, stride),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn dots_of<const M: usize>(
    x: &[u32],
    rows: Rows,
    range: Range<usize>,
    scratch: &mut [f32],
    out: &mut [f32],
    stride: usize,
) {
    let whole = range.start + range.len() / GROUP * GROUP;
    let past_caches = past_caches();
    if let Rows::Nf4(m) = rows {
        // They lie apart from the numbers, a line for every 64 blocks.
        let blocks = m.in_features() / 64;
        avx512_scales::ask_for(m.absmax(), range.start * blocks..range.end * blocks);
    }
    // SAFETY: passed on.
    unsafe {
        for first in (range.start..whole).step_by(GROUP) {
            let sums = group::<M, GROUP>(x, rows, first, scratch, past_caches);
            for (i, sums) in sums.iter().enumerate() {
                let to = out.as_mut_ptr().add(i * stride + first - range.start);
                _mm_storeu_ps(to, add_up(*sums));
            }
        }
        for row in whole..range.end {
            let sums = group::<M, 1>(x, rows, row, scratch, past_caches);
            for (i, [sum]) in sums.into_iter().enumerate() {
                out[i * stride + row - range.start] = _mm512_reduce_add_ps(sum);
            }
        }
    }
}

/// Four sums over the lanes of four vectors.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_up([a, b, c, d]: [__m512; 4]) -> __m128 {
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    // Lanes 0 to 3 of each quarter belong to a, b, c, d.
    let all = _mm512_add_ps(_mm512_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd));
    let half = _mm512_add_ps(all, _mm512_shuffle_f32x4::<0b01_00_11_10>(all, all));
    let quarter = _mm512_add_ps(half, _mm512_shuffle_f32x4::<0b00_00_00_01>(half, half));
    _mm512_castps512_ps128(quarter)
}

/// The products of x with rows `first..first + R`, not yet summed over the lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn group<const M: usize, const R: usize>(
    x: &[u32],
    rows: Rows,
    first: usize,
    scratch: &mut [f32],
    past_caches: bool,
) -> [[__m512; R]; M] {
    // SAFETY: rows and parts lie in the operand; masks keep the last part inside.
    unsafe {
        match rows {
            Rows::F32(m) => {
                let row = |r: usize| m.data.as_ptr().add((first + r) * m.stride);
                let part = |r: usize, at: usize| rounded(row(r).add(at), 32);
                let last = |r: usize, at: usize| rounded(row(r).add(at), m.cols - at);
                let two = |p: usize| [each::<R>(|r| part(r, 64 * p)), each::<R>(|r| part(r, 64 * p + 32))];
                sums::<M, R>(x, m.cols, two, |at| {
                    each::<R>(|r| if m.cols - at >= 32 { part(r, at) } else { last(r, at) })
                })
            }
            Rows::Bf16(m) => {
                let row = |r: usize| m.data.as_ptr().cast::<u16>().add((first + r) * m.stride);
                let part = |r: usize, at: usize| _mm512_loadu_si512(row(r).add(at).cast());
                let ahead = row(0).cast::<i8>().wrapping_add(AHEAD);
                let two = |p: usize| {
                    prefetch(ahead, R * 128, p, past_caches);
                    [each::<R>(|r| part(r, 64 * p)), each::<R>(|r| part(r, 64 * p + 32))]
                };
                sums::<M, R>(x, m.cols, two, |at| {
                    let words = if m.cols - at >= 32 { u32::MAX } else { (1u32 << (m.cols - at)) - 1 };
                    each::<R>(|r| _mm512_maskz_loadu_epi16(words, row(r).add(at).cast()))
                })
            }
            Rows::Nf4(m) => {
                let blocks = m.in_features() / 64;
                let scales = scratch;
                avx512_scales::fill(m.absmax(), first * blocks, R * blocks, scales);
                let (scales, levels) = (scales.as_ptr(), _mm512_loadu_ps(m.levels().as_ptr()));
                let codes = m.codes().as_ptr().add(first * blocks * 32);
                // Not `map` of an array: that is compiled for any machine, and calls what it is given.
                let ahead = codes.cast::<i8>().wrapping_add(AHEAD);
                let block = |p: usize| {
                    prefetch(ahead, R * 32, p, past_caches);
                    let tables = each::<R>(|r| scaled_pairs(levels, *scales.add(r * blocks + p)));
                    let codes = |r: usize| codes.add((r * blocks + p) * 32);
                    [
                        each::<R>(|r| _mm512_permutexvar_epi16(nibbles(codes(r)), tables[r])),
                        each::<R>(|r| _mm512_permutexvar_epi16(nibbles(codes(r).add(16)), tables[r])),
                    ]
                };
                sums::<M, R>(x, m.in_features(), block, |_| unreachable!("whole blocks"))
            }
        }
    }
}

/// Asks for part `p` of parts of so many bytes, which are not needed again before the next token.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(first: *const i8, bytes: usize, p: usize, past_caches: bool) {
    for line in (0..bytes).step_by(64) {
        let line = first.wrapping_add(p * bytes + line);
        if past_caches {
            _mm_prefetch::<_MM_HINT_NTA>(line);
        } else {
            _mm_prefetch::<_MM_HINT_T0>(line);
        }
    }
}

/// Whether weights are read faster when they are asked for past the outer caches: a seventh on AMD's Zen 5; on Intel's Sapphire
/// Rapids it takes a tenth longer (docs/performance.md).
fn past_caches() -> bool {
    static AMD: OnceLock<bool> = OnceLock::new();
    *AMD.get_or_init(|| {
        let vendor = __cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    })
}

/// `f(0)`, `f(1)`, …
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn each<const R: usize>(mut f: impl FnMut(usize) -> __m512i) -> [__m512i; R] {
    let mut all = [_mm512_setzero_si512(); R];
    for (r, v) in all.iter_mut().enumerate() {
        *v = f(r);
    }
    all
}

/// Products of x with R rows of `k` numbers: `two` gives the rows' numbers `64·p..` in two vectors each, `one` those from a
/// position on, up to 32.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn sums<const M: usize, const R: usize>(
    x: &[u32],
    k: usize,
    mut two: impl FnMut(usize) -> [[__m512i; R]; 2],
    mut one: impl FnMut(usize) -> [__m512i; R],
) -> [[__m512; R]; M] {
    let stride = lanes(k);
    let x = x.as_ptr();
    let mut acc = [[_mm512_setzero_ps(); R]; M];
    let add = |acc: &mut [[__m512; R]; M], part: usize, v: [__m512i; R]| {
        for i in 0..M {
            // SAFETY: x holds M rows of whole parts.
            let x = unsafe { _mm512_loadu_si512(x.add(i * stride + 16 * part).cast()) };
            for r in 0..R {
                // SAFETY: all are 512 bits.
                let (x, v) = unsafe { std::mem::transmute::<(__m512i, __m512i), (__m512bh, __m512bh)>((x, v[r])) };
                acc[i][r] = _mm512_dpbf16_ps(acc[i][r], x, v);
            }
        }
    };
    for p in 0..k / 64 {
        let [even, odd] = two(p);
        add(&mut acc, 2 * p, even);
        add(&mut acc, 2 * p + 1, odd);
    }
    for at in (k / 64 * 64..k).step_by(32) {
        add(&mut acc, at / 32, one(at));
    }
    acc
}

/// `out[i·stride + 16·t + l] += Σ_p h_i[p]·tile_t[p][l]`, pairs of bfloat16 of both: `h [m, pairs]`, `tiles [tile, pairs, 16]`.
///
/// # Safety
/// The machine has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn add_tiles(m: usize, h: &[u32], pairs: usize, tiles: &[u32], out: &mut [f32], stride: usize) {
    let count = tiles.len() / (16 * pairs);
    assert!(h.len() >= m * pairs && (m == 0 || out.len() >= (m - 1) * stride + 16 * count), "add_tiles: sizes");
    for (t, tile) in tiles.chunks_exact(16 * pairs).enumerate() {
        for i in 0..m {
            let h = &h[i * pairs..(i + 1) * pairs];
            // SAFETY: sixteen lanes of the tile for each pair, sixteen numbers of `out`.
            unsafe {
                let to = out.as_mut_ptr().add(i * stride + 16 * t);
                let mut sums = [_mm512_loadu_ps(to), _mm512_setzero_ps()];
                for (p, h) in h.iter().enumerate() {
                    let b = _mm512_loadu_si512(tile.as_ptr().add(16 * p).cast());
                    let h = _mm512_set1_epi32(*h as i32);
                    let (h, b) = std::mem::transmute::<(__m512i, __m512i), (__m512bh, __m512bh)>((h, b));
                    sums[p % 2] = _mm512_dpbf16_ps(sums[p % 2], h, b);
                }
                _mm512_storeu_ps(to, _mm512_add_ps(sums[0], sums[1]));
            }
        }
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
