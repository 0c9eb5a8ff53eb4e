//! What a user calls a model, opened.

use super::output::Failure;
use crate::engine::Error;
use crate::engine::config::expand_home;
use crate::engine::formats::{self, ModelSource};

/// Opens a folder or a `.gguf` file.
pub(super) fn open_model(name: &str) -> Result<ModelSource, Failure> {
    Ok(formats::open(expand_home(name))?)
}
