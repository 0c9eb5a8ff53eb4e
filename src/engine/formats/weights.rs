//! How a model's weights are stored, from headers alone: what a plan of the memory needs before anything is loaded.

use super::source::ModelSource;
use super::stored::DenseType;
use crate::engine::Result;
use crate::engine::model::ModelConfig;

/// The Hugging Face name of the embeddings of tokens.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// How one weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredForm {
    /// Plain numbers.
    Dense(DenseType),
    /// bitsandbytes' 4 bits; bytes of the values, their scales and their levels.
    Nf4 {
        /// Bytes.
        bytes: usize,
    },
    /// Quantized blocks of a GGUF file.
    Blocks {
        /// Bytes.
        bytes: usize,
    },
}

impl StoredForm {
    /// Whether a row lies by itself in the file.
    pub(crate) fn has_rows(self) -> bool {
        !matches!(self, StoredForm::Nf4 { .. })
    }

    /// Bytes of a weight of so many elements in the file.
    pub fn bytes(self, elements: usize) -> u64 {
        match self {
            StoredForm::Dense(dtype) => (elements * dtype.size()) as u64,
            StoredForm::Nf4 { bytes } | StoredForm::Blocks { bytes } => bytes as u64,
        }
    }
}

/// What a matrix is in the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The embeddings of the tokens, where they are not the head, too.
    Embedding,
    /// What turns hidden states into logits.
    Head,
    /// A linear of a layer, which `quantization = "nf4"` quantizes.
    Linear,
}

/// Matrices of one size that are stored alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixGroup {
    /// What they are.
    pub role: Role,
    /// Elements of each.
    pub elements: usize,
    /// How each is stored.
    pub form: StoredForm,
    /// How many there are.
    pub count: usize,
}

/// All weights of a model, grouped: a handful of entries whatever the number of layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredWeights {
    /// The matrices.
    pub matrices: Vec<MatrixGroup>,
    /// Elements of all norms and biases.
    pub vectors: u64,
}

impl StoredWeights {
    /// The weights of an open model.
    pub fn of(source: &ModelSource) -> Result<StoredWeights> {
        Self::collect(&source.config, |name, _| source.stored_form(name))
    }

    /// What the configuration alone says of a model whose weights are all stored in `dtype`: for one that is not on this
    /// computer yet.
    pub fn dense(config: &ModelConfig, dtype: DenseType) -> StoredWeights {
        Self::of_forms(config, |_, _| StoredForm::Dense(dtype))
    }

    /// The same where each matrix is stored as `form` says of its name and its elements.
    pub(crate) fn of_forms(config: &ModelConfig, form: impl Fn(&str, usize) -> StoredForm) -> StoredWeights {
        Self::collect(config, |name, elements| Ok(form(name, elements))).unwrap_or_default()
    }

    fn collect(config: &ModelConfig, form: impl Fn(&str, usize) -> Result<StoredForm>) -> Result<StoredWeights> {
        let mut weights = StoredWeights::default();
        for (name, shape) in config.tensors() {
            let elements = shape.iter().product();
            if shape.len() < 2 {
                weights.vectors += elements as u64;
                continue;
            }
            let role = match () {
                _ if name.starts_with(&config.layer_prefix) => Role::Linear,
                _ if name == EMBEDDING && !config.tied => Role::Embedding,
                _ => Role::Head,
            };
            let form = form(&name, elements)?;
            let alike = |g: &&mut MatrixGroup| (g.role, g.elements, g.form) == (role, elements, form);
            match weights.matrices.iter_mut().find(alike) {
                Some(group) => group.count += 1,
                None => weights.matrices.push(MatrixGroup { role, elements, form, count: 1 }),
            }
        }
        Ok(weights)
    }

    /// Whether the embeddings can be looked up in the model's file: not where they are the head, too, and not in
    /// bitsandbytes' 4 bits.
    pub fn embeddings_can_stay(&self) -> bool {
        self.matrices.iter().any(|g| g.role == Role::Embedding && g.form.has_rows())
    }

    /// Number of weights; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.vectors + self.matrices.iter().map(|g| (g.elements * g.count) as u64).sum::<u64>()
    }
}
