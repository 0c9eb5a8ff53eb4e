//! NF4 with double quantization (Dettmers et al. 2023, QLoRA), bit for bit as bitsandbytes computes it on the CPU.
//!
//! The matrix is flattened row-major and cut into blocks of 64 values. A block stores its largest magnitude (absmax) and
//! for each value the index of the nearest of 16 levels, the even index in the high nibble. Double quantization then
//! stores the absmax values themselves in 8 bits: their mean is subtracted and blocks of 256 of them are quantized with
//! the signed dynamic map. That makes 4 + 8/64 + 32/(64·256) = 4.127 bits a weight.
//!
//! ```
//! use lora_studio::engine::quant::Nf4Matrix;
//! let m = Nf4Matrix::quantize(&[0.5, -1.0, 0.1, 0.0], 2, 2, false);
//! let mut row = [0.0; 2];
//! m.dequantize(0, &mut row);
//! // Half way between two levels is 0.5017.
//! assert_eq!(row, [0.440_709_83, -1.0]);
//! ```

mod decode;
mod double;
#[cfg(test)]
mod tests;

use half::bf16;
use rayon::prelude::*;

use crate::engine::ops::Element;
use crate::engine::ops::simd::multiversion;

/// The 16 levels of NF4 (`get_4bit_type` in bitsandbytes' functional.py).
pub const NF4_LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The 16 levels of FP4, by bit pattern: sign, two bits of exponent, one of fraction, the largest scaled to 1.
pub const FP4_LEVELS: [f32; 16] = {
    let unscaled = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let mut levels = [0.0; 16];
    // Both zeros are +0.
    let mut i = 1;
    while i < 8 {
        levels[i] = unscaled[i] / 12.0;
        levels[i + 8] = -unscaled[i] / 12.0;
        i += 1;
    }
    levels
};

/// Values that share one absmax.
pub const BLOCK: usize = 64;

/// Absmax values that share one nested absmax.
pub const NESTED_BLOCK: usize = 256;

/// bitsandbytes' smallest divisor (`absmax.clamp(min=1e-38)`).
const TINY: f32 = 1e-38;

/// The scale of every block of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Absmax {
    /// One number a block.
    Plain(Vec<f32>),
    /// One byte a block: `map[code]·nested[i / nested_block] + offset`.
    Double {
        /// Indices into the map, one a block.
        codes: Vec<u8>,
        /// The dynamic 8-bit map, 256 values.
        map: Box<[f32]>,
        /// Absmax of each nested block.
        nested: Vec<f32>,
        /// Blocks that share one nested absmax, a power of two.
        nested_block: usize,
        /// Mean of the absmax values.
        offset: f32,
    },
}

impl Absmax {
    /// The scale of block `i`.
    #[inline]
    pub fn get(&self, i: usize) -> f32 {
        match self {
            Absmax::Plain(v) => v[i],
            Absmax::Double { codes, map, nested, nested_block, offset } => {
                // A power of two: a division would take longer than decoding the block.
                map[codes[i] as usize] * nested[i >> nested_block.trailing_zeros()] + offset
            }
        }
    }

    /// The scales of blocks `first..first + out.len()`.
    pub fn fill(&self, first: usize, out: &mut [f32]) {
        match self {
            Absmax::Plain(v) => out.copy_from_slice(&v[first..first + out.len()]),
            Absmax::Double { codes, map, nested, nested_block, offset } => {
                let shift = nested_block.trailing_zeros();
                // An array, so that a code is in range without a test.
                let Some(map) = map.first_chunk::<256>() else { return };
                for (i, (o, code)) in (first..).zip(out.iter_mut().zip(&codes[first..])) {
                    *o = map[*code as usize] * nested[i >> shift] + offset;
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Absmax::Plain(v) => v.len() * 4,
            Absmax::Double { codes, map, nested, .. } => codes.len() + (map.len() + nested.len() + 1) * 4,
        }
    }
}

/// A matrix in four bits a value: NF4, or FP4 when it was read from a checkpoint of that type.
#[derive(Clone, Debug, PartialEq)]
pub struct Nf4Matrix {
    out_features: usize,
    in_features: usize,
    codes: Vec<u8>,
    levels: [f32; 16],
    block: usize,
    absmax: Absmax,
}

/// The tensors that bitsandbytes keeps beside a 4-bit weight.
#[derive(Clone, Debug)]
pub struct Nf4Parts {
    /// Rows of the matrix.
    pub out_features: usize,
    /// Columns of the matrix.
    pub in_features: usize,
    /// `weight`: two values a byte, the even index in the high nibble.
    pub codes: Vec<u8>,
    /// `quant_map`: the 16 levels, of NF4 or FP4.
    pub quant_map: Vec<f32>,
    /// `blocksize` of the quantization state, a power of two.
    pub blocksize: usize,
    /// `absmax`, with the nested state where there is one.
    pub absmax: Absmax,
}

/// Numbers that can be quantized.
pub trait Source: Copy + Sync {
    /// The value in 32 bits.
    fn value(self) -> f32;
}

impl Source for f32 {
    fn value(self) -> f32 {
        self
    }
}

impl Source for bf16 {
    fn value(self) -> f32 {
        self.widen()
    }
}

impl Source for half::f16 {
    fn value(self) -> f32 {
        self.to_f32()
    }
}

impl Nf4Matrix {
    /// Quantizes `values` `[out, in]`. Threaded; the result does not depend on the number of threads.
    pub fn quantize<T: Source>(values: &[T], out_features: usize, in_features: usize, double_quant: bool) -> Self {
        assert_eq!(values.len(), out_features * in_features, "values of a [{out_features}, {in_features}] matrix");
        let mut codes = vec![0u8; values.len().div_ceil(2)];
        let mut absmax = vec![0f32; values.len().div_ceil(BLOCK)];
        let bounds = midpoints(&NF4_LEVELS);
        // 256 blocks a task: enough work to be worth a hand-over.
        codes
            .par_chunks_mut(BLOCK / 2 * 256)
            .zip(absmax.par_chunks_mut(256))
            .zip(values.par_chunks(BLOCK * 256))
            .for_each(|((codes, absmax), values)| {
                for ((c, a), v) in codes.chunks_mut(BLOCK / 2).zip(absmax).zip(values.chunks(BLOCK)) {
                    *a = quantize_block(v, &bounds, c);
                }
            });
        let absmax = if double_quant && !absmax.is_empty() { double::quantize(&absmax) } else { Absmax::Plain(absmax) };
        Self { out_features, in_features, codes, levels: NF4_LEVELS, block: BLOCK, absmax }
    }

    /// [`bytes`](Self::bytes) of what [`quantize`](Self::quantize) makes of so many values.
    pub fn quantized_bytes(values: usize, double_quant: bool) -> usize {
        let blocks = values.div_ceil(BLOCK);
        let absmax = match double_quant && blocks > 0 {
            true => blocks + (256 + blocks.div_ceil(NESTED_BLOCK) + 1) * 4,
            false => blocks * 4,
        };
        values.div_ceil(2) + absmax + 16 * 4
    }

    /// A matrix from the tensors of a bitsandbytes checkpoint; the error says which of them does not fit.
    pub fn from_parts(parts: Nf4Parts) -> std::result::Result<Self, String> {
        let Nf4Parts { out_features, in_features, codes, quant_map, blocksize, absmax } = parts;
        let values = out_features.checked_mul(in_features).ok_or("the shape is too large")?;
        if codes.len() != values.div_ceil(2) {
            return Err(format!(
                "{} bytes of 4-bit values where [{out_features}, {in_features}] needs {}",
                codes.len(),
                values.div_ceil(2)
            ));
        }
        if !blocksize.is_power_of_two() || blocksize < 2 {
            return Err(format!("block size {blocksize} is no power of two"));
        }
        let Ok(levels) = <[f32; 16]>::try_from(quant_map.as_slice()) else {
            return Err(format!("quant_map has {} values instead of 16", quant_map.len()));
        };
        let blocks = values.div_ceil(blocksize);
        let found = match &absmax {
            Absmax::Plain(v) => v.len(),
            Absmax::Double { codes, map, nested, nested_block, .. } => {
                if map.len() != 256 {
                    return Err(format!("nested_quant_map has {} values instead of 256", map.len()));
                }
                if !nested_block.is_power_of_two() {
                    return Err(format!("nested block size {nested_block} is no power of two"));
                }
                if nested.len() != blocks.div_ceil(*nested_block) {
                    return Err(format!(
                        "nested_absmax has {} values for {blocks} blocks in groups of {nested_block}",
                        nested.len()
                    ));
                }
                codes.len()
            }
        };
        if found != blocks {
            return Err(format!("absmax has {found} values instead of {blocks}"));
        }
        Ok(Self { out_features, in_features, codes, levels, block: blocksize, absmax })
    }

    /// Rows.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Columns.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Two values a byte of the flattened matrix, the even index in the high nibble.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The 16 levels that the codes index.
    pub fn levels(&self) -> &[f32; 16] {
        &self.levels
    }

    /// Values that share one absmax.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The scales of the blocks.
    pub fn absmax(&self) -> &Absmax {
        &self.absmax
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.absmax.bytes() + 16 * 4
    }

    /// Values `start..start + out.len()` of the flattened matrix: level · absmax in 32 bits.
    pub fn dequantize(&self, start: usize, out: &mut [f32]) {
        let (mut at, mut out) = (start, out);
        while !out.is_empty() {
            let block = at >> self.block.trailing_zeros();
            let n = out.len().min((block + 1) * self.block - at);
            let (now, later) = out.split_at_mut(n);
            let scale = self.absmax.get(block);
            self.expand(at, &self.levels.map(|l| l * scale), now);
            at += n;
            out = later;
        }
    }

    /// Values from `at` on by a table; the first and the last may be half a byte.
    fn expand(&self, at: usize, table: &[f32; 16], out: &mut [f32]) {
        let odd = (at % 2).min(out.len());
        let (first, out) = out.split_at_mut(odd);
        if let Some(first) = first.first_mut() {
            *first = table[(self.codes[at / 2] & 15) as usize];
        }
        let at = at + odd;
        let bytes = out.len() / 2;
        let (whole, last) = out.split_at_mut(2 * bytes);
        decode::expand(table, &self.codes[at / 2..at / 2 + bytes], whole);
        if let Some(last) = last.first_mut() {
            *last = table[(self.codes[at / 2 + bytes] >> 4) as usize];
        }
    }
}

/// Between two levels the nearer is on this side of the middle; a value on the middle takes the lower one.
fn midpoints(levels: &[f32; 16]) -> [f32; 15] {
    std::array::from_fn(|i| (levels[i] + levels[i + 1]) / 2.0)
}

/// Writes the codes of one block and returns its absmax.
fn quantize_block<T: Source>(values: &[T], bounds: &[f32; 15], codes: &mut [u8]) -> f32 {
    let mut block = [0f32; BLOCK];
    block.iter_mut().zip(values).for_each(|(b, v)| *b = v.value());
    let mut packed = [0u8; BLOCK / 2];
    let absmax = quantize_values(&mut block, values.len() == BLOCK, bounds, &mut packed);
    codes.copy_from_slice(&packed[..codes.len()]);
    absmax
}

multiversion! {
    /// The codes of a block, filled up with zeros where it is not `whole`, and its absmax. No operation rounds differently on
    /// another instruction set.
    fn quantize_values(block: &mut [f32; BLOCK], whole: bool, bounds: &[f32; 15], codes: &mut [u8; BLOCK / 2]) -> f32 {
        let mut lanes = [0f32; 16];
        for part in block.as_chunks::<16>().0 {
            for i in 0..16 {
                // Not `f32::max`: a comparison and a choice are one vector instruction.
                let size = part[i].abs();
                lanes[i] = if size > lanes[i] { size } else { lanes[i] };
            }
        }
        let mut half = 8;
        while half > 0 {
            for i in 0..half {
                lanes[i] = if lanes[i + half] > lanes[i] { lanes[i + half] } else { lanes[i] };
            }
            half /= 2;
        }
        let mut absmax = lanes[0];
        if whole {
            let inverse = 1.0 / absmax.max(TINY);
            for b in block.iter_mut() {
                *b *= inverse;
            }
        } else {
            // bitsandbytes treats the last, short block differently: it divides, and stores the clamped absmax.
            absmax = absmax.max(TINY);
            for b in block.iter_mut() {
                *b /= absmax;
            }
        }
        // All values are compared with a bound before the next: nothing but additions. What is no number counts as the lowest.
        let mut index = [0i32; BLOCK];
        for bound in bounds {
            for i in 0..BLOCK {
                index[i] += (block[i] > *bound) as i32;
            }
        }
        // Two neighbours as one number of 16 bits: apart, the compiler would gather them.
        let mut pairs = [0u8; BLOCK];
        for i in 0..BLOCK {
            pairs[i] = index[i] as u8;
        }
        for (code, pair) in codes.iter_mut().zip(pairs.as_chunks::<2>().0) {
            let pair = u16::from_le_bytes(*pair);
            *code = (pair << 4 | pair >> 8) as u8;
        }
        absmax
    }
}
