//! Shuffling that is the same on every machine.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(u64);

impl Random {
    /// A stream of its own for each purpose and each epoch of a seed.
    pub fn new(seed: u64, purpose: &str, epoch: u64) -> Random {
        // FNV-1a of the purpose keeps the streams apart.
        let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3);
        let purpose = purpose.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
        let mut random = Random(seed ^ purpose);
        random.0 = random.next() ^ epoch;
        random.0 = random.next();
        random
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, each equally likely: what does not divide evenly is drawn again.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        let surplus = (u64::MAX % n + 1) % n;
        loop {
            let drawn = self.next();
            if drawn <= u64::MAX - surplus {
                return (drawn % n) as usize;
            }
        }
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_numbers() {
        // First outputs of the reference implementation for the state 1234567 (Rosetta Code, "Pseudo-random numbers/
        // Splitmix64").
        let mut random = Random(1234567);
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!([(); 4].map(|()| random.next()), expected);
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let mut items = [0, 1, 2];
            Random::new(seed, "test", 0).shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 1000 each; four standard deviations are 115.
        assert!(counts.values().all(|n| (885..=1115).contains(n)), "{counts:?}");
    }

    #[test]
    fn streams_differ() {
        let first = |seed, purpose, epoch| Random::new(seed, purpose, epoch).next();
        let all = [first(0, "a", 0), first(1, "a", 0), first(0, "b", 0), first(0, "a", 1), first(1, "a", 1)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
