//! The settings of a run, with their defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::engine::ops::Compute;

/// How the frozen weights lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantization {
    /// 4-bit NormalFloat (QLoRA).
    #[default]
    Nf4,
    /// Not quantized: in the compute type.
    None,
    /// As the model's file has them: GGUF blocks, or bitsandbytes 4-bit.
    Keep,
}

/// Shape of the rows of a data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// Found out from the rows.
    #[default]
    Auto,
    /// `messages: [{role, content}]`.
    Messages,
    /// `conversations: [{from, value}]`.
    #[serde(rename = "sharegpt")]
    ShareGpt,
    /// `instruction, input, output`.
    Alpaca,
    /// `prompt, completion`.
    PromptCompletion,
    /// `question, answer`.
    QuestionAnswer,
    /// `text`, or plain text files.
    Text,
    /// `prompt, chosen, rejected`.
    Preference,
}

/// Which tokens the loss is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossOn {
    /// The assistant's turns with their terminators.
    #[default]
    Completions,
    /// The last of these turns alone.
    LastTurn,
    /// Every token.
    All,
}

/// What happens at a row that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadRow {
    /// The run is refused, and the row is named.
    #[default]
    Stop,
    /// The row is left out, and counted.
    Skip,
}

/// Where a system prompt stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemPrompt {
    /// In a turn of its own, as the rows have it.
    #[default]
    OwnTurn,
    /// In front of the first question, for chat templates that know no system turn.
    InQuestion,
}

/// What is trained beside the frozen weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// Low-rank adapters beside linear layers.
    #[default]
    Lora,
}

/// The linears that get an adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// `"all-linear"`: every linear of every decoder layer.
    #[default]
    #[serde(with = "all_linear")]
    AllLinear,
    /// The named ones: `["q_proj", "v_proj"]`.
    Names(Vec<String>),
}

mod all_linear {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("all-linear")
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "all-linear" { Ok(()) } else { Err(D::Error::custom("expected \"all-linear\" or a list of names")) }
    }
}

/// The learning rate's course after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays at its peak.
    Constant,
    /// Falls to zero in a straight line.
    Linear,
    /// Falls to zero along half a cosine.
    #[default]
    Cosine,
}

/// The optimizer: AdamW, and how it keeps its two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// In memory, in 32 bits.
    #[default]
    Adamw,
    /// In memory, in 8 bits, as bitsandbytes does.
    #[serde(rename = "adamw-8bit")]
    Adamw8bit,
    /// In a file beside the run, in 32 bits.
    PagedAdamw,
}

impl OptimizerKind {
    /// As run files name it.
    pub fn name(self) -> &'static str {
        match self {
            OptimizerKind::Adamw => "adamw",
            OptimizerKind::Adamw8bit => "adamw-8bit",
            OptimizerKind::PagedAdamw => "paged-adamw",
        }
    }
}

/// What a layer keeps for its backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checkpointing {
    /// Everything.
    None,
    /// Its input only; the rest is computed again.
    PerLayer,
    /// The fastest that fits.
    #[default]
    Auto,
}

impl Checkpointing {
    /// As run files name it.
    pub fn name(self) -> &'static str {
        match self {
            Checkpointing::None => "none",
            Checkpointing::PerLayer => "per-layer",
            Checkpointing::Auto => "auto",
        }
    }
}

/// Where the embeddings of tokens are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Embeddings {
    /// In memory.
    #[default]
    Memory,
    /// In the model's file, from which the rows of the tokens at hand are read. A model whose head is the same matrix keeps it
    /// in memory: the head needs all rows for every token.
    File,
}

/// `[model]`: the frozen model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSection {
    /// `builtin:NAME`, a folder, a `.gguf` file.
    pub source: String,
    /// How the frozen weights lie in memory.
    pub quantization: Quantization,
    /// NF4's block scales are quantized too.
    pub double_quant: bool,
    /// Type of the inputs of matrix products.
    pub compute: Compute,
    /// Where the embeddings of tokens are looked up.
    pub embeddings: Embeddings,
}

/// `[data]`: the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataConfig {
    /// `builtin:NAME` or a file.
    pub train: String,
    /// A file of rows for the validation loss; empty for none.
    pub validation: String,
    /// Share of the training rows that is held out for the validation loss instead.
    pub validation_fraction: f64,
    /// Number of training rows that are held out for the validation loss instead; 0 for none.
    pub validation_rows: usize,
    /// The configuration of a data set of the Hub; empty for its default one.
    pub hub_config: String,
    /// The split of a data set of the Hub that is trained on; empty for `train`.
    pub hub_split: String,
    /// The split of a data set of the Hub that `validation` names; empty for `validation` or `test`.
    pub hub_validation_split: String,
    /// Shape of the rows.
    pub format: DataFormat,
    /// Longest sequence in tokens; with packing, the size of a pack.
    pub max_seq_len: usize,
    /// Short rows share a sequence.
    pub packing: bool,
    /// A new order in each epoch.
    pub shuffle: bool,
    /// Which tokens the loss is computed on.
    pub loss_on: LossOn,
    /// How conversations are written: empty for the model's own template, the name of one of its templates, `chatml`, a
    /// path that ends in `.jinja`, or the text of a template.
    pub chat_template: String,
    /// Where a system prompt stands.
    pub system: SystemPrompt,
    /// What happens at a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// Rows that say the same as an earlier one are left out.
    pub deduplicate: bool,
    /// Rows that are left out because they are unusual: words of [`LEAVE_OUT`](super::LEAVE_OUT).
    pub leave_out: Vec<String>,
    /// A field of the format to the column of the file that holds it, where their names differ.
    pub columns: BTreeMap<String, String>,
    /// The file's word for a speaker to the role that it stands for.
    pub roles: BTreeMap<String, String>,
}

/// `[method]`: what is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodConfig {
    /// The method.
    pub kind: MethodKind,
    /// Rank r of the adapters.
    pub rank: usize,
    /// α: the update is scaled by α/r.
    #[serde(serialize_with = "short_float")]
    pub alpha: f64,
    /// Probability with which an adapter's input is zeroed in training.
    pub dropout: f64,
    /// The linears that get an adapter.
    pub target_modules: TargetModules,
    /// Scale by α/√r instead.
    pub use_rslora: bool,
    /// An adapter folder to continue from; empty for a fresh adapter.
    pub init_from: String,
}

/// `[train]`: the steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainConfig {
    /// Times that the data is gone through; `max_steps` overrides it.
    pub epochs: usize,
    /// Optimizer steps; 0: as many as `epochs` gives.
    pub max_steps: usize,
    /// Sequences computed at once.
    pub batch_size: usize,
    /// Micro-batches whose gradients are summed before a step.
    pub grad_accumulation: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Its course.
    pub schedule: Schedule,
    /// Share of the steps in which it rises from zero.
    pub warmup_ratio: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Norm to which a larger gradient is shortened; 0 leaves it alone.
    pub max_grad_norm: f64,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// What a layer keeps for its backward.
    pub checkpointing: Checkpointing,
    /// The inputs of layers that are computed again wait in a file.
    pub checkpoint_offload: bool,
    /// Rows whose logits exist at a time; 0: as many as 56 MiB hold.
    pub logits_chunk: usize,
    /// Seed of the initial adapter, the order of the rows and dropout.
    pub seed: u64,
}

/// `[eval]`: the validation loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalConfig {
    /// Steps between two validation losses; 0: at the end only.
    pub every: usize,
}

/// `[sample]`: answers while it trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleConfig {
    /// Steps between two rounds of samples; 0: at the end only.
    pub every: usize,
    /// What is asked; empty for no samples.
    pub prompts: Vec<String>,
}

/// `[output]`: where the run goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputConfig {
    /// The run folder; empty: `runs/<time>-<name>` in the program's data folder.
    pub dir: String,
    /// Steps between two checkpoints; 0: at the end only.
    pub save_every: usize,
    /// Newest checkpoints that are kept.
    pub keep: usize,
}

/// Everything that describes a run. `RunConfig::default()` trains the built-in model on the built-in data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunConfig {
    /// The frozen model.
    pub model: ModelSection,
    /// The rows.
    pub data: DataConfig,
    /// What is trained.
    pub method: MethodConfig,
    /// The steps.
    pub train: TrainConfig,
    /// The validation loss.
    pub eval: EvalConfig,
    /// Answers while it trains.
    pub sample: SampleConfig,
    /// Where the run goes.
    pub output: OutputConfig,
    /// What a run folder adds: versions, files and their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

impl TrainConfig {
    /// Optimizer steps of the whole run, when one epoch has `steps_per_epoch`.
    pub fn total_steps(&self, steps_per_epoch: usize) -> usize {
        if self.max_steps > 0 { self.max_steps } else { self.epochs.saturating_mul(steps_per_epoch) }
    }
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            source: "builtin:tiny-chat".into(),
            quantization: Quantization::default(),
            double_quant: true,
            compute: Compute::default(),
            embeddings: Embeddings::default(),
        }
    }
}

impl DataConfig {
    /// Whether rows of this word of [`LEAVE_OUT`](super::LEAVE_OUT) are left out.
    pub fn leaves_out(&self, word: &str) -> bool {
        self.leave_out.iter().any(|other| other == word)
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: "builtin:pirate".into(),
            validation: String::new(),
            validation_fraction: 0.0,
            validation_rows: 0,
            hub_config: String::new(),
            hub_split: String::new(),
            hub_validation_split: String::new(),
            format: DataFormat::default(),
            max_seq_len: 512,
            packing: true,
            shuffle: true,
            loss_on: LossOn::default(),
            chat_template: String::new(),
            system: SystemPrompt::default(),
            on_bad_row: OnBadRow::default(),
            deduplicate: false,
            leave_out: Vec::new(),
            columns: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Default for MethodConfig {
    fn default() -> Self {
        Self {
            kind: MethodKind::default(),
            rank: 16,
            alpha: 32.0,
            dropout: 0.05,
            target_modules: TargetModules::default(),
            use_rslora: false,
            init_from: String::new(),
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 3,
            max_steps: 0,
            batch_size: 1,
            grad_accumulation: 4,
            learning_rate: 2e-4,
            schedule: Schedule::default(),
            warmup_ratio: 0.03,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            optimizer: OptimizerKind::default(),
            checkpointing: Checkpointing::default(),
            checkpoint_offload: false,
            logits_chunk: 0,
            seed: 0,
        }
    }
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { every: 50, prompts: Vec::new() }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { dir: String::new(), save_every: 100, keep: 3 }
    }
}

/// Writes 32 instead of 32.0.
fn short_float<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}
