//! Memory: what a step will take, and what the process holds.

mod plan;
mod price;
pub mod process;
mod rows;

pub use plan::{Item, Plan};
pub use price::{Inputs, Price};
pub use rows::BatchShape;
