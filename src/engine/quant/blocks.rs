//! The quantized blocks of a GGUF file, kept as they are and expanded on the fly.

use candle_core::quantized::{GgmlDType, k_quants};

use super::ggml;

/// A matrix whose rows are blocks of a ggml type.
#[derive(Clone)]
pub struct GgufBlocks {
    out_features: usize,
    in_features: usize,
    dtype: GgmlDType,
    // Words, so that every block type is aligned.
    words: Vec<u64>,
}

impl std::fmt::Debug for GgufBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GgufBlocks({:?}, [{}, {}])", self.dtype, self.out_features, self.in_features)
    }
}

impl GgufBlocks {
    /// A matrix from the bytes of its tensor; the error says what does not fit.
    pub fn new(
        dtype: GgmlDType,
        bytes: &[u8],
        out_features: usize,
        in_features: usize,
    ) -> std::result::Result<Self, String> {
        if in_features % dtype.block_size() != 0 {
            return Err(format!(
                "{in_features} columns are no multiple of {dtype:?}'s block of {}",
                dtype.block_size()
            ));
        }
        let expected = out_features
            .checked_mul(in_features / dtype.block_size())
            .and_then(|blocks| blocks.checked_mul(dtype.type_size()))
            .ok_or("the shape is too large")?;
        if bytes.len() != expected {
            return Err(format!(
                "{} bytes where [{out_features}, {in_features}] of {dtype:?} needs {expected}",
                bytes.len()
            ));
        }
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { out_features, in_features, dtype, words })
    }

    /// Rows.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Columns.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// The ggml type of the blocks.
    pub fn dtype(&self) -> GgmlDType {
        self.dtype
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// The blocks, row by row.
    pub fn data(&self) -> &[u8] {
        let size = self.out_features * (self.in_features / self.dtype.block_size()) * self.dtype.type_size();
        &bytemuck::cast_slice(&self.words)[..size]
    }

    /// The same, to be replaced.
    pub(crate) fn data_mut(&mut self) -> &mut [u8] {
        let size = self.data().len();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..size]
    }

    /// Values `start..start + out.len()` of the flattened matrix.
    pub fn dequantize(&self, start: usize, out: &mut [f32]) {
        let block = self.dtype.block_size();
        let end = start + out.len();
        let mut at = start;
        let mut buffer = [0f32; k_quants::QK_K];
        while at < end {
            let inside = at % block;
            if inside == 0 && end - at >= block {
                let n = (end - at) / block * block;
                self.expand(at / block, &mut out[at - start..][..n]);
                at += n;
            } else {
                // A part of a block: expand all of it beside.
                let n = (block - inside).min(end - at);
                self.expand(at / block, &mut buffer[..block]);
                out[at - start..][..n].copy_from_slice(&buffer[inside..inside + n]);
                at += n;
            }
        }
    }

    /// Whole blocks from `first` on.
    fn expand(&self, first: usize, out: &mut [f32]) {
        let expand: fn(&[u8], &mut [f32]) = match self.dtype {
            GgmlDType::Q4_0 => ggml::q4_0,
            GgmlDType::Q4_1 => ggml::q4_1,
            GgmlDType::Q8_0 => ggml::q8_0,
            GgmlDType::Q2K => ggml::q2_k,
            GgmlDType::Q3K => ggml::q3_k,
            GgmlDType::Q4K => ggml::q4_k,
            GgmlDType::Q5K => ggml::q5_k,
            GgmlDType::Q6K => ggml::q6_k,
            _ => return self.expand_by_candle(first, out),
        };
        let (size, count) = (self.dtype.type_size(), out.len() / self.dtype.block_size());
        expand(&self.data()[first * size..][..count * size], out);
    }

    /// [`expand`](Self::expand) of any type.
    fn expand_by_candle(&self, first: usize, out: &mut [f32]) {
        use k_quants::*;
        fn run<T: GgmlType>(data: &[u8], first: usize, out: &mut [f32]) {
            let count = out.len() / T::BLCK_SIZE;
            let bytes = &data[first * size_of::<T>()..][..count * size_of::<T>()];
            debug_assert_eq!(bytes.as_ptr() as usize % align_of::<T>(), 0);
            // SAFETY: the block types are plain `repr(C)` records of integers and floats, any bytes are valid values; the
            // slice holds `count` of them, and the storage is aligned to 8 with sizes that are multiples of the alignment.
            let blocks = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), count) };
            T::to_float(blocks, out);
        }
        let data = self.data();
        match self.dtype {
            GgmlDType::F32 => run::<f32>(data, first, out),
            GgmlDType::F16 => run::<half::f16>(data, first, out),
            GgmlDType::BF16 => run::<half::bf16>(data, first, out),
            GgmlDType::Q4_0 => run::<BlockQ4_0>(data, first, out),
            GgmlDType::Q4_1 => run::<BlockQ4_1>(data, first, out),
            GgmlDType::Q5_0 => run::<BlockQ5_0>(data, first, out),
            GgmlDType::Q5_1 => run::<BlockQ5_1>(data, first, out),
            GgmlDType::Q8_0 => run::<BlockQ8_0>(data, first, out),
            GgmlDType::Q8_1 => run::<BlockQ8_1>(data, first, out),
            GgmlDType::Q2K => run::<BlockQ2K>(data, first, out),
            GgmlDType::Q3K => run::<BlockQ3K>(data, first, out),
            GgmlDType::Q4K => run::<BlockQ4K>(data, first, out),
            GgmlDType::Q5K => run::<BlockQ5K>(data, first, out),
            GgmlDType::Q6K => run::<BlockQ6K>(data, first, out),
            GgmlDType::Q8K => run::<BlockQ8K>(data, first, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_expansion_has_candles_bits() {
        let mut x = 1u32;
        let mut byte = || {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            (x >> 8) as u8
        };
        use GgmlDType::*;
        for dtype in [Q4_0, Q4_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
            // Any bytes are blocks; scales that are no number are none in both.
            let (rows, cols) = (40, 3 * 256);
            let bytes: Vec<u8> = (0..rows * cols / dtype.block_size() * dtype.type_size()).map(|_| byte()).collect();
            let blocks = GgufBlocks::new(dtype, &bytes, rows, cols).unwrap();
            let (mut own, mut candle) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
            blocks.expand(0, &mut own);
            blocks.expand_by_candle(0, &mut candle);
            assert!(candle.iter().filter(|v| v.is_finite()).count() > rows * cols / 2);
            for (i, (a, b)) in own.iter().zip(&candle).enumerate() {
                assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{dtype:?} at {i}: {a} for {b}");
            }
            // From the middle on, and part of a block.
            let mut part = [0.0; 300];
            blocks.dequantize(517, &mut part);
            assert!(
                part.iter().zip(&candle[517..]).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan()),
                "{dtype:?}"
            );
        }
    }
}
