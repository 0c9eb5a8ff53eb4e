//! AdamW (Loshchilov & Hutter 2019) over flat buffers, the norm of a gradient, and clipping, as torch computes them.

use rayon::prelude::*;

use super::simd::{fma, multiversion};

/// The hyperparameters that do not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// torch.optim.AdamW's, with the weight decay of 0 that LoRA is usually trained with.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Elements a task; a boundary changes no bit of a step, and fixes the order of [`grad_norm`].
const CHUNK: usize = 16 * 1024;

/// One step, in one pass: p, m and v are updated from the gradient g = `grad_factor`·`grads`.
///
/// p ← p·(1 − lr·λ); m ← m + (1 − β₁)(g − m); v ← β₂·v + (1 − β₂)·g²;
/// p ← p − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε). `t` counts steps from 1. `grad_factor` carries the loss's
/// normalisation and [`clip_factor`], so that the gradient itself is read once and not rewritten.
pub fn step(
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    adamw: &AdamW,
    lr: f64,
    t: u64,
    grad_factor: f32,
) {
    let n = params.len();
    assert!(grads.len() == n && m.len() == n && v.len() == n, "adamw: buffers of different lengths");
    let factors = Factors::new(adamw, lr, t, grad_factor);
    let chunks = params.par_chunks_mut(CHUNK).zip(grads.par_chunks(CHUNK));
    let chunks = chunks.zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK));
    chunks.for_each(|(((p, g), m), v)| update(p, g, m, v, &factors));
}

/// What the numbers of one step are multiplied with.
pub(super) struct Factors {
    decay: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
    grad: f32,
}

impl Factors {
    pub(super) fn new(adamw: &AdamW, lr: f64, t: u64, grad_factor: f32) -> Factors {
        assert!(t > 0, "adamw: steps count from 1");
        let exponent = i32::try_from(t).unwrap_or(i32::MAX);
        Factors {
            decay: (1.0 - lr * adamw.weight_decay) as f32,
            one_minus_beta1: (1.0 - adamw.beta1) as f32,
            beta2: adamw.beta2 as f32,
            one_minus_beta2: (1.0 - adamw.beta2) as f32,
            step_size: (lr / (1.0 - adamw.beta1.powi(exponent))) as f32,
            root_correction: (1.0 - adamw.beta2.powi(exponent)).sqrt() as f32,
            eps: adamw.eps as f32,
            grad: grad_factor,
        }
    }
}

multiversion! {
    /// One step of numbers that lie in 32 bits, on the calling thread.
    pub(super) fn update(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: &Factors) {
        let n = p.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        for i in 0..n {
            let gi = g[i] * f.grad;
            m[i] = fma::<FMA>(f.one_minus_beta1, gi - m[i], m[i]);
            v[i] = fma::<FMA>(f.one_minus_beta2 * gi, gi, v[i] * f.beta2);
            let denominator = v[i].sqrt() / f.root_correction + f.eps;
            p[i] = p[i] * f.decay - f.step_size * (m[i] / denominator);
        }
    }
}

/// ‖g‖₂, summed in `f64` in an order that depends on the length alone.
pub fn grad_norm(grads: &[f32]) -> f64 {
    let mut sums = vec![0.0; grads.len().div_ceil(CHUNK)];
    sums.par_iter_mut().zip(grads.par_chunks(CHUNK)).for_each(|(sum, g)| *sum = sum_of_squares(g));
    sums.iter().sum::<f64>().sqrt()
}

multiversion! {
    fn sum_of_squares(x: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let (chunks, rest) = x.as_chunks::<16>();
        for c in chunks {
            for i in 0..16 {
                let x = f64::from(c[i]);
                lanes[i] += x * x;
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            let x = f64::from(*x);
            *lane += x * x;
        }
        lanes.iter().sum()
    }
}

/// What torch.nn.utils.clip_grad_norm_ multiplies the gradient with: `max_norm / (norm + 1e-6)`, at most 1.
///
/// A `max_norm` of 0 or below means no clipping. A norm that is not a number gives a factor that is not one.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm <= 0.0 {
        return 1.0;
    }
    let factor = max_norm / (norm + 1e-6);
    if factor > 1.0 { 1.0 } else { factor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{normal, relative_error, with_threads};
    use serde_json::Value;

    fn numbers(v: &Value) -> Vec<f64> {
        v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn floats(v: &Value) -> Vec<f32> {
        numbers(v).iter().map(|v| *v as f32).collect()
    }

    /// Expected numbers from tests/reference/adamw.py.
    #[test]
    fn equals_torch() {
        let cases: Value = serde_json::from_str(include_str!("../../../tests/fixtures/adamw.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let adamw = AdamW { weight_decay: case["weight_decay"].as_f64().unwrap(), ..Default::default() };
            let max_norm = case["max_norm"].as_f64().unwrap();
            let mut p = floats(&case["start"]);
            let (mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
            for (i, s) in case["steps"].as_array().unwrap().iter().enumerate() {
                let grads = floats(&s["grad"]);
                let (norm, want_norm) = (grad_norm(&grads), s["norm"].as_f64().unwrap());
                assert!((norm / want_norm - 1.0).abs() < 3e-7, "norm {norm} against {want_norm}");
                let factor = clip_factor(norm, max_norm) as f32;
                step(&mut p, &grads, &mut m, &mut v, &adamw, s["lr"].as_f64().unwrap(), i as u64 + 1, factor);
                for (name, got, bound) in [("params", &p, 1e-7), ("m", &m, 3e-7), ("v", &v, 3e-7)] {
                    let error = relative_error(got, &numbers(&s[name]));
                    assert!(error < bound, "step {}: {name}: {error:e}", i + 1);
                }
            }
        }
    }

    #[test]
    fn a_factor_on_the_gradient_is_a_scaled_gradient() {
        let g = normal(1, 1000, 1.0);
        let halves: Vec<f32> = g.iter().map(|g| 0.5 * g).collect();
        let run = |g: &[f32], factor: f32| {
            let (mut p, mut m, mut v) = (normal(2, 1000, 1.0), vec![0.0; 1000], vec![0.0; 1000]);
            step(&mut p, g, &mut m, &mut v, &AdamW::default(), 1e-3, 1, factor);
            (p, m, v)
        };
        assert_eq!(run(&g, 0.5), run(&halves, 1.0));
    }

    #[test]
    fn clipping() {
        assert_eq!(clip_factor(0.3, 1.0), 1.0);
        assert_eq!(clip_factor(2.0, 1.0), 1.0 / 2.000001);
        assert_eq!(clip_factor(5.0, 0.0), 1.0, "no clipping");
        assert!(clip_factor(f64::NAN, 1.0).is_nan());
        assert_eq!(clip_factor(f64::INFINITY, 1.0), 0.0);
    }

    #[test]
    fn the_norm_has_one_order() {
        let g = normal(3, 100_001, 1.0);
        let exact = g.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
        let one = with_threads(1, || grad_norm(&g));
        assert_eq!(one.to_bits(), with_threads(4, || grad_norm(&g)).to_bits());
        assert!((one / exact - 1.0).abs() < 1e-13, "{one} against {exact}");
        assert_eq!(grad_norm(&[]), 0.0);
        assert!(grad_norm(&[1.0, f32::NAN]).is_nan());
    }
}
