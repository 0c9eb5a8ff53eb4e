//! Names of tensors: Hugging Face ↔ GGUF (`tensor_mapping.py` of the gguf package).

use crate::engine::formats::hf::strip_prefix;

/// Name in a GGUF file of a Hugging Face tensor; `post_norms` as in the configuration.
pub(crate) fn gguf_name(name: &str, post_norms: bool) -> Option<String> {
    let name = strip_prefix(name);
    match name {
        "embed_tokens.weight" => return Some("token_embd.weight".into()),
        "norm.weight" => return Some("output_norm.weight".into()),
        "lm_head.weight" => return Some("output.weight".into()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (module, part) = rest.rsplit_once('.')?;
    let module = match module {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "post_attention_layernorm" if post_norms => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "mlp.gate_proj" => "ffn_gate",
        // Phi-3's fused matrix goes by the name of `up`.
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{module}.{part}"))
}

/// The row of the file's q or k that is row `row` of the Hugging Face model's. Files of arch `llama` interleave the two
/// halves of each head, because llama.cpp rotates neighbours where Hugging Face rotates halves.
pub(crate) fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, inside) = (row / head_dim, row % head_dim);
    let half = head_dim / 2;
    head * head_dim + 2 * (inside % half) + inside / half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_families() {
        let name = |n: &str, post: bool| gguf_name(n, post).unwrap();
        assert_eq!(name("model.layers.3.self_attn.q_proj.bias", false), "blk.3.attn_q.bias");
        assert_eq!(
            name("model.language_model.layers.0.post_attention_layernorm.weight", true),
            "blk.0.post_attention_norm.weight"
        );
        assert_eq!(name("model.layers.0.post_attention_layernorm.weight", false), "blk.0.ffn_norm.weight");
        assert_eq!(name("model.layers.11.mlp.gate_up_proj.weight", false), "blk.11.ffn_up.weight");
        assert_eq!(gguf_name("model.layers.x.mlp.up_proj.weight", false), None);
    }

    /// `weights.reshape(heads, 2, d/2, …).swapaxes(1, 2)` of the converter sends Hugging Face row (half, i) to 2i + half.
    #[test]
    fn rows_are_the_inverse_of_the_converters_permutation() {
        let rows: Vec<usize> = (0..12).map(|r| interleaved_row(r, 6)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
