//! The innermost loops of matrix products, one file an instruction set, chosen when the program runs.
//!
//! Both operands are packed before a tile is computed: the left one into strips of at most `Kernel::mr` rows, the right
//! one into panels of `Kernel::nr` columns, so that a step of k reads one short run of each. A *unit* is what one
//! 32-bit lane holds of k: one `f32`, or two neighbouring bf16 (`Mode::Pairs`).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_gemv;
#[cfg(target_arch = "x86_64")]
mod avx512_pack;
#[cfg(target_arch = "x86_64")]
mod avx512_scales;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_weights;
pub(crate) mod gemv;
mod portable;

use std::sync::OnceLock;

use super::Compute;

/// Instruction sets with kernels of their own, from the least to the most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What the compiler makes of plain loops: any machine, NEON on ARM.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
    /// 512-bit vectors and products of bfloat16 pairs.
    Avx512Bf16,
}

impl Isa {
    /// Every set, the most capable first.
    pub const ALL: [Isa; 4] = [Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// Its name in `LORA_STUDIO_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
        }
    }

    /// Whether this machine has it.
    pub fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma");
            let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
            match self {
                Isa::Portable => true,
                Isa::Avx2 => avx2,
                Isa::Avx512 => avx512,
                Isa::Avx512Bf16 => avx512 && has!("avx512bf16"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Isa::Portable
        }
    }

    /// The set that products use: the most capable one, or what the environment variable `LORA_STUDIO_ISA` names if this
    /// machine has it.
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let named = std::env::var("LORA_STUDIO_ISA").ok();
            let wanted = Isa::ALL.into_iter().find(|i| Some(i.name()) == named.as_deref() && i.available());
            wanted.or_else(|| Isa::ALL.into_iter().find(|i| i.available())).unwrap_or(Isa::Portable)
        })
    }
}

/// What a packed lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One `f32` as it is.
    F32,
    /// One `f32` rounded to bfloat16: `Compute::Bf16` on machines without products of bfloat16.
    Rounded,
    /// Two bfloat16, the even k in the low half.
    Pairs,
}

/// A strip of a left operand, `[units, height]`, and its units.
pub(crate) type Strip = (*const u32, usize);

/// One tile of C: up to `mr` rows by up to `nr` columns over a range of k.
pub(crate) struct Tile<'a> {
    /// Strips whose units follow each other in the sum.
    pub a: &'a [Strip],
    /// Lanes from one unit of a strip to the next: `height` when it is packed.
    pub a_step: usize,
    /// Panel of the right operand, `[units, lanes]`, for the units of all strips.
    pub b: *const u32,
    /// Lanes from one unit of the panel to the next: `lanes` when it is packed.
    pub b_step: usize,
    /// First element of the tile in C.
    pub c: *mut f32,
    /// Elements from one row of C to the next.
    pub c_stride: usize,
    /// Columns of the tile that exist in C.
    pub cols: usize,
    /// Factor on the product.
    pub alpha: f32,
    /// Factor on what C holds; 0 does not read it.
    pub beta: f32,
    /// Sums of the ranges of k before this one, `[height, lanes]`.
    pub partial: *mut f32,
    /// This is the first range of k: sums start at zero.
    pub first: bool,
    /// This is the last range of k: the sums go to C, else to `partial`.
    pub last: bool,
}

/// Packs rows whose k lie side by side: lane `l` of unit `u` is `src[l·stride + k(u)]`.
///
/// Arguments: source, its stride, rows that exist, numbers of k, target, lanes between units, lanes to write (those
/// without a row get zeros; at most 16).
pub(crate) type PackFn = unsafe fn(*const f32, usize, usize, usize, *mut u32, usize, usize);

/// The loops of one instruction set for one kind of numbers.
pub(crate) struct Kernel {
    /// The instruction set.
    pub isa: Isa,
    /// What lanes hold.
    pub mode: Mode,
    /// Most rows of a tile.
    pub mr: usize,
    /// Columns of a panel; a panel of half as many is possible too.
    pub nr: usize,
    /// Computes a tile of `height` rows; the panel has `lanes` = nr or nr/2 columns.
    pub tile: unsafe fn(height: usize, lanes: usize, &Tile<'_>),
    /// Packs from rows along k.
    pub pack_rows: PackFn,
    /// Packs from rows across k: lane `l` of unit `u` is `src[k(u)·stride + l]`.
    pub pack_columns: PackFn,
}

impl Kernel {
    /// Lanes along k that hold `k` numbers.
    pub fn units(&self, k: usize) -> usize {
        k.div_ceil(self.per_unit())
    }

    /// Lanes of a panel of which `cols` columns exist: half as many where that is enough.
    pub fn lanes(&self, cols: usize) -> usize {
        if cols <= self.nr / 2 { self.nr / 2 } else { self.nr }
    }

    /// Numbers of k in a lane.
    pub fn per_unit(&self) -> usize {
        if self.mode == Mode::Pairs { 2 } else { 1 }
    }

    /// The loops of `isa` for `compute`. The machine must have `isa`.
    pub fn of(isa: Isa, compute: Compute) -> &'static Kernel {
        match (isa, compute) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16, Compute::Bf16) => &avx512::PAIRS,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Compute::Bf16) => &avx512::ROUNDED,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 | Isa::Avx512Bf16, Compute::F32) => &avx512::F32,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Compute::Bf16) => &avx2::ROUNDED,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Compute::F32) => &avx2::F32,
            (_, Compute::Bf16) => &portable::ROUNDED,
            (_, Compute::F32) => &portable::F32,
        }
    }
}

/// `v` rounded to bfloat16, to nearest and ties to even, in the upper half of its bits.
#[inline(always)]
pub(crate) fn round_bf16(v: f32) -> f32 {
    let bits = v.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    // NaN stays NaN.
    f32::from_bits(if v.is_nan() { bits | 0x0040_0000 } else { rounded })
}
