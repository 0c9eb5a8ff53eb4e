//! Why there are no rows, and what can be done about it.

use crate::engine::config::DataConfig;
use crate::engine::data;
use crate::engine::hub::{Hub, HubId, PartChoice, Problem, problem};
use crate::units::bytes;

/// Why there are no rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataProblem {
    /// What happened, where, and what to do.
    pub text: String,
    /// A data set of the Hub that is not on this computer yet.
    pub download: Option<HubId>,
    /// Which part of it.
    pub part: PartChoice,
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
                let of_validation = data::Source::of_train(settings).is_ok();
                found.part = if of_validation { settings.validation_part() } else { settings.train_part() };
                found.download = hub(if of_validation { &settings.validation } else { &settings.train });
                if let Some(id) = &found.download {
                    let parts = Hub::from_environment().known_parts(id);
                    let part = parts.as_ref().and_then(|parts| parts.find(id, &found.part).ok());
                    found.text = match part {
                        Some((_, split)) => format!(
                            "the split {:?} of {id} is not on this computer yet: it has {}",
                            split.name,
                            bytes(split.bytes())
                        ),
                        None => format!("{id} is a data set on the Hugging Face Hub that is not on this computer yet"),
                    };
                }
            }
            Some(Problem::Choice { files }) => {
                found.of_validation = data::Source::of_train(settings).is_ok();
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
