//! Memory: what the process holds.

pub mod process;
