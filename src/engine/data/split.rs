//! Rows for validation.

/// Chooses rows by what is in them: rows of equal content are on one side, so that no validation row was ever trained.
///
/// Each content has a number that looks random and depends on the seed; those with the smallest numbers are held out. So
/// the choice needs no table of the rows, and a row that is added later moves few others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldOut {
    seed: u64,
    /// The largest number that is held out.
    largest: u64,
}

impl HoldOut {
    /// Holds out `wanted` of the rows, and not all of them; more where equal rows belong together. `contents` identifies
    /// each row's content. `None` when there are not two different rows.
    pub fn choose(contents: &[u64], wanted: usize, seed: u64) -> Option<HoldOut> {
        let mut numbers: Vec<u64> = contents.iter().map(|content| number(*content, seed)).collect();
        if numbers.len() < 2 {
            return None;
        }
        let wanted = wanted.clamp(1, numbers.len() - 1);
        let (_, &mut largest, above) = numbers.select_nth_unstable(wanted - 1);
        if above.iter().any(|number| *number > largest) {
            return Some(HoldOut { seed, largest });
        }
        // The most frequent rows are the last ones: hold out those below them.
        let below = numbers.into_iter().filter(|number| *number < largest).max()?;
        Some(HoldOut { seed, largest: below })
    }

    /// Whether rows of this content are held out.
    pub fn holds(&self, content: u64) -> bool {
        number(content, self.seed) <= self.largest
    }
}

/// SplitMix64's output function (see [`Random`](super::random::Random)): a bijection, so that different contents keep
/// different numbers.
fn number(content: u64, seed: u64) -> u64 {
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    mix(content ^ mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(contents: &[u64], wanted: usize, seed: u64) -> Option<Vec<bool>> {
        let chosen = HoldOut::choose(contents, wanted, seed)?;
        Some(contents.iter().map(|content| chosen.holds(*content)).collect())
    }

    fn count(held_out: &[bool]) -> usize {
        held_out.iter().filter(|h| **h).count()
    }

    #[test]
    fn as_many_as_wanted_are_held_out_and_the_seed_chooses_them() {
        let contents: Vec<u64> = (0..200).map(|i| i * 7).collect();
        let held_out = held(&contents, 20, 1).unwrap();
        assert_eq!(count(&held_out), 20);
        assert_eq!(held_out, held(&contents, 20, 1).unwrap());
        assert_ne!(held_out, held(&contents, 20, 2).unwrap());
        // At least one on each side.
        assert_eq!(count(&held(&contents[..3], 0, 1).unwrap()), 1);
        assert_eq!(count(&held(&contents[..3], 9, 1).unwrap()), 2);
    }

    #[test]
    fn equal_rows_stay_together() {
        let contents: Vec<u64> = (0..300).map(|i| i % 60).collect();
        let held_out = held(&contents, 60, 4).unwrap();
        assert_eq!(count(&held_out), 60);
        for row in 0..300 {
            assert_eq!(held_out[row], held_out[row % 60]);
        }
        for seed in 0..20 {
            let held_out = held(&[1, 1, 1, 2, 2], 1, seed).unwrap();
            assert!([2, 3].contains(&count(&held_out)));
            assert!(held_out[0] == held_out[1] && held_out[3] == held_out[4] && held_out[0] != held_out[3]);
        }
        assert_eq!(held(&[1, 1, 1], 1, 0), None);
        assert_eq!(held(&[], 1, 0), None);
    }
}
