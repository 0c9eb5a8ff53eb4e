//! Files of other tools: safetensors, Hugging Face folders, GGUF, bitsandbytes 4-bit. Reading models and tokenizers, and
//! writing files atomically.
//!
//! [`open`] gives a [`ModelSource`] for every format: the decoder's parameters, its tensors one at a time under their
//! Hugging Face names, and its tokenizer.

mod atomic;
mod bnb;
pub mod builtin;
mod check;
mod describe;
mod file_rows;
pub mod gguf;
mod hf;
pub mod safetensors;
mod source;
mod staged;
mod stored;
mod tokenizer;
mod weights;

pub(crate) use atomic::BUFFER as WRITE_BUFFER;
pub use atomic::{atomic_write, atomic_write_with};
pub use describe::{ModelDescription, describe};
pub(crate) use file_rows::ElementType;
pub use file_rows::FileRows;
pub use source::{ModelFacts, ModelSource, Quantization, open};
pub use staged::StagedFolder;
pub use stored::{Bytes, DenseType, Stored};
pub use tokenizer::TextTokenizer;
pub(crate) use weights::EMBEDDING;
pub use weights::{MatrixGroup, Role, StoredForm, StoredWeights};

use crate::engine::hub::{self, Reference, RepoKind};

/// Opens what a run file or a command line calls a model: `builtin:NAME`, a folder, a `.gguf` file, or a name on the Hub
/// whose files are on this computer. Never uses the network.
pub fn open_named(name: &str) -> crate::engine::Result<ModelSource> {
    if name.starts_with("builtin:") {
        // The name stays what the user knows; the folder is where it was unpacked.
        let mut source = open(builtin::model(name)?)?;
        source.name = name.to_string();
        return Ok(source);
    }
    match Reference::of(name, RepoKind::Model) {
        Reference::Path(path) => open(path),
        Reference::Hub(id) => open(hub::on_disk(&id)?),
    }
}
