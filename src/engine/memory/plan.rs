//! The bytes of a run, buffer by buffer and phase by phase, from the same lengths that the buffers are allocated from.

use serde::Serialize;

use super::kernels::{self, Blocks};
use super::{Machine, Program};
use crate::engine::config::OptimizerKind;
use crate::engine::digest;
use crate::engine::formats::WRITE_BUFFER;
use crate::engine::model::{Layout, Model, ModelConfig, WeightBytes};
use crate::engine::ops::gemm::scratch::Kept;
use crate::engine::ops::rope::RopeTable;
use crate::engine::peft::{Adapter, AdapterShape};
use crate::engine::train::Optimizer;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The frozen model as it lies in memory.
    Weights,
    /// The adapter's master weights.
    Adapter,
    /// Their gradients.
    Gradients,
    /// The optimizer's two moments, or of a paged one the buffers that they go through.
    Optimizer,
    /// What is kept from the forward to the backward.
    Activations,
    /// Buffers of the layer that is being computed.
    Scratch,
    /// A chunk of logits.
    Logits,
    /// Rotary tables.
    Rope,
    /// The rows of a step.
    Batch,
    /// The tensor that is being read.
    Loading,
    /// Caches and buffers of the sample prompts' answers.
    Samples,
    /// Files on their way to the disk or being hashed.
    Files,
}

impl Item {
    /// Every item, in the order in which they are shown.
    pub const ALL: [Item; 12] = [
        Item::Weights,
        Item::Adapter,
        Item::Gradients,
        Item::Optimizer,
        Item::Activations,
        Item::Scratch,
        Item::Logits,
        Item::Rope,
        Item::Batch,
        Item::Loading,
        Item::Samples,
        Item::Files,
    ];

    /// Its name in a sentence: "the weights".
    pub fn name(self) -> &'static str {
        match self {
            Item::Weights => "weights",
            Item::Adapter => "adapter",
            Item::Gradients => "gradients",
            Item::Optimizer => "optimizer",
            Item::Activations => "activations",
            Item::Scratch => "scratch",
            Item::Logits => "logits",
            Item::Rope => "rotary tables",
            Item::Batch => "batch",
            Item::Loading => "loading",
            Item::Samples => "samples",
            Item::Files => "files",
        }
    }
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The weights are read.
    Load,
    /// The first forward.
    Forward,
    /// The first backward.
    Backward,
    /// The optimizer's step, and all that follows: what was taken before stays.
    Step,
    /// The validation loss.
    Eval,
    /// The sample prompts are answered.
    Sample,
    /// A checkpoint is written.
    Save,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 7] =
        [Phase::Load, Phase::Forward, Phase::Backward, Phase::Step, Phase::Eval, Phase::Sample, Phase::Save];

    /// Its name in a sentence: "most while loading".
    pub fn name(self) -> &'static str {
        match self {
            Phase::Load => "load",
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Step => "step",
            Phase::Eval => "eval",
            Phase::Sample => "sample",
            Phase::Save => "save",
        }
    }
}

/// One buffer, or several of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Buffer {
    /// What it is for.
    pub item: Item,
    /// What it is called.
    pub name: &'static str,
    /// How many there are.
    pub count: u32,
    /// Bytes of each.
    pub each: u64,
    /// The phase in which it is first used.
    pub from: Phase,
    /// The only phase in which it exists, where it does not stay to the end.
    pub only: bool,
    /// Pages of a file: they count as resident, though nobody has allocated them.
    pub mapped: bool,
}

impl Buffer {
    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.each * u64::from(self.count)
    }

    /// Whether it exists in a phase.
    pub fn lives_in(&self, phase: Phase) -> bool {
        if self.only { phase == self.from } else { phase as usize >= self.from as usize }
    }
}

/// The buffers of the residual stream: they are there however much else is kept.
const STREAM: &str = "inputs of the layers";

/// Every buffer of a run, beside the program itself.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// What the program holds before the first of them.
    pub program: Program,
    /// What the threads keep between products.
    kernels: Kept,
}

/// What a plan is made from, once the layout is chosen.
pub(super) struct Parts<'a> {
    pub model: &'a ModelConfig,
    pub weights: WeightBytes,
    pub loading: Loading,
    pub adapter: &'a AdapterShape,
    pub optimizer: OptimizerKind,
    pub layout: &'a Layout,
    pub samples: Samples,
    /// Samples of the largest batch, and micro-batches of a step.
    pub segments: usize,
    pub accumulation: usize,
    pub blocks: Blocks,
    pub machine: &'a Machine,
    pub program: Program,
}

/// Bytes of the tensor that is being read: allocated beside the packed weights, and pages of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// Allocated.
    pub allocated: u64,
    /// Pages of the file.
    pub mapped: u64,
}

/// The session that answers the sample prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Samples {
    pub cache: u64,
    pub buffers: u64,
}

impl Plan {
    /// The plan of training `adapter` on a loaded model with an optimizer in the buffers of `layout`, one batch of
    /// `segments` samples a step: what a benchmark takes.
    pub fn of_step(
        model: &Model,
        adapter: &Adapter,
        optimizer: OptimizerKind,
        layout: &Layout,
        segments: usize,
        program: Program,
    ) -> Plan {
        Plan::new(&Parts {
            model: &model.config,
            weights: model.weight_bytes(),
            loading: Loading::default(),
            adapter: &AdapterShape::of(adapter),
            optimizer,
            layout,
            samples: Samples::default(),
            segments,
            accumulation: 1,
            blocks: Blocks::of_model(model),
            machine: &Machine::this(),
            program,
        })
    }

    pub(super) fn new(p: &Parts) -> Plan {
        let mut list = List(Vec::with_capacity(48));
        let layout = p.layout;
        list.one(Item::Weights, "linears", p.weights.linears, Phase::Load);
        list.one(Item::Weights, "embeddings of tokens", p.weights.embedding, Phase::Load);
        list.one(Item::Weights, "head", p.weights.head, Phase::Load);
        list.one(Item::Weights, "norms and biases", p.weights.vectors, Phase::Load);
        list.only(Item::Loading, "tensor being read", p.loading.allocated, Phase::Load);
        list.mapped(Item::Loading, "its pages of the file", p.loading.mapped);

        list.one(Item::Adapter, "A and B", 4 * p.adapter.parameters, Phase::Load);
        list.one(Item::Gradients, "of A and B", 4 * p.adapter.parameters, Phase::Backward);
        let moments = Optimizer::state_bytes(p.optimizer, p.adapter.tensor_sizes());
        list.one(Item::Optimizer, "moments", moments, Phase::Step);

        let stream = (4 * layout.stream_len) as u64;
        list.many(Item::Activations, STREAM, layout.stream, stream, Phase::Forward);
        layout.saved.each(|name, bytes| {
            list.many(Item::Activations, name, layout.saved_count, bytes as u64, Phase::Forward);
        });
        // Gradients are called d_ and something.
        let backward = |name: &str| name.starts_with("d_") || name == "dh";
        let phase = |name: &str| if backward(name) { Phase::Backward } else { Phase::Forward };
        layout.scratch.each(|name, bytes| list.one(Item::Scratch, name, bytes as u64, phase(name)));
        layout.lora.each(|name, bytes| list.one(Item::Scratch, name, bytes as u64, phase(name)));
        layout.head.each(|name, bytes| {
            let called = match name {
                "input" => "supervised rows",
                "normed" => "supervised rows, normed",
                "d_normed" => "their gradient",
                "nll" => "their losses",
                other => other,
            };
            list.one(Item::Scratch, called, bytes as u64, phase(name));
        });
        list.one(Item::Scratch, "gradient of the stream", 4 * layout.gradient as u64, Phase::Backward);

        let kernels = kernels::step(p.model, p.adapter, layout, p.segments, p.blocks, p.machine);
        let logits = (layout.logits_rows * p.model.vocab * size_of::<f32>()).min(kernels.forward);
        let all = kernels.all.bytes();
        list.one(Item::Logits, "a chunk", logits as u64, Phase::Forward);
        let (forward, all) = (kernels.forward - logits, all - logits);
        list.one(Item::Scratch, "products and attention", forward as u64, Phase::Forward);
        list.one(
            Item::Scratch,
            "products and attention, backward",
            all.saturating_sub(forward) as u64,
            Phase::Backward,
        );
        list.one(Item::Rope, "cosines and sines", rope_bytes(p.model, layout.size.longest), Phase::Forward);

        // Tokens, targets and the rows that they were laid from; positions and target ids of the workspace.
        let size = &layout.size;
        let batch = 4 * size.tokens + 8 * size.supervised;
        list.many(Item::Batch, "micro-batches", p.accumulation, batch as u64, Phase::Forward);
        list.one(Item::Batch, "positions and targets", (4 * (size.tokens + size.supervised)) as u64, Phase::Forward);
        // The model's files are hashed while the first steps are made.
        list.one(Item::Files, "inputs being hashed", digest::BUFFER as u64, Phase::Forward);
        list.only(Item::Files, "checkpoint being written", WRITE_BUFFER as u64, Phase::Save);
        list.only(Item::Samples, "keys and values", p.samples.cache, Phase::Sample);
        list.only(Item::Samples, "buffers", p.samples.buffers, Phase::Sample);
        Plan { buffers: list.0, program: p.program, kernels: kernels.all }
    }

    /// Makes what the threads keep between products, so that no step allocates it.
    pub(crate) fn reserve(&self) {
        self.kernels.reserve();
    }

    /// So many buffers for the inputs of layers and for what a layer keeps from its forward as the layout has now.
    pub(super) fn keep(&mut self, layout: &Layout) {
        for b in self.buffers.iter_mut().filter(|b| b.item == Item::Activations) {
            b.count = if b.name == STREAM { layout.stream } else { layout.saved_count } as u32;
        }
    }

    /// The most that is needed at a time from a phase on, beside the program.
    pub(super) fn most_from(&self, phase: Phase) -> u64 {
        let later = Phase::ALL.into_iter().filter(|p| *p as usize >= phase as usize);
        later.map(|p| self.bytes_in(p)).max().unwrap_or(0)
    }

    /// Bytes of a phase, beside the program.
    pub fn bytes_in(&self, phase: Phase) -> u64 {
        self.buffers.iter().filter(|b| b.lives_in(phase)).map(Buffer::bytes).sum()
    }

    /// The first phase in which the most is needed.
    pub fn peak_phase(&self) -> Phase {
        let bytes = Phase::ALL.map(|phase| self.bytes_in(phase));
        let most = bytes.into_iter().max().unwrap_or(0);
        Phase::ALL.into_iter().zip(bytes).find(|(_, b)| *b == most).map_or(Phase::Step, |(phase, _)| phase)
    }

    /// The most that the run takes at a time, beside what the program holds already.
    pub fn needed(&self) -> u64 {
        self.bytes_in(self.peak_phase())
    }

    /// The most that the process will hold at a time.
    pub fn total(&self) -> u64 {
        self.needed() + self.program.resident
    }

    /// The most that the process will have allocated at a time.
    pub fn allocated(&self) -> u64 {
        let of = |phase| {
            let living = self.buffers.iter().filter(|b| b.lives_in(phase) && !b.mapped);
            living.map(Buffer::bytes).sum::<u64>()
        };
        Phase::ALL.into_iter().map(of).max().unwrap_or(0) + self.program.allocated
    }

    /// Bytes by item in the phase that needs the most, in the order of [`Item::ALL`].
    pub fn items(&self) -> Vec<(Item, u64)> {
        let phase = self.peak_phase();
        let of = |item| {
            let living = self.buffers.iter().filter(|b| b.item == item && b.lives_in(phase));
            (item, living.map(Buffer::bytes).sum())
        };
        Item::ALL.into_iter().map(of).filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// Buffers being listed; those without bytes are left out.
struct List(Vec<Buffer>);

impl List {
    fn push(&mut self, item: Item, name: &'static str, count: usize, each: u64, from: Phase, only: bool, mapped: bool) {
        if count > 0 && each > 0 {
            self.0.push(Buffer { item, name, count: count as u32, each, from, only, mapped });
        }
    }

    fn one(&mut self, item: Item, name: &'static str, bytes: u64, from: Phase) {
        self.push(item, name, 1, bytes, from, false, false);
    }

    fn many(&mut self, item: Item, name: &'static str, count: usize, each: u64, from: Phase) {
        self.push(item, name, count, each, from, false, false);
    }

    fn only(&mut self, item: Item, name: &'static str, bytes: u64, phase: Phase) {
        self.push(item, name, 1, bytes, phase, true, false);
    }

    fn mapped(&mut self, item: Item, name: &'static str, bytes: u64) {
        self.push(item, name, 1, bytes, Phase::Load, true, true);
    }
}

/// Cosine and sine for every position and rotating pair.
fn rope_bytes(m: &ModelConfig, longest: usize) -> u64 {
    m.ropes.iter().map(|r| RopeTable::bytes_of(r, longest) as u64).sum()
}
