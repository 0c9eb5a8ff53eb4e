//! Generating text: sampling, streaming, base and adapted model in one batch.
//!
//! ```
//! use lora_studio::engine::generate::{Sampler, Sampling};
//!
//! let mut greedy = Sampler::new(Sampling::greedy())?;
//! assert_eq!(greedy.sample(&[0.5, 2.0, -1.0], &[])?, 1);
//! let mut one_of_two = Sampler::new(Sampling { temperature: 0.8, top_k: 2, seed: 7, ..Sampling::greedy() })?;
//! assert_ne!(one_of_two.sample(&[0.5, 2.0, -1.0], &[])?, 2);
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```

mod decode;
mod divergence;
mod footprint;
mod sampler;
mod stop_text;
mod text;

pub use decode::{Completion, Finish, Generated, Request, generate, generate_in, generate_until};
pub use divergence::{Divergence, TokenDivergence, divergence};
pub use footprint::Footprint;
pub use sampler::{Sampler, Sampling};
pub use stop_text::StopText;
pub use text::TextStream;
