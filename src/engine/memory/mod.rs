//! Memory: what a step will take, and what the process holds.

mod plan;
pub mod process;

pub use plan::{Item, Plan};
