//! What a model is, from the small files beside its weights: for a model that is not downloaded yet.

use std::path::Path;

use super::source::Quantization;
use super::tokenizer::TextTokenizer;
use super::{bnb, hf};
use crate::engine::Result;
use crate::engine::model::ModelConfig;

/// A model without its weights.
#[derive(Clone, Debug)]
pub struct ModelDescription {
    /// The decoder's parameters.
    pub config: ModelConfig,
    /// How the linears are stored.
    pub quantization: Quantization,
    /// Type of the weights that are not quantized, as the configuration names it.
    pub dtype: Option<String>,
    /// Number of weights, each shared one once.
    pub parameters: u64,
}

impl ModelDescription {
    /// The tokenizer that lies beside the configuration.
    pub fn tokenizer(&self, folder: &Path) -> Result<TextTokenizer> {
        TextTokenizer::from_folder(folder, &self.config)
    }
}

/// Reads a folder's `config.json`; the weights need not be there.
pub fn describe(folder: &Path) -> Result<ModelDescription> {
    let (config, json) = hf::read_config(folder)?;
    let quantization = match bnb::quantization(&json)? {
        Some(found) => Quantization::Bitsandbytes4bit { double_quant: found.double_quant },
        None => Quantization::None,
    };
    let dtype = match json.str("dtype")? {
        Some(name) => Some(name.to_string()),
        None => json.str("torch_dtype")?.map(str::to_string),
    };
    let parameters = config.tensors().iter().map(|(_, shape)| shape.iter().map(|&d| d as u64).product::<u64>()).sum();
    Ok(ModelDescription { config, quantization, dtype, parameters })
}
