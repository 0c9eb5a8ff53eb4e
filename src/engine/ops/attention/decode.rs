//! Attention of a few queries over many cached keys: bound by reading the cache, which is read once for all the heads
//! that share it, where it lies.

use super::forward::{Call, softmax_row};
use crate::engine::ops::math::dot_body;
use crate::engine::ops::simd::{fma, multiversion};
use crate::engine::ops::{pool, scratch};

/// From this number of queries on, packing the keys for matrix products pays.
pub(super) const MANY: usize = 8;

pub(super) fn forward(call: &Call, segments: &[usize]) {
    let shape = call.shape;
    let tasks = segments.iter().flat_map(|s| (0..shape.kv_heads).map(move |h| (*s, h)));
    let tasks: Vec<(usize, usize)> = tasks.collect();
    let queries = |s: &usize| call.segments[*s].q.len();
    let scores = segments.iter().map(|s| queries(s) * shape.group() * call.segments[*s].k.len()).max().unwrap_or(0);
    let work: usize = segments.iter().map(|s| queries(s) * call.segments[*s].k.len() * 2 * call.q.cols).sum();
    pool::for_each_task(tasks.len(), pool::worth(work), |task| {
        let (s, h) = tasks[task];
        scratch::with(scores, |scores| heads(call, s, h, scores));
    });
}

/// Keys that are read for one head after another while they are in the cache.
const TILE: usize = 128;

/// All queries of the heads that read key head `kv_head` of segment `s`.
fn heads(call: &Call, s: usize, kv_head: usize, scores: &mut [f32]) {
    let (shape, segment, d) = (call.shape, &call.segments[s], call.shape.head_dim);
    let keys = segment.k.len();
    let heads = kv_head * shape.group()..(kv_head + 1) * shape.group();
    let rows = || heads.clone().flat_map(|head| segment.q.clone().map(move |row| (head, row))).enumerate();
    let seen = |row: usize| shape.visible(keys - segment.q.len() + row - segment.q.start);
    // The first query sees the earliest keys.
    let from = seen(segment.q.start).start;
    let tiles = || (from..keys).step_by(TILE).map(|t| t..(t + TILE).min(keys));

    for tile in tiles() {
        let k = &call.k.data[(segment.k.start + tile.start) * call.k.stride + kv_head * d..];
        for (i, (head, row)) in rows() {
            let q = &call.q.row(row)[head * d..][..d];
            score(q, k, call.k.stride, shape.scale, &mut scores[i * keys..][tile.clone()]);
        }
    }
    for (i, (head, row)) in rows() {
        let (scores, seen) = (&mut scores[i * keys..][..keys], seen(row));
        let (max, sum) = softmax_row(&mut scores[seen.clone()], shape.softcap.unwrap_or(0.0));
        scores[..seen.start].fill(0.0);
        scores[seen.end..].fill(0.0);
        scores[seen].iter_mut().for_each(|p| *p /= sum);
        if let Some(lse) = call.lse {
            // SAFETY: this task alone has these heads of these queries, and `lse` is [heads, q_rows].
            unsafe { *lse.at(head * call.q.rows + row) = max + sum.ln() };
        }
        // SAFETY: as above; the columns of the head lie inside the output.
        unsafe { std::slice::from_raw_parts_mut(call.out.at(row * call.out_stride + head * d), d) }.fill(0.0);
    }
    for tile in tiles() {
        let v = &call.v.data[(segment.k.start + tile.start) * call.v.stride + kv_head * d..];
        for (i, (head, row)) in rows() {
            // SAFETY: this task alone has these columns of these rows.
            let out = unsafe { std::slice::from_raw_parts_mut(call.out.at(row * call.out_stride + head * d), d) };
            add_weighted(&scores[i * keys..][tile.clone()], v, call.v.stride, out);
        }
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
