//! The backward of attention: one task a query head, so that nobody adds to the same place in an order of chance.

use std::ops::Range;

use super::product::{GRAIN, Panels, pack, packed_len, product, strip_len};
use super::{BLOCK, Block, Segment, Shape, Shared, head, offsets, score_stride};
use crate::engine::ops::gemm::scratch::{Kept, Scratch};
use crate::engine::ops::gemm::{Left, Right};
use crate::engine::ops::math::{dot, exp, tanh};
use crate::engine::ops::rows::for_each_row;
use crate::engine::ops::simd::multiversion;
use crate::engine::ops::{Mat, MatMut, pool};

/// dqkv ← the gradient in q, k and v, columns q|k|v of `[rows, (heads + 2·kv_heads) · head_dim]`, written.
///
/// `out` and `lse` are what [`super::forward`] gave. Rows that no segment names get 0.
pub fn backward(
    dout: Mat,
    q: Mat,
    k: Mat,
    v: Mat,
    out: Mat,
    lse: &[f32],
    shape: &Shape,
    segments: &[Segment],
    dqkv: MatMut,
) {
    let (qw, kw) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    assert_eq!(dqkv.cols, qw + 2 * kw, "attention: columns of the gradient");
    assert_eq!((dqkv.rows, dqkv.rows), (q.rows, k.rows), "attention: rows of the gradient");
    let (rows, stride) = (dqkv.rows, dqkv.stride);
    let base = dqkv.data.as_mut_ptr();
    let from = if rows == 0 { 0 } else { qw };
    // SAFETY: q's columns and those of k and v are disjoint, and no view writes outside its own columns.
    let (dq, dkv) = unsafe { (Grad::new(base, rows, stride), Grad::new(base.add(from), rows, stride)) };
    run(dout, q, k, v, out, lse, shape, segments, dq, dkv);
}

/// [`backward`] into two matrices, for queries that are not the rows of the keys: `dq` is
/// `[q_rows, heads · head_dim]` and `dkv` is `[k_rows, 2 · kv_heads · head_dim]`, columns k|v.
pub fn backward_separate(
    dout: Mat,
    q: Mat,
    k: Mat,
    v: Mat,
    out: Mat,
    lse: &[f32],
    shape: &Shape,
    segments: &[Segment],
    dq: MatMut,
    dkv: MatMut,
) {
    assert_eq!((dq.rows, dq.cols), (q.rows, q.cols), "attention: shape of q's gradient");
    assert_eq!((dkv.rows, dkv.cols), (k.rows, 2 * k.cols), "attention: shape of k|v's gradient");
    // SAFETY: two matrices that are borrowed for the whole call.
    let (dq, dkv) = unsafe {
        (Grad::new(dq.data.as_mut_ptr(), dq.rows, dq.stride), Grad::new(dkv.data.as_mut_ptr(), dkv.rows, dkv.stride))
    };
    run(dout, q, k, v, out, lse, shape, segments, dq, dkv);
}

/// The scratch that [`backward`] takes for these segments, for the memory plan.
pub(crate) fn backward_takes(shape: &Shape, segments: &[Segment], kept: &mut Kept) {
    let rows = segments.iter().map(|s| s.k.end).max().unwrap_or(0);
    let (_, packed) = offsets(segments, |s| packed_heads(shape, s));
    let TaskLanes { scores, panels, strip } = TaskLanes::of(shape, segments);
    let task = [scores, scores, panels, panels, strip];
    kept.hold(&[packed, rows * partial_width(shape)], |kept| kept.tasks(&task));
}

/// Where a gradient is written.
#[derive(Clone, Copy)]
struct Grad {
    data: Shared,
    rows: usize,
    stride: usize,
}

impl Grad {
    /// # Safety
    /// `data` must stay valid for `rows` rows `stride` apart while the value is used.
    unsafe fn new(data: *mut f32, rows: usize, stride: usize) -> Self {
        Self { data: Shared(data), rows, stride }
    }

    /// Row `row` from column `column` on.
    ///
    /// # Safety
    /// The place must exist, and nobody else may use it meanwhile.
    unsafe fn row<'a>(&self, row: usize, column: usize, cols: usize) -> &'a mut [f32] {
        debug_assert!(row < self.rows);
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.at(row * self.stride + column), cols) }
    }
}

/// Lanes of a segment's packed keys, their transpose and the transposed values.
fn packed_heads(shape: &Shape, s: &Segment) -> usize {
    let (d, n, kernel) = (shape.head_dim, s.k.len(), shape.kernel());
    shape.kv_heads * (2 * packed_len(kernel, d, n) + packed_len(kernel, n, d))
}

/// Columns of the buffer for the dk|dv of all heads of a group but its first, which writes to the result.
fn partial_width(shape: &Shape) -> usize {
    (shape.heads - shape.kv_heads) * 2 * shape.head_dim
}

/// What one task needs: two blocks of scores, q and dout of a block in panels, and a strip of a left operand.
struct TaskLanes {
    scores: usize,
    panels: usize,
    strip: usize,
}

impl TaskLanes {
    fn of(shape: &Shape, segments: &[Segment]) -> TaskLanes {
        let kernel = shape.kernel();
        let longest = segments.iter().map(|s| s.k.len()).max().unwrap_or(0);
        TaskLanes {
            scores: segments.iter().map(|s| BLOCK.min(s.q.len()) * score_stride(s.k.len())).max().unwrap_or(0),
            panels: packed_len(kernel, BLOCK, shape.head_dim),
            strip: strip_len(kernel, longest.max(BLOCK).max(shape.head_dim)),
        }
    }
}

/// The memory of one task.
struct Memory {
    scores: Scratch,
    grads: Scratch,
    q: Scratch,
    dout: Scratch,
    strip: Scratch,
}

impl Memory {
    fn take(lanes: &TaskLanes) -> Memory {
        Memory {
            scores: Scratch::take(lanes.scores),
            grads: Scratch::take(lanes.scores),
            q: Scratch::take(lanes.panels),
            dout: Scratch::take(lanes.panels),
            strip: Scratch::take(lanes.strip),
        }
    }
}

struct Call<'a> {
    dout: Mat<'a>,
    q: Mat<'a>,
    k: Mat<'a>,
    v: Mat<'a>,
    out: Mat<'a>,
    lse: &'a [f32],
    shape: &'a Shape,
    segments: &'a [Segment],
    dq: Grad,
    dkv: Grad,
}

fn run(
    dout: Mat,
    q: Mat,
    k: Mat,
    v: Mat,
    out: Mat,
    lse: &[f32],
    shape: &Shape,
    segments: &[Segment],
    dq: Grad,
    dkv: Grad,
) {
    shape.check((q.rows, q.cols), (k.rows, k.cols), (v.rows, v.cols), segments);
    assert_eq!((dout.rows, dout.cols), (q.rows, q.cols), "attention: shape of the output's gradient");
    assert_eq!((out.rows, out.cols), (q.rows, q.cols), "attention: shape of the output");
    assert_eq!(lse.len(), shape.heads * q.rows, "attention: length of lse");
    let call = Call { dout, q, k, v, out, lse, shape, segments, dq, dkv };
    call.clear_gaps();
    let chains = chains(segments);
    let (starts, packed) = offsets(segments, |s| packed_heads(shape, s));
    let width = partial_width(shape);
    let (mut packed, mut partial) = (Scratch::take(packed), Scratch::take(k.rows * width));
    call.pack(&starts, packed.lanes());
    // SAFETY: the buffer lives until the end of this function.
    let partial = unsafe { Grad::new(partial.floats().as_mut_ptr(), k.rows, width) };
    let packed = &*packed.lanes();

    let mut tasks: Vec<(usize, usize)> =
        (0..chains.len()).flat_map(|c| (0..shape.heads).map(move |h| (c, h))).collect();
    // The longest first, so that no thread is left with a long one at the end.
    let work = |c: usize| segments[chains[c].clone()].iter().map(|s| s.q.len() * s.k.len()).sum::<usize>();
    tasks.sort_by_key(|(c, _)| std::cmp::Reverse(work(*c)));
    let lanes = TaskLanes::of(shape, segments);
    pool::for_each_task(tasks.len(), true, |task| {
        let (c, head) = tasks[task];
        call.head(chains[c].clone(), head, (&starts, packed), partial, &mut Memory::take(&lanes));
    });
    if width > 0 {
        call.sum_groups(partial);
    }
}

/// Runs of segments that share keys: those are done by one task, one after the other.
fn chains(segments: &[Segment]) -> Vec<Range<usize>> {
    let mut chains: Vec<Range<usize>> = Vec::new();
    let mut keys = 0..0;
    for (i, s) in segments.iter().enumerate() {
        let overlaps = s.k.start < keys.end && keys.start < s.k.end;
        match chains.last_mut() {
            Some(chain) if overlaps => {
                chain.end = i + 1;
                keys = keys.start.min(s.k.start)..keys.end.max(s.k.end);
            }
            _ => {
                chains.push(i..i + 1);
                keys = s.k.clone();
            }
        }
    }
    chains
}

impl Call<'_> {
    /// Zeros in the rows that no segment names. (The others are written or cleared by their tasks.)
    fn clear_gaps(&self) {
        let clear = |grad: &Grad, cols: usize, named: &dyn Fn(&Segment) -> Range<usize>| {
            let mut seen = vec![false; grad.rows];
            self.segments.iter().for_each(|s| seen[named(s)].fill(true));
            for row in (0..grad.rows).filter(|r| !seen[*r]) {
                // SAFETY: no task runs yet.
                unsafe { grad.row(row, 0, cols) }.fill(0.0);
            }
        };
        clear(&self.dq, self.q.cols, &|s| s.q.clone());
        clear(&self.dkv, 2 * self.k.cols, &|s| s.k.clone());
    }

    /// Keys for q·kᵀ, values for dout·vᵀ, keys for ds·k, for every segment and key head.
    fn pack(&self, starts: &[usize], packed: &mut [u32]) {
        let (shape, d, kernel) = (self.shape, self.shape.head_dim, self.shape.kernel());
        let shared = Shared(packed.as_mut_ptr());
        let pairs = (0..self.segments.len()).flat_map(|s| (0..shape.kv_heads).map(move |h| (s, h)));
        let pairs: Vec<(usize, usize)> = pairs.collect();
        pool::for_each_task(pairs.len(), true, |pair| {
            let (s, h) = pairs[pair];
            let segment = &self.segments[s];
            let n = segment.k.len();
            if n == 0 {
                return;
            }
            let size = packed_heads(shape, segment) / shape.kv_heads;
            // SAFETY: each (segment, head) has its own `size` lanes from here, inside the buffer.
            let out = unsafe { std::slice::from_raw_parts_mut(shared.at(starts[s] + h * size), size) };
            let (keys, rest) = out.split_at_mut(packed_len(kernel, d, n));
            let (values, plain) = rest.split_at_mut(packed_len(kernel, d, n));
            let (k, v) = (head(&self.k, &segment.k, h, d), head(&self.v, &segment.k, h, d));
            pack(kernel, Right::Rows(k), keys);
            pack(kernel, Right::Rows(v), values);
            pack(kernel, Right::Columns(k), plain);
        });
    }

    /// Everything that one query head adds, over the segments of a chain in order.
    fn head(
        &self,
        chain: Range<usize>,
        head: usize,
        (starts, packed): (&[usize], &[u32]),
        partial: Grad,
        memory: &mut Memory,
    ) {
        let (shape, d) = (self.shape, self.shape.head_dim);
        let (kv_head, member) = (head / shape.group(), head % shape.group());
        let (kv_cols, others) = (shape.kv_heads * d, shape.group() - 1);
        let (dk, dv) = if member == 0 {
            ((self.dkv, kv_head * d), (self.dkv, kv_cols + kv_head * d))
        } else {
            let column = (kv_head * others + member - 1) * 2 * d;
            ((partial, column), (partial, column + d))
        };
        let segments = &self.segments[chain.clone()];
        let first = segments.iter().map(|s| s.k.start).min().unwrap_or(0);
        let last = segments.iter().map(|s| s.k.end).max().unwrap_or(0);
        for row in first..last {
            for (grad, column) in [dk, dv] {
                // SAFETY: this task alone has these columns of this chain's rows.
                unsafe { grad.row(row, column, d) }.fill(0.0);
            }
        }
        for s in chain {
            let segment = &self.segments[s];
            let size = packed_heads(shape, segment) / shape.kv_heads;
            let packed = &packed[starts[s] + kv_head * size..][..size];
            for b in 0..Block::count(segment) {
                self.block(segment, head, b, packed, dk, dv, memory);
            }
        }
    }

    fn block(
        &self,
        segment: &Segment,
        h: usize,
        index: usize,
        packed: &[u32],
        (dk, dk_column): (Grad, usize),
        (dv, dv_column): (Grad, usize),
        memory: &mut Memory,
    ) {
        let (shape, d, n) = (self.shape, self.shape.head_dim, segment.k.len());
        let kernel = shape.kernel();
        let block = Block::new(shape, segment, index);
        let (rows, span, stride) = (block.queries.len(), block.keys.len(), block.stride());
        let (keys, rest) = packed.split_at(packed_len(kernel, d, n));
        let (values, plain) = rest.split_at(packed_len(kernel, d, n));
        let Memory { scores, grads, q: q_panels, dout: dout_panels, strip } = memory;
        let (scores, grads) = (&mut scores.floats()[..block.scores()], &mut grads.floats()[..block.scores()]);
        let first = segment.q.start + block.queries.start;

        // s = scale·q·kᵀ and dp = dout·vᵀ.
        let here = first..first + rows;
        let (q, dout) = (head(&self.q, &here, h, d), head(&self.dout, &here, h, d));
        let panels = |data| Panels { data, depth: d, columns: n, from: (0, block.keys.start) };
        // SAFETY: both buffers have `rows` rows of `stride` floats, and are this task's.
        unsafe {
            let (s, dp) = (scores.as_mut_ptr(), grads.as_mut_ptr());
            product(kernel, Left::Rows(q), panels(keys), span, (shape.scale, 0.0), s, stride, strip);
            product(kernel, Left::Rows(dout), panels(values), span, (1.0, 0.0), dp, stride, strip);
        }

        // p = exp(s − lse), ds = p ∘ (dp − D)·scale.
        let pairs = scores.chunks_exact_mut(stride).zip(grads.chunks_exact_mut(stride));
        for (r, (p, ds)) in pairs.enumerate() {
            let seen = block.visible(shape, r);
            let row = first + r;
            let delta = dot(&self.dout.row(row)[h * d..][..d], &self.out.row(row)[h * d..][..d]);
            let lse = self.lse[h * self.q.rows + row];
            let (p_seen, ds_seen) = (&mut p[seen.clone()], &mut ds[seen.clone()]);
            match shape.softcap {
                None => probabilities(p_seen, ds_seen, lse, delta, shape.scale),
                Some(cap) => capped_probabilities(p_seen, ds_seen, lse, delta, shape.scale, cap),
            }
            for x in [p, ds] {
                x[..seen.start].fill(0.0);
                x[seen.end..].fill(0.0);
            }
        }

        // dv += pᵀ·dout, dk += dsᵀ·q, dq = ds·k.
        pack(kernel, Right::Columns(q), q_panels.lanes());
        pack(kernel, Right::Columns(dout), dout_panels.lanes());
        let panels = |data| Panels { data, depth: rows, columns: d, from: (0, 0) };
        let (p, ds) = (Mat::strided(scores, rows, span, stride), Mat::strided(grads, rows, span, stride));
        let key_row = segment.k.start + block.keys.start;
        // SAFETY: this task alone has this head's columns of these rows of the three gradients.
        unsafe {
            let at = dv.data.at(key_row * dv.stride + dv_column);
            product(kernel, Left::Columns(p), panels(dout_panels.lanes()), d, (1.0, 1.0), at, dv.stride, strip);
            let at = dk.data.at(key_row * dk.stride + dk_column);
            product(kernel, Left::Columns(ds), panels(q_panels.lanes()), d, (1.0, 1.0), at, dk.stride, strip);
            let at = self.dq.data.at(first * self.dq.stride + h * d);
            let k = Panels { data: plain, depth: n, columns: d, from: (block.keys.start, 0) };
            product(kernel, Left::Rows(ds), k, d, (1.0, 0.0), at, self.dq.stride, strip);
        }
    }

    /// dk|dv of each group's first head, which lies in the result, plus those of the others, in order.
    fn sum_groups(&self, partial: Grad) {
        let (d, others) = (self.shape.head_dim, self.shape.group() - 1);
        let kv_cols = self.shape.kv_heads * d;
        let mut named = vec![false; self.k.rows];
        self.segments.iter().for_each(|s| named[s.k.clone()].fill(true));
        let rows = self.k.rows;
        if rows == 0 {
            return;
        }
        // SAFETY: the tasks have ended; this is the only view of dk|dv now, inside the bounds that `Grad` promises.
        let dkv =
            unsafe { std::slice::from_raw_parts_mut(self.dkv.data.at(0), (rows - 1) * self.dkv.stride + 2 * kv_cols) };
        for_each_row(MatMut::strided(dkv, rows, 2 * kv_cols, self.dkv.stride), |row, sums| {
            if !named[row] {
                return;
            }
            let (dk, dv) = sums.split_at_mut(kv_cols);
            for (head, (dk, dv)) in dk.chunks_exact_mut(d).zip(dv.chunks_exact_mut(d)).enumerate() {
                for member in 0..others {
                    // SAFETY: only read from now on.
                    let part = unsafe { partial.row(row, (head * others + member) * 2 * d, 2 * d) };
                    dk.iter_mut().zip(&part[..d]).for_each(|(sum, x)| *sum += x);
                    dv.iter_mut().zip(&part[d..]).for_each(|(sum, x)| *sum += x);
                }
            }
        });
    }
}

multiversion! {
    /// s → p = exp(s − lse), dp → ds = p·(dp − delta)·scale.
    fn probabilities(s: &mut [f32], dp: &mut [f32], lse: f32, delta: f32, scale: f32) {
        for (s, dp) in s.iter_mut().zip(dp) {
            let p = exp::<FMA>(*s - lse);
            *s = p;
            *dp = p * (*dp - delta) * scale;
        }
    }
}

multiversion! {
    /// [`probabilities`] of s after the soft cap: cap·tanh(s / cap), whose derivative is 1 − tanh².
    fn capped_probabilities(s: &mut [f32], dp: &mut [f32], lse: f32, delta: f32, scale: f32, cap: f32) {
        let inverse = 1.0 / cap;
        for (s, dp) in s.iter_mut().zip(dp) {
            let t = tanh::<FMA>(*s * inverse);
            let p = exp::<FMA>(cap * t - lse);
            *s = p;
            *dp = p * (*dp - delta) * scale * (1.0 - t * t);
        }
    }
}

const _: () = assert!(BLOCK.is_multiple_of(GRAIN), "a block would begin inside a panel");
