//! Rotary settings of `config.json`: `rope_theta` + `rope_scaling` (transformers 4), `rope_parameters` (transformers 5).
//! The arithmetic follows transformers' `modeling_rope_utils.py`.

use super::json::Json;
use crate::engine::model::{Family, RopeConfig, RopeScaling};
use crate::engine::{Error, Result};

/// What the scaling formulas need beside the rotary settings themselves.
pub(crate) struct RopeContext<'a> {
    pub(crate) family: Family,
    /// The text model's configuration.
    pub(crate) config: &'a Json,
    pub(crate) head_dim: usize,
    pub(crate) max_positions: usize,
}

/// Rotary embeddings of full-attention layers and of sliding-window layers; most families have one for both.
pub(crate) fn ropes(cx: &RopeContext<'_>) -> Result<(RopeConfig, RopeConfig)> {
    let config = cx.config;
    let scaling = config.object("rope_scaling")?.filter(|s| !s.map.is_empty());
    let parameters = config.object("rope_parameters")?;
    let default_theta = if cx.family == Family::SmolLm3 { 2e6 } else { 1e4 };
    let theta = config.f64("rope_theta")?;
    let empty = || Json { map: Default::default(), path: config.path.clone() };
    if cx.family == Family::Gemma3 {
        // Gemma 3 has two bases; what scales is the global one. transformers ignores flat `rope_parameters` here.
        let nested = parameters.unwrap_or_else(empty);
        let mut full = nested.object("full_attention")?.unwrap_or_else(empty);
        if let Some(scaling) = scaling {
            full.map.extend(scaling.map);
        }
        let local = nested.object("sliding_attention")?.unwrap_or_else(empty);
        let local_theta = config.f64("rope_local_base_freq")?.unwrap_or(1e4);
        return Ok((rope(cx, &full, theta.unwrap_or(1e6))?, rope(cx, &local, local_theta)?));
    }
    let theta = theta.unwrap_or(default_theta);
    let flat = scaling.or(parameters).unwrap_or_else(empty);
    if flat.has("full_attention") || flat.has("sliding_attention") {
        let full = flat.object("full_attention")?.unwrap_or_else(empty);
        let sliding = flat.object("sliding_attention")?.unwrap_or_else(empty);
        return Ok((rope(cx, &full, theta)?, rope(cx, &sliding, theta)?));
    }
    let one = rope(cx, &flat, theta)?;
    Ok((one.clone(), one))
}

/// One rotary embedding from its settings.
fn rope(cx: &RopeContext<'_>, settings: &Json, default_theta: f64) -> Result<RopeConfig> {
    let theta = settings.f64("rope_theta")?.unwrap_or(default_theta);
    if theta <= 0.0 {
        return Err(Error::file(format!("rope_theta must be positive, got {theta}"), &cx.config.path));
    }
    let dims = rotary_dims(cx, settings)?;
    Ok(RopeConfig { theta, dims, scaling: scaling(cx, settings, dims)? })
}

/// Dimensions that rotate: all of the head, or Phi-3's leading part.
fn rotary_dims(cx: &RopeContext<'_>, settings: &Json) -> Result<usize> {
    if cx.family != Family::Phi3 {
        return Ok(cx.head_dim);
    }
    let factor = match settings.f64("partial_rotary_factor")? {
        Some(factor) => factor,
        None => cx.config.f64("partial_rotary_factor")?.unwrap_or(1.0),
    };
    let dims = ((cx.head_dim as f64 * factor) as usize).next_multiple_of(2);
    if !(2..=cx.head_dim).contains(&dims) {
        return Err(Error::file(format!("partial_rotary_factor {factor} is out of range"), &cx.config.path));
    }
    Ok(dims)
}

fn scaling(cx: &RopeContext<'_>, settings: &Json, dims: usize) -> Result<RopeScaling> {
    let mut kind = settings.str("rope_type")?.or(settings.str("type")?).unwrap_or("default");
    // Early Phi-3 files used other names for the same thing.
    if cx.family == Family::Phi3 && matches!(kind, "su" | "yarn") {
        kind = "longrope";
    }
    let required = |key: &str| {
        settings.f64(key)?.ok_or_else(|| Error::file(format!("the rotary setting {key} is missing"), &cx.config.path))
    };
    let scaling = match kind {
        // Dynamic NTK changes nothing up to the context length that the model was trained for, and rows end there.
        "default" | "dynamic" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: required("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: required("factor")?,
            low_freq_factor: required("low_freq_factor")?,
            high_freq_factor: required("high_freq_factor")?,
            original_max_positions: original_max_positions(cx, settings)?,
        },
        "yarn" => yarn(cx, settings)?,
        "longrope" => longrope(cx, settings, dims)?,
        other => {
            let supported = "default, linear, dynamic, llama3, yarn, longrope";
            let message = format!("rotary embeddings of type {other} are not supported (supported are: {supported})");
            return Err(Error::file(message, &cx.config.path));
        }
    };
    if let RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } | RopeScaling::Yarn { factor, .. } =
        scaling
        && factor <= 0.0
    {
        return Err(Error::file(format!("the rotary scaling factor must be positive, got {factor}"), &cx.config.path));
    }
    Ok(scaling)
}

/// The model's own key wins over the rotary settings' (transformers: "we give priority to it"); Phi-3 defaults to 4096.
fn original_max_positions(cx: &RopeContext<'_>, settings: &Json) -> Result<usize> {
    let key = "original_max_position_embeddings";
    let own = cx.config.usize(key)?.or((cx.family == Family::Phi3).then_some(4096));
    let original = match own {
        Some(original) => original,
        None => settings.usize(key)?.unwrap_or(cx.max_positions),
    };
    if original < 2 {
        return Err(Error::file(format!("{key} must be at least 2, got {original}"), &cx.config.path));
    }
    Ok(original)
}

fn yarn(cx: &RopeContext<'_>, settings: &Json) -> Result<RopeScaling> {
    let original = original_max_positions(cx, settings)?;
    let factor = settings.f64("factor")?.unwrap_or(cx.max_positions as f64 / original as f64);
    let mscale = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    let nonzero = |key: &str| Ok::<_, Error>(settings.f64(key)?.filter(|x| *x != 0.0));
    let attention_factor = match (settings.f64("attention_factor")?, nonzero("mscale")?, nonzero("mscale_all_dim")?) {
        (Some(given), _, _) => given,
        (None, Some(one), Some(all)) => mscale(one) / mscale(all),
        _ => mscale(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast: nonzero("beta_fast")?.unwrap_or(32.0),
        beta_slow: nonzero("beta_slow")?.unwrap_or(1.0),
        original_max_positions: original,
        attention_factor,
        truncate: settings.bool("truncate")?.unwrap_or(true),
    })
}

fn longrope(cx: &RopeContext<'_>, settings: &Json, dims: usize) -> Result<RopeScaling> {
    let original = original_max_positions(cx, settings)?;
    let factors = |key: &str| {
        let list = settings.numbers(key)?.unwrap_or_default();
        if list.len() != dims / 2 || list.iter().any(|f| *f <= 0.0) {
            let message = format!("{key}: expected {} positive numbers, got {}", dims / 2, list.len());
            return Err(Error::file(message, &cx.config.path));
        }
        Ok(list)
    };
    let factor = settings.f64("factor")?.unwrap_or(cx.max_positions as f64 / original as f64);
    let attention_factor = match settings.f64("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok(RopeScaling::LongRope {
        short_factor: factors("short_factor")?,
        long_factor: factors("long_factor")?,
        original_max_positions: original,
        attention_factor,
    })
}
