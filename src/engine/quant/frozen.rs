//! A frozen `[out, in]` matrix in one of the layouts that the kernels read.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::{GgufBlocks, Nf4Matrix};

/// Plain numbers, row-major.
#[derive(Clone, Debug)]
pub enum Dense {
    /// 32-bit.
    F32(Vec<f32>),
    /// bfloat16.
    Bf16(Vec<bf16>),
}

/// How the numbers of a frozen matrix lie in memory.
#[derive(Clone, Debug)]
pub enum Storage {
    /// As they are.
    Dense(Dense),
    /// Four bits a number as bitsandbytes stores them.
    Nf4(Nf4Matrix),
    /// The blocks of a GGUF file.
    Blocks(GgufBlocks),
}

/// A frozen `[out, in]` matrix, row-major as Hugging Face stores it.
#[derive(Clone, Debug)]
pub struct FrozenMatrix {
    /// Rows: output features.
    pub out_features: usize,
    /// Columns: input features.
    pub in_features: usize,
    /// The numbers.
    pub data: Storage,
}

impl FrozenMatrix {
    /// A matrix of 32-bit numbers, `values` `[out, in]`.
    pub fn from_f32(values: Vec<f32>, out_features: usize, in_features: usize) -> Self {
        assert_eq!(values.len(), out_features * in_features, "values of a [{out_features}, {in_features}] matrix");
        Self { out_features, in_features, data: Storage::Dense(Dense::F32(values)) }
    }

    /// A matrix of bfloat16 numbers, `values` `[out, in]`.
    pub fn from_bf16(values: Vec<bf16>, out_features: usize, in_features: usize) -> Self {
        assert_eq!(values.len(), out_features * in_features, "values of a [{out_features}, {in_features}] matrix");
        Self { out_features, in_features, data: Storage::Dense(Dense::Bf16(values)) }
    }

    /// 32-bit numbers rounded to bfloat16 (to nearest, ties to even).
    pub fn from_f32_rounded(values: &[f32], out_features: usize, in_features: usize) -> Self {
        let values = values.par_iter().with_min_len(1 << 14).map(|&v| bf16::from_f32(v)).collect();
        Self::from_bf16(values, out_features, in_features)
    }

    /// Rows: output features.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Columns: input features.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Bytes that the numbers take in memory, scales included.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Storage::Dense(Dense::F32(v)) => v.len() * 4,
            Storage::Dense(Dense::Bf16(v)) => v.len() * 2,
            Storage::Nf4(m) => m.bytes(),
            Storage::Blocks(b) => b.bytes(),
        }
    }

    /// Row `row` as 32-bit numbers, `out` `[in]`.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        self.dequantize_part(row, 0, &mut out[..self.in_features]);
    }

    /// Rows `rows` as 32-bit numbers, `out` `[rows, in]`. Threaded.
    pub fn dequantize_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let n = self.in_features;
        if n == 0 {
            return;
        }
        let out = &mut out[..rows.len() * n];
        let min = (1 << 14) / n + 1;
        out.par_chunks_mut(n).with_min_len(min).enumerate().for_each(|(i, o)| self.dequantize_row(rows.start + i, o));
    }

    /// Columns `start..start + out.len()` of row `row`.
    pub fn dequantize_part(&self, row: usize, start: usize, out: &mut [f32]) {
        assert!(row < self.out_features && start + out.len() <= self.in_features, "outside the matrix");
        let at = row * self.in_features + start;
        match &self.data {
            Storage::Dense(Dense::F32(v)) => out.copy_from_slice(&v[at..at + out.len()]),
            Storage::Dense(Dense::Bf16(v)) => {
                for (o, v) in out.iter_mut().zip(&v[at..]) {
                    // Not `to_f32`, whose test for NaN keeps the compiler from using vectors.
                    *o = f32::from_bits((v.to_bits() as u32) << 16);
                }
            }
            Storage::Nf4(m) => m.dequantize(at, out),
            Storage::Blocks(b) => b.dequantize(at, out),
        }
    }
}

impl From<Nf4Matrix> for FrozenMatrix {
    fn from(m: Nf4Matrix) -> Self {
        Self { out_features: m.out_features(), in_features: m.in_features(), data: Storage::Nf4(m) }
    }
}

impl From<GgufBlocks> for FrozenMatrix {
    fn from(b: GgufBlocks) -> Self {
        Self { out_features: b.out_features(), in_features: b.in_features(), data: Storage::Blocks(b) }
    }
}
