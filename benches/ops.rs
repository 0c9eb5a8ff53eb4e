//! What the operations of a training step cost: `cargo bench --bench ops`, or `… -- NAME` for those whose name has it.
//!
//! Shapes are those of SmolLM2-135M on 512 tokens. A line has the fastest of the runs that fit into a third of a second,
//! because other programs slow down the rest, and beside it what the operation must read and write at least, or what it
//! must multiply and add, a second. A plain program, so that it needs no other crates than the engine.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use half::bf16;
use lora_studio::engine::config::OptimizerKind;
use lora_studio::engine::model::{Activation, RopeConfig, RopeScaling};
use lora_studio::engine::ops::adamw::{self, AdamW};
use lora_studio::engine::ops::attention::{self, Segment, Shape};
use lora_studio::engine::ops::dropout::{self, DropoutKey};
use lora_studio::engine::ops::rope::{self, RopeTable};
use lora_studio::engine::ops::{Compute, Mat, MatMut, cross_entropy, gemm, linear, rms_norm, swiglu};
use lora_studio::engine::quant::{FrozenMatrix, Nf4Matrix};
use lora_studio::engine::train::Optimizer;

const TOKENS: usize = 512;
const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;
const VOCAB: usize = 49_152;
const LAYERS: usize = 30;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD: usize = 64;
const QKV: usize = (HEADS + 2 * KV_HEADS) * HEAD;
const RANK: usize = 16;

/// How long an operation is repeated.
const TIME: Duration = Duration::from_millis(333);

/// What an operation has to do.
enum Work {
    /// Numbers of 32 bits that are read or written.
    Floats(usize),
    /// Bytes that are read or written.
    Bytes(usize),
    /// Pairs of a multiplication and an addition.
    Products(usize),
}

/// Runs what the command line asks for, and counts it.
struct Bench {
    filter: Option<String>,
    measured: Cell<usize>,
}

impl Bench {
    fn wanted(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter))
    }

    fn run(&self, name: &str, work: Work, mut run: impl FnMut()) {
        if !self.wanted(name) {
            return;
        }
        run();
        let (begun, mut best, mut runs) = (Instant::now(), f64::INFINITY, 0);
        while runs < 3 || begun.elapsed() < TIME {
            let start = Instant::now();
            run();
            best = best.min(start.elapsed().as_secs_f64());
            runs += 1;
        }
        let speed = match work {
            Work::Floats(n) => format!("{:8.1} GB/s", 4e-9 * n as f64 / best),
            Work::Bytes(n) => format!("{:8.1} GB/s", 1e-9 * n as f64 / best),
            Work::Products(n) => format!("{:8.1} GFLOP/s", 2e-9 * n as f64 / best),
        };
        println!("{name:44} {:9.3} ms {speed}", 1e3 * best);
        self.measured.set(self.measured.get() + 1);
    }
}

/// Between −0.5 and 0.5, from the bits of a multiplied counter.
fn numbers(n: usize) -> Vec<f32> {
    let number = |i: usize| ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
    (0..n).map(number).collect()
}

fn main() {
    // `cargo bench` passes options of its own.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let bench = Bench { filter, measured: Cell::new(0) };
    println!("{} threads", rayon::current_num_threads());
    rms_norms(&bench);
    ropes(&bench);
    attentions(&bench);
    swiglus(&bench);
    dropouts(&bench);
    products(&bench);
    cross_entropies(&bench);
    optimizers(&bench);
    if bench.measured.get() == 0 {
        eprintln!("no operation of that name: {}", bench.filter.unwrap_or_default());
        std::process::exit(2);
    }
}

fn rms_norms(bench: &Bench) {
    let n = TOKENS * HIDDEN;
    let (x, dy, w, mut y) = (numbers(n), numbers(n), numbers(HIDDEN), vec![0.0; n]);
    let (x, dy) = (Mat::new(&x, TOKENS, HIDDEN), Mat::new(&dy, TOKENS, HIDDEN));
    bench.run("rms_norm forward", Work::Floats(2 * n), || {
        rms_norm::forward(x, &w, 1e-5, MatMut::new(&mut y, TOKENS, HIDDEN));
    });
    bench.run("rms_norm backward, added", Work::Floats(4 * n), || {
        rms_norm::backward(dy, x, &w, 1e-5, MatMut::new(&mut y, TOKENS, HIDDEN), true);
    });
}

fn ropes(bench: &Bench) {
    let config = RopeConfig { theta: 1e5, dims: HEAD, scaling: RopeScaling::None };
    let table = RopeTable::new(&config, TOKENS);
    let positions: Vec<u32> = (0..TOKENS as u32).collect();
    let rotated = (HEADS + KV_HEADS) * HEAD;
    let mut qkv = numbers(TOKENS * QKV);
    bench.run("rope forward, q and k", Work::Floats(2 * TOKENS * rotated), || {
        rope::forward(MatMut::strided(&mut qkv, TOKENS, rotated, QKV), HEAD, &positions, &table);
    });
    bench.run("rope backward, q and k", Work::Floats(2 * TOKENS * rotated), || {
        rope::backward(MatMut::strided(&mut qkv, TOKENS, rotated, QKV), HEAD, &positions, &table);
    });
}

fn attentions(bench: &Bench) {
    for (name, compute) in [("bf16", Compute::Bf16), ("f32", Compute::F32)] {
        for (tokens, samples) in [(TOKENS, 1), (TOKENS, 4), (4 * TOKENS, 1)] {
            attention_of(bench, name, compute, tokens, samples);
        }
    }
}

fn attention_of(bench: &Bench, name: &str, compute: Compute, tokens: usize, samples: usize) {
    let (heads, kv_heads, head_dim) = (HEADS, KV_HEADS, HEAD);
    let shape = Shape { heads, kv_heads, head_dim, scale: 0.125, softcap: None, window: None, compute };
    let (qw, kw) = (HEADS * HEAD, KV_HEADS * HEAD);
    let (qkv, dout) = (numbers(tokens * QKV), numbers(tokens * qw));
    let all = Mat::new(&qkv, tokens, QKV);
    let (q, k, v) = (all.columns(0, qw), all.columns(qw, kw), all.columns(qw + kw, kw));
    let (mut out, mut lse) = (vec![0.0; tokens * qw], vec![0.0; HEADS * tokens]);
    let mut dqkv = vec![0.0; tokens * QKV];
    let n = tokens / samples;
    let segments: Vec<Segment> = (0..samples).map(|s| Segment::of(s * n..(s + 1) * n)).collect();
    // Every query and the keys up to its own, once for the scores and once for the values.
    let pairs = HEADS * samples * (n * (n + 1) / 2);
    let mut forward = || {
        attention::forward(q, k, v, &shape, &segments, MatMut::new(&mut out, tokens, qw), Some(&mut lse));
    };
    forward();
    bench.run(&format!("attention forward, {name}, {samples} × {n}"), Work::Products(2 * HEAD * pairs), forward);
    // The scores again, then the gradients of scores, values, queries and keys.
    bench.run(&format!("attention backward, {name}, {samples} × {n}"), Work::Products(5 * HEAD * pairs), || {
        let (dout, out) = (Mat::new(&dout, tokens, qw), Mat::new(&out, tokens, qw));
        attention::backward(dout, q, k, v, out, &lse, &shape, &segments, MatMut::new(&mut dqkv, tokens, QKV));
    });
    let mut one = vec![0.0; qw];
    bench.run(&format!("attention of one token, {name}, {tokens} keys"), Work::Floats(2 * tokens * kw), || {
        let segment = Segment { q: 0..1, k: 0..tokens };
        attention::forward(q.rows_range(0, 1), k, v, &shape, &[segment], MatMut::new(&mut one, 1, qw), None);
    });
}

fn swiglus(bench: &Bench) {
    let n = TOKENS * INTERMEDIATE;
    let (gate_up, dout) = (numbers(2 * n), numbers(n));
    let (gate_up, dout) = (Mat::new(&gate_up, TOKENS, 2 * INTERMEDIATE), Mat::new(&dout, TOKENS, INTERMEDIATE));
    let (mut out, mut d) = (vec![0.0; n], vec![0.0; 2 * n]);
    for (name, activation) in [("swiglu", Activation::Silu), ("geglu", Activation::GeluTanh)] {
        bench.run(&format!("{name} forward"), Work::Floats(3 * n), || {
            swiglu::forward(gate_up, activation, MatMut::new(&mut out, TOKENS, INTERMEDIATE));
        });
        bench.run(&format!("{name} backward"), Work::Floats(6 * n), || {
            let (d, out) = (MatMut::new(&mut d, TOKENS, 2 * INTERMEDIATE), MatMut::new(&mut out, TOKENS, INTERMEDIATE));
            swiglu::backward(dout, gate_up, activation, d, out);
        });
    }
}

fn dropouts(bench: &Bench) {
    let n = TOKENS * HIDDEN;
    let key = DropoutKey { seed: 1, step: 2, micro: 3, layer: 4, module: 5 };
    let (x, mut y) = (numbers(n), vec![0.0; n]);
    let x = Mat::new(&x, TOKENS, HIDDEN);
    bench.run("dropout forward", Work::Floats(2 * n), || {
        dropout::apply(x, 0.05, key, MatMut::new(&mut y, TOKENS, HIDDEN));
    });
    bench.run("dropout backward, added", Work::Floats(3 * n), || {
        dropout::backward(x, 0.05, key, MatMut::new(&mut y, TOKENS, HIDDEN));
    });
}

/// The products with frozen weights of a layer, and those of an adapter on the first of them.
fn products(bench: &Bench) {
    for (out, input) in [(INTERMEDIATE, HIDDEN), (HIDDEN, INTERMEDIATE), (HIDDEN, HIDDEN), (KV_HEADS * HEAD, HIDDEN)] {
        let values = numbers(out * input);
        let layouts = [
            ("nf4", Compute::Bf16, FrozenMatrix::from(Nf4Matrix::quantize(&values, out, input, true))),
            ("bf16", Compute::Bf16, FrozenMatrix::from_f32_rounded(&values, out, input)),
            ("f32", Compute::F32, FrozenMatrix::from_f32(values, out, input)),
        ];
        let (x, dy) = (numbers(TOKENS * input), numbers(TOKENS * out));
        let (mut y, mut dx) = (vec![0.0; TOKENS * out], vec![0.0; TOKENS * input]);
        for (name, compute, w) in &layouts {
            bench.run(
                &format!("linear forward, {name} {out} × {input}"),
                Work::Products(TOKENS * out * input),
                || {
                    linear::forward(Mat::new(&x, TOKENS, input), w, MatMut::new(&mut y, TOKENS, out), 0.0, *compute);
                },
            );
            bench.run(
                &format!("linear backward, {name} {out} × {input}"),
                Work::Products(TOKENS * out * input),
                || {
                    linear::backward(Mat::new(&dy, TOKENS, out), w, MatMut::new(&mut dx, TOKENS, input), 0.0, *compute);
                },
            );
        }
    }
    let (out, input, t, r) = (INTERMEDIATE, HIDDEN, TOKENS, RANK);
    let (x, dy, h) = (numbers(t * input), numbers(t * out), numbers(t * r));
    let (x, dy, h) = (Mat::new(&x, t, input), Mat::new(&dy, t, out), Mat::new(&h, t, r));
    let (a, b) = (numbers(r * input), numbers(out * r));
    let (a, b) = (Mat::new(&a, r, input), Mat::new(&b, out, r));
    let mut c = vec![0.0; t * out.max(input)];
    let (narrow, wide, compute) = (Work::Products(t * r * input), Work::Products(t * r * out), Compute::Bf16);
    bench.run("gemm of an adapter, x·Aᵀ", narrow, || gemm::nt(1.0, x, a, 0.0, MatMut::new(&mut c, t, r), compute));
    bench.run("gemm of an adapter, h·Bᵀ", wide, || gemm::nt(1.0, h, b, 1.0, MatMut::new(&mut c, t, out), compute));
    let (narrow, wide) = (Work::Products(t * r * input), Work::Products(t * r * out));
    bench.run("gemm of an adapter, dy·B", wide, || gemm::nn(1.0, dy, b, 0.0, MatMut::new(&mut c, t, r), compute));
    bench.run("gemm of an adapter, dh·A", narrow, || gemm::nn(1.0, h, a, 1.0, MatMut::new(&mut c, t, input), compute));
    let (narrow, wide) = (Work::Products(t * r * input), Work::Products(t * r * out));
    bench.run("gemm of an adapter, dyᵀ·h", wide, || gemm::tn(1.0, dy, h, 0.0, MatMut::new(&mut c, out, r), compute));
    bench.run("gemm of an adapter, dhᵀ·x", narrow, || {
        gemm::tn(1.0, h, x, 0.0, MatMut::new(&mut c, r, input), compute)
    });
}

fn cross_entropies(bench: &Bench) {
    if !bench.wanted("cross_entropy forward and backward, bf16 f32") {
        return;
    }
    let hidden = numbers(TOKENS * HIDDEN);
    let hidden = Mat::new(&hidden, TOKENS, HIDDEN);
    let targets: Vec<u32> = (0..TOKENS as u32).map(|t| t * 97 % VOCAB as u32).collect();
    let (mut nll, mut d) = (vec![0.0; TOKENS], vec![0.0; TOKENS * HIDDEN]);
    let values = numbers(VOCAB * HIDDEN);
    let rounded = values.iter().map(|x| bf16::from_f32(*x)).collect();
    let heads = [
        ("bf16", Compute::Bf16, FrozenMatrix::from_bf16(rounded, VOCAB, HIDDEN)),
        ("f32", Compute::F32, FrozenMatrix::from_f32(values, VOCAB, HIDDEN)),
    ];
    for (name, compute, head) in &heads {
        let work = Work::Products(2 * TOKENS * HIDDEN * VOCAB);
        let chunk = cross_entropy::chunk_rows(VOCAB, 0, TOKENS);
        bench.run(&format!("cross_entropy forward and backward, {name}"), work, || {
            let d = MatMut::new(&mut d, TOKENS, HIDDEN);
            cross_entropy::forward_backward(hidden, head, &targets, None, 1.0, d, &mut nll, chunk, *compute);
        });
    }
    black_box(&nll);
}

/// AdamW on the adapter of all linears, of rank 16 and of rank 128.
fn optimizers(bench: &Bench) {
    let linears = [
        (HEADS * HEAD, HIDDEN),
        (KV_HEADS * HEAD, HIDDEN),
        (KV_HEADS * HEAD, HIDDEN),
        (HIDDEN, HEADS * HEAD),
        (INTERMEDIATE, HIDDEN),
        (INTERMEDIATE, HIDDEN),
        (HIDDEN, INTERMEDIATE),
    ];
    for rank in [RANK, 8 * RANK] {
        let tensors: Vec<usize> =
            (0..LAYERS).flat_map(|_| linears).flat_map(|(out, input)| [rank * input, rank * out]).collect();
        let n: usize = tensors.iter().sum();
        let millions = n as f64 / 1e6;
        let name = format!("norm of a gradient, {millions:.1} M");
        if !bench.wanted(&name) && !bench.wanted("adamw adamw-8bit paged-adamw") {
            continue;
        }
        let (grads, mut params) = (numbers(n), numbers(n));
        bench.run(&name, Work::Floats(n), || assert!(adamw::grad_norm(&grads) > 0.0));
        for kind in [OptimizerKind::Adamw, OptimizerKind::Adamw8bit, OptimizerKind::PagedAdamw] {
            let state = Optimizer::state_bytes(kind, tensors.iter().copied());
            let name = format!("{}, {millions:.1} M, state {:.1} MB", kind.name(), state as f64 / 1e6);
            if !bench.wanted(&name) {
                continue;
            }
            let moved = match kind {
                OptimizerKind::Adamw8bit => 2 * state as usize,
                OptimizerKind::Adamw | OptimizerKind::PagedAdamw => 16 * n,
            };
            let folder = std::env::temp_dir();
            let made = Optimizer::new(kind, AdamW::default(), tensors.iter().copied(), &folder);
            let mut optimizer = made.expect("a folder for temporary files");
            bench.run(&name, Work::Bytes(12 * n + moved), || {
                optimizer.step(&mut params, &grads, 1.0, 0.0, 1e-6).expect("a disk with room");
            });
        }
    }
}
