//! Metadata of a GGUF file → [`ModelConfig`]. What a key means, and what an absent one means, is what llama.cpp's
//! `load_arch_hparams` does with it.

use super::reader::GgufFile;
use crate::engine::formats::check::check_config;
use crate::engine::formats::hf::SUPPORTED;
use crate::engine::formats::tokenizer::end_tokens;
use crate::engine::model::{Activation, Family, LayerConfig, ModelConfig, RopeConfig, RopeScaling};
use crate::engine::{Error, Result};

/// Keys below the architecture's name: `llama.block_count`.
struct Keys<'a> {
    file: &'a GgufFile,
    architecture: String,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn usize(&self, name: &str) -> Result<Option<usize>> {
        self.file.usize(&self.key(name))
    }

    fn required(&self, name: &str) -> Result<usize> {
        self.file.required_usize(&self.key(name))
    }

    fn f64(&self, name: &str) -> Result<Option<f64>> {
        self.file.f64(&self.key(name))
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::file(message, self.file.path())
    }

    fn has_tensor(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// A tensor of plain floats, such as rotary factors.
    fn factors(&self, name: &str, count: usize) -> Result<Option<Vec<f64>>> {
        let Some(tensor) = super::dense(self.file, name)? else { return Ok(None) };
        let factors: Vec<f64> = tensor.to_f32().into_iter().map(f64::from).collect();
        if factors.len() != count || factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
            let message = format!("expected {count} positive numbers, got {}", factors.len());
            return Err(Error::tensor(name, message, self.file.path()));
        }
        Ok(Some(factors))
    }
}

/// The decoder that a GGUF file describes.
pub(crate) fn model_config(file: &GgufFile) -> Result<ModelConfig> {
    let (keys, family) = architecture(file)?;
    let gemma = matches!(family, Family::Gemma | Family::Gemma2 | Family::Gemma3);
    let hidden = keys.required("embedding_length")?;
    let heads = keys.required("attention.head_count")?;
    if heads == 0 {
        return Err(keys.error("metadata attention.head_count must not be 0"));
    }
    let kv_heads = keys.usize("attention.head_count_kv")?.unwrap_or(heads);
    let head_dim = keys.usize("attention.key_length")?.unwrap_or(hidden / heads);
    if keys.usize("attention.value_length")?.is_some_and(|v| v != head_dim) {
        return Err(keys.error("heads whose values have another width than their keys are not supported"));
    }
    let embedding = file.tensor("token_embd.weight").map(|t| t.shape.clone());
    let Some([vocab, _]) = embedding.as_deref() else {
        return Err(Error::tensor("token_embd.weight", "absent: this is not a language model", file.path()));
    };
    let layer_count = keys.required("block_count")?;
    if layer_count == 0 || layer_count > 4096 {
        return Err(keys.error(format!("metadata block_count is {layer_count}, which cannot be")));
    }
    let max_positions = keys.required("context_length")?;
    let (ropes, local_rope) = ropes(&keys, family, head_dim, max_positions)?;
    let layers = layers(&keys, family, layer_count, local_rope)?;
    // llama.cpp's own rule: the largest Gemma 2 and Gemma 3 scale by the residual width a head, and are known by depth.
    let by_width = matches!((family, layer_count), (Family::Gemma2, 46) | (Family::Gemma3, 62));
    let query_scalar = if by_width { hidden / heads } else { head_dim };
    let softcap = |name: &str, absent: Option<f64>| {
        let given = if gemma { keys.f64(name)? } else { None };
        Ok::<_, Error>(given.or(absent).filter(|cap| *cap != 0.0).map(|cap| cap as f32))
    };
    let gemma2 = family == Family::Gemma2;
    let tokenizer = |name: &str| file.token_id(&format!("tokenizer.ggml.{name}"));
    let config = ModelConfig {
        family,
        architecture: keys.architecture.clone(),
        hidden,
        intermediate: keys.required("feed_forward_length")?,
        heads,
        kv_heads,
        head_dim,
        vocab: *vocab,
        max_positions,
        norm_eps: keys
            .f64("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.error("the required metadata attention.layer_norm_rms_epsilon is missing"))?
            as f32,
        norm_plus_one: gemma,
        post_norms: matches!(family, Family::Gemma2 | Family::Gemma3),
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        qkv_bias: keys.has_tensor("blk.0.attn_q.bias") || keys.has_tensor("blk.0.attn_qkv.bias"),
        o_bias: keys.has_tensor("blk.0.attn_output.bias"),
        mlp_bias: keys.has_tensor("blk.0.ffn_down.bias"),
        fused: family == Family::Phi3,
        activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
        embed_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
        attention_scale: (1.0 / (query_scalar as f64).sqrt()) as f32,
        attention_softcap: softcap("attn_logit_softcapping", gemma2.then_some(50.0))?,
        final_softcap: softcap("final_logit_softcapping", gemma2.then_some(30.0))?,
        tied: !keys.has_tensor("output.weight"),
        ropes,
        layers,
        layer_prefix: "model.layers".to_string(),
        bos: tokenizer("bos_token_id").filter(|id| (*id as usize) < *vocab),
        eos: end_tokens(file)?,
        pad: tokenizer("padding_token_id"),
    };
    check_config(&config).map_err(|message| keys.error(message))?;
    Ok(config)
}

fn architecture(file: &GgufFile) -> Result<(Keys<'_>, Family)> {
    let error = |message: String| Err(Error::file(message, file.path()));
    if file.str("general.type")?.is_some_and(|kind| kind == "adapter") {
        return error("this GGUF file holds an adapter, not a model; name its base model here".into());
    }
    if file.u64("split.count")?.is_some_and(|count| count > 1) {
        return error("this GGUF file is one part of several; join them first (llama-gguf-split --merge)".into());
    }
    let Some(architecture) = file.str("general.architecture")? else {
        return error("the required metadata general.architecture is missing".into());
    };
    let family = match architecture.as_ref() {
        "llama" => Family::Llama,
        "mistral" => Family::Mistral,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gemma" => Family::Gemma,
        "gemma2" => Family::Gemma2,
        "gemma3" => Family::Gemma3,
        "phi3" => Family::Phi3,
        "smollm3" => Family::SmolLm3,
        other => {
            return error(format!("the architecture {other} is not supported; supported are: {SUPPORTED}"));
        }
    };
    let keys = Keys { file, architecture: architecture.into_owned() };
    if keys.usize("expert_count")?.is_some_and(|count| count > 0) {
        let message = format!("mixtures of experts are not supported; supported are: {SUPPORTED}");
        return Err(keys.error(message));
    }
    Ok((keys, family))
}

/// The rotary embeddings, and the index of the one that layers with a window use.
fn ropes(keys: &Keys<'_>, family: Family, head_dim: usize, max_positions: usize) -> Result<(Vec<RopeConfig>, usize)> {
    let default_theta = if family == Family::Gemma3 { 1e6 } else { 1e4 };
    let theta = keys.f64("rope.freq_base")?.unwrap_or(default_theta);
    let dims = keys.usize("rope.dimension_count")?.unwrap_or(head_dim);
    if dims % 2 != 0 || !(2..=head_dim).contains(&dims) || theta <= 0.0 {
        return Err(keys.error(format!("{dims} rotary dimensions of {head_dim} with base {theta} cannot be")));
    }
    let rope = RopeConfig { theta, dims, scaling: scaling(keys, dims, max_positions)? };
    if family != Family::Gemma3 {
        return Ok((vec![rope], 0));
    }
    let local = keys.f64("rope.freq_base_swa")?.unwrap_or(1e4);
    Ok((vec![rope, RopeConfig { theta: local, dims, scaling: RopeScaling::None }], 1))
}

fn scaling(keys: &Keys<'_>, dims: usize, max_positions: usize) -> Result<RopeScaling> {
    if let Some(factors) = keys.factors("rope_freqs.weight", dims / 2)? {
        return Ok(RopeScaling::Factors(factors));
    }
    let original = keys.usize("rope.scaling.original_context_length")?;
    let attn_factor = match keys.f64("rope.scaling.attn_factor")? {
        Some(factor) => factor,
        None => keys.f64("rope.scaling.yarn_attn_factor")?.unwrap_or(1.0),
    };
    let long = keys.factors("rope_factors_long.weight", dims / 2)?;
    let short = keys.factors("rope_factors_short.weight", dims / 2)?;
    if let (Some(long_factor), Some(short_factor)) = (long, short) {
        let original_max_positions = original.unwrap_or(max_positions).max(2);
        return Ok(RopeScaling::LongRope {
            short_factor,
            long_factor,
            original_max_positions,
            attention_factor: attn_factor,
        });
    }
    let kind = keys.file.str(&keys.key("rope.scaling.type"))?.map_or_else(|| "none".to_string(), |k| k.into_owned());
    let factor = match keys.f64("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        // The name before llama.cpp knew other kinds than linear.
        None => keys.f64("rope.scale_linear")?,
    };
    // llama.cpp divides by the factor whenever there is one and the kind is not "none"; 0 means 1.
    let factor = factor.filter(|f| *f != 0.0 && *f != 1.0);
    match (kind.as_str(), factor) {
        (_, Some(factor)) if factor < 0.0 => Err(keys.error(format!("a rotary scaling factor of {factor} cannot be"))),
        ("yarn", Some(factor)) => Ok(RopeScaling::Yarn {
            factor,
            beta_fast: keys.f64("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: keys.f64("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            original_max_positions: original.unwrap_or(max_positions).max(2),
            attention_factor: attn_factor * (1.0 + 0.1 * factor.ln()),
            truncate: true,
        }),
        ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
        ("none", Some(factor)) if keys.f64("rope.scale_linear")?.is_some() => Ok(RopeScaling::Linear { factor }),
        ("none" | "linear" | "yarn" | "longrope", _) => Ok(RopeScaling::None),
        (other, _) => Err(keys.error(format!("rotary embeddings of type {other} are not supported"))),
    }
}

/// Windows and rotary embeddings, layer by layer.
fn layers(keys: &Keys<'_>, family: Family, count: usize, local_rope: usize) -> Result<Vec<LayerConfig>> {
    let default_window = if matches!(family, Family::Gemma2 | Family::Gemma3) { Some(4096) } else { None };
    // Files of Phi-4 write a window of 0 for none.
    let window = keys.usize("attention.sliding_window")?.or(default_window).filter(|w| *w > 0);
    let default_period = match family {
        Family::Gemma2 => 2,
        Family::Gemma3 => 6,
        _ => 1,
    };
    let pattern = keys.key("attention.sliding_window_pattern");
    let (period, by_layer) = match keys.file.value_type(&pattern) {
        Some((_, Some((_, n)))) if n >= count && n <= 4096 => (1, keys.file.integers(&pattern)?),
        Some((_, None)) => (keys.file.usize(&pattern)?.unwrap_or(default_period), None),
        _ => (default_period, None),
    };
    Ok((0..count)
        .map(|i| {
            let slides = match (family, &by_layer) {
                (Family::Mistral | Family::Phi3, _) => true,
                (Family::Gemma2 | Family::Gemma3, Some(list)) => list[i] != 0,
                (Family::Gemma2 | Family::Gemma3, None) => period != 1 && (period == 0 || i % period < period - 1),
                // llama.cpp has no windows in these families.
                _ => false,
            };
            let no_rope = family == Family::SmolLm3 && (i + 1) % 4 == 0;
            let rope = (!no_rope).then_some(if slides { local_rope } else { 0 });
            LayerConfig { window: window.filter(|_| slides), rope }
        })
        .collect())
}
