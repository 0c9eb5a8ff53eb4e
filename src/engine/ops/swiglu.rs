//! The gated feed-forward's activation (Shazeer 2020): out = act(gate) ∘ up, with SiLU (SwiGLU) or Gelu (GeGLU).
//!
//! Both activations are x·σ(z): SiLU with z = x, Gelu's tanh approximation with z = 2·√(2/π)·(x + 0.044715·x³), because
//! ½(1 + tanh u) = σ(2u). Written so, nothing cancels for large negative x. Derivative: σ(z) + x·σ(z)·(1 − σ(z))·z'.

use super::math::sigmoid;
use super::rows::{for_each_row, for_each_row_of_two};
use super::simd::{fma, multiversion};
use super::{Element, Mat, MatMut};
use crate::engine::model::Activation;

/// 2·√(2/π).
const GELU_SCALE: f32 = 1.595_769;
/// The coefficient of Gelu's tanh approximation (Hendrycks & Gimpel 2016).
const GELU_CUBIC: f32 = 0.044_715;

/// out ← act(gate) ∘ up; `gate_up` is `[tokens, 2·n]`, gate before up, and `out` is `[tokens, n]`.
pub fn forward(gate_up: Mat, activation: Activation, out: MatMut) {
    assert_eq!((gate_up.rows, gate_up.cols), (out.rows, 2 * out.cols), "swiglu: shapes differ");
    for_each_row(out, |r, out| forward_row(gate_up.row(r), activation, out));
}

/// [`forward`] that keeps gate and up for the [`backward`], rounded to what `kept` holds, `[tokens, 2·n]`.
pub fn forward_keeping<T: Element>(gate_up: Mat, activation: Activation, out: MatMut, kept: MatMut<T>) {
    assert_eq!((gate_up.rows, gate_up.cols), (out.rows, 2 * out.cols), "swiglu: shapes differ");
    assert_eq!((gate_up.rows, gate_up.cols), (kept.rows, kept.cols), "swiglu: shapes differ");
    for_each_row_of_two(out, kept, |r, out, kept| {
        T::narrow(gate_up.row(r), kept);
        forward_row(gate_up.row(r), activation, out);
    });
}

fn forward_row(gate_up: &[f32], activation: Activation, out: &mut [f32]) {
    let (gate, up) = gate_up.split_at(out.len());
    match activation {
        Activation::Silu => silu_row(gate, up, out),
        Activation::GeluTanh => gelu_row(gate, up, out),
    }
}

/// d_gate_up ← the gradient in gate and up, `[tokens, 2·n]`, and out ← what [`forward`] gives of the same gate
/// and up, which costs nothing on the way; both written.
pub fn backward<T: Element>(dout: Mat, gate_up: Mat<T>, activation: Activation, dgate_up: MatMut, out: MatMut) {
    let n = dout.cols;
    assert_eq!((gate_up.rows, gate_up.cols), (dout.rows, 2 * n), "swiglu: shapes differ");
    assert_eq!((dgate_up.rows, dgate_up.cols), (dout.rows, 2 * n), "swiglu: shapes differ");
    assert_eq!((out.rows, out.cols), (dout.rows, n), "swiglu: shapes differ");
    let of_part = match activation {
        Activation::Silu => silu_backward_row,
        Activation::GeluTanh => gelu_backward_row,
    };
    for_each_row_of_two(dgate_up, out, |r, d, out| {
        let (dgate, dup) = d.split_at_mut(n);
        for_each_part(gate_up.row(r), |at, gate, up| {
            let part = at..at + gate.len();
            let (dgate, dup, out) = (&mut dgate[part.clone()], &mut dup[part.clone()], &mut out[part.clone()]);
            of_part(&dout.row(r)[part], gate, up, dgate, dup, out);
        });
    });
}

/// Calls `f(first column, gate, up)` for the parts of a row: all of it, or, where it has to be widened, as much as stays in
/// the L1 cache.
fn for_each_part<T: Element>(row: &[T], mut f: impl FnMut(usize, &[f32], &[f32])) {
    const PART: usize = 512;
    let (gate, up) = row.split_at(row.len() / 2);
    if let (Some(gate), Some(up)) = (T::wide(gate), T::wide(up)) {
        return f(0, gate, up);
    }
    let (mut wide_gate, mut wide_up) = ([0f32; PART], [0f32; PART]);
    for (i, (gate, up)) in gate.chunks(PART).zip(up.chunks(PART)).enumerate() {
        let (wide_gate, wide_up) = (&mut wide_gate[..gate.len()], &mut wide_up[..up.len()]);
        T::widen_to(gate, wide_gate);
        T::widen_to(up, wide_up);
        f(i * PART, wide_gate, wide_up);
    }
}

/// z and dz/dx of Gelu.
#[inline(always)]
fn gelu_argument<const FMA: bool>(x: f32) -> (f32, f32) {
    let x2 = x * x;
    let z = GELU_SCALE * x * fma::<FMA>(GELU_CUBIC, x2, 1.0);
    let dz = GELU_SCALE * fma::<FMA>(3.0 * GELU_CUBIC, x2, 1.0);
    (z, dz)
}

multiversion! {
    fn silu_row(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for (out, (x, up)) in out.iter_mut().zip(gate.iter().zip(up)) {
            *out = x * sigmoid::<FMA>(*x) * up;
        }
    }
}

multiversion! {
    fn gelu_row(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for (out, (x, up)) in out.iter_mut().zip(gate.iter().zip(up)) {
            let (z, _) = gelu_argument::<FMA>(*x);
            *out = x * sigmoid::<FMA>(z) * up;
        }
    }
}

multiversion! {
    fn silu_backward_row(dout: &[f32], gate: &[f32], up: &[f32], dgate: &mut [f32], dup: &mut [f32], out: &mut [f32]) {
        let n = dout.len();
        let (gate, up, dgate, dup, out) = (&gate[..n], &up[..n], &mut dgate[..n], &mut dup[..n], &mut out[..n]);
        for i in 0..n {
            let (x, s) = (gate[i], sigmoid::<FMA>(gate[i]));
            let act = x * s;
            out[i] = act * up[i];
            dup[i] = dout[i] * act;
            // 1 − s is exact enough here: its error is an ulp of 1, and s·(1 + x·(1 − s)) is dominated by s then.
            dgate[i] = dout[i] * up[i] * fma::<FMA>(act, 1.0 - s, s);
        }
    }
}

multiversion! {
    fn gelu_backward_row(dout: &[f32], gate: &[f32], up: &[f32], dgate: &mut [f32], dup: &mut [f32], out: &mut [f32]) {
        let n = dout.len();
        let (gate, up, dgate, dup, out) = (&gate[..n], &up[..n], &mut dgate[..n], &mut dup[..n], &mut out[..n]);
        for i in 0..n {
            let x = gate[i];
            let (z, dz) = gelu_argument::<FMA>(x);
            let s = sigmoid::<FMA>(z);
            let act = x * s;
            out[i] = act * up[i];
            dup[i] = dout[i] * act;
            dgate[i] = dout[i] * up[i] * fma::<FMA>(act * dz, 1.0 - s, s);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::engine::ops::testing::{assert_close, columns, gradient, normal};

    fn act(x: f64, activation: Activation) -> f64 {
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            // torch.nn.functional.gelu(x, approximate="tanh")
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    fn reference(gate_up: &[f64], n: usize, activation: Activation) -> Vec<f64> {
        gate_up.chunks(2 * n).flat_map(|r| (0..n).map(|i| act(r[i], activation) * r[n + i])).collect()
    }

    #[test]
    fn forward_and_backward_against_f64() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            for (rows, n, extra) in [(3, 7, 0), (2, 33, 5), (1, 1, 0), (5, 64, 16)] {
                let stride = 2 * n + extra;
                let gate_up = normal(n as u64, rows * stride, 3.0);
                let dout = normal(n as u64 + 1, rows * n, 1.0);
                let dense = columns(&gate_up, rows, stride, 0, 2 * n);
                let dense64: Vec<f64> = dense.iter().map(|x| f64::from(*x)).collect();
                let gu = Mat::strided(&gate_up, rows, 2 * n, stride);
                let name = format!("{activation:?} {rows} × {n}");

                let mut out = vec![f32::NAN; rows * n];
                forward(gu, activation, MatMut::new(&mut out, rows, n));
                assert_close(&name, &out, &reference(&dense64, n, activation), 3e-7);

                let want = gradient(&dense, |x| {
                    reference(x, n, activation).iter().zip(&dout).map(|(y, d)| y * f64::from(*d)).sum()
                });
                let mut d = vec![f32::NAN; rows * stride];
                let mut again = vec![f32::NAN; rows * n];
                let into = MatMut::strided(&mut d, rows, 2 * n, stride);
                backward(Mat::new(&dout, rows, n), gu, activation, into, MatMut::new(&mut again, rows, n));
                assert_eq!(again, out, "{name}: the output again");
                assert_close(&format!("{name} backward"), &columns(&d, rows, stride, 0, 2 * n), &want, 1e-6);
            }
        }
    }

    #[test]
    fn what_is_kept_in_bfloat16_is_rounded_for_the_backward_alone() {
        // Wider than the part that is widened at a time.
        let (rows, n, stride) = (3, 700, 1416);
        let gate_up = normal(3, rows * stride, 3.0);
        let rounded: Vec<f32> = gate_up.iter().map(|v| bf16::from_f32(*v).to_f32()).collect();
        let dout = normal(4, rows * n, 1.0);
        let (exact, dout) = (Mat::strided(&gate_up, rows, 2 * n, stride), Mat::new(&dout, rows, n));
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (mut want, mut out) = (vec![0.0; rows * n], vec![0.0; rows * n]);
            forward(exact, activation, MatMut::new(&mut want, rows, n));
            let mut kept = vec![bf16::ZERO; rows * stride];
            let keep = MatMut::strided(&mut kept, rows, 2 * n, stride);
            forward_keeping(exact, activation, MatMut::new(&mut out, rows, n), keep);
            assert_eq!(out, want, "{activation:?}");

            let of = |backward: &dyn Fn(MatMut, MatMut)| {
                let (mut d, mut again) = (vec![0.0; rows * 2 * n], vec![0.0; rows * n]);
                backward(MatMut::new(&mut d, rows, 2 * n), MatMut::new(&mut again, rows, n));
                (d, again)
            };
            let rounded = Mat::strided(&rounded, rows, 2 * n, stride);
            let kept = Mat::strided(&kept, rows, 2 * n, stride);
            let want = of(&|d, out| backward(dout, rounded, activation, d, out));
            assert_eq!(of(&|d, out| backward(dout, kept, activation, d, out)), want, "{activation:?}");
        }
    }

    #[test]
    fn far_from_zero() {
        // Every gate separately, with a tight bound on each: also where σ is nearly 0 or 1.
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let gates: Vec<f32> = (-120..=120).map(|i| i as f32 / 4.0).collect();
            for x in gates {
                let (mut out, mut d, mut again) = ([0.0], [0.0, 0.0], [0.0]);
                forward(Mat::new(&[x, 1.0], 1, 2), activation, MatMut::new(&mut out, 1, 1));
                let row = [x, 1.0];
                let (dout, gate_up) = (Mat::new(&[1.0], 1, 1), Mat::new(&row, 1, 2));
                let again = MatMut::new(&mut again, 1, 1);
                backward(dout, gate_up, activation, MatMut::new(&mut d, 1, 2), again);
                // Computed through σ in f64, as ½(1 + tanh) loses all digits there.
                let x64 = f64::from(x);
                let z = match activation {
                    Activation::Silu => x64,
                    Activation::GeluTanh => 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x64 + 0.044715 * x64.powi(3)),
                };
                let want = x64 / (1.0 + (-z).exp());
                // exp amplifies the roundings of its argument, four of half an ulp, by |z|.
                let bound = want.abs() * 6e-8 * (4.0 + 4.0 * z.abs()) + 1e-37;
                assert!((f64::from(out[0]) - want).abs() <= bound, "{activation:?}({x}): {} against {want}", out[0]);
                assert_eq!(out[0], d[1], "the gradient in up is the activation");
                assert!(d[0].is_finite());
            }
        }
    }
}
