//! `bench gemm`: the products of a decoder layer and its head, forward and backward, with the weights as they are stored.

use std::time::Instant;

use half::bf16;
use serde::Serialize;

use super::{Args, median};
use crate::cli::model::open_model;
use crate::cli::output::{Failure, json, say};
use crate::engine::config::Quantization;
use crate::engine::ops::{Compute, Mat, MatMut, linear};
use crate::engine::quant::{FrozenMatrix, Nf4Matrix};

/// Time that is spent on one shape at least, in seconds: enough for clocks and caches to settle.
const SECONDS: f64 = 0.3;

/// One measured product.
#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    direction: &'static str,
    tokens: usize,
    out_features: usize,
    in_features: usize,
    storage: &'static str,
    compute: Compute,
    milliseconds: f64,
    gflops: f64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let source = open_model(&args.model)?;
    let config = &source.config;
    let tokens = args.seq as usize * args.batch as usize;
    let mut shapes: Vec<(&'static str, usize, usize)> = Vec::new();
    for &kind in config.linears() {
        let (out, input) = config.linear_shape(kind);
        if !shapes.iter().any(|s| (s.1, s.2) == (out, input)) {
            shapes.push((kind.name(), out, input));
        }
    }
    shapes.push(("lm_head", config.vocab, config.hidden));
    if !args.json {
        say(format!("{tokens} tokens, {} threads", rayon::current_num_threads()))?;
    }
    for (name, out, input) in shapes {
        let storage = if name == "lm_head" { Quantization::None } else { args.quantization };
        let (weight, storage) = weight(out, input, storage, args.compute);
        for forward in [true, false] {
            let product = measure(name, &weight, storage, tokens, forward, args.compute);
            if args.json {
                json(&product)?;
            } else {
                say(format!(
                    "{:10} {:8}  {:>6} x {:<6} {:4}  {:8.3} ms  {:7.1} GFLOP/s",
                    product.name,
                    product.direction,
                    product.out_features,
                    product.in_features,
                    product.storage,
                    product.milliseconds,
                    product.gflops
                ))?;
            }
        }
    }
    Ok(())
}

/// A matrix of that shape. The numbers do not matter to the speed, but they should not be all alike.
fn weight(out: usize, input: usize, storage: Quantization, compute: Compute) -> (FrozenMatrix, &'static str) {
    let values: Vec<f32> = (0..out * input).map(noise).collect();
    match (storage, compute) {
        (Quantization::Nf4 | Quantization::Keep, _) => (Nf4Matrix::quantize(&values, out, input, true).into(), "nf4"),
        (Quantization::None, Compute::Bf16) => {
            (FrozenMatrix::from_bf16(values.iter().map(|&v| bf16::from_f32(v)).collect(), out, input), "bf16")
        }
        (Quantization::None, Compute::F32) => (FrozenMatrix::from_f32(values, out, input), "f32"),
    }
}

/// Between −0.5 and 0.5, from the bits of a multiplied counter.
fn noise(i: usize) -> f32 {
    let mixed = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    mixed as f32 / (1_u64 << 24) as f32 - 0.5
}

fn measure(
    name: &'static str,
    weight: &FrozenMatrix,
    storage: &'static str,
    tokens: usize,
    forward: bool,
    compute: Compute,
) -> Product {
    let (out, input) = (weight.out_features, weight.in_features);
    let (from, to) = if forward { (input, out) } else { (out, input) };
    let x: Vec<f32> = (0..tokens * from).map(noise).collect();
    let mut y = vec![0.0; tokens * to];
    let mut once = || {
        let begun = Instant::now();
        let (x, y) = (Mat::new(&x, tokens, from), MatMut::new(&mut y, tokens, to));
        if forward {
            linear::forward(x, weight, y, 0.0, compute);
        } else {
            linear::backward(x, weight, y, 0.0, compute);
        }
        begun.elapsed().as_secs_f64()
    };
    once();
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begun.elapsed().as_secs_f64() < SECONDS {
        times.push(once());
    }
    let seconds = median(&times);
    Product {
        name,
        direction: if forward { "forward" } else { "backward" },
        tokens,
        out_features: out,
        in_features: input,
        storage,
        compute,
        milliseconds: 1e3 * seconds,
        gflops: 2e-9 * (tokens * out * input) as f64 / seconds,
    }
}
