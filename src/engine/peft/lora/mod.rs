//! LoRA (Hu et al. 2021): y = W x + s·B A x with W frozen, A `[r, in]`, B `[out, r]`, s = α/r (rsLoRA: α/√r).

mod config;
mod state;

pub use config::LoraConfig;
pub use state::{Adapter, LoraModule};
