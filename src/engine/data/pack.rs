//! Which samples share a micro-batch.
//!
//! ```
//! use lora_studio::engine::config::DataConfig;
//! use lora_studio::engine::data::{Sample, plan_epoch};
//!
//! let sample = |n: usize| Sample { tokens: vec![0; n], trained: vec![true; n], row: 0 };
//! let samples = [sample(300), sample(200), sample(500), sample(12)];
//! let data = DataConfig { max_seq_len: 512, packing: true, shuffle: false, ..DataConfig::default() };
//! assert_eq!(plan_epoch(&samples, 1, &data, 0, 0), [vec![0, 1], vec![2, 3]]);
//! ```

use std::collections::BTreeSet;

use super::Sample;
use super::random::Random;
use crate::engine::config::DataConfig;

/// The micro-batches of an epoch: indices into `samples`. Depends on its arguments alone, so that a run that continues
/// finds its place again.
///
/// With packing a micro-batch is `batch_size` bins of at most `max_seq_len` tokens; a sample sees only itself in a bin.
/// Without packing it is `batch_size` samples. Only the last micro-batch can be smaller.
///
/// With `shuffle` the order is drawn anew in every epoch, and with packing also who shares a bin with whom. Without it,
/// samples come in the order of the file; with packing a bin comes in the place of its first sample, and the samples
/// in a bin are in the order of the file.
pub fn plan_epoch(
    samples: &[Sample],
    batch_size: usize,
    data: &DataConfig,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = samples.iter().map(|s| s.tokens.len()).collect();
    plan_lengths(&lengths, batch_size, data, seed, epoch)
}

/// [`plan_epoch`] of samples of which only the lengths are known.
pub fn plan_lengths(
    lengths: &[usize],
    batch_size: usize,
    data: &DataConfig,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed, "order of an epoch", epoch as u64);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if data.shuffle {
        random.shuffle(&mut order);
    }
    let batch_size = batch_size.max(1);
    if !data.packing {
        return order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    }
    let lengths: Vec<usize> = order.iter().map(|i| lengths[*i]).collect();
    let mut bins = best_fit_decreasing(&lengths, data.max_seq_len);
    for bin in &mut bins {
        bin.iter_mut().for_each(|item| *item = order[*item]);
        bin.sort_unstable();
    }
    bins.sort_unstable_by_key(|bin| bin[0]);
    if data.shuffle {
        random.shuffle(&mut bins);
        bins.iter_mut().for_each(|bin| random.shuffle(bin));
    }
    bins.chunks(batch_size).map(<[Vec<usize>]>::concat).collect()
}

/// Packs items into bins: the longest first (ties in the order given), each into the fullest bin that it fits.
/// O(n log n). At most 11/9 of the optimum + 4 bins (Johnson 1974). An item longer than the capacity gets its own bin.
fn best_fit_decreasing(lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(lengths[*i]));
    let mut bins: Vec<Vec<usize>> = Vec::new();
    // (room left, bin): the first entry from (length, 0) on is the fullest bin with enough room.
    let mut open: BTreeSet<(usize, usize)> = BTreeSet::new();
    for item in order {
        let length = lengths[item];
        match open.range((length, 0)..).next().copied() {
            Some((room, bin)) => {
                open.remove(&(room, bin));
                bins[bin].push(item);
                open.insert((room - length, bin));
            }
            None => {
                open.insert((capacity.saturating_sub(length), bins.len()));
                bins.push(vec![item]);
            }
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(lengths: &[usize]) -> Vec<Sample> {
        let sample = |(row, n): (usize, &usize)| Sample { tokens: vec![0; *n], trained: vec![true; *n], row };
        lengths.iter().enumerate().map(sample).collect()
    }

    fn settings(packing: bool, shuffle: bool, max_seq_len: usize) -> DataConfig {
        DataConfig { packing, shuffle, max_seq_len, ..DataConfig::default() }
    }

    fn lengths(n: usize) -> Vec<usize> {
        let mut random = Random::new(7, "lengths", 0);
        (0..n).map(|_| 1 + random.below(100)).collect()
    }

    #[test]
    fn best_fit_fills_the_fullest_bin() {
        // By hand, capacity 10: 7; 6; 4 fits only beside 6; 3 beside 7; 2 and 2 open a bin.
        let bins = best_fit_decreasing(&[2, 7, 3, 6, 2, 4], 10);
        assert_eq!(bins, [vec![1, 2], vec![3, 5], vec![0, 4]]);
        assert_eq!(best_fit_decreasing(&[12, 1], 10), [vec![0], vec![1]]);
        assert!(best_fit_decreasing(&[], 10).is_empty());
    }

    #[test]
    fn best_fit_equals_the_quadratic_definition() {
        let lengths = lengths(700);
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(lengths[*i]));
        let mut bins: Vec<(usize, Vec<usize>)> = Vec::new();
        for item in order {
            let fitting = bins.iter_mut().filter(|(used, _)| used + lengths[item] <= 128);
            // Of the fullest ones the first: `max_by_key` would give the last.
            match fitting.rev().max_by_key(|(used, _)| *used) {
                Some((used, bin)) => {
                    *used += lengths[item];
                    bin.push(item);
                }
                None => bins.push((lengths[item], vec![item])),
            }
        }
        let expected: Vec<Vec<usize>> = bins.into_iter().map(|(_, bin)| bin).collect();
        assert_eq!(best_fit_decreasing(&lengths, 128), expected);
    }

    #[test]
    fn packing_is_dense_and_complete() {
        let samples = samples(&lengths(2000));
        let total: usize = samples.iter().map(|s| s.tokens.len()).sum();
        for shuffle in [false, true] {
            let plan = plan_epoch(&samples, 1, &settings(true, shuffle, 512), 3, 0);
            let mut seen: Vec<usize> = plan.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..samples.len()).collect::<Vec<_>>());
            assert!(plan.iter().all(|b| b.iter().map(|i| samples[*i].tokens.len()).sum::<usize>() <= 512));
            // With lengths of 1 to 100 nothing but the last bin needs to have room.
            assert_eq!(plan.len(), total.div_ceil(512));
        }
    }

    #[test]
    fn without_shuffle_the_order_is_that_of_the_file() {
        let samples = samples(&lengths(50));
        let plan = plan_epoch(&samples, 4, &settings(false, false, 512), 9, 2);
        assert_eq!(plan.concat(), (0..50).collect::<Vec<_>>());
        assert_eq!(plan.iter().map(Vec::len).collect::<Vec<_>>(), [vec![4; 12], vec![2]].concat());
        let packed = plan_epoch(&samples, 1, &settings(true, false, 128), 9, 2);
        assert!(packed.iter().all(|bin| bin.is_sorted()));
        assert!(packed.iter().map(|bin| bin[0]).is_sorted());
        assert_eq!(packed, plan_epoch(&samples, 1, &settings(true, false, 128), 1, 5));
    }

    #[test]
    fn shuffling_depends_on_seed_and_epoch_alone() {
        let samples = samples(&lengths(100));
        for packing in [false, true] {
            let plan = |seed, epoch| plan_epoch(&samples, 2, &settings(packing, true, 128), seed, epoch);
            assert_eq!(plan(5, 1), plan(5, 1));
            assert_ne!(plan(5, 1), plan(5, 2));
            assert_ne!(plan(5, 1), plan(6, 1));
            let mut seen = plan(5, 1).concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_plan_is_the_same_on_every_machine() {
        // From tests/reference/plan.py: a run that continues elsewhere or later must find the same order.
        let samples = samples(&[30, 60, 90, 20, 70, 10, 40, 50]);
        let plan =
            |batch_size, packing, epoch| plan_epoch(&samples, batch_size, &settings(packing, true, 100), 42, epoch);
        assert_eq!(plan(3, false, 0), [vec![0, 2, 6], vec![4, 3, 5], vec![1, 7]]);
        assert_eq!(plan(2, true, 0), [[0, 4, 5, 2], [7, 3, 1, 6]]);
        assert_eq!(plan(2, true, 1), [[7, 3, 1, 6], [2, 5, 0, 4]]);
    }
}
