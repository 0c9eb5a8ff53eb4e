//! How fast the products of a training step are on this machine, beside what its arithmetic units can do.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use super::{kernel, nn, nt, tn};
use crate::engine::ops::cpu::{Isa, Tile};
use crate::engine::ops::{Compute, Mat, MatMut, linear};
use crate::engine::quant::{FrozenMatrix, Nf4Matrix};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of the activations.
    pub tokens: usize,
    /// `(out, in)` of the weights.
    pub weights: Vec<(usize, usize)>,
    /// Rank of the adapter.
    pub rank: usize,
    /// How long to repeat each product; the fastest run counts, because other programs slow down the rest.
    pub time: Duration,
}

impl Default for Options {
    /// The feed-forward of SmolLM2-135M on 512 tokens.
    fn default() -> Self {
        Self { tokens: 512, weights: vec![(1536, 576), (576, 1536)], rank: 16, time: Duration::from_millis(300) }
    }
}

/// One product, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `forward`, `backward`, or a product of the adapter.
    pub product: String,
    /// Layout of the weight: `nf4`, `bf16`, `f32`.
    pub weight: &'static str,
    /// Type of the inputs.
    pub compute: Compute,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Fastest run.
    pub seconds: f64,
    /// Billions of multiplications and additions a second.
    pub gflops: f64,
    /// Share of the peak of the same type of inputs.
    pub of_peak: f64,
}

/// What was measured, and on what.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Instruction set in use.
    pub isa: &'static str,
    /// Threads.
    pub threads: usize,
    /// Innermost loop on data in the L1 cache, all threads together, bfloat16 inputs, in GFLOP/s.
    pub peak_bf16: f64,
    /// The same with `f32` inputs.
    pub peak_f32: f64,
    /// The products.
    pub rows: Vec<Row>,
}

/// Measures the products of a training step.
pub fn bench(options: &Options) -> Report {
    let (peak_bf16, peak_f32) = (peak(Compute::Bf16, options.time), peak(Compute::F32, options.time));
    let mut report = Report {
        isa: Isa::current().name(),
        threads: rayon::current_num_threads(),
        peak_bf16,
        peak_f32,
        rows: Vec::new(),
    };
    for &(out, cols) in &options.weights {
        bench_weight(options, out, cols, &mut report);
    }
    report
}

/// All products with one weight of a layer and its adapter.
fn bench_weight(options: &Options, out: usize, cols: usize, report: &mut Report) {
    let (t, r) = (options.tokens, options.rank);
    let values: Vec<f32> = (0..out * cols).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 8192.0).collect();
    let layouts = [
        ("nf4", FrozenMatrix::from(Nf4Matrix::quantize(&values, out, cols, true))),
        ("bf16", FrozenMatrix::from_f32_rounded(&values, out, cols)),
        ("f32", FrozenMatrix::from_f32(values, out, cols)),
    ];
    let x: Vec<f32> = (0..t * cols).map(|i| (i % 613) as f32 / 306.0 - 1.0).collect();
    let dy: Vec<f32> = (0..t * out).map(|i| (i % 617) as f32 / 308.0 - 1.0).collect();
    let h: Vec<f32> = (0..t * r).map(|i| (i % 619) as f32 / 309.0 - 1.0).collect();
    let (a, b) = (vec![0.01; r * cols], vec![0.01; out * r]);
    let (x, dy, h) = (Mat::new(&x, t, cols), Mat::new(&dy, t, out), Mat::new(&h, t, r));
    let (a, b) = (Mat::new(&a, r, cols), Mat::new(&b, out, r));
    let mut result = vec![0.0; t.max(r).max(out) * out.max(cols).max(r)];
    let c = &mut result;
    for compute in [Compute::Bf16, Compute::F32] {
        let mut add = |name: &str, weight, (m, n, k), run: &mut dyn FnMut(&mut [f32])| {
            let seconds = fastest(options.time, || run(c));
            let gflops = 2.0 * (m * n * k) as f64 / seconds / 1e9;
            let of_peak = gflops / if compute == Compute::Bf16 { report.peak_bf16 } else { report.peak_f32 };
            let product = name.to_string();
            report.rows.push(Row { product, weight, compute, m, n, k, seconds, gflops, of_peak });
        };
        for (name, w) in &layouts {
            add("forward", name, (t, out, cols), &mut |c| {
                linear::forward(x, w, MatMut::new(c, t, out), 0.0, compute);
            });
            add("backward", name, (t, cols, out), &mut |c| {
                linear::backward(dy, w, MatMut::new(c, t, cols), 0.0, compute);
            });
        }
        add("x·Aᵀ", "f32", (t, r, cols), &mut |c| nt(1.0, x, a, 0.0, MatMut::new(c, t, r), compute));
        add("h·Bᵀ added", "f32", (t, out, r), &mut |c| nt(1.0, h, b, 1.0, MatMut::new(c, t, out), compute));
        add("dy·B", "f32", (t, r, out), &mut |c| nn(1.0, dy, b, 0.0, MatMut::new(c, t, r), compute));
        add("dh·A added", "f32", (t, cols, r), &mut |c| nn(1.0, h, a, 1.0, MatMut::new(c, t, cols), compute));
        add("dB", "f32", (out, r, t), &mut |c| tn(1.0, dy, h, 0.0, MatMut::new(c, out, r), compute));
        add("dA", "f32", (r, cols, t), &mut |c| tn(1.0, h, x, 0.0, MatMut::new(c, r, cols), compute));
    }
}

/// GFLOP/s of the innermost loop alone on all threads, its operands in the L1 cache.
fn peak(compute: Compute, time: Duration) -> f64 {
    const UNITS: usize = 64;
    let kernel = kernel(compute);
    let flop = 2.0 * (kernel.mr * kernel.nr * UNITS * kernel.per_unit()) as f64;
    let one_thread = |repeats: usize| {
        let (a, b) = (vec![0u32; UNITS * kernel.mr], vec![0u32; UNITS * kernel.nr]);
        let mut c = vec![0f32; kernel.mr * kernel.nr];
        for _ in 0..repeats {
            let tile = Tile {
                a: &[(a.as_ptr(), UNITS)],
                a_step: kernel.mr,
                b: b.as_ptr(),
                b_step: kernel.nr,
                c: c.as_mut_ptr(),
                c_stride: kernel.nr,
                cols: kernel.nr,
                alpha: 1.0,
                beta: 0.0,
                partial: std::ptr::null_mut(),
                first: true,
                last: true,
            };
            // SAFETY: the buffers have the sizes of one whole tile.
            unsafe { (kernel.tile)(kernel.mr, kernel.nr, black_box(&tile)) };
        }
        black_box(&c);
    };
    let threads = rayon::current_num_threads();
    const REPEATS: usize = 2000;
    let seconds = fastest(time, || (0..threads).into_par_iter().with_max_len(1).for_each(|_| one_thread(REPEATS)));
    flop * (REPEATS * threads) as f64 / seconds / 1e9
}

/// The fastest of the runs that fit in `time`, at least three, after one that warms up.
fn fastest(time: Duration, mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 3 || start.elapsed() < time {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_every_product() {
        let options = Options { tokens: 9, weights: vec![(40, 64)], rank: 4, time: Duration::ZERO };
        let report = bench(&options);
        assert_eq!(report.rows.len(), 2 * (3 * 2 + 6));
        assert!(report.rows.iter().all(|r| r.seconds > 0.0 && r.gflops > 0.0));
        assert_eq!((report.rows[0].m, report.rows[0].n, report.rows[0].k), (9, 40, 64));
    }

    /// For people: `LORA_STUDIO_BENCH=ms cargo test --release --lib print_the_report -- --nocapture --ignored`.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn print_the_report() {
        let time = std::env::var("LORA_STUDIO_BENCH").ok().and_then(|v| v.parse().ok()).unwrap_or(300);
        let report = bench(&Options { time: Duration::from_millis(time), ..Default::default() });
        eprintln!("{} × {}: {:.0} bf16, {:.0} f32", report.isa, report.threads, report.peak_bf16, report.peak_f32);
        for r in report.rows {
            let (p, w, c, ms) = (r.product, r.weight, r.compute, r.seconds * 1e3);
            let (g, of) = (r.gflops, r.of_peak * 100.0);
            eprintln!("{p:12} {w:5} {c:?} {:5}×{:5}×{:5} {ms:8.3} ms {g:7.1} GFLOP/s {of:5.1} %", r.m, r.n, r.k);
        }
    }
}
