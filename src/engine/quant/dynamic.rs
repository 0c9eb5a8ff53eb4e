//! The dynamic 8-bit types (Dettmers 2015, arXiv:1511.04561) as bitsandbytes has them: 256 values of [−1, 1] or [0, 1] in
//! seven decades, each with twice the fractions of the one below it. Scales of double quantization are kept in the signed
//! type, moments of the 8-bit optimizer in both.
//!
//! ```
//! use lora_studio::engine::quant::dynamic::Dynamic;
//! let d = Dynamic::unsigned();
//! assert!((d.value(d.nearest(2e-7)) - 3.25e-7).abs() < 1e-13); // the smallest but zero, in 32 bits
//! assert_eq!(d.value(d.nearest(1e-7)), 0.0);
//! ```

use std::sync::OnceLock;

/// Buckets of each sign. Those in use: numbers below 2⁻²³ are one, and every power of two from there to 1 has 128.
const BUCKETS: usize = 4096;

/// A bucket is told by the bits of a float above these: the sign, the exponent and seven bits of the fraction.
const SHIFT: u32 = 16;

/// The bits of 2⁻²³ above [`SHIFT`].
const FIRST: u32 = (127 - 23) << (23 - SHIFT);

/// A type: its values in rising order, and tables that find the nearest one without a search.
#[derive(Debug)]
pub struct Dynamic {
    map: [f32; 256],
    /// Of each bucket the code of its lowest number.
    lowest: Box<[u8; 2 * BUCKETS]>,
    /// The middle between a value and the next. No bucket holds two of them.
    middles: [f32; 256],
}

impl Dynamic {
    /// Values of [−1, 1]: for the first moment.
    pub fn signed() -> &'static Dynamic {
        static TYPE: OnceLock<Dynamic> = OnceLock::new();
        TYPE.get_or_init(|| Dynamic::new(dynamic_map(true)))
    }

    /// Values of [0, 1]: for the second moment.
    pub fn unsigned() -> &'static Dynamic {
        static TYPE: OnceLock<Dynamic> = OnceLock::new();
        TYPE.get_or_init(|| Dynamic::new(dynamic_map(false)))
    }

    fn new(map: [f32; 256]) -> Dynamic {
        let mut middles = [f32::INFINITY; 256];
        for i in 0..255 {
            middles[i] = (map[i] + map[i + 1]) / 2.0;
        }
        let search = |x: f32| middles.partition_point(|middle| *middle < x) as u8;
        let mut lowest = Box::new([0u8; 2 * BUCKETS]);
        for i in 0..BUCKETS as u32 {
            // The end of the bucket that is nearer to zero, and the other one.
            let inner = if i == 0 { 0.0 } else { f32::from_bits((FIRST + i) << SHIFT) };
            let outer = f32::from_bits(((FIRST + i + 1) << SHIFT) - 1);
            lowest[i as usize] = search(inner);
            lowest[BUCKETS + i as usize] = search(-outer);
        }
        Dynamic { map, lowest, middles }
    }

    /// The value of a code.
    #[inline(always)]
    pub fn value(&self, code: u8) -> f32 {
        self.map[code as usize]
    }

    /// The code of the value nearest to `x`, a number of [−1, 1]; in the middle between two, that of the lower one.
    #[inline]
    pub fn nearest(&self, x: f32) -> u8 {
        let (code, middle) = self.of_bucket(Self::bucket(x));
        code + u8::from(x > middle)
    }

    /// Where a number of [−1, 1] belongs.
    #[inline(always)]
    pub(crate) fn bucket(x: f32) -> u16 {
        let bits = x.to_bits();
        let magnitude = ((bits & 0x7fff_ffff) >> SHIFT).saturating_sub(FIRST) as usize % BUCKETS;
        (magnitude + (bits >> 31) as usize * BUCKETS) as u16
    }

    /// The lowest code of a bucket, and the number above which the next one is nearer.
    #[inline(always)]
    pub(crate) fn of_bucket(&self, bucket: u16) -> (u8, f32) {
        let code = self.lowest[bucket as usize % (2 * BUCKETS)];
        (code, self.middles[code as usize])
    }
}

/// The values of a type in rising order (`create_dynamic_map(signed)` of bitsandbytes).
pub fn dynamic_map(signed: bool) -> [f32; 256] {
    let mut values = vec![0.0f32, 1.0];
    for i in 0..7 {
        let fractions = if signed { 1 << i } else { 2 << i };
        let boundaries = linspace(0.1, 1.0, fractions + 1);
        let decade = 10f64.powi(i - 6) as f32;
        for pair in boundaries.windows(2) {
            let mean = decade * ((pair[0] + pair[1]) / 2.0);
            values.push(mean);
            if signed {
                values.push(-mean);
            }
        }
    }
    values.sort_by(f32::total_cmp);
    std::array::from_fn(|i| values[i])
}

/// `torch.linspace` in 32 bits: from both ends towards the middle, with fused multiplications and additions.
fn linspace(start: f32, end: f32, steps: usize) -> Vec<f32> {
    let step = (end - start) / (steps - 1) as f32;
    let at = |i: usize| {
        if i < steps / 2 { step.mul_add(i as f32, start) } else { (-step).mul_add((steps - 1 - i) as f32, end) }
    };
    (0..steps).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::formats::safetensors::SafetensorsFile;

    /// Expected codes from tests/reference/adamw_8bit.py: numbers of every decade, all middles, and what follows each.
    #[test]
    fn the_nearest_code_is_bitsandbytes() {
        let file = SafetensorsFile::open("tests/fixtures/adamw_8bit.safetensors").unwrap();
        for (name, found) in [("signed", Dynamic::signed()), ("unsigned", Dynamic::unsigned())] {
            let floats = |part: &str| file.tensor(&format!("{name}.{part}")).unwrap().unwrap().to_f32();
            assert_eq!(found.map.to_vec(), floats("map"), "{name}");
            let (values, codes) = (floats("values"), file.bytes(&format!("{name}.codes")).unwrap());
            for (x, code) in values.iter().zip(&codes[..]) {
                assert_eq!(found.nearest(*x), *code, "{name}: {x:e}");
            }
        }
    }

    #[test]
    fn the_tables_choose_as_a_search_does() {
        for found in [Dynamic::signed(), Dynamic::unsigned()] {
            let search = |x: f32| found.middles.partition_point(|middle| *middle < x) as u8;
            for (i, value) in found.map.iter().enumerate() {
                assert_eq!(found.nearest(*value), i as u8);
            }
            // 65536 numbers of every exponent and sign, subnormal ones and zeros too.
            let one = 1f32.to_bits();
            for x in (0..=one).step_by(16_411).map(f32::from_bits) {
                assert_eq!(found.nearest(x), search(x), "{x:e}");
                assert_eq!(found.nearest(-x), search(-x), "{:e}", -x);
            }
        }
    }
}
