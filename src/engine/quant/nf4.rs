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
//! assert_eq!(row, [0.562617, -1.0]);
//! ```

use half::bf16;
use rayon::prelude::*;

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
        /// Blocks that share one nested absmax.
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
                map[codes[i] as usize] * nested[i / nested_block] + offset
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
    /// `blocksize` of the quantization state.
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
        self.to_f32()
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
        let absmax = if double_quant && !absmax.is_empty() { double(&absmax) } else { Absmax::Plain(absmax) };
        Self { out_features, in_features, codes, levels: NF4_LEVELS, block: BLOCK, absmax }
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
        if blocksize == 0 || blocksize % 2 != 0 {
            return Err(format!("block size {blocksize}"));
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
                if *nested_block == 0 || nested.len() != blocks.div_ceil(*nested_block) {
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
        let mut at = start;
        let mut out = out;
        while !out.is_empty() {
            let block = at / self.block;
            let n = out.len().min((block + 1) * self.block - at);
            let (now, later) = out.split_at_mut(n);
            let scale = self.absmax.get(block);
            let scaled = self.levels.map(|l| l * scale);
            for (i, o) in now.iter_mut().enumerate() {
                let byte = self.codes[(at + i) / 2];
                *o = scaled[if (at + i) % 2 == 0 { byte >> 4 } else { byte & 15 } as usize];
            }
            at += n;
            out = later;
        }
    }
}

/// Between two levels the nearer is on this side of the middle; a value on the middle takes the lower one.
fn midpoints(levels: &[f32; 16]) -> [f32; 15] {
    std::array::from_fn(|i| (levels[i] + levels[i + 1]) / 2.0)
}

/// Writes the codes of one block and returns its absmax.
fn quantize_block<T: Source>(values: &[T], bounds: &[f32; 15], codes: &mut [u8]) -> f32 {
    let mut scaled = [0f32; BLOCK];
    let mut absmax = 0f32;
    for (s, v) in scaled.iter_mut().zip(values) {
        *s = v.value();
        absmax = absmax.max(s.abs());
    }
    if values.len() == BLOCK {
        let inverse = 1.0 / absmax.max(TINY);
        scaled.iter_mut().for_each(|s| *s *= inverse);
    } else {
        // bitsandbytes treats the last, short block differently: it divides, and stores the clamped absmax.
        absmax = absmax.max(TINY);
        scaled.iter_mut().for_each(|s| *s /= absmax);
    }
    let mut index = [0u8; BLOCK];
    for (i, s) in index.iter_mut().zip(&scaled) {
        let s = s.clamp(-1.0, 1.0);
        *i = bounds.iter().map(|b| (s > *b) as u8).sum();
    }
    for (c, pair) in codes.iter_mut().zip(index.chunks_exact(2)) {
        *c = pair[0] << 4 | pair[1];
    }
    absmax
}

/// Quantizes the absmax values to 8 bits around their mean (`quantize_blockwise` of bitsandbytes, blocks of 256).
fn double(absmax: &[f32]) -> Absmax {
    let offset = torch_mean(absmax);
    let map = dynamic_map();
    let mut codes = vec![0u8; absmax.len()];
    let mut nested = vec![0f32; absmax.len().div_ceil(NESTED_BLOCK)];
    for ((codes, nested), values) in codes.chunks_mut(NESTED_BLOCK).zip(&mut nested).zip(absmax.chunks(NESTED_BLOCK)) {
        *nested = values.iter().fold(0f32, |m, v| m.max((v - offset).abs()));
        for (c, v) in codes.iter_mut().zip(values) {
            *c = nearest(&map, (v - offset) * (1.0 / *nested));
        }
    }
    Absmax::Double { codes, map, nested, nested_block: NESTED_BLOCK, offset }
}

/// Index of the entry of the sorted `map` nearest to `value`; a tie goes down.
fn nearest(map: &[f32], value: f32) -> u8 {
    let value = value.clamp(-1.0, 1.0);
    let right = map.partition_point(|m| *m < value);
    if right == 0 {
        return 0;
    }
    if right == map.len() {
        return (map.len() - 1) as u8;
    }
    let (left, right_distance) = ((value - map[right - 1]).abs(), (map[right] - value).abs());
    if right_distance < left { right as u8 } else { (right - 1) as u8 }
}

/// The signed dynamic 8-bit map (`create_dynamic_map()` of bitsandbytes): 7 decades, each with twice the fractions of the
/// one below it.
pub fn dynamic_map() -> Box<[f32]> {
    let mut data = vec![0.0f32, 1.0];
    for i in 0..7 {
        let items = (1usize << i) + 1;
        let boundaries = linspace(0.1, 1.0, items);
        let decade = 10f64.powi(i - 6) as f32;
        for pair in boundaries.windows(2) {
            let mean = (pair[0] + pair[1]) / 2.0;
            data.push(decade * mean);
            data.push(-decade * mean);
        }
    }
    data.sort_by(f32::total_cmp);
    data.into_boxed_slice()
}

/// `torch.linspace` in 32 bits: from both ends towards the middle.
fn linspace(start: f32, end: f32, steps: usize) -> Vec<f32> {
    let step = (end - start) / (steps - 1) as f32;
    (0..steps)
        .map(|i| if i < steps / 2 { start + step * i as f32 } else { end - step * (steps - 1 - i) as f32 })
        .collect()
}

/// `Tensor.mean()` of torch in 32 bits: a cascade sum over vectors of 16 lanes, four at a time (aten's SumKernel.cpp with
/// AVX-512 and one thread). The order of the additions is part of the value.
fn torch_mean(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    const ILP: usize = 4;
    const LEVELS: usize = 4;
    type Row = [[f32; LANES]; ILP];
    fn add(to: &mut [f32; LANES], from: &[f32]) {
        to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
    }
    let vectors = values.len() / LANES;
    let rows = vectors / ILP;
    let level_power = (LEVELS as u32).max(rows.max(1).next_power_of_two().trailing_zeros() / LEVELS as u32);
    let (level_step, level_mask) = (1usize << level_power, (1usize << level_power) - 1);
    let mut acc: [Row; LEVELS] = [[[0.0; LANES]; ILP]; LEVELS];
    let row = |i: usize, acc: &mut Row| {
        for (k, a) in acc.iter_mut().enumerate() {
            add(a, &values[(i * ILP + k) * LANES..][..LANES]);
        }
    };
    let mut i = 0;
    while i + level_step <= rows {
        for _ in 0..level_step {
            row(i, &mut acc[0]);
            i += 1;
        }
        for j in 1..LEVELS {
            let lower = std::mem::replace(&mut acc[j - 1], [[0.0; LANES]; ILP]);
            acc[j].iter_mut().zip(&lower).for_each(|(a, l)| add(a, l));
            if i & (level_mask << (j as u32 * level_power)) != 0 {
                break;
            }
        }
    }
    while i < rows {
        row(i, &mut acc[0]);
        i += 1;
    }
    let [mut sums, higher @ ..] = acc;
    for level in &higher {
        sums.iter_mut().zip(level).for_each(|(s, l)| add(s, l));
    }
    for v in rows * ILP..vectors {
        add(&mut sums[0], &values[v * LANES..][..LANES]);
    }
    let [mut lanes, others @ ..] = sums;
    others.iter().for_each(|o| add(&mut lanes, o));
    let tail: f32 = values[vectors * LANES..].iter().fold(0.0, |s, v| s + v);
    lanes.iter().fold(tail, |s, v| s + v) / values.len() as f32
}
