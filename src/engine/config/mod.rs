//! The run file: one TOML description of a run, for the window, the command line and the run folder.
//!
//! ```
//! use lora_studio::engine::config::RunConfig;
//!
//! let mut run = RunConfig::from_str("[method]\nrank = 8\n")?;
//! run.set("train.learning_rate=1e-4")?;
//! assert_eq!(run.method.rank, 8);
//! assert_eq!(run.method.alpha, 32.0); // what a file leaves out has its default
//! assert!(run.validate()?.is_empty()); // nothing unusual about it
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```

mod parse;
mod paths;
mod presets;
mod record;
mod run;
mod schema;
mod validate;

pub(crate) use parse::nearest;
pub use paths::{expand_home, is_template_text, names_template_file, shorten_home, shorten_homes_in};
pub use presets::{Preset, presets};
pub use record::{FileRecord, Record};
pub use run::{
    Checkpointing, DataConfig, DataFormat, Embeddings, EvalConfig, LossOn, MethodConfig, MethodKind, ModelSection,
    OnBadRow, OptimizerKind, OutputConfig, Quantization, RunConfig, SampleConfig, Schedule, SystemPrompt,
    TargetModules, TrainConfig,
};
pub use schema::{FIELDS, Field, Kind, LEAVE_OUT, MASK_FAULTS, ROLES, ROW_FIELDS, field};
pub use validate::Warning;
