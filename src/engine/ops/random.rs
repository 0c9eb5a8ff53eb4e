//! A counter-based generator for what is drawn once: initial weights, the order of rows, tokens.

/// Output `index` of SplitMix64 begun at `seed` (Steele, Lea, Flood 2014): its state is a counter, so that any output
/// can be had without those before it.
pub fn split_mix64(seed: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Output `index` of the stream `seed`, uniform on [0, 1) in steps of 2⁻⁵³.
pub fn uniform(seed: u64, index: u64) -> f64 {
    (split_mix64(seed, index) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix64_is_the_published_generator() {
        // The first outputs for seed 1234567, as in https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
        let expected =
            [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821];
        for (i, want) in expected.into_iter().enumerate() {
            assert_eq!(split_mix64(1234567, i as u64), want);
        }
    }

    #[test]
    fn uniform_is_uniform() {
        let n = 1 << 16;
        let mut bins = [0u32; 64];
        for i in 0..n {
            bins[(uniform(7, i) * 64.0) as usize] += 1;
        }
        // χ² with 63 degrees of freedom: mean 63, standard deviation 11.2.
        let expected = n as f64 / 64.0;
        let chi2: f64 = bins.iter().map(|b| (f64::from(*b) - expected).powi(2) / expected).sum();
        assert!(chi2 < 63.0 + 5.0 * 11.2, "{chi2}");
    }
}
