//! Every product of every instruction set that this machine has, against sums in `f64`.

use candle_core::quantized::GgmlDType;
use half::bf16;

use super::*;
use crate::engine::ops::cpu::round_bf16;
use crate::engine::ops::testing::with_threads;
use crate::engine::ops::{linear, pool};
use crate::engine::quant::{FrozenMatrix, GgufBlocks, Nf4Matrix};

/// Numbers around zero that bfloat16 does not hold exactly.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2654435761) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn isas() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|i| i.available()).collect()
}

/// How a product of `k` terms may differ from the exact one: every addition rounds once.
fn bound(k: usize, magnitude: f64) -> f64 {
    (k as f64 + 4.0) * magnitude * 2f64.powi(-24) + 1e-30
}

/// Compares `c` with alpha·Σ a(i,k)·b(k,j) + beta·old, and checks that nothing between its rows was written.
fn check(
    what: &str,
    c: &[f32],
    (m, n, stride): (usize, usize, usize),
    old: &[f32],
    (alpha, beta): (f32, f32),
    k: usize,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) {
    for i in 0..m {
        for j in 0..stride {
            let at = i * stride + j;
            if at >= c.len() {
                break;
            }
            if j >= n {
                assert_eq!(c[at].to_bits(), old[at].to_bits(), "{what}: wrote past the row at ({i}, {j})");
                continue;
            }
            let (mut sum, mut magnitude) = (0f64, 0f64);
            for k in 0..k {
                let p = a(i, k) as f64 * b(k, j) as f64;
                sum += p;
                magnitude += p.abs();
            }
            let rest = if beta == 0.0 { 0.0 } else { beta as f64 * old[at] as f64 };
            let want = alpha as f64 * sum + rest;
            let allowed = bound(k, magnitude * (alpha as f64).abs() + rest.abs());
            assert!((c[at] as f64 - want).abs() <= allowed, "{what} ({i}, {j}): {} instead of {want}", c[at]);
        }
    }
}

fn rounded(v: Vec<f32>, mode: Compute) -> Vec<f32> {
    if mode == Compute::Bf16 { v.into_iter().map(|v| bf16::from_f32(v).to_f32()).collect() } else { v }
}

const MODES: [Compute; 2] = [Compute::Bf16, Compute::F32];

/// Runs one shape through all three products of a kernel.
fn all_products(isa: Isa, compute: Compute, (m, n, k): (usize, usize, usize), gap: usize, scale: (f32, f32)) {
    let kernel = Kernel::of(isa, compute);
    let (alpha, beta) = scale;
    let stride = n + gap;
    let length = if m == 0 { 0 } else { (m - 1) * stride + n };
    // With beta 0 what was in C must not matter, not even NaN.
    let old: Vec<f32> = if beta == 0.0 { vec![f32::NAN; length] } else { numbers(length, 3) };
    let matrix = |rows: usize, cols: usize, seed| (numbers((rows.max(1) - 1) * (cols + gap) + cols, seed), cols + gap);
    let transposed = [(false, true), (false, false), (true, false)];
    for (t, (a_columns, b_rows)) in transposed.into_iter().enumerate() {
        let (a, a_stride) = if a_columns { matrix(k, m, 1) } else { matrix(m, k, 1) };
        let (b, b_stride) = if b_rows { matrix(n, k, 2) } else { matrix(k, n, 2) };
        let left = if a_columns {
            Left::Columns(Mat::strided(&a, k, m, a_stride))
        } else {
            Left::Rows(Mat::strided(&a, m, k, a_stride))
        };
        let right = if b_rows {
            Right::Rows(Mat::strided(&b, n, k, b_stride))
        } else {
            Right::Columns(Mat::strided(&b, k, n, b_stride))
        };
        let (a, b) = (rounded(a.clone(), compute), rounded(b.clone(), compute));
        let mut serial = Vec::new();
        for parallel in [false, true] {
            let mut c = old.clone();
            product(kernel, alpha, left, right, beta, MatMut::strided(&mut c, m, n, stride), parallel);
            if parallel {
                let same = c.iter().zip(&serial).all(|(a, b): (&f32, &f32)| a.to_bits() == b.to_bits());
                assert!(same, "serial and threaded differ");
                continue;
            }
            let what = format!("{isa:?} {compute:?} product {t} of m {m}, n {n}, k {k}");
            let a_at = |i: usize, k: usize| if a_columns { a[k * a_stride + i] } else { a[i * a_stride + k] };
            let b_at = |k: usize, j: usize| if b_rows { b[j * b_stride + k] } else { b[k * b_stride + j] };
            check(&what, &c, (m, n, stride), &old, scale, k, a_at, b_at);
            serial = c;
        }
    }
}

#[test]
fn every_height_and_edge() {
    for isa in isas() {
        for compute in MODES {
            for m in 1..=33 {
                all_products(isa, compute, (m, 1 + m * 7 % 67, 1 + m * 13 % 75), m % 3, (1.0, 0.0));
            }
        }
    }
}

#[test]
fn factors() {
    for isa in isas() {
        for compute in MODES {
            for scale in [(1.0, 1.0), (0.125, 0.0), (-1.5, 0.75), (0.0, 0.5), (0.0, 0.0)] {
                all_products(isa, compute, (17, 45, 37), 5, scale);
            }
        }
    }
}

#[test]
fn empty_shapes() {
    for isa in isas() {
        for shape in [(0, 5, 3), (5, 0, 3), (5, 3, 0), (1, 1, 1)] {
            all_products(isa, Compute::Bf16, shape, 0, (1.0, 0.0));
            all_products(isa, Compute::F32, shape, 1, (2.0, 1.0));
        }
    }
}

#[test]
fn sums_longer_than_a_panel() {
    for isa in isas() {
        for compute in MODES {
            all_products(isa, compute, (29, 70, 4500), 0, (1.0, 1.0));
            all_products(isa, compute, (3, 16, 2100), 0, (0.5, 0.0));
        }
    }
}

#[test]
fn shapes_of_a_model() {
    for isa in isas() {
        for compute in MODES {
            for shape in [(64, 512, 64), (130, 16, 576), (192, 96, 200), (64, 64, 512), (8, 577, 130)] {
                all_products(isa, compute, shape, 0, (1.0, 0.0));
            }
        }
    }
}

/// Weights in every layout, and what they stand for.
fn weights(out: usize, cols: usize) -> Vec<(String, FrozenMatrix)> {
    let values = numbers(out * cols, 9);
    let mut all = vec![
        ("f32".to_string(), FrozenMatrix::from_f32(values.clone(), out, cols)),
        ("bf16".to_string(), FrozenMatrix::from_f32_rounded(&values, out, cols)),
        ("nf4".to_string(), Nf4Matrix::quantize(&values, out, cols, false).into()),
        ("nf4 double".to_string(), Nf4Matrix::quantize(&values, out, cols, true).into()),
    ];
    for dtype in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K, GgmlDType::F16] {
        if cols % dtype.block_size() == 0 {
            let tensor = candle_core::Tensor::from_slice(&values, (out, cols), &candle_core::Device::Cpu).unwrap();
            let quantized = candle_core::quantized::QTensor::quantize(&tensor, dtype).unwrap();
            let blocks = GgufBlocks::new(dtype, &quantized.data().unwrap(), out, cols).unwrap();
            all.push((format!("{dtype:?}"), blocks.into()));
        }
    }
    all
}

#[test]
fn frozen_weights() {
    // Multiples of 64, of 32, of 2, odd; K-quants; a depth with several ranges.
    for (out, cols) in [(70, 192), (33, 96), (45, 50), (7, 33), (96, 256), (40, 2304)] {
        for (layout, w) in weights(out, cols) {
            let mut dense = vec![0.0; out * cols];
            w.dequantize_rows(0..out, &mut dense);
            for isa in isas() {
                for compute in MODES {
                    let kernel = Kernel::of(isa, compute);
                    let dense = rounded(dense.clone(), compute);
                    for tokens in [1, 2, 5, 37] {
                        let what = format!("{isa:?} {compute:?} {layout} [{out}, {cols}] of {tokens} tokens");
                        let x = numbers(tokens * cols, 4);
                        let old = numbers(tokens * out, 5);
                        let mut y = old.clone();
                        let (left, target) = (Left::Rows(Mat::new(&x, tokens, cols)), &mut y);
                        product(kernel, 1.0, left, linear::rows(&w), 1.0, MatMut::new(target, tokens, out), true);
                        let x = rounded(x, compute);
                        let w_at = |k: usize, j: usize| dense[j * cols + k];
                        let shape = (tokens, out, out);
                        check(&what, &y, shape, &old, (1.0, 1.0), cols, |i, k| x[i * cols + k], w_at);

                        let dy = numbers(tokens * out, 6);
                        let old = vec![f32::NAN; tokens * cols];
                        let mut dx = old.clone();
                        let (left, target) = (Left::Rows(Mat::new(&dy, tokens, out)), &mut dx);
                        product(kernel, 1.0, left, linear::columns(&w), 0.0, MatMut::new(target, tokens, cols), true);
                        let dy = rounded(dy, compute);
                        let w_at = |k: usize, j: usize| dense[k * cols + j];
                        let shape = (tokens, cols, cols);
                        check(&what, &dx, shape, &old, (1.0, 0.0), out, |i, k| dy[i * out + k], w_at);
                    }
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (tokens, out, cols) = (300, 200, 320);
    let x = numbers(tokens * cols, 1);
    let dy = numbers(tokens * out, 2);
    let w: FrozenMatrix = Nf4Matrix::quantize(&numbers(out * cols, 3), out, cols, true).into();
    let run = |threads: usize, compute: Compute| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut y, mut dx, mut dw) = (vec![0.0; tokens * out], vec![0.0; tokens * cols], vec![0.0; 24 * cols]);
        pool.install(|| {
            linear::forward(Mat::new(&x, tokens, cols), &w, MatMut::new(&mut y, tokens, out), 0.0, compute);
            linear::backward(Mat::new(&dy, tokens, out), &w, MatMut::new(&mut dx, tokens, cols), 0.0, compute);
            let dy = Mat::new(&dy, tokens, out).columns(0, 24);
            tn(1.0, dy, Mat::new(&x, tokens, cols), 0.0, MatMut::new(&mut dw, 24, cols), compute);
        });
        [y, dx, dw].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for compute in MODES {
        let one = run(1, compute);
        for threads in [2, 3, 8] {
            assert!(run(threads, compute) == one, "{threads} threads, {compute:?}");
        }
    }
}

/// A linear of a few rows with its adapter on the last of them, beside the sums in 64 bits.
#[test]
fn few_rows_with_an_adapter() {
    let (k, rank_of) = (576, [5, 16]);
    for isa in isas() {
        for compute in MODES {
            let kernel = Kernel::of(isa, compute);
            for (layout, w) in weights(70, k) {
                let mut dense = vec![0.0; 70 * k];
                w.dequantize_rows(0..70, &mut dense);
                let dense = rounded(dense, compute);
                for (m, first) in [(1, 0), (1, 1), (2, 1), (3, 1), (4, 0), (4, 3)] {
                    for threads in [1, 3] {
                        let what =
                            format!("{isa:?} {compute:?} {layout}, {m} rows, adapted from {first}, {threads} threads");
                        let x = numbers(m * k, 1);
                        // Two outputs: 70 columns with one adapter, 30 of the same weight with another.
                        let adapters = rank_of.map(|r| (numbers(r * k, 2), numbers(70 * r, 3)));
                        let laid_out: Vec<ThroughRank> = adapters
                            .iter()
                            .zip(rank_of)
                            .map(|((a, b), r)| ThroughRank::new(kernel, 0.5, Mat::new(a, r, k), Mat::new(b, 70, r)))
                            .collect();
                        let old = numbers(m * 140, 4);
                        let mut y = old.clone();
                        let c = MatMut::new(&mut y, m, 140).split_columns([(0, 70), (70, 70)].into_iter());
                        let betas = [1.0, 0.0];
                        let outputs = c.into_iter().zip(&laid_out).zip(betas).map(|((c, adapter), beta)| {
                            few::FewOutput { c, right: linear::rows(&w), beta, adapter: Some(adapter) }
                        });
                        let outputs = outputs.collect();
                        let input = Mat::new(&x, m, k);
                        with_threads(threads, || pool::with_helpers(|| few::outputs(kernel, input, first, outputs)));

                        let x = rounded(x, compute);
                        let sum = |n: usize, f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
                        for (o, ((a, b), r)) in adapters.iter().zip(rank_of).enumerate() {
                            let (a, b) = (rounded(a.clone(), compute), rounded(b.clone(), compute));
                            for i in 0..m {
                                let h = |n: usize| 0.5 * sum(k, &|j| f64::from(x[i * k + j]) * f64::from(a[n * k + j]));
                                let h: Vec<f64> = (0..r).map(h).collect();
                                let round = |h: f64| f64::from(rounded(vec![h as f32], compute)[0]);
                                for j in 0..70 {
                                    let frozen = |n: usize| f64::from(x[i * k + n]) * f64::from(dense[j * k + n]);
                                    let b = |n: usize| if i >= first { f64::from(b[j * r + n]) } else { 0.0 };
                                    let before = f64::from(betas[o] * old[i * 140 + o * 70 + j]);
                                    let want = before + sum(k, &frozen) + sum(r, &|n| round(h[n]) * b(n));
                                    let magnitude = sum(k, &|n| frozen(n).abs()) + sum(r, &|n| (h[n] * b(n)).abs());
                                    // A number of h so near the border of two of bfloat16 may become either.
                                    let either = sum(r, &|n| {
                                        let near = [1.0 - 1e-5, 1.0 + 1e-5].map(|f| round(h[n] * f));
                                        (near[0] - near[1]).abs() * b(n).abs()
                                    });
                                    let allowed = 2.0 * bound(k, magnitude + before.abs()) + either;
                                    let got = f64::from(y[i * 140 + o * 70 + j]);
                                    assert!(
                                        (got - want).abs() <= allowed,
                                        "{what}: [{i}, {j}] of {o} {got}, not {want}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for isa in isas() {
        for compute in MODES {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut a = vec![1.0; 5 * 40];
                a[2 * 40 + 7] = bad;
                let b = vec![1.0; 40 * 20];
                let mut c = vec![0.0; 5 * 20];
                let (a, b) = (Left::Rows(Mat::new(&a, 5, 40)), Right::Columns(Mat::new(&b, 40, 20)));
                product(Kernel::of(isa, compute), 1.0, a, b, 0.0, MatMut::new(&mut c, 5, 20), false);
                for (i, v) in c.iter().enumerate() {
                    assert_eq!(v.is_finite(), i / 20 != 2, "{isa:?} {compute:?} element {i} is {v}");
                }
            }
        }
    }
}

#[test]
fn rounding_is_that_of_the_half_crate() {
    let special = [0.0, -0.0, f32::INFINITY, f32::MAX, 1e-40, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -3.3];
    for v in numbers(10_000, 7).into_iter().chain(special) {
        assert_eq!(round_bf16(v).to_bits(), bf16::from_f32(v).to_f32().to_bits(), "{v}");
    }
    assert!(round_bf16(f32::NAN).is_nan());
}

/// For people: what decoding costs in a product of 512 tokens, by layout.
#[test]
#[ignore = "a measurement, not a check"]
fn print_the_cost_of_layouts() {
    for (out, cols) in [(1536, 576), (1536, 768)] {
        for (layout, w) in weights(out, cols) {
            let (x, dy) = (vec![0.5; 512 * cols], vec![0.5; 512 * out]);
            let (mut y, mut dx) = (vec![0.0; 512 * out], vec![0.0; 512 * cols]);
            let mut best = [f64::INFINITY; 2];
            for _ in 0..20 {
                let start = std::time::Instant::now();
                linear::forward(Mat::new(&x, 512, cols), &w, MatMut::new(&mut y, 512, out), 0.0, Compute::Bf16);
                best[0] = best[0].min(start.elapsed().as_secs_f64() * 1e3);
                let start = std::time::Instant::now();
                linear::backward(Mat::new(&dy, 512, out), &w, MatMut::new(&mut dx, 512, cols), 0.0, Compute::Bf16);
                best[1] = best[1].min(start.elapsed().as_secs_f64() * 1e3);
            }
            eprintln!("[{out}, {cols}] {layout:12} forward {:.2} ms, backward {:.2} ms", best[0], best[1]);
        }
    }
}
