//! The forward of attention over blocks of queries.

use super::product::{Panels, pack_keys, pack_values, packed_len, product, strip_len};
use super::{Block, Heads, Segment, Shape, Shared, decode, head, offsets, score_stride};
use crate::engine::ops::gemm::Left;
use crate::engine::ops::gemm::scratch::{Kept, Scratch};
use crate::engine::ops::mat::Element;
use crate::engine::ops::math::{exp_sum_body, max_body, tanh};
use crate::engine::ops::simd::multiversion;
use crate::engine::ops::{Mat, MatMut, pool};

/// out ← attention; q and out are `[q_rows, heads · head_dim]`, k and v `[k_rows, kv_heads · head_dim]`.
///
/// `lse`, `[heads, q_rows]`, receives the log-sum-exp of the scores that [`super::backward`] needs. Rows of q that no
/// segment names are left as they are.
pub fn forward(q: Mat, k: Mat, v: Mat, shape: &Shape, segments: &[Segment], out: MatMut, lse: Option<&mut [f32]>) {
    let heads = |m| Heads::columns(m, shape.head_dim);
    forward_heads(q, heads(k), heads(v), shape, segments, out, lse);
}

/// [`forward`] with keys and values laid out in another way, or in another type.
pub fn forward_heads<T: Element>(
    q: Mat,
    k: Heads<T>,
    v: Heads<T>,
    shape: &Shape,
    segments: &[Segment],
    out: MatMut,
    lse: Option<&mut [f32]>,
) {
    shape.check((q.rows, q.cols), k.shape(), v.shape(), segments);
    assert_eq!((out.rows, out.cols), (q.rows, q.cols), "attention: shape of the output");
    assert!(lse.as_ref().is_none_or(|l| l.len() == shape.heads * q.rows), "attention: length of lse");
    let lse = lse.map(|l| Shared(l.as_mut_ptr()));
    let call = Call { q, k, v, shape, segments, out: Shared(out.data.as_mut_ptr()), out_stride: out.stride, lse };

    // Few queries against many keys, as when generating: packing the keys would cost more than reading them.
    let (few, many): (Vec<usize>, Vec<usize>) =
        (0..segments.len()).filter(|s| !segments[*s].q.is_empty()).partition(|s| segments[*s].q.len() < decode::MANY);
    if !few.is_empty() {
        decode::forward(&call, &few);
    }
    if !many.is_empty() {
        call.blocks(&many);
    }
}

/// The scratch that [`forward`] takes for these segments, for the memory plan.
pub(crate) fn forward_takes(shape: &Shape, segments: &[Segment], kept: &mut Kept) {
    let (_, packed) = offsets(segments, |s| 2 * packed_keys(shape, s));
    let (scores, strip) = task_lanes(shape, segments.iter());
    kept.hold(&[packed], |kept| kept.tasks(&[scores, strip]));
}

/// Lanes of a segment's keys in panels; its values take no more.
pub(super) fn packed_keys(shape: &Shape, s: &Segment) -> usize {
    let kernel = shape.kernel();
    let keys = packed_len(kernel, shape.head_dim, s.k.len());
    let values = packed_len(kernel, s.k.len(), shape.head_dim);
    shape.kv_heads * keys.max(values)
}

/// Lanes that one task needs: a block of scores, and a strip of queries or probabilities.
fn task_lanes<'a>(shape: &Shape, segments: impl Iterator<Item = &'a Segment> + Clone) -> (usize, usize) {
    let scores = segments.clone().map(|s| super::BLOCK.min(s.q.len()) * score_stride(s.k.len())).max().unwrap_or(0);
    let longest = segments.map(|s| s.k.len()).max().unwrap_or(0);
    (scores, strip_len(shape.kernel(), longest.max(shape.head_dim)))
}

/// The arguments of a forward.
pub(super) struct Call<'a, T> {
    pub q: Mat<'a>,
    pub k: Heads<'a, T>,
    pub v: Heads<'a, T>,
    pub shape: &'a Shape,
    pub segments: &'a [Segment],
    pub out: Shared,
    pub out_stride: usize,
    pub lse: Option<Shared>,
}

impl<T: Element> Call<'_, T> {
    fn blocks(&self, segments: &[usize]) {
        let (shape, kernel) = (self.shape, self.shape.kernel());
        let (starts, half) = offsets(self.segments, |s| packed_keys(shape, s));
        let mut packed = Scratch::take(2 * half);
        let (keys, values) = packed.lanes().split_at_mut(half);
        let pairs = segments.iter().flat_map(|s| (0..shape.kv_heads).map(move |h| (*s, h)));
        let pairs: Vec<(usize, usize)> = pairs.collect();
        let (shared_keys, shared_values) = (Shared(keys.as_mut_ptr()), Shared(values.as_mut_ptr()));
        let place = |s: usize, h: usize| {
            let size = packed_keys(shape, &self.segments[s]) / shape.kv_heads;
            (starts[s] + h * size, size)
        };
        pool::for_each_task(pairs.len(), true, |pair| {
            let (s, h) = pairs[pair];
            let (at, size) = place(s, h);
            let rows = &self.segments[s].k;
            // SAFETY: each (segment, head) has its own `size` lanes from `at`, inside the buffers.
            let (keys, values) = unsafe {
                let keys = std::slice::from_raw_parts_mut(shared_keys.at(at), size);
                (keys, std::slice::from_raw_parts_mut(shared_values.at(at), size))
            };
            pack_keys(kernel, self.k.head(rows, h), keys);
            pack_values(kernel, self.v.head(rows, h), values);
        });
        let (keys, values) = (&*keys, &*values);

        // The longest blocks first, so that no thread is left with a long one at the end.
        let mut tasks: Vec<(usize, usize, usize)> = Vec::new();
        for s in segments {
            let blocks = Block::count(&self.segments[*s]);
            tasks.extend((0..blocks).flat_map(|b| (0..shape.heads).map(move |h| (*s, h, b))));
        }
        tasks.sort_by_key(|(s, _, b)| std::cmp::Reverse(Block::new(shape, &self.segments[*s], *b).keys.len()));
        // As much on every thread, whichever blocks it gets: then no later call allocates.
        let (scores, strip) = task_lanes(shape, segments.iter().map(|s| &self.segments[*s]));
        pool::for_each_task(tasks.len(), true, |task| {
            let (s, h, b) = tasks[task];
            let (at, size) = place(s, h / shape.group());
            let panels = (&keys[at..at + size], &values[at..at + size]);
            let (mut scores, mut strip) = (Scratch::take(scores), Scratch::take(strip));
            self.block(s, h, b, panels, scores.floats(), &mut strip);
        });
    }

    /// The output of one block of queries of one head.
    fn block(
        &self,
        s: usize,
        h: usize,
        index: usize,
        (keys, values): (&[u32], &[u32]),
        scores: &mut [f32],
        strip: &mut Scratch,
    ) {
        let (shape, segment, d) = (self.shape, &self.segments[s], self.shape.head_dim);
        let kernel = shape.kernel();
        let block = Block::new(shape, segment, index);
        let (rows, span, stride) = (block.queries.len(), block.keys.len(), block.stride());
        let scores = &mut scores[..block.scores()];
        let first = segment.q.start + block.queries.start;

        let q = Left::Rows(head(&self.q, &(first..first + rows), h, d));
        let n = segment.k.len();
        let panels = Panels { data: keys, depth: d, columns: n, from: (0, block.keys.start) };
        // SAFETY: `scores` has `rows` rows of `stride` floats, and nobody else has them.
        unsafe { product(kernel, q, panels, span, (shape.scale, 0.0), scores.as_mut_ptr(), stride, strip) };

        let mut inverse = [0f32; super::BLOCK];
        for (r, row) in scores.chunks_exact_mut(stride).enumerate() {
            let seen = block.visible(shape, r);
            let (max, sum) = softmax_row(&mut row[seen.clone()], shape.softcap.unwrap_or(0.0));
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
            inverse[r] = 1.0 / sum;
            if let Some(lse) = self.lse {
                // SAFETY: this block alone has these queries of this head, and `lse` is [heads, q_rows].
                unsafe { *lse.at(h * self.q.rows + first + r) = max + sum.ln() };
            }
        }

        let p = Left::Rows(Mat::strided(scores, rows, span, stride));
        let panels = Panels { data: values, depth: n, columns: d, from: (block.keys.start, 0) };
        // SAFETY: this block alone writes these rows of these columns, which lie inside the output.
        unsafe {
            let out = self.out.at(first * self.out_stride + h * d);
            product(kernel, p, panels, d, (1.0, 0.0), out, self.out_stride, strip);
            for (r, factor) in inverse[..rows].iter().enumerate() {
                let row = std::slice::from_raw_parts_mut(out.add(r * self.out_stride), d);
                row.iter_mut().for_each(|o| *o *= factor);
            }
        }
    }
}

multiversion! {
    /// Scores to exp(score − max), after the soft cap when it is above 0; the maximum and the sum.
    pub(super) fn softmax_row(scores: &mut [f32], softcap: f32) -> (f32, f32) {
        if softcap > 0.0 {
            let inverse = 1.0 / softcap;
            for s in scores.iter_mut() {
                *s = softcap * tanh::<FMA>(*s * inverse);
            }
        }
        let max = max_body(scores);
        (max, exp_sum_body::<FMA>(scores, max))
    }
}
