//! Which model trains in how much memory: the usual sizes of models against the usual sizes of memory, by the plan.

use candle_core::quantized::GgmlDType;
use serde::Serialize;

use super::fit::{self, Offer};
use super::{Inputs, Machine, Plan, Program};
use crate::engine::config::{Checkpointing, Embeddings, Quantization, RunConfig};
use crate::engine::formats::{DenseType, StoredForm, StoredWeights};
use crate::engine::generate::Footprint;
use crate::engine::model::{LoadOptions, ModelConfig};
use crate::units::grouped;

/// Sizes of memory, in GiB.
pub const MEMORIES: [u64; 8] = [4, 6, 8, 12, 16, 24, 32, 48];

/// Contexts are looked for up to this length, in steps of [`CONTEXT_STEP`].
const LONGEST: usize = 1 << 17;
const CONTEXT_STEP: usize = 256;

/// A model that many know, as its config.json describes it.
struct Known {
    name: &'static str,
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocab: usize,
    tied: bool,
}

const fn known(
    name: &'static str,
    [hidden, intermediate, layers, heads, kv_heads, vocab]: [usize; 6],
    tied: bool,
) -> Known {
    Known { name, hidden, intermediate, layers, heads, kv_heads, vocab, tied }
}

/// From their config.json on the Hub.
const MODELS: [Known; 7] = [
    known("1.1B (TinyLlama)", [2048, 5632, 22, 32, 4, 32_000], false),
    known("3B (Llama 3.2)", [3072, 8192, 28, 24, 8, 128_256], true),
    known("7B (Llama 2)", [4096, 11_008, 32, 32, 32, 32_000], false),
    known("8B (Llama 3.1)", [4096, 14_336, 32, 32, 8, 128_256], false),
    known("13B (Llama 2)", [5120, 13_824, 40, 40, 40, 32_000], false),
    known("32B (Qwen 2.5)", [5120, 27_648, 64, 40, 8, 152_064], false),
    known("70B (Llama 3.1)", [8192, 28_672, 80, 64, 8, 128_256], false),
];

/// The smallest files that llama.cpp makes of the types that can be read, best first: name, bits, and the type of a matrix
/// (`llama_tensor_get_type` of its llama-quant.cpp).
const SMALL_FILES: [(&str, u8, TypeOf); 2] = [
    ("Q3_K_S", 3, |m, name, _| match name {
        "lm_head" => GgmlDType::Q6K,
        // Where eight heads share it (70B), it costs little.
        "v_proj" if m.layers.len() == 80 => GgmlDType::Q5K,
        _ => GgmlDType::Q3K,
    }),
    ("Q2_K_S", 2, |m, name, layer| match name {
        "lm_head" => GgmlDType::Q6K,
        "v_proj" if m.layers.len() == 80 => GgmlDType::Q5K,
        "v_proj" if m.heads >= 4 * m.kv_heads => GgmlDType::Q4K,
        "down_proj" if layer < m.layers.len() / 8 => GgmlDType::Q4K,
        _ => GgmlDType::Q2K,
    }),
];

/// The type of a matrix by its module's name and its layer.
type TypeOf = fn(&ModelConfig, &str, usize) -> GgmlDType;

/// The weights as such a file holds them.
fn of_blocks(model: &ModelConfig, type_of: TypeOf) -> StoredWeights {
    StoredWeights::of_forms(model, |name, elements| {
        // `model.layers.3.mlp.down_proj.weight`; a tied head is called as the embedding that it is.
        let mut parts = name.trim_end_matches(".weight").rsplit('.');
        let module = parts.next().unwrap_or_default();
        let module = if model.tied && module == "embed_tokens" { "lm_head" } else { module };
        let layer = parts.find_map(|part| part.parse().ok()).unwrap_or(0);
        let dtype = type_of(model, module, layer);
        StoredForm::Blocks { bytes: elements / dtype.block_size() * dtype.type_size() }
    })
}

impl Known {
    fn config(&self) -> ModelConfig {
        let head_dim = 128.min(self.hidden / self.heads);
        let [heads, kv_heads] = [self.heads, self.kv_heads];
        ModelConfig {
            max_positions: LONGEST,
            tied: self.tied,
            ..ModelConfig::llama(self.hidden, self.intermediate, self.layers, heads, kv_heads, head_dim, self.vocab)
        }
    }
}

/// What a model does in a memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Size of the memory.
    pub memory_bytes: u64,
    /// Whether the run of [`usual_run`] fits as it is.
    pub fits: bool,
    /// What must change, when it does not fit, and can.
    pub change: Option<Offer>,
    /// Longest sequence of one row that trains, with every layer computed twice and embeddings in the model's file; 0: none.
    pub train_tokens: usize,
    /// Longest conversation in 4 bits; 0: none.
    pub chat_tokens: usize,
    /// Where there is none, a file in fewer bits that answers.
    pub chat_file: Option<ChatFile>,
}

/// A GGUF file whose blocks are kept as they are (`quantization = "keep"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChatFile {
    /// How llama.cpp calls its mix of types: `Q2_K_S`.
    pub kind: &'static str,
    /// Bits of most of its weights.
    pub bits: u8,
    /// Longest conversation.
    pub tokens: usize,
}

impl Cell {
    /// The longest conversation, with what it takes: "1,024 in 4 bits", "512 with a 2-bit GGUF (Q2_K_S)".
    pub fn chat(&self) -> Option<String> {
        match self.chat_file {
            _ if self.chat_tokens > 0 => Some(format!("{} in 4 bits", grouped(self.chat_tokens as u64))),
            Some(ChatFile { kind, bits, tokens }) => {
                Some(format!("{} with a {bits}-bit GGUF ({kind})", grouped(tokens as u64)))
            }
            None => None,
        }
    }
}

/// A model in every memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub model: String,
    /// Numbers of the model.
    pub parameters: u64,
    /// The least that the run takes, with the program.
    pub least_bytes: u64,
    /// One entry a memory.
    pub cells: Vec<Cell>,
}

/// The run that the table is about: QLoRA as it is usually begun.
pub fn usual_run() -> RunConfig {
    let mut run = RunConfig::default();
    run.model.quantization = Quantization::Nf4;
    run.method.rank = 16;
    run.method.dropout = 0.0;
    run.data.max_seq_len = 512;
    run.train.batch_size = 1;
    run.train.grad_accumulation = 16;
    run.train.checkpointing = Checkpointing::Auto;
    run
}

/// The largest of the models: 80 layers.
pub fn largest_known() -> ModelConfig {
    MODELS[MODELS.len() - 1].config()
}

/// The whole table, for a program that holds so much beside the run.
pub fn hardware_table(program: Program, machine: Machine) -> Vec<Row> {
    MODELS.iter().map(|known| row(known, program, machine)).collect()
}

fn row(known: &Known, program: Program, machine: Machine) -> Row {
    let model = known.config();
    let stored = StoredWeights::dense(&model, DenseType::Bf16);
    let blocks = SMALL_FILES.map(|(kind, bits, type_of)| (kind, bits, of_blocks(&model, type_of)));
    let run = usual_run();
    let inputs = |memory: u64| Inputs {
        model: &model,
        stored: &stored,
        adapter: None,
        rows: None,
        available_bytes: memory.saturating_sub(program.resident),
        program,
        machine,
    };
    let needed =
        |memory: u64, run: &RunConfig| Plan::price(&inputs(memory), run).map_or(u64::MAX, |price| price.plan.needed());
    let mut least = run.clone();
    least.train.checkpointing = Checkpointing::PerLayer;
    least.model.embeddings = Embeddings::File;
    let cell = |gib: u64| {
        let memory = gib << 30;
        let free = memory.saturating_sub(program.resident);
        let fits = needed(memory, &run) <= free;
        let train_tokens = longest(|tokens| {
            let mut long = least.clone();
            long.data.max_seq_len = tokens;
            needed(memory, &long) <= free
        });
        let chat = |stored: &StoredWeights, quantization| {
            let options = LoadOptions { quantization, ..LoadOptions::of_run(&run.model).without_embeddings() };
            longest(|tokens| Footprint::of(&model, stored, &options, 0, (1, tokens), machine.threads).total() <= free)
        };
        let chat_tokens = chat(&stored, Quantization::Nf4);
        let chat_file = blocks.iter().filter(|_| chat_tokens == 0).find_map(|(kind, bits, stored)| {
            let tokens = chat(stored, Quantization::Keep);
            (tokens > 0).then_some(ChatFile { kind, bits: *bits, tokens })
        });
        let change = if fits { None } else { fit::make_it_fit(&inputs(memory), &run) };
        Cell { memory_bytes: memory, fits, change, train_tokens, chat_tokens, chat_file }
    };
    Row {
        model: known.name.into(),
        parameters: stored.parameters(),
        least_bytes: needed(u64::MAX, &least) + program.resident,
        cells: MEMORIES.into_iter().map(cell).collect(),
    }
}

/// The most steps of tokens for which it is true; it is false for all that are longer.
fn longest(fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, LONGEST / CONTEXT_STEP);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle * CONTEXT_STEP) { low = middle } else { high = middle - 1 }
    }
    low * CONTEXT_STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::cpu::Isa;

    /// What the program held in measured runs (docs/performance.md), rounded up; and a usual number of threads.
    fn table() -> Vec<Row> {
        let program = Program { resident: 160 << 20, allocated: 0 };
        hardware_table(program, Machine { threads: 8, isa: Isa::current() })
    }

    #[test]
    fn it_holds_the_rows_of_the_guide() {
        let table = table();
        let cell = |model: &str, gib: u64| {
            let row = table.iter().find(|r| r.model.starts_with(model)).unwrap();
            row.cells[MEMORIES.iter().position(|m| *m == gib).unwrap()].clone()
        };
        // Training: 7B in 8 GB, 13B in 16 GB, 70B in 48 GB. Inference: 7B in 4 GB, 13B in 8 GB; 70B in 24 GB is less than 3 bits
        // a number.
        for (model, gib) in [("7B", 8), ("13B", 16), ("70B", 48)] {
            let cell = cell(model, gib);
            assert!(cell.fits && cell.train_tokens >= 512, "{model} {cell:?}");
        }
        assert!(cell("7B", 4).chat_tokens >= 512 && cell("13B", 8).chat_tokens >= 1024);
        let small = cell("70B", 24);
        assert!(!small.fits && small.chat_tokens == 0);
        assert!(
            matches!(small.chat_file, Some(ChatFile { kind: "Q2_K_S", tokens, .. }) if tokens >= 1024),
            "{small:?}"
        );
        // More memory never means less.
        for row in &table {
            for pair in row.cells.windows(2) {
                assert!(pair[1].train_tokens >= pair[0].train_tokens && pair[1].fits >= pair[0].fits, "{row:?}");
            }
        }
        // Numbers of the models' own cards.
        for (row, billions) in table.iter().zip([1.100, 3.213, 6.738, 8.030, 13.016, 32.76, 70.55]) {
            let found = row.parameters as f64 / 1e9;
            assert!((found - billions).abs() < 0.01 * billions, "{} {found}", row.model);
        }
    }

    /// `UPDATE_DOCS=1 cargo test --release --lib memory::table` writes the page again.
    #[test]
    fn the_documentation_shows_it() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hardware.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, _) = page.split_once("\n| Model").unwrap();
        let expected = format!("{head}\n{}", markdown(&table()));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        } else if Isa::current() == Isa::Avx512Bf16 {
            // Other instructions pack operands in more memory, and a context may end a step earlier.
            assert_eq!(page, expected, "docs/hardware.md is out of date: UPDATE_DOCS=1 writes it again");
        }
    }

    fn markdown(table: &[Row]) -> String {
        let memories: Vec<String> = MEMORIES.iter().map(|m| format!("{m} GiB")).collect();
        let mut text = format!("| Model | takes at least | {} |\n", memories.join(" | "));
        text.push_str(&format!("|---|---|{}\n", "---|".repeat(MEMORIES.len())));
        for row in table {
            let cells: Vec<String> = row.cells.iter().map(words).collect();
            let least = crate::units::bytes(row.least_bytes);
            text.push_str(&format!("| {} | {least} | {} |\n", row.model, cells.join(" | ")));
        }
        text
    }

    fn words(cell: &Cell) -> String {
        let trains = match (cell.fits, &cell.change) {
            (true, _) => format!("trains, up to {}", grouped(cell.train_tokens as u64)),
            (false, Some(offer)) => format!("with {}", offer.label()),
            (false, None) => "no training".to_string(),
        };
        let chats = match (cell.chat_tokens, cell.chat()) {
            (0, None) => "no chat".to_string(),
            (0, Some(with)) => format!("chat {with}"),
            (tokens, _) => format!("chat {}", grouped(tokens as u64)),
        };
        format!("{trains}; {chats}")
    }
}
