//! The whole decoder: embedding, layers, final norm, head and loss; and the backward down to the lowest adapter.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::data::Batch;
use crate::engine::formats::FileRows;
use crate::engine::model::layer::DecoderLayer;
use crate::engine::model::offload::RING;
use crate::engine::model::{ModelConfig, Pass, WeightBytes, Workspace};
use crate::engine::ops::dropout::DropoutKey;
use crate::engine::ops::{Compute, Mat, MatMut, cross_entropy, pool, rms_norm};
use crate::engine::peft::lora::Adapter;
use crate::engine::quant::FrozenMatrix;
use crate::engine::{Error, Result};

/// A loaded, frozen decoder.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its parameters.
    pub config: ModelConfig,
    /// Type of the products' inputs.
    pub compute: Compute,
    /// What tokens become.
    pub embedding: Embedding,
    /// The stack.
    pub layers: Vec<DecoderLayer>,
    /// `[hidden]`.
    pub final_norm: Vec<f32>,
    /// What turns hidden states into logits, `[vocab, hidden]`.
    pub head: FrozenMatrix,
}

/// The embeddings of the tokens, `[vocab, hidden]`.
#[derive(Clone, Debug)]
pub enum Embedding {
    /// The head is the same matrix.
    Head,
    /// A matrix of its own.
    Memory(FrozenMatrix),
    /// In the model's file, from which rows are read.
    File(FileRows),
}

fn rows_of(matrix: &FrozenMatrix, rows: &[u32], out: &mut [f32]) {
    for (out, &row) in out.chunks_exact_mut(matrix.in_features).zip(rows) {
        matrix.dequantize_row(row as usize, out);
    }
}

impl Model {
    /// Number of frozen parameters (a tied head counts once, as PEFT counts).
    pub fn parameters(&self) -> u64 {
        let matrix = |m: &FrozenMatrix| (m.out_features * m.in_features) as u64;
        let norm = |n: &Option<Vec<f32>>| n.as_ref().map_or(0, Vec::len) as u64;
        let layer = |l: &DecoderLayer| {
            l.linears.iter().map(|x| matrix(&x.weight) + norm(&x.bias)).sum::<u64>()
                + (l.attention_norm.len() + l.mlp_norm.len()) as u64
                + norm(&l.attention_post_norm)
                + norm(&l.mlp_post_norm)
                + norm(&l.q_norm)
                + norm(&l.k_norm)
        };
        let embedding = match &self.embedding {
            Embedding::Head => 0,
            Embedding::Memory(m) => matrix(m),
            Embedding::File(rows) => rows.shape().iter().map(|&n| n as u64).product(),
        };
        embedding + matrix(&self.head) + self.final_norm.len() as u64 + self.layers.iter().map(layer).sum::<u64>()
    }

    /// Bytes of all weights as they lie in memory.
    pub fn bytes(&self) -> usize {
        self.weight_bytes().total() as usize
    }

    /// The same, by kind.
    pub fn weight_bytes(&self) -> WeightBytes {
        let floats = |n: &Option<Vec<f32>>| n.as_ref().map_or(0, |v| v.len() * 4);
        let vectors = |l: &DecoderLayer| {
            l.linears.iter().map(|x| floats(&x.bias)).sum::<usize>()
                + (l.attention_norm.len() + l.mlp_norm.len()) * 4
                + floats(&l.attention_post_norm)
                + floats(&l.mlp_post_norm)
                + floats(&l.q_norm)
                + floats(&l.k_norm)
        };
        let linears = self.layers.iter().flat_map(|l| &l.linears).map(|x| x.weight.bytes()).sum::<usize>();
        let embedding = match &self.embedding {
            Embedding::Memory(m) => m.bytes(),
            Embedding::Head | Embedding::File(_) => 0,
        };
        let vectors = self.final_norm.len() * 4 + self.layers.iter().map(vectors).sum::<usize>();
        WeightBytes {
            linears: linears as u64,
            embedding: embedding as u64,
            head: self.head.bytes() as u64,
            vectors: vectors as u64,
        }
    }

    /// Writes the embeddings of `tokens` to `out [tokens, hidden]`.
    ///
    /// # Errors
    /// They are in the model's file, and that cannot be read any more.
    pub fn embed(&self, tokens: &[u32], out: &mut [f32]) -> Result<()> {
        let out = &mut out[..tokens.len() * self.config.hidden];
        match &self.embedding {
            Embedding::Head => rows_of(&self.head, tokens, out),
            Embedding::Memory(matrix) => rows_of(matrix, tokens, out),
            Embedding::File(rows) => rows.read(tokens, out)?,
        }
        if self.config.embed_scale != 1.0 {
            out.iter_mut().for_each(|v| *v *= self.config.embed_scale);
        }
        Ok(())
    }

    /// Negative log-likelihood in nats of each of `batch.targets`, in their order.
    pub fn nll(&self, batch: &Batch, adapter: Option<&Adapter>, ws: &mut Workspace) -> Result<Vec<f32>> {
        self.check(batch, ws)?;
        pool::with_helpers(|| {
            let last = self.forward(batch, adapter, None, ws, None)?;
            let n = self.gather_head_rows(batch, last, ws);
            let hidden = Mat::new(&ws.head.normed, n, self.config.hidden);
            let nll = &mut ws.head.nll[..n];
            let (softcap, chunk) = (self.config.final_softcap, ws.layout.logits_rows);
            cross_entropy::forward(hidden, &self.head, &ws.target_ids, softcap, nll, chunk, self.compute);
            Ok(nll.to_vec())
        })
    }

    /// One micro-batch of training: returns the sum over `batch.targets` of the negative log-likelihood in nats (not
    /// scaled), and accumulates into `grads` the gradient of `scale` times that sum, in the layout of `adapter.params`.
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        adapter: &Adapter,
        scale: f32,
        dropout: Option<DropoutKey>,
        grads: &mut [f32],
        ws: &mut Workspace,
    ) -> Result<f64> {
        self.check(batch, ws)?;
        let Some(lowest) = adapter.modules.iter().map(|x| x.layer).min() else {
            return Err(Error::Other("the adapter has no modules: nothing to train".into()));
        };
        pool::with_helpers(|| {
            let last = self.forward(batch, Some(adapter), dropout, ws, Some(lowest))?;
            let loss = self.loss_and_head_gradient(batch, last, scale, ws);
            self.backward(batch.tokens.len(), lowest, adapter, dropout, grads, ws)?;
            Ok(loss)
        })
    }

    /// The loss of the output in stream `last`, and its gradient back through the head and the final norm to the supervised
    /// rows, in `ws.gradient`.
    fn loss_and_head_gradient(&self, batch: &Batch, last: usize, scale: f32, ws: &mut Workspace) -> f64 {
        let m = &self.config;
        let n = self.gather_head_rows(batch, last, ws);
        let hidden = Mat::new(&ws.head.normed, n, m.hidden);
        let d_head = MatMut::new(&mut ws.head.d_normed, n, m.hidden);
        let nll = &mut ws.head.nll[..n];
        cross_entropy::forward_backward(
            hidden,
            &self.head,
            &ws.target_ids,
            m.final_softcap,
            scale,
            d_head,
            nll,
            ws.layout.logits_rows,
            self.compute,
        );
        let loss: f64 = nll.iter().map(|&x| f64::from(x)).sum();
        rms_norm::backward(
            Mat::new(&ws.head.d_normed, n, m.hidden),
            Mat::new(&ws.head.input, n, m.hidden),
            &self.final_norm,
            m.norm_eps,
            MatMut::new(&mut ws.head.normed, n, m.hidden),
            false,
        );
        let d = &mut ws.gradient[..batch.tokens.len() * m.hidden];
        d.fill(0.0);
        for (row, &(position, _)) in ws.head.normed.chunks_exact(m.hidden).zip(&batch.targets) {
            d[position as usize * m.hidden..][..m.hidden].copy_from_slice(row);
        }
        loss
    }

    /// Down through the layers to the lowest adapted one, for a batch of `t` tokens; those whose forward was not kept compute
    /// it again first.
    fn backward(
        &self,
        t: usize,
        lowest: usize,
        adapter: &Adapter,
        dropout: Option<DropoutKey>,
        grads: &mut [f32],
        ws: &mut Workspace,
    ) -> Result<()> {
        let m = &self.config;
        let pass = Pass {
            adapter: Some(adapter),
            dropout,
            compute: self.compute,
            segments: &ws.segments,
            positions: &ws.positions,
            lora_h_at: &ws.layout.lora_h_at,
            ropes: &ws.ropes,
        };
        for layer in self.layers[lowest..].iter().rev() {
            let l = layer.index;
            let (slot, input) = (ws.slot(l), ws.layout.stream_slot(l));
            if let Some(offload) = &mut ws.offload
                && l < ws.layout.rotating
            {
                offload.wait(l, &mut ws.stream)?;
            }
            let saved = &mut ws.saved[slot];
            // The highest of the recomputed layers was the last to use the shared buffers: they still hold its forward.
            if l + 1 < ws.layout.recomputed {
                layer.forward(m, &ws.stream[input], None, saved, &mut ws.scratch, &mut ws.lora, &pass);
            }
            let d = &mut ws.gradient[..t * m.hidden];
            let x = &ws.stream[input];
            layer.backward(m, d, x, saved, &mut ws.scratch, &mut ws.lora, &pass, grads, l > lowest);
            // What a layer two below needs is read into the buffer that is free now.
            if let Some(offload) = &mut ws.offload
                && l < ws.layout.rotating
                && l >= lowest + RING
            {
                offload.fetch(l - RING, &mut ws.stream, t * m.hidden)?;
            }
        }
        Ok(())
    }

    /// Logits of the rows in `positions`, `[positions, vocab]`.
    pub fn logits(
        &self,
        batch: &Batch,
        adapter: Option<&Adapter>,
        positions: &[usize],
        ws: &mut Workspace,
    ) -> Result<Vec<f32>> {
        self.check(batch, ws)?;
        let m = &self.config;
        let last = self.forward(batch, adapter, None, ws, None)?;
        let rows: Vec<f32> =
            positions.iter().flat_map(|&p| ws.stream[last][p * m.hidden..][..m.hidden].iter().copied()).collect();
        Ok(self.head_logits(&rows))
    }

    /// Final norm, head and soft cap on rows of the residual stream `[rows, hidden]` → `[rows, vocab]`.
    pub fn head_logits(&self, rows: &[f32]) -> Vec<f32> {
        let m = &self.config;
        let n = rows.len() / m.hidden;
        let mut normed = vec![0.0; rows.len()];
        let mut logits = vec![0.0; n * m.vocab];
        let (x, y) = (Mat::new(rows, n, m.hidden), MatMut::new(&mut normed, n, m.hidden));
        rms_norm::forward(x, &self.final_norm, m.norm_eps, y);
        let hidden = Mat::new(&normed, n, m.hidden);
        let y = MatMut::new(&mut logits, n, m.vocab);
        cross_entropy::logits(hidden, &self.head, m.final_softcap, y, self.compute);
        logits
    }

    /// The last layer's output for the rows in `positions`, `[positions, hidden]`: what [`Model::head_logits`] takes.
    /// `None` when `cancel` was set meanwhile.
    pub fn last_hidden(
        &self,
        batch: &Batch,
        adapter: Option<&Adapter>,
        positions: &[usize],
        ws: &mut Workspace,
        cancel: &AtomicBool,
    ) -> Result<Option<Vec<f32>>> {
        self.check(batch, ws)?;
        if !self.forward_while(batch, adapter, None, ws, None, &|| !cancel.load(Ordering::Relaxed))? {
            return Ok(None);
        }
        let h = self.config.hidden;
        let last = &ws.stream[ws.layout.stream_slot(self.layers.len())];
        Ok(Some(positions.iter().flat_map(|&p| last[p * h..][..h].iter().copied()).collect()))
    }

    /// Embedding and layers; returns the index in `ws.stream` of the last layer's output. The inputs of the layers from `kept`
    /// on are kept for their backward.
    fn forward(
        &self,
        batch: &Batch,
        adapter: Option<&Adapter>,
        dropout: Option<DropoutKey>,
        ws: &mut Workspace,
        kept: Option<usize>,
    ) -> Result<usize> {
        self.forward_while(batch, adapter, dropout, ws, kept, &|| true)?;
        Ok(ws.layout.stream_slot(self.layers.len()))
    }

    /// [`Model::forward`] that asks before each layer whether to go on; false when it did not.
    fn forward_while(
        &self,
        batch: &Batch,
        adapter: Option<&Adapter>,
        dropout: Option<DropoutKey>,
        ws: &mut Workspace,
        kept: Option<usize>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        ws.lay_out(batch);
        if let Some(offload) = &mut ws.offload {
            offload.settle(&mut ws.stream);
        }
        let t = batch.tokens.len();
        let len = t * self.config.hidden;
        let first = ws.layout.stream_slot(0);
        self.embed(&batch.tokens, &mut ws.stream[first][..len])?;
        let pass = Pass {
            adapter,
            dropout,
            compute: self.compute,
            segments: &ws.segments,
            positions: &ws.positions,
            lora_h_at: &ws.layout.lora_h_at,
            ropes: &ws.ropes,
        };
        for layer in &self.layers {
            if !go_on() {
                return Ok(false);
            }
            let l = layer.index;
            let (from, to) = (ws.layout.stream_slot(l), ws.layout.stream_slot(l + 1));
            if let Some(offload) = &mut ws.offload
                && l + 1 < ws.layout.rotating
            {
                offload.wait(l + 1, &mut ws.stream)?;
            }
            let slot = ws.slot(l);
            let [x, y] = ws.stream.get_disjoint_mut([from, to]).expect("two buffers of the stream");
            let saved = &mut ws.saved[slot];
            layer.forward(&self.config, x, Some(y), saved, &mut ws.scratch, &mut ws.lora, &pass);
            if let Some(offload) = &mut ws.offload
                && kept.is_some_and(|lowest| l >= lowest)
            {
                offload.put(l, &mut ws.stream, len)?;
            }
        }
        Ok(true)
    }

    /// Copies the supervised rows of the last output together and norms them; returns their number.
    fn gather_head_rows(&self, batch: &Batch, last: usize, ws: &mut Workspace) -> usize {
        let h = self.config.hidden;
        let n = batch.targets.len();
        ws.target_ids.clear();
        for (row, &(position, target)) in ws.head.input.chunks_exact_mut(h).zip(&batch.targets) {
            row.copy_from_slice(&ws.stream[last][position as usize * h..][..h]);
            ws.target_ids.push(target);
        }
        let y = MatMut::new(&mut ws.head.normed, n, h);
        rms_norm::forward(Mat::new(&ws.head.input, n, h), &self.final_norm, self.config.norm_eps, y);
        n
    }

    /// That the batch fits the workspace and the model.
    fn check(&self, batch: &Batch, ws: &Workspace) -> Result<()> {
        let size = &ws.layout.size;
        let longest = batch.segments.iter().map(|s| s.len()).max().unwrap_or(0);
        if batch.tokens.len() > size.tokens || longest > size.longest || batch.targets.len() > size.supervised {
            return Err(Error::Other(format!(
                "a batch of {} tokens (longest sample {longest}, {} supervised) exceeds the planned {} (longest {}, {} \
                 supervised)",
                batch.tokens.len(),
                batch.targets.len(),
                size.tokens,
                size.longest,
                size.supervised
            )));
        }
        match batch.tokens.iter().find(|t| **t as usize >= self.config.vocab) {
            Some(t) => Err(Error::Other(format!(
                "token id {t} is outside the model's vocabulary of {}: the tokenizer belongs to another model",
                self.config.vocab
            ))),
            None => Ok(()),
        }
    }
}
