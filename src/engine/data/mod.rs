//! Rows to tokens: formats, chat templates, masks, packing.

mod batch;

pub use batch::{Batch, Sample};
