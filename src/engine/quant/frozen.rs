//! A frozen `[out, in]` matrix in one of the layouts that the kernels read.

use half::bf16;

/// Plain numbers, row-major.
#[derive(Clone, Debug)]
pub enum Dense {
    /// 32-bit.
    F32(Vec<f32>),
    /// bfloat16.
    Bf16(Vec<bf16>),
}

/// A frozen `[out, in]` matrix, row-major as Hugging Face stores it.
#[derive(Clone, Debug)]
pub struct FrozenMatrix {
    /// Rows: output features.
    pub out_features: usize,
    /// Columns: input features.
    pub in_features: usize,
    /// The numbers.
    pub data: Dense,
}
