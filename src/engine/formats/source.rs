//! A model on the disk, whatever its format.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bnb::{self, BnbConfig};
use super::file_rows::{ElementType, FileRows};
use super::gguf::{self, GgufFile, GgufModel};
use super::hf::{self, Weights, strip_prefix};
use super::safetensors::dense_type;
use super::stored::{Bytes, Stored};
use super::tokenizer::TextTokenizer;
use super::weights::{EMBEDDING, StoredForm};
use crate::engine::model::ModelConfig;
use crate::engine::{Error, Result};

/// How the weights of a model are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantization {
    /// 16- or 32-bit floats.
    None,
    /// bitsandbytes' 4 bits.
    Bitsandbytes4bit {
        /// The scales are quantized too.
        double_quant: bool,
    },
    /// The blocks of a GGUF file; the type that most weights have, such as `Q4_K`.
    Gguf(String),
}

impl Quantization {
    /// A short name for people.
    pub fn describe(&self) -> String {
        match self {
            Quantization::None => "none".into(),
            Quantization::Bitsandbytes4bit { double_quant: true } => {
                "4 bits (bitsandbytes, double quantization)".into()
            }
            Quantization::Bitsandbytes4bit { double_quant: false } => "4 bits (bitsandbytes)".into(),
            Quantization::Gguf(kind) => format!("{kind} (GGUF)"),
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
    Folder(Weights, Option<BnbConfig>),
    Gguf(GgufModel),
}

/// Opens a Hugging Face folder, a `.gguf` file or a bitsandbytes 4-bit folder. Every tensor that the configuration asks
/// for is checked to be there in the right shape; no weights are read.
pub fn open(path: impl AsRef<Path>) -> Result<ModelSource> {
    let path = path.as_ref();
    if !path.exists() {
        return Err(Error::file("there is no such file or folder", path));
    }
    if !path.is_dir() {
        return open_gguf(path);
    }
    if !path.join("config.json").exists() {
        return match hf::only_gguf(path) {
            Some(gguf) => open(gguf),
            None => Err(hf::no_config(path)),
        };
    }
    let (config, json) = hf::read_config(path)?;
    let quantization = bnb::quantization(&json)?;
    let backing = Backing::Folder(Weights::open(path)?, quantization);
    let name = hf::hub_id(path).unwrap_or_else(|| path.to_string_lossy().into_owned());
    ModelSource::checked(config, path, name, backing)
}

fn open_gguf(path: &Path) -> Result<ModelSource> {
    if path.extension().is_some_and(|e| e == "safetensors" || e == "json") {
        return Err(Error::file("not a model: name the folder that this file is in", path));
    }
    let file = GgufFile::open(path)?;
    let config = gguf::model_config(&file)?;
    // The repository that the file was made from, where it says so: an adapter fits that one as well.
    let source = match file.str("general.source.huggingface.repository")? {
        Some(repository) => Some(repository.into_owned()),
        None => file.str("general.source.repo_url")?.and_then(|url| hub_repository(&url)),
    };
    let name = source.unwrap_or_else(|| path.to_string_lossy().into_owned());
    let backing = Backing::Gguf(GgufModel::new(file, &config));
    ModelSource::checked(config, path, name, backing)
}

/// `org/name` of a repository's address on the Hub.
fn hub_repository(url: &str) -> Option<String> {
    let id = url.strip_prefix("https://huggingface.co/")?.trim_end_matches('/');
    (id.split('/').count() == 2 && !id.contains(char::is_whitespace)).then(|| id.to_string())
}

impl ModelSource {
    fn checked(config: ModelConfig, path: &Path, name: String, backing: Backing) -> Result<ModelSource> {
        let tensors = config.tensors();
        let shapes = tensors.iter().map(|(name, shape)| (strip_prefix(name).to_string(), shape.clone())).collect();
        let source = ModelSource { config, path: path.to_path_buf(), name, shapes: Arc::new(shapes), backing };
        for (name, shape) in tensors {
            match source.stored_shape(&name)? {
                Some(found) => check_shape(&name, &shape, &found, source.file_of(&name))?,
                None => return Err(Error::tensor(name, "absent, though the configuration asks for it", path)),
            }
        }
        Ok(source)
    }

    /// A tensor by the name that it has in the family's Hugging Face model: `model.layers.3.self_attn.q_proj.weight`,
    /// `model.embed_tokens.weight`, `lm_head.weight`. `None` when the model has no such tensor (a tied head, a bias).
    /// Norm weights are as Hugging Face stores them, without Gemma's 1.
    pub fn tensor(&self, name: &str) -> Result<Option<Stored>> {
        let stored = match &self.backing {
            Backing::Gguf(model) => model.tensor(name)?,
            Backing::Folder(weights, quantization) => match weights.find(name) {
                None => None,
                Some((file, full)) => match quantization.map(|_| bnb::matrix(file, &full)).transpose()?.flatten() {
                    Some(matrix) => Some(Stored::Nf4(matrix)),
                    None => file.tensor(&full)?,
                },
            },
        };
        if let (Some(stored), Some(shape)) = (&stored, self.shapes.get(strip_prefix(name))) {
            check_shape(name, shape, &stored.shape(), self.file_of(name))?;
        }
        Ok(stored)
    }

    /// A matrix whose rows are to be read from its file as they are needed; `None` when the model has no such tensor, or its
    /// rows do not lie by themselves (bitsandbytes' 4 bits).
    pub(crate) fn rows_in_file(&self, name: &str) -> Result<Option<FileRows>> {
        let (own_name, bytes, element) = match &self.backing {
            Backing::Folder(weights, quantization) => {
                let Some((file, full)) = weights.find(name) else { return Ok(None) };
                let quantized = quantization.map(|_| bnb::shape(file, &full)).transpose()?.flatten().is_some();
                let element = file.info(&full).and_then(|info| dense_type(info.dtype)).map(ElementType::Dense);
                (full.clone(), file.bytes(&full), element.filter(|_| !quantized))
            }
            Backing::Gguf(model) => {
                let Some(own_name) = model.find(name) else { return Ok(None) };
                let element = model.file.tensor(&own_name).and_then(|tensor| {
                    let dense = tensor.kind.dense().map(ElementType::Dense);
                    dense.or_else(|| tensor.kind.quantized().map(ElementType::Blocks))
                });
                (own_name.clone(), model.file.tensor_bytes(&own_name), element)
            }
        };
        let shape = self.shapes.get(strip_prefix(name)).map(Vec::as_slice);
        let (Some(bytes), Some(element), Some(&[rows, columns])) = (bytes, element, shape) else { return Ok(None) };
        let Bytes::Mapped { range, .. } = &bytes else { return Ok(None) };
        let rows = FileRows::open(self.file_of(name), own_name, range.start as u64, [rows, columns], element)?;
        // Opened by its name, as the map was, but later.
        rows.starts_with(&bytes)?;
        Ok(Some(rows))
    }

    /// Gives back the pages of the files that were read.
    pub(crate) fn release_pages(&self) {
        match &self.backing {
            Backing::Folder(weights, _) => weights.files.iter().for_each(|file| file.release_pages()),
            Backing::Gguf(model) => model.file.release_pages(),
        }
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
            Backing::Folder(..) => TextTokenizer::from_folder(&self.path, &self.config),
            Backing::Gguf(model) => TextTokenizer::from_gguf(&model.file, &self.config),
        }
    }

    /// The GGUF file, when the model is one: its other metadata goes into what is exported from it.
    pub fn gguf(&self) -> Option<&GgufFile> {
        match &self.backing {
            Backing::Gguf(model) => Some(&model.file),
            Backing::Folder(..) => None,
        }
    }

    /// What `inspect` shows; from headers alone.
    pub fn facts(&self) -> Result<ModelFacts> {
        let parameters = self.parameters()?;
        Ok(match &self.backing {
            Backing::Folder(weights, quantization) => ModelFacts {
                format: "safetensors",
                quantization: quantization
                    .map_or(Quantization::None, |q| Quantization::Bitsandbytes4bit { double_quant: q.double_quant }),
                dtype: self.embedding_type(),
                files: weights.files.iter().map(|f| (f.path().to_path_buf(), f.file_size())).collect(),
                license: hf::license(&self.path),
                parameters,
            },
            Backing::Gguf(model) => {
                let kind = model.main_type();
                let dense = kind.dense().is_some();
                ModelFacts {
                    format: "gguf",
                    quantization: if dense { Quantization::None } else { Quantization::Gguf(kind.name()) },
                    dtype: self.embedding_type(),
                    files: vec![(self.path.clone(), model.file.file_size())],
                    license: model.file.str("general.license")?.map(|l| l.into_owned()),
                    parameters,
                }
            }
        })
    }

    /// Type of the embedding, which stands for the weights that are not quantized: `bfloat16`, `Q8_0`.
    fn embedding_type(&self) -> String {
        let name = EMBEDDING;
        let found = match &self.backing {
            Backing::Folder(weights, _) => weights.find(name).and_then(|(file, full)| {
                let dtype = file.info(&full)?.dtype;
                Some(dense_type(dtype).map_or_else(|| dtype.to_string(), |d| d.name().to_string()))
            }),
            Backing::Gguf(model) => model.find(name).and_then(|own| {
                let kind = model.file.tensor(&own)?.kind;
                Some(kind.dense().map_or_else(|| kind.name(), |d| d.name().to_string()))
            }),
        };
        found.unwrap_or_else(|| "unknown".to_string())
    }

    /// Shape of a tensor from the header; a type that cannot be read is an error.
    fn stored_shape(&self, name: &str) -> Result<Option<Vec<usize>>> {
        match &self.backing {
            Backing::Folder(weights, quantization) => {
                let Some((file, full)) = weights.find(name) else { return Ok(None) };
                match quantization.map(|_| bnb::shape(file, &full)).transpose()?.flatten() {
                    Some(shape) => Ok(Some(shape)),
                    None => Ok(file.tensor(&full)?.map(|t| t.shape())),
                }
            }
            Backing::Gguf(model) => model.shape(name),
        }
    }

    /// How a tensor that must be there is stored, from the header.
    pub(crate) fn stored_form(&self, name: &str) -> Result<StoredForm> {
        let form = match &self.backing {
            Backing::Folder(weights, quantization) => match weights.find(name) {
                None => None,
                Some((file, full)) => match quantization.map(|_| bnb::bytes(file, &full)).transpose()?.flatten() {
                    Some(bytes) => Some(StoredForm::Nf4 { bytes }),
                    None => file.info(&full).and_then(|info| dense_type(info.dtype)).map(StoredForm::Dense),
                },
            },
            Backing::Gguf(model) => model.form(name),
        };
        form.ok_or_else(|| Error::tensor(name, "absent", &self.path))
    }

    /// The file that a tensor is in, for messages.
    fn file_of(&self, name: &str) -> PathBuf {
        match &self.backing {
            Backing::Folder(weights, _) => weights.find(name).map(|(file, _)| file.path().to_path_buf()),
            Backing::Gguf(_) => None,
        }
        .unwrap_or_else(|| self.path.clone())
    }
}

fn check_shape(name: &str, expected: &[usize], found: &[usize], file: PathBuf) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let message = format!("has shape {found:?} where the configuration says {expected:?}");
    Err(Error::tensor(name, message, file))
}
