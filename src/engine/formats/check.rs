//! Sanity of a decoder's parameters, whatever file they come from: a hostile or broken file must not make the program
//! divide by zero, overflow or allocate without bound.

use crate::engine::model::ModelConfig;

/// What cannot be in `config`, in words.
pub(crate) fn check_config(config: &ModelConfig) -> Result<(), String> {
    // Well above every model that exists, far below what overflows when multiplied.
    let sizes = [
        ("hidden size", config.hidden, 1 << 20),
        ("intermediate size", config.intermediate, 1 << 24),
        ("number of layers", config.layers.len(), 4096),
        ("number of attention heads", config.heads, 1 << 14),
        ("number of key and value heads", config.kv_heads, 1 << 14),
        ("head size", config.head_dim, 1 << 14),
        ("vocabulary size", config.vocab, 1 << 26),
        ("context length", config.max_positions, 1 << 40),
    ];
    for (name, value, limit) in sizes {
        if value == 0 || value > limit {
            return Err(format!("the {name} is {value}, which cannot be"));
        }
    }
    if config.heads % config.kv_heads != 0 {
        return Err(format!("{} query heads cannot share {} key and value heads", config.heads, config.kv_heads));
    }
    if config.head_dim % 2 != 0 {
        return Err(format!("the head size {} is odd, which rotary positions cannot have", config.head_dim));
    }
    if !(config.norm_eps.is_finite() && config.norm_eps >= 0.0) {
        return Err(format!("the norm's epsilon is {}, which cannot be", config.norm_eps));
    }
    if !(config.attention_scale.is_finite() && config.attention_scale > 0.0) {
        return Err(format!("the attention scale is {}, which cannot be", config.attention_scale));
    }
    for (name, cap) in [("attention", config.attention_softcap), ("final", config.final_softcap)] {
        if let Some(cap) = cap.filter(|cap| *cap <= 0.0) {
            return Err(format!("the {name} soft cap must be positive, got {cap}"));
        }
    }
    if config.layers.iter().any(|l| l.window == Some(0)) {
        return Err("a sliding window of 0 tokens cannot be".into());
    }
    // Padding is never looked up, and some published configurations point it just past the embedding.
    if let Some(bos) = config.bos.filter(|id| *id as usize >= config.vocab) {
        let vocab = config.vocab;
        return Err(format!("the beginning-of-sequence token {bos} is outside the vocabulary of {vocab} entries"));
    }
    Ok(())
}
