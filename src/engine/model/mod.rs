//! The decoder: configuration, weights, forward and backward.

mod config;
mod decoder;
mod infer;
mod kv_cache;
mod layer;
mod linear;
mod load;
mod offload;
mod pass;
mod workspace;

pub use config::{Activation, Family, LayerConfig, LinearKind, ModelConfig, RopeConfig, RopeScaling};
pub use decoder::{Embedding, Model};
pub use infer::{PIECE, Session};
pub use kv_cache::KvCache;
pub use layer::DecoderLayer;
pub(in crate::engine) use layer::{GATE_UP, QKV};
pub(in crate::engine) use linear::GroupShape;
pub use linear::Linear;
pub use load::{LoadOptions, WeightBytes};
pub use pass::Pass;
pub use workspace::{Checkpointing, Layout, LoraScratch, Saved, Scratch, Workspace, WorkspaceSize};
