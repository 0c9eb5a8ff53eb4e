//! Frozen weights as they lie in memory: NF4 with double quantization, GGUF blocks, bf16 or f32.

mod frozen;

pub use frozen::{Dense, FrozenMatrix};
