//! Generating text: sampling, streaming, base and adapted model in one batch.

mod decode;
mod sampler;
mod text;

pub use decode::{Completion, Finish, Generated, Request, generate};
pub use sampler::{Sampler, Sampling};
pub use text::TextStream;
