//! One source, several instruction sets: the compiler vectorizes a body for each and the CPU picks at run time.

use super::cpu::Isa;

/// An instruction set that [`multiversion!`] compiles for: those of [`Isa`], less the products of bfloat16, which only
/// matrix products use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every CPU of the target has.
    Portable,
    /// x86-64 with AVX2 and FMA (2013 on).
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2,
    /// x86-64 with the AVX-512 of Skylake-X and Zen 4.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

/// The level that matrix products run at too ([`Isa::current`], which `LORA_STUDIO_ISA` can lower).
#[inline]
pub(crate) fn level() -> Level {
    match Isa::current() {
        Isa::Portable => Level::Portable,
        Isa::Avx2 => Level::Avx2,
        Isa::Avx512 | Isa::Avx512Bf16 => Level::Avx512,
    }
}

/// a·b + c: fused where the instruction set fuses (`FMA`), else rounded twice, never through a slow library call.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA || cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

/// Asks for the cache line of an address, where the machine can be asked.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it, and it may be asked for any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Defines a function whose body is compiled for each [`Level`] and chosen at run time.
///
/// Inside the body `FMA` is a constant for [`fma`] and for the `#[inline(always)]` helpers that take it. Keep to plain
/// loops there: an iterator adapter with a closure may become a function of its own, compiled for the baseline, where
/// a fused multiply-add is a library call.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                match $crate::engine::ops::simd::level() {
                    // SAFETY: `level` has checked that this CPU has the features.
                    $crate::engine::ops::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::engine::ops::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::engine::ops::simd::Level::Portable => {}
                }
            }
            body::<false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;
