//! The buffers of a pass, allocated once for the largest batch and used again by every step.

use std::path::Path;

use half::bf16;

use crate::engine::Result;
use crate::engine::data::Batch;
use crate::engine::model::offload::{Offload, RING};
use crate::engine::model::{LinearKind, Model, ModelConfig};
use crate::engine::ops::{Compute, attention::Segment, cross_entropy, rope::RopeTable, row_stride, row_stride_of};
use crate::engine::peft::lora::{Adapter, AdapterShape};

/// Declares the buffers of a part of the workspace once, over `T`: as lengths (`T = usize`), from which the memory plan is
/// made, and as the buffers themselves (`T = Vec<f32>`), which are allocated from those lengths.
macro_rules! buffers {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name<T = Vec<f32>> {
            $($(#[$field_doc])* pub $field: T,)*
        }

        impl $name<usize> {
            /// Allocates every buffer, zeroed.
            pub fn allocate(&self) -> $name {
                $name { $($field: vec![0.0; self.$field],)* }
            }

            /// Bytes of all buffers.
            pub fn bytes(&self) -> usize {
                4 * (0 $(+ self.$field)*)
            }

            /// Name and bytes of each buffer.
            pub fn each(&self, mut see: impl FnMut(&'static str, usize)) {
                $(see(stringify!($field), 4 * self.$field);)*
            }
        }
    };
}

buffers! {
    /// What a layer's forward keeps for its backward. Lengths are for the workspace's capacity `T`; rows of q|k|v and gate|up
    /// are [`row_stride`] apart.
    Saved {
        /// q|k|v, `[T, qkv_width]`: rotated, or as the head norms read them.
        qkv,
        /// Output of attention, `[T, heads·head_dim]`.
        attention,
        /// Log-sum-exp of the attention scores, `[heads, T]`.
        lse,
        /// Output of o before its norm, `[T, hidden]`; empty without post norms.
        attention_out,
        /// The residual stream between attention and feed-forward, `[T, hidden]`.
        middle,
        /// gate|up, `[T, 2·intermediate]`: in bfloat16 where products are computed so, two in the place of an `f32`. It is the largest
        /// of these buffers by far, and the backward alone reads it. 0 in inference.
        gate_up,
        /// Output of down before its norm, `[T, hidden]`; empty without post norms.
        mlp_out,
        /// s·A·x of the adapted linears one after the other, `[T, r]` each, in the order of [`LinearKind`].
        lora_h,
    }
}

buffers! {
    /// Live only while one layer is computed. Lengths are for the capacity `T`, rows wider than the hidden state
    /// [`row_stride`] apart; those of gradients are 0 in inference.
    Scratch {
        /// Output of the norm before q|k|v or gate|up, `[T, hidden]`.
        normed,
        /// act(gate)·up, `[T, intermediate]`.
        activated,
        /// q|k|v after head norms and rotation, `[T, qkv_width]`; empty without head norms.
        rotated,
        /// Gradient of `normed`.
        d_normed,
        /// Gradient behind a post norm, `[T, hidden]`; empty without post norms.
        d_hidden,
        /// Gradient of `activated`.
        d_activated,
        /// gate|up as computed, and in the backward its gradient, `[T, 2·intermediate]`.
        gate_up,
        /// Gradient of the attention's output, `[T, heads·head_dim]`.
        d_attention,
        /// Gradient of q|k|v, `[T, qkv_width]`.
        d_qkv,
    }
}

buffers! {
    /// Scratch of an adapted linear.
    LoraScratch {
        /// The input after dropout, `[T, in]`; empty without dropout.
        dropped,
        /// Gradient of the dropped input, `[T, in]`; empty without dropout.
        d_dropped,
        /// Gradients of the A·x of linears that share an input, `[T, r]` each.
        dh,
    }
}

buffers! {
    /// The supervised rows at the end of the decoder; `S` is their largest number in a batch.
    Head {
        /// Last layer's output at the supervised rows, `[S, hidden]`.
        input,
        /// After the final norm, `[S, hidden]`.
        normed,
        /// Gradient of `normed`, `[S, hidden]`.
        d_normed,
        /// Loss of each row, `[S]`.
        nll,
    }
}

/// Linears that read the same input: q, k and v.
const MOST_SHARING: usize = 3;

/// How much of the forward is kept for the backward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpointing {
    /// Everything: nothing is computed twice.
    None,
    /// Each layer's input only: every layer is computed again before its backward.
    PerLayer,
    /// The last `n` layers keep everything, those below only their input.
    KeepLast(usize),
}

/// What a workspace is made for.
#[derive(Clone, Debug)]
pub struct WorkspaceSize {
    /// Tokens of the largest batch.
    pub tokens: usize,
    /// Tokens of the longest sample.
    pub longest: usize,
    /// Supervised tokens of the batch with the most.
    pub supervised: usize,
}

impl WorkspaceSize {
    /// Room for any batch of up to `tokens` tokens.
    pub fn any(tokens: usize) -> Self {
        Self { tokens, longest: tokens, supervised: tokens }
    }

    /// The largest of each over `batches`.
    pub fn of<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let mut size = Self { tokens: 0, longest: 0, supervised: 0 };
        for b in batches {
            size.tokens = size.tokens.max(b.tokens.len());
            size.longest = size.longest.max(b.segments.iter().map(|s| s.len()).max().unwrap_or(0));
            size.supervised = size.supervised.max(b.targets.len());
        }
        size
    }
}

/// The lengths of all buffers of a pass: what [`Workspace`] allocates and the memory plan adds up.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What it is made for.
    pub size: WorkspaceSize,
    /// Layers of the model.
    pub layers: usize,
    /// Buffers of the residual stream, each `[T, hidden]`: the layers' inputs and the last output, or fewer where some of them
    /// take turns.
    pub stream: usize,
    /// So many of the lowest inputs (and the output, when nothing is kept) take turns in `ring` buffers: those that are
    /// computed again, when they wait in a file.
    pub rotating: usize,
    /// Buffers that they take turns in.
    ring: usize,
    /// Inputs of layers that are computed again wait in a file.
    offload: bool,
    /// The lowest so many layers keep their input only and share one [`Saved`].
    pub recomputed: usize,
    /// Number of [`Saved`].
    pub saved_count: usize,
    /// Each of them.
    pub saved: Saved<usize>,
    /// Shared by all layers.
    pub scratch: Scratch<usize>,
    /// Shared by all adapted linears.
    pub lora: LoraScratch<usize>,
    /// At the end of the decoder.
    pub head: Head<usize>,
    /// Gradient of the residual stream, `T·hidden`; 0 in inference.
    pub gradient: usize,
    /// `T·hidden`.
    pub stream_len: usize,
    /// Rows whose logits exist at a time.
    pub logits_rows: usize,
    /// Offset of each kind's part in [`Saved::lora_h`], and its rank, indexed by [`LinearKind`].
    pub lora_h_at: Vec<(usize, usize)>,
}

impl Layout {
    /// Lengths for training `adapter` with so much kept of the forward.
    pub fn for_training(
        m: &ModelConfig,
        compute: Compute,
        adapter: &Adapter,
        size: WorkspaceSize,
        keep: &Checkpointing,
    ) -> Layout {
        let layers = m.layers.len();
        let kept = match keep {
            Checkpointing::None => layers,
            Checkpointing::PerLayer => 0,
            Checkpointing::KeepLast(n) => *n,
        };
        Self::for_shape(m, compute, &AdapterShape::of(adapter), size, kept)
    }

    /// [`Layout::for_training`] before there is an adapter: its shape is enough.
    pub fn for_shape(
        m: &ModelConfig,
        compute: Compute,
        adapter: &AdapterShape,
        size: WorkspaceSize,
        kept_layers: usize,
    ) -> Layout {
        Self::new(m, compute, Some(adapter), size, Some(kept_layers.min(m.layers.len())))
    }

    /// Lengths for forward passes alone, with or without an adapter.
    pub fn for_inference(m: &ModelConfig, compute: Compute, adapter: Option<&Adapter>, size: WorkspaceSize) -> Layout {
        Self::new(m, compute, adapter.map(AdapterShape::of).as_ref(), size, None)
    }

    /// `kept` layers keep their forward; `None` is inference.
    fn new(
        m: &ModelConfig,
        compute: Compute,
        adapter: Option<&AdapterShape>,
        size: WorkspaceSize,
        kept: Option<usize>,
    ) -> Layout {
        let (t, s, layers) = (size.tokens, size.supervised, m.layers.len());
        let post = if m.post_norms { t * m.hidden } else { 0 };
        let (qkv, gate_up) = (t * row_stride(m.qkv_width()), t * row_stride(2 * m.intermediate));
        let kept_gate_up = match compute {
            Compute::F32 => gate_up,
            Compute::Bf16 => t * row_stride_of::<bf16>(2 * m.intermediate) / 2,
        };
        let activated = t * row_stride(m.intermediate);
        let rotated = if m.qk_norm { qkv } else { 0 };
        let backward = |n: usize| if kept.is_some() { n } else { 0 };

        let adapter = adapter.cloned().unwrap_or_default();
        let mut lora_h = 0;
        let mut lora_h_at = Vec::with_capacity(LinearKind::ALL.len());
        for rank in adapter.ranks {
            lora_h_at.push((lora_h, rank));
            lora_h += t * rank;
        }
        let dropped = if adapter.dropout { t * adapter.widest_input } else { 0 };
        let mut layout = Layout {
            layers,
            // In inference two buffers alternate.
            stream: 2,
            rotating: layers + 1,
            ring: 2,
            offload: false,
            recomputed: layers,
            saved_count: 1,
            saved: Saved {
                qkv,
                attention: t * m.q_width(),
                lse: t * m.heads,
                attention_out: post,
                middle: t * m.hidden,
                gate_up: backward(kept_gate_up),
                mlp_out: post,
                lora_h,
            },
            scratch: Scratch {
                normed: t * m.hidden,
                activated,
                rotated,
                d_normed: backward(t * m.hidden),
                d_hidden: backward(post),
                d_activated: backward(activated),
                gate_up,
                d_attention: backward(t * m.q_width()),
                d_qkv: backward(qkv),
            },
            lora: LoraScratch {
                dropped: backward(dropped),
                d_dropped: backward(dropped),
                dh: backward(t * MOST_SHARING * adapter.widest_rank()),
            },
            head: Head { input: s * m.hidden, normed: s * m.hidden, d_normed: backward(s * m.hidden), nll: s },
            gradient: backward(t * m.hidden),
            stream_len: t * m.hidden,
            logits_rows: cross_entropy::chunk_rows(m.vocab, 0, s),
            lora_h_at,
            size,
        };
        if let Some(kept) = kept {
            layout.keep_layers(kept);
        }
        layout
    }

    /// The same buffers with another number of layers that keep their forward.
    pub fn keep_layers(&mut self, kept: usize) {
        self.recomputed = self.layers - kept.min(self.layers);
        self.saved_count = saved_count(self.layers, kept);
        (self.rotating, self.ring) = rotating(self.recomputed, self.offload);
        self.stream = self.ring + self.layers + 1 - self.rotating;
    }

    /// Whether the inputs of layers that are computed again wait in a file (`train.checkpoint_offload`).
    pub fn offload(mut self, offload: bool) -> Layout {
        self.offload = offload;
        self.keep_layers(self.kept_layers());
        self
    }

    /// The same for so many rows of logits at a time (`train.logits_chunk`); 0: as many as usual.
    pub fn chunk_logits(mut self, vocab: usize, rows: usize) -> Layout {
        self.logits_rows = cross_entropy::chunk_rows(vocab, rows, self.size.supervised);
        self
    }

    /// Index of the input of a layer among the buffers of the stream; that of the last output for the number of layers.
    pub(super) fn stream_slot(&self, layer: usize) -> usize {
        if layer < self.rotating { layer % self.ring } else { self.ring + layer - self.rotating }
    }

    /// Inputs of layers that go through a file.
    pub fn in_file(&self) -> usize {
        if self.offload { self.rotating.saturating_sub(RING) } else { 0 }
    }

    /// Layers that keep their forward.
    pub fn kept_layers(&self) -> usize {
        self.saved_count - usize::from(self.recomputed > 0)
    }

    /// Bytes of everything that is kept from the forward to the backward.
    pub fn activation_bytes(&self) -> usize {
        4 * self.stream * self.stream_len + self.saved_count * self.saved.bytes()
    }

    /// [`Layout::activation_bytes`] with another number of layers that keep their forward.
    pub fn activation_bytes_with(&self, kept: usize) -> usize {
        let (rotating, ring) = rotating(self.layers - kept.min(self.layers), self.offload);
        let stream = ring + self.layers + 1 - rotating;
        4 * stream * self.stream_len + saved_count(self.layers, kept) * self.saved.bytes()
    }

    /// Bytes of everything else.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.bytes() + self.lora.bytes() + self.head.bytes() + 4 * self.gradient
    }
}

/// How many inputs of layers take turns in how many buffers, when so many layers are computed again. Fewer inputs than buffers
/// need no file.
fn rotating(recomputed: usize, offload: bool) -> (usize, usize) {
    if offload && recomputed > RING { (recomputed, RING) } else { (0, 0) }
}

/// Number of [`Saved`]: one for each layer that keeps its forward, and one that the others share.
fn saved_count(layers: usize, kept: usize) -> usize {
    let recomputed = layers - kept.min(layers);
    layers - recomputed + usize::from(recomputed > 0)
}

/// All buffers of a pass.
pub struct Workspace {
    pub(super) layout: Layout,
    /// Inputs of the layers and output of the last.
    pub(super) stream: Vec<Vec<f32>>,
    /// One for each layer that keeps its forward, after the one that the recomputed layers share, if there are any.
    pub(super) saved: Vec<Saved>,
    pub(super) scratch: Scratch,
    pub(super) lora: LoraScratch,
    pub(super) head: Head,
    pub(super) gradient: Vec<f32>,
    pub(super) target_ids: Vec<u32>,
    pub(super) positions: Vec<u32>,
    pub(super) segments: Vec<Segment>,
    pub(super) ropes: Vec<RopeTable>,
    /// Where the layout says that inputs wait in a file.
    pub(super) offload: Option<Offload>,
}

impl Workspace {
    /// Allocates what the layout says. Inputs of layers that wait in a file have it in `folder`; the error says why they
    /// could not.
    pub fn new(m: &ModelConfig, layout: Layout, folder: &Path) -> Result<Self> {
        let offload = match layout.in_file() {
            0 => None,
            _ => Some(Offload::new(layout.rotating, layout.stream_len, folder)?),
        };
        Ok(Workspace { offload, ..Self::in_memory(m, layout) })
    }

    fn in_memory(m: &ModelConfig, layout: Layout) -> Self {
        Workspace {
            offload: None,
            stream: (0..layout.stream).map(|_| vec![0.0; layout.stream_len]).collect(),
            saved: (0..layout.saved_count).map(|_| layout.saved.allocate()).collect(),
            scratch: layout.scratch.allocate(),
            lora: layout.lora.allocate(),
            head: layout.head.allocate(),
            gradient: vec![0.0; layout.gradient],
            target_ids: Vec::with_capacity(layout.size.supervised),
            positions: Vec::with_capacity(layout.size.tokens),
            segments: Vec::new(),
            ropes: m.ropes.iter().map(|r| RopeTable::new(r, layout.size.longest)).collect(),
            layout,
        }
    }

    /// Buffers for training `adapter` on batches up to `size`.
    pub fn for_training(model: &Model, adapter: &Adapter, size: WorkspaceSize, keep: &Checkpointing) -> Self {
        Self::in_memory(&model.config, Layout::for_training(&model.config, model.compute, adapter, size, keep))
    }

    /// Buffers for forward passes alone, with or without an adapter.
    pub fn for_inference(model: &Model, adapter: Option<&Adapter>, size: WorkspaceSize) -> Self {
        Self::in_memory(&model.config, Layout::for_inference(&model.config, model.compute, adapter, size))
    }

    /// What was allocated.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Index of a layer's [`Saved`].
    pub(super) fn slot(&self, layer: usize) -> usize {
        let recomputed = self.layout.recomputed;
        if layer < recomputed { 0 } else { layer - recomputed + usize::from(recomputed > 0) }
    }

    /// Positions and attention segments of a batch.
    pub(super) fn lay_out(&mut self, batch: &Batch) {
        self.positions.clear();
        self.segments.clear();
        for s in &batch.segments {
            self.positions.extend(0..s.len() as u32);
            self.segments.push(Segment { q: s.clone(), k: s.clone() });
        }
    }
}
