//! The head and the cross-entropy together, over chunks of rows, so that the full logits never exist.
//!
//! For one row: logits z = h·Wᵀ (through cap·tanh(z / cap) when there is a final soft cap), nll = logsumexp(z) − z\[target\].
//! The gradient: dz = (softmax(z) − onehot(target))·scale, times 1 − tanh² for the cap, dh = dz·W. The head is frozen.

use smallvec::smallvec;

use super::cpu::Kernel;
use super::gemm::scratch::Kept;
use super::gemm::{self, SumTakes};
use super::math::{exp, exp_sum_body, max_body, sum_lanes, tanh};
use super::rows::for_each_row;
use super::scratch;
use super::simd::multiversion;
use super::{Compute, Mat, MatMut, linear};
use crate::engine::quant::FrozenMatrix;

/// Bytes of logits that exist at a time: enough rows for an efficient product, few enough not to matter in a plan.
const CHUNK_BYTES: usize = 56 << 20;

/// Rows of a chunk, of up to `most`: so many as are wanted, or for 0 as many as 56 MiB hold.
pub fn chunk_rows(vocab: usize, wanted: usize, most: usize) -> usize {
    let hold = CHUNK_BYTES / (vocab.max(1) * size_of::<f32>());
    let usual = if hold >= 16 { hold / 16 * 16 } else { hold.max(1) };
    let rows = if wanted > 0 { wanted } else { usual };
    rows.min(most.max(1))
}

/// The scratch that [`forward`], or with `backward` [`forward_backward`], takes for up to `rows` rows in chunks of `chunk`,
/// for the memory plan. `block` numbers along a row of the head are decoded together.
pub(crate) fn takes(
    kernel: &Kernel,
    (rows, chunk): (usize, usize),
    (hidden, vocab): (usize, usize),
    block: usize,
    backward: bool,
    kept: &mut Kept,
    threads: usize,
) {
    let rows = rows.min(chunk);
    if rows == 0 {
        return;
    }
    kept.hold(&[chunk * vocab], |kept| {
        let forward = SumTakes { cols: vocab, depths: smallvec![hidden], block: 1 };
        gemm::product_takes(kernel, rows, forward, kept, threads);
        if backward {
            let backward = SumTakes { cols: hidden, depths: smallvec![vocab], block };
            gemm::product_takes(kernel, rows, backward, kept, threads);
        }
    });
}

/// The negative log-likelihood of each target, and the gradient of `scale · Σ nll` in the hidden states, written.
///
/// `hidden` is `[supervised, hidden]`, after the final norm; `head` is `[vocab, hidden]`. The logits of `chunk` rows exist at a
/// time; from ten on, how many changes no bit (fewer than five rows are summed in another order).
pub fn forward_backward(
    hidden: Mat,
    head: &FrozenMatrix,
    targets: &[u32],
    final_softcap: Option<f32>,
    scale: f32,
    dhidden: MatMut,
    nll: &mut [f32],
    chunk: usize,
    compute: Compute,
) {
    assert_eq!((hidden.rows, hidden.cols), (dhidden.rows, dhidden.cols), "cross_entropy: shape of the gradient");
    let (cols, stride) = (dhidden.cols, dhidden.stride);
    let dhidden = dhidden.data;
    let cap = final_softcap.unwrap_or(0.0);
    chunks(hidden, head, targets, nll, chunk, compute, |first, mut logits, targets, nll| {
        let rows = logits.rows;
        let results = SharedNll(nll.as_mut_ptr());
        for_each_row(logits.reborrow(), |r, z| {
            let value = nll_gradient(z, targets[r] as usize, cap, scale);
            // SAFETY: `nll` has a place for every row of the chunk, and each row is visited once.
            unsafe { results.set(r, value) };
        });
        let dhidden = MatMut::strided(&mut dhidden[first * stride..], rows, cols, stride);
        linear::backward(logits.as_ref(), head, dhidden, 0.0, compute);
    });
}

/// The negative log-likelihood of each target, without a gradient.
pub fn forward(
    hidden: Mat,
    head: &FrozenMatrix,
    targets: &[u32],
    final_softcap: Option<f32>,
    nll: &mut [f32],
    chunk: usize,
    compute: Compute,
) {
    let cap = final_softcap.unwrap_or(0.0);
    chunks(hidden, head, targets, nll, chunk, compute, |_, logits, targets, nll| {
        let results = SharedNll(nll.as_mut_ptr());
        for_each_row(logits, |r, z| {
            let value = nll_only(z, targets[r] as usize, cap);
            // SAFETY: `nll` has a place for every row of the chunk, and each row is visited once.
            unsafe { results.set(r, value) };
        });
    });
}

/// logits ← the head's output, through the soft cap: what generation samples from. `[rows, vocab]`.
pub fn logits(hidden: Mat, head: &FrozenMatrix, final_softcap: Option<f32>, mut logits: MatMut, compute: Compute) {
    linear::forward(hidden, head, logits.reborrow(), 0.0, compute);
    if let Some(cap) = final_softcap {
        for_each_row(logits, |_, z| softcap_row(z, cap));
    }
}

/// Calls `f(first row, logits, targets, nll)` for each chunk of rows.
fn chunks(
    hidden: Mat,
    head: &FrozenMatrix,
    targets: &[u32],
    nll: &mut [f32],
    chunk: usize,
    compute: Compute,
    mut f: impl FnMut(usize, MatMut, &[u32], &mut [f32]),
) {
    let vocab = head.out_features;
    assert_eq!((targets.len(), nll.len()), (hidden.rows, hidden.rows), "cross_entropy: one target a row");
    assert!(targets.iter().all(|t| (*t as usize) < vocab), "cross_entropy: a target beyond the vocabulary of {vocab}");
    assert!(chunk > 0, "cross_entropy: chunks of no row");
    if hidden.rows == 0 {
        return;
    }
    // The whole chunk, also for few rows: then no later call has to allocate.
    scratch::with(chunk * vocab, |buffer| {
        // As many chunks as it takes, of equal size: a rest of few rows would be summed in another order, and as slowly.
        let count = hidden.rows.div_ceil(chunk);
        for i in 0..count {
            let range = hidden.rows * i / count..hidden.rows * (i + 1) / count;
            let (first, rows) = (range.start, range.len());
            let mut logits = MatMut::new(buffer, rows, vocab);
            linear::forward(hidden.rows_range(first, rows), head, logits.reborrow(), 0.0, compute);
            f(first, logits, &targets[range.clone()], &mut nll[range]);
        }
    });
}

/// A place for the result of every row, written by whichever thread has the row.
struct SharedNll(*mut f32);

// SAFETY: every row is written by one thread, once.
unsafe impl Sync for SharedNll {}

impl SharedNll {
    /// # Safety
    /// `row` must lie inside, and no other thread may write it.
    unsafe fn set(&self, row: usize, value: f32) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.add(row) = value }
    }
}

/// Elements whose exponentials are summed in `f32` before the sum goes on in `f64`.
const SUM_BLOCK: usize = 2048;

/// log Σ exp as (max, Σ exp(z − max)); z becomes exp(z − max).
#[inline(always)]
fn exponentials<const FMA: bool>(z: &mut [f32]) -> (f32, f64) {
    let max = max_body(z);
    let mut sum = 0.0;
    for z in z.chunks_mut(SUM_BLOCK) {
        sum += f64::from(exp_sum_body::<FMA>(z, max));
    }
    (max, sum)
}

/// [`exponentials`] that leaves z as it is.
#[inline(always)]
fn sum_of_exponentials<const FMA: bool>(z: &[f32]) -> (f32, f64) {
    let max = max_body(z);
    let mut sum = 0.0;
    for z in z.chunks(SUM_BLOCK) {
        let mut lanes = [0f32; 32];
        let (chunks, rest) = z.as_chunks::<32>();
        for c in chunks {
            for i in 0..32 {
                lanes[i] += exp::<FMA>(c[i] - max);
            }
        }
        for (lane, z) in lanes.iter_mut().zip(rest) {
            *lane += exp::<FMA>(*z - max);
        }
        sum += f64::from(sum_lanes(lanes));
    }
    (max, sum)
}

#[inline(always)]
fn cap_body<const FMA: bool>(z: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    for z in z {
        *z = cap * tanh::<FMA>(*z * inverse);
    }
}

#[inline(always)]
fn likelihood(max: f32, sum: f64, target: f32) -> f32 {
    (f64::from(max) + sum.ln() - f64::from(target)) as f32
}

multiversion! {
    fn softcap_row(z: &mut [f32], cap: f32) {
        cap_body::<FMA>(z, cap);
    }
}

multiversion! {
    fn nll_only(z: &mut [f32], target: usize, cap: f32) -> f32 {
        if cap > 0.0 {
            cap_body::<FMA>(z, cap);
        }
        let (max, sum) = sum_of_exponentials::<FMA>(z);
        likelihood(max, sum, z[target])
    }
}

multiversion! {
    /// The row's nll; z becomes the gradient in the logits, before the cap.
    fn nll_gradient(z: &mut [f32], target: usize, cap: f32, scale: f32) -> f32 {
        if cap > 0.0 {
            cap_body::<FMA>(z, cap);
            let (max, sum) = sum_of_exponentials::<FMA>(z);
            let nll = likelihood(max, sum, z[target]);
            let (factor, inverse) = ((f64::from(scale) / sum) as f32, 1.0 / cap);
            let t = z[target] * inverse;
            let at_target = (exp::<FMA>(z[target] - max) * factor - scale) * (1.0 - t * t);
            for z in z.iter_mut() {
                let t = *z * inverse;
                *z = exp::<FMA>(*z - max) * factor * (1.0 - t * t);
            }
            z[target] = at_target;
            nll
        } else {
            let at_target = z[target];
            let (max, sum) = exponentials::<FMA>(z);
            let factor = (f64::from(scale) / sum) as f32;
            for z in z.iter_mut() {
                *z *= factor;
            }
            z[target] -= scale;
            likelihood(max, sum, at_target)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{assert_close, columns, gradient, normal, with_threads};

    fn reference(hidden: &[f64], head: &[f32], vocab: usize, targets: &[u32], cap: Option<f32>) -> Vec<f64> {
        let n = hidden.len() / targets.len();
        let row = |(h, target): (&[f64], &u32)| {
            let z: Vec<f64> = (0..vocab)
                .map(|v| {
                    let z: f64 = h.iter().zip(&head[v * n..]).map(|(h, w)| h * f64::from(*w)).sum();
                    cap.map_or(z, |c| f64::from(c) * (z / f64::from(c)).tanh())
                })
                .collect();
            let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln() - z[*target as usize]
        };
        hidden.chunks(n).zip(targets).map(row).collect()
    }

    #[test]
    fn against_f64_and_finite_differences() {
        // (rows, hidden, vocabulary, columns of the buffer beyond them)
        for (rows, n, vocab, extra) in [(3, 7, 11, 2), (5, 16, 100, 0), (1, 5, 3000, 1), (4, 3, 1, 0)] {
            for cap in [None, Some(2.0)] {
                let stride = n + extra;
                let hidden = normal(rows as u64, rows * stride, 1.0);
                let head = normal(vocab as u64, vocab * n, 1.0);
                let targets: Vec<u32> = (0..rows).map(|r| (r * 7919 % vocab) as u32).collect();
                let dense = columns(&hidden, rows, stride, 0, n);
                let dense64: Vec<f64> = dense.iter().map(|x| f64::from(*x)).collect();
                let frozen = FrozenMatrix::from_f32(head.clone(), vocab, n);
                let h = Mat::strided(&hidden, rows, n, stride);
                let name = format!("{rows} × {n} × {vocab}, cap {cap:?}");

                let mut nll = vec![f32::NAN; rows];
                let mut dhidden = vec![f32::NAN; rows * stride];
                let d = MatMut::strided(&mut dhidden, rows, n, stride);
                forward_backward(h, &frozen, &targets, cap, 0.3, d, &mut nll, 2, Compute::F32);
                let mut only = vec![f32::NAN; rows];
                forward(h, &frozen, &targets, cap, &mut only, 16, Compute::F32);
                if vocab == 1 {
                    assert!(nll.iter().chain(&only).all(|x| *x == 0.0), "one token is certain");
                    continue;
                }
                let want = reference(&dense64, &head, vocab, &targets, cap);
                assert_close(&name, &nll, &want, 3e-7);
                assert_close(&name, &only, &want, 3e-7);
                let want = gradient(&dense, |x| 0.3 * reference(x, &head, vocab, &targets, cap).iter().sum::<f64>());
                assert_close(&format!("{name}: dhidden"), &columns(&dhidden, rows, stride, 0, n), &want, 2e-6);
            }
        }
    }

    #[test]
    fn chunks_hold_what_is_wanted_or_56_mebibytes() {
        assert_eq!(chunk_rows(49_152, 0, 10_000), 288);
        assert_eq!(chunk_rows(2_000_003, 0, 10_000), 7);
        assert_eq!(chunk_rows(usize::MAX / 4, 0, 9), 1);
        // Never more than there are, and one where there are none.
        assert_eq!((chunk_rows(100, 0, 511), chunk_rows(100, 64, 511), chunk_rows(100, 600, 511)), (511, 64, 511));
        assert_eq!(chunk_rows(100, 0, 0), 1);
    }

    #[test]
    fn how_many_rows_a_chunk_has_changes_at_most_the_order_of_sums() {
        let (rows, n, vocab) = (37, 40, 3001);
        let targets: Vec<u32> = (0..rows).map(|r| (r * 83 % vocab) as u32).collect();
        let (hidden, values) = (normal(1, rows * n, 1.0), normal(2, vocab * n, 1.0));
        let rounded = values.iter().map(|x| half::bf16::from_f32(*x)).collect();
        let heads = [FrozenMatrix::from_bf16(rounded, vocab, n), FrozenMatrix::from_f32(values, vocab, n)];
        for (head, compute) in heads.iter().flat_map(|h| [(h, Compute::Bf16), (h, Compute::F32)]) {
            let run = |chunk| {
                let (mut nll, mut only, mut d) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; rows * n]);
                let (h, out) = (Mat::new(&hidden, rows, n), MatMut::new(&mut d, rows, n));
                forward_backward(h, head, &targets, Some(30.0), 0.7, out, &mut nll, chunk, compute);
                forward(h, head, &targets, Some(30.0), &mut only, chunk, compute);
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                (bits(&nll), bits(&only), bits(&d))
            };
            let whole = run(rows);
            for chunk in [10, 16, 18, 32, 36, 64] {
                assert!(run(chunk) == whole, "{compute:?}, {chunk} rows");
            }
            for chunk in [1, 3, 7] {
                let (few, of) =
                    (run(chunk), |bits: &[u32]| bits.iter().map(|x| f32::from_bits(*x)).collect::<Vec<_>>());
                for (name, few, whole) in [("nll", few.0, &whole.0), ("only", few.1, &whole.1), ("d", few.2, &whole.2)]
                {
                    let exact: Vec<f64> = of(whole).into_iter().map(f64::from).collect();
                    assert_close(&format!("{name}, {chunk} rows"), &of(&few), &exact, 1e-5);
                }
            }
        }
    }

    #[test]
    fn large_logits_and_numbers_that_are_none() {
        // exp(1000) is infinite in f32 and f64; the second row's target is the likely token.
        let head = FrozenMatrix::from_f32(vec![1000.0, 0.0, -1000.0], 3, 1);
        let hidden = [1.0, 1.0, f32::NAN];
        let (mut nll, mut d) = ([0.0; 3], [0.0; 3]);
        let d_out = MatMut::new(&mut d, 3, 1);
        forward_backward(Mat::new(&hidden, 3, 1), &head, &[1, 0, 0], None, 1.0, d_out, &mut nll, 3, Compute::F32);
        assert_eq!(&nll[..2], &[1000.0, 0.0]);
        assert_eq!(&d[..2], &[1000.0, 0.0]);
        assert!(nll[2].is_nan());
    }

    #[test]
    fn threads_change_no_bit() {
        let (rows, n, vocab) = (40, 24, 5000);
        let (hidden, head) = (normal(1, rows * n, 1.0), FrozenMatrix::from_f32(normal(2, vocab * n, 1.0), vocab, n));
        let targets: Vec<u32> = (0..rows).map(|r| (r * 97) as u32).collect();
        let run = |threads| {
            with_threads(threads, || {
                let (mut nll, mut d) = (vec![0.0; rows], vec![0.0; rows * n]);
                let (h, out) = (Mat::new(&hidden, rows, n), MatMut::new(&mut d, rows, n));
                forward_backward(h, &head, &targets, None, 1.0, out, &mut nll, 16, Compute::Bf16);
                (nll.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), d.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            })
        };
        assert_eq!(run(1), run(3));
    }
}
