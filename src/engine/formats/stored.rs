//! A tensor as a model file holds it, before it becomes a weight of the decoder.

use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;

use crate::engine::quant::{GgufBlocks, Nf4Matrix};
use crate::engine::{Error, Result};

/// Bytes of a file: a part of its memory map, or a copy.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// Part of a memory-mapped file; pages are read when touched and cost no memory of the process's own.
    Mapped {
        /// The whole file.
        map: Arc<Mmap>,
        /// Which bytes of it.
        range: Range<usize>,
    },
    /// Owned bytes.
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped { map, range } => &map[range.clone()],
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// Maps a file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Arc<Mmap>> {
    let file = std::fs::File::open(path).map_err(Error::io("open the file", path))?;
    if file.metadata().map_err(Error::io("open the file", path))?.is_dir() {
        return Err(Error::file("expected a file, found a folder", path));
    }
    // SAFETY: the map is read-only and private. A file that another program truncates while it is mapped can raise a
    // signal on access, as with every memory-mapped model; lengths are checked against the file when it is opened.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("read the file", path))?;
    Ok(Arc::new(map))
}

/// Gives back the pages of a map that were read. They stay in the system's own cache, but no longer count as memory of
/// this process, which reads them again when it touches them again.
pub(crate) fn release_pages(map: &Mmap) {
    #[cfg(unix)]
    // SAFETY: the map is of a file, and nobody writes through it: what is read again is the same.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    // Windows takes clean pages away by itself when others need the memory.
    #[cfg(not(unix))]
    let _ = map;
}

/// Element type of plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenseType {
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl DenseType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DenseType::F32 => 4,
            DenseType::F16 | DenseType::Bf16 => 2,
        }
    }

    /// The name that `config.json` uses: `float32`, `float16`, `bfloat16`.
    pub fn name(self) -> &'static str {
        match self {
            DenseType::F32 => "float32",
            DenseType::F16 => "float16",
            DenseType::Bf16 => "bfloat16",
        }
    }
}

/// A tensor of a model file, row-major in the shape of the Hugging Face model.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Plain numbers, little-endian.
    Dense {
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// Element type.
        dtype: DenseType,
        /// The elements.
        bytes: Bytes,
    },
    /// A matrix in bitsandbytes' 4 bits.
    Nf4(Nf4Matrix),
    /// A matrix of quantized GGUF blocks.
    Blocks(GgufBlocks),
}

impl Stored {
    /// Dimensions, outermost first.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Stored::Dense { shape, .. } => shape.clone(),
            Stored::Nf4(m) => vec![m.out_features(), m.in_features()],
            Stored::Blocks(b) => vec![b.out_features(), b.in_features()],
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Bytes of the elements as they are stored, scales included.
    pub fn stored_bytes(&self) -> usize {
        match self {
            Stored::Dense { bytes, .. } => bytes.len(),
            Stored::Nf4(m) => m.bytes(),
            Stored::Blocks(b) => b.data().len(),
        }
    }

    /// Every element as `f32`: exact for the dense types, dequantized for the others.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Stored::Dense { dtype, bytes, .. } => dense_to_f32(*dtype, bytes),
            Stored::Nf4(m) => expand(self.elements(), |at, out| m.dequantize(at, out)),
            Stored::Blocks(b) => expand(self.elements(), |at, out| b.dequantize(at, out)),
        }
    }

    /// The elements where they lie, if they are stored as bfloat16 in this machine's order of bytes and on even addresses.
    pub fn as_bf16(&self) -> Option<&[bf16]> {
        match self {
            Stored::Dense { dtype: DenseType::Bf16, bytes, .. } if cfg!(target_endian = "little") => {
                bytemuck::try_cast_slice(bytes).ok()
            }
            _ => None,
        }
    }

    /// Every element as bfloat16: the bytes themselves where they are stored so, rounded to nearest even elsewhere.
    pub fn to_bf16(&self) -> Vec<bf16> {
        match self {
            Stored::Dense { dtype: DenseType::Bf16, bytes, .. } => convert::<2, _>(bytes, bf16::from_le_bytes),
            Stored::Dense { dtype: DenseType::F16, bytes, .. } => {
                convert::<2, _>(bytes, |b| bf16::from_f32(f16::from_le_bytes(b).to_f32()))
            }
            Stored::Dense { dtype: DenseType::F32, bytes, .. } => {
                convert::<4, _>(bytes, |b| bf16::from_f32(f32::from_le_bytes(b)))
            }
            Stored::Nf4(m) => expand_rounded(self.elements(), |at, out| m.dequantize(at, out)),
            Stored::Blocks(b) => expand_rounded(self.elements(), |at, out| b.dequantize(at, out)),
        }
    }
}

/// Elements that one thread converts at a time.
const CHUNK: usize = 1 << 16;

fn dense_to_f32(dtype: DenseType, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        DenseType::F32 => convert::<4, _>(bytes, f32::from_le_bytes),
        DenseType::F16 => convert::<2, _>(bytes, |b| f16::from_le_bytes(b).to_f32()),
        DenseType::Bf16 => convert::<2, _>(bytes, |b| bf16::from_le_bytes(b).to_f32()),
    }
}

/// Every element of `N` bytes by itself. Threaded.
fn convert<const N: usize, T: Send>(bytes: &[u8], one: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
    bytes.as_chunks::<N>().0.par_iter().with_min_len(CHUNK).map(|b| one(*b)).collect()
}

/// Values from a function that writes those from an index on. Threaded.
fn expand(elements: usize, write: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut values = vec![0.0; elements];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, out)| write(i * CHUNK, out));
    values
}

/// The same, rounded a piece at a time: never all of them as `f32`.
fn expand_rounded(elements: usize, write: impl Fn(usize, &mut [f32]) + Sync) -> Vec<bf16> {
    const PIECE: usize = 1 << 12;
    let mut values = vec![bf16::ZERO; elements];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, out)| {
        let mut piece = [0.0; PIECE];
        for (j, out) in out.chunks_mut(PIECE).enumerate() {
            let piece = &mut piece[..out.len()];
            write(i * CHUNK + j * PIECE, piece);
            out.iter_mut().zip(piece).for_each(|(out, x)| *out = bf16::from_f32(*x));
        }
    });
    values
}
