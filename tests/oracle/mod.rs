//! The decoder in candle's own autograd: slow, in float64, every op composed of basic ones. It shares nothing with the
//! engine but the configuration, reads the weights itself, and gives the gradients that the engine's backward is held to.

mod rope;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use lora_studio::engine::data::Batch;
use lora_studio::engine::model::{Activation, LinearKind, ModelConfig};
use lora_studio::engine::ops::dropout::{self, DropoutKey};
use lora_studio::engine::ops::{Mat, MatMut};
use lora_studio::engine::peft::{Adapter, LoraModule};

/// A frozen model in float64 with the adapter as its variables.
pub struct Oracle<'a> {
    config: &'a ModelConfig,
    adapter: &'a Adapter,
    weights: HashMap<String, Tensor>,
    /// A and B of each of the adapter's modules.
    vars: Vec<(Var, Var)>,
    /// Drops inputs of the adapter with the engine's masks (which have tests of their own).
    pub dropout: Option<DropoutKey>,
}

/// One sample of a batch on its own.
struct Segment<'a> {
    tokens: &'a [u32],
    /// Positions counted from the sample's start, and their targets.
    targets: Vec<(u32, u32)>,
    /// Its first row in the batch, which the dropout's mask depends on.
    start: usize,
}

impl<'a> Oracle<'a> {
    /// The model in a folder with one `model.safetensors`.
    pub fn new(folder: &Path, config: &'a ModelConfig, adapter: &'a Adapter) -> Result<Self> {
        let cpu = &Device::Cpu;
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), cpu)?;
        let weights = weights.into_iter().map(|(k, t)| Ok((k, t.to_dtype(DType::F64)?))).collect::<Result<_>>()?;
        let var = |range: std::ops::Range<usize>, rows, cols| {
            Var::from_tensor(&Tensor::from_slice(&adapter.params[range], (rows, cols), cpu)?.to_dtype(DType::F64)?)
        };
        let of =
            |m: &LoraModule| Ok((var(m.a_range(), m.rank, m.in_features)?, var(m.b_range(), m.out_features, m.rank)?));
        let vars = adapter.modules.iter().map(of).collect::<Result<_>>()?;
        Ok(Self { config, adapter, weights, vars, dropout: None })
    }

    /// Negative log-likelihood of each of the batch's targets. Every segment is computed on its own.
    pub fn nll(&self, batch: &Batch) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for segment in segments(batch) {
            all.extend(self.segment_nll(&segment)?.to_vec1::<f64>()?);
        }
        Ok(all)
    }

    /// The sum of the batch's losses and its gradient, laid out like [`Adapter::params`].
    pub fn loss_and_gradients(&self, batch: &Batch) -> Result<(f64, Vec<f64>)> {
        let mut sum = 0.0;
        let mut gradients = vec![0.0; self.adapter.params.len()];
        for segment in segments(batch) {
            let loss = self.segment_nll(&segment)?.sum_all()?;
            sum += loss.to_scalar::<f64>()?;
            let store = loss.backward()?;
            for (m, (a, b)) in self.adapter.modules.iter().zip(&self.vars) {
                for (var, at) in [(a, m.a), (b, m.b)] {
                    // No path from the loss: a module whose output no target sees.
                    let Some(gradient) = store.get(var.as_tensor()) else { continue };
                    for (i, g) in gradient.flatten_all()?.to_vec1::<f64>()?.into_iter().enumerate() {
                        gradients[at + i] += g;
                    }
                }
            }
        }
        Ok((sum, gradients))
    }

    fn segment_nll(&self, segment: &Segment) -> Result<Tensor> {
        let cpu = &Device::Cpu;
        let positions: Vec<u32> = segment.targets.iter().map(|t| t.0).collect();
        let wanted: Vec<u32> = segment.targets.iter().map(|t| t.1).collect();
        let n = segment.targets.len();
        let hidden = self.hidden(segment)?.index_select(&Tensor::from_vec(positions, n, cpu)?, 0)?;
        let head = self.weight(if self.config.tied { "model.embed_tokens.weight" } else { "lm_head.weight" })?;
        let logits = hidden.matmul(&head.t()?)?;
        let logits = match self.config.final_softcap {
            Some(cap) => soft_cap(&logits, cap as f64)?,
            None => logits,
        };
        let chosen = logits.gather(&Tensor::from_vec(wanted, (n, 1), cpu)?, 1)?;
        let max = logits.max_keepdim(1)?.detach();
        let normalizer = (logits.broadcast_sub(&max)?.exp()?.sum_keepdim(1)?.log()? + max)?;
        (normalizer - chosen)?.squeeze(1)
    }

    /// Final hidden states, `[tokens, hidden]`.
    fn hidden(&self, segment: &Segment) -> Result<Tensor> {
        let c = self.config;
        let from = segment.start;
        let ids = Tensor::from_slice(segment.tokens, segment.tokens.len(), &Device::Cpu)?;
        let mut x = (self.weight("model.embed_tokens.weight")?.index_select(&ids, 0)? * c.embed_scale as f64)?;
        for layer in 0..c.layers.len() {
            let name = |norm: &str| format!("{}.{layer}.{norm}.weight", c.layer_prefix);
            let h = self.attention(layer, &self.norm(&x, &name("input_layernorm"))?, from)?;
            if c.post_norms {
                x = (x + self.norm(&h, &name("post_attention_layernorm"))?)?;
                let h = self.feed_forward(layer, &self.norm(&x, &name("pre_feedforward_layernorm"))?, from)?;
                x = (x + self.norm(&h, &name("post_feedforward_layernorm"))?)?;
            } else {
                x = (x + h)?;
                let h = self.feed_forward(layer, &self.norm(&x, &name("post_attention_layernorm"))?, from)?;
                x = (x + h)?;
            }
        }
        self.norm(&x, "model.norm.weight")
    }

    fn attention(&self, layer: usize, x: &Tensor, from: usize) -> Result<Tensor> {
        let c = self.config;
        let (t, d) = (x.dim(0)?, c.head_dim);
        let qkv = if c.fused {
            self.linear(layer, LinearKind::Qkv, x, from)?
        } else {
            let part = |kind| self.linear(layer, kind, x, from);
            Tensor::cat(&[part(LinearKind::Q)?, part(LinearKind::K)?, part(LinearKind::V)?], 1)?
        };
        // [heads, tokens, head_dim]
        let heads = |from: usize, n: usize| qkv.narrow(1, from, n * d)?.reshape((t, n, d))?.transpose(0, 1);
        let (mut q, mut k) = (heads(0, c.heads)?, heads(c.q_width(), c.kv_heads)?);
        let v = heads(c.q_width() + c.kv_width(), c.kv_heads)?;
        if c.qk_norm {
            q = self.norm(&q, &format!("{}.{layer}.self_attn.q_norm.weight", c.layer_prefix))?;
            k = self.norm(&k, &format!("{}.{layer}.self_attn.k_norm.weight", c.layer_prefix))?;
        }
        if let Some(index) = c.layers[layer].rope {
            q = rope::rotate(&q, &c.ropes[index])?;
            k = rope::rotate(&k, &c.ropes[index])?;
        }
        let group = c.heads / c.kv_heads;
        let repeated = |kv: &Tensor| kv.unsqueeze(1)?.expand((c.kv_heads, group, t, d))?.reshape((c.heads, t, d));
        let mut scores =
            (q.contiguous()?.matmul(&repeated(&k)?.transpose(1, 2)?.contiguous()?)? * c.attention_scale as f64)?;
        if let Some(cap) = c.attention_softcap {
            scores = soft_cap(&scores, cap as f64)?;
        }
        let window = c.layers[layer].window.unwrap_or(t);
        let mask: Vec<f64> = (0..t * t)
            .map(|i| (i / t, i % t))
            .map(|(from, to)| if to <= from && from - to < window { 0.0 } else { f64::NEG_INFINITY })
            .collect();
        let scores = scores.broadcast_add(&Tensor::from_vec(mask, (t, t), &Device::Cpu)?)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let mixed = weights.matmul(&repeated(&v)?.contiguous()?)?;
        self.linear(layer, LinearKind::O, &mixed.transpose(0, 1)?.reshape((t, c.q_width()))?, from)
    }

    fn feed_forward(&self, layer: usize, x: &Tensor, from: usize) -> Result<Tensor> {
        let c = self.config;
        let (gate, up) = if c.fused {
            let both = self.linear(layer, LinearKind::GateUp, x, from)?;
            (both.narrow(1, 0, c.intermediate)?, both.narrow(1, c.intermediate, c.intermediate)?)
        } else {
            (self.linear(layer, LinearKind::Gate, x, from)?, self.linear(layer, LinearKind::Up, x, from)?)
        };
        let active = match c.activation {
            Activation::Silu => (&gate / (gate.neg()?.exp()? + 1.0)?)?,
            Activation::GeluTanh => {
                let inner = ((&gate + (gate.sqr()? * &gate)? * 0.044715)? * (2.0 / std::f64::consts::PI).sqrt())?;
                ((&gate * 0.5)? * (inner.tanh()? + 1.0)?)?
            }
        };
        self.linear(layer, LinearKind::Down, &(active * up)?, from)
    }

    /// W x + b + s·B A x, the last x with dropout.
    fn linear(&self, layer: usize, kind: LinearKind, x: &Tensor, from: usize) -> Result<Tensor> {
        let path = self.config.linear_path(layer, kind);
        let mut y = x.matmul(&self.weight(&format!("{path}.weight"))?.t()?)?;
        if self.config.has_bias(kind) {
            y = y.broadcast_add(self.weight(&format!("{path}.bias"))?)?;
        }
        let Some(i) = self.adapter.modules.iter().position(|m| m.layer == layer && m.kind == kind) else {
            return Ok(y);
        };
        let (a, b) = &self.vars[i];
        let x = match self.dropout {
            Some(key) => (x * self.mask(DropoutKey { layer: layer as u32, module: kind as u32, ..key }, x, from)?)?,
            None => x.clone(),
        };
        y + (x.matmul(&a.t()?)?.matmul(&b.t()?)? * self.adapter.modules[i].scale as f64)?
    }

    /// Zeros and 1/(1 − p) for the rows of `x`, which begin at row `from` of the batch.
    fn mask(&self, key: DropoutKey, x: &Tensor, from: usize) -> Result<Tensor> {
        let (rows, cols) = x.dims2()?;
        let ones = vec![1.0; (from + rows) * cols];
        let mut mask = ones.clone();
        let p = self.adapter.config.dropout;
        dropout::apply(Mat::new(&ones, from + rows, cols), p, key, MatMut::new(&mut mask, from + rows, cols));
        Tensor::from_slice(&mask[from * cols..], (rows, cols), &Device::Cpu)?.to_dtype(DType::F64)
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = (self.weight(name)? + if self.config.norm_plus_one { 1.0 } else { 0.0 })?;
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + self.config.norm_eps as f64)?.sqrt()?)?.broadcast_mul(&weight)
    }

    fn weight(&self, name: &str) -> Result<&Tensor> {
        self.weights.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no tensor {name}")))
    }
}

/// The samples that have targets.
fn segments(batch: &Batch) -> impl Iterator<Item = Segment<'_>> {
    let segment = |s: &std::ops::Range<usize>| {
        let inside = batch.targets.iter().filter(|t| s.contains(&(t.0 as usize)));
        let targets = inside.map(|&(at, target)| (at - s.start as u32, target)).collect();
        Segment { tokens: &batch.tokens[s.clone()], targets, start: s.start }
    };
    batch.segments.iter().map(segment).filter(|s| !s.targets.is_empty())
}

fn soft_cap(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}
