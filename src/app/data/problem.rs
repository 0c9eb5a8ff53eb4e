//! Why there are no rows, and what can be done about it.

use crate::engine::config::DataConfig;
use crate::engine::data;
use crate::engine::hub::{HubId, Problem, problem};

/// Why there are no rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataProblem {
    /// What happened, where, and what to do.
    pub text: String,
    /// A data set of the Hub that is not on this computer yet.
    pub download: Option<HubId>,
    /// Files to choose from, with their sizes in bytes.
    pub choice: Vec<(HubId, u64)>,
    /// Whether the choice is about the rows for validation.
    pub of_validation: bool,
}

impl DataProblem {
    pub(super) fn new(text: impl Into<String>) -> DataProblem {
        DataProblem { text: text.into(), ..DataProblem::default() }
    }

    pub(super) fn of(error: &crate::engine::Error, settings: &DataConfig) -> DataProblem {
        use crate::engine::hub::{Reference, RepoKind};
        let mut found = DataProblem::new(error.to_string());
        let hub = |text: &str| Reference::hub(text, RepoKind::Dataset);
        match problem(error) {
            // The error does not say which of the two it is about: the first that is not there.
            Some(Problem::NotOnDisk) => {
                let names = [&settings.train, &settings.validation];
                let absent = |id: &HubId| crate::engine::hub::on_disk(id).is_err();
                found.download = names.into_iter().filter_map(|name| hub(name)).find(absent);
                if let Some(id) = &found.download {
                    found.text = format!("{id} is a data set on the Hugging Face Hub that is not on this computer yet");
                }
            }
            Some(Problem::Choice { files }) => {
                found.of_validation = data::Source::find(&settings.train).is_ok();
                let name = if found.of_validation { &settings.validation } else { &settings.train };
                let file = |id: &HubId, file: &str| HubId { file: Some(file.to_string()), ..id.clone() };
                let choice = hub(name).map(|id| files.iter().map(|(name, size)| (file(&id, name), *size)).collect());
                found.choice = choice.unwrap_or_default();
            }
            _ => {}
        }
        found
    }
}
