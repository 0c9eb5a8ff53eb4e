//! `lora-studio plan`: what a run will take of the memory, buffer by buffer, before it is begun.

use serde::Serialize;

use super::output::{Failure, bytes, grouped, json, note, say};
use super::{download, train};
use crate::engine::config::{RunConfig, expand_home};
use crate::engine::data;
use crate::engine::device;
use crate::engine::formats::{self, DenseType, StoredWeights, TextTokenizer};
use crate::engine::hub::{Hub, HubId, Reference, RepoKind};
use crate::engine::memory::fit::{self, Offer};
use crate::engine::memory::table::{MEMORIES, Row, hardware_table};
use crate::engine::memory::{BatchShape, Buffer, Inputs, Machine, Phase, Plan, Price, Program, process};
use crate::engine::model::ModelConfig;
use crate::engine::peft::{self, AdapterShape};
use crate::units::parse_bytes;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run file
    #[arg(value_name = "RUN.toml", required_unless_present = "table")]
    run: Option<std::path::PathBuf>,
    /// Change a setting of the run file; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Memory of the device that the run is for, such as 8GiB; if not given, what is free on this machine
    #[arg(long, value_name = "SIZE", value_parser = device_memory)]
    device_memory: Option<u64>,
    /// Take every row to be as long as data.max_seq_len allows, instead of reading the rows
    #[arg(long)]
    longest_rows: bool,
    /// Show which sizes of models fit into which memory, instead of a run
    #[arg(long, conflicts_with = "run")]
    table: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The size of a memory. A number without a unit would be bytes, and nobody means so few.
fn device_memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text) {
        Some(size) if size >= 1 << 20 => Ok(size),
        Some(size) => Err(format!("{} is no device's memory: write a unit, such as 8GiB", bytes(size))),
        None => Err("not a size, such as 8GiB".into()),
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(file) = args.run.as_ref().filter(|_| !args.table) else { return table(args.json) };
    let mut config = RunConfig::load(file)?;
    config.record = None;
    train::apply(&mut config, &args.set)?;
    let config = config.with_absolute_paths();
    config.validate()?;

    let model = Known::of(&config.model.source)?;
    let rows = if args.longest_rows { None } else { rows(&config, model.tokenizer.as_ref())? };
    let adapter = match config.method.init_from.as_str() {
        "" => None,
        folder => Some(AdapterShape::of(&peft::folder::read(&expand_home(folder), &model.config)?)),
    };
    let program = Program::measured();
    let available = match args.device_memory {
        Some(size) => size.saturating_sub(program.resident),
        None => device::available_bytes(),
    };
    let inputs = Inputs {
        model: &model.config,
        stored: &model.stored,
        adapter: adapter.as_ref(),
        rows: rows.as_ref(),
        available_bytes: available,
        program,
        machine: Machine::this(),
    };
    let price = Plan::price(&inputs, &config)?;
    let fits = price.plan.needed() <= available;
    let shown = Shown {
        model: &config.model.source,
        rows_known: rows.is_some(),
        device_memory_bytes: args.device_memory,
        available_bytes: available,
        needed_bytes: price.plan.needed(),
        total_bytes: price.plan.total(),
        allocated_bytes: price.plan.allocated(),
        prepare_bytes: process::peak_resident_bytes(),
        file_bytes: price.file_bytes,
        program,
        peak: price.plan.peak_phase(),
        fits,
        kept_layers: price.kept_layers(),
        layers: price.layers(),
        trainable_parameters: price.trainable_parameters,
        total_parameters: price.total_parameters,
        phases: Phase::ALL.map(|phase| PhaseBytes { phase, bytes: price.plan.bytes_in(phase) }),
        buffers: &price.plan.buffers,
        fix: fit::make_it_fit(&inputs, &config),
        smaller: fit::smaller_runs(&inputs, &config),
        faster: if fits { fit::make_it_faster(&inputs, &config) } else { Vec::new() },
    };
    if args.json {
        return json(&shown);
    }
    shown.print(&price)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    model: &'a str,
    /// Whether the rows were read; else every one counts as long as it may be.
    rows_known: bool,
    device_memory_bytes: Option<u64>,
    /// Beside the program.
    available_bytes: u64,
    /// Beside the program, at the peak.
    needed_bytes: u64,
    /// With the program.
    total_bytes: u64,
    /// With what the program has allocated, without file pages: what an allocator counts.
    allocated_bytes: u64,
    /// The most that reading the rows took.
    prepare_bytes: u64,
    /// Of files in the run folder while it trains.
    file_bytes: u64,
    program: Program,
    peak: Phase,
    fits: bool,
    kept_layers: usize,
    layers: usize,
    trainable_parameters: u64,
    total_parameters: u64,
    phases: [PhaseBytes; 7],
    buffers: &'a [Buffer],
    /// What would make it fit.
    fix: Option<Offer>,
    smaller: Vec<Offer>,
    faster: Vec<Offer>,
}

#[derive(Serialize)]
struct PhaseBytes {
    phase: Phase,
    bytes: u64,
}

impl Shown<'_> {
    fn print(&self, price: &Price) -> Result<(), Failure> {
        let share = 100.0 * self.trainable_parameters as f64 / self.total_parameters.max(1) as f64;
        let [trainable, total] = [self.trainable_parameters, self.total_parameters].map(grouped);
        say(format!("model      {}", self.model))?;
        say(format!("trainable  {trainable} of {total} ({share:.2}%)"))?;
        let rows = if self.rows_known { "as they are" } else { "each as long as data.max_seq_len allows" };
        say(format!("rows       {rows}"))?;
        let layers = format!("{} of {} layers keep their forward", self.kept_layers, self.layers);
        say(format!("layers     {layers}"))?;
        let (program, needed) = (bytes(self.program.resident), bytes(self.needed_bytes));
        let phase = self.peak.name();
        say(format!(
            "memory     {} at most, in {phase}: {needed} and the program's own {program}",
            bytes(self.total_bytes)
        ))?;
        if self.file_bytes > 0 {
            say(format!("files      {} in the run folder while it trains", bytes(self.file_bytes)))?;
        }
        let free = bytes(self.available_bytes);
        match self.fits {
            true => say(format!("fits       {needed} of {free} that are free"))?,
            false => {
                let much = bytes(self.needed_bytes - self.available_bytes);
                say(format!("fits       no: {needed} of {free} that are free, {much} too much"))?;
            }
        }
        say("")?;
        say(format!("{:<13} {:<34} {:<9} {:>6} {:>10} {:>10}", "item", "buffer", "from", "count", "each", "all"))?;
        for b in &price.plan.buffers {
            let from = if b.only { format!("{} only", b.from.name()) } else { b.from.name().to_string() };
            let (item, each, all) = (b.item.name(), bytes(b.each), bytes(b.bytes()));
            say(format!("{item:<13} {:<34} {from:<9} {:>6} {each:>10} {all:>10}", b.name, b.count))?;
        }
        say("")?;
        for PhaseBytes { phase, bytes: n } in &self.phases {
            say(format!("{:<13} {:>10}", phase.name(), bytes(*n)))?;
        }
        if let Some(offer) = &self.fix {
            say("\nit fits with")?;
            self.offer(offer)?;
        } else if !self.fits {
            say("\nno setting makes it fit: choose a smaller model, or close other programs")?;
        }
        if !self.smaller.is_empty() {
            say("\nless memory")?;
            self.smaller.iter().try_for_each(|offer| self.offer(offer))?;
        }
        if !self.faster.is_empty() {
            say("\nfaster, and it still fits")?;
            self.faster.iter().try_for_each(|offer| self.offer(offer))?;
        }
        Ok(())
    }

    fn offer(&self, offer: &Offer) -> Result<(), Failure> {
        let settings: Vec<String> = offer.settings().iter().map(|s| format!("--set '{s}'")).collect();
        say(format!("  {}: {}, {}", offer.label(), bytes(offer.needed), offer.price()))?;
        say(format!("    {}", settings.join(" ")))
    }
}

/// A model whose shape is known; its weights need not be here.
struct Known {
    config: ModelConfig,
    stored: StoredWeights,
    tokenizer: Option<TextTokenizer>,
}

impl Known {
    fn of(name: &str) -> Result<Known, Failure> {
        if let Some(id) = Reference::hub(name, RepoKind::Model).filter(|_| !name.starts_with("builtin:")) {
            let hub = Hub::from_environment();
            if hub.on_disk(&id).is_err() && !hub.offline() {
                return Self::of_hub(&hub, &id);
            }
        }
        let source = formats::open_named(name)?;
        let stored = StoredWeights::of(&source)?;
        Ok(Known { stored, tokenizer: Some(source.tokenizer()?), config: source.config.clone() })
    }

    /// From the small files of a repository.
    fn of_hub(hub: &Hub, id: &HubId) -> Result<Known, Failure> {
        let folder = download::fetch(hub, &download::listed(hub, id)?.without_weights())?;
        let found = formats::describe(&folder)?;
        let dtype = match found.dtype.as_deref() {
            Some("float32") => DenseType::F32,
            Some("float16") => DenseType::F16,
            _ => DenseType::Bf16,
        };
        let tokenizer = found.tokenizer(&folder).ok();
        Ok(Known { stored: StoredWeights::dense(&found.config, dtype), config: found.config, tokenizer })
    }
}

/// The lengths of the rows, where they are on this computer.
fn rows(config: &RunConfig, tokenizer: Option<&TextTokenizer>) -> Result<Option<BatchShape>, Failure> {
    let Some(tokenizer) = tokenizer else { return Ok(None) };
    match data::load(&config.data, tokenizer, config.train.seed) {
        Ok(found) => Ok(Some(BatchShape::of(&found, &config.data))),
        Err(error @ crate::engine::Error::Hub { .. }) => {
            note(format!("the rows are not read: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn table(as_json: bool) -> Result<(), Failure> {
    let rows = hardware_table(Program::measured(), Machine::this());
    if as_json {
        return rows.iter().try_for_each(json);
    }
    say("QLoRA of rank 16 on all linears, 512 tokens: the longest sequence that trains, or what must change")?;
    say("")?;
    let memories: Vec<String> = MEMORIES.iter().map(|gib| format!("{:>9}", format!("{gib} GiB"))).collect();
    say(format!("{:<18} {:>9} {}", "model", "at least", memories.join(" ")))?;
    let line = |row: &Row, what: &str, cell: &dyn Fn(&crate::engine::memory::table::Cell) -> String| {
        let cells: Vec<String> = row.cells.iter().map(|c| format!("{:>9}", cell(c))).collect();
        say(format!("{what:<28} {}", cells.join(" ")))
    };
    for row in &rows {
        let head = format!("{:<18} {:>9}", row.model, bytes(row.least_bytes));
        line(row, &head, &|cell| match (cell.fits, &cell.change) {
            (true, _) => grouped(cell.train_tokens as u64),
            (false, Some(_)) => "changed".into(),
            (false, None) => "-".into(),
        })?;
        line(row, "  chat", &|cell| match cell.chat_tokens {
            0 => "-".into(),
            tokens => grouped(tokens as u64),
        })?;
        for cell in &row.cells {
            if let Some(offer) = &cell.change {
                say(format!("  {}: {}", bytes(cell.memory_bytes), offer.label()))?;
            }
            if let Some(chat) = cell.chat().filter(|_| cell.chat_tokens == 0) {
                say(format!("  {}: chat {chat}", bytes(cell.memory_bytes)))?;
            }
        }
    }
    Ok(())
}
