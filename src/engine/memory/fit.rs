//! How to make a run fit: the smallest change of its settings that does, in the order of what the changes cost; and with
//! room to spare, what would make it faster.

use serde::Serialize;

use super::cost::time_per_token;
use super::plan::Plan;
use super::price::{Inputs, Price};
use crate::engine::config::{Checkpointing, Embeddings, OptimizerKind, Quantization, RunConfig, TrainConfig};
use crate::engine::ops::cross_entropy;
use crate::engine::{Error, Result};
use crate::units::bytes;

/// Shortest sequences that are offered.
const SHORTEST: usize = 64;
/// Lengths are multiples of this.
const LENGTH_STEP: usize = 64;
/// Rows of logits that are offered: with fewer, the head's weights would be gone over too often.
const LOGITS_CHUNKS: [usize; 7] = [32, 64, 128, 256, 512, 1024, 2048];
/// Less than this share of the time is not worth a change.
const WORTHWHILE: f64 = 0.01;
/// A change that costs less than this share of the time comes cheap.
const CHEAP: f64 = 0.1;
/// A way that is faster by this share is taken before the usual one.
const MUCH: f64 = 0.05;

/// What a change is about, in the order in which changes are tried: what costs the user least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lever {
    /// Embeddings looked up in the model's file: a few reads a micro-batch, which cost next to nothing.
    Embeddings,
    /// Layers are computed twice: time.
    Checkpointing,
    /// Fewer rows of logits at a time: a little time.
    Logits,
    /// Fewer sequences at once, more micro-batches a step: the same gradients, a little time.
    Batch,
    /// The optimizer's state in fewer bits, or in a file.
    Optimizer,
    /// The inputs of layers that are computed again in a file: a little time, and a disk that is waited for.
    Offload,
    /// The frozen weights in 4 bits: a little exactness.
    Quantization,
    /// Shorter sequences: rows are cut.
    Length,
}

impl Lever {
    /// Those that no row pays for, cheapest first.
    const LOSSLESS: [Lever; 7] = [
        Lever::Embeddings,
        Lever::Checkpointing,
        Lever::Logits,
        Lever::Batch,
        Lever::Optimizer,
        Lever::Offload,
        Lever::Quantization,
    ];
    /// The same, with what a file can hold before fewer rows of logits.
    const FILES_FIRST: [Lever; 7] = [
        Lever::Embeddings,
        Lever::Checkpointing,
        Lever::Batch,
        Lever::Optimizer,
        Lever::Offload,
        Lever::Logits,
        Lever::Quantization,
    ];
}

/// One change of settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it is about.
    pub lever: Lever,
    /// What to write: `train.batch_size = 1`.
    pub settings: Vec<String>,
    /// What it does, in a few words.
    pub label: String,
}

/// Settings with which a run fits, or is faster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// What is changed, cheapest first.
    pub changes: Vec<Change>,
    /// Bytes that the run then takes beside the program.
    pub needed: u64,
    /// Time of the run against now: 1.25 is a quarter more.
    pub time: f64,
    /// The changed run.
    #[serde(skip)]
    pub run: RunConfig,
}

impl Offer {
    /// Whether rows are cut shorter than they were: never to be done silently.
    pub fn cuts_rows(&self) -> bool {
        self.changes.iter().any(|c| c.lever == Lever::Length)
    }

    /// What a button that applies it says: that rows are cut is never left out.
    pub fn verb(&self) -> &'static str {
        if self.cuts_rows() { "Make it fit, and cut rows" } else { "Make it fit" }
    }

    /// What is changed, as a sentence's part: "compute layers twice, and a batch of 1".
    pub fn label(&self) -> String {
        let labels: Vec<&str> = self.changes.iter().map(|c| c.label.as_str()).collect();
        match labels.as_slice() {
            [] => String::new(),
            [one] => one.to_string(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    /// The settings to write, one after the other.
    pub fn settings(&self) -> Vec<String> {
        self.changes.iter().flat_map(|c| c.settings.iter().cloned()).collect()
    }

    /// "about 25% slower".
    pub fn price(&self) -> String {
        let percent = ((self.time - 1.0) * 100.0).round() as i64;
        match percent {
            0 => "as fast".into(),
            p if p > 0 => format!("about {p}% slower"),
            p => format!("about {}% faster", -p),
        }
    }
}

/// An error when the run does not fit into what is free, with the reason and what would make it fit.
pub fn refuse(inputs: &Inputs, run: &RunConfig) -> Result<()> {
    let plan = Plan::price(inputs, run)?.plan;
    let (needed, free) = (plan.needed(), inputs.available_bytes);
    // 0 is what a system says that says nothing.
    if needed <= free || free == 0 {
        return Ok(());
    }
    let phase = plan.peak_phase().name();
    let head = format!(
        "the run does not fit: it takes {} at its peak (in the {phase} phase) and {} are free, {} too little",
        bytes(needed),
        bytes(free),
        bytes(needed - free)
    );
    let way_out = match make_it_fit(inputs, run) {
        Some(offer) if offer.cuts_rows() => {
            format!("it fits with {}, which cuts longer rows; or close other programs", offer.settings().join(", "))
        }
        Some(offer) => format!("it fits with {} ({})", offer.settings().join(", "), offer.price()),
        None => "no setting makes it fit: choose a smaller model, or close other programs".into(),
    };
    Err(Error::Config(format!("{head}; {way_out}")))
}

/// The smallest change with which the run fits; `None` when it fits as it is, or nothing helps.
pub fn make_it_fit(inputs: &Inputs, run: &RunConfig) -> Option<Offer> {
    if fits(inputs, run)? {
        return None;
    }
    let way = |order: &[Lever]| offer(inputs, run, fitting(inputs, run, order)?);
    let usual = way(&Lever::LOSSLESS)?;
    let pulls = |offer: &Offer, lever| offer.changes.iter().any(|c| c.lever == lever);
    if usual.time < 1.0 + MUCH || !pulls(&usual, Lever::Logits) {
        return Some(usual);
    }
    // Few rows of logits may cost much more time than a file does.
    let files_first = way(&Lever::FILES_FIRST).filter(|other| {
        let dearer = |lever| pulls(other, lever) && !pulls(&usual, lever);
        other.time < usual.time - MUCH && !dearer(Lever::Quantization) && !dearer(Lever::Length)
    });
    Some(files_first.unwrap_or(usual))
}

fn fits(inputs: &Inputs, run: &RunConfig) -> Option<bool> {
    Some(Plan::price(inputs, run).ok()?.plan.needed() <= inputs.available_bytes)
}

/// The run with levers pulled in this order until it fits, and those back again that need not be.
fn fitting(inputs: &Inputs, run: &RunConfig, order: &[Lever]) -> Option<RunConfig> {
    let fits = |run: &RunConfig| fits(inputs, run);
    let mut changed = run.clone();
    let mut used = Vec::new();
    'levers: for lever in order.iter().copied().chain([Lever::Length]) {
        let steps = smaller(lever, inputs, &changed);
        if !steps.is_empty() {
            used.push(lever);
        }
        let last = steps.last().cloned();
        if lever == Lever::Length {
            // A finer scale than the others: the longest that fits.
            let fitting = steps.partition_point(|step| fits(step) != Some(true));
            changed = steps.get(fitting)?.clone();
            break;
        }
        for step in steps {
            if fits(&step)? {
                changed = step;
                break 'levers;
            }
        }
        changed = last.unwrap_or(changed);
    }
    // What turned out not to be needed is taken back, the costliest first; the last one is what made it fit.
    used.pop();
    for lever in used.into_iter().rev() {
        let mut without = changed.clone();
        put(lever, run, &mut without);
        if fits(&without)? {
            changed = without;
        }
    }
    Some(changed)
}

/// Every single change that saves memory, cheapest first, with what the run then takes: whether it is enough or not. Of a
/// change that can go further or less far, the farthest that comes cheap and the farthest.
pub fn smaller_runs(inputs: &Inputs, run: &RunConfig) -> Vec<Offer> {
    let Ok(now) = Plan::price(inputs, run) else { return Vec::new() };
    let mut all = Vec::new();
    for lever in Lever::LOSSLESS {
        let steps = match lever {
            // Not "auto", which keeps what there is room for.
            Lever::Checkpointing => {
                let mut twice = run.clone();
                twice.train.checkpointing = Checkpointing::PerLayer;
                vec![twice]
            }
            lever => smaller(lever, inputs, run),
        };
        let offers = steps.into_iter().filter_map(|changed| offer_beside(inputs, (run, &now), changed));
        let mut offers: Vec<Offer> = offers.filter(|offer| offer.needed < now.plan.needed()).collect();
        let farthest = offers.pop();
        if lever == Lever::Optimizer {
            all.extend(offers);
        } else {
            all.extend(offers.into_iter().rfind(|offer| offer.time < 1.0 + CHEAP));
        }
        all.extend(farthest);
    }
    all
}

/// Changes that would make a run that fits faster, and still leave it in what is free; the fastest first.
pub fn make_it_faster(inputs: &Inputs, run: &RunConfig) -> Vec<Offer> {
    let Ok(now) = Plan::price(inputs, run) else { return Vec::new() };
    // With room to spare, and at least so many layers that are not computed twice.
    let offered = |to: RunConfig, kept: usize| {
        let after = Plan::price(inputs, &to).ok()?;
        let room = after.plan.needed() as f64 <= 0.9 * inputs.available_bytes as f64;
        if room && after.kept_layers() >= kept { offer_between(inputs, (run, &now), (to, &after)) } else { None }
    };
    let changed = |change: &dyn Fn(&mut TrainConfig)| {
        let mut changed = run.clone();
        change(&mut changed.train);
        changed
    };
    let mut offers = Vec::new();
    if run.train.checkpointing == Checkpointing::PerLayer {
        offers.extend(offered(changed(&|train| train.checkpointing = Checkpointing::Auto), 0));
    }
    // Of the batches that keep the effective one, and do not cost layers that would have to be computed twice, the smallest of
    // those that are as fast.
    let effective = run.train.batch_size.saturating_mul(run.train.grad_accumulation);
    let larger = (run.train.batch_size + 1..=effective.min(256)).rev().filter(|b| effective % b == 0);
    let with_batch = |batch| changed(&|train| (train.batch_size, train.grad_accumulation) = (batch, effective / batch));
    let larger = larger.filter_map(|batch| offered(with_batch(batch), now.kept_layers()));
    let mut larger: Vec<Offer> = larger.collect();
    let fastest = larger.iter().map(|offer| offer.time).fold(1.0, f64::min);
    larger.retain(|offer| offer.time < fastest + WORTHWHILE / 2.0);
    offers.extend(larger.pop());
    if run.model.embeddings == Embeddings::Memory && inputs.stored.embeddings_can_stay() {
        // What they took may be room for layers that need not be computed twice.
        let mut changed = run.clone();
        changed.model.embeddings = Embeddings::File;
        offers.extend(offered(changed, now.kept_layers()));
    }
    if run.train.checkpoint_offload {
        offers.extend(offered(changed(&|train| train.checkpoint_offload = false), 0));
    }
    // As many rows of logits as usual, or the most that there is room for.
    let (rows, most) = (now.layout.logits_rows, now.layout.size.supervised);
    let usual = cross_entropy::chunk_rows(inputs.model.vocab, 0, most);
    let more = LOGITS_CHUNKS.into_iter().rev().filter(|more| *more > rows && *more < usual);
    let mut more = (usual > rows).then_some(0).into_iter().chain(more);
    offers.extend(more.find_map(|rows| offered(changed(&|train| train.logits_chunk = rows), now.kept_layers())));
    if run.train.optimizer != OptimizerKind::Adamw {
        offers.extend(offered(changed(&|train| train.optimizer = OptimizerKind::Adamw), 0));
    }
    offers.retain(|offer| offer.time < 1.0 - WORTHWHILE);
    offers.sort_by(|a, b| a.time.total_cmp(&b.time));
    offers
}

/// The run with one lever pulled, step by step: each takes less than the one before.
fn smaller(lever: Lever, inputs: &Inputs, run: &RunConfig) -> Vec<RunConfig> {
    let mut steps = Vec::new();
    let mut step = |change: &dyn Fn(&mut RunConfig)| {
        let mut changed = run.clone();
        change(&mut changed);
        steps.push(changed);
    };
    match lever {
        Lever::Embeddings => {
            if run.model.embeddings == Embeddings::Memory && inputs.stored.embeddings_can_stay() {
                step(&|run| run.model.embeddings = Embeddings::File);
            }
        }
        Lever::Checkpointing => {
            if run.train.checkpointing == Checkpointing::None {
                // As many layers as fit keep their forward.
                step(&|run| run.train.checkpointing = Checkpointing::Auto);
            }
        }
        Lever::Logits => {
            let rows = Plan::price(inputs, run).map_or(0, |price| price.layout.logits_rows);
            for fewer in LOGITS_CHUNKS.into_iter().rev().filter(|fewer| *fewer < rows) {
                step(&|run| run.train.logits_chunk = fewer);
            }
        }
        Lever::Batch => {
            let (batch, accumulation) = (run.train.batch_size, run.train.grad_accumulation);
            let effective = batch.saturating_mul(accumulation);
            for smaller in (1..batch).rev().filter(|b| effective % b == 0) {
                step(&|run| (run.train.batch_size, run.train.grad_accumulation) = (smaller, effective / smaller));
            }
        }
        Lever::Optimizer => {
            for kind in smaller_optimizers(run.train.optimizer) {
                step(&|run| run.train.optimizer = *kind);
            }
        }
        Lever::Offload => {
            if run.train.checkpointing != Checkpointing::None && !run.train.checkpoint_offload {
                step(&|run| run.train.checkpoint_offload = true);
            }
        }
        Lever::Quantization => {
            let (quantization, double) = (run.model.quantization, run.model.double_quant);
            if quantization != Quantization::Nf4 || !double {
                step(&|run| (run.model.quantization, run.model.double_quant) = (Quantization::Nf4, true));
            }
        }
        Lever::Length => {
            let longest = (run.data.max_seq_len - 1) / LENGTH_STEP * LENGTH_STEP;
            for length in (SHORTEST..=longest).rev().step_by(LENGTH_STEP) {
                step(&|run| run.data.max_seq_len = length);
            }
        }
    }
    steps
}

/// Kinds that take less than this one, the one that never waits for a disk first.
fn smaller_optimizers(kind: OptimizerKind) -> &'static [OptimizerKind] {
    match kind {
        OptimizerKind::Adamw => &[OptimizerKind::Adamw8bit, OptimizerKind::PagedAdamw],
        OptimizerKind::Adamw8bit => &[OptimizerKind::PagedAdamw],
        OptimizerKind::PagedAdamw => &[],
    }
}

/// Puts one lever of `to` where it stands in `from`.
fn put(lever: Lever, from: &RunConfig, to: &mut RunConfig) {
    match lever {
        Lever::Embeddings => to.model.embeddings = from.model.embeddings,
        Lever::Checkpointing => to.train.checkpointing = from.train.checkpointing,
        Lever::Batch => {
            (to.train.batch_size, to.train.grad_accumulation) = (from.train.batch_size, from.train.grad_accumulation);
        }
        Lever::Optimizer => to.train.optimizer = from.train.optimizer,
        Lever::Logits => to.train.logits_chunk = from.train.logits_chunk,
        Lever::Offload => to.train.checkpoint_offload = from.train.checkpoint_offload,
        Lever::Quantization => {
            (to.model.quantization, to.model.double_quant) = (from.model.quantization, from.model.double_quant);
        }
        Lever::Length => to.data.max_seq_len = from.data.max_seq_len,
    }
}

/// What differs between two runs, with its price; `None` when nothing does, or a run has no price.
fn offer(inputs: &Inputs, from: &RunConfig, to: RunConfig) -> Option<Offer> {
    offer_beside(inputs, (from, &Plan::price(inputs, from).ok()?), to)
}

/// [`offer`] where the run's own price is known.
fn offer_beside(inputs: &Inputs, (from, before): (&RunConfig, &Price), to: RunConfig) -> Option<Offer> {
    let after = Plan::price(inputs, &to).ok()?;
    offer_between(inputs, (from, before), (to, &after))
}

/// [`offer`] where both prices are known.
fn offer_between(
    inputs: &Inputs,
    (from, before): (&RunConfig, &Price),
    (to, after): (RunConfig, &Price),
) -> Option<Offer> {
    let changes = changes(from, &to, after);
    let per_token = |price: &Price, run: &RunConfig| {
        let adapter = price.adapter.clone();
        time_per_token(inputs.model, &adapter, &price.layout) * optimizer_time(&run.train)
    };
    let time = per_token(after, &to) / per_token(before, from);
    (!changes.is_empty()).then(|| Offer { changes, needed: after.plan.needed(), time, run: to })
}

/// Time of a step against 32-bit AdamW's. An update takes 6.3 ms longer in 8 bits, and 3.7 ms paged while the file is in the
/// system's cache, beside micro-batches of 510 ms (SmolLM2, rank 16, 512 tokens; docs/performance.md).
fn optimizer_time(train: &TrainConfig) -> f64 {
    let longer = match train.optimizer {
        OptimizerKind::Adamw => 0.0,
        OptimizerKind::Adamw8bit => 6.3 / 510.0,
        OptimizerKind::PagedAdamw => 3.7 / 510.0,
    };
    1.0 + longer / train.grad_accumulation.max(1) as f64
}

fn changes(from: &RunConfig, to: &RunConfig, after: &Price) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |lever, settings: Vec<String>, label: String| changes.push(Change { lever, settings, label });
    if from.model.embeddings != to.model.embeddings {
        let (name, label) = match to.model.embeddings {
            Embeddings::Memory => ("memory", "embeddings in memory"),
            Embeddings::File => ("file", "embeddings read from the model's file"),
        };
        add(Lever::Embeddings, vec![format!("model.embeddings=\"{name}\"")], label.into());
    }
    if from.train.checkpointing != to.train.checkpointing {
        let (kept, layers) = (after.kept_layers(), after.layers());
        let label = match kept {
            0 => "compute every layer twice".to_string(),
            k if k == layers => "keep the forward of every layer".to_string(),
            k => format!("keep the forward of {k} of {layers} layers"),
        };
        let name = to.train.checkpointing.name();
        add(Lever::Checkpointing, vec![format!("train.checkpointing=\"{name}\"")], label);
    }
    if from.train.logits_chunk != to.train.logits_chunk {
        let setting = format!("train.logits_chunk={}", to.train.logits_chunk);
        let rows = if to.train.logits_chunk > 0 { to.train.logits_chunk } else { after.layout.logits_rows };
        add(Lever::Logits, vec![setting], format!("logits of {rows} rows at a time"));
    }
    let (batch, accumulation) = (to.train.batch_size, to.train.grad_accumulation);
    if from.train.batch_size != batch {
        let settings = vec![format!("train.batch_size={batch}"), format!("train.grad_accumulation={accumulation}")];
        let label = match accumulation {
            1 => format!("a batch of {batch} at once"),
            n => format!("a batch of {batch}, accumulated {n} times to the same size"),
        };
        add(Lever::Batch, settings, label);
    }
    if from.train.optimizer != to.train.optimizer {
        let kind = to.train.optimizer;
        add(Lever::Optimizer, vec![format!("train.optimizer=\"{}\"", kind.name())], optimizer_label(kind).into());
    }
    if from.train.checkpoint_offload != to.train.checkpoint_offload {
        let offload = to.train.checkpoint_offload;
        let label = if offload { "the layers' inputs in a file" } else { "the layers' inputs in memory" };
        add(Lever::Offload, vec![format!("train.checkpoint_offload={offload}")], label.into());
    }
    if (from.model.quantization, from.model.double_quant) != (to.model.quantization, to.model.double_quant) {
        let settings = vec!["model.quantization=\"nf4\"".into(), "model.double_quant=true".into()];
        add(Lever::Quantization, settings, "weights in 4 bits".into());
    }
    if from.data.max_seq_len != to.data.max_seq_len {
        let length = to.data.max_seq_len;
        add(Lever::Length, vec![format!("data.max_seq_len={length}")], format!("rows cut at {length} tokens"));
    }
    changes
}

fn optimizer_label(kind: OptimizerKind) -> &'static str {
    match kind {
        OptimizerKind::Adamw => "the optimizer's state in 32 bits",
        OptimizerKind::Adamw8bit => "the optimizer's state in 8 bits",
        OptimizerKind::PagedAdamw => "the optimizer's state in a file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::formats::{DenseType, StoredWeights};
    use crate::engine::memory::{Machine, Program, table};
    use crate::engine::model::ModelConfig;
    use crate::engine::ops::cpu::Isa;

    /// The shape of SmolLM2-135M.
    fn small_model() -> ModelConfig {
        ModelConfig { tied: true, ..ModelConfig::llama(576, 1536, 30, 9, 3, 64, 49_152) }
    }

    struct Case {
        model: ModelConfig,
        stored: StoredWeights,
    }

    impl Case {
        fn new() -> Case {
            Case::of(table::largest_known())
        }

        fn of(model: ModelConfig) -> Case {
            Case { stored: StoredWeights::dense(&model, DenseType::Bf16), model }
        }

        fn inputs(&self, available_bytes: u64) -> Inputs<'_> {
            let machine = Machine { threads: 8, isa: Isa::Portable };
            let program = Program::default();
            let (model, stored) = (&self.model, &self.stored);
            Inputs { model, stored, adapter: None, rows: None, available_bytes, program, machine }
        }

        fn needed(&self, run: &RunConfig) -> u64 {
            Plan::price(&self.inputs(0), run).unwrap().plan.needed()
        }
    }

    fn run() -> RunConfig {
        let mut run = table::usual_run();
        run.train.checkpointing = Checkpointing::None;
        run.train.batch_size = 8;
        run.train.grad_accumulation = 2;
        run.model.quantization = Quantization::None;
        run
    }

    #[test]
    fn what_costs_least_is_changed_first_and_nothing_that_need_not_be() {
        let case = Case::new();
        let mut changed = run();
        let mut levers = Vec::new();
        type Step = (fn(&mut RunConfig), Lever);
        let steps: [Step; 4] = [
            (|run| run.model.embeddings = Embeddings::File, Lever::Embeddings),
            (|run| run.train.checkpointing = Checkpointing::PerLayer, Lever::Checkpointing),
            (|run| (run.train.batch_size, run.train.grad_accumulation) = (1, 16), Lever::Batch),
            (|run| run.model.quantization = Quantization::Nf4, Lever::Quantization),
        ];
        let whole = case.needed(&changed);
        assert_eq!(make_it_fit(&case.inputs(whole), &changed), None);
        for (change, lever) in steps {
            change(&mut changed);
            levers.push(lever);
            let enough = case.needed(&changed);
            let offer = make_it_fit(&case.inputs(enough), &run()).unwrap();
            let found: Vec<Lever> = offer.changes.iter().map(|c| c.lever).collect();
            assert!(found.iter().all(|l| levers.contains(l)) && found.contains(&lever), "{found:?} for {levers:?}");
            assert!(offer.needed <= enough && !offer.cuts_rows());
            // The run of the offer is what its settings make of the run, and sees as many rows a step.
            let mut by_settings = run();
            offer.settings().iter().for_each(|setting| by_settings.set(setting).unwrap());
            assert_eq!(by_settings, offer.run);
            assert_eq!(offer.run.train.batch_size * offer.run.train.grad_accumulation, 16);
        }
        // Half of the layers' forward too much: a batch of 4 is enough by itself, but computing layers twice comes first.
        let mut in_file = run();
        in_file.model.embeddings = Embeddings::File;
        let whole = case.needed(&in_file);
        let offer = make_it_fit(&case.inputs(whole - whole / 20), &in_file).unwrap();
        assert_eq!(offer.changes[0].lever, Lever::Checkpointing);
        assert!(offer.time > 1.0, "{offer:?}");
    }

    #[test]
    fn rows_are_cut_last_and_it_is_said() {
        let case = Case::new();
        // So long that a step takes more than loading does.
        let mut long = run();
        long.data.max_seq_len = 16_384;
        let mut least = long.clone();
        least.train.checkpointing = Checkpointing::PerLayer;
        (least.train.batch_size, least.train.grad_accumulation) = (1, 16);
        least.train.optimizer = smaller_optimizers(least.train.optimizer).last().copied().unwrap_or_default();
        least.train.checkpoint_offload = true;
        least.model.quantization = Quantization::Nf4;
        least.model.embeddings = Embeddings::File;
        least.data.max_seq_len = 16_000;
        let offer = make_it_fit(&case.inputs(case.needed(&least)), &long).unwrap();
        assert!(offer.cuts_rows() && offer.label().ends_with("rows cut at 16000 tokens"), "{offer:?}");
        assert_eq!(offer.verb(), "Make it fit, and cut rows");
        assert_eq!(make_it_fit(&case.inputs(1 << 30), &long), None, "no setting makes 70 billion numbers fit");
        let refused = refuse(&case.inputs(case.needed(&least)), &long).unwrap_err().to_string();
        assert!(refused.contains("data.max_seq_len=16000, which cuts longer rows"), "{refused}");
        let refused = refuse(&case.inputs(1 << 30), &long).unwrap_err().to_string();
        assert!(refused.ends_with("choose a smaller model, or close other programs"), "{refused}");
    }

    #[test]
    fn embeddings_in_the_models_file_come_first_where_they_are_not_the_head() {
        let case = Case::new();
        let mut run = table::usual_run();
        run.train.checkpointing = Checkpointing::PerLayer;
        let now = case.needed(&run);
        let offers = smaller_runs(&case.inputs(now), &run);
        // 128,256 embeddings of 8,192 numbers in 16 bits.
        assert_eq!(now - offers[0].needed, 128_256 * 8192 * 2);
        assert_eq!(
            (offers[0].settings(), offers[0].label(), offers[0].price()),
            (
                vec!["model.embeddings=\"file\"".into()],
                "embeddings read from the model's file".into(),
                "as fast".into()
            )
        );
        let found = make_it_fit(&case.inputs(now - 1), &run).unwrap();
        assert_eq!(found.settings(), ["model.embeddings=\"file\""]);
        let refused = refuse(&case.inputs(now - 1), &run).unwrap_err().to_string();
        assert!(refused.ends_with("it fits with model.embeddings=\"file\" (as fast)"), "{refused}");
        // With room for layers that need not be computed twice it makes the run faster.
        run.train.checkpointing = Checkpointing::Auto;
        let room = now + now / 8;
        let faster = make_it_faster(&case.inputs(room), &run);
        assert!(faster.iter().any(|o| o.changes[0].lever == Lever::Embeddings && o.time < 0.99), "{faster:?}");
        // Where they are the head they stay, and the setting changes nothing.
        let mut tied = table::largest_known();
        tied.tied = true;
        let case = Case::of(tied);
        run.train.checkpointing = Checkpointing::PerLayer;
        let now = case.needed(&run);
        assert!(smaller_runs(&case.inputs(now), &run).iter().all(|o| o.changes[0].lever != Lever::Embeddings));
        run.model.embeddings = Embeddings::File;
        assert_eq!(case.needed(&run), now);
    }

    #[test]
    fn logits_and_inputs_of_layers_are_levers_with_a_price() {
        let case = Case::new();
        let mut layers = run();
        layers.train.checkpointing = Checkpointing::PerLayer;
        let now = case.needed(&layers);
        let offers = smaller_runs(&case.inputs(now), &layers);
        let of = |lever| offers.iter().find(|o| o.changes[0].lever == lever);
        // 8 × 512 tokens of 80 layers with 8,192 numbers, but for the three that stay in memory.
        let file = of(Lever::Offload).unwrap();
        assert_eq!(now - file.needed, (80 - 3) * 8 * 512 * 8192 * 4);
        assert_eq!(
            (file.settings(), file.label()),
            (vec!["train.checkpoint_offload=true".into()], "the layers' inputs in a file".into())
        );
        assert!(file.time > 1.0 && file.time < 1.01, "layers of 8,192 numbers have much more to do: {}", file.time);
        // Operands of so large a batch are packed into what the logits took: fewer of them spare nothing.
        assert!(of(Lever::Logits).is_none());
        // Without layers that are computed again there is nothing to put into a file.
        let none = smaller_runs(&case.inputs(now), &run());
        assert!(none.iter().all(|o| o.changes[0].lever != Lever::Offload));

        let case = Case::of(small_model());
        let mut layers = table::usual_run();
        layers.train.checkpointing = Checkpointing::PerLayer;
        let now = case.needed(&layers);
        let offers = smaller_runs(&case.inputs(now), &layers).into_iter();
        let offers: Vec<Offer> = offers.filter(|o| o.changes[0].lever == Lever::Logits).collect();
        let [cheap, logits] = offers.as_slice() else { panic!("{offers:?}") };
        assert_eq!(
            (cheap.settings(), logits.settings()),
            (vec!["train.logits_chunk=128".into()], vec!["train.logits_chunk=32".into()])
        );
        assert!(cheap.time < 1.1 && cheap.needed > logits.needed, "{offers:?}");
        // 288 rows of 49,152 numbers before.
        assert!(now - logits.needed > 100 * 49_152 * 4 && logits.time > 1.01, "{now} {logits:?}");
        // It comes before the file, and as little of it as is enough.
        let enough = make_it_fit(&case.inputs(now - 49_152), &layers).unwrap();
        assert_eq!(enough.settings(), ["train.logits_chunk=256"]);
    }

    #[test]
    fn layers_computed_twice_are_offered_with_room_to_spare_too() {
        let case = Case::of(small_model());
        let mut run = table::usual_run();
        for now in [Checkpointing::None, Checkpointing::Auto] {
            run.train.checkpointing = now;
            let inputs = case.inputs(1 << 40);
            let offers = smaller_runs(&inputs, &run);
            assert_eq!(offers[0].settings(), ["train.checkpointing=\"per-layer\""], "{now:?}");
            let needed = Plan::price(&inputs, &run).unwrap().plan.needed();
            assert!(offers[0].time > 1.2 && offers[0].needed < needed, "{offers:?}");
            // Both of the optimizer's ways: one changes its numbers, the other may wait for a disk.
            let of = |lever| offers.iter().filter(|o| o.changes[0].lever == lever).count();
            assert_eq!(of(Lever::Optimizer), 2);
        }
        run.train.checkpointing = Checkpointing::PerLayer;
        let offers = smaller_runs(&case.inputs(1 << 40), &run);
        assert!(offers.iter().all(|o| o.changes[0].lever != Lever::Checkpointing), "{offers:?}");
    }

    #[test]
    fn a_way_that_is_much_faster_comes_before_the_usual_order() {
        let case = Case::of(small_model());
        let mut run = table::usual_run();
        run.train.checkpointing = Checkpointing::None;
        let mut least = run.clone();
        least.train.checkpointing = Checkpointing::PerLayer;
        least.train.optimizer = OptimizerKind::PagedAdamw;
        least.train.checkpoint_offload = true;
        // Fewer rows of logits would be enough, at a third more time.
        let enough = case.needed(&least);
        let mut few = run.clone();
        few.train.checkpointing = Checkpointing::PerLayer;
        few.train.logits_chunk = 32;
        assert!(case.needed(&few) <= enough);
        let usual = offer(&case.inputs(enough), &run, few).unwrap();
        let found = make_it_fit(&case.inputs(enough), &run).unwrap();
        let levers: Vec<Lever> = found.changes.iter().map(|c| c.lever).collect();
        assert_eq!(levers, [Lever::Checkpointing, Lever::Optimizer, Lever::Offload]);
        assert!(found.time < usual.time - 0.1 && found.needed <= enough, "{found:?} {usual:?}");
    }

    #[test]
    fn with_room_to_spare_layers_are_kept_and_batches_grow() {
        let case = Case::of(small_model());
        let mut slow = table::usual_run();
        slow.train.checkpointing = Checkpointing::PerLayer;
        slow.train.checkpoint_offload = true;
        slow.train.logits_chunk = 32;
        slow.data.max_seq_len = 128;
        let offers = make_it_faster(&case.inputs(1 << 40), &slow);
        let levers: Vec<Lever> = offers.iter().flat_map(|o| &o.changes).map(|c| c.lever).collect();
        for lever in [Lever::Checkpointing, Lever::Logits, Lever::Batch, Lever::Offload] {
            assert!(levers.contains(&lever), "{lever:?} among {levers:?}");
        }
        assert!(
            offers.len() >= 2 && offers.iter().all(|o| o.time < 0.99 && o.needed > case.needed(&slow)),
            "{offers:?}"
        );
        assert!(offers.windows(2).all(|pair| pair[0].time <= pair[1].time));
        // 512 tokens at once are as fast as 2,048.
        let batch = offers.iter().find(|o| o.changes[0].lever == Lever::Batch).unwrap();
        assert_eq!((batch.run.train.batch_size, batch.run.train.grad_accumulation), (4, 4));
        let logits = offers.iter().find(|o| o.changes[0].lever == Lever::Logits).unwrap();
        assert_eq!(
            (logits.settings(), logits.label()),
            (vec!["train.logits_chunk=0".into()], "logits of 128 rows at a time".into())
        );
        // More of them than usual are no faster either.
        let mut usual = slow.clone();
        (usual.train.logits_chunk, usual.data.max_seq_len) = (0, 512);
        let offers = make_it_faster(&case.inputs(1 << 40), &usual);
        assert!(offers.iter().all(|o| o.changes[0].lever != Lever::Logits), "{offers:?}");
        slow.data.max_seq_len = 512;
        let long = make_it_faster(&case.inputs(1 << 40), &slow);
        assert!(long.iter().all(|o| o.changes[0].lever != Lever::Batch), "{long:?}");
        slow.data.max_seq_len = 128;
        // Nothing is offered that would not fit.
        assert!(make_it_faster(&case.inputs(case.needed(&slow)), &slow).is_empty());
    }
}
