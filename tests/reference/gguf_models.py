"""Makes tests/fixtures/gguf: the tiny models of tests/fixtures/arch as GGUF files, checked with llama.cpp.

    python tests/reference/gguf_models.py [NAME...]     # gguf 0.19, llama-cpp-python 0.3.36, transformers 5.23

Names, permutations and metadata follow llama.cpp's converters (conversion/llama.py, gemma.py, phi.py, qwen.py). That a
file means what its Hugging Face model means is not believed but measured: llama.cpp's negative log-likelihood of the
fixture's rows must equal transformers'. What llama.cpp cannot express (windows in Llama's and Phi-3's layers, NoPE
layers elsewhere than every fourth, Gemma's query scale) is changed in the model first; `NAME.json` is the configuration
of the model that the file then holds. The committed files are in bfloat16, norms in f32; the check runs in f32.
"""
import json
import math
import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gguf
import numpy as np
import torch
from llama_cpp import Llama
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(os.path.dirname(HERE), "fixtures")
OUT = os.path.join(FIXTURES, "gguf")

# name of the fixture -> what has to change for llama.cpp
CASES = {
    "llama": {},
    "llama-bias": {},
    "llama3-rope": {},
    "llama-headdim": {},
    "llama-linear": {},
    "llama-yarn": {},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": {"query_pre_attn_scalar": 16},
    "phi3": {"sliding_window": None},
    "phi3-longrope": {},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0], "num_hidden_layers": 4, "layer_types": ["full_attention"] * 4},
}

LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
POST_NORMS = LAYER | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def permute(weights, n_head):
    """`LlamaModel.permute` of the converter."""
    return (weights.reshape(n_head, 2, weights.shape[0] // n_head // 2, *weights.shape[1:])
            .swapaxes(1, 2).reshape(weights.shape))


def tensors(config, state):
    kind = config.model_type
    names = POST_NORMS if kind in ("gemma2", "gemma3_text") else LAYER
    for name, tensor in state.items():
        if name == "model.embed_tokens.weight":
            own = "token_embd.weight"
        elif name == "model.norm.weight":
            own = "output_norm.weight"
        elif name == "lm_head.weight":
            own = "output.weight"
        else:
            _, _, layer, rest = name.split(".", 3)
            module, part = rest.rsplit(".", 1)
            own = f"blk.{layer}.{names[module]}.{part}"
        if kind in ("llama", "smollm3") and ".q_proj." in name:
            tensor = permute(tensor, config.num_attention_heads)
        if kind in ("llama", "smollm3") and ".k_proj." in name:
            tensor = permute(tensor, config.num_key_value_heads)
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + 1
        yield own, tensor


def llama3_factors(config):
    """`generate_extra_tensors` of the converter."""
    rope, dim = config.rope_parameters, config.head_dim
    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    old = rope["original_max_position_embeddings"]
    factors = []
    for freq in freqs:
        wavelen = 2 * math.pi / freq
        if wavelen < old / high:
            factors.append(1)
        elif wavelen > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelen - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors, dtype=torch.float32)


def write(path, config, state, half):
    kind = config.model_type
    arch = {"gemma3_text": "gemma3"}.get(kind, kind)
    w = gguf.GGUFWriter(path, arch)
    w.add_type(gguf.GGUFType.MODEL)
    w.add_name("tiny")
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if head_dim * config.num_attention_heads != config.hidden_size or kind in ("qwen3", "gemma", "gemma2", "gemma3_text"):
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    w.add_vocab_size(config.vocab_size)
    w.add_tokenizer_model("none")
    rope = config.rope_parameters
    full = rope.get("full_attention", rope)
    if kind != "gemma":
        w.add_rope_freq_base(full["rope_theta"])
    if kind in ("llama", "smollm3"):
        w.add_rope_dimension_count(head_dim)
    if full["rope_type"] in ("linear", "yarn"):
        w.add_rope_scaling_type(gguf.RopeScalingType(full["rope_type"]))
        w.add_rope_scaling_factor(full["factor"])
    if full["rope_type"] == "yarn":
        w.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        if full.get("beta_fast"):
            w.add_rope_scaling_yarn_beta_fast(full["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(full["beta_slow"])
    if kind == "phi3":
        factor = full.get("partial_rotary_factor", 1.0)
        original = full.get("original_max_position_embeddings", config.original_max_position_embeddings)
        w.add_rope_dimension_count(int(factor * head_dim))
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_sliding_window(config.sliding_window or 0)
        if full["rope_type"] == "longrope":
            scale = config.max_position_embeddings / original
            w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
    if kind in ("gemma2", "gemma3_text"):
        w.add_sliding_window(config.sliding_window)
    if kind == "gemma2":
        w.add_attn_logit_softcapping(config.attn_logit_softcapping)
        w.add_final_logit_softcapping(config.final_logit_softcapping)
    if kind == "gemma3_text":
        w.add_uint32("gemma3.attention.sliding_window_pattern", config.layer_types.index("full_attention") + 1)
        w.add_float32("gemma3.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])

    def add(name, tensor):
        if half and tensor.ndim > 1:
            bits = tensor.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint8)
            w.add_tensor(name, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(name, tensor.numpy())

    if full["rope_type"] == "llama3":
        add("rope_freqs.weight", llama3_factors(config))
    if full["rope_type"] == "longrope":
        add("rope_factors_long.weight", torch.tensor(full["long_factor"]))
        add("rope_factors_short.weight", torch.tensor(full["short_factor"]))
    for name, tensor in tensors(config, state):
        add(name, tensor.contiguous())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def likelihoods_of_llama_cpp(path, rows, rope):
    # The file says these two as well, but for these architectures llama.cpp takes them from its command line alone.
    betas = dict(yarn_beta_fast=rope.get("beta_fast", -1.0), yarn_beta_slow=rope.get("beta_slow", -1.0))
    llama = Llama(path, n_ctx=256, logits_all=True, type_k=0, type_v=0, n_threads=1, n_gpu_layers=0, verbose=False,
                  flash_attn=False, **betas)
    for row in rows:
        llama.reset()
        llama.eval(row)
        logits = torch.tensor(np.array(llama.scores[: len(row)]), dtype=torch.float64)
        yield torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:]), reduction="none")


def likelihoods_of_transformers(model, rows):
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0].double()
        yield torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:]), reduction="none")


os.makedirs(OUT, exist_ok=True)
for name in sys.argv[1:] or CASES:
    folder = os.path.join(FIXTURES, "arch", name)
    config = AutoConfig.from_pretrained(folder)
    for key, value in CASES[name].items():
        setattr(config, key, value)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    # Layers that a change added keep random weights; the scale is that of the others.
    weights = load_file(os.path.join(folder, "model.safetensors"))
    layers = max(int(k.split(".")[2]) for k in weights if ".layers." in k) + 1
    for layer in range(layers, config.num_hidden_layers):
        weights |= {k.replace(".layers.0.", f".layers.{layer}."): v for k, v in weights.items() if ".layers.0." in k}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(k == "lm_head.weight" for k in missing), (missing, unexpected)
    model.tie_weights()
    with open(os.path.join(folder, "expected.json")) as f:
        rows = json.load(f)["rows"]
    if name == "phi3-longrope":  # llama.cpp chooses the factors by the context's size: always the long ones here
        rows = [row for row in rows if len(row) > config.original_max_position_embeddings]
    state = {k: v for k, v in model.state_dict().items() if not (config.tie_word_embeddings and k == "lm_head.weight")}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "f32.gguf")
        write(path, config, state, half=False)
        ours, theirs = likelihoods_of_llama_cpp(path, rows, config.rope_parameters), likelihoods_of_transformers(model, rows)
        worst = max((a - b).abs().max().item() for a, b in zip(ours, theirs))
    print(f"{name:14} llama.cpp differs from transformers by {worst:.1e}", flush=True)
    # llama.cpp reads Gelu from a table in half precision.
    assert worst < (2e-3 if "gemma" in name else 1e-4), name
    write(os.path.join(OUT, f"{name}.gguf"), config, state, half=True)
    settings = {k: v for k, v in config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    with open(os.path.join(OUT, f"{name}.json"), "w") as f:
        json.dump(settings, f, indent=1, sort_keys=True)
        f.write("\n")
