//! Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face models.
//!
//! The first half of a head's rotating dimensions pairs with the second: with angle φᵢ = position · fᵢ,
//! (xᵢ, xᵢ₊ₕ) → (xᵢ·cos φᵢ − xᵢ₊ₕ·sin φᵢ, xᵢ₊ₕ·cos φᵢ + xᵢ·sin φᵢ). A rotation's transpose is the rotation by −φ, which is the
//! backward. Frequencies and angles are rounded to `f32` where transformers rounds them, because a model has learned
//! those angles: at position 8191 an exact angle differs from transformers' by up to 5e-4.

use super::MatMut;
use super::rows::for_each_row;
use super::simd::{fma, multiversion};
use crate::engine::model::{RopeConfig, RopeScaling};

/// cos and sin of every position, for one [`RopeConfig`].
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// Rotating dimensions of a head, even.
    dims: usize,
    /// Positions that the tables cover.
    positions: usize,
    /// What transformers calls `inv_freq`, for short sequences.
    frequencies: Vec<f32>,
    /// `[positions, dims / 2]` each.
    short: Angles,
    /// LongRoPE's second table and the sequence length above which it is used.
    long: Option<(usize, Angles)>,
}

#[derive(Clone, Debug)]
struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    fn new(frequencies: &[f32], positions: usize, factor: f64) -> Self {
        let n = positions * frequencies.len();
        let (mut cos, mut sin) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for p in 0..positions {
            for f in frequencies {
                // The angle is an f32, as in transformers; its cosine is exact, then rounded, then scaled in f32.
                let angle = f64::from(p as f32 * f);
                cos.push(angle.cos() as f32 * factor as f32);
                sin.push(angle.sin() as f32 * factor as f32);
            }
        }
        Self { cos, sin }
    }

    fn row(&self, position: usize, half: usize) -> (&[f32], &[f32]) {
        let at = position * half..(position + 1) * half;
        (&self.cos[at.clone()], &self.sin[at])
    }
}

impl RopeTable {
    /// Tables for positions below `max_positions`.
    ///
    /// Memory: 4 · `dims` bytes a position, twice that for LongRoPE beyond its original context.
    ///
    /// # Panics
    /// When `dims` is odd, or a list of factors is shorter than `dims / 2`: the reader of the model checks both.
    pub fn new(config: &RopeConfig, max_positions: usize) -> Self {
        assert!(config.dims.is_multiple_of(2), "rope: {} rotating dimensions", config.dims);
        let f = Frequencies::new(config);
        let short = Angles::new(&f.short, max_positions, f.factor);
        let long = f
            .long
            .filter(|(above, _)| max_positions > *above)
            .map(|(above, long)| (above, Angles::new(&long, max_positions, f.factor)));
        Self { dims: config.dims, positions: max_positions, frequencies: f.short, short, long }
    }

    /// Positions that the table covers: `0..max_positions`.
    pub fn max_positions(&self) -> usize {
        self.positions
    }

    /// The inverse frequencies of short sequences, `[dims / 2]`, as transformers computes them.
    pub fn inv_freq(&self) -> &[f32] {
        &self.frequencies
    }

    /// Bytes that the tables take.
    pub fn bytes(&self) -> usize {
        let tables = 1 + usize::from(self.long.is_some());
        tables * self.positions * self.dims * size_of::<f32>()
    }

    /// [`bytes`](Self::bytes) of the tables that [`new`](Self::new) would make.
    pub fn bytes_of(config: &RopeConfig, max_positions: usize) -> usize {
        let long = match &config.scaling {
            RopeScaling::LongRope { original_max_positions, .. } => max_positions > *original_max_positions,
            _ => false,
        };
        (1 + usize::from(long)) * max_positions * config.dims * size_of::<f32>()
    }

    /// For every row, whether its sequence is long. Rows belong to one sequence while positions count up by one.
    fn long_rows(&self, positions: &[u32]) -> Vec<bool> {
        let Some((above, _)) = &self.long else { return Vec::new() };
        let mut long = vec![false; positions.len()];
        let mut start = 0;
        for i in 0..positions.len() {
            if positions.get(i + 1) != Some(&(positions[i].wrapping_add(1))) {
                long[start..=i].fill(positions[i] as usize >= *above);
                start = i + 1;
            }
        }
        long
    }
}

/// Rotates `x`, `[tokens, heads · head_dim]`, in place; `positions` is `[tokens]`.
pub fn forward(x: MatMut, head_dim: usize, positions: &[u32], table: &RopeTable) {
    rotate(x, head_dim, positions, table, 1.0);
}

/// Turns the gradient of [`forward`]'s result into the gradient of its input, in place.
pub fn backward(dx: MatMut, head_dim: usize, positions: &[u32], table: &RopeTable) {
    rotate(dx, head_dim, positions, table, -1.0);
}

fn rotate(x: MatMut, head_dim: usize, positions: &[u32], table: &RopeTable, direction: f32) {
    assert_eq!(x.rows, positions.len(), "rope: a position a row");
    assert!(x.cols.is_multiple_of(head_dim) && table.dims <= head_dim, "rope: heads of {head_dim} dimensions");
    let half = table.dims / 2;
    let long_rows = table.long_rows(positions);
    for_each_row(x, |r, x| {
        let position = positions[r] as usize;
        assert!(position < table.positions, "rope: position {position} beyond the table's {}", table.positions);
        let angles = match &table.long {
            Some((_, long)) if long_rows[r] => long,
            _ => &table.short,
        };
        let (cos, sin) = angles.row(position, half);
        rotate_row(x, head_dim, cos, sin, direction);
    });
}

multiversion! {
    fn rotate_row(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], direction: f32) {
        let half = cos.len();
        let sin = &sin[..half];
        for head in x.chunks_exact_mut(head_dim) {
            let (first, second) = head.split_at_mut(half);
            let second = &mut second[..half];
            for i in 0..half {
                let (a, b, s) = (first[i], second[i], direction * sin[i]);
                first[i] = fma::<FMA>(a, cos[i], -(b * s));
                second[i] = fma::<FMA>(b, cos[i], a * s);
            }
        }
    }
}

/// What transformers' `ROPE_INIT_FUNCTIONS` compute.
struct Frequencies {
    /// The inverse frequencies, `[dims / 2]`.
    short: Vec<f32>,
    /// LongRoPE's second set and the sequence length above which it counts.
    long: Option<(usize, Vec<f32>)>,
    /// Factor on cos and sin.
    factor: f64,
}

impl Frequencies {
    fn new(config: &RopeConfig) -> Self {
        let half = config.dims / 2;
        // The power is rounded to f32 like torch's, then everything else is f32 arithmetic.
        let pow = |i: usize| {
            let exponent = 2.0 * i as f32 / config.dims as f32;
            config.theta.powf(f64::from(exponent)) as f32
        };
        let of = |f: &dyn Fn(usize) -> f32| (0..half).map(f).collect::<Vec<_>>();
        let divided = |by: &[f64]| of(&|i| 1.0 / (by[i] as f32 * pow(i)));
        let (mut long, mut attention) = (None, 1.0);
        let short = match &config.scaling {
            RopeScaling::None => of(&|i| 1.0 / pow(i)),
            RopeScaling::Linear { factor } => of(&|i| 1.0 / pow(i) / *factor as f32),
            RopeScaling::Factors(by) => divided(by),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
                let original = *original_max_positions as f64;
                of(&|i| llama3(1.0 / pow(i), *factor, *low_freq_factor, *high_freq_factor, original))
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, attention_factor, truncate } => {
                attention = *attention_factor;
                let original = *original_max_positions as f64;
                let (low, high) = yarn_range(config, *beta_fast, *beta_slow, original, *truncate);
                of(&|i| {
                    let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let (keep, interpolation) = (1.0 - ramp, 1.0 / (*factor as f32 * pow(i)));
                    interpolation * (1.0 - keep) + 1.0 / pow(i) * keep
                })
            }
            RopeScaling::LongRope { short_factor, long_factor, original_max_positions, attention_factor } => {
                attention = *attention_factor;
                long = Some((*original_max_positions, divided(long_factor)));
                divided(short_factor)
            }
        };
        Self { short, long, factor: attention }
    }
}

/// Llama 3.1's rule for one frequency (transformers' `_compute_llama3_parameters`).
fn llama3(f: f32, factor: f64, low_freq_factor: f64, high_freq_factor: f64, original: f64) -> f32 {
    let wavelength = std::f32::consts::TAU / f;
    if wavelength > (original / low_freq_factor) as f32 {
        f / factor as f32
    } else if wavelength < (original / high_freq_factor) as f32 {
        f
    } else {
        let range = (high_freq_factor - low_freq_factor) as f32;
        let smooth = (original as f32 / wavelength - low_freq_factor as f32) / range;
        (1.0 - smooth) * f / factor as f32 + smooth * f
    }
}

/// The dimensions between which YaRN blends (Peng et al. 2023, eq. 23; transformers' `find_correction_range`).
fn yarn_range(config: &RopeConfig, beta_fast: f64, beta_slow: f64, original: f64, truncate: bool) -> (f64, f64) {
    let dims = config.dims as f64;
    let dimension =
        |rotations: f64| dims * (original / (rotations * std::f64::consts::TAU)).ln() / (2.0 * config.theta.ln());
    let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dims - 1.0));
    // Equal bounds would divide by zero.
    if low == high { (low, high + 0.001) } else { (low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::{assert_close, columns, normal};
    use serde_json::Value;

    fn numbers(v: &Value) -> Vec<f64> {
        v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn config(case: &Value) -> RopeConfig {
        let s = &case["scaling"];
        let f = |key: &str, default: f64| s[key].as_f64().unwrap_or(default);
        let original_max_positions = s["original_max_position_embeddings"].as_u64().unwrap_or(0) as usize;
        let attention_factor = case["attention_factor"].as_f64().unwrap();
        let factor = f("factor", 1.0);
        let scaling = match s["rope_type"].as_str().unwrap() {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor },
            "llama3" => RopeScaling::Llama3 {
                factor,
                low_freq_factor: f("low_freq_factor", 0.0),
                high_freq_factor: f("high_freq_factor", 0.0),
                original_max_positions,
            },
            "yarn" => RopeScaling::Yarn {
                factor,
                beta_fast: f("beta_fast", 32.0),
                beta_slow: f("beta_slow", 1.0),
                original_max_positions,
                attention_factor,
                truncate: s["truncate"].as_bool().unwrap_or(true),
            },
            "longrope" => RopeScaling::LongRope {
                short_factor: numbers(&s["short_factor"]),
                long_factor: numbers(&s["long_factor"]),
                original_max_positions,
                attention_factor,
            },
            other => panic!("{other}"),
        };
        RopeConfig { theta: case["theta"].as_f64().unwrap(), dims: case["dims"].as_u64().unwrap() as usize, scaling }
    }

    /// Expected numbers from tests/reference/rope.py.
    #[test]
    fn angles_are_those_of_transformers() {
        let cases: Value = serde_json::from_str(include_str!("../../../tests/fixtures/rope.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let config = config(case);
            let positions: Vec<u32> = numbers(&case["positions"]).iter().map(|p| *p as u32).collect();
            let table = RopeTable::new(&config, 8192);
            let all = Frequencies::new(&config);
            let is_long = name == "longrope, long";
            let freqs = if is_long { &all.long.as_ref().unwrap().1 } else { &all.short };
            // torch's vectorized power is within one ulp, not exact, and the rest of the formula multiplies that.
            for (got, want) in freqs.iter().zip(numbers(&case["inv_freq"])) {
                let want = want as f32;
                let ulps = got.to_bits().abs_diff(want.to_bits());
                assert!(ulps <= 2, "{name}: frequency {got} against {want}, {ulps} ulp");
            }
            let angles = if is_long { &table.long.as_ref().unwrap().1 } else { &table.short };
            for (i, p) in positions.iter().enumerate() {
                let (cos, sin) = angles.row(*p as usize, config.dims / 2);
                let (want_cos, want_sin) = (numbers(&case["cos"][i]), numbers(&case["sin"][i]));
                for j in 0..cos.len() {
                    // An ulp or two of the frequency moves the angle by 1.2e-7 · angle.
                    let bound = 2e-7 + 1.5e-7 * f64::from(*p as f32 * freqs[j]);
                    let error = (f64::from(cos[j]) - want_cos[j]).abs().max((f64::from(sin[j]) - want_sin[j]).abs());
                    assert!(error <= bound, "{name}: position {p}, frequency {j}: error {error:e}");
                }
            }
        }
    }

    #[test]
    fn rotation_against_f64_and_its_transpose() {
        for (head_dim, dims, heads, extra) in [(8, 8, 3, 5), (6, 4, 2, 0), (64, 64, 1, 7), (10, 2, 2, 1)] {
            let config = RopeConfig { theta: 10000.0, dims, scaling: RopeScaling::None };
            let table = RopeTable::new(&config, 64);
            let positions = [0u32, 1, 2, 63, 0, 7];
            let (rows, cols) = (positions.len(), heads * head_dim);
            let stride = cols + extra;
            let x = normal(1, rows * stride, 1.0);
            let mut want = Vec::new();
            for (r, p) in positions.iter().enumerate() {
                let mut row: Vec<f64> = x[r * stride..][..cols].iter().map(|x| f64::from(*x)).collect();
                for head in row.chunks_mut(head_dim) {
                    for i in 0..dims / 2 {
                        let angle = f64::from(*p as f32 * table.inv_freq()[i]);
                        let (a, b) = (head[i], head[i + dims / 2]);
                        head[i] = a * angle.cos() - b * angle.sin();
                        head[i + dims / 2] = b * angle.cos() + a * angle.sin();
                    }
                }
                want.extend(row);
            }
            let mut y = x.clone();
            forward(MatMut::strided(&mut y, rows, cols, stride), head_dim, &positions, &table);
            assert_close("rope", &columns(&y, rows, stride, 0, cols), &want, 1e-7);
            // The op is linear: ⟨dy, R·x⟩ = ⟨Rᵀ·dy, x⟩ for every dy is what a backward is.
            let dy = normal(2, rows * stride, 1.0);
            let mut dx = dy.clone();
            backward(MatMut::strided(&mut dx, rows, cols, stride), head_dim, &positions, &table);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                let (a, b) = (columns(a, rows, stride, 0, cols), columns(b, rows, stride, 0, cols));
                a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let (left, right) = (dot(&dy, &y), dot(&dx, &x));
            assert!((left - right).abs() <= 1e-6 * left.abs().max(1.0), "{left} against {right}");
            // And the rotation back gives x, element for element.
            let x64: Vec<f64> = columns(&x, rows, stride, 0, cols).iter().map(|x| f64::from(*x)).collect();
            backward(MatMut::strided(&mut y, rows, cols, stride), head_dim, &positions, &table);
            assert_close("back", &columns(&y, rows, stride, 0, cols), &x64, 2e-7);
        }
    }

    #[test]
    fn longrope_decides_for_each_packed_sequence() {
        let scaling = RopeScaling::LongRope {
            short_factor: vec![1.0, 1.0],
            long_factor: vec![2.0, 4.0],
            original_max_positions: 4,
            attention_factor: 1.0,
        };
        let config = RopeConfig { theta: 100.0, dims: 4, scaling };
        let table = RopeTable::new(&config, 8);
        let positions = [0, 1, 2, 3, 0, 1, 2, 3, 4, 5];
        assert_eq!(table.long_rows(&positions), [vec![false; 4], vec![true; 6]].concat());
        assert!(RopeTable::new(&config, 4).long.is_none(), "no second table when nothing can be long");
        let mut x = vec![1.0; 10 * 4];
        forward(MatMut::new(&mut x, 10, 4), 4, &positions, &table);
        assert_eq!(x[4], 1f32.cos() - 1f32.sin(), "position 1 of a short sequence");
        assert!((x[5 * 4] - (0.5f32.cos() - 0.5f32.sin())).abs() < 1e-7, "position 1 of a long one");
    }
}
