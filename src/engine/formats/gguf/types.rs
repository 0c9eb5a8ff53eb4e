//! Element types of GGUF tensors.

use candle_core::quantized::GgmlDType;

use crate::engine::formats::stored::DenseType;

/// Type of a tensor's elements, by its number in the file (`enum ggml_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GgmlType(u32);

/// Number, name, elements a block, bytes a block (`GGML_QUANT_SIZES` of the gguf package).
const TYPES: [(u32, &str, usize, usize); 32] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
];

/// The types that can be computed with, for messages.
pub(crate) const SUPPORTED_TYPES: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";

impl GgmlType {
    /// 32-bit floats.
    pub const F32: GgmlType = GgmlType(0);
    /// IEEE half precision.
    pub const F16: GgmlType = GgmlType(1);
    /// bfloat16.
    pub const BF16: GgmlType = GgmlType(30);

    pub(crate) fn from_number(number: u32) -> GgmlType {
        GgmlType(number)
    }

    fn entry(self) -> Option<&'static (u32, &'static str, usize, usize)> {
        TYPES.iter().find(|(number, ..)| *number == self.0)
    }

    /// `Q4_K`; a type that is not known is `type 99`.
    pub fn name(self) -> String {
        self.entry().map_or_else(|| format!("type {}", self.0), |(_, name, ..)| (*name).to_string())
    }

    /// Elements that are stored together.
    pub fn block(self) -> usize {
        self.entry().map_or(1, |(_, _, block, _)| *block)
    }

    /// Bytes of so many elements; 0 for types that are not known.
    pub(crate) fn bytes(self, elements: usize) -> Option<usize> {
        let Some((_, _, block, size)) = self.entry() else { return Some(0) };
        elements.div_ceil(*block).checked_mul(*size)
    }

    /// The type of plain floats, when it is one.
    pub fn dense(self) -> Option<DenseType> {
        match self {
            Self::F32 => Some(DenseType::F32),
            Self::F16 => Some(DenseType::F16),
            Self::BF16 => Some(DenseType::Bf16),
            _ => None,
        }
    }

    /// The block type that the kernels know.
    pub fn quantized(self) -> Option<GgmlDType> {
        Some(match self.0 {
            2 => GgmlDType::Q4_0,
            3 => GgmlDType::Q4_1,
            6 => GgmlDType::Q5_0,
            7 => GgmlDType::Q5_1,
            8 => GgmlDType::Q8_0,
            10 => GgmlDType::Q2K,
            11 => GgmlDType::Q3K,
            12 => GgmlDType::Q4K,
            13 => GgmlDType::Q5K,
            14 => GgmlDType::Q6K,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernels() {
        for (number, ..) in TYPES {
            let kind = GgmlType(number);
            let Some(dtype) = kind.quantized() else { continue };
            assert_eq!(
                (kind.block(), kind.bytes(kind.block())),
                (dtype.block_size(), Some(dtype.type_size())),
                "{dtype:?}"
            );
        }
    }
}
