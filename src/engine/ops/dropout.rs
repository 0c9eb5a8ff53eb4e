//! Dropout whose mask is a function of a key and a position, so that recomputing a layer draws the same mask.
//!
//! The randomness is Philox4x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the generator of cuRAND
//! and of torch on GPUs: four 32-bit numbers for every 128-bit counter. Seven rounds, the fewest that pass all of BigCrush
//! (their Table 2). The seed, step and micro-batch make the key; the counter is (column block, row, module, layer). Each
//! element takes 16 bits, so p is rounded to a multiple of 2⁻¹⁶. Nothing depends on threads or on the order of calls.

use super::rows::for_each_row;
use super::simd::multiversion;
use super::{Mat, MatMut};

/// Which mask: one for every module, layer, micro-batch and optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// Optimizer step.
    pub step: u64,
    /// Micro-batch within the step.
    pub micro: u32,
    /// Decoder layer.
    pub layer: u32,
    /// Module within the layer.
    pub module: u32,
}

impl DropoutKey {
    /// Philox's key: the seed, step and micro-batch through the finalizer of splitmix64 (Steele et al. 2014).
    fn philox_key(&self) -> [u32; 2] {
        let key = [self.seed, self.step, u64::from(self.micro)].into_iter().fold(0, |h: u64, part| mix(h ^ mix(part)));
        [key as u32, (key >> 32) as u32]
    }
}

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// y ← x ∘ mask / (1 − p), where each element is kept with probability 1 − p (p to the nearest 2⁻¹⁶).
pub fn apply(x: Mat, p: f32, key: DropoutKey, y: MatMut) {
    assert_eq!((x.rows, x.cols), (y.rows, y.cols), "dropout: shapes differ");
    let mask = Mask::new(p, key);
    for_each_row(y, |r, y| write_row(&mask, r, x.row(r), y));
}

/// dx ← dx + dy ∘ mask / (1 − p), with the mask of [`apply`] under the same key.
pub fn backward(dy: Mat, p: f32, key: DropoutKey, dx: MatMut) {
    assert_eq!((dy.rows, dy.cols), (dx.rows, dx.cols), "dropout: shapes differ");
    let mask = Mask::new(p, key);
    for_each_row(dx, |r, dx| add_row(&mask, r, dy.row(r), dx));
}

struct Mask {
    key: [u32; 2],
    module: u32,
    layer: u32,
    /// An element is kept when its 16 random bits are at least this; at most 2¹⁶.
    threshold: u32,
    scale: f32,
}

impl Mask {
    fn new(p: f32, key: DropoutKey) -> Self {
        let threshold = (f64::from(p).clamp(0.0, 1.0) * 65_536.0).round() as u32;
        // Of the rounded p, so that the expectation of y is x. When everything is dropped, any scale will do.
        let scale = (65_536.0 / (65_536.0 - f64::from(threshold)).max(1.0)) as f32;
        Self { key: key.philox_key(), module: key.module, layer: key.layer, threshold, scale }
    }
}

/// Counters that go through Philox together, one in each lane.
const LANES: usize = 16;

/// Philox4x32 on one counter.
#[inline(always)]
fn philox<const ROUNDS: usize>([mut c0, mut c1, mut c2, mut c3]: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let a = u64::from(c0) * 0xd251_1f53;
        let b = u64::from(c2) * 0xcd9e_8d57;
        (c0, c1, c2, c3) = ((b >> 32) as u32 ^ c1 ^ key[0], b as u32, (a >> 32) as u32 ^ c3 ^ key[1], a as u32);
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    [c0, c1, c2, c3]
}

/// Columns that a block of counters serves: two halves of four words of each lane.
const COLUMNS: usize = 2 * 4 * LANES;

/// The 16 random bits of each of `COLUMNS` columns of a row.
#[inline(always)]
fn block(mask: &Mask, row: usize, block: usize) -> [u32; COLUMNS] {
    let mut out = [0; COLUMNS];
    // All of one counter in one iteration: the compiler then does sixteen at a time in registers.
    for l in 0..LANES {
        let counter = [(block * LANES + l) as u32, row as u32, mask.module, mask.layer];
        let [a, b, c, d] = philox::<7>(counter, mask.key);
        out[l] = a & 0xffff;
        out[LANES + l] = b & 0xffff;
        out[2 * LANES + l] = c & 0xffff;
        out[3 * LANES + l] = d & 0xffff;
        out[4 * LANES + l] = a >> 16;
        out[5 * LANES + l] = b >> 16;
        out[6 * LANES + l] = c >> 16;
        out[7 * LANES + l] = d >> 16;
    }
    out
}

#[inline(always)]
fn row_body<const ADD: bool>(mask: &Mask, row: usize, x: &[f32], y: &mut [f32]) {
    let y = &mut y[..x.len()];
    let (x_blocks, x_rest) = x.as_chunks::<COLUMNS>();
    let (y_blocks, y_rest) = y.as_chunks_mut::<COLUMNS>();
    for (b, (x, y)) in x_blocks.iter().zip(y_blocks).enumerate() {
        part::<ADD>(mask, &block(mask, row, b), x, y);
    }
    if !x_rest.is_empty() {
        // The rest goes through a block of its own, so that there is one way to compute an element.
        let (mut x, mut y) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        x[..x_rest.len()].copy_from_slice(x_rest);
        y[..y_rest.len()].copy_from_slice(y_rest);
        part::<ADD>(mask, &block(mask, row, x_blocks.len()), &x, &mut y);
        y_rest.copy_from_slice(&y[..y_rest.len()]);
    }
}

#[inline(always)]
fn part<const ADD: bool>(mask: &Mask, random: &[u32; COLUMNS], x: &[f32; COLUMNS], y: &mut [f32; COLUMNS]) {
    for i in 0..COLUMNS {
        let kept = if random[i] >= mask.threshold { x[i] * mask.scale } else { 0.0 };
        y[i] = if ADD { y[i] + kept } else { kept };
    }
}

multiversion! {
    fn write_row(mask: &Mask, row: usize, x: &[f32], y: &mut [f32]) {
        row_body::<false>(mask, row, x, y);
    }
}

multiversion! {
    fn add_row(mask: &Mask, row: usize, x: &[f32], y: &mut [f32]) {
        row_body::<true>(mask, row, x, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{normal, with_threads};

    const KEY: DropoutKey = DropoutKey { seed: 7, step: 3, micro: 1, layer: 2, module: 5 };

    fn mask(p: f32, key: DropoutKey, rows: usize, cols: usize) -> Vec<f32> {
        let ones = vec![1.0; rows * cols];
        let mut y = vec![f32::NAN; rows * cols];
        apply(Mat::new(&ones, rows, cols), p, key, MatMut::new(&mut y, rows, cols));
        y
    }

    /// The known answers of Random123 1.14, tests/kat_vectors, philox4x32 with 10 and 7 rounds.
    #[test]
    fn philox_known_answers() {
        let run = philox::<10>;
        assert_eq!(run([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(run([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let key = [0xa409_3822, 0x299f_31d0];
        assert_eq!(run(pi, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
        assert_eq!(philox::<7>([0; 4], [0; 2]), [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48]);
    }

    #[test]
    fn keeps_the_right_share() {
        for p in [0.0, 0.05, 0.1, 0.5, 0.9] {
            let (rows, cols) = (512, 577);
            let y = mask(p, KEY, rows, cols);
            let n = (rows * cols) as f64;
            let dropped = y.iter().filter(|y| **y == 0.0).count() as f64;
            // Five standard deviations of a binomial: fails by chance once in two million.
            let bound = 5.0 * (n * f64::from(p) * (1.0 - f64::from(p))).sqrt();
            assert!((dropped - n * f64::from(p)).abs() <= bound, "{dropped} of {n} dropped at {p}");
            let kept = 1.0 / (1.0 - p);
            assert!(y.iter().all(|y| *y == 0.0 || (y / kept - 1.0).abs() < 1e-4), "kept elements are scaled");
            // Neighbours, in both directions, are independent: both dropped with p².
            for offset in [1, 16, 64, cols] {
                let both = (0..y.len() - offset).filter(|i| y[*i] == 0.0 && y[i + offset] == 0.0).count() as f64;
                let (p2, m) = (f64::from(p) * f64::from(p), n - offset as f64);
                // Overlapping pairs: the variance is at most three times the binomial's.
                assert!((both - m * p2).abs() <= 5.0 * (3.0 * m * p2).sqrt(), "offset {offset}: {both} pairs at {p}");
            }
        }
        assert!(mask(1.0, KEY, 3, 70).iter().all(|y| *y == 0.0));
    }

    #[test]
    fn every_part_of_the_key_changes_half_the_mask() {
        let base = mask(0.5, KEY, 64, 64);
        let others = [
            DropoutKey { seed: 8, ..KEY },
            DropoutKey { step: 4, ..KEY },
            DropoutKey { micro: 2, ..KEY },
            DropoutKey { layer: 3, ..KEY },
            DropoutKey { module: 6, ..KEY },
            // The same numbers in other places.
            DropoutKey { layer: KEY.module, module: KEY.layer, ..KEY },
            DropoutKey { step: u64::from(KEY.micro), micro: KEY.step as u32, ..KEY },
            DropoutKey { seed: KEY.step, step: KEY.seed, ..KEY },
        ];
        for key in others {
            let differ = base.iter().zip(mask(0.5, key, 64, 64)).filter(|(a, b)| **a != *b).count();
            assert!((differ as f64 - 2048.0).abs() < 5.0 * 32.0, "{key:?}: {differ} of 4096 differ");
        }
        assert_eq!(base, mask(0.5, KEY, 64, 64));
    }

    #[test]
    fn backward_has_the_mask_of_the_forward_and_adds() {
        let (rows, cols, stride) = (200, 131, 140);
        let dy = normal(1, rows * cols, 1.0);
        let mut dx = vec![10.0; rows * stride];
        backward(Mat::new(&dy, rows, cols), 0.3, KEY, MatMut::strided(&mut dx, rows, cols, stride));
        let m = mask(0.3, KEY, rows, cols);
        for (i, dx) in dx.iter().enumerate() {
            let (r, c) = (i / stride, i % stride);
            let want = if c < cols { 10.0 + dy[r * cols + c] * m[r * cols + c] } else { 10.0 };
            assert!((dx - want).abs() <= 2e-6, "row {r} column {c}: {dx} against {want}");
        }
        assert_eq!(with_threads(1, || mask(0.3, KEY, rows, cols)), with_threads(3, || mask(0.3, KEY, rows, cols)));
    }
}
