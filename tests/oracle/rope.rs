//! Rotary embedding in float64, frequencies by the papers' formulas.

use std::f64::consts::PI;

use candle_core::{D, Device, Result, Tensor};
use lora_studio::engine::model::{RopeConfig, RopeScaling};

/// Rotates the leading dimensions of `x`, `[heads, tokens, head_dim]`, positions from 0.
pub fn rotate(x: &Tensor, rope: &RopeConfig) -> Result<Tensor> {
    let (_, t, d) = x.dims3()?;
    let half = rope.dims / 2;
    let (frequencies, factor) = frequencies(rope, t);
    let table = |f: fn(f64) -> f64| {
        let values = (0..t * half).map(|i| f((i / half) as f64 * frequencies[i % half]) * factor).collect::<Vec<_>>();
        Tensor::from_vec(values, (t, half), &Device::Cpu)
    };
    let (cos, sin) = (table(f64::cos)?, table(f64::sin)?);
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let rotated = [
        (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
        (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
        x.narrow(D::Minus1, rope.dims, d - rope.dims)?,
    ];
    Tensor::cat(&rotated[..if rope.dims < d { 3 } else { 2 }], D::Minus1)
}

/// Frequencies for a sequence of `t` tokens, and the factor on cos and sin.
fn frequencies(rope: &RopeConfig, t: usize) -> (Vec<f64>, f64) {
    let d = rope.dims as f64;
    let plain: Vec<f64> = (0..rope.dims / 2).map(|i| rope.theta.powf(-2.0 * i as f64 / d)).collect();
    let divided = |by: &[f64]| plain.iter().zip(by).map(|(f, by)| f / by).collect::<Vec<_>>();
    match &rope.scaling {
        RopeScaling::None => (plain, 1.0),
        RopeScaling::Linear { factor } => (plain.iter().map(|f| f / factor).collect(), 1.0),
        RopeScaling::Factors(by) => (divided(by), 1.0),
        RopeScaling::LongRope { short_factor, long_factor, original_max_positions, attention_factor } => {
            (divided(if t > *original_max_positions { long_factor } else { short_factor }), *attention_factor)
        }
        &RopeScaling::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_max_positions } => {
            let scaled = |f: f64| {
                // How often the original context holds a wavelength.
                let turns = original_max_positions as f64 * f / (2.0 * PI);
                let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                f * keep + f / factor * (1.0 - keep)
            };
            (plain.into_iter().map(scaled).collect(), 1.0)
        }
        &RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, attention_factor, truncate } => {
            // The dimension that turns `turns` times over the original context.
            let dimension =
                |turns: f64| d * (original_max_positions as f64 / (turns * 2.0 * PI)).ln() / (2.0 * rope.theta.ln());
            let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, high) = (low.max(0.0), high.min(d - 1.0));
            let width = if low == high { 0.001 } else { high - low };
            let scaled = |(i, f): (usize, f64)| {
                let keep = 1.0 - ((i as f64 - low) / width).clamp(0.0, 1.0);
                f * keep + f / factor * (1.0 - keep)
            };
            (plain.into_iter().enumerate().map(scaled).collect(), attention_factor)
        }
    }
}
