//! exp, sigmoid and tanh that the compiler can vectorize, and sums in a fixed order.
//!
//! The scalar functions are branch-free and inlined into [`multiversion!`] bodies. Errors, measured against `f64` in the
//! tests below over the whole range: exp ≤ 1 ulp, sigmoid ≤ 2 ulp, tanh ≤ 2 ulp. NaN stays NaN, so that a diverged
//! run is noticed.

use super::simd::{fma, multiversion};

/// eˣ, by x = n·ln 2 + r and the polynomial of Cephes' `expf` on |r| ≤ ln 2 / 2 (Moshier, *Cephes*, 1992).
///
/// 2ⁿ is applied in two halves, so that large results overflow to infinity and small ones underflow gradually.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// 1.5·2²³: adding it rounds to an integer, which then sits in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    // `clamp` keeps NaN; beyond these bounds the result is infinite or zero.
    let x = x.clamp(-104.0, 89.0);
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, MAGIC);
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let nf = shifted - MAGIC;
    let r = fma::<FMA>(nf, -0.693_359_4, x);
    let r = fma::<FMA>(nf, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = fma::<FMA>(p, r, 1.398_2e-3);
    p = fma::<FMA>(p, r, 8.333_452e-3);
    p = fma::<FMA>(p, r, 4.166_579_6e-2);
    p = fma::<FMA>(p, r, 1.666_666_5e-1);
    p = fma::<FMA>(p, r, 5e-1);
    let p = fma::<FMA>(p * r, r, r) + 1.0;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// tanh: Cephes' odd polynomial below 0.625, above it 1 − 2 / (e²ˣ + 1).
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    p = fma::<FMA>(p, z, 2.063_909e-2);
    p = fma::<FMA>(p, z, -5.373_971_6e-2);
    p = fma::<FMA>(p, z, 1.333_144_2e-1);
    p = fma::<FMA>(p, z, -3.333_328e-1);
    let small = fma::<FMA>(p * z, x, x);
    let large = (1.0 - 2.0 / (exp::<FMA>(2.0 * a) + 1.0)).copysign(x);
    if a < 0.625 { small } else { large }
}

/// Sum of 32 lanes, pairwise.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; 32]) -> f32 {
    let mut half = 16;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Σ aᵢ·bᵢ over 32 lanes: the order depends on the length alone.
#[inline(always)]
pub(crate) fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 32];
    let (ca, ra) = a.as_chunks::<32>();
    let (cb, rb) = b.as_chunks::<32>();
    for (a, b) in ca.iter().zip(cb) {
        for i in 0..32 {
            lanes[i] = fma::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(ra.iter().zip(rb)) {
        *lane = fma::<FMA>(*a, *b, *lane);
    }
    sum_lanes(lanes)
}

/// The largest element that is a number; −∞ for an empty slice. NaN shows later, in the sum of the exponentials.
#[inline(always)]
pub(crate) fn max_body(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 32];
    let (chunks, rest) = x.as_chunks::<32>();
    // Not `f32::max`: a comparison and a choice are one vector instruction.
    for c in chunks {
        for i in 0..32 {
            lanes[i] = if c[i] > lanes[i] { c[i] } else { lanes[i] };
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane = if *v > *lane { *v } else { *lane };
    }
    lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// x ← exp(x − max), returns Σ of the new x. NaN in x makes the sum NaN.
#[inline(always)]
pub(crate) fn exp_sum_body<const FMA: bool>(x: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0f32; 32];
    let (chunks, rest) = x.as_chunks_mut::<32>();
    for c in chunks {
        for i in 0..32 {
            c[i] = exp::<FMA>(c[i] - max);
            lanes[i] += c[i];
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *v = exp::<FMA>(*v - max);
        *lane += *v;
    }
    sum_lanes(lanes)
}

multiversion! {
    /// Σ aᵢ·bᵢ.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        dot_body::<FMA>(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    multiversion! {
        fn exps(x: &[f32], y: &mut [f32]) {
            for (y, x) in y.iter_mut().zip(x) { *y = exp::<FMA>(*x); }
        }
    }
    multiversion! {
        fn sigmoids(x: &[f32], y: &mut [f32]) {
            for (y, x) in y.iter_mut().zip(x) { *y = sigmoid::<FMA>(*x); }
        }
    }
    multiversion! {
        fn tanhs(x: &[f32], y: &mut [f32]) {
            for (y, x) in y.iter_mut().zip(x) { *y = tanh::<FMA>(*x); }
        }
    }
    fn portable(f: fn(f32) -> f32) -> impl Fn(&[f32], &mut [f32]) {
        move |x, y| x.iter().zip(y).for_each(|(x, y)| *y = f(*x))
    }

    /// Largest error in units of the last place of the rounded reference, over a dense sweep.
    fn max_ulp(f: impl Fn(&[f32], &mut [f32]), reference: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let n = 400_003;
        let x: Vec<f32> = (0..n).map(|i| from + (to - from) * (i as f32 / (n - 1) as f32)).collect();
        let mut y = vec![0.0; n];
        f(&x, &mut y);
        let mut worst = 0f64;
        for (x, y) in x.iter().zip(&y) {
            let want = reference(f64::from(*x));
            let scale = (want.abs() as f32).max(f32::MIN_POSITIVE);
            let ulp = f64::from(f32::from_bits(scale.to_bits() + 1) - scale);
            worst = worst.max((f64::from(*y) - want).abs() / ulp);
        }
        worst
    }

    #[test]
    fn within_two_ulp_of_f64() {
        let sig = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (name, worst, bound) in [
            ("exp", max_ulp(exps, f64::exp, -87.0, 88.7), 1.0),
            ("exp near 0", max_ulp(exps, f64::exp, -1.0, 1.0), 1.0),
            ("exp portable", max_ulp(portable(exp::<false>), f64::exp, -87.0, 88.7), 1.5),
            ("sigmoid", max_ulp(sigmoids, sig, -80.0, 20.0), 2.5),
            ("sigmoid portable", max_ulp(portable(sigmoid::<false>), sig, -80.0, 20.0), 2.5),
            ("tanh", max_ulp(tanhs, f64::tanh, -10.0, 10.0), 2.0),
            ("tanh near 0", max_ulp(tanhs, f64::tanh, -0.7, 0.7), 2.0),
            ("tanh portable", max_ulp(portable(tanh::<false>), f64::tanh, -10.0, 10.0), 2.0),
        ] {
            println!("{name}: {worst:.3} ulp");
            assert!(worst <= bound, "{name}: {worst} ulp, bound {bound}");
        }
    }

    #[test]
    fn edges() {
        let x = [f32::NEG_INFINITY, -200.0, -103.0, 0.0, -0.0, 88.73, f32::INFINITY, f32::NAN];
        let mut y = [0.0; 8];
        exps(&x, &mut y);
        assert_eq!(&y[..2], &[0.0, 0.0]);
        assert!(y[2] > 0.0 && y[2] < 1e-44, "gradual underflow: {}", y[2]);
        assert_eq!(&y[3..7], &[1.0, 1.0, f32::INFINITY, f32::INFINITY]);
        assert!(y[7].is_nan());
        sigmoids(&x, &mut y);
        assert_eq!((y[0], y[3], y[6]), (0.0, 0.5, 1.0));
        assert!(y[7].is_nan());
        tanhs(&x, &mut y);
        assert_eq!((y[0], y[3], y[6]), (-1.0, 0.0, 1.0));
        assert!(y[7].is_nan());
    }

    #[test]
    fn sums_of_every_length() {
        for n in 0..100 {
            let a: Vec<f32> = (0..n).map(|i| i as f32 - 20.0).collect();
            let want: f32 = a.iter().map(|a| a * a).sum();
            assert_eq!(dot(&a, &a), want, "small integers are exact, length {n}");
            assert_eq!(max_body(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
        let mut x = [0.0, f32::NAN, 1.0];
        assert!(exp_sum_body::<false>(&mut x, 1.0).is_nan());
    }
}
