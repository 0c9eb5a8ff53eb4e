//! AdamW with both moments in 8 bits (Dettmers et al. 2022, arXiv:2110.02861), as bitsandbytes' `AdamW8bit` keeps them.
//!
//! A moment is cut into blocks of 256 numbers. A block stores its largest magnitude and for every number the code of the
//! nearest value of a [dynamic 8-bit type](Dynamic), the signed one for the first moment and the unsigned one for the
//! second: 2 + 2·4/256 = 2.03 bytes a parameter instead of 8. A step decodes a block, makes the step of [`adamw`] in 32
//! bits, moves the parameters by the moments as they are then, and only afterwards rounds those to codes again.
//!
//! Two details are not those of bitsandbytes' CUDA kernel: weights decay before the update, as in torch and in
//! bitsandbytes on the CPU, and a negative first moment that rounds to zero becomes zero.
//!
//! ```
//! use lora_studio::engine::ops::{adamw::AdamW, adamw_8bit::{self, Moments}};
//! let (mut p, g) = (vec![1.0f32; 512], vec![0.5f32; 512]);
//! let mut moments = Moments::zeros(512);
//! adamw_8bit::step(&mut p, &g, &mut moments, &AdamW::default(), 0.01, 1, 1.0);
//! assert!((p[0] - 0.99).abs() < 1e-6); // the first step is lr, whatever the gradient
//! assert_eq!(moments.bytes(), 2 * 512 + 2 * 2 * 4);
//! ```

use rayon::prelude::*;

use super::adamw::{self, AdamW, Factors};
use super::simd::multiversion;
use crate::engine::quant::dynamic::Dynamic;

/// Numbers that share a scale.
pub const BLOCK: usize = 256;

/// Blocks a task; a boundary changes no bit of a step.
const TASK: usize = 64;

/// bitsandbytes' smallest divisor (`absmax.clamp(min=1e-38)`).
const TINY: f32 = 1e-38;

/// Both moments of a tensor of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Codes of the first moment, one a parameter.
    pub m: Vec<u8>,
    /// Codes of the second moment.
    pub v: Vec<u8>,
    /// Largest magnitude of each block of the first moment.
    pub m_absmax: Vec<f32>,
    /// Largest number of each block of the second moment.
    pub v_absmax: Vec<f32>,
}

impl Moments {
    /// Before the first step.
    pub fn zeros(parameters: usize) -> Moments {
        let scales = vec![0.0; parameters.div_ceil(BLOCK)];
        let [m, v] = [Dynamic::signed(), Dynamic::unsigned()].map(|d| vec![d.nearest(0.0); parameters]);
        Moments { m, v, m_absmax: scales.clone(), v_absmax: scales }
    }

    /// From moments in 32 bits.
    pub fn quantize(m: &[f32], v: &[f32]) -> Moments {
        let mut moments = Moments::zeros(m.len());
        let Moments { m: m_codes, v: v_codes, m_absmax, v_absmax } = &mut moments;
        for (values, codes, absmax, map) in
            [(m, m_codes, m_absmax, Dynamic::signed()), (v, v_codes, v_absmax, Dynamic::unsigned())]
        {
            for ((x, codes), absmax) in values.chunks(BLOCK).zip(codes.chunks_mut(BLOCK)).zip(absmax) {
                *absmax = encode(x, codes, map);
            }
        }
        moments
    }

    /// Both moments in 32 bits.
    pub fn dequantize(&self) -> (Vec<f32>, Vec<f32>) {
        let values = |codes: &[u8], absmax: &[f32], map: &Dynamic| {
            let mut out = vec![0.0; codes.len()];
            for ((out, codes), absmax) in out.chunks_mut(BLOCK).zip(codes.chunks(BLOCK)).zip(absmax) {
                decode(codes, *absmax, map, out);
            }
            out
        };
        let m = values(&self.m, &self.m_absmax, Dynamic::signed());
        (m, values(&self.v, &self.v_absmax, Dynamic::unsigned()))
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        bytes(self.m.len())
    }
}

/// Bytes of the moments of so many parameters.
pub fn bytes(parameters: usize) -> usize {
    2 * (parameters + 4 * parameters.div_ceil(BLOCK))
}

/// One step; see [`adamw::step`] for the arguments.
pub fn step(
    params: &mut [f32],
    grads: &[f32],
    moments: &mut Moments,
    adamw: &AdamW,
    lr: f64,
    t: u64,
    grad_factor: f32,
) {
    let n = params.len();
    assert!(grads.len() == n && moments.m.len() == n, "adamw 8-bit: buffers of different lengths");
    let factors = Factors::new(adamw, lr, t, grad_factor);
    let maps = (Dynamic::signed(), Dynamic::unsigned());
    let codes = moments.m.par_chunks_mut(TASK * BLOCK).zip(moments.v.par_chunks_mut(TASK * BLOCK));
    let scales = moments.m_absmax.par_chunks_mut(TASK).zip(moments.v_absmax.par_chunks_mut(TASK));
    let numbers = params.par_chunks_mut(TASK * BLOCK).zip(grads.par_chunks(TASK * BLOCK));
    numbers.zip(codes.zip(scales)).for_each(|((p, g), ((m, v), (m_absmax, v_absmax)))| {
        let numbers = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK));
        let codes = m.chunks_mut(BLOCK).zip(v.chunks_mut(BLOCK));
        for (((p, g), (m, v)), (m_absmax, v_absmax)) in numbers.zip(codes).zip(m_absmax.iter_mut().zip(v_absmax)) {
            let (mut m_values, mut v_values) = ([0.0; BLOCK], [0.0; BLOCK]);
            let (m_values, v_values) = (&mut m_values[..p.len()], &mut v_values[..p.len()]);
            decode(m, *m_absmax, maps.0, m_values);
            decode(v, *v_absmax, maps.1, v_values);
            adamw::update(p, g, m_values, v_values, &factors);
            *m_absmax = encode(m_values, m, maps.0);
            *v_absmax = encode(v_values, v, maps.1);
        }
    });
}

/// A block's numbers from its codes.
fn decode(codes: &[u8], absmax: f32, map: &Dynamic, out: &mut [f32]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = map.value(*code) * absmax;
    }
}

multiversion! {
    /// Writes the codes of a block's numbers and returns their largest magnitude.
    fn encode(x: &[f32], codes: &mut [u8], map: &Dynamic) -> f32 {
        // Magnitudes are in the order of their bits.
        let mut lanes = [0u32; 16];
        let (whole, rest) = x.as_chunks::<16>();
        for c in whole {
            for i in 0..16 {
                lanes[i] = lanes[i].max(c[i].abs().to_bits());
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane = (*lane).max(x.abs().to_bits());
        }
        let mut largest = 0;
        for i in 0..16 {
            largest = largest.max(lanes[i]);
        }
        let absmax = f32::from_bits(largest);
        let n = x.len();
        // The reciprocal first, as bitsandbytes does; it may carry the largest a little over 1.
        let inverse = 1.0 / if absmax > TINY { absmax } else { TINY };
        let (mut scaled, mut buckets, mut middles) = ([0f32; BLOCK], [0u16; BLOCK], [0f32; BLOCK]);
        for i in 0..n {
            scaled[i] = (x[i] * inverse).clamp(-1.0, 1.0);
            buckets[i] = Dynamic::bucket(scaled[i]);
        }
        let codes = &mut codes[..n];
        look_up(&buckets[..n], codes, &mut middles[..n], map);
        for i in 0..n {
            codes[i] += u8::from(scaled[i] > middles[i]);
        }
        absmax
    }
}

/// The lowest codes of buckets, and the middles between them and the next. A function of its own, compiled for any CPU:
/// with wide vectors these loads would become gathers, which take longer.
#[inline(never)]
fn look_up(buckets: &[u16], codes: &mut [u8], middles: &mut [f32], map: &Dynamic) {
    for ((bucket, code), middle) in buckets.iter().zip(codes).zip(middles) {
        (*code, *middle) = map.of_bucket(*bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::formats::safetensors::SafetensorsFile;
    use crate::engine::ops::testing::{normal, relative_error, with_threads};
    use serde_json::Value;

    /// As in tests/reference/adamw_8bit.py.
    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let number = |i: u64| {
            let mut x = (i + seed * 1_000_003 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^= x >> 31;
            let total = (0..4).map(|i| (x >> (8 * i) & 255) as i32).sum::<i32>() - 510;
            let t = total as f32 / 510.0;
            t * t * t
        };
        (0..n as u64).map(number).collect()
    }

    enum State {
        Short(Vec<f32>, Vec<f32>),
        Blocks(Moments),
    }

    /// Expected numbers of tests/reference/adamw_8bit.py: twelve steps of bitsandbytes' own optimizer.
    #[test]
    fn equals_bitsandbytes() {
        let file = SafetensorsFile::open("tests/fixtures/adamw_8bit.safetensors").unwrap();
        let about: Value = serde_json::from_str(file.metadata("about").unwrap()).unwrap();
        let sizes: Vec<usize> = serde_json::from_value(about["sizes"].clone()).unwrap();
        let norms: Vec<f64> = serde_json::from_value(about["norms"].clone()).unwrap();
        let adamw = AdamW { weight_decay: about["weight_decay"].as_f64().unwrap(), ..AdamW::default() };
        let max_norm = about["max_norm"].as_f64().unwrap();
        let mut params: Vec<Vec<f32>> = sizes.iter().zip(50..).map(|(n, seed)| numbers(*n, seed)).collect();
        let mut states: Vec<State> = sizes
            .iter()
            .map(
                |&n| if n < 4096 { State::Short(vec![0.0; n], vec![0.0; n]) } else { State::Blocks(Moments::zeros(n)) },
            )
            .collect();
        let (mut codes, mut unlike) = (0, 0);
        for (t, want_norm) in (1u64..).zip(&norms) {
            let lr = 1e-3 * t as f64 / norms.len() as f64;
            let mut grads: Vec<Vec<f32>> = sizes.iter().zip(10 * t..).map(|(n, seed)| numbers(*n, seed)).collect();
            for (grads, scale) in grads.iter_mut().zip([1.0f32, 0.01, 0.1]) {
                grads.iter_mut().for_each(|g| *g *= scale);
            }
            grads[0][..512].fill(0.0);
            if t == 1 {
                grads[1][..256].fill(0.0);
            }
            let norm = adamw::grad_norm(&grads.concat());
            // torch sums thousands of squares in 32 bits. What follows from its norm is compared more closely.
            assert!((norm / want_norm - 1.0).abs() < 1e-6, "norm {norm} against {want_norm}");
            let factor = adamw::clip_factor(*want_norm, max_norm) as f32;
            for ((p, g), state) in params.iter_mut().zip(&grads).zip(&mut states) {
                match state {
                    State::Short(m, v) => adamw::step(p, g, m, v, &adamw, lr, t, factor),
                    State::Blocks(moments) => step(p, g, moments, &adamw, lr, t, factor),
                }
            }
            if file.info(&format!("step{t}.0.m")).is_none() {
                continue;
            }
            for (i, (p, state)) in params.iter().zip(&states).enumerate() {
                let at = |part: &str| format!("step{t}.{i}.{part}");
                let floats = |part: &str| file.tensor(&at(part)).unwrap().unwrap().to_f32();
                let close = |part: &str, got: &[f32], bound: f64| {
                    let want: Vec<f64> = floats(part).iter().map(|x| f64::from(*x)).collect();
                    let error = relative_error(got, &want);
                    println!("{}: {error:.1e}", at(part));
                    assert!(error < bound, "{}: {error:e}", at(part));
                };
                close("params", p, 1e-7);
                match state {
                    State::Short(m, v) => [("m", m), ("v", v)].into_iter().for_each(|(part, x)| close(part, x, 3e-7)),
                    State::Blocks(moments) => {
                        close("m_absmax", &moments.m_absmax, 3e-7);
                        close("v_absmax", &moments.v_absmax, 3e-7);
                        let scales = [&moments.m_absmax, &moments.v_absmax];
                        for ((part, got), absmax) in [("m", &moments.m), ("v", &moments.v)].into_iter().zip(scales) {
                            let want = file.bytes(&at(part)).unwrap();
                            assert_eq!(want.len(), got.len());
                            for (i, (a, b)) in got.iter().zip(&want[..]).enumerate() {
                                // The code of a block of zeros has no meaning.
                                if absmax[i / BLOCK] > 0.0 {
                                    assert!(a.abs_diff(*b) <= 1, "{}: number {i}: {a} {b}", at(part));
                                    codes += 1;
                                    unlike += usize::from(a != b);
                                }
                            }
                        }
                    }
                }
            }
        }
        println!("{unlike} of {codes} codes are a neighbour's");
        // The sums differ in the last bit, which a number close to a middle shows.
        assert!(codes > 30_000 && unlike * 10_000 <= codes, "{unlike} of {codes}");
    }

    /// The same in `f64`, the nearest value found by looking at all.
    #[test]
    fn equals_the_definition() {
        let adamw = AdamW { weight_decay: 0.01, ..AdamW::default() };
        let n = 3 * BLOCK + 77;
        let (mut p, mut moments) = (normal(1, n, 1.0), Moments::zeros(n));
        let maps = [true, false].map(|signed| crate::engine::quant::dynamic::dynamic_map(signed).map(f64::from));
        let mut exact_p: Vec<f64> = p.iter().map(|x| f64::from(*x)).collect();
        let mut exact = [vec![0f64; n], vec![0f64; n]];
        let lr = 1e-3;
        for t in 1..=5 {
            let g = normal(10 + t, n, 10f32.powi(t as i32 - 3));
            step(&mut p, &g, &mut moments, &adamw, lr, t, 0.5);
            for i in 0..n {
                let g = 0.5 * f64::from(g[i]);
                let m = 0.9 * exact[0][i] + 0.1 * g;
                let v = 0.999 * exact[1][i] + 0.001 * g * g;
                let correct = |x: f64, beta: f64| x / (1.0 - beta.powi(t as i32));
                exact_p[i] = exact_p[i] * (1.0 - lr * 0.01) - lr * correct(m, 0.9) / (correct(v, 0.999).sqrt() + 1e-8);
                (exact[0][i], exact[1][i]) = (m, v);
            }
            for (x, map) in exact.iter_mut().zip(&maps) {
                for block in x.chunks_mut(BLOCK) {
                    let absmax = block.iter().fold(0f64, |a, x| a.max(x.abs()));
                    for x in block {
                        let far = |value: &&f64| (*x / absmax - **value).abs();
                        *x = absmax * map.iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap();
                    }
                }
            }
            let (m, v) = moments.dequantize();
            for (what, got, want, bound) in
                [("params", &p, &exact_p, 3e-7), ("m", &m, &exact[0], 1e-4), ("v", &v, &exact[1], 1e-4)]
            {
                let error = relative_error(got, want);
                assert!(error < bound, "step {t}: {what}: {error:e}");
            }
        }
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let n = 100_001;
        let run = |threads| {
            with_threads(threads, || {
                let (mut p, mut moments) = (normal(1, n, 1.0), Moments::zeros(n));
                for t in 1..4 {
                    step(&mut p, &normal(t, n, 0.1), &mut moments, &AdamW::default(), 1e-3, t, 0.7);
                }
                (p, moments)
            })
        };
        assert!(run(1) == run(4));
    }

    #[test]
    fn numbers_of_any_size_are_kept_to_the_precision_of_the_type() {
        for scale in [1.0f32, 1e-20, 1e-37, 1e30] {
            let m = normal(5, 1000, scale);
            let v: Vec<f32> = m.iter().map(|x| x.abs()).collect();
            let (m_back, v_back) = Moments::quantize(&m, &v).dequantize();
            for (i, x) in m.iter().enumerate() {
                assert!((m_back[i] - x).abs() <= 0.0071 * 4.0 * scale && m_back[i] * x >= 0.0, "{x:e} {:e}", m_back[i]);
                assert!((v_back[i] - v[i]).abs() <= 0.0036 * 4.0 * scale, "{:e} {:e}", v[i], v_back[i]);
            }
            // The largest of a block is kept: on the positive side exactly.
            let largest = m[..BLOCK].iter().fold(0f32, |a, x| a.max(x.abs()));
            let back = m_back[..BLOCK].iter().fold(0f32, |a, x| a.max(x.abs()));
            assert!((back / largest - 1.0).abs() < 0.0071, "{scale:e}");
        }
        assert_eq!(Moments::quantize(&[0.0; 300], &[0.0; 300]), Moments::zeros(300));
    }
}
