//! The run being prepared.

use crate::engine::config::{self, RunConfig};

/// What the first start prepares: the built-in model and rows, so that Start works at once and without a network.
pub fn first_run() -> RunConfig {
    preset("quickstart").unwrap_or_default()
}

/// The settings of a preset.
pub fn preset(id: &str) -> Option<RunConfig> {
    config::presets().iter().find(|preset| preset.id == id).map(|preset| preset.config.clone())
}

/// A preset for the user's own model and rows: everything of it but those.
pub fn with_preset(draft: &RunConfig, preset: &RunConfig) -> RunConfig {
    let mut run = preset.clone();
    run.model.source = draft.model.source.clone();
    run.data.train = draft.data.train.clone();
    run.data.validation = draft.data.validation.clone();
    run.data.format = draft.data.format;
    if !draft.data.validation.is_empty() {
        run.data.validation_fraction = 0.0;
    }
    if !draft.sample.prompts.is_empty() {
        run.sample.prompts = draft.sample.prompts.clone();
    }
    run.output.dir = draft.output.dir.clone();
    run
}
