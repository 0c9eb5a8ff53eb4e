//! A model on the disk, whatever its format.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hf::{self, Weights, strip_prefix};
use super::safetensors::dense_type;
use super::stored::{DenseType, Stored};
use super::tokenizer::TextTokenizer;
use crate::engine::model::ModelConfig;
use crate::engine::{Error, Result};

/// How the weights of a model are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantization {
    /// 16- or 32-bit floats.
    None,
}

impl Quantization {
    /// A short name for people: `none`, `nf4 (bitsandbytes, double quantization)`, `Q4_1 (GGUF)`.
    pub fn describe(&self) -> String {
        match self {
            Quantization::None => "none".into(),
        }
    }
}

/// What `inspect` shows of a model beside its configuration; from headers alone.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// `safetensors` or `gguf`.
    pub format: &'static str,
    /// How the linears are stored.
    pub quantization: Quantization,
    /// Type of the weights that are not quantized: `bfloat16`.
    pub dtype: String,
    /// The weight files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// The licence that the model names, in its README's front matter or the GGUF's metadata.
    pub license: Option<String>,
    /// Number of weights, each shared one once.
    pub parameters: u64,
}

impl ModelFacts {
    /// Bytes of all weight files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }
}

/// An open model: its configuration, and its tensors on demand. Weights are memory-mapped and cost nothing until read.
#[derive(Clone, Debug)]
pub struct ModelSource {
    /// The decoder's parameters.
    pub config: ModelConfig,
    /// The folder, or the GGUF file.
    pub path: PathBuf,
    /// For `base_model_name_or_path` of adapters: the Hub id where it is known, else the path as it was given.
    pub name: String,
    /// Shape of every tensor that the configuration asks for, by its name below the prefix.
    shapes: Arc<HashMap<String, Vec<usize>>>,
    backing: Backing,
}

#[derive(Clone, Debug)]
enum Backing {
    Folder(Weights),
}

/// Opens a Hugging Face folder, a `.gguf` file or a bitsandbytes 4-bit folder. Every tensor that the configuration asks
/// for is checked to be there in the right shape; no weights are read.
pub fn open(path: impl AsRef<Path>) -> Result<ModelSource> {
    let path = path.as_ref();
    if !path.exists() {
        return Err(Error::file("there is no such file or folder", path));
    }
    if !path.is_dir() {
        return Err(Error::file("not a model: expected a Hugging Face folder or a .gguf file", path));
    }
    if !path.join("config.json").exists() {
        return match hf::only_gguf(path) {
            Some(gguf) => open(gguf),
            None => Err(hf::no_config(path)),
        };
    }
    let (config, json) = hf::read_config(path)?;
    if let Some(quantization) = json.object("quantization_config")? {
        let method = quantization.str("quant_method")?.unwrap_or("of an unknown kind");
        return Err(Error::file(format!("weights quantized with {method} are not supported"), &json.path));
    }
    let backing = Backing::Folder(Weights::open(path)?);
    let name = hf::hub_id(path).unwrap_or_else(|| path.to_string_lossy().into_owned());
    ModelSource::checked(config, path, name, backing)
}

impl ModelSource {
    fn checked(config: ModelConfig, path: &Path, name: String, backing: Backing) -> Result<ModelSource> {
        let tensors = config.tensors();
        let shapes = tensors.iter().map(|(name, shape)| (strip_prefix(name).to_string(), shape.clone())).collect();
        let source = ModelSource { config, path: path.to_path_buf(), name, shapes: Arc::new(shapes), backing };
        for (name, shape) in tensors {
            match source.stored_shape(&name)? {
                Some(found) => check_shape(&name, &shape, &found, source.file_of(&name))?,
                None => return Err(Error::tensor(name, "absent, though config.json asks for it", path)),
            }
        }
        Ok(source)
    }

    /// A tensor by the name that it has in the family's Hugging Face model: `model.layers.3.self_attn.q_proj.weight`,
    /// `model.embed_tokens.weight`, `lm_head.weight`. `None` when the model has no such tensor (a tied head, a bias).
    /// Norm weights are as Hugging Face stores them, without Gemma's 1.
    pub fn tensor(&self, name: &str) -> Result<Option<Stored>> {
        let stored = match &self.backing {
            Backing::Folder(weights) => match weights.find(name) {
                Some((file, full)) => file.tensor(&full)?,
                None => None,
            },
        };
        if let (Some(stored), Some(shape)) = (&stored, self.shapes.get(strip_prefix(name))) {
            check_shape(name, shape, stored.shape(), self.file_of(name))?;
        }
        Ok(stored)
    }

    /// A tensor that must be there.
    pub fn required(&self, name: &str) -> Result<Stored> {
        self.tensor(name)?.ok_or_else(|| Error::tensor(name, "absent", &self.path))
    }

    /// Number of weights, each shared one once; from headers alone.
    pub fn parameters(&self) -> Result<u64> {
        Ok(self.shapes.values().map(|shape| shape.iter().map(|&d| d as u64).product::<u64>()).sum())
    }

    /// The tokenizer and chat templates that come with the model, checked to fit its vocabulary.
    pub fn tokenizer(&self) -> Result<TextTokenizer> {
        match &self.backing {
            Backing::Folder(_) => TextTokenizer::from_folder(&self.path, &self.config),
        }
    }

    /// What `inspect` shows; from headers alone.
    pub fn facts(&self) -> Result<ModelFacts> {
        let Backing::Folder(weights) = &self.backing;
        Ok(ModelFacts {
            format: "safetensors",
            quantization: Quantization::None,
            dtype: self.dense_dtype()?.map_or("unknown", DenseType::name).to_string(),
            files: weights.files.iter().map(|f| (f.path().to_path_buf(), f.file_size())).collect(),
            license: hf::license(&self.path),
            parameters: self.parameters()?,
        })
    }

    /// Type in which the weights that are not quantized are stored: that of the embedding.
    fn dense_dtype(&self) -> Result<Option<DenseType>> {
        let Backing::Folder(weights) = &self.backing;
        let found = weights.find("model.embed_tokens.weight");
        Ok(found.and_then(|(file, name)| dense_type(file.info(&name)?.dtype)))
    }

    /// Shape of a tensor from the header.
    fn stored_shape(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let Backing::Folder(weights) = &self.backing;
        let Some((file, full)) = weights.find(name) else { return Ok(None) };
        Ok(file.tensor(&full)?.map(|t| t.shape().to_vec()))
    }

    /// The file that a tensor is in, for messages.
    fn file_of(&self, name: &str) -> PathBuf {
        let Backing::Folder(weights) = &self.backing;
        weights.find(name).map_or_else(|| self.path.clone(), |(file, _)| file.path().to_path_buf())
    }
}

fn check_shape(name: &str, expected: &[usize], found: &[usize], file: PathBuf) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let message = format!("has shape {found:?} where the configuration says {expected:?}");
    Err(Error::tensor(name, message, file))
}
