//! The operations of a decoder, each with its forward and its backward.
//!
//! Conventions: activations are `f32` (what is kept for a backward may be bfloat16), row-major, `[tokens, features]`, passed
//! as [`Mat`] / [`MatMut`]; a backward that produces the gradient of an input says whether it writes or accumulates. Nothing here allocates per call what grows
//! with the batch: scratch is kept for the next call. Reductions have one order whatever the thread count.

pub mod adamw;
pub mod adamw_8bit;
pub mod attention;
pub mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod gemm;
pub(crate) mod gram;
pub mod linear;
pub mod mat;
mod math;
pub(crate) mod outer;
pub(crate) mod pool;
pub mod random;
pub mod rms_norm;
pub mod rope;
mod rows;
pub(crate) mod scratch;
pub(crate) mod simd;
pub mod swiglu;
#[cfg(test)]
pub(crate) mod testing;

pub use elementwise::{add_bias, add_in_place, scale_in_place};
pub(crate) use mat::ColumnsMut;
pub use mat::{Element, Mat, MatMut, row_stride, row_stride_of};

/// The type of the inputs of matrix products; sums are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Inputs rounded to bfloat16, products summed in `f32`.
    #[default]
    Bf16,
    /// Inputs in `f32`.
    F32,
}
