//! A and B of one adapted linear, laid out for products of a few rows: A's rows as they are, B in tiles of outputs, so that
//! neither product adds up along a vector of rank r. In bfloat16 where products take that, half of what an adapter takes.

use std::ops::Range;

use half::bf16;

use super::operand::Right;
use super::scratch::Scratch;
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::cpu::avx512_gemv;
use crate::engine::ops::cpu::{Kernel, Mode, round_bf16};
use crate::engine::ops::simd::{fma, multiversion};
use crate::engine::ops::{Mat, linear};
use crate::engine::quant::{Dense, FrozenMatrix, Storage};

/// Outputs of a tile of B.
pub(super) const TILE: usize = 16;

/// The adapter of one linear.
#[derive(Clone, Debug)]
pub(crate) struct ThroughRank {
    rank: usize,
    scale: f32,
    /// `[r, in]`.
    a: FrozenMatrix,
    /// `[tiles, r, 16]`, or pairs along r in bfloat16, `[tiles, ⌈r/2⌉, 16]`. Outputs that do not exist are zeros.
    b: Vec<u32>,
}

/// s·A·x of some rows, in what B's tiles are multiplied with: `[rows, lanes]`.
pub(super) struct Projected {
    data: Scratch,
    rows: usize,
    lanes: usize,
}

// SAFETY: tasks write disjoint parts, and read when all are written.
unsafe impl Sync for Projected {}

impl ThroughRank {
    /// Lays out s, A `[r, in]` and B `[out, r]` for `kernel`.
    pub fn new(kernel: &Kernel, scale: f32, a: Mat, b: Mat) -> ThroughRank {
        let (rank, out, pairs) = (a.rows, b.rows, kernel.mode == Mode::Pairs);
        assert_eq!(rank, b.cols, "A and B of different ranks");
        let numbers = |r: usize| a.row(r).iter().copied();
        let a = if pairs {
            let numbers = (0..rank).flat_map(|r| numbers(r).map(bf16::from_f32));
            FrozenMatrix {
                data: Storage::Dense(Dense::Bf16(numbers.collect())),
                out_features: rank,
                in_features: a.cols,
            }
        } else {
            FrozenMatrix::from_f32((0..rank).flat_map(numbers).collect(), rank, a.cols)
        };
        let at = |o: usize, r: usize| if o < out && r < rank { b.row(o)[r] } else { 0.0 };
        let lanes = lanes(kernel, rank);
        let mut tiles = Vec::with_capacity(out.div_ceil(TILE) * lanes * TILE);
        for o in (0..out).step_by(TILE) {
            for lane in 0..lanes {
                tiles.extend((o..o + TILE).map(|o| match kernel.mode {
                    Mode::Pairs => pair(at(o, 2 * lane), at(o, 2 * lane + 1)),
                    Mode::Rounded => round_bf16(at(o, lane)).to_bits(),
                    Mode::F32 => at(o, lane).to_bits(),
                }));
            }
        }
        ThroughRank { rank, scale, a, b: tiles }
    }

    /// Bytes of the layouts of adapters of so many numbers (an odd rank is filled up to an even one beside them).
    pub fn bytes_of(kernel: &Kernel, numbers: u64) -> u64 {
        numbers * if kernel.mode == Mode::Pairs { 2 } else { 4 }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// A as the right operand of x·Aᵀ.
    pub(super) fn a(&self) -> Right<'_> {
        linear::rows(&self.a)
    }

    /// Room for s·A·x of so many rows.
    pub(super) fn room(&self, kernel: &Kernel, rows: usize) -> Projected {
        let lanes = lanes(kernel, self.rank);
        let mut data = Scratch::take(rows * lanes);
        data.lanes()[..rows * lanes].fill(0);
        Projected { data, rows, lanes }
    }

    /// Keeps numbers `range` of A·x of all rows, `sums[row·stride + i]`, times s.
    ///
    /// # Safety
    /// Nobody else has these numbers of `h` meanwhile.
    pub(super) unsafe fn keep(&self, kernel: &Kernel, h: &Projected, range: Range<usize>, sums: &[f32], stride: usize) {
        assert!(range.end <= self.rank);
        for row in 0..h.rows {
            // SAFETY: the row lies in the room, which is for this rank; the numbers are the caller's alone.
            unsafe {
                let to = h.data.pointer().cast_mut().add(row * h.lanes);
                for (r, sum) in range.clone().zip(&sums[row * stride..]) {
                    let v = self.scale * sum;
                    match kernel.mode {
                        Mode::Pairs => *to.cast::<bf16>().add(r) = bf16::from_f32(v),
                        Mode::Rounded => *to.add(r) = round_bf16(v).to_bits(),
                        Mode::F32 => *to.add(r) = v.to_bits(),
                    }
                }
            }
        }
    }

    /// `sums[row·stride + j] += (B h)[columns.start + j]` for all rows of h; also in what is beyond the columns of the last
    /// tile. `columns` begin with a tile.
    ///
    /// # Safety
    /// All of h is kept, and nobody writes it.
    pub(super) unsafe fn add(
        &self,
        kernel: &Kernel,
        h: &Projected,
        columns: Range<usize>,
        sums: &mut [f32],
        stride: usize,
    ) {
        debug_assert!(columns.start.is_multiple_of(TILE));
        let tiles = columns.start / TILE..columns.end.div_ceil(TILE);
        let b = &self.b[tiles.start * h.lanes * TILE..tiles.end * h.lanes * TILE];
        #[cfg(target_arch = "x86_64")]
        if kernel.mode == Mode::Pairs {
            // SAFETY: only machines with bfloat16 products have kernels of pairs.
            return unsafe { avx512_gemv::add_tiles(h.rows, h.data.shared_lanes(), h.lanes, b, sums, stride) };
        }
        let _ = kernel;
        for (row, sums) in sums.chunks_mut(stride).take(h.rows).enumerate() {
            let h = &h.data.shared_floats()[row * h.lanes..(row + 1) * h.lanes];
            add_tiles(h, bytemuck::cast_slice(b), sums);
        }
    }
}

/// Lanes of a row of h.
fn lanes(kernel: &Kernel, rank: usize) -> usize {
    kernel.units(rank)
}

/// Two numbers as a lane of pairs.
fn pair(even: f32, odd: f32) -> u32 {
    u32::from(bf16::from_f32(even).to_bits()) | u32::from(bf16::from_f32(odd).to_bits()) << 16
}

multiversion! {
    /// `out[16·t + l] += Σ_r h[r]·tiles[t][r][l]`.
    fn add_tiles(h: &[f32], tiles: &[f32], out: &mut [f32]) {
        for (tile, out) in tiles.chunks_exact(TILE * h.len()).zip(out.chunks_exact_mut(TILE)) {
            let mut sums = [0f32; TILE];
            for r in 0..h.len() {
                let b = &tile[TILE * r..TILE * r + TILE];
                for l in 0..TILE {
                    sums[l] = fma::<FMA>(h[r], b[l], sums[l]);
                }
            }
            for l in 0..TILE {
                out[l] += sums[l];
            }
        }
    }
}
