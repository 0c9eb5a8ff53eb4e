//! Files of other tools: safetensors, Hugging Face folders, GGUF, bitsandbytes 4-bit. Reading models and tokenizers, and
//! writing files atomically.
//!
//! [`open`] gives a [`ModelSource`] for every format: the decoder's parameters, its tensors one at a time under their
//! Hugging Face names, and its tokenizer.

mod atomic;
pub mod builtin;
mod check;
mod hf;
pub mod safetensors;
mod source;
mod staged;
mod stored;
mod tokenizer;

pub use atomic::{atomic_write, atomic_write_with};
pub use source::{ModelFacts, ModelSource, Quantization, open};
pub use staged::StagedFolder;
pub use stored::{Bytes, DenseType, Stored};
pub use tokenizer::TextTokenizer;
