//! What the rows that were read depend on: they are read again when it changes, and for nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::model::ModelInfo;
use crate::engine::config::{DataConfig, DataFormat, LossOn, MASK_FAULTS, SystemPrompt};
use crate::engine::hub::PartChoice;

/// What a survey depends on.
#[derive(Clone)]
pub(super) struct Key {
    pub train: String,
    pub validation: String,
    /// Of data sets of the Hub.
    pub parts: [PartChoice; 2],
    pub format: DataFormat,
    pub loss_on: LossOn,
    pub chat_template: String,
    pub columns: BTreeMap<String, String>,
    pub roles: BTreeMap<String, String>,
    pub system: SystemPrompt,
    /// Whether the mask of every row is checked.
    pub verify_all: bool,
    pub model: Arc<ModelInfo>,
}

impl Key {
    /// What the settings say now.
    pub fn of(settings: &DataConfig, model: &Arc<ModelInfo>) -> Key {
        Key {
            train: settings.train.trim().to_string(),
            validation: settings.validation.trim().to_string(),
            parts: [settings.train_part(), settings.validation_part()],
            format: settings.format,
            loss_on: settings.loss_on,
            chat_template: settings.chat_template.clone(),
            columns: settings.columns.clone(),
            roles: settings.roles.clone(),
            system: settings.system,
            verify_all: settings.leaves_out(MASK_FAULTS),
            model: model.clone(),
        }
    }

    /// Whether the rows are of the same file.
    pub fn is_of(&self, other: &Key) -> bool {
        self.train == other.train && self.parts[0] == other.parts[0]
    }

    /// Whether the rows of a file are read as the same conversations, however those are written.
    pub fn reads_as(&self, other: &Key) -> bool {
        let named = self.columns == other.columns && self.roles == other.roles;
        self.format == other.format && named && self.system == other.system
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        let same_model = Arc::ptr_eq(&self.model, &other.model);
        let files = self.is_of(other) && self.validation == other.validation && self.parts == other.parts;
        let written = self.loss_on == other.loss_on && self.chat_template == other.chat_template;
        files && same_model && written && self.verify_all == other.verify_all && self.reads_as(other)
    }
}
