//! Generating text: sampling, streaming, base and adapted model in one batch.

mod sampler;
mod text;

pub use sampler::{Sampler, Sampling};
pub use text::TextStream;
