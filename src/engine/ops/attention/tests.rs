use half::bf16;

use super::*;
use crate::engine::ops::testing::{assert_close, columns, gradient, normal, time, with_threads};
use crate::engine::ops::{Compute, Mat, MatMut};

const PLAIN: Shape =
    Shape { heads: 2, kv_heads: 2, head_dim: 8, scale: 0.35, softcap: None, window: None, compute: Compute::F32 };

/// Attention by its definition; q|k|v are columns of `qkv`, `rows` of them. Returns the output and the log-sum-exps.
fn reference(qkv: &[f64], rows: usize, shape: &Shape, segments: &[Segment]) -> (Vec<f64>, Vec<f64>) {
    let (d, qw, kw) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let width = qw + 2 * kw;
    let mut out = vec![0.0; rows * qw];
    let mut lse = vec![0.0; shape.heads * rows];
    for s in segments {
        for h in 0..shape.heads {
            let kh = h / (shape.heads / shape.kv_heads);
            for (i, row) in s.q.clone().enumerate() {
                let position = s.k.len() - s.q.len() + i;
                let mut scores = Vec::new();
                for j in 0..=position {
                    if shape.window.is_some_and(|w| j + w <= position) {
                        continue;
                    }
                    let key = s.k.start + j;
                    let dot: f64 =
                        (0..d).map(|c| qkv[row * width + h * d + c] * qkv[key * width + qw + kh * d + c]).sum();
                    let score = f64::from(shape.scale) * dot;
                    let score = shape.softcap.map_or(score, |c| f64::from(c) * (score / f64::from(c)).tanh());
                    scores.push((key, score));
                }
                let max = scores.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s.1 - max).exp()).sum();
                lse[h * rows + row] = max + sum.ln();
                for (key, score) in scores {
                    let p = (score - max).exp() / sum;
                    for c in 0..d {
                        out[row * qw + h * d + c] += p * qkv[key * width + qw + kw + kh * d + c];
                    }
                }
            }
        }
    }
    (out, lse)
}

struct Run {
    out: Vec<f32>,
    lse: Vec<f32>,
    dqkv: Vec<f32>,
}

/// Forward and backward with rows that are `extra` floats wider than they need to be.
fn run(qkv: &[f32], dout: &[f32], rows: usize, shape: &Shape, segments: &[Segment], extra: usize) -> Run {
    let (qw, kw) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let (width, stride) = (qw + 2 * kw, qw + 2 * kw + extra);
    let mut wide = vec![f32::NAN; rows * stride];
    for r in 0..rows {
        wide[r * stride..][..width].copy_from_slice(&qkv[r * width..][..width]);
    }
    let all = Mat::strided(&wide, rows, width, stride);
    let (q, k, v) = (all.columns(0, qw), all.columns(qw, kw), all.columns(qw + kw, kw));
    let mut out = vec![f32::NAN; rows * (qw + extra)];
    let mut lse = vec![f32::NAN; shape.heads * rows];
    forward(q, k, v, shape, segments, MatMut::strided(&mut out, rows, qw, qw + extra), Some(&mut lse));
    let mut without = out.clone();
    forward(q, k, v, shape, segments, MatMut::strided(&mut without, rows, qw, qw + extra), None);
    assert_eq!(
        columns(&out, rows, qw + extra, 0, qw).map_bits(),
        columns(&without, rows, qw + extra, 0, qw).map_bits()
    );
    let mut dqkv = vec![f32::NAN; rows * stride];
    backward(
        Mat::new(dout, rows, qw),
        q,
        k,
        v,
        Mat::strided(&out, rows, qw, qw + extra),
        &lse,
        shape,
        segments,
        MatMut::strided(&mut dqkv, rows, width, stride),
    );
    for r in 0..rows {
        assert!(dqkv[r * stride + width..(r + 1) * stride].iter().all(|x| x.is_nan()), "written beyond the columns");
    }
    Run { out: columns(&out, rows, qw + extra, 0, qw), lse, dqkv: columns(&dqkv, rows, stride, 0, width) }
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|x| x.to_bits()).collect()
    }
}

fn check(name: &str, rows: usize, shape: &Shape, segments: &[Segment], extra: usize) {
    let (qw, kw) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let qkv = normal(rows as u64, rows * (qw + 2 * kw), 1.0);
    let dout = normal(rows as u64 + 1, rows * qw, 1.0);
    let got = run(&qkv, &dout, rows, shape, segments, extra);
    let qkv64: Vec<f64> = qkv.iter().map(|x| f64::from(*x)).collect();
    let (out, lse) = reference(&qkv64, rows, shape, segments);
    assert_close(&format!("{name}: out"), &got.out, &out, 5e-7);
    assert_close(&format!("{name}: lse"), &got.lse, &lse, 3e-7);
    let want = gradient(&qkv, |x| {
        reference(x, rows, shape, segments).0.iter().zip(&dout).map(|(y, d)| y * f64::from(*d)).sum()
    });
    let width = qw + 2 * kw;
    for (part, start, cols) in [("dq", 0, qw), ("dk", qw, kw), ("dv", qw + kw, kw)] {
        let want: Vec<f64> = (0..rows).flat_map(|r| want[r * width + start..][..cols].iter().copied()).collect();
        let got = columns(&got.dqkv, rows, width, start, cols);
        if want.iter().all(|w| w.abs() < 1e-8) {
            // One key is all that is seen: p is 1 whatever q and k are.
            let largest = got.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(largest < 1e-6, "{name}: {part}: {largest:e} for a gradient of 0");
        } else {
            assert_close(&format!("{name}: {part}"), &got, &want, 2e-6);
        }
    }
}

#[test]
fn one_sample() {
    check("plain", 9, &PLAIN, &[Segment::of(0..9)], 0);
    check("one token", 1, &PLAIN, &[Segment::of(0..1)], 3);
}

#[test]
fn grouped_heads() {
    check("6 on 2", 11, &Shape { heads: 6, kv_heads: 2, head_dim: 5, ..PLAIN }, &[Segment::of(0..11)], 2);
    check("3 on 1", 10, &Shape { heads: 3, kv_heads: 1, head_dim: 3, ..PLAIN }, &[Segment::of(0..10)], 0);
}

#[test]
fn packed_samples() {
    let segments = [Segment::of(0..3), Segment::of(3..4), Segment::of(4..15)];
    check("packed", 15, &Shape { heads: 4, ..PLAIN }, &segments, 1);
}

#[test]
fn windows() {
    for window in [1, 2, 5, 100] {
        let shape = Shape { window: Some(window), ..PLAIN };
        check(&format!("window {window}"), 13, &shape, &[Segment::of(0..13)], 0);
    }
}

#[test]
fn soft_caps() {
    // A small cap, so that scores reach far into its curve.
    let shape = Shape { softcap: Some(1.5), scale: 0.7, ..PLAIN };
    check("soft cap", 12, &shape, &[Segment::of(0..12)], 0);
    check("soft cap and window", 12, &Shape { window: Some(4), ..shape }, &[Segment::of(0..12)], 0);
}

#[test]
fn several_blocks() {
    // More than one block of queries, panels that are not full, a window that starts inside a panel.
    let shape = Shape { heads: 2, kv_heads: 1, head_dim: 3, ..PLAIN };
    check("blocks", 70, &shape, &[Segment::of(0..70)], 0);
    check("blocks, window", 70, &Shape { window: Some(37), ..shape }, &[Segment::of(0..70)], 0);
    check("wide heads", 66, &Shape { heads: 1, kv_heads: 1, head_dim: 34, ..PLAIN }, &[Segment::of(0..66)], 0);
}

#[test]
fn queries_that_are_not_all_the_keys() {
    // The end of a sample; two runs of one sample, which share keys; rows 9 and 10 belong to nobody.
    let shape = Shape { heads: 4, ..PLAIN };
    let segments = [Segment { q: 2..6, k: 0..6 }, Segment { q: 12..13, k: 11..13 }, Segment { q: 14..23, k: 11..23 }];
    let rows = 23;
    let (qw, kw) = (32, 16);
    let width = qw + 2 * kw;
    let qkv = normal(5, rows * width, 1.0);
    let dout = normal(6, rows * qw, 1.0);
    let all = Mat::new(&qkv, rows, width);
    let (q, k, v) = (all.columns(0, qw), all.columns(qw, kw), all.columns(qw + kw, kw));
    let mut out = vec![7.0; rows * qw];
    let mut lse = vec![0.0; 4 * rows];
    forward(q, k, v, &shape, &segments, MatMut::new(&mut out, rows, qw), Some(&mut lse));
    let mut dqkv = vec![f32::NAN; rows * width];
    let (dy, y) = (Mat::new(&dout, rows, qw), Mat::new(&out, rows, qw));
    backward(dy, q, k, v, y, &lse, &shape, &segments, MatMut::new(&mut dqkv, rows, width));

    let named = |r: usize| segments.iter().any(|s| s.q.contains(&r));
    let want = gradient(&qkv, |x| {
        let y = reference(x, rows, &shape, &segments).0;
        (0..rows * qw).filter(|i| named(i / qw)).map(|i| y[i] * f64::from(dout[i])).sum()
    });
    assert_close("gradient", &dqkv, &want, 2e-6);
    for r in 0..rows {
        let untouched = out[r * qw..][..qw].iter().all(|x| *x == 7.0);
        assert_eq!(untouched, !named(r), "output of row {r}");
        if r == 9 || r == 10 {
            assert!(dqkv[r * width..][..width].iter().all(|x| *x == 0.0), "gradient of row {r}");
        }
    }

    // The same with the needed queries gathered, as after the last layer's keys and values.
    let rows_q: Vec<usize> = (0..rows).filter(|r| named(*r)).collect();
    let gather = |m: Mat| rows_q.iter().flat_map(|r| m.row(*r).to_vec()).collect::<Vec<f32>>();
    let (gq, gdout) = (gather(q), gather(dy));
    let compact = [Segment { q: 0..4, k: 0..6 }, Segment { q: 4..5, k: 11..13 }, Segment { q: 5..14, k: 11..23 }];
    let n = rows_q.len();
    let (mut gout, mut glse) = (vec![0.0; n * qw], vec![0.0; 4 * n]);
    let gq = Mat::new(&gq, n, qw);
    forward(gq, k, v, &shape, &compact, MatMut::new(&mut gout, n, qw), Some(&mut glse));
    assert_eq!(gout, gather(Mat::new(&out, rows, qw)));
    let (mut dq, mut dkv) = (vec![f32::NAN; n * qw], vec![f32::NAN; rows * 2 * kw]);
    let (gdy, gy) = (Mat::new(&gdout, n, qw), Mat::new(&gout, n, qw));
    let (dqm, dkvm) = (MatMut::new(&mut dq, n, qw), MatMut::new(&mut dkv, rows, 2 * kw));
    backward_separate(gdy, gq, k, v, gy, &glse, &shape, &compact, dqm, dkvm);
    let d = Mat::new(&dqkv, rows, width);
    assert_eq!(dq, gather(d.columns(0, qw)));
    assert_eq!(dkv, columns(&dqkv, rows, width, qw, 2 * kw));
}

#[test]
fn decoding_equals_the_whole() {
    // The last 1, 3 and 7 queries alone (read from the cache) against all of them (by blocks).
    for window in [None, Some(50)] {
        let shape = Shape { heads: 6, kv_heads: 2, head_dim: 20, softcap: Some(2.0), window, ..PLAIN };
        let (rows, qw, kw) = (300, 120, 40);
        let qkv = normal(1, rows * (qw + 2 * kw), 1.0);
        let all = Mat::new(&qkv, rows, qw + 2 * kw);
        let (q, k, v) = (all.columns(0, qw), all.columns(qw, kw), all.columns(qw + kw, kw));
        let mut whole = vec![0.0; rows * qw];
        let mut lse = vec![0.0; 6 * rows];
        forward(q, k, v, &shape, &[Segment::of(0..rows)], MatMut::new(&mut whole, rows, qw), Some(&mut lse));
        for n in [1, 3, 7] {
            let last = q.rows_range(rows - n, n);
            let (mut out, mut few) = (vec![f32::NAN; n * qw], vec![f32::NAN; 6 * n]);
            let segment = Segment { q: 0..n, k: 0..rows };
            forward(last, k, v, &shape, &[segment], MatMut::new(&mut out, n, qw), Some(&mut few));
            let want: Vec<f64> = whole[(rows - n) * qw..].iter().map(|x| f64::from(*x)).collect();
            assert_close(&format!("last {n}"), &out, &want, 1e-6);
            let want: Vec<f64> = (0..6).flat_map(|h| lse[h * rows + rows - n..][..n].to_vec()).map(f64::from).collect();
            assert_close(&format!("lse of the last {n}"), &few, &want, 1e-6);
        }
    }
}

#[test]
fn heads_one_after_the_other_in_either_type() {
    // As a cache keeps them, in bfloat16: the same numbers give the same as 32 bits side by side, a few queries and many.
    for (window, softcap) in [(None, None), (Some(150), None), (Some(150), Some(2.0))] {
        let shape = Shape { heads: 6, kv_heads: 2, head_dim: 20, window, softcap, ..PLAIN };
        let (rows, qw, kw) = (300, 120, 40);
        let width = qw + 2 * kw;
        let mut qkv = normal(1, rows * width, 1.0);
        for row in qkv.chunks_exact_mut(width) {
            row.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32());
        }
        let planes = |from: usize| -> Vec<f32> {
            let number = |h: usize, r: usize, i: usize| qkv[r * width + from + h * 20 + i];
            (0..2 * rows * 20).map(|n| number(n / (rows * 20), n / 20 % rows, n % 20)).collect()
        };
        let (k, v) = (planes(qw), planes(qw + kw));
        let halves = [&k, &v].map(|x| x.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>());
        let qkv64: Vec<f64> = qkv.iter().map(|x| f64::from(*x)).collect();
        for n in [1, 3, 7, 8, 130] {
            let segment = [Segment { q: rows - n..rows, k: 0..rows }];
            let (want, want_lse) = reference(&qkv64, rows, &shape, &segment);
            let q = Mat::new(&qkv, rows, width).columns(0, qw);
            let mut out = [vec![0.0; rows * qw], vec![0.0; rows * qw]];
            let mut lse = [vec![0.0; 6 * rows], vec![0.0; 6 * rows]];
            let [wide, narrow] = &mut out;
            let [wide_lse, narrow_lse] = &mut lse;
            let heads = [&k, &v].map(|x| Heads::planes(x, 2, rows, 20));
            forward_heads(q, heads[0], heads[1], &shape, &segment, MatMut::new(wide, rows, qw), Some(wide_lse));
            let heads = halves.each_ref().map(|x| Heads::planes(x, 2, rows, 20));
            forward_heads(q, heads[0], heads[1], &shape, &segment, MatMut::new(narrow, rows, qw), Some(narrow_lse));
            assert_eq!(wide.map_bits(), narrow.map_bits(), "{n} queries");
            assert_eq!(wide_lse.map_bits(), narrow_lse.map_bits(), "{n} queries");
            assert_close(&format!("last {n}"), narrow, &want, 5e-7);
            assert_close(&format!("lse of the last {n}"), narrow_lse, &want_lse, 3e-7);
            // Products that read bfloat16: of these queries and keys they are exact, and probabilities are rounded in blocks.
            let shape = Shape { compute: Compute::Bf16, ..shape };
            forward_heads(q, heads[0], heads[1], &shape, &segment, MatMut::new(narrow, rows, qw), Some(narrow_lse));
            assert_close(&format!("last {n}, bf16"), narrow, &want, if n < decode::MANY { 5e-7 } else { 3e-3 });
            assert_close(&format!("lse of the last {n}, bf16"), narrow_lse, &want_lse, 3e-7);
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let shape = Shape { heads: 6, kv_heads: 2, head_dim: 16, ..PLAIN };
    let rows = 150;
    let (qkv, dout) = (normal(1, rows * 160, 1.0), normal(2, rows * 96, 1.0));
    let segments = [Segment::of(0..100), Segment::of(100..150)];
    let bits = |threads| {
        let r = with_threads(threads, || run(&qkv, &dout, rows, &shape, &segments, 0));
        [r.out, r.lse, r.dqkv].map(|x| x.map_bits())
    };
    let one = bits(1);
    for threads in [2, 3, 5] {
        assert_eq!(one, bits(threads), "{threads} threads");
    }
    // One query over several chunks of keys.
    let keys = normal(3, 400 * 160, 1.0);
    let bits = |threads| {
        let all = Mat::new(&keys, 400, 160);
        let (q, k, v) = (all.columns(0, 96), all.columns(96, 32), all.columns(128, 32));
        let mut out = vec![0.0; 400 * 96];
        with_threads(threads, || {
            let segment = Segment { q: 399..400, k: 0..400 };
            forward(q, k, v, &shape, &[segment], MatMut::new(&mut out, 400, 96), None);
        });
        out.map_bits()
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn a_number_that_is_none_stays_visible() {
    let mut qkv = normal(1, 9 * 48, 1.0);
    qkv[4 * 48 + 16] = f32::NAN;
    let r = run(&qkv, &normal(2, 9 * 16, 1.0), 9, &PLAIN, &[Segment::of(0..9)], 0);
    assert!(r.out[3 * 16].is_finite() && r.out[4 * 16].is_nan() && r.out[8 * 16].is_nan());
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let shape =
        Shape { heads: 9, kv_heads: 3, head_dim: 64, scale: 0.125, softcap: None, window: None, compute: Compute::F32 };
    let (qw, kw) = (576, 192);
    for (rows, samples) in [(512, 1), (512, 4), (2048, 1)] {
        let qkv = normal(1, rows * 960, 1.0);
        let dout = normal(2, rows * qw, 1.0);
        let all = Mat::new(&qkv, rows, 960);
        let (q, k, v) = (all.columns(0, qw), all.columns(qw, kw), all.columns(qw + kw, kw));
        let (mut out, mut lse) = (vec![0.0; rows * qw], vec![0.0; 9 * rows]);
        let mut dqkv = vec![0.0; rows * 960];
        let n = rows / samples;
        let segments: Vec<Segment> = (0..samples).map(|s| Segment::of(s * n..(s + 1) * n)).collect();
        time(&format!("attention forward {samples} × {n}"), 100, || {
            forward(q, k, v, &shape, &segments, MatMut::new(&mut out, rows, qw), Some(&mut lse));
        });
        time(&format!("attention backward {samples} × {n}"), 100, || {
            let (dy, y) = (Mat::new(&dout, rows, qw), Mat::new(&out, rows, qw));
            backward(dy, q, k, v, y, &lse, &shape, &segments, MatMut::new(&mut dqkv, rows, 960));
        });
        time(&format!("attention decode, {rows} keys"), 300, || {
            let segment = Segment { q: 0..1, k: 0..rows };
            let out = MatMut::new(&mut out, 1, qw);
            forward(q.rows_range(0, 1), k, v, &shape, &[segment], out, None);
        });
    }
}
