//! Writing results in the forms that other programs use, and reading each back before saying that it is done.

mod peft;

pub use peft::{adapter_dir, peft};
