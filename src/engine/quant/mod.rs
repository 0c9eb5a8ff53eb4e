//! Frozen weights as they lie in memory: NF4 with double quantization, GGUF blocks, bf16 or f32.

mod blocks;
pub mod dynamic;
mod frozen;
mod ggml;
pub mod nf4;

pub use blocks::GgufBlocks;
pub use frozen::{Dense, FrozenMatrix, Storage};
pub use nf4::Nf4Matrix;
