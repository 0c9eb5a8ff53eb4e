//! LoRA (Hu et al. 2021): y = W x + s·B A x with W frozen, A `[r, in]`, B `[out, r]`, s = α/r (rsLoRA: α/√r).

mod config;
mod init;
mod layer;
mod norms;
mod shape;
mod state;

pub use config::LoraConfig;
pub(crate) use config::scale;
pub use layer::LoraPass;
pub use norms::AdapterNorms;
pub use shape::AdapterShape;
pub use state::{Adapter, LoraModule};
