//! One decoder layer, forward and backward written out by hand.
//!
//! ```text
//! x ─ norm ─ q|k|v ─ (head norms) ─ rope ─ attention ─ o ─ (norm) ─ + x ─ norm ─ gate|up ─ act ─ down ─ (norm) ─ + ─ y
//! ```
//! The parts in brackets exist in some families only. `forward` leaves in [`Saved`] what `backward` needs; checkpointing
//! is a choice of whose `Saved` survives until then.

use half::bf16;

use crate::engine::model::linear::{Group, Linear, Member};
use crate::engine::model::{LayerConfig, LinearKind, LoraScratch, ModelConfig, Pass, Saved, Scratch};
use crate::engine::ops::attention::{self, Shape};
use crate::engine::ops::{
    Compute, Element, Mat, MatMut, elementwise, rms_norm, rope, row_stride, row_stride_of, swiglu,
};

/// The frozen weights of a layer.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    /// Position in the stack.
    pub index: usize,
    /// Window and rotary embedding.
    pub config: LayerConfig,
    /// In the order of [`ModelConfig::linears`].
    pub linears: Vec<Linear>,
    /// Before attention, `[hidden]`.
    pub attention_norm: Vec<f32>,
    /// After attention, `[hidden]` (Gemma 2 and 3).
    pub attention_post_norm: Option<Vec<f32>>,
    /// Before the feed-forward, `[hidden]`.
    pub mlp_norm: Vec<f32>,
    /// After the feed-forward, `[hidden]` (Gemma 2 and 3).
    pub mlp_post_norm: Option<Vec<f32>>,
    /// On each head of q, `[head_dim]`.
    pub q_norm: Option<Vec<f32>>,
    /// On each head of k, `[head_dim]`.
    pub k_norm: Option<Vec<f32>>,
}

impl DecoderLayer {
    /// The attention's shape in this layer.
    pub fn attention_shape(&self, m: &ModelConfig, compute: Compute) -> Shape {
        Shape { window: self.config.window, ..m.attention_shape(compute) }
    }

    /// `x [tokens, hidden]` → `y [tokens, hidden]`, leaving in `s` what the backward needs. Without `y` (the forward is
    /// repeated for its backward) only `s` is filled, with the same bits.
    pub fn forward(
        &self,
        m: &ModelConfig,
        x: &[f32],
        y: Option<&mut [f32]>,
        s: &mut Saved,
        scr: &mut Scratch,
        ls: &mut LoraScratch,
        pass: &Pass,
    ) {
        let t = pass.positions.len();
        self.attend(m, x, s, scr, ls, pass);

        // s.middle = x + o(attention)
        let (o, attention) = (self.group(&[LinearKind::O], m, pass), Mat::new(&s.attention, t, m.q_width()));
        let middle = &mut s.middle[..t * m.hidden];
        match &self.attention_post_norm {
            None => {
                middle.copy_from_slice(&x[..t * m.hidden]);
                o.forward(attention, MatMut::new(middle, t, m.hidden), true, &mut s.lora_h, ls);
            }
            Some(w) => {
                o.forward(attention, MatMut::new(&mut s.attention_out, t, m.hidden), false, &mut s.lora_h, ls);
                let out = Mat::new(&s.attention_out, t, m.hidden);
                rms_norm::forward(out, w, m.norm_eps, MatMut::new(middle, t, m.hidden));
                elementwise::add_in_place(MatMut::new(middle, t, m.hidden), Mat::new(x, t, m.hidden));
            }
        }

        let middle = Mat::new(&s.middle, t, m.hidden);
        rms_norm::forward(middle, &self.mlp_norm, m.norm_eps, MatMut::new(&mut scr.normed, t, m.hidden));
        let normed = Mat::new(&scr.normed, t, m.hidden);
        // Into scratch, which is free until the backward: what is kept of it is narrower.
        let gate_up = wide_mut(&mut scr.gate_up, t, 2 * m.intermediate);
        self.group(&GATE_UP, m, pass).forward(normed, gate_up, false, &mut s.lora_h, ls);
        let gate_up = wide(&scr.gate_up, t, 2 * m.intermediate);
        let activated = wide_mut(&mut scr.activated, t, m.intermediate);
        match pass.compute {
            _ if s.gate_up.is_empty() => swiglu::forward(gate_up, m.activation, activated),
            Compute::F32 => {
                let kept = wide_mut(&mut s.gate_up, t, 2 * m.intermediate);
                swiglu::forward_keeping(gate_up, m.activation, activated, kept);
            }
            Compute::Bf16 => {
                let kept = wide_mut(halves_mut(&mut s.gate_up), t, 2 * m.intermediate);
                swiglu::forward_keeping(gate_up, m.activation, activated, kept);
            }
        }

        // y = middle + down(activated)
        let down = self.group(&[LinearKind::Down], m, pass);
        let activated = wide(&scr.activated, t, m.intermediate);
        let y = y.map(|y| &mut y[..t * m.hidden]);
        match (&self.mlp_post_norm, y) {
            (None, None) => down.project(activated, &mut s.lora_h, ls),
            (None, Some(y)) => {
                y.copy_from_slice(&s.middle[..t * m.hidden]);
                down.forward(activated, MatMut::new(y, t, m.hidden), true, &mut s.lora_h, ls);
            }
            (Some(w), y) => {
                down.forward(activated, MatMut::new(&mut s.mlp_out, t, m.hidden), false, &mut s.lora_h, ls);
                let Some(y) = y else { return };
                let out = Mat::new(&s.mlp_out, t, m.hidden);
                rms_norm::forward(out, w, m.norm_eps, MatMut::new(y, t, m.hidden));
                elementwise::add_in_place(MatMut::new(y, t, m.hidden), Mat::new(&s.middle, t, m.hidden));
            }
        }
    }

    /// Norm, q|k|v, rotary embedding and attention: fills `s.qkv`, `s.attention` and `s.lse`.
    fn attend(&self, m: &ModelConfig, x: &[f32], s: &mut Saved, scr: &mut Scratch, ls: &mut LoraScratch, pass: &Pass) {
        let t = pass.positions.len();
        let (q, kv) = (m.q_width(), m.kv_width());
        let x = Mat::new(x, t, m.hidden);
        rms_norm::forward(x, &self.attention_norm, m.norm_eps, MatMut::new(&mut scr.normed, t, m.hidden));
        let normed = Mat::new(&scr.normed, t, m.hidden);
        let qkv = wide_mut(&mut s.qkv, t, m.qkv_width());
        self.group(&QKV, m, pass).forward(normed, qkv, false, &mut s.lora_h, ls);
        self.rotate(m, s, scr, pass);
        let qkv = wide(if m.qk_norm { &scr.rotated } else { &s.qkv }, t, m.qkv_width());
        attention::forward(
            qkv.columns(0, q),
            qkv.columns(q, kv),
            qkv.columns(q + kv, kv),
            &self.attention_shape(m, pass.compute),
            pass.segments,
            MatMut::new(&mut s.attention, t, q),
            Some(&mut s.lse[..m.heads * t]),
        );
    }

    /// Head norms and rotary embedding. Without head norms `s.qkv` is rotated where it is (its backward needs no
    /// input); with them `s.qkv` keeps what the norms read and the rotated copy is in scratch.
    fn rotate(&self, m: &ModelConfig, s: &mut Saved, scr: &mut Scratch, pass: &Pass) {
        let t = pass.positions.len();
        let width = m.qkv_width();
        let buffer = if m.qk_norm {
            let used = t * row_stride(width);
            scr.rotated[..used].copy_from_slice(&s.qkv[..used]);
            self.head_norms(m, wide_mut(&mut scr.rotated, t, width));
            &mut scr.rotated
        } else {
            &mut s.qkv
        };
        if let Some(table) = self.config.rope.map(|r| &pass.ropes[r]) {
            let qk = wide_mut(buffer, t, width).columns(0, m.q_width() + m.kv_width());
            rope::forward(qk, m.head_dim, pass.positions, table);
        }
    }

    /// RMSNorm of each head of q and of k, in place.
    pub(super) fn head_norms(&self, m: &ModelConfig, mut qkv: MatMut) {
        if let (Some(qw), Some(kw)) = (&self.q_norm, &self.k_norm) {
            rms_norm::forward_in_place(qkv.reborrow().columns(0, m.q_width()), qw, m.norm_eps);
            rms_norm::forward_in_place(qkv.columns(m.q_width(), m.kv_width()), kw, m.norm_eps);
        }
    }

    /// `d [tokens, hidden]` holds dy and leaves with dx, unless `need_dx` is false (nothing below is trained: then `d`
    /// is spoiled). Accumulates the adapter's gradients into `grads`, the flat buffer of [`Adapter::params`]' layout.
    ///
    /// [`Adapter::params`]: crate::engine::peft::Adapter
    pub fn backward(
        &self,
        m: &ModelConfig,
        d: &mut [f32],
        x: &[f32],
        s: &mut Saved,
        scr: &mut Scratch,
        ls: &mut LoraScratch,
        pass: &Pass,
        grads: &mut [f32],
        need_dx: bool,
    ) {
        self.backward_mlp(m, d, s, scr, ls, pass, grads);
        self.backward_attention(m, d, x, s, scr, ls, pass, grads, need_dx);
    }

    fn backward_mlp(
        &self,
        m: &ModelConfig,
        d: &mut [f32],
        s: &mut Saved,
        scr: &mut Scratch,
        ls: &mut LoraScratch,
        pass: &Pass,
        grads: &mut [f32],
    ) {
        let t = pass.positions.len();
        let (h, i) = (m.hidden, m.intermediate);

        // down, whose input is computed again together with its gradient
        let d_out: &[f32] = match &self.mlp_post_norm {
            None => d,
            Some(w) => {
                let dx = MatMut::new(&mut scr.d_hidden, t, h);
                rms_norm::backward(Mat::new(d, t, h), Mat::new(&s.mlp_out, t, h), w, m.norm_eps, dx, false);
                &scr.d_hidden
            }
        };
        let (down, d_out) = (self.group(&[LinearKind::Down], m, pass), Mat::new(d_out, t, h));
        down.backward_input(d_out, Some((wide_mut(&mut scr.d_activated, t, i), false)), ls);
        let (d_gate_up, activated) = (wide_mut(&mut scr.gate_up, t, 2 * i), wide_mut(&mut scr.activated, t, i));
        let d_activated = wide(&scr.d_activated, t, i);
        match pass.compute {
            Compute::F32 => {
                let gate_up = wide(&s.gate_up, t, 2 * i);
                swiglu::backward(d_activated, gate_up, m.activation, d_gate_up, activated);
            }
            Compute::Bf16 => {
                let gate_up = wide(halves(&s.gate_up), t, 2 * i);
                swiglu::backward(d_activated, gate_up, m.activation, d_gate_up, activated);
            }
        }
        down.backward_adapters(d_out, wide(&scr.activated, t, i), &s.lora_h, grads, ls);

        // gate and up
        let (group, middle) = (self.group(&GATE_UP, m, pass), Mat::new(&s.middle, t, h));
        let dy = wide(&scr.gate_up, t, 2 * i);
        group.backward_input(dy, Some((MatMut::new(&mut scr.d_normed, t, h), false)), ls);
        if group.is_adapted() {
            rms_norm::forward(middle, &self.mlp_norm, m.norm_eps, MatMut::new(&mut scr.normed, t, h));
            group.backward_adapters(dy, Mat::new(&scr.normed, t, h), &s.lora_h, grads, ls);
        }
        rms_norm::backward(
            Mat::new(&scr.d_normed, t, h),
            middle,
            &self.mlp_norm,
            m.norm_eps,
            MatMut::new(d, t, h),
            true,
        );
    }

    fn backward_attention(
        &self,
        m: &ModelConfig,
        d: &mut [f32],
        x: &[f32],
        s: &mut Saved,
        scr: &mut Scratch,
        ls: &mut LoraScratch,
        pass: &Pass,
        grads: &mut [f32],
        need_dx: bool,
    ) {
        let t = pass.positions.len();
        let (h, q, kv, width) = (m.hidden, m.q_width(), m.kv_width(), m.qkv_width());

        // o
        let d_out: &[f32] = match &self.attention_post_norm {
            None => d,
            Some(w) => {
                let dx = MatMut::new(&mut scr.d_hidden, t, h);
                rms_norm::backward(Mat::new(d, t, h), Mat::new(&s.attention_out, t, h), w, m.norm_eps, dx, false);
                &scr.d_hidden
            }
        };
        let (o, d_out) = (self.group(&[LinearKind::O], m, pass), Mat::new(d_out, t, h));
        o.backward_input(d_out, Some((MatMut::new(&mut scr.d_attention, t, q), false)), ls);
        o.backward_adapters(d_out, Mat::new(&s.attention, t, q), &s.lora_h, grads, ls);

        // attention, rotary embedding, head norms
        if m.qk_norm {
            self.rotate(m, s, scr, pass);
        }
        let rotated = wide(if m.qk_norm { &scr.rotated } else { &s.qkv }, t, width);
        attention::backward(
            Mat::new(&scr.d_attention, t, q),
            rotated.columns(0, q),
            rotated.columns(q, kv),
            rotated.columns(q + kv, kv),
            Mat::new(&s.attention, t, q),
            &s.lse[..m.heads * t],
            &self.attention_shape(m, pass.compute),
            pass.segments,
            wide_mut(&mut scr.d_qkv, t, width),
        );
        if let Some(table) = self.config.rope.map(|r| &pass.ropes[r]) {
            let qk = wide_mut(&mut scr.d_qkv, t, width).columns(0, q + kv);
            rope::backward(qk, m.head_dim, pass.positions, table);
        }
        if let (Some(qw), Some(kw)) = (&self.q_norm, &self.k_norm) {
            let raw = wide(&s.qkv, t, width);
            let mut d = wide_mut(&mut scr.d_qkv, t, width);
            rms_norm::backward_in_place(d.reborrow().columns(0, q), raw.columns(0, q), qw, m.norm_eps);
            rms_norm::backward_in_place(d.columns(q, kv), raw.columns(q, kv), kw, m.norm_eps);
        }

        // q, k and v
        let (group, x) = (self.group(&QKV, m, pass), Mat::new(x, t, h));
        let dy = wide(&scr.d_qkv, t, width);
        group.backward_input(dy, need_dx.then(|| (MatMut::new(&mut scr.d_normed, t, h), false)), ls);
        if group.is_adapted() {
            rms_norm::forward(x, &self.attention_norm, m.norm_eps, MatMut::new(&mut scr.normed, t, h));
            group.backward_adapters(dy, Mat::new(&scr.normed, t, h), &s.lora_h, grads, ls);
        }
        if need_dx {
            let d_normed = Mat::new(&scr.d_normed, t, h);
            rms_norm::backward(d_normed, x, &self.attention_norm, m.norm_eps, MatMut::new(d, t, h), true);
        }
    }

    /// The linears of these kinds that the layer has, in this pass.
    fn group<'a>(&'a self, kinds: &[LinearKind], m: &ModelConfig, pass: &Pass<'a>) -> Group<'a> {
        let member = |linear: &'a Linear| Member {
            linear,
            column: m.linear_column(linear.kind),
            lora: pass.lora(self.index, linear.kind),
            h: pass.lora_h(linear.kind),
        };
        let members = kinds.iter().filter_map(|kind| self.find(*kind)).map(member).collect();
        Group { members, compute: pass.compute }
    }

    /// The layer's linear of that kind.
    pub fn find(&self, kind: LinearKind) -> Option<&Linear> {
        self.linears.iter().find(|l| l.kind == kind)
    }
}

/// The linears between the first norm and attention: three, or one that is all of them.
pub(in crate::engine) const QKV: [LinearKind; 4] = [LinearKind::Q, LinearKind::K, LinearKind::V, LinearKind::Qkv];
/// The linears between the second norm and the activation: two, or one that is both.
pub(in crate::engine) const GATE_UP: [LinearKind; 3] = [LinearKind::Gate, LinearKind::Up, LinearKind::GateUp];

/// A buffer of rows wider than the hidden state.
fn wide<T: Element>(data: &[T], rows: usize, cols: usize) -> Mat<'_, T> {
    Mat::strided(data, rows, cols, row_stride_of::<T>(cols))
}

/// [`wide`], writable.
fn wide_mut<T: Element>(data: &mut [T], rows: usize, cols: usize) -> MatMut<'_, T> {
    MatMut::strided(data, rows, cols, row_stride_of::<T>(cols))
}

/// A buffer that holds bfloat16.
fn halves(data: &[f32]) -> &[bf16] {
    bytemuck::cast_slice(data)
}

/// [`halves`], writable.
fn halves_mut(data: &mut [f32]) -> &mut [bf16] {
    bytemuck::cast_slice_mut(data)
}
