//! Adapter folders as PEFT keeps them: `adapter_config.json`, `adapter_model.safetensors` and a model card.
//!
//! What PEFT wrote is read, and what is written here PEFT loads. Reading resolves the settings to one rank and one scale
//! per module; writing turns modules that differ back into `rank_pattern` and `alpha_pattern`.
//!
//! ```
//! use lora_studio::engine::peft::folder;
//!
//! let info = folder::inspect("tests/fixtures/peft/patterns".as_ref())?;
//! assert_eq!((info.modules, info.parameters, info.dtype.as_str()), (6, 224, "F32"));
//! assert_eq!(info.config.rank_of("model.layers.0.self_attn.q_proj"), 3);
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```

mod card;
mod config;
mod read;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use card::ModelCard;
pub use config::{AdapterConfig, Targets};
pub use read::{AdapterInfo, chat_template, inspect, read};
pub use write::write;
pub(crate) use write::{METADATA, tensors, write_files};

/// The settings.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// The model card.
pub const CARD_FILE: &str = "README.md";
/// The chat template, where the adapter was trained with another than the model's own.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";
/// A folder that holds one of these is an adapter's, and may be replaced by another. (A README.md may be anybody's.)
pub(crate) const MARKERS: [&str; 2] = [CONFIG_FILE, WEIGHTS_FILE];

/// What PEFT puts before a module's path.
const PREFIX: &str = "base_model.model.";
