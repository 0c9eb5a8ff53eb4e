//! Decoding with a cache: each token goes through the decoder once, with or without the adapter.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use crate::engine::model::kv_cache::{KvCache, gather_rows};
use crate::engine::model::{DecoderLayer, Linear, LinearKind, Model, RopeScaling};
use crate::engine::ops::gemm::{self, FEW, FewOutput, ThroughRank};
use crate::engine::ops::rope::RopeTable;
use crate::engine::ops::{Mat, MatMut, cross_entropy, elementwise, linear, pool, rms_norm, rope, swiglu};
use crate::engine::peft::lora::Adapter;
use crate::engine::{Error, Result};

/// Rows that go through the decoder at once: a long prompt is taken in pieces, so that buffers stay small while the
/// products are as efficient as they get.
pub const PIECE: usize = 512;

/// Several sequences being decoded by one model, each as the base model or with the adapter.
///
/// All of them go through the frozen weights together; the adapter is added to the rows that have it.
pub struct Session<'m> {
    model: &'m Model,
    adapter: Option<&'m Adapter>,
    /// Index into the adapter's modules by layer and kind.
    modules: Vec<Option<usize>>,
    /// The adapter's modules once more, as single tokens read them.
    laid_out: Vec<ThroughRank>,
    sequences: Vec<Sequence>,
    cache: KvCache,
    ropes: Vec<RopeTable>,
    /// A sequence longer than this has other rotary frequencies (LongRoPE), for all of its positions.
    long_above: Option<usize>,
    buffers: Buffers,
}

#[derive(Clone, Debug)]
struct Sequence {
    adapted: bool,
    /// Tokens in the cache. Kept for when all of them have to be computed again.
    tokens: Vec<u32>,
}

/// One sequence's rows of a round.
#[derive(Clone, Debug)]
struct Run {
    sequence: usize,
    /// Row of the logits that its last row is for, if it ends the sequence's input.
    output: Option<usize>,
    rows: Range<usize>,
}

#[derive(Default)]
struct Buffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attention: Vec<f32>,
    out: Vec<f32>,
    gate_up: Vec<f32>,
    activated: Vec<f32>,
    lora_h: Vec<f32>,
    /// Logits in the order of the rows, and in the order of the input.
    head: Vec<f32>,
    logits: Vec<f32>,
}

impl<'m> Session<'m> {
    /// A session of `adapted.len()` empty sequences, those with `true` with the adapter. Memory is taken as they grow, up
    /// to the model's context.
    pub fn new(model: &'m Model, adapter: Option<&'m Adapter>, adapted: &[bool]) -> Result<Session<'m>> {
        if adapter.is_none() && adapted.contains(&true) {
            return Err(Error::Other("a sequence is to be adapted, but there is no adapter".into()));
        }
        let config = &model.config;
        let kinds = LinearKind::ALL.len();
        let mut modules = vec![None; config.layers.len() * kinds];
        for (i, m) in adapter.iter().flat_map(|a| a.modules.iter().enumerate()) {
            modules[m.layer * kinds + m.kind as usize] = Some(i);
        }
        let kernel = gemm::kernel(model.compute);
        let laid_out = adapter.iter().flat_map(|a| a.modules.iter().map(move |m| a.pass(m, model.compute)));
        let laid_out = laid_out.map(|p| ThroughRank::new(kernel, p.module.scale, p.a(), p.b())).collect();
        let long_above = config.ropes.iter().filter_map(|r| match &r.scaling {
            RopeScaling::LongRope { original_max_positions, .. } => Some(*original_max_positions),
            _ => None,
        });
        Ok(Session {
            model,
            adapter,
            modules,
            laid_out,
            sequences: adapted.iter().map(|&adapted| Sequence { adapted, tokens: Vec::new() }).collect(),
            cache: KvCache::new(config, model.compute, adapted.len()),
            ropes: Vec::new(),
            long_above: long_above.min(),
            buffers: Buffers::default(),
        })
    }

    /// Tokens of a sequence so far.
    pub fn tokens(&self, sequence: usize) -> &[u32] {
        &self.sequences[sequence].tokens
    }

    /// Which sequences have the adapter.
    pub fn adapted(&self) -> impl Iterator<Item = bool> {
        self.sequences.iter().map(|s| s.adapted)
    }

    /// The model that decodes.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Keeps the first `len` tokens of a sequence, and forgets the others; where what is cached of them cannot be used
    /// alone, forgets all. Returns how many are left.
    pub fn truncate(&mut self, sequence: usize, len: usize) -> usize {
        let before = self.sequences[sequence].tokens.len();
        let len = len.min(before);
        // Keys of a long sequence were rotated by its own frequencies.
        let shortened = self.becomes_long(len, before - len);
        let kept = if self.cache.truncate(sequence, if shortened { 0 } else { len }) && !shortened { len } else { 0 };
        self.sequences[sequence].tokens.truncate(kept);
        kept
    }

    /// Bytes of the cache.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Appends tokens to sequences and returns, for each entry of `input` in its order, the logits after its last token:
    /// `[input, vocab]`. `None` when `cancel` was set meanwhile; a sequence is then as it was before, or empty where that
    /// cannot be had again.
    ///
    /// # Errors
    /// Tokens that the model does not have, more of them than its context, or an embedding that cannot be read from its file;
    /// sequences are then as after a cancellation.
    pub fn forward(&mut self, input: &[(usize, &[u32])], cancel: &AtomicBool) -> Result<Option<&[f32]>> {
        self.check(input)?;
        self.extend_ropes(input);
        let before: Vec<usize> = input.iter().map(|(s, _)| self.sequences[*s].tokens.len()).collect();
        let mut logits = std::mem::take(&mut self.buffers.logits);
        logits.resize(input.len() * self.model.config.vocab, 0.0);

        // The tokens still to come of each sequence. One that becomes long is computed again from its beginning.
        let mut left: Vec<(usize, Vec<u32>, usize)> = Vec::with_capacity(input.len());
        for (i, (s, new)) in input.iter().enumerate() {
            let mut tokens = new.to_vec();
            if self.becomes_long(before[i], new.len()) && before[i] > 0 {
                tokens = [std::mem::take(&mut self.sequences[*s].tokens), tokens].concat();
                self.cache.truncate(*s, 0);
            }
            // Once, and not piece by piece.
            self.cache.make_room(*s, tokens.len());
            left.push((*s, tokens, i));
        }
        // Base first, then adapted, so that each kind's rows are together.
        left.sort_by_key(|(s, _, _)| self.sequences[*s].adapted);

        let (mut done, mut failure) = (true, None);
        while done && !left.is_empty() {
            let (tokens, runs) = self.next_round(&mut left);
            let round = || self.round(&tokens, &runs, &mut logits, cancel);
            match pool::with_helpers(round) {
                Ok(finished) => done = finished,
                Err(error) => {
                    done = false;
                    failure = Some(error);
                }
            }
        }
        self.buffers.logits = logits;
        if !done {
            for ((s, new), before) in input.iter().zip(before) {
                let restarted = self.becomes_long(before, new.len());
                self.truncate(*s, if restarted { 0 } else { before });
            }
            return failure.map_or(Ok(None), Err);
        }
        Ok(Some(&self.buffers.logits))
    }

    fn check(&self, input: &[(usize, &[u32])]) -> Result<()> {
        for (i, (s, tokens)) in input.iter().enumerate() {
            if tokens.is_empty() {
                return Err(Error::Other("there are no tokens to continue".into()));
            }
            if input[..i].iter().any(|(other, _)| other == s) {
                return Err(Error::Other(format!("sequence {s} occurs twice in a batch")));
            }
            let len = self.sequences[*s].tokens.len() + tokens.len();
            let context = self.model.config.max_positions;
            if len > context {
                return Err(Error::Other(format!(
                    "a sequence of {len} tokens does not fit the model's context of {context} tokens"
                )));
            }
            let vocab = self.model.config.vocab;
            if let Some(t) = tokens.iter().find(|t| **t as usize >= vocab) {
                return Err(Error::Other(format!(
                    "token id {t} is outside the model's vocabulary of {vocab}: the tokenizer belongs to another model"
                )));
            }
        }
        Ok(())
    }

    /// Rotary tables for all positions to come, in steps that double.
    fn extend_ropes(&mut self, input: &[(usize, &[u32])]) {
        let config = &self.model.config;
        let needed = input.iter().map(|(s, new)| self.sequences[*s].tokens.len() + new.len()).max().unwrap_or(0);
        if self.ropes.first().is_some_and(|r| r.max_positions() < needed) || self.ropes.is_empty() {
            let positions = needed.next_power_of_two().clamp(256, config.max_positions.max(256));
            self.ropes = config.ropes.iter().map(|r| RopeTable::new(r, positions)).collect();
        }
    }

    /// Whether `new` tokens after `len` take a sequence beyond the length at which its frequencies change.
    fn becomes_long(&self, len: usize, new: usize) -> bool {
        self.long_above.is_some_and(|above| len <= above && len + new > above)
    }

    /// Takes the rows of one pass from what is left.
    fn next_round(&self, left: &mut Vec<(usize, Vec<u32>, usize)>) -> (Vec<u32>, Vec<Run>) {
        let (mut tokens, mut runs) = (Vec::new(), Vec::new());
        for (sequence, rest, output) in left.iter_mut() {
            let room = PIECE.saturating_sub(tokens.len());
            // A sequence that becomes long does so in one piece: its frequencies follow from its length.
            let whole = self.becomes_long(self.sequences[*sequence].tokens.len(), rest.len());
            let n = if whole { rest.len() } else { rest.len().min(room) };
            if n == 0 || (whole && !tokens.is_empty() && n > room) {
                continue;
            }
            let rows = tokens.len()..tokens.len() + n;
            tokens.extend(rest.drain(..n));
            let output = rest.is_empty().then_some(*output);
            runs.push(Run { sequence: *sequence, output, rows });
        }
        left.retain(|(_, rest, _)| !rest.is_empty());
        (tokens, runs)
    }

    /// One pass through the decoder; false when it was cancelled.
    fn round(&mut self, tokens: &[u32], runs: &[Run], logits: &mut [f32], cancel: &AtomicBool) -> Result<bool> {
        let model = self.model;
        let m = &model.config;
        let h = m.hidden;
        let mut positions = Vec::with_capacity(tokens.len());
        for run in runs {
            let sequence = &mut self.sequences[run.sequence];
            let start = sequence.tokens.len() as u32;
            positions.extend(start..start + run.rows.len() as u32);
            sequence.tokens.extend_from_slice(&tokens[run.rows.clone()]);
        }
        self.buffers.x.resize(tokens.len() * h, 0.0);
        model.embed(tokens, &mut self.buffers.x)?;
        let mut b = std::mem::take(&mut self.buffers);
        let mut runs = runs.to_vec();
        for layer in &model.layers {
            if cancel.load(Ordering::Relaxed) {
                self.buffers = b;
                return Ok(false);
            }
            self.attend(layer, &mut runs, &positions, &mut b);
            if !runs.is_empty() {
                self.feed_forward(layer, &runs, &mut b);
            }
        }

        // The last layer left the rows that somebody waits for.
        let n = runs.len();
        if n > 0 {
            b.normed.resize(n * h, 0.0);
            b.head.resize(n * m.vocab, 0.0);
            let normed = MatMut::new(&mut b.normed, n, h);
            rms_norm::forward(Mat::new(&b.x, n, h), &model.final_norm, m.norm_eps, normed);
            let out = MatMut::new(&mut b.head, n, m.vocab);
            cross_entropy::logits(Mat::new(&b.normed, n, h), &model.head, m.final_softcap, out, model.compute);
            for (row, run) in b.head.chunks_exact(m.vocab).zip(&runs) {
                if let Some(output) = run.output {
                    logits[output * m.vocab..][..m.vocab].copy_from_slice(row);
                }
            }
        }
        self.buffers = b;
        Ok(true)
    }

    /// x ← x + attention. In the last layer only rows whose logits are wanted go on, and `runs` becomes these.
    fn attend(&mut self, layer: &DecoderLayer, runs: &mut Vec<Run>, positions: &[u32], b: &mut Buffers) {
        let m = &self.model.config;
        let (t, h, q, kv) = (positions.len(), m.hidden, m.q_width(), m.kv_width());
        let first = self.first_adapted(runs);
        b.normed.resize(t * h, 0.0);
        b.qkv.resize(t * m.qkv_width(), 0.0);
        let normed = MatMut::new(&mut b.normed, t, h);
        rms_norm::forward(Mat::new(&b.x, t, h), &layer.attention_norm, m.norm_eps, normed);
        let (x, y) = (Mat::new(&b.normed, t, h), MatMut::new(&mut b.qkv, t, m.qkv_width()));
        let kinds = [LinearKind::Q, LinearKind::K, LinearKind::V, LinearKind::Qkv];
        self.linears(layer, &kinds, first, x, y, false, &mut b.lora_h);
        layer.head_norms(m, MatMut::new(&mut b.qkv, t, m.qkv_width()));
        if let Some(table) = layer.config.rope.map(|r| &self.ropes[r]) {
            // One sequence after the other: which frequencies a sequence has follows from its own positions.
            for run in runs.iter() {
                let rows = &mut b.qkv[run.rows.start * m.qkv_width()..];
                let qk = MatMut::strided(rows, run.rows.len(), q + kv, m.qkv_width());
                rope::forward(qk, m.head_dim, &positions[run.rows.clone()], table);
            }
        }
        let qkv = Mat::new(&b.qkv, t, m.qkv_width());
        for run in runs.iter() {
            let rows = qkv.columns(q, 2 * kv).rows_range(run.rows.start, run.rows.len());
            self.cache.append(layer.index, run.sequence, rows);
        }

        let last = layer.index + 1 == m.layers.len();
        if last {
            runs.retain(|r| r.output.is_some());
            if runs.is_empty() {
                return;
            }
        }
        let queries = |run: &Run| if last { run.rows.end - 1..run.rows.end } else { run.rows.clone() };
        let segments: Vec<_> = runs.iter().map(|r| self.cache.segment(layer.index, r.sequence, queries(r))).collect();
        b.attention.resize(t * q, 0.0);
        let shape = layer.attention_shape(m, self.model.compute);
        let out = MatMut::new(&mut b.attention, t, q);
        self.cache.attend(layer.index, qkv.columns(0, q), &shape, &segments, out);
        let mut t = t;
        if last {
            let rows: Vec<usize> = runs.iter().map(|r| r.rows.end - 1).collect();
            gather_rows(MatMut::new(&mut b.attention, t, q), &rows);
            gather_rows(MatMut::new(&mut b.x, t, h), &rows);
            for (i, run) in runs.iter_mut().enumerate() {
                run.rows = i..i + 1;
            }
            t = rows.len();
        }
        let x = Mat::new(&b.attention, t, q);
        self.add(layer, LinearKind::O, &layer.attention_post_norm, runs, x, &mut b.x, &mut b.out, &mut b.lora_h);
    }

    /// x ← x + feed-forward.
    fn feed_forward(&self, layer: &DecoderLayer, runs: &[Run], b: &mut Buffers) {
        let m = &self.model.config;
        let (t, h, i) = (runs.last().map_or(0, |r| r.rows.end), m.hidden, m.intermediate);
        let first = self.first_adapted(runs);
        b.normed.resize(t * h, 0.0);
        b.gate_up.resize(t * 2 * i, 0.0);
        b.activated.resize(t * i, 0.0);
        rms_norm::forward(Mat::new(&b.x, t, h), &layer.mlp_norm, m.norm_eps, MatMut::new(&mut b.normed, t, h));
        let (x, y) = (Mat::new(&b.normed, t, h), MatMut::new(&mut b.gate_up, t, 2 * i));
        let kinds = [LinearKind::Gate, LinearKind::Up, LinearKind::GateUp];
        self.linears(layer, &kinds, first, x, y, false, &mut b.lora_h);
        swiglu::forward(Mat::new(&b.gate_up, t, 2 * i), m.activation, MatMut::new(&mut b.activated, t, i));
        let x = Mat::new(&b.activated, t, i);
        self.add(layer, LinearKind::Down, &layer.mlp_post_norm, runs, x, &mut b.x, &mut b.out, &mut b.lora_h);
    }

    /// y ← y + W x, or y + norm(W x) where the family norms the output.
    fn add(
        &self,
        layer: &DecoderLayer,
        kind: LinearKind,
        post_norm: &Option<Vec<f32>>,
        runs: &[Run],
        x: Mat,
        y: &mut [f32],
        out: &mut Vec<f32>,
        lora_h: &mut Vec<f32>,
    ) {
        let (t, h) = (x.rows, self.model.config.hidden);
        let first = self.first_adapted(runs);
        let Some(norm) = post_norm else {
            return self.linears(layer, &[kind], first, x, MatMut::new(y, t, h), true, lora_h);
        };
        out.resize(t * h, 0.0);
        self.linears(layer, &[kind], first, x, MatMut::new(out, t, h), false, lora_h);
        rms_norm::forward_in_place(MatMut::new(out, t, h), norm, self.model.config.norm_eps);
        elementwise::add_in_place(MatMut::new(y, t, h), Mat::new(out, t, h));
    }

    /// The linears of these kinds, which read the same x, into their columns of y, or added to them; with the adapter's part on
    /// the rows from `first` on.
    fn linears(
        &self,
        layer: &DecoderLayer,
        wanted: &[LinearKind],
        first: usize,
        x: Mat,
        mut y: MatMut,
        accumulate: bool,
        lora_h: &mut Vec<f32>,
    ) {
        let (m, compute) = (&self.model.config, self.model.compute);
        let linears: SmallVec<[&Linear; 4]> = layer.linears.iter().filter(|l| wanted.contains(&l.kind)).collect();
        let module = |l: &Linear| self.modules[layer.index * LinearKind::ALL.len() + l.kind as usize];
        let columns = |l: &Linear| (m.linear_column(l.kind), l.weight.out_features);
        if x.rows <= FEW {
            let parts = y.reborrow().split_columns(linears.iter().map(|l| columns(l)));
            let outputs = linears.iter().zip(parts).map(|(l, c)| FewOutput {
                c,
                right: linear::rows(&l.weight),
                beta: if accumulate { 1.0 } else { 0.0 },
                adapter: module(l).map(|i| &self.laid_out[i]),
            });
            gemm::few_outputs(gemm::kernel(compute), x, first, outputs.collect());
            for l in linears {
                l.add_bias(y.reborrow().columns(columns(l).0, columns(l).1));
            }
            return;
        }
        for l in linears {
            let mut y = y.reborrow().columns(columns(l).0, columns(l).1);
            l.forward(x, y.reborrow(), accumulate, compute);
            let (Some(adapter), Some(i)) = (self.adapter, module(l)) else { continue };
            let rows = x.rows - first;
            if rows > 0 {
                let pass = adapter.pass(&adapter.modules[i], compute);
                lora_h.resize(rows * pass.module.rank, 0.0);
                let y = MatMut::strided(&mut y.data[first * y.stride..], rows, y.cols, y.stride);
                pass.forward(x.rows_range(first, rows), y, lora_h);
            }
        }
    }

    /// The first row of an adapted sequence; the number of rows when there is none.
    fn first_adapted(&self, runs: &[Run]) -> usize {
        let first = runs.iter().find(|r| self.sequences[r.sequence].adapted);
        first.map_or(runs.last().map_or(0, |r| r.rows.end), |r| r.rows.start)
    }
}
