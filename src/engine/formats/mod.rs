//! Files of other tools: safetensors, Hugging Face folders, GGUF, bitsandbytes 4-bit. Reading models and tokenizers, and
//! writing files atomically.

mod atomic;
pub mod safetensors;
mod stored;

pub use atomic::{atomic_write, atomic_write_with};
pub use stored::{Bytes, DenseType, Stored};
