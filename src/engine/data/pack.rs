//! Which samples share a micro-batch.
//!
//! ```
//! use lora_studio::engine::config::DataConfig;
//! use lora_studio::engine::data::plan_epoch;
//!
//! let data = DataConfig { max_seq_len: 512, packing: true, shuffle: false, ..DataConfig::default() };
//! let plan = plan_epoch([300, 180, 500, 12], 1, &data, 0, 0);
//! assert_eq!(plan.iter().collect::<Vec<_>>(), [[0, 1], [2, 3]]);
//! ```

use super::random::Random;
use crate::engine::config::DataConfig;

/// The micro-batches of an epoch, in eight bytes a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochPlan {
    /// Indices of samples, one micro-batch after the other.
    samples: Vec<u32>,
    /// Where each micro-batch ends in `samples`.
    ends: Vec<u32>,
}

impl EpochPlan {
    /// Micro-batches.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The samples of a micro-batch.
    pub fn get(&self, batch: usize) -> &[u32] {
        let start = batch.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.samples[start as usize..self.ends[batch] as usize]
    }

    /// The samples of each micro-batch.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|batch| self.get(batch))
    }
}

/// The micro-batches of an epoch, from the lengths of the samples in tokens. Depends on its arguments alone, so that a run
/// that continues finds its place again.
///
/// With packing a micro-batch is `batch_size` bins of at most `max_seq_len` tokens; a sample sees only itself in a bin.
/// Without packing it is `batch_size` samples. Only the last micro-batch can be smaller.
///
/// With `shuffle` the order is drawn anew in every epoch, and with packing also who shares a bin with whom. Without it,
/// samples come in the order of the file; with packing a bin comes in the place of its first sample, and the samples
/// in a bin are in the order of the file.
pub fn plan_epoch(
    lengths: impl IntoIterator<Item = u32>,
    batch_size: usize,
    data: &DataConfig,
    seed: u64,
    epoch: usize,
) -> EpochPlan {
    let lengths: Vec<u32> = lengths.into_iter().collect();
    let mut random = Random::new(seed, "order of an epoch", epoch as u64);
    let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
    if data.shuffle {
        random.shuffle(&mut order);
    }
    let batch_size = batch_size.max(1);
    if !data.packing {
        let count = lengths.len();
        let ends = (0..count).step_by(batch_size).map(|start| (start + batch_size).min(count) as u32).collect();
        return EpochPlan { samples: order, ends };
    }
    let bins = Bins::of(&best_fit_decreasing(&lengths, &order, data.max_seq_len));
    let mut order: Vec<u32> = (0..bins.ends.len() as u32).collect();
    if data.shuffle {
        random.shuffle(&mut order);
    }
    let mut plan = EpochPlan { samples: Vec::with_capacity(lengths.len()), ends: Vec::new() };
    for (at, bin) in order.iter().enumerate() {
        let start = plan.samples.len();
        plan.samples.extend_from_slice(bins.get(*bin as usize));
        if data.shuffle {
            random.shuffle(&mut plan.samples[start..]);
        }
        if (at + 1) % batch_size == 0 || at + 1 == order.len() {
            plan.ends.push(plan.samples.len() as u32);
        }
    }
    plan
}

/// Samples by bin, each bin in ascending order, the bins in the order of their first samples.
type Bins = EpochPlan;

impl Bins {
    /// From the bin of each sample, numbered in any way.
    fn of(bin_of: &[u32]) -> Bins {
        const NEW: u32 = u32::MAX;
        let mut number = vec![NEW; bin_of.iter().max().map_or(0, |last| *last as usize + 1)];
        let mut ends: Vec<u32> = Vec::new();
        for bin in bin_of {
            let number = &mut number[*bin as usize];
            if *number == NEW {
                *number = ends.len() as u32;
                ends.push(0);
            }
            ends[*number as usize] += 1;
        }
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut samples = vec![0; bin_of.len()];
        for (sample, bin) in bin_of.iter().enumerate() {
            let end = &mut ends[number[*bin as usize] as usize];
            samples[*end as usize] = sample as u32;
            *end += 1;
        }
        Bins { samples, ends }
    }
}

/// The bin of each sample: the longest sample first (ties in the order given), each into the fullest bin that it fits, of
/// several the one that was filled last. A sample longer than the capacity gets its own bin.
///
/// Linear in samples and capacity: samples are sorted by counting, the bins of each remaining room are a list, and a bit set
/// finds the smallest room that is large enough. At most 11/9 of the optimum + 4 bins (Johnson 1974).
fn best_fit_decreasing(lengths: &[u32], order: &[u32], capacity: usize) -> Vec<u32> {
    const NONE: u32 = u32::MAX;
    let clipped = |sample: u32| (lengths[sample as usize] as usize).min(capacity);
    // Counting sort, stable, from the longest.
    let mut places = vec![0u32; capacity + 2];
    order.iter().for_each(|sample| places[capacity - clipped(*sample) + 1] += 1);
    (1..places.len()).for_each(|at| places[at] += places[at - 1]);
    let mut sorted = vec![0u32; order.len()];
    for &sample in order {
        let place = &mut places[capacity - clipped(sample)];
        sorted[*place as usize] = sample;
        *place += 1;
    }
    // For each room the bin that was filled last; for each bin the one before it in its list.
    let mut newest = vec![NONE; capacity + 1];
    let mut before: Vec<u32> = Vec::new();
    let mut rooms = BitSet::new(capacity + 1);
    let mut bin_of = vec![0u32; lengths.len()];
    for sample in sorted {
        let length = clipped(sample);
        let (bin, room) = match rooms.at_least(length) {
            Some(room) => {
                let bin = newest[room];
                newest[room] = before[bin as usize];
                if newest[room] == NONE {
                    rooms.remove(room);
                }
                (bin, room - length)
            }
            None => {
                before.push(NONE);
                (before.len() as u32 - 1, capacity - length)
            }
        };
        bin_of[sample as usize] = bin;
        before[bin as usize] = newest[room];
        newest[room] = bin;
        rooms.insert(room);
    }
    bin_of
}

/// Small numbers, with a second level that says which words are not empty.
struct BitSet {
    words: Vec<u64>,
    full: Vec<u64>,
}

impl BitSet {
    fn new(size: usize) -> BitSet {
        let words = size.div_ceil(64);
        BitSet { words: vec![0; words], full: vec![0; words.div_ceil(64)] }
    }

    fn insert(&mut self, n: usize) {
        self.words[n / 64] |= 1 << (n % 64);
        self.full[n / 4096] |= 1 << (n / 64 % 64);
    }

    fn remove(&mut self, n: usize) {
        self.words[n / 64] &= !(1 << (n % 64));
        if self.words[n / 64] == 0 {
            self.full[n / 4096] &= !(1 << (n / 64 % 64));
        }
    }

    /// The smallest number that is not below `n`.
    fn at_least(&self, n: usize) -> Option<usize> {
        let first = |words: &[u64], n: usize| -> Option<usize> {
            let word = words.get(n / 64)? & (u64::MAX << (n % 64));
            (word != 0).then(|| n / 64 * 64 + word.trailing_zeros() as usize)
        };
        if let Some(found) = first(&self.words, n) {
            return Some(found);
        }
        let next = n / 64 + 1;
        let word = first(&self.full, next).or_else(|| {
            let behind = next / 64 + 1;
            let at = behind + self.full.get(behind..)?.iter().position(|word| *word != 0)?;
            Some(at * 64 + self.full[at].trailing_zeros() as usize)
        })?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(packing: bool, shuffle: bool, max_seq_len: usize) -> DataConfig {
        DataConfig { packing, shuffle, max_seq_len, ..DataConfig::default() }
    }

    fn lengths(n: usize) -> Vec<u32> {
        let mut random = Random::new(7, "lengths", 0);
        (0..n).map(|_| 1 + random.below(100) as u32).collect()
    }

    fn bins(lengths: &[u32], capacity: usize) -> Vec<Vec<u32>> {
        let order: Vec<u32> = (0..lengths.len() as u32).collect();
        Bins::of(&best_fit_decreasing(lengths, &order, capacity)).iter().map(<[u32]>::to_vec).collect()
    }

    fn plan(lengths: &[u32], batch_size: usize, data: &DataConfig, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
        plan_epoch(lengths.iter().copied(), batch_size, data, seed, epoch).iter().map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn best_fit_fills_the_fullest_bin() {
        // By hand, capacity 10: 7; 6; 4 fits only beside 6; 3 beside 7; 2 and 2 open a bin.
        assert_eq!(bins(&[2, 7, 3, 6, 2, 4], 10), [vec![0, 4], vec![1, 2], vec![3, 5]]);
        assert_eq!(bins(&[12, 1], 10), [vec![0], vec![1]]);
        assert!(bins(&[], 10).is_empty());
    }

    #[test]
    fn best_fit_equals_the_quadratic_definition() {
        let lengths = lengths(700);
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(lengths[*i]));
        // The bins, the one that was filled last behind the others.
        let mut found: Vec<(u32, Vec<u32>)> = Vec::new();
        for item in order {
            let fits = |(used, _): &&(u32, Vec<u32>)| used + lengths[item] <= 128;
            let fullest = found.iter().filter(fits).map(|(used, _)| *used).max();
            let mut bin = match fullest.and_then(|fullest| found.iter().rposition(|(used, _)| *used == fullest)) {
                Some(at) => found.remove(at),
                None => (0, Vec::new()),
            };
            bin.0 += lengths[item];
            bin.1.push(item as u32);
            found.push(bin);
        }
        let mut expected: Vec<Vec<u32>> = found.into_iter().map(|(_, bin)| bin).collect();
        expected.iter_mut().for_each(|bin| bin.sort_unstable());
        expected.sort_unstable();
        assert_eq!(bins(&lengths, 128), expected);
    }

    #[test]
    fn the_bit_set_finds_the_next_number() {
        let mut set = BitSet::new(20_000);
        assert_eq!(set.at_least(0), None);
        let numbers = [0, 63, 64, 4095, 4096, 12_345, 19_999];
        numbers.iter().for_each(|n| set.insert(*n));
        for n in 0..20_000 {
            assert_eq!(set.at_least(n), numbers.iter().copied().find(|m| *m >= n), "{n}");
        }
        numbers[..6].iter().for_each(|n| set.remove(*n));
        assert_eq!((set.at_least(0), set.at_least(19_999)), (Some(19_999), Some(19_999)));
    }

    #[test]
    fn packing_is_dense_and_complete() {
        let lengths = lengths(2000);
        let total: usize = lengths.iter().map(|n| *n as usize).sum();
        for shuffle in [false, true] {
            let plan = plan(&lengths, 1, &settings(true, shuffle, 512), 3, 0);
            let mut seen: Vec<u32> = plan.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..lengths.len() as u32).collect::<Vec<_>>());
            assert!(plan.iter().all(|b| b.iter().map(|i| lengths[*i as usize]).sum::<u32>() <= 512));
            // With lengths of 1 to 100 nothing but the last bin needs to have room.
            assert_eq!(plan.len(), total.div_ceil(512));
        }
    }

    #[test]
    fn without_shuffle_the_order_is_that_of_the_file() {
        let lengths = lengths(50);
        let flat = plan(&lengths, 4, &settings(false, false, 512), 9, 2);
        assert_eq!(flat.concat(), (0..50).collect::<Vec<_>>());
        assert_eq!(flat.iter().map(Vec::len).collect::<Vec<_>>(), [vec![4; 12], vec![2]].concat());
        let packed = plan(&lengths, 1, &settings(true, false, 128), 9, 2);
        assert!(packed.iter().all(|bin| bin.is_sorted()));
        assert!(packed.iter().map(|bin| bin[0]).is_sorted());
        assert_eq!(packed, plan(&lengths, 1, &settings(true, false, 128), 1, 5));
    }

    #[test]
    fn shuffling_depends_on_seed_and_epoch_alone() {
        let lengths = lengths(100);
        for packing in [false, true] {
            let plan = |seed, epoch| plan(&lengths, 2, &settings(packing, true, 128), seed, epoch);
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
        let lengths = [30, 60, 90, 20, 70, 10, 40, 50];
        let plan = |batch_size, packing, epoch| plan(&lengths, batch_size, &settings(packing, true, 100), 42, epoch);
        assert_eq!(plan(3, false, 0), [vec![0, 2, 6], vec![4, 3, 5], vec![1, 7]]);
        assert_eq!(plan(2, true, 0), [[0, 4, 5, 2], [7, 3, 1, 6]]);
        assert_eq!(plan(2, true, 1), [[7, 3, 1, 6], [2, 5, 0, 4]]);
    }
}
