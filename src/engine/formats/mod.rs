//! Files of other tools: safetensors, Hugging Face folders, GGUF, bitsandbytes 4-bit. Reading models and tokenizers, and
//! writing files atomically.
//!
//! [`open`] gives a [`ModelSource`] for every format: the decoder's parameters, its tensors one at a time under their
//! Hugging Face names, and its tokenizer.

mod atomic;
mod bnb;
pub mod builtin;
mod check;
pub mod gguf;
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

/// Opens what a run file or a command line calls a model: `builtin:NAME`, a folder, or a `.gguf` file.
pub fn open_named(name: &str) -> crate::engine::Result<ModelSource> {
    if name.starts_with("builtin:") {
        // The name stays what the user knows; the folder is where it was unpacked.
        let mut source = open(builtin::model(name)?)?;
        source.name = name.to_string();
        return Ok(source);
    }
    open(crate::engine::config::expand_home(name))
}
