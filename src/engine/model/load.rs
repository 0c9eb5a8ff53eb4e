//! Loading a model one tensor at a time: read, quantize, drop. The peak is the packed model and one tensor.

use rayon::prelude::*;

use crate::engine::config::{Embeddings, ModelSection, Quantization};
use crate::engine::formats::{
    DenseType, EMBEDDING, ElementType, MatrixGroup, ModelSource, Role, Stored, StoredForm, StoredWeights, TextTokenizer,
};
use crate::engine::model::layer::DecoderLayer;
use crate::engine::model::linear::Linear;
use crate::engine::model::{Embedding, LinearKind, Model, ModelConfig};
use crate::engine::ops::Compute;
use crate::engine::quant::{FrozenMatrix, Nf4Matrix, nf4};
use crate::engine::{Error, Result};

/// What loading can choose.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Storage of the linears.
    pub quantization: Quantization,
    /// Quantize the NF4 block maxima too.
    pub double_quant: bool,
    /// Type of the products' inputs.
    pub compute: Compute,
    /// Where the embeddings of tokens are looked up.
    pub embeddings: Embeddings,
}

/// Bytes of a model's weights as they lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// Linears of the layers.
    pub linears: u64,
    /// The embeddings of tokens, where they are in memory and not the head.
    pub embedding: u64,
    /// The head.
    pub head: u64,
    /// Norms and biases.
    pub vectors: u64,
}

impl WeightBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.linears + self.embedding + self.head + self.vectors
    }
}

impl LoadOptions {
    /// What a run file's `[model]` says.
    pub fn of_run(model: &ModelSection) -> LoadOptions {
        LoadOptions {
            quantization: model.quantization,
            double_quant: model.double_quant,
            compute: model.compute,
            embeddings: model.embeddings,
        }
    }

    /// The same for answering and for looking at a model: a row or two a token are as fast from the file, and the embeddings
    /// take no memory.
    pub fn without_embeddings(self) -> LoadOptions {
        LoadOptions { embeddings: Embeddings::File, ..self }
    }

    /// Bytes that [`Model::load`] will make of weights stored like this: [`Model::weight_bytes`], from headers alone.
    pub fn weight_bytes(&self, stored: &StoredWeights) -> WeightBytes {
        let of = |role| {
            let groups = stored.matrices.iter().filter(|g| g.role == role);
            groups.map(|g| (self.matrix_bytes(g) * g.count) as u64).sum()
        };
        WeightBytes {
            linears: of(Role::Linear),
            embedding: of(Role::Embedding),
            head: of(Role::Head),
            vectors: 4 * stored.vectors,
        }
    }

    /// All of [`weight_bytes`](Self::weight_bytes).
    pub fn loaded_bytes(&self, stored: &StoredWeights) -> u64 {
        self.weight_bytes(stored).total()
    }

    /// What reading one matrix takes beside the packed weights, itself included: the most that is allocated, and the most
    /// pages of the file. The embedding is read first, when nothing else is there, and then the head.
    pub fn reading_bytes(&self, stored: &StoredWeights) -> (u64, u64) {
        let weights = self.weight_bytes(stored);
        let total = weights.total() as i64;
        let (mut allocated, mut mapped) = (0, 0);
        for g in stored.matrices.iter().filter(|g| !self.leaves(g)) {
            let beside = self.reading_beside(g) as i64;
            let there = match g.role {
                Role::Embedding => weights.embedding,
                Role::Head => weights.embedding + weights.head,
                // The last of them.
                Role::Linear => weights.total(),
            };
            allocated = allocated.max(beside - (total - there as i64));
            mapped = mapped.max(g.form.bytes(g.elements));
        }
        (allocated as u64, mapped)
    }

    /// What reading one matrix takes beside its own packed bytes; the same cases as [`Loader::matrix`].
    fn reading_beside(&self, &MatrixGroup { role, elements, form, .. }: &MatrixGroup) -> usize {
        let nf4 = self.quantization == Quantization::Nf4 && role == Role::Linear;
        let keep = self.quantization == Quantization::Keep;
        let file = match form {
            StoredForm::Nf4 { .. } if keep || nf4 => return 0,
            StoredForm::Blocks { .. } if keep => return 0,
            StoredForm::Dense(_) => 0,
            StoredForm::Nf4 { bytes } | StoredForm::Blocks { bytes } => bytes,
        };
        let bf16 = self.compute == Compute::Bf16 || form == StoredForm::Dense(DenseType::Bf16);
        let values = match form {
            // Quantized where they lie.
            StoredForm::Dense(DenseType::Bf16) if nf4 => 0,
            _ if bf16 => 2 * elements,
            _ => 4 * elements,
        };
        // As they will be quantized; and before the scales are, too, they are 32-bit numbers.
        if nf4 { file + values + 4 * elements.div_ceil(nf4::BLOCK) } else { file }
    }

    /// Whether it stays in the file.
    fn leaves(&self, matrix: &MatrixGroup) -> bool {
        self.embeddings == Embeddings::File && matrix.role == Role::Embedding && matrix.form.has_rows()
    }

    /// One matrix; the same cases as [`Loader::matrix`].
    fn matrix_bytes(&self, matrix: &MatrixGroup) -> usize {
        let &MatrixGroup { role, elements, form, .. } = matrix;
        let nf4 = self.quantization == Quantization::Nf4 && role == Role::Linear;
        let keep = self.quantization == Quantization::Keep;
        match form {
            _ if self.leaves(matrix) => 0,
            StoredForm::Nf4 { bytes } if keep || nf4 => bytes,
            // Kept in words of eight bytes.
            StoredForm::Blocks { bytes } if keep => bytes.div_ceil(8) * 8,
            _ if nf4 => Nf4Matrix::quantized_bytes(elements, self.double_quant),
            StoredForm::Dense(DenseType::Bf16) => 2 * elements,
            _ if self.compute == Compute::Bf16 => 2 * elements,
            _ => 4 * elements,
        }
    }
}

impl Model {
    /// Reads every weight of `source`. `progress(done, total)` counts bytes of the file, before each
    /// tensor and at the end; it returns false to cancel ([`Error::Cancelled`]).
    pub fn load(
        source: &ModelSource,
        options: &LoadOptions,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Model> {
        let config = source.config.clone();
        let total =
            config.tensors().iter().map(|(name, shape)| stored_bytes(source, name, shape.iter().product())).sum();
        let mut loader = Loader { source, config: &config, options, progress, done: 0, total };
        let h = config.hidden;
        let embedding = if config.tied { Embedding::Head } else { loader.embedding()? };
        let head = if config.tied { EMBEDDING } else { "lm_head.weight" };
        let head = loader.matrix(head, config.vocab, h, Role::Head)?;
        let layers = (0..config.layers.len()).map(|i| loader.layer(i)).collect::<Result<Vec<_>>>()?;
        let final_norm = loader.norm("model.norm.weight", h)?;
        loader.report()?;
        source.release_pages();
        Ok(Model { compute: options.compute, embedding, layers, final_norm, head, config })
    }

    /// [`Model::load`], and meanwhile the model's tokenizer.
    pub fn load_with_tokenizer(
        source: &ModelSource,
        options: &LoadOptions,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(Model, TextTokenizer)> {
        std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| source.tokenizer());
            let model = Model::load(source, options, progress);
            let tokenizer = tokenizer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((model?, tokenizer?))
        })
    }
}

/// Values that are looked through at a time.
const PIECE: usize = 1 << 16;

struct Loader<'a> {
    source: &'a ModelSource,
    config: &'a ModelConfig,
    options: &'a LoadOptions,
    progress: &'a mut dyn FnMut(u64, u64) -> bool,
    /// Bytes of the tensors that were read, and of all.
    done: u64,
    total: u64,
}

/// Bytes of a tensor in its file.
fn stored_bytes(source: &ModelSource, name: &str, elements: usize) -> u64 {
    source.stored_form(name).map_or(0, |form| form.bytes(elements))
}

impl Loader<'_> {
    /// The embeddings of a model whose head is another matrix.
    fn embedding(&mut self) -> Result<Embedding> {
        let (vocab, hidden) = (self.config.vocab, self.config.hidden);
        let in_file = match self.options.embeddings {
            Embeddings::File => self.source.rows_in_file(EMBEDDING)?,
            Embeddings::Memory => None,
        };
        let Some(rows) = in_file else {
            return self.matrix(EMBEDDING, vocab, hidden, Role::Embedding).map(Embedding::Memory);
        };
        self.report()?;
        // The numbers that the matrix would have in memory.
        let kept = self.options.quantization == Quantization::Keep && matches!(rows.element(), ElementType::Blocks(_));
        let rows = if self.options.compute == Compute::Bf16 && !kept { rows.rounded() } else { rows };
        rows.check()?;
        self.done += stored_bytes(self.source, EMBEDDING, vocab * hidden);
        Ok(Embedding::File(rows))
    }

    fn layer(&mut self, index: usize) -> Result<DecoderLayer> {
        let c = self.config;
        let mut linears = Vec::new();
        for &kind in c.linears() {
            linears.push(self.linear(index, kind)?);
        }
        let name = |part: &str| format!("{}.{index}.{part}.weight", c.layer_prefix);
        let h = c.hidden;
        let attention_norm = self.norm(&name("input_layernorm"), h)?;
        // With post norms, "post_attention_layernorm" is what its name says; without, it is the feed-forward's own.
        let (attention_post_norm, mlp_norm, mlp_post_norm) = if c.post_norms {
            (
                Some(self.norm(&name("post_attention_layernorm"), h)?),
                self.norm(&name("pre_feedforward_layernorm"), h)?,
                Some(self.norm(&name("post_feedforward_layernorm"), h)?),
            )
        } else {
            (None, self.norm(&name("post_attention_layernorm"), h)?, None)
        };
        let (q_norm, k_norm) = if c.qk_norm {
            (
                Some(self.norm(&name("self_attn.q_norm"), c.head_dim)?),
                Some(self.norm(&name("self_attn.k_norm"), c.head_dim)?),
            )
        } else {
            (None, None)
        };
        Ok(DecoderLayer {
            index,
            config: c.layers[index].clone(),
            linears,
            attention_norm,
            attention_post_norm,
            mlp_norm,
            mlp_post_norm,
            q_norm,
            k_norm,
        })
    }

    fn linear(&mut self, layer: usize, kind: LinearKind) -> Result<Linear> {
        let path = self.config.linear_path(layer, kind);
        let (out, input) = self.config.linear_shape(kind);
        let weight = self.matrix(&format!("{path}.weight"), out, input, Role::Linear)?;
        let bias = match self.config.has_bias(kind) {
            true => Some(self.vector(&format!("{path}.bias"), out)?),
            false => None,
        };
        Ok(Linear { kind, weight, bias })
    }

    fn matrix(&mut self, name: &str, out: usize, input: usize, role: Role) -> Result<FrozenMatrix> {
        let stored = self.tensor(name)?;
        // As in QLoRA, only the decoder's linears are quantized; an embedding that is in GGUF blocks may stay so.
        let nf4 = self.options.quantization == Quantization::Nf4 && role == Role::Linear;
        let keep = self.options.quantization == Quantization::Keep;
        let stored = match stored {
            Stored::Nf4(matrix) if keep || nf4 => return self.finite(name, matrix.into()),
            Stored::Blocks(blocks) if keep => return self.finite(name, blocks.into()),
            other => other,
        };
        // bitsandbytes quantizes the weight in the compute type; a bf16 source loses nothing by staying bf16.
        let bf16 =
            self.options.compute == Compute::Bf16 || matches!(stored, Stored::Dense { dtype: DenseType::Bf16, .. });
        let double_quant = self.options.double_quant;
        if let Some(values) = stored.as_bf16().filter(|_| nf4) {
            self.check_finite(name, values)?;
            Ok(Nf4Matrix::quantize(values, out, input, double_quant).into())
        } else if bf16 {
            let values = stored.to_bf16();
            self.check_finite(name, &values)?;
            Ok(match nf4 {
                true => Nf4Matrix::quantize(&values, out, input, double_quant).into(),
                false => FrozenMatrix::from_bf16(values, out, input),
            })
        } else {
            let values = stored.to_f32();
            self.check_finite(name, &values)?;
            Ok(match nf4 {
                true => Nf4Matrix::quantize(&values, out, input, double_quant).into(),
                false => FrozenMatrix::from_f32(values, out, input),
            })
        }
    }

    /// A norm's weight; Gemma's are stored without the 1.
    fn norm(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let mut w = self.vector(name, len)?;
        if self.config.norm_plus_one {
            w.iter_mut().for_each(|v| *v += 1.0);
        }
        Ok(w)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let values = self.tensor(name)?.to_f32();
        if values.len() != len {
            let message = format!("has {} values, the configuration says {len}", values.len());
            return Err(Error::tensor(name, message, &self.source.path));
        }
        self.check_finite(name, &values)?;
        Ok(values)
    }

    fn tensor(&mut self, name: &str) -> Result<Stored> {
        self.report()?;
        // Read pages of the file count as the process's own: those of the tensor before are given back.
        self.source.release_pages();
        let stored = self.source.tensor(name)?.ok_or_else(|| {
            let message =
                "is not in the file: the download is incomplete or the configuration belongs to another model";
            Error::tensor(name, message, &self.source.path)
        })?;
        self.done += stored_bytes(self.source, name, stored.elements());
        Ok(stored)
    }

    fn report(&mut self) -> Result<()> {
        if (self.progress)(self.done.min(self.total), self.total) { Ok(()) } else { Err(Error::Cancelled("loading")) }
    }

    /// A packed matrix as it came, if all of its scales are numbers.
    fn finite(&self, name: &str, matrix: FrozenMatrix) -> Result<FrozenMatrix> {
        let bad = (0..matrix.out_features).into_par_iter().find_any(|&row| {
            let mut values = vec![0.0; matrix.in_features];
            matrix.dequantize_row(row, &mut values);
            values.iter().any(|v| !v.is_finite())
        });
        match bad {
            None => Ok(matrix),
            Some(row) => {
                let message = format!("row {row} has a value that is no number: the file is damaged");
                Err(Error::tensor(name, message, &self.source.path))
            }
        }
    }

    fn check_finite<T: nf4::Source>(&self, name: &str, values: &[T]) -> Result<()> {
        // A whole piece first, without a way out of the loop: that is what the compiler vectorizes.
        let damaged = |piece: &[T]| piece.iter().fold(false, |bad, v| bad | !v.value().is_finite());
        let Some(piece) = values.par_chunks(PIECE).position_first(damaged) else { return Ok(()) };
        let rest = values[piece * PIECE..].iter().enumerate();
        let Some((at, value)) = rest.map(|(i, v)| (piece * PIECE + i, v.value())).find(|(_, v)| !v.is_finite()) else {
            return Ok(());
        };
        let message = format!("value {at} is {value}: the file is damaged");
        Err(Error::tensor(name, message, &self.source.path))
    }
}
