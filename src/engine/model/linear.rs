//! A layer's frozen linears with their biases and, where they are adapted, the LoRA beside them.
//!
//! Linears that read the same input (q|k|v, gate|up) are computed as one [`Group`]: the input is packed once, and each
//! adapter's product through rank r is a second term of the sum that the frozen weight begins, so it costs no pass over
//! the output. The same holds for the gradient of the input, which is one sum over all members.

use std::ops::Range;

use smallvec::smallvec;

use crate::engine::model::{LinearKind, LoraScratch};
use crate::engine::ops::cpu::Kernel;
use crate::engine::ops::gemm::scratch::Kept;
use crate::engine::ops::gemm::{self, Left, Output, Packed, Right, SumTakes, Term, sums};
use crate::engine::ops::outer::{self, Outer};
use crate::engine::ops::{Compute, Mat, MatMut, dropout, elementwise, linear};
use crate::engine::peft::lora::LoraPass;
use crate::engine::quant::FrozenMatrix;

/// y = W x + b with W frozen.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Which linear of the layer.
    pub kind: LinearKind,
    /// W `[out, in]`.
    pub weight: FrozenMatrix,
    /// b `[out]`.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `y = W x + b`, or `y += …` with `accumulate`, without an adapter.
    pub fn forward(&self, x: Mat, mut y: MatMut, accumulate: bool, compute: Compute) {
        let beta = if accumulate { 1.0 } else { 0.0 };
        linear::forward(x, &self.weight, y.reborrow(), beta, compute);
        self.add_bias(y);
    }

    /// `y += b`, if there is one.
    pub fn add_bias(&self, y: MatMut) {
        if let Some(bias) = &self.bias {
            elementwise::add_bias(y, bias);
        }
    }
}

/// A linear in one pass.
pub(super) struct Member<'a> {
    pub linear: &'a Linear,
    /// First column of its output in the group's.
    pub column: usize,
    pub lora: Option<LoraPass<'a>>,
    /// Where its s·A·x lies in [`Saved::lora_h`](crate::engine::model::Saved): `[tokens, r]`.
    pub h: Range<usize>,
}

/// Linears of one layer that read the same input and write columns of one buffer, in the order of these.
pub(super) struct Group<'a> {
    pub members: Vec<Member<'a>>,
    pub compute: Compute,
}

impl<'a> Group<'a> {
    /// The members that are adapted.
    fn adapted(&self) -> impl Iterator<Item = (&Member<'a>, &LoraPass<'a>)> {
        self.members.iter().filter_map(|m| m.lora.as_ref().map(|l| (m, l)))
    }

    /// Whether any member is adapted.
    pub fn is_adapted(&self) -> bool {
        self.adapted().next().is_some()
    }

    /// y = W x + b + s·B A dropout(x) for every member, or `y += …`; `x [tokens, in]`, `y [tokens, width]`. Leaves
    /// s·A·dropout(x) in `lora_h`.
    pub fn forward(&self, x: Mat, mut y: MatMut, accumulate: bool, lora_h: &mut [f32], scratch: &mut LoraScratch) {
        let kernel = gemm::kernel(self.compute);
        let packed = Packed::new(kernel, Left::Rows(x), true);
        let hs = self.project_packed(x, &packed, lora_h, scratch);
        let beta = if accumulate { 1.0 } else { 0.0 };
        let mut hs = hs.iter();
        let parts = self.members.iter().map(|m| (m.column, m.linear.weight.out_features));
        let outputs = y.reborrow().split_columns(parts).into_iter().zip(&self.members).map(|(c, member)| {
            let mut terms = vec![Term { left: &packed, right: linear::rows(&member.linear.weight) }];
            if let Some(lora) = &member.lora {
                let left = hs.next().expect("one for each adapted member");
                terms.push(Term { left, right: Right::Rows(lora.b()) });
            }
            Output { c, alpha: 1.0, beta, terms }
        });
        sums(kernel, outputs.collect(), true);
        for Member { linear, column, .. } in &self.members {
            linear.add_bias(y.reborrow().columns(*column, linear.weight.out_features));
        }
    }

    /// Only what the forward leaves in `lora_h`, with the same bits.
    pub fn project(&self, x: Mat, lora_h: &mut [f32], scratch: &mut LoraScratch) {
        if self.is_adapted() {
            let packed = Packed::new(gemm::kernel(self.compute), Left::Rows(x), true);
            self.project_packed(x, &packed, lora_h, scratch);
        }
    }

    /// s·A·dropout(x) of each adapted member, in `lora_h` and packed.
    fn project_packed(&self, x: Mat, packed: &Packed, lora_h: &mut [f32], scratch: &mut LoraScratch) -> Vec<Packed> {
        let kernel = gemm::kernel(self.compute);
        let mut outputs = Vec::with_capacity(self.members.len());
        let ranges = self.adapted().map(|(m, _)| m.h.clone());
        for ((_, lora), h) in self.adapted().zip(split(lora_h, ranges)) {
            let h = MatMut::new(h, x.rows, lora.module.rank);
            match lora.dropout {
                None => outputs.push(projection(lora, packed, h)),
                Some(_) => {
                    let dropped = Packed::new(kernel, Left::Rows(lora.dropped(x, &mut scratch.dropped)), true);
                    sums(kernel, vec![projection(lora, &dropped, h)], true);
                }
            }
        }
        sums(kernel, outputs, true);
        let packed = |(m, lora): (&Member, &LoraPass)| {
            let h = Mat::new(&lora_h[m.h.clone()], x.rows, lora.module.rank);
            Packed::new(kernel, Left::Rows(h), true)
        };
        self.adapted().map(packed).collect()
    }

    /// dx = Σ dy·W + dropout'(dh·A), or `+=` with its flag, where dx is asked for: with nothing trained below it is not.
    /// Leaves dh = s·dy·B of the adapted members in `scratch.dh`, one after the other. `dy [tokens, width]`,
    /// `dx [tokens, in]`.
    pub fn backward_input(&self, dy: Mat, dx: Option<(MatMut, bool)>, scratch: &mut LoraScratch) {
        let kernel = gemm::kernel(self.compute);
        let tokens = dy.rows;
        let wanted = |m: &Member| dx.is_some() || m.lora.is_some();
        let packed: Vec<Option<Packed>> = self
            .members
            .iter()
            .map(|m| {
                let dy = dy.columns(m.column, m.linear.weight.out_features);
                wanted(m).then(|| Packed::new(kernel, Left::Rows(dy), true))
            })
            .collect();

        let places = split(&mut scratch.dh, self.dh(tokens));
        let lefts = self.members.iter().zip(&packed).filter_map(|(m, p)| Some((m.lora.as_ref()?, p.as_ref()?)));
        let outputs = lefts.zip(places).map(|((lora, left), dh)| Output {
            c: MatMut::new(dh, tokens, lora.module.rank).into(),
            alpha: lora.module.scale,
            beta: 0.0,
            terms: vec![Term { left, right: Right::Columns(lora.b()) }],
        });
        sums(kernel, outputs.collect(), true);

        let Some((mut dx, accumulate)) = dx else { return };
        let dh = |range: Range<usize>, lora: &LoraPass| Mat::new(&scratch.dh[range], tokens, lora.module.rank);
        let through_rank: Vec<(Packed, &LoraPass)> = self
            .adapted()
            .zip(self.dh(tokens))
            .map(|((_, lora), range)| (Packed::new(kernel, Left::Rows(dh(range, lora)), true), lora))
            .collect();
        let weights =
            self.members.iter().zip(&packed).filter_map(|(m, packed)| {
                Some(Term { left: packed.as_ref()?, right: linear::columns(&m.linear.weight) })
            });
        let adapters = through_rank.iter().filter(|(_, lora)| lora.dropout.is_none());
        let adapters = adapters.map(|(left, lora)| Term { left, right: Right::Columns(lora.a()) });
        let beta = if accumulate { 1.0 } else { 0.0 };
        let c = dx.reborrow().into();
        sums(kernel, vec![Output { c, alpha: 1.0, beta, terms: weights.chain(adapters).collect() }], true);

        for (left, lora) in &through_rank {
            let Some((p, key)) = lora.dropout else { continue };
            let n = lora.module.in_features;
            let d = &mut scratch.d_dropped[..tokens * n];
            let c = MatMut::new(d, tokens, n).into();
            let terms = vec![Term { left, right: Right::Columns(lora.a()) }];
            sums(kernel, vec![Output { c, alpha: 1.0, beta: 0.0, terms }], true);
            dropout::backward(Mat::new(d, tokens, n), p, key, dx.reborrow());
        }
    }

    /// Adds the gradients of the adapters to `grads`, the flat buffer: dA += dhᵀ·dropout(x), dB += dyᵀ·h, with the dh that
    /// [`Group::backward_input`] left and the h of the forward.
    pub fn backward_adapters(&self, dy: Mat, x: Mat, lora_h: &[f32], grads: &mut [f32], scratch: &mut LoraScratch) {
        let tokens = dy.rows;
        let mut ranges: Vec<Range<usize>> =
            self.adapted().flat_map(|(_, l)| [l.module.a_range(), l.module.b_range()]).collect();
        ranges.sort_by_key(|r| r.start);
        let mut places: Vec<(usize, &mut [f32])> =
            ranges.iter().map(|r| r.start).zip(split(grads, ranges.iter().cloned())).collect();
        let mut take = |range: Range<usize>| {
            let at = places.iter().position(|(start, _)| *start == range.start).expect("every range was split off");
            places.swap_remove(at).1
        };

        let mut all = Vec::with_capacity(2 * self.members.len());
        for ((member, lora), dh) in self.adapted().zip(self.dh(tokens)) {
            let (module, rank) = (lora.module, lora.module.rank);
            let (a, b) = (module.a_range(), module.b_range());
            let dh = Mat::new(&scratch.dh[dh], tokens, rank);
            let h = Mat::new(&lora_h[member.h.clone()], tokens, rank);
            let da = MatMut::new(take(a), rank, module.in_features);
            let db = MatMut::new(take(b), module.out_features, rank);
            all.push(Outer { a: dy.columns(member.column, module.out_features), b: h, c: db });
            match lora.dropout {
                None => all.push(Outer { a: dh, b: x, c: da }),
                Some(_) => {
                    let dropped = lora.dropped(x, &mut scratch.dropped);
                    outer::accumulate(vec![Outer { a: dh, b: dropped, c: da }]);
                }
            }
        }
        outer::accumulate(all);
    }

    /// Where each adapted member's dh lies in `LoraScratch::dh`.
    fn dh(&self, tokens: usize) -> impl Iterator<Item = Range<usize>> {
        self.adapted().scan(0, move |end, (_, lora)| {
            let start = *end;
            *end += tokens * lora.module.rank;
            Some(start..*end)
        })
    }
}

/// A group before there is one: output features and rank (0: none) of each member, for the memory plan.
pub(in crate::engine) struct GroupShape {
    pub input: usize,
    pub members: Vec<(usize, usize)>,
    pub dropout: bool,
    /// Columns of the weights that are decoded together when they are read across.
    pub block: usize,
}

impl GroupShape {
    fn ranks(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|(_, rank)| *rank).filter(|rank| *rank > 0)
    }

    /// What [`Group::forward`] takes for so many tokens.
    pub fn forward_takes(&self, kernel: &Kernel, tokens: usize, kept: &mut Kept, threads: usize) {
        let packed = |k: usize| Packed::lanes(kernel, tokens, k);
        let projections = self.ranks().map(|rank| SumTakes { cols: rank, depths: smallvec![self.input], block: 1 });
        kept.hold(&[packed(self.input)], |kept| {
            match self.dropout {
                false => gemm::sums_take(kernel, tokens, &projections.collect::<Vec<_>>(), kept, threads),
                true => projections.for_each(|projection| {
                    gemm::product_takes(kernel, tokens, projection, kept, threads);
                }),
            }
            let hs: Vec<usize> = self.ranks().map(packed).collect();
            kept.hold(&hs, |kept| {
                let sum = |&(out, rank): &(usize, usize)| SumTakes {
                    cols: out,
                    depths: if rank > 0 { smallvec![self.input, rank] } else { smallvec![self.input] },
                    block: 1,
                };
                gemm::sums_take(kernel, tokens, &self.members.iter().map(sum).collect::<Vec<_>>(), kept, threads);
            });
        });
    }

    /// What [`Group::backward_input`] and [`Group::backward_adapters`] take for so many tokens.
    pub fn backward_takes(&self, kernel: &Kernel, tokens: usize, kept: &mut Kept, threads: usize) {
        let packed = |k: usize| Packed::lanes(kernel, tokens, k);
        let outs: Vec<usize> = self.members.iter().map(|(out, _)| packed(*out)).collect();
        kept.hold(&outs, |kept| {
            let adapted = self.members.iter().filter(|(_, rank)| *rank > 0);
            let dh = adapted.map(|&(out, rank)| SumTakes { cols: rank, depths: smallvec![out], block: 1 });
            gemm::sums_take(kernel, tokens, &dh.collect::<Vec<_>>(), kept, threads);
            let ranks: Vec<usize> = self.ranks().map(packed).collect();
            kept.hold(&ranks, |kept| {
                let weights = self.members.iter().map(|(out, _)| *out);
                let depths = if self.dropout { weights.collect() } else { weights.chain(self.ranks()).collect() };
                let dx = SumTakes { cols: self.input, depths, block: self.block };
                gemm::sums_take(kernel, tokens, &[dx], kept, threads);
                for rank in self.ranks().filter(|_| self.dropout) {
                    let d = SumTakes { cols: self.input, depths: smallvec![rank], block: 1 };
                    gemm::sums_take(kernel, tokens, &[d], kept, threads);
                }
            });
        });
        let columns = self.ranks().chain(self.ranks().map(|_| self.input));
        outer::takes(tokens, columns, kernel.isa, kept);
    }
}

/// h = s·A x, with x packed.
fn projection<'a>(lora: &LoraPass<'a>, x: &'a Packed, h: MatMut<'a>) -> Output<'a> {
    let terms = vec![Term { left: x, right: Right::Rows(lora.a()) }];
    Output { c: h.into(), alpha: lora.module.scale, beta: 0.0, terms }
}

/// Parts of `all`, which are given in ascending order.
fn split(mut all: &mut [f32], ranges: impl Iterator<Item = Range<usize>>) -> Vec<&mut [f32]> {
    let mut parts = Vec::new();
    let mut at = 0;
    for range in ranges {
        let (part, rest) = std::mem::take(&mut all)[range.start - at..].split_at_mut(range.len());
        parts.push(part);
        (all, at) = (rest, range.end);
    }
    parts
}
