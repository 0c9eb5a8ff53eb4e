//! `config.json` of transformers 4 and 5 → [`ModelConfig`]. Defaults of absent keys are those of transformers'
//! configuration classes, because that is what such a file means to every other reader.

use std::path::Path;

use super::json::Json;
use super::rope::{RopeContext, ropes};
use crate::engine::formats::check::check_config;
use crate::engine::model::{Activation, Family, LayerConfig, ModelConfig};
use crate::engine::{Error, Result};

/// The families that can be read, for messages.
pub(crate) const SUPPORTED: &str = "Llama, Mistral, Qwen2, Qwen3, Gemma, Gemma 2, Gemma 3 (text), Phi-3, SmolLM3";

/// Reads `config.json` (and the ids that end a sequence from `generation_config.json`) of a folder.
pub(crate) fn read_config(folder: &Path) -> Result<(ModelConfig, Json)> {
    let top = Json::read(&folder.join("config.json"))?;
    let mut config = model_config(&top)?;
    if let Some(generation) = Json::read_optional(&folder.join("generation_config.json"))? {
        for id in generation.token_ids("eos_token_id")? {
            if !config.eos.contains(&id) {
                config.eos.push(id);
            }
        }
    }
    Ok((config, top))
}

/// The family and the name of its class, or an error that names what was found and what is supported.
fn family(top: &Json) -> Result<(Family, String)> {
    let model_type = top.str("model_type")?.unwrap_or_default();
    let architecture = top.strings("architectures")?.and_then(|list| list.into_iter().next());
    let known = match model_type {
        "llama" => Some((Family::Llama, "LlamaForCausalLM")),
        "mistral" => Some((Family::Mistral, "MistralForCausalLM")),
        "qwen2" => Some((Family::Qwen2, "Qwen2ForCausalLM")),
        "qwen3" => Some((Family::Qwen3, "Qwen3ForCausalLM")),
        "gemma" => Some((Family::Gemma, "GemmaForCausalLM")),
        "gemma2" => Some((Family::Gemma2, "Gemma2ForCausalLM")),
        "gemma3_text" => Some((Family::Gemma3, "Gemma3ForCausalLM")),
        "gemma3" => Some((Family::Gemma3, "Gemma3ForConditionalGeneration")),
        "phi3" => Some((Family::Phi3, "Phi3ForCausalLM")),
        "smollm3" => Some((Family::SmolLm3, "SmolLM3ForCausalLM")),
        _ => None,
    };
    let name = architecture.as_deref().filter(|a| !a.is_empty());
    let Some((family, class)) = known else {
        let found = match (name, model_type) {
            (None, "") => {
                return Err(Error::file("config.json names no architecture: is this a language model?", &top.path));
            }
            (Some(name), "") => name.to_string(),
            (None, kind) => kind.to_string(),
            (Some(name), kind) => format!("{name} (model_type {kind})"),
        };
        let message = format!("the architecture {found} is not supported; supported are: {SUPPORTED}");
        return Err(Error::file(message, &top.path));
    };
    if let Some(name) = name
        && name != class
    {
        let message =
            format!("the architecture {name} is not supported: of {model_type}, only {class} can be trained here");
        return Err(Error::file(message, &top.path));
    }
    Ok((family, class.to_string()))
}

/// What transformers' configuration class of a family fills in for absent keys.
struct Defaults {
    max_positions: usize,
    norm_eps: f64,
    tied: bool,
    kv_heads: Option<usize>,
    head_dim: Option<usize>,
    window: Option<usize>,
}

fn defaults(family: Family) -> Defaults {
    use Family::*;
    Defaults {
        max_positions: match family {
            Llama => 2048,
            Phi3 => 4096,
            Gemma | Gemma2 => 8192,
            Qwen2 | Qwen3 | SmolLm3 => 32768,
            Mistral | Gemma3 => 131_072,
        },
        norm_eps: if family == Phi3 { 1e-5 } else { 1e-6 },
        tied: matches!(family, Gemma | Gemma2 | Gemma3 | SmolLm3),
        kv_heads: match family {
            Llama | Phi3 => None,
            Mistral => Some(8),
            Qwen2 | Qwen3 => Some(32),
            Gemma => Some(16),
            Gemma2 | Gemma3 | SmolLm3 => Some(4),
        },
        head_dim: match family {
            Qwen3 => Some(128),
            Gemma | Gemma2 | Gemma3 => Some(256),
            _ => None,
        },
        window: match family {
            Mistral | Qwen2 | Qwen3 | Gemma2 | Gemma3 => Some(4096),
            _ => None,
        },
    }
}

/// The decoder that a parsed `config.json` describes.
pub(crate) fn model_config(top: &Json) -> Result<ModelConfig> {
    let (family, architecture) = family(top)?;
    let multimodal = architecture == "Gemma3ForConditionalGeneration";
    let text = match multimodal {
        true => top.object("text_config")?.unwrap_or_else(|| top.clone()),
        false => top.clone(),
    };
    let default = defaults(family);
    let gemma = matches!(family, Family::Gemma | Family::Gemma2 | Family::Gemma3);

    let hidden = text.required_usize("hidden_size")?;
    let layer_count = text.required_usize("num_hidden_layers")?;
    // Gemma 3's multimodal configurations leave out what equals the class's defaults.
    let or_gemma3 = |key: &str, value: usize| match (family, text.usize(key)?) {
        (_, Some(given)) => Ok(given),
        (Family::Gemma3, None) => Ok(value),
        (_, None) => text.required_usize(key),
    };
    let heads = or_gemma3("num_attention_heads", 8)?;
    let vocab = or_gemma3("vocab_size", 262_208)?;
    if heads == 0 {
        return Err(Error::file("num_attention_heads must not be 0", &text.path));
    }
    // An explicit null means "as many as query heads"; an absent key means the class's default.
    let absent = if text.has("num_key_value_heads") { None } else { default.kv_heads };
    let kv_heads = text.usize("num_key_value_heads")?.or(absent).unwrap_or(heads);
    let own_head_dim = if family == Family::Phi3 { None } else { text.usize("head_dim")? };
    let head_dim = match own_head_dim {
        Some(given) => given,
        None if text.has("head_dim") => hidden / heads,
        None => default.head_dim.unwrap_or(hidden / heads),
    };
    let max_positions = text.usize("max_position_embeddings")?.unwrap_or(default.max_positions);
    let (full_rope, local_rope) = ropes(&RopeContext { family, config: &text, head_dim, max_positions })?;
    let two_ropes = full_rope != local_rope;
    let layers = layers(family, &text, layer_count, default.window, two_ropes)?;
    let attention_bias = text.bool("attention_bias")?.unwrap_or(false);
    let has_attention_bias = matches!(family, Family::Llama | Family::Qwen3 | Family::SmolLm3) || gemma;
    let query_scalar = match family {
        Family::Gemma2 | Family::Gemma3 => text.f64("query_pre_attn_scalar")?.unwrap_or(256.0),
        _ => head_dim as f64,
    };
    let softcap = |key: &str, default: f64| {
        let absent = (family == Family::Gemma2 && !text.has(key)).then_some(default);
        let given = if matches!(family, Family::Gemma2 | Family::Gemma3) { text.f64(key)? } else { None };
        Ok::<_, Error>(given.or(absent).map(|cap| cap as f32))
    };
    let tie_key = "tie_word_embeddings";
    let tied = if multimodal { top.bool(tie_key)?.or(text.bool(tie_key)?) } else { text.bool(tie_key)? };
    if text.bool("use_bidirectional_attention")?.unwrap_or(false) {
        return Err(Error::file("bidirectional attention (an embedding model) is not supported", &text.path));
    }
    // Of a multimodal model, the ids stand at the top.
    let ids = |key: &str| {
        let own = text.token_ids(key)?;
        if own.is_empty() { top.token_ids(key) } else { Ok(own) }
    };

    let config = ModelConfig {
        family,
        architecture,
        hidden,
        intermediate: text.required_usize("intermediate_size")?,
        heads,
        kv_heads,
        head_dim,
        vocab,
        max_positions,
        norm_eps: text.f64("rms_norm_eps")?.unwrap_or(default.norm_eps) as f32,
        norm_plus_one: gemma,
        post_norms: matches!(family, Family::Gemma2 | Family::Gemma3),
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        qkv_bias: family == Family::Qwen2 || has_attention_bias && attention_bias,
        o_bias: has_attention_bias && attention_bias,
        mlp_bias: matches!(family, Family::Llama | Family::SmolLm3) && text.bool("mlp_bias")?.unwrap_or(false),
        fused: family == Family::Phi3,
        activation: activation(&text, gemma)?,
        embed_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
        attention_scale: (1.0 / query_scalar.sqrt()) as f32,
        attention_softcap: softcap("attn_logit_softcapping", 50.0)?,
        final_softcap: softcap("final_logit_softcapping", 30.0)?,
        tied: tied.unwrap_or(default.tied),
        ropes: if two_ropes { vec![full_rope, local_rope] } else { vec![full_rope] },
        layers,
        layer_prefix: if multimodal { "model.language_model.layers" } else { "model.layers" }.to_string(),
        bos: ids("bos_token_id")?.first().copied(),
        eos: ids("eos_token_id")?,
        pad: ids("pad_token_id")?.first().copied(),
    };
    check_config(&config).map_err(|message| Error::file(message, &top.path))?;
    Ok(config)
}

fn activation(text: &Json, gemma: bool) -> Result<Activation> {
    let name = match text.str("hidden_activation")? {
        Some(name) => name,
        None => text.str("hidden_act")?.unwrap_or(if gemma { "gelu_pytorch_tanh" } else { "silu" }),
    };
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        // Gemma's first files say "gelu" and mean the tanh approximation.
        "gelu" if gemma => Ok(Activation::GeluTanh),
        other => {
            let message = format!("the activation {other} is not supported (supported are: silu, gelu_pytorch_tanh)");
            Err(Error::file(message, &text.path))
        }
    }
}

/// Windows and rotary embeddings, layer by layer.
fn layers(
    family: Family,
    text: &Json,
    count: usize,
    default_window: Option<usize>,
    two_ropes: bool,
) -> Result<Vec<LayerConfig>> {
    if count == 0 || count > 4096 {
        return Err(Error::file(format!("num_hidden_layers is {count}, which cannot be"), &text.path));
    }
    let window = match text.usize("sliding_window")? {
        Some(window) => Some(window),
        None if text.has("sliding_window") => None,
        None => default_window,
    };
    let use_window = text.bool("use_sliding_window")?.unwrap_or(false);
    let no_rope = no_rope_layers(family, text, count)?;
    let types = text.strings("layer_types")?;
    if let Some(types) = &types
        && types.len() < count
    {
        return Err(Error::file(format!("layer_types names {} of {count} layers", types.len()), &text.path));
    }
    let pattern = text.usize("sliding_window_pattern")?.or(text.usize("_sliding_window_pattern")?).unwrap_or(6).max(1);
    let first_window_layer = text.usize("max_window_layers")?.unwrap_or(28);
    let slides = |i: usize| -> Result<bool> {
        match types.as_ref().map(|t| t[i].as_str()) {
            Some("sliding_attention") => Ok(true),
            Some("full_attention") => Ok(false),
            Some(other) => Err(Error::file(format!("layer_types: {other} is not supported"), &text.path)),
            None => Ok(match family {
                Family::Gemma2 => i % 2 == 0,
                Family::Gemma3 => (i + 1) % pattern != 0,
                Family::Qwen2 | Family::Qwen3 => i >= first_window_layer,
                Family::SmolLm3 => no_rope[i],
                _ => false,
            }),
        }
    };
    (0..count)
        .map(|i| {
            let slides = match family {
                Family::Llama | Family::Gemma => false,
                Family::Mistral | Family::Phi3 => true,
                Family::Qwen2 | Family::Qwen3 | Family::SmolLm3 => use_window && slides(i)?,
                Family::Gemma2 | Family::Gemma3 => slides(i)?,
            };
            let rope = if no_rope[i] { None } else { Some(usize::from(slides && two_ropes)) };
            Ok(LayerConfig { window: window.filter(|_| slides), rope })
        })
        .collect()
}

/// Which layers have no positions (SmolLM3).
fn no_rope_layers(family: Family, text: &Json, count: usize) -> Result<Vec<bool>> {
    if family != Family::SmolLm3 {
        return Ok(vec![false; count]);
    }
    match text.numbers("no_rope_layers")? {
        // Named for what it lacks, yet a 1 marks a layer that has rotary positions.
        Some(list) if list.len() >= count => Ok(list[..count].iter().map(|&has| has == 0.0).collect()),
        Some(list) => Err(Error::file(format!("no_rope_layers names {} of {count} layers", list.len()), &text.path)),
        None => {
            let interval = text.usize("no_rope_layer_interval")?.unwrap_or(4).max(1);
            Ok((0..count).map(|i| (i + 1) % interval == 0).collect())
        }
    }
}
