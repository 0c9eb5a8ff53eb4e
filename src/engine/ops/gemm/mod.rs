//! Matrix products: `C = alpha·op(A)·op(B) + beta·C`.
//!
//! A sum over k always runs in the order of k, so results do not depend on the number of threads. With `beta == 0` what
//! C held before is not read. Working memory is kept between calls, so a step allocates nothing after the first.
//!
//! ```
//! use lora_studio::engine::ops::{Compute, Mat, MatMut, gemm};
//! let (a, b, mut c) = ([1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [0.0; 2]);
//! gemm::nt(1.0, Mat::new(&a, 1, 2), Mat::new(&b, 2, 2), 0.0, MatMut::new(&mut c, 1, 2), Compute::F32);
//! assert_eq!(c, [11.0, 17.0]);
//! ```

use super::cpu::{Isa, Kernel};
use super::{Compute, Mat, MatMut};

mod bench;
mod cut;
mod driver;
mod few;
mod operand;
mod packed;
pub(crate) mod scratch;
pub mod serial;
mod takes;
#[cfg(test)]
mod tests;
mod through_rank;
mod weights;

pub use bench::{Options as BenchOptions, Report as BenchReport, Row as BenchRow, bench};
pub(crate) use driver::{Output, Term, product, sums};
pub(crate) use few::{FewOutput, MOST_ROWS as FEW, outputs as few_outputs};
pub(crate) use operand::{Left, Right};
pub(crate) use packed::{Packed, strips};
pub(crate) use takes::{SumTakes, product_takes, sums_take};
pub(crate) use through_rank::ThroughRank;

/// `c[m,n] = alpha·a[m,k]·b[n,k]ᵀ + beta·c`. Threaded.
pub fn nt(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Rows(a), Right::Rows(b), beta, c, true);
}

/// `c[m,n] = alpha·a[m,k]·b[k,n] + beta·c`. Threaded.
pub fn nn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Rows(a), Right::Columns(b), beta, c, true);
}

/// `c[m,n] = alpha·a[k,m]ᵀ·b[k,n] + beta·c`. Threaded.
pub fn tn(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, compute: Compute) {
    product(kernel(compute), alpha, Left::Columns(a), Right::Columns(b), beta, c, true);
}

/// The loops for `compute` on this machine.
pub(crate) fn kernel(compute: Compute) -> &'static Kernel {
    Kernel::of(Isa::current(), compute)
}
