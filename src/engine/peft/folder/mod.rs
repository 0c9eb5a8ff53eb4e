//! Adapter folders as PEFT keeps them: `adapter_config.json`, `adapter_model.safetensors` and a model card.
//!
//! What PEFT wrote is read, and what is written here PEFT loads. Reading resolves the settings to one rank and one scale
//! per module; writing turns modules that differ back into `rank_pattern` and `alpha_pattern`.

mod card;
mod config;
mod read;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use card::ModelCard;
pub use config::{AdapterConfig, Targets};
pub use read::{AdapterInfo, inspect, read};
pub use write::write;
pub(crate) use write::{METADATA, tensors, write_files};

/// The settings.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// The model card.
pub const CARD_FILE: &str = "README.md";
/// Every file of an adapter folder: one that holds nothing else may be replaced.
pub const FILES: [&str; 3] = [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE];

/// What PEFT puts before a module's path.
const PREFIX: &str = "base_model.model.";
