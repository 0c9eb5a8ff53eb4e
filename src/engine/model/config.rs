//! What a decoder is made of: one set of parameters that covers every supported family.

use crate::engine::ops::Compute;
use crate::engine::ops::attention::Shape;

/// The families whose `config.json` and tensor names are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1–3, TinyLlama, SmolLM2 and what calls itself `llama`.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3 (dense).
    Qwen3,
    /// Gemma.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
    /// Phi-3, Phi-3.5, Phi-4-mini.
    Phi3,
    /// SmolLM3.
    SmolLm3,
}

/// The gate's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·sigmoid(x): SwiGLU.
    Silu,
    /// Gelu by its tanh approximation: GeGLU of the Gemma family.
    GeluTanh,
}

/// Scaling of the rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies θ^(−2i/d) as they are.
    None,
    /// All frequencies divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high kept, smooth between.
    Llama3 {
        /// Factor of the low frequencies.
        factor: f64,
        /// Below `original / low` wavelengths the factor applies.
        low_freq_factor: f64,
        /// Above `original / high` nothing changes.
        high_freq_factor: f64,
        /// Context length of the original training.
        original_max_positions: usize,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// Context extension factor.
        factor: f64,
        /// Rotations above which nothing changes.
        beta_fast: f64,
        /// Rotations below which the factor applies.
        beta_slow: f64,
        /// Context length of the original training.
        original_max_positions: usize,
        /// Factor on cos and sin.
        attention_factor: f64,
        /// Whether the correction range is rounded to whole dimensions.
        truncate: bool,
    },
    /// Phi-3 long context: one factor per frequency, short or long by the sequence's length.
    LongRope {
        /// Divisors up to the original context.
        short_factor: Vec<f64>,
        /// Divisors beyond it.
        long_factor: Vec<f64>,
        /// Context length of the original training.
        original_max_positions: usize,
        /// Factor on cos and sin.
        attention_factor: f64,
    },
    /// Divisors read from a GGUF's `rope_freqs.weight`, one per frequency.
    Factors(Vec<f64>),
}

/// A rotary position embedding in the half-split layout of Hugging Face models.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base θ.
    pub theta: f64,
    /// Leading dimensions of the head that rotate (even, at most `head_dim`).
    pub dims: usize,
    /// Scaling of the frequencies.
    pub scaling: RopeScaling,
}

/// What differs from layer to layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Sliding window in tokens (a token sees itself and the `window − 1` before it); `None` sees all.
    pub window: Option<usize>,
    /// Index into [`ModelConfig::ropes`]; `None` for a layer without positions (SmolLM3's NoPE).
    pub rope: Option<usize>,
}

/// The parameters of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family that the names come from.
    pub family: Family,
    /// `architectures[0]` of config.json, or the GGUF's `general.architecture`.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated feed-forward.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Context length that the model was trained for, in tokens.
    pub max_positions: usize,
    /// ε of every RMSNorm.
    pub norm_eps: f32,
    /// Norm weights are stored as w with the factor 1 + w (Gemma). Loaded weights already have the 1 added.
    pub norm_plus_one: bool,
    /// Norms after attention and feed-forward too (Gemma 2 and 3).
    pub post_norms: bool,
    /// RMSNorm on each head of q and k (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// Bias on q, k and v.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub o_bias: bool,
    /// Bias on gate, up and down.
    pub mlp_bias: bool,
    /// q, k, v stored as one `qkv_proj`, gate and up as one `gate_up_proj` (Phi-3).
    pub fused: bool,
    /// The gate's activation.
    pub activation: Activation,
    /// Factor on the embedding (Gemma: √hidden).
    pub embed_scale: f32,
    /// Factor on q·k.
    pub attention_scale: f32,
    /// Soft cap on attention scores (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// Soft cap on logits (Gemma 2).
    pub final_softcap: Option<f32>,
    /// The head is the embedding's matrix.
    pub tied: bool,
    /// The rotary embeddings that layers refer to.
    pub ropes: Vec<RopeConfig>,
    /// One entry a layer.
    pub layers: Vec<LayerConfig>,
    /// Where the layers are in the family's Hugging Face model: `model.layers`, or `model.language_model.layers`.
    pub layer_prefix: String,
    /// Beginning of sequence, when the model has one.
    pub bos: Option<u32>,
    /// Tokens that end a sequence.
    pub eos: Vec<u32>,
    /// Padding, when the model names one.
    pub pad: Option<u32>,
}

impl ModelConfig {
    /// Columns of the q|k|v buffer.
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Columns of q.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of k, and of v.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Attention of a layer without a window.
    pub fn attention_shape(&self, compute: Compute) -> Shape {
        Shape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: self.attention_scale,
            softcap: self.attention_softcap,
            window: None,
            compute,
        }
    }

    /// `[out, in]` of a linear of a decoder layer.
    pub fn linear_shape(&self, kind: LinearKind) -> (usize, usize) {
        let (h, i) = (self.hidden, self.intermediate);
        match kind {
            LinearKind::Q => (self.q_width(), h),
            LinearKind::K | LinearKind::V => (self.kv_width(), h),
            LinearKind::Qkv => (self.qkv_width(), h),
            LinearKind::O => (h, self.q_width()),
            LinearKind::Gate | LinearKind::Up => (i, h),
            LinearKind::GateUp => (2 * i, h),
            LinearKind::Down => (h, i),
        }
    }

    /// Where a linear's output begins in its buffer: q|k|v and gate|up lie side by side.
    pub fn linear_column(&self, kind: LinearKind) -> usize {
        match kind {
            LinearKind::K => self.q_width(),
            LinearKind::V => self.q_width() + self.kv_width(),
            LinearKind::Up => self.intermediate,
            _ => 0,
        }
    }

    /// The linears of a layer, in the order in which they are computed.
    pub fn linears(&self) -> &'static [LinearKind] {
        use LinearKind::*;
        if self.fused { &[Qkv, O, GateUp, Down] } else { &[Q, K, V, O, Gate, Up, Down] }
    }

    /// Whether a linear has a bias.
    pub fn has_bias(&self, kind: LinearKind) -> bool {
        match kind {
            LinearKind::Q | LinearKind::K | LinearKind::V | LinearKind::Qkv => self.qkv_bias,
            LinearKind::O => self.o_bias,
            _ => self.mlp_bias,
        }
    }

    /// What stands before `layers`, `embed_tokens` and `norm` in the family's Hugging Face model: `model`.
    pub fn text_prefix(&self) -> &str {
        self.layer_prefix.strip_suffix(".layers").unwrap_or(&self.layer_prefix)
    }

    /// A Llama of these sizes, with nothing that only some families have.
    pub(crate) fn llama(
        hidden: usize,
        intermediate: usize,
        layers: usize,
        heads: usize,
        kv_heads: usize,
        head_dim: usize,
        vocab: usize,
    ) -> ModelConfig {
        ModelConfig {
            family: Family::Llama,
            architecture: "LlamaForCausalLM".into(),
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab,
            max_positions: 2048,
            norm_eps: 1e-5,
            norm_plus_one: false,
            post_norms: false,
            qk_norm: false,
            qkv_bias: false,
            o_bias: false,
            mlp_bias: false,
            fused: false,
            activation: Activation::Silu,
            embed_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            attention_softcap: None,
            final_softcap: None,
            tied: false,
            ropes: vec![RopeConfig { theta: 10_000.0, dims: head_dim, scaling: RopeScaling::None }],
            layers: vec![LayerConfig { window: None, rope: Some(0) }; layers],
            layer_prefix: "model.layers".into(),
            bos: None,
            eos: Vec::new(),
            pad: None,
        }
    }

    /// The norms of a layer, `[hidden]` each, in the order in which they are computed.
    pub fn norm_names(&self) -> &'static [&'static str] {
        if self.post_norms {
            &["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
        } else {
            &["input_layernorm", "post_attention_layernorm"]
        }
    }

    /// Name and shape of every weight of the model, as its Hugging Face folder has them; a tied head is not listed.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let prefix = self.text_prefix();
        let mut all = vec![(format!("{prefix}.embed_tokens.weight"), vec![self.vocab, self.hidden])];
        for layer in 0..self.layers.len() {
            let at = format!("{}.{layer}", self.layer_prefix);
            all.extend(self.norm_names().iter().map(|n| (format!("{at}.{n}.weight"), vec![self.hidden])));
            if self.qk_norm {
                let names = ["q_norm", "k_norm"];
                all.extend(names.map(|n| (format!("{at}.self_attn.{n}.weight"), vec![self.head_dim])));
            }
            for &kind in self.linears() {
                let path = self.linear_path(layer, kind);
                let (rows, columns) = self.linear_shape(kind);
                all.push((format!("{path}.weight"), vec![rows, columns]));
                if self.has_bias(kind) {
                    all.push((format!("{path}.bias"), vec![rows]));
                }
            }
        }
        all.push((format!("{prefix}.norm.weight"), vec![self.hidden]));
        if !self.tied {
            all.push(("lm_head.weight".to_string(), vec![self.vocab, self.hidden]));
        }
        all
    }

    /// The module's path in the family's Hugging Face model, as PEFT names it: `model.layers.3.self_attn.q_proj`.
    pub fn linear_path(&self, layer: usize, kind: LinearKind) -> String {
        let block = if kind.is_attention() { "self_attn" } else { "mlp" };
        format!("{}.{layer}.{block}.{}", self.layer_prefix, kind.name())
    }
}

/// A linear of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinearKind {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Queries, keys and values in one matrix (Phi-3).
    Qkv,
    /// Attention output.
    O,
    /// The gate.
    Gate,
    /// The gated.
    Up,
    /// Gate and up in one matrix (Phi-3).
    GateUp,
    /// Back to the residual stream.
    Down,
}

impl LinearKind {
    /// Every kind.
    pub const ALL: [LinearKind; 9] = [
        LinearKind::Q,
        LinearKind::K,
        LinearKind::V,
        LinearKind::Qkv,
        LinearKind::O,
        LinearKind::Gate,
        LinearKind::Up,
        LinearKind::GateUp,
        LinearKind::Down,
    ];

    /// Name of the module in Hugging Face models and in `target_modules`.
    pub fn name(self) -> &'static str {
        match self {
            LinearKind::Q => "q_proj",
            LinearKind::K => "k_proj",
            LinearKind::V => "v_proj",
            LinearKind::Qkv => "qkv_proj",
            LinearKind::O => "o_proj",
            LinearKind::Gate => "gate_proj",
            LinearKind::Up => "up_proj",
            LinearKind::GateUp => "gate_up_proj",
            LinearKind::Down => "down_proj",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// Part of attention, not of the feed-forward.
    pub fn is_attention(self) -> bool {
        matches!(self, LinearKind::Q | LinearKind::K | LinearKind::V | LinearKind::Qkv | LinearKind::O)
    }
}
