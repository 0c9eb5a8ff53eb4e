//! Memory: what a step will take, and what the process holds.

mod cost;
pub mod fit;
mod guard;
pub mod heap;
mod kernels;
mod machine;
mod meter;
mod plan;
mod price;
pub mod process;
mod rows;
pub mod table;

pub use guard::Guard;
pub use machine::{Machine, Program};
pub use meter::{Measured, Meter, Part};
pub use plan::{Buffer, Item, Loading, Phase, Plan};
pub use price::{Inputs, Price};
pub use rows::BatchShape;
