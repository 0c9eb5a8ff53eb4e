"""Makes tests/fixtures/configs.json: `config.json` files of many ages and what transformers 5.23 understands by them.

    python tests/reference/hf_configs.py

The inputs copy the keys that published models have (their sizes are what those models have); nothing is downloaded.
For each: head width, k and v heads, which layers see a window and which have positions, the rotary frequencies and the
factor on cos and sin, the scale of attention, soft caps, whether the head is tied, biases.
"""
import contextlib
import io
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, logging

logging.set_verbosity_error()
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "configs.json")
A = lambda name: {"architectures": [name]}

LLAMA3 = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
          "rope_type": "llama3"}
CONFIGS = {
    "TinyLlama 1.1B": A("LlamaForCausalLM") | dict(
        model_type="llama", bos_token_id=1, eos_token_id=2, hidden_act="silu", hidden_size=2048, intermediate_size=5632,
        max_position_embeddings=2048, num_attention_heads=32, num_hidden_layers=22, num_key_value_heads=4,
        pretraining_tp=1, rms_norm_eps=1e-5, rope_scaling=None, tie_word_embeddings=False, vocab_size=32000),
    "Llama 1 (no kv heads)": A("LlamaForCausalLM") | dict(
        model_type="llama", hidden_act="silu", hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
        num_hidden_layers=4, rms_norm_eps=1e-6, vocab_size=32000, eos_token_id=2, bos_token_id=1, pad_token_id=-1),
    "Llama 3.2 1B": A("LlamaForCausalLM") | dict(
        model_type="llama", attention_bias=False, bos_token_id=128000, eos_token_id=[128001, 128008, 128009], head_dim=64,
        hidden_act="silu", hidden_size=2048, intermediate_size=8192, max_position_embeddings=131072, mlp_bias=False,
        num_attention_heads=32, num_hidden_layers=16, num_key_value_heads=8, rms_norm_eps=1e-5, rope_scaling=LLAMA3,
        rope_theta=500000.0, tie_word_embeddings=True, vocab_size=128256),
    "Llama, transformers 5": A("LlamaForCausalLM") | dict(
        model_type="llama", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=131072,
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=None, head_dim=None, rms_norm_eps=1e-5,
        rope_parameters=LLAMA3 | {"rope_theta": 500000.0}, tie_word_embeddings=False, vocab_size=512, attention_bias=True,
        mlp_bias=True),
    "Llama, linear of old": A("LlamaForCausalLM") | dict(
        model_type="llama", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=8192,
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=4, rms_norm_eps=1e-5, vocab_size=512,
        rope_scaling={"type": "linear", "factor": 4.0}),
    "Llama, dynamic": A("LlamaForCausalLM") | dict(
        model_type="llama", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=4096,
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=4, rms_norm_eps=1e-5, vocab_size=512,
        rope_scaling={"type": "dynamic", "factor": 2.0}),
    "Mistral 7B v0.1": A("MistralForCausalLM") | dict(
        model_type="mistral", bos_token_id=1, eos_token_id=2, hidden_act="silu", hidden_size=4096, intermediate_size=14336,
        max_position_embeddings=32768, num_attention_heads=32, num_hidden_layers=3, num_key_value_heads=8,
        rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=4096, tie_word_embeddings=False, vocab_size=32000),
    "Mistral Nemo": A("MistralForCausalLM") | dict(
        model_type="mistral", bos_token_id=1, eos_token_id=2, head_dim=128, hidden_act="silu", hidden_size=5120,
        intermediate_size=14336, max_position_embeddings=131072, num_attention_heads=32, num_hidden_layers=2,
        num_key_value_heads=8, rms_norm_eps=1e-5, rope_theta=1000000.0, sliding_window=None, vocab_size=131072),
    "Mistral without the keys": A("MistralForCausalLM") | dict(
        model_type="mistral", hidden_size=512, intermediate_size=1024, num_attention_heads=16, num_hidden_layers=2,
        vocab_size=512),
    "Qwen2.5 0.5B": A("Qwen2ForCausalLM") | dict(
        model_type="qwen2", bos_token_id=151643, eos_token_id=151645, hidden_act="silu", hidden_size=896,
        intermediate_size=4864, max_position_embeddings=32768, max_window_layers=21, num_attention_heads=14,
        num_hidden_layers=24, num_key_value_heads=2, rms_norm_eps=1e-6, rope_theta=1000000.0, sliding_window=32768,
        tie_word_embeddings=True, use_sliding_window=False, vocab_size=151936),
    "Qwen2 with windows": A("Qwen2ForCausalLM") | dict(
        model_type="qwen2", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=131072,
        max_window_layers=3, num_attention_heads=4, num_hidden_layers=6, num_key_value_heads=2, rms_norm_eps=1e-6,
        rope_theta=1000000.0, sliding_window=1024, use_sliding_window=True, vocab_size=512),
    "Qwen2.5, yarn": A("Qwen2ForCausalLM") | dict(
        model_type="qwen2", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=32768,
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-6, rope_theta=1000000.0,
        vocab_size=512, rope_scaling={"factor": 4.0, "original_max_position_embeddings": 8192, "type": "yarn"}),
    "Qwen3 0.6B": A("Qwen3ForCausalLM") | dict(
        model_type="qwen3", attention_bias=False, bos_token_id=151643, eos_token_id=151645, head_dim=128,
        hidden_act="silu", hidden_size=1024, intermediate_size=3072, max_position_embeddings=40960, max_window_layers=28,
        num_attention_heads=16, num_hidden_layers=28, num_key_value_heads=8, rms_norm_eps=1e-6, rope_scaling=None,
        rope_theta=1000000, sliding_window=None, tie_word_embeddings=True, use_sliding_window=False, vocab_size=151936),
    "Qwen3 without head_dim": A("Qwen3ForCausalLM") | dict(
        model_type="qwen3", hidden_act="silu", hidden_size=256, intermediate_size=512, num_attention_heads=4,
        num_hidden_layers=2, num_key_value_heads=2, vocab_size=512, attention_bias=True),
    "Gemma 2B": A("GemmaForCausalLM") | dict(
        model_type="gemma", bos_token_id=2, eos_token_id=1, pad_token_id=0, head_dim=256, hidden_act="gelu",
        hidden_size=2048, intermediate_size=16384, max_position_embeddings=8192, num_attention_heads=8,
        num_hidden_layers=3, num_key_value_heads=1, rms_norm_eps=1e-6, rope_theta=10000.0, vocab_size=256000),
    "Gemma 2 2B": A("Gemma2ForCausalLM") | dict(
        model_type="gemma2", attn_logit_softcapping=50.0, bos_token_id=2, eos_token_id=[1, 107], pad_token_id=0,
        cache_implementation="hybrid", final_logit_softcapping=30.0, head_dim=256, hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh", hidden_size=2304, intermediate_size=9216, max_position_embeddings=8192,
        num_attention_heads=8, num_hidden_layers=5, num_key_value_heads=4, query_pre_attn_scalar=256, rms_norm_eps=1e-6,
        rope_theta=10000.0, sliding_window=4096, vocab_size=256000),
    "Gemma 2 27B": A("Gemma2ForCausalLM") | dict(
        model_type="gemma2", head_dim=128, hidden_activation="gelu_pytorch_tanh", hidden_size=4608,
        intermediate_size=36864, num_attention_heads=32, num_hidden_layers=2, num_key_value_heads=16,
        query_pre_attn_scalar=144, attn_logit_softcapping=None, vocab_size=256000),
    "Gemma 3 1B": A("Gemma3ForCausalLM") | dict(
        model_type="gemma3_text", attention_bias=False, attn_logit_softcapping=None, bos_token_id=2, eos_token_id=[1, 106],
        pad_token_id=0, final_logit_softcapping=None, head_dim=256, hidden_activation="gelu_pytorch_tanh",
        hidden_size=1152, intermediate_size=6912, max_position_embeddings=32768, num_attention_heads=4,
        num_hidden_layers=26, num_key_value_heads=1, query_pre_attn_scalar=256, rms_norm_eps=1e-6,
        rope_local_base_freq=10000, rope_scaling=None, rope_theta=1000000, sliding_window=512, sliding_window_pattern=6,
        vocab_size=262144),
    "Gemma 3 4B, as first published": A("Gemma3ForConditionalGeneration") | dict(
        model_type="gemma3", boi_token_index=255999, eoi_token_index=256000, eos_token_id=[1, 106],
        image_token_index=262144, mm_tokens_per_image=256, text_config=dict(
            hidden_size=2560, intermediate_size=10240, model_type="gemma3_text", num_hidden_layers=34,
            rope_scaling={"factor": 8.0, "rope_type": "linear"}, sliding_window=1024),
        vision_config=dict(hidden_size=1152, image_size=896, intermediate_size=4304, model_type="siglip_vision_model",
                           num_attention_heads=16, num_hidden_layers=27, patch_size=14)),
    "Gemma 3, transformers 5": A("Gemma3ForCausalLM") | dict(
        model_type="gemma3_text", head_dim=64, hidden_size=256, intermediate_size=512, num_attention_heads=4,
        num_hidden_layers=4, num_key_value_heads=1, query_pre_attn_scalar=100, sliding_window=64, vocab_size=512,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_parameters={"full_attention": {"factor": 8.0, "rope_theta": 500000.0, "rope_type": "linear"},
                         "sliding_attention": {"rope_theta": 5000.0, "rope_type": "default"}}),
    "Phi-3 mini 4k": A("Phi3ForCausalLM") | dict(
        model_type="phi3", bos_token_id=1, eos_token_id=32000, pad_token_id=32000, hidden_act="silu", hidden_size=3072,
        intermediate_size=8192, max_position_embeddings=4096, num_attention_heads=32, num_hidden_layers=2,
        num_key_value_heads=32, original_max_position_embeddings=4096, rms_norm_eps=1e-5, rope_scaling=None,
        rope_theta=10000.0, sliding_window=2047, tie_word_embeddings=False, vocab_size=32064),
    "Phi-3 mini 128k": A("Phi3ForCausalLM") | dict(
        model_type="phi3", hidden_act="silu", hidden_size=256, intermediate_size=512, max_position_embeddings=131072,
        num_attention_heads=8, num_hidden_layers=2, num_key_value_heads=8, original_max_position_embeddings=4096,
        rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=262144, vocab_size=32064, rope_scaling={
            "type": "longrope", "long_factor": [1.0 + i for i in range(16)], "short_factor": [1.0 + i / 10 for i in range(16)]}),
    "Phi-4 mini": A("Phi3ForCausalLM") | dict(
        model_type="phi3", hidden_act="silu", hidden_size=3072, intermediate_size=8192, max_position_embeddings=131072,
        num_attention_heads=24, num_hidden_layers=2, num_key_value_heads=8, original_max_position_embeddings=4096,
        partial_rotary_factor=0.75, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=262144,
        tie_word_embeddings=True, vocab_size=200064, rope_scaling={
            "type": "longrope", "long_factor": [1.0 + i for i in range(48)], "short_factor": [1.0] * 48}),
    "SmolLM3 3B": A("SmolLM3ForCausalLM") | dict(
        model_type="smollm3", attention_bias=False, bos_token_id=128000, eos_token_id=128012, pad_token_id=128004,
        hidden_act="silu", hidden_size=2048, intermediate_size=11008, max_position_embeddings=65536,
        max_window_layers=28, mlp_bias=False, no_rope_layer_interval=4, num_attention_heads=16, num_hidden_layers=36,
        num_key_value_heads=4, rms_norm_eps=1e-6, rope_scaling=None, rope_theta=5000000.0, sliding_window=None,
        use_sliding_window=False, vocab_size=128256, layer_types=["full_attention"] * 36,
        no_rope_layers=[int((i + 1) % 4 != 0) for i in range(36)]),
    "SmolLM3 with windows, no lists": A("SmolLM3ForCausalLM") | dict(
        model_type="smollm3", hidden_size=256, intermediate_size=512, num_attention_heads=4, num_hidden_layers=8,
        vocab_size=512, pad_token_id=0, no_rope_layer_interval=3, sliding_window=128, use_sliding_window=True, attention_bias=True,
        mlp_bias=True),
}


def understood(settings):
    settings = json.loads(json.dumps(settings))
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    auto = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        model = auto.from_config(config, attn_implementation="eager")
    text = config.get_text_config()
    decoder = model.model.language_model if hasattr(model.model, "language_model") else model.model
    rotary = type(decoder.rotary_emb)(text)  # on the CPU, not on "meta"
    kinds = getattr(text, "layer_types", None)
    windows, positions, frequencies = [], [], {}
    for i, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        if text.model_type in ("mistral", "phi3"):
            window = text.sliding_window
        else:
            window = getattr(attention, "sliding_window", None)
        windows.append(window)
        positions.append(bool(getattr(attention, "use_rope", True)))
    prefixes = {"": ""} if not text.model_type.startswith("gemma3") else {"full": "full_attention_", "local": "sliding_attention_"}
    for key, prefix in prefixes.items():
        frequencies[key or "full"] = [float(x) for x in getattr(rotary, prefix + "inv_freq").double()]
    scaling = rotary.attention_scaling if "" in prefixes else rotary.full_attention_attention_scaling
    first = decoder.layers[0]
    linears = {n.rsplit(".", 1)[1]: m for n, m in first.named_modules() if isinstance(m, torch.nn.Linear)}
    bias = lambda *names: any(linears[n].bias is not None for n in names if n in linears)
    with contextlib.suppress(AttributeError):
        layer_norm = decoder.norm.variance_epsilon
    return {
        "architecture": type(model).__name__,
        "layer_prefix": next(n for n, m in model.named_modules() if m is decoder.layers),
        "hidden": text.hidden_size, "intermediate": text.intermediate_size, "vocab": text.vocab_size,
        "heads": text.num_attention_heads, "kv_heads": text.num_key_value_heads, "head_dim": first.self_attn.head_dim,
        "max_positions": text.max_position_embeddings, "norm_eps": text.rms_norm_eps,
        "tied": bool(config.tie_word_embeddings), "qkv_bias": bias("q_proj", "qkv_proj"), "o_bias": bias("o_proj"),
        "mlp_bias": bias("down_proj"), "activation": type(first.mlp.act_fn if hasattr(first.mlp, "act_fn") else first.mlp.activation_fn).__name__,
        "attention_scale": first.self_attn.scaling, "windows": windows, "positions": positions,
        "frequencies": frequencies, "attention_factor": scaling,
        "attention_softcap": getattr(first.self_attn, "attn_logit_softcapping", None),
        "final_softcap": getattr(text, "final_logit_softcapping", None),
        "parameters": sum(p.numel() for n, p in model.named_parameters()
                          if "vision" not in n and "multi_modal" not in n),
    }


cases = [{"name": name, "config": settings, "expected": understood(settings)} for name, settings in CONFIGS.items()]
with open(OUT, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(len(cases), "configurations,", os.path.getsize(OUT) // 1000, "kB")
