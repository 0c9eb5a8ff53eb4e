//! The engine: reading models and data, training, generating, exporting.
//!
//! The way of the data, in one direction: file → rows → conversations → tokens with a mask → packed batches → hidden
//! states → loss → gradients → flat adapter buffer → checkpoint → export.

pub mod config;
pub mod data;
pub mod device;
pub mod digest;
pub mod error;
pub mod export;
pub mod formats;
pub mod generate;
pub mod hub;
pub mod memory;
pub mod model;
pub mod ops;
pub mod peft;
mod positioned;
pub mod quant;
mod scratch_file;
pub mod train;

#[cfg(test)]
mod test_support;

pub use error::{Error, Result};
