//! Attention of a few queries over many cached keys: bound by reading the cache, which is read once for all the heads
//! that share it, where it lies.
//!
//! Keys are taken in chunks, as tasks of their own: with few heads there would be threads without work. A chunk gives the sums
//! of its own softmax, Σ exp(s − max)·v, which are put together in the order of the chunks (Dao et al. 2023, *Flash-Decoding*).
//! Where a chunk ends depends on the keys alone, so the number of threads changes no bit.

use std::cell::RefCell;
use std::ops::Range;

use super::forward::{Call, softmax_row};
#[cfg(target_arch = "x86_64")]
use crate::engine::ops::cpu::{Mode, avx512_gemv};
use crate::engine::ops::mat::Element;
use crate::engine::ops::math::dot_body;
use crate::engine::ops::simd::{fma, multiversion, prefetch};
use crate::engine::ops::{Mat, pool, scratch};

/// From this number of queries on, packing the keys for matrix products pays.
pub(super) const MANY: usize = 8;

/// Keys of a task, at most.
const CHUNK: usize = 128;
/// Numbers of keys or values that are widened together: 16 KiB, which stay in the L1 cache.
const WIDENED: usize = 4096;
/// Rows of queries that are taken through a chunk together.
const ROWS: usize = 16;

/// What a thread needs for a task.
struct Memory {
    wide: [f32; WIDENED],
    scores: [f32; ROWS * CHUNK],
}

thread_local! {
    static MEMORY: RefCell<Memory> =
        const { RefCell::new(Memory { wide: [0.0; WIDENED], scores: [0.0; ROWS * CHUNK] }) };
}

/// All queries of the heads that read one key head of one segment.
struct Group {
    segment: usize,
    kv_head: usize,
    /// Keys that any of them sees.
    keys: Range<usize>,
    /// Where the sums of its chunks lie; a single chunk has them in the output.
    partial: usize,
}

pub(super) fn forward<T: Element>(call: &Call<T>, segments: &[usize]) {
    let shape = call.shape;
    let (mut groups, mut tasks, mut room) = (Vec::new(), Vec::new(), 0);
    for &segment in segments {
        let s = &call.segments[segment];
        // The first query sees the earliest keys.
        let keys = shape.visible(s.k.len() - s.q.len()).start..s.k.len();
        let chunks = keys.len().div_ceil(CHUNK);
        for kv_head in 0..shape.kv_heads {
            tasks.extend((0..chunks).map(|chunk| (groups.len(), chunk)));
            groups.push(Group { segment, kv_head, keys: keys.clone(), partial: room });
            room += if chunks > 1 { chunks * s.q.len() * shape.group() * (shape.head_dim + 2) } else { 0 };
        }
    }
    let work: usize = groups.iter().map(|g| g.keys.len() * call.segments[g.segment].q.len()).sum();
    let parallel = pool::worth(work * 2 * shape.group() * shape.head_dim);
    scratch::with(room, |partial| {
        let shared = super::Shared(partial.as_mut_ptr());
        pool::for_each_task(tasks.len(), parallel, |task| {
            let (group, chunk) = tasks[task];
            MEMORY.with_borrow_mut(|memory| call.chunk(&groups[group], chunk, shared, memory));
        });
        if room > 0 {
            let partial = &*partial;
            pool::for_each_task(groups.len(), parallel, |group| call.put_together(&groups[group], partial));
        }
    });
}

impl<T: Element> Call<'_, T> {
    /// Rows of a group: `(head, row of q)`.
    fn rows(&self, group: &Group) -> impl Iterator<Item = (usize, usize)> + Clone + use<'_, T> {
        let (members, q) = (self.shape.group(), self.segments[group.segment].q.clone());
        let first = group.kv_head * members;
        (first..first + members).flat_map(move |head| q.clone().map(move |row| (head, row)))
    }

    /// One chunk of keys: for each row the largest score, Σ exp(s − max) and Σ exp(s − max)·v.
    fn chunk(&self, group: &Group, chunk: usize, partial: super::Shared, memory: &mut Memory) {
        let (shape, segment, d) = (self.shape, &self.segments[group.segment], self.shape.head_dim);
        let start = group.keys.start + chunk * CHUNK;
        let keys = start..group.keys.end.min(start + CHUNK);
        let alone = group.keys.len() <= CHUNK;
        let rows: Vec<(usize, usize)> = self.rows(group).collect();
        let here = segment.k.start + keys.start..segment.k.start + keys.end;
        let (k, v) = (self.k.head(&here, group.kv_head), self.v.head(&here, group.kv_head));
        let Memory { wide, scores } = memory;

        // Both begin on pages that the processor has not begun to read ahead.
        ask_for(k, 0..AHEAD);
        ask_for(v, 0..AHEAD);
        for (block, rows) in rows.chunks(ROWS).enumerate() {
            self.scores(rows, k, wide, scores);
            let mut sums = [(0f32, 0f32); ROWS];
            for (((_, row), scores), sums) in rows.iter().zip(scores.chunks_exact_mut(CHUNK)).zip(&mut sums) {
                let seen = shape.visible(segment.k.len() - segment.q.len() + row - segment.q.start);
                let seen = seen.start.clamp(keys.start, keys.end) - keys.start
                    ..seen.end.clamp(keys.start, keys.end) - keys.start;
                *sums = softmax_row(&mut scores[seen.clone()], shape.softcap.unwrap_or(0.0));
                scores[..seen.start].fill(0.0);
                scores[seen.end..].fill(0.0);
            }
            // SAFETY: this task alone has these heads of these queries, or this chunk's part of what is put together later.
            let out = |i: usize| unsafe {
                let (head, row) = rows[i];
                let at = match alone {
                    true => self.out.at(row * self.out_stride + head * d),
                    false => partial.at(self.part(group, chunk, block * ROWS + i)).add(2),
                };
                std::slice::from_raw_parts_mut(at, d)
            };
            (0..rows.len()).for_each(|i| out(i).fill(0.0));
            widened(v, wide, |range, v| {
                for (i, scores) in scores.chunks_exact(CHUNK).take(rows.len()).enumerate() {
                    add_weighted(&scores[range.clone()], v.data, v.stride, out(i));
                }
            });
            for (i, (max, sum)) in sums.into_iter().take(rows.len()).enumerate() {
                if alone {
                    let (head, row) = rows[i];
                    out(i).iter_mut().for_each(|x| *x /= sum);
                    self.keep_lse(head, row, max + sum.ln());
                } else {
                    // SAFETY: as above.
                    unsafe {
                        let at = partial.at(self.part(group, chunk, block * ROWS + i));
                        (*at, *at.add(1)) = (max, sum);
                    }
                }
            }
        }
    }

    /// scale·q·kⱼ for some rows of queries, `[rows, CHUNK]`.
    fn scores(&self, rows: &[(usize, usize)], k: Mat<T>, wide: &mut [f32; WIDENED], scores: &mut [f32]) {
        let (scale, d) = (self.shape.scale, self.shape.head_dim);
        let q = |(head, row): (usize, usize)| &self.q.row(row)[head * d..][..d];
        #[cfg(target_arch = "x86_64")]
        if let Some(keys) = T::halves(k.data)
            && self.shape.kernel().mode == Mode::Pairs
            && 4 * avx512_gemv::lanes(d) <= WIDENED
        {
            // Four rows share what is read of the keys.
            let (keys, lanes) = (Mat::strided(keys, k.rows, k.cols, k.stride), avx512_gemv::lanes(d));
            let pairs: &mut [u32] = bytemuck::cast_slice_mut(wide);
            for (rows, scores) in rows.chunks(4).zip(scores.chunks_mut(4 * CHUNK)) {
                for (row, to) in rows.iter().zip(pairs.chunks_exact_mut(lanes)) {
                    // SAFETY: only machines with bfloat16 products have kernels of pairs.
                    unsafe { avx512_gemv::pack(q(*row), to) };
                }
                let keys = avx512_gemv::Rows::Bf16(keys);
                // SAFETY: as above.
                unsafe { avx512_gemv::dots(rows.len(), pairs, keys, 0..k.rows, &mut [], scores, CHUNK) };
                let scores = scores.chunks_exact_mut(CHUNK).take(rows.len());
                scores.for_each(|s| s[..k.rows].iter_mut().for_each(|s| *s *= scale));
            }
            return;
        }
        widened(k, wide, |range, k| {
            for (row, scores) in rows.iter().zip(scores.chunks_exact_mut(CHUNK)) {
                score(q(*row), k.data, k.stride, scale, &mut scores[range.clone()]);
            }
        });
    }

    /// Where a chunk's numbers of the group's row `i` lie: the largest score, the sum, and the weighted values.
    fn part(&self, group: &Group, chunk: usize, i: usize) -> usize {
        let rows = self.shape.group() * self.segments[group.segment].q.len();
        group.partial + (chunk * rows + i) * (self.shape.head_dim + 2)
    }

    /// The output of a group from its chunks.
    fn put_together(&self, group: &Group, partial: &[f32]) {
        let (d, chunks) = (self.shape.head_dim, group.keys.len().div_ceil(CHUNK));
        if chunks <= 1 {
            return;
        }
        for (i, (head, row)) in self.rows(group).enumerate() {
            let part = |chunk: usize| &partial[self.part(group, chunk, i)..][..d + 2];
            let max = (0..chunks).map(|c| part(c)[0]).fold(f32::NEG_INFINITY, f32::max);
            // SAFETY: this task alone has this group; the columns of the head lie inside the output.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.at(row * self.out_stride + head * d), d) };
            out.fill(0.0);
            let mut sum = 0.0;
            for chunk in 0..chunks {
                let part = part(chunk);
                let factor = (part[0] - max).exp();
                sum += factor * part[1];
                out.iter_mut().zip(&part[2..]).for_each(|(out, x)| *out += factor * x);
            }
            out.iter_mut().for_each(|x| *x /= sum);
            self.keep_lse(head, row, max + sum.ln());
        }
    }

    fn keep_lse(&self, head: usize, row: usize, value: f32) {
        if let Some(lse) = self.lse {
            // SAFETY: one task alone has these heads of these queries, and `lse` is [heads, q_rows].
            unsafe { *lse.at(head * self.q.rows + row) = value };
        }
    }
}

/// Rows that are asked for before they are read.
const AHEAD: usize = 32;

/// Asks for rows, as far as they exist.
fn ask_for<T: Element>(m: Mat<T>, rows: Range<usize>) {
    for row in rows.start..rows.end.min(m.rows) {
        let row = m.row(row);
        for at in (0..size_of_val(row)).step_by(64) {
            prefetch(row.as_ptr().cast::<u8>().wrapping_add(at));
        }
    }
}

/// Calls `f(rows, those rows)` with rows of 32-bit numbers: all at once where they lie, or some at a time.
fn widened<T: Element>(m: Mat<T>, wide: &mut [f32; WIDENED], mut f: impl FnMut(Range<usize>, Mat)) {
    if let Some(data) = T::wide(m.data) {
        return f(0..m.rows, Mat::strided(data, m.rows, m.cols, m.stride));
    }
    let mut wider = Vec::new();
    let wide: &mut [f32] = if m.cols <= WIDENED {
        wide
    } else {
        wider.resize(m.cols, 0.0);
        &mut wider
    };
    let step = wide.len() / m.cols.max(1);
    for start in (0..m.rows).step_by(step) {
        let rows = step.min(m.rows - start);
        for (r, to) in wide.chunks_exact_mut(m.cols).take(rows).enumerate() {
            ask_for(m, start + r + AHEAD..start + r + AHEAD + 1);
            T::widen_to(m.row(start + r), to);
        }
        f(start..start + rows, Mat::new(wide, rows, m.cols));
    }
}

multiversion! {
    /// out ← scale·q·kⱼ for rows of `k` that are `stride` apart.
    fn score(q: &[f32], k: &[f32], stride: usize, scale: f32, out: &mut [f32]) {
        for (j, out) in out.iter_mut().enumerate() {
            *out = scale * dot_body::<FMA>(q, &k[j * stride..][..q.len()]);
        }
    }
}

multiversion! {
    /// out ← out + Σⱼ pⱼ·vⱼ for rows of `v` that are `stride` apart, four at a time.
    fn add_weighted(p: &[f32], v: &[f32], stride: usize, out: &mut [f32]) {
        let n = out.len();
        let (fours, rest) = p.as_chunks::<4>();
        for (j, p) in fours.iter().enumerate() {
            let at = 4 * j * stride;
            let (a, b) = (&v[at..][..n], &v[at + stride..][..n]);
            let (c, d) = (&v[at + 2 * stride..][..n], &v[at + 3 * stride..][..n]);
            for i in 0..n {
                let pairs = (fma::<FMA>(p[0], a[i], p[1] * b[i]), fma::<FMA>(p[2], c[i], p[3] * d[i]));
                out[i] += pairs.0 + pairs.1;
            }
        }
        let done = 4 * fours.len();
        for (j, p) in rest.iter().enumerate() {
            let v = &v[(done + j) * stride..][..n];
            for i in 0..n {
                out[i] = fma::<FMA>(*p, v[i], out[i]);
            }
        }
    }
}
