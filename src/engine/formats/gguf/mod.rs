//! GGUF files, as llama.cpp writes them.

mod config;
mod names;
mod reader;
mod types;

use std::collections::HashMap;

pub(crate) use config::model_config;
pub use reader::{GgufFile, GgufTensor, GgufValue, ValueType};
pub use types::GgmlType;

use super::stored::{Bytes, DenseType, Stored};
use super::weights::StoredForm;
use crate::engine::model::ModelConfig;
use crate::engine::quant::GgufBlocks;
use crate::engine::{Error, Result};
use names::{gguf_name, interleaved_row};
use types::SUPPORTED_TYPES;

/// The tensors of a GGUF model under their Hugging Face names.
#[derive(Clone, Debug)]
pub(crate) struct GgufModel {
    pub(crate) file: GgufFile,
    post_norms: bool,
    /// Norms are stored with Gemma's 1 added.
    norm_plus_one: bool,
    /// Rows of q and k are stored interleaved; the width of a head.
    interleaved: Option<usize>,
}

impl GgufModel {
    pub(crate) fn new(file: GgufFile, config: &ModelConfig) -> GgufModel {
        // llama.cpp rotates neighbouring dimensions in these architectures, halves in all others.
        let interleaved = matches!(config.architecture.as_str(), "llama" | "mistral" | "smollm3");
        GgufModel {
            file,
            post_norms: config.post_norms,
            norm_plus_one: config.norm_plus_one,
            interleaved: interleaved.then_some(config.head_dim),
        }
    }

    /// Name in the file of a Hugging Face tensor, if the file has it.
    pub(crate) fn find(&self, name: &str) -> Option<String> {
        gguf_name(name, self.post_norms).filter(|name| self.file.tensor(name).is_some())
    }

    /// Shape of a tensor from the header; a type that cannot be read is an error.
    pub(crate) fn shape(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let Some(own_name) = self.find(name) else { return Ok(None) };
        let Some(tensor) = self.file.tensor(&own_name) else { return Ok(None) };
        if tensor.kind.dense().is_none() && tensor.kind.quantized().is_none() {
            return Err(unsupported(&self.file, &own_name, tensor.kind));
        }
        Ok(Some(tensor.shape.clone()))
    }

    /// How a tensor is stored, from the header; `None` for one that is absent or of a type that cannot be read.
    pub(crate) fn form(&self, name: &str) -> Option<StoredForm> {
        let tensor = self.file.tensor(&self.find(name)?)?;
        match tensor.kind.dense() {
            Some(dtype) => Some(StoredForm::Dense(dtype)),
            None => Some(StoredForm::Blocks { bytes: tensor.kind.bytes(tensor.shape.iter().product())? }),
        }
    }

    /// A tensor as the Hugging Face model has it.
    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Stored>> {
        let Some(own_name) = self.find(name) else { return Ok(None) };
        let Some(mut stored) = stored(&self.file, &own_name)? else { return Ok(None) };
        if let Some(head_dim) = self.interleaved
            && (own_name.contains(".attn_q.") || own_name.contains(".attn_k."))
        {
            stored = deinterleave(stored, head_dim).map_err(|m| Error::tensor(&own_name, m, self.file.path()))?;
        }
        if self.norm_plus_one && own_name.ends_with("norm.weight") {
            let values: Vec<u8> = stored.to_f32().into_iter().flat_map(|w| (w - 1.0).to_le_bytes()).collect();
            let shape = stored.shape().to_vec();
            stored = Stored::Dense { shape, dtype: DenseType::F32, bytes: Bytes::Owned(values) };
        }
        Ok(Some(stored))
    }

    /// The type that most of the linears' weights have: `Q4_K` for a file called Q4_K_M.
    pub(crate) fn main_type(&self) -> GgmlType {
        let mut elements: HashMap<GgmlType, usize> = HashMap::new();
        for name in self.file.tensor_names().iter().filter(|n| n.starts_with("blk.")) {
            if let Some(tensor) = self.file.tensor(name).filter(|t| t.shape.len() > 1) {
                *elements.entry(tensor.kind).or_default() += tensor.shape.iter().product::<usize>();
            }
        }
        elements.into_iter().max_by_key(|(kind, n)| (*n, kind.name())).map_or(GgmlType::F32, |(kind, _)| kind)
    }
}

/// A tensor of plain floats by its own name.
pub(crate) fn dense(file: &GgufFile, name: &str) -> Result<Option<Stored>> {
    let stored = stored(file, name)?;
    if stored.as_ref().is_some_and(|s| !matches!(s, Stored::Dense { .. })) {
        return Err(Error::tensor(name, "expected plain floats, found quantized blocks", file.path()));
    }
    Ok(stored)
}

/// A tensor by its own name, as it is stored.
fn stored(file: &GgufFile, name: &str) -> Result<Option<Stored>> {
    let (Some(tensor), Some(bytes)) = (file.tensor(name), file.tensor_bytes(name)) else { return Ok(None) };
    let shape = tensor.shape.clone();
    match tensor.kind.dense() {
        Some(dtype) => Ok(Some(Stored::Dense { shape, dtype, bytes })),
        None => blocks(file, name, tensor.kind, &shape, &bytes).map(Some),
    }
}

fn unsupported(file: &GgufFile, name: &str, kind: GgmlType) -> Error {
    let message = format!("stored as {}, which is not supported; supported are {SUPPORTED_TYPES}", kind.name());
    Error::tensor(name, message, file.path())
}

fn blocks(file: &GgufFile, name: &str, kind: GgmlType, shape: &[usize], bytes: &[u8]) -> Result<Stored> {
    let error = |message: String| Error::tensor(name, message, file.path());
    let dtype = kind.quantized().ok_or_else(|| unsupported(file, name, kind))?;
    let &[rows, columns] = shape else {
        return Err(error(format!("quantized blocks of shape {shape:?}, where a matrix is expected")));
    };
    Ok(Stored::Blocks(GgufBlocks::new(dtype, bytes, rows, columns).map_err(error)?))
}

/// Puts the interleaved rows of q or k into the order of the Hugging Face model. Blocks lie within rows, so whole rows
/// of bytes move and nothing is quantized anew.
fn deinterleave(stored: Stored, head_dim: usize) -> std::result::Result<Stored, String> {
    let rows = stored.shape().first().copied().unwrap_or(0);
    if rows % head_dim != 0 {
        return Err(format!("has {rows} rows, no multiple of the head size {head_dim}"));
    }
    let permute = |bytes: &[u8]| {
        let width = bytes.len() / rows.max(1);
        let mut out = Vec::with_capacity(bytes.len());
        for row in 0..rows {
            out.extend_from_slice(&bytes[interleaved_row(row, head_dim) * width..][..width]);
        }
        out
    };
    Ok(match stored {
        Stored::Dense { shape, dtype, bytes } => Stored::Dense { shape, dtype, bytes: Bytes::Owned(permute(&bytes)) },
        Stored::Blocks(b) => {
            let data = permute(b.data());
            Stored::Blocks(GgufBlocks::new(b.dtype(), &data, b.out_features(), b.in_features())?)
        }
        other => other,
    })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
