"""Makes tests/fixtures/arch: random tiny models of every supported architecture, and what transformers and PEFT compute.

    python tests/reference/architectures.py [NAME...]        # transformers 5.23, peft 0.21.2, torch 2.15, CPU

For each architecture, a folder with

- `config.json` as transformers 5 writes it and `config.v4.json` as transformers 4 wrote it (checked here to load to the
  same logits), `model.safetensors` (f32);
- `adapter/`: a LoRA adapter of random A and B on all linears, written by PEFT;
- `expected.json`: rows of random tokens and the negative log-likelihood of every token after the first, with and
  without the adapter, and with the linears through bitsandbytes' (0.50.2) NF4 with double quantization, computed in float64;
- `gradients.safetensors`: the gradient of the sum of those likelihoods (with the adapter) for every A and B, computed in
  float64, stored in f32.

Weights are scaled until the logits are far from uniform, and every feature that a case is there for is checked to matter:
the script switches it off and asserts that the likelihoods move by far more than any tolerance of the tests.
The float32 numbers of transformers' eager attention are computed too; their distance from float64 is in `expected.json`
under `float32_error`: what float32 arithmetic can reach.
"""
import contextlib
import json
import math
import os
import shutil
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "arch")
LENGTHS = (2, 7, 19, 33)
RANK, ALPHA = 4, 8

SHAPE = dict(vocab_size=96, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

# name -> (model_type, settings, {feature: settings that switch it off})
CASES = {
    # Grouped queries, a head of its own.
    "llama": ("llama", dict(tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
              {"rope_theta": dict(rope_parameters=DEFAULT_ROPE)}),
    # A bias on every linear, head tied to the embedding, one k and v head for each q head.
    "llama-bias": ("llama", dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True, num_key_value_heads=4),
                   {"attention_bias": dict(attention_bias=False), "mlp_bias": dict(mlp_bias=False)}),
    # Llama 3.1's frequencies: kept, smoothed and divided ones all occur (wavelengths 6 to 9950, borders at 16 and 64).
    "llama3-rope": ("llama", dict(tie_word_embeddings=False, rope_parameters={
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}), {"scaling": dict(rope_parameters=DEFAULT_ROPE)}),
    # Width of a head that is not hidden / heads (20 against 16), an odd number of heads, one k and v head.
    "llama-headdim": ("llama", dict(tie_word_embeddings=False, head_dim=20, hidden_size=48, num_attention_heads=3, num_key_value_heads=1), {}),
    "llama-linear": ("llama", dict(tie_word_embeddings=False, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}), {"scaling": dict(rope_parameters=DEFAULT_ROPE)}),
    "llama-yarn": ("llama", dict(tie_word_embeddings=False, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 2.0, "beta_slow": 0.1}), {
            "scaling": dict(rope_parameters=DEFAULT_ROPE),
            "attention_factor": dict(rope_parameters={
                "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
                "beta_fast": 2.0, "beta_slow": 0.1, "attention_factor": 1.0})}),
    # A window of 6 tokens on every layer.
    "mistral": ("mistral", dict(tie_word_embeddings=False, sliding_window=6, head_dim=10),
                {"window": dict(sliding_window=None)}),
    "qwen2": ("qwen2", dict(tie_word_embeddings=True, use_sliding_window=False, sliding_window=None,
                            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), {}),
    # Layers from max_window_layers on see 6 tokens.
    "qwen2-window": ("qwen2", dict(tie_word_embeddings=False, use_sliding_window=True, sliding_window=6,
                                   max_window_layers=1), {"window": dict(use_sliding_window=False, layer_types=None)}),
    # A norm on each head of q and k, own head width.
    "qwen3": ("qwen3", dict(tie_word_embeddings=True, head_dim=16, attention_bias=False,
                            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), {}),
    # YaRN with what Qwen's and gpt-oss's configurations set: own attention factor, borders not rounded.
    "qwen3-yarn": ("qwen3", dict(tie_word_embeddings=False, head_dim=16, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 0.85, "beta_slow": 0.23, "attention_factor": 0.8, "truncate": False}), {
            "truncate": dict(rope_parameters={
                "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
                "beta_fast": 0.85, "beta_slow": 0.23, "attention_factor": 0.8, "truncate": True})}),
    # 1 + w norms, embedding times sqrt(hidden), GeGLU, one k and v head, own head width.
    "gemma": ("gemma", dict(tie_word_embeddings=True, head_dim=20, hidden_size=48, num_attention_heads=3,
                            num_key_value_heads=1),
              {"activation": dict(hidden_act="silu", hidden_activation="silu")}),
    # Post-norms, soft caps low enough to bend, a query scale of its own, windows on every other layer.
    "gemma2": ("gemma2", dict(tie_word_embeddings=True, head_dim=16, sliding_window=6, attn_logit_softcapping=3.0,
                              final_logit_softcapping=8.0, query_pre_attn_scalar=4), {
                                  "attention soft cap": dict(attn_logit_softcapping=None),
                                  "final soft cap": dict(final_logit_softcapping=None),
                                  "query scale": dict(query_pre_attn_scalar=16), "window": dict(sliding_window=64)}),
    # Local and global RoPE bases, the global one scaled; windows on two layers of three; q and k norms; post-norms.
    "gemma3": ("gemma3_text", dict(
        tie_word_embeddings=True, head_dim=16, num_hidden_layers=3, sliding_window=6, query_pre_attn_scalar=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}), {
        "global base": dict(rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 50.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}),
        "local base": dict(rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}}),
        "global scaling": dict(rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}),
        "pattern": dict(layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
        "window": dict(sliding_window=64)}),
    # Fused qkv and gate_up; a window.
    "phi3": ("phi3", dict(tie_word_embeddings=False, sliding_window=10, num_key_value_heads=4),
             {"window": dict(sliding_window=None)}),
    # Partial rotary; divisors per frequency, other ones for rows longer than 16 tokens (Phi-3-mini-128k, Phi-4-mini).
    "phi3-longrope": ("phi3", dict(
        tie_word_embeddings=True, hidden_size=48, num_attention_heads=3, num_key_value_heads=1,
        original_max_position_embeddings=16,
        partial_rotary_factor=0.75, rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 16, "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
            "long_factor": [1.5, 2.0, 3.0, 5.0, 9.0, 17.0]}), {
        "long": dict(rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 16, "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
            "long_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5]}),
        "short": dict(rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 16, "short_factor": [1.5, 2.0, 3.0, 5.0, 9.0, 17.0],
            "long_factor": [1.5, 2.0, 3.0, 5.0, 9.0, 17.0]})}),
    # Every third layer without positions.
    "smollm3": ("smollm3", dict(tie_word_embeddings=True, num_hidden_layers=3, no_rope_layers=[1, 0, 1],
                                rope_parameters={"rope_type": "default", "rope_theta": 2000.0}),
                {"no position": dict(no_rope_layers=[1, 1, 1])}),
}


@contextlib.contextmanager
def double_precision():
    """transformers computes norms, softmax and rotary angles in float32 whatever the model's type: in here, 'float32' is
    float64, so that a model in double precision is one throughout."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = lambda self, *a, **k: self.double()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved
        torch.set_default_dtype(torch.float32)


def build(config, weights, dtype):
    """A model of that configuration and those weights, computing in `dtype`."""
    context = double_precision() if dtype == torch.float64 else contextlib.nullcontext()
    with context:
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=dtype).eval()
        missing, unexpected = model.load_state_dict({k: v.to(dtype) for k, v in weights.items()}, strict=False)
        # A tied head is not in the file; a switched-off bias is too much.
        assert all(m == "lm_head.weight" for m in missing), missing
        assert all(u.endswith(".bias") for u in unexpected), unexpected
        model.tie_weights()
    return model.requires_grad_(False)


def random_weights(model, seed):
    """Weights whose logits are far from uniform, layer after layer."""
    gen = torch.Generator().manual_seed(seed)
    hidden = model.config.hidden_size
    plus_one = model.config.model_type.startswith("gemma")
    weights = {}
    for name, p in model.state_dict().items():
        noise = torch.randn(p.shape, generator=gen)
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if "norm" in name:
            value = (0.0 if plus_one else 1.0) + 0.3 * noise
        elif name.endswith(".bias"):
            value = 0.5 * noise
        elif name.endswith("embed_tokens.weight"):
            # With a tied head, logits are hidden · embedding: of standard deviation 0.75 · sqrt(hidden) ≈ 5. Gemma's
            # embedding enters the model times sqrt(hidden): smaller, or it drowns what the layers add.
            value = (0.35 if plus_one else 0.75 if model.config.tie_word_embeddings else 1.0) * noise
        elif name == "lm_head.weight":
            value = 5.0 / math.sqrt(hidden) * noise
        elif any(k in name for k in ("q_proj", "k_proj", "qkv_proj")):
            value = 1.4 / math.sqrt(p.shape[1]) * noise
        else:
            value = 1.2 / math.sqrt(p.shape[1]) * noise
        weights[name] = value
    return weights


def nll(model, rows):
    """Per row, the negative log-likelihood of every token after the first."""
    out = []
    for row in rows:
        ids = torch.tensor([row])
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        out.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
    return out


def adapt(model, path, weights):
    """Puts a PEFT LoRA on all linears, with these weights (random ones if none), and saves it."""
    model.name_or_path = model.config._name_or_path = f"lora-studio/{path}"
    model = get_peft_model(model, LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear"))
    model = model.to(next(model.get_base_model().parameters()).dtype).eval()
    gen = torch.Generator().manual_seed(11)
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.requires_grad_(True)
            with torch.no_grad():
                if weights is None:
                    scale = 1 / math.sqrt(p.shape[1]) if "lora_A" in name else 0.1
                    p.copy_(scale * torch.randn(p.shape, generator=gen))
                else:
                    p.copy_(weights[key(name)])
    return model


def key(name):
    """A parameter's name in PEFT's files."""
    return name.replace(".default", "")


def to_v4(config):
    """The configuration as transformers 4 wrote it."""
    config = {k: v for k, v in config.items() if not k.startswith("_")}
    config["torch_dtype"] = config.pop("dtype", "float32")
    config["transformers_version"] = "4.51.3"
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gemma3_text":
        full, local = rope["full_attention"], rope["sliding_attention"]
        config["rope_theta"], config["rope_local_base_freq"] = full["rope_theta"], local["rope_theta"]
        config["rope_scaling"] = {k: v for k, v in full.items() if k != "rope_theta"}
        config.pop("layer_types")
        config["sliding_window_pattern"] = 2
        return config
    rope = dict(rope)
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    partial = rope.pop("partial_rotary_factor", None)
    if partial not in (None, 1.0):
        config["partial_rotary_factor"] = partial
    if config["model_type"] == "phi3":
        rope.pop("original_max_position_embeddings", None)  # beside max_position_embeddings
        config["rope_scaling"] = {"type": "longrope", **rope} if kind == "longrope" else None
    else:
        # The older spelling of the key where there is one.
        config["rope_scaling"] = None if kind == "default" else {"type" if kind == "linear" else "rope_type": kind, **rope}
    if config["model_type"] in ("qwen2", "qwen3", "gemma2"):
        config.pop("layer_types", None)
    if config["model_type"] == "qwen2" and not config["use_sliding_window"]:
        config["sliding_window"] = 4096  # what Qwen's own files say; use_sliding_window switches it off
    return config


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2, sort_keys=True)
        f.write("\n")


def distance(a, b):
    return max((x.double() - y.double()).abs().max().item() for x, y in zip(a, b, strict=True))


def make(name, seed):
    kind, settings, features = CASES[name]
    settings = {**SHAPE, **settings}
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    fresh = lambda **changes: AutoConfig.for_model(kind, **{**settings, **changes})

    weights = random_weights(AutoModelForCausalLM.from_config(fresh()), seed)
    AutoModelForCausalLM.from_config(fresh()).save_pretrained(folder)  # for its config.json
    for extra in ("generation_config.json", "model.safetensors"):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    save_file(weights, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    write_json(os.path.join(folder, "config.json"), config)
    write_json(os.path.join(folder, "config.v4.json"), to_v4(config))

    gen = torch.Generator().manual_seed(seed + 1)
    rows = [torch.randint(3, settings["vocab_size"], (n,), generator=gen).tolist() for n in LENGTHS]
    exact = build(fresh(), weights, torch.float64)
    with torch.no_grad(), double_precision():
        base64 = nll(exact, rows)
        logits = exact(input_ids=torch.tensor([rows[-1]])).logits
    spread, mean = logits.std().item(), torch.cat(base64).mean().item()
    assert spread > 3 or mean > 1.5 * math.log(settings["vocab_size"]), (name, spread, mean)
    with torch.no_grad():
        base32 = nll(build(fresh(), weights, torch.float32), rows)
        # The folder as its readers see it, in both styles of configuration.
        again = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        assert distance(nll(again, rows), base32) == 0.0, name
        with open(os.path.join(folder, "config.v4.json")) as f:
            v4 = json.load(f)
        old = build(AutoConfig.for_model(kind, **{k: v for k, v in v4.items() if k != "model_type"}), weights, torch.float32)
        assert distance(nll(old, rows), base32) == 0.0, (name, "transformers 4 configuration")
        for feature, off in features.items():
            without = nll(build(fresh(**off), weights, torch.float32), rows)
            change = max(abs(a.mean() - b.mean()).item() for a, b in zip(without, base32))
            assert change > 0.03, (name, feature, change)
            print(f"  {feature}: switched off, a row's mean likelihood moves by {change:.3f}")

    adapted = adapt(exact, name, None)
    adapter = {key(n): p.detach().float() for n, p in adapted.named_parameters() if "lora_" in n}
    for n, p in adapted.named_parameters():
        if "lora_" in n:
            p.data = adapter[key(n)].double()
    with double_precision():
        nll64 = nll(adapted, rows)
        torch.cat(nll64).sum().backward()
    exact_gradients = {key(n): p.grad for n, p in adapted.named_parameters() if "lora_" in n}

    single = adapt(build(fresh(), weights, torch.float32), name, adapter)
    nll32 = nll(single, rows)
    torch.cat(nll32).sum().backward()
    gradients = {key(n): p.grad for n, p in single.named_parameters() if "lora_" in n}
    single.save_pretrained(os.path.join(folder, "adapter"))
    os.remove(os.path.join(folder, "adapter", "README.md"))
    with open(os.path.join(folder, "adapter", "adapter_config.json")) as f:
        adapter_config = json.load(f)
    adapter_config["target_modules"].sort()  # PEFT writes a set: in another order at every run
    write_json(os.path.join(folder, "adapter", "adapter_config.json"), adapter_config)
    save_file({k: v.float().contiguous() for k, v in exact_gradients.items()},
              os.path.join(folder, "gradients.safetensors"), metadata={"format": "pt"})
    error = {
        "nll": distance(base32, base64),
        "adapter_nll": distance([t.detach() for t in nll32], nll64),
        "gradient": max(((gradients[k].double() - g).norm() / g.norm()).item() for k, g in exact_gradients.items()),
    }
    change = max(abs(a.mean() - b.mean()).item() for a, b in zip(nll64, base64))
    assert change > 0.1, (name, "adapter", change)

    # The numbers that bitsandbytes' 4-bit linears multiply by; its own CPU product asks for sizes that these models lack.
    four_bit = build(fresh(), weights, torch.float32)
    for path, linear in four_bit.named_modules():
        if isinstance(linear, torch.nn.Linear) and path != "lm_head":
            weight = linear.weight.data
            # Flat: for some odd shapes bitsandbytes' own CPU kernel gives back other numbers than its GPU's.
            packed, state = quantize_4bit(weight.flatten(), quant_type="nf4", blocksize=64, compress_statistics=True)
            linear.weight.data = dequantize_4bit(packed, state).reshape(weight.shape)
    with torch.no_grad(), double_precision():
        nf4 = nll(four_bit.double(), rows)
    change = max(abs(a.mean() - b.mean()).item() for a, b in zip(nf4, base64))
    assert change > 0.03, (name, "nf4", change)
    print(f"  nf4: a row's mean likelihood moves by {change:.3f}")
    with open(os.path.join(folder, "expected.json"), "w") as f:
        figures = lambda rows: [[float(f"{x:.9g}") for x in row.tolist()] for row in rows]
        f.write(json.dumps({
            "float32_error": {k: float(f"{v:.2g}") for k, v in error.items()},
            "rows": rows, "nll": figures(base64), "nf4_nll": figures(nf4), "adapter_nll": figures(nll64)}).replace("], [", "],\n[").replace(', "', ',\n"') + "\n")
    print(f"{name}: logits ±{spread:.1f}, mean nll {mean:.2f}, with adapter {torch.cat(nll64).mean():.2f}, "
          f"float32 error {error['nll']:.1e} {error['adapter_nll']:.1e}, gradient {error['gradient']:.1e}")


for i, name in enumerate(CASES):
    if len(sys.argv) == 1 or name in sys.argv[1:]:
        make(name, 100 * (i + 1))
