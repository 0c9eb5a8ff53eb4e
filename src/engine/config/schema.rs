//! Every key of a run file: its type, what it may be, and the range in which it usually lies.
//!
//! One table for the reader, `--set`, the warnings and the controls of a window.

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// One of some words.
    Choice {
        /// What works.
        allowed: &'static [&'static str],
        /// What is planned and refused today.
        planned: &'static [&'static str],
    },
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// Whether `max` itself is allowed.
        max_included: bool,
    },
    /// A list of texts.
    TextList {
        /// What they may be; empty: any.
        allowed: &'static [&'static str],
    },
    /// `"all-linear"` or a list of module names.
    Modules,
    /// A table of texts: `{ prompt = "q" }`. Its own keys can be set one by one: `--set data.columns.prompt=q`.
    Table {
        /// The keys that it may have; empty: any.
        keys: &'static [&'static str],
        /// The values that they may have; empty: any.
        values: &'static [&'static str],
    },
}

/// The fields of all formats of rows: the keys of `data.columns`.
pub const ROW_FIELDS: &[&str] = &[
    "messages",
    "role",
    "content",
    "prompt",
    "completion",
    "system",
    "tools",
    "instruction",
    "input",
    "output",
    "history",
    "question",
    "answer",
    "text",
    "chosen",
    "rejected",
];

/// What the words of `data.roles` may stand for. `function_call`: an assistant's turn whose text is a tool call in JSON.
pub const ROLES: &[&str] = &["system", "user", "assistant", "tool", "function_call"];

/// The word of `data.leave_out` for rows whose mask, checked a second time, is wrong. With it every row is checked.
pub const MASK_FAULTS: &str = "mask-faults";

/// The words of `data.leave_out`: what can be unusual about a conversation, and [`MASK_FAULTS`].
pub const LEAVE_OUT: &[&str] = &[
    "assistant-first",
    "several-systems",
    "late-system",
    "two-questions",
    "empty-question",
    "two-answers",
    "empty-answer",
    "user-last",
    "unwritten-call",
    "unwritten-tools",
    "zero-byte",
    MASK_FAULTS,
];

/// One key of a run file.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub key: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// The range outside of which a warning is given.
    pub usual: Option<(f64, f64)>,
    /// One sentence of help.
    pub help: &'static str,
}

impl Field {
    /// `section.key`, as `--set` takes it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// The field of that section and key.
pub fn field(section: &str, key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.section == section && f.key == key)
}

/// Names of the sections, in the file's order.
pub fn sections() -> Vec<&'static str> {
    let mut names: Vec<&str> = FIELDS.iter().map(|f| f.section).collect();
    names.dedup();
    names
}

const fn of(section: &'static str, key: &'static str, kind: Kind, help: &'static str) -> Field {
    Field { section, key, kind, usual: None, help }
}

const fn usual(section: &'static str, key: &'static str, kind: Kind, range: (f64, f64), help: &'static str) -> Field {
    Field { section, key, kind, usual: Some(range), help }
}

const fn choice(allowed: &'static [&'static str]) -> Kind {
    Kind::Choice { allowed, planned: &[] }
}

/// A whole number from `min` to what fits 31 bits.
const fn count(min: i64) -> Kind {
    Kind::Integer { min, max: i32::MAX as i64 }
}

const fn number(min: f64, max: f64) -> Kind {
    Kind::Number { min, max, max_included: true }
}

const fn below(min: f64, max: f64) -> Kind {
    Kind::Number { min, max, max_included: false }
}

/// Every key, in the order in which a run file is written.
pub const FIELDS: &[Field] = &[
    of("model", "source", Kind::Text, "builtin:tiny-chat, a folder, a .gguf file, or owner/name on the Hub."),
    of("model", "quantization", choice(&["nf4", "none", "keep"]), "How the frozen weights lie in memory."),
    of("model", "double_quant", Kind::Bool, "NF4's block scales are quantized too: 0.37 bits a parameter less."),
    of("model", "compute", choice(&["bf16", "f32"]), "Type of the inputs of matrix products; sums are always f32."),
    of(
        "model",
        "embeddings",
        choice(&["memory", "file"]),
        "Where the tokens' embeddings are looked up: in memory, or in the model's file, with the same numbers; a head that is the same matrix stays in memory.",
    ),
    of(
        "data",
        "train",
        Kind::Text,
        "builtin:pirate, a file, or a data set on the Hub (owner/name) that was downloaded.",
    ),
    of("data", "validation", Kind::Text, "A file of rows that are never trained on, for the validation loss."),
    of("data", "validation_fraction", below(0.0, 1.0), "Share of the training rows held out for the validation loss."),
    of("data", "validation_rows", count(0), "Number of training rows held out for the validation loss; 0: none."),
    of("data", "hub_config", Kind::Text, "Configuration of a data set of the Hub; empty: its default one."),
    of("data", "hub_split", Kind::Text, "Split of a data set of the Hub to train on; empty: train."),
    of(
        "data",
        "hub_validation_split",
        Kind::Text,
        "Split of the data set of the Hub that validation names; empty: validation or test.",
    ),
    of(
        "data",
        "format",
        choice(&[
            "auto",
            "messages",
            "sharegpt",
            "alpaca",
            "prompt-completion",
            "question-answer",
            "text",
            "preference",
        ]),
        "Shape of the rows; auto finds out.",
    ),
    usual(
        "data",
        "max_seq_len",
        Kind::Integer { min: 2, max: 1 << 20 },
        (64.0, 8192.0),
        "Longest sequence, in tokens.",
    ),
    of("data", "packing", Kind::Bool, "Short rows share a sequence, without seeing each other."),
    of("data", "shuffle", Kind::Bool, "A new order in each epoch."),
    of(
        "data",
        "loss_on",
        choice(&["completions", "last-turn", "all"]),
        "Whether the loss counts the assistant's words, those of its last turn, or all.",
    ),
    of(
        "data",
        "chat_template",
        Kind::Text,
        "Empty: the model's own; the name of one of its templates, chatml, a .jinja file, or the template itself.",
    ),
    of(
        "data",
        "system",
        choice(&["own-turn", "in-question"]),
        "Where a system prompt stands: in its own turn, or before the first question, for templates that know no system turn.",
    ),
    of("data", "on_bad_row", choice(&["stop", "skip"]), "What happens at a row that cannot be read."),
    of("data", "deduplicate", Kind::Bool, "Rows that say the same as an earlier one are left out."),
    of(
        "data",
        "leave_out",
        Kind::TextList { allowed: LEAVE_OUT },
        "Rows that are left out because they are unusual in this way; with mask-faults every row's mask is checked.",
    ),
    of(
        "data",
        "columns",
        Kind::Table { keys: ROW_FIELDS, values: &[] },
        "The format's fields and the file's columns, where they differ: { prompt = \"q\", completion = \"a\" }.",
    ),
    of(
        "data",
        "roles",
        Kind::Table { keys: &[], values: ROLES },
        "The file's speakers and their roles: { customer = \"user\", agent = \"assistant\" }.",
    ),
    of(
        "method",
        "kind",
        Kind::Choice { allowed: &["lora"], planned: &["dora", "bottleneck", "prompt-tuning", "ia3"] },
        "What is trained beside the frozen weights.",
    ),
    usual("method", "rank", Kind::Integer { min: 1, max: 4096 }, (4.0, 32.0), "Rank of the adapters: their capacity."),
    usual(
        "method",
        "alpha",
        number(1e-6, 1e6),
        (8.0, 64.0),
        "Strength of the adapters: the update is scaled by alpha/rank.",
    ),
    usual("method", "dropout", below(0.0, 1.0), (0.0, 0.1), "Share of an adapter's inputs zeroed in training."),
    of("method", "target_modules", Kind::Modules, "The linears that get an adapter."),
    of("method", "use_rslora", Kind::Bool, "Scale by alpha/sqrt(rank): steadier at high ranks."),
    of("method", "init_from", Kind::Text, "An adapter folder to continue from."),
    usual("train", "epochs", count(1), (1.0, 10.0), "Times that the data is gone through."),
    of("train", "max_steps", count(0), "Optimizer steps; 0: as many as epochs gives."),
    of("train", "batch_size", Kind::Integer { min: 1, max: 65536 }, "Sequences computed at once."),
    of("train", "grad_accumulation", Kind::Integer { min: 1, max: 65536 }, "Micro-batches summed before a step."),
    usual("train", "learning_rate", number(0.0, 10.0), (1e-4, 2e-4), "Peak learning rate."),
    of("train", "schedule", choice(&["constant", "linear", "cosine"]), "The learning rate's course after warm-up."),
    usual("train", "warmup_ratio", number(0.0, 1.0), (0.0, 0.2), "Share of the steps in which the rate rises."),
    usual("train", "weight_decay", number(0.0, 10.0), (0.0, 0.1), "Decoupled weight decay."),
    of("train", "max_grad_norm", number(0.0, 1e9), "Norm to which a larger gradient is shortened; 0: never."),
    of(
        "train",
        "optimizer",
        choice(&["adamw", "adamw-8bit", "paged-adamw"]),
        "How AdamW keeps its moments: in 32 bits, in 8 bits, or in a file that leaves memory when it is short.",
    ),
    of("train", "checkpointing", choice(&["none", "per-layer", "auto"]), "What a layer keeps for its backward."),
    of(
        "train",
        "checkpoint_offload",
        Kind::Bool,
        "Inputs of layers that are computed again wait in a file: less memory, the same numbers, a little slower.",
    ),
    of(
        "train",
        "logits_chunk",
        Kind::Integer { min: 0, max: 65536 },
        "Rows whose logits exist at a time; 0: as many as 56 MiB hold. More are faster and take more memory.",
    ),
    of("train", "seed", Kind::Integer { min: 0, max: i64::MAX }, "Seed of the adapter, the rows' order and dropout."),
    of("eval", "every", count(0), "Steps between two validation losses; 0: at the end only."),
    of("sample", "every", count(0), "Steps between two rounds of samples; 0: at the end only."),
    of(
        "sample",
        "prompts",
        Kind::TextList { allowed: &[] },
        "What the base and the adapted model are asked while it trains.",
    ),
    of("output", "dir", Kind::Text, "The run folder; empty: runs/<time>-<name> in the program's data folder."),
    of("output", "save_every", count(0), "Steps between two checkpoints; 0: at the end only."),
    of("output", "keep", count(1), "Newest checkpoints that are kept."),
];

#[cfg(test)]
mod tests {
    use super::super::RunConfig;
    use super::*;

    /// docs/run-file.md's tables: every key with its default, what it may be, and its sentence of help.
    fn tables() -> String {
        let defaults = toml::Table::try_from(RunConfig::default()).unwrap();
        let mut text = String::new();
        for section in sections() {
            text.push_str(&format!(
                "\n## [{section}]\n\n| Key | Default | Allowed | Usual | |\n|---|---|---|---|---|\n"
            ));
            for f in FIELDS.iter().filter(|f| f.section == section) {
                let allowed = match f.kind {
                    Kind::Text => "text".to_string(),
                    Kind::Bool => "true, false".to_string(),
                    Kind::Choice { allowed, planned: [] } => allowed.join(", "),
                    Kind::Choice { allowed, planned } => {
                        format!("{} (later: {})", allowed.join(", "), planned.join(", "))
                    }
                    Kind::Integer { min, max } if max >= i32::MAX as i64 => format!("whole, from {min}"),
                    Kind::Integer { min, max } => format!("whole, {min} to {max}"),
                    Kind::Number { min, max, max_included: true } => format!("{min} to {max}"),
                    Kind::Number { min, max, max_included: false } => format!("{min} to below {max}"),
                    Kind::TextList { allowed: [] } => "list of texts".to_string(),
                    Kind::TextList { allowed } => format!("list of {}", allowed.join(", ")),
                    Kind::Modules => "\"all-linear\", or a list of names".to_string(),
                    Kind::Table { keys: [], values } => format!("table of any words to {}", values.join(", ")),
                    Kind::Table { keys, .. } => format!("table of {}", keys.join(", ")),
                };
                let usual = match f.usual {
                    Some((low, high)) if high < 0.01 => format!("{low:e} to {high:e}"),
                    Some((low, high)) => format!("{low} to {high}"),
                    None => String::new(),
                };
                let default = &defaults[f.section][f.key];
                text.push_str(&format!("| `{}` | `{default}` | {allowed} | {usual} | {} |\n", f.key, f.help));
            }
        }
        text
    }

    /// `UPDATE_DOCS=1 cargo test --release --lib schema` writes the page again.
    #[test]
    fn the_documentation_lists_every_key() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/run-file.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, _) = page.split_once("\n## [").unwrap();
        let expected = format!("{head}{}", tables());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        } else {
            assert_eq!(page, expected, "docs/run-file.md is out of date: UPDATE_DOCS=1 writes it again");
        }
    }
}
