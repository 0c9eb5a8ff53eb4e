"""Rotary frequencies, cos and sin as transformers computes them: writes tests/fixtures/rope.json.

    python tests/reference/rope.py

Made with transformers 5.23.0 and torch 2.15. Each case holds the parameters that src/engine/ops/rope.rs takes, the
inverse frequencies of transformers' `ROPE_INIT_FUNCTIONS`, and cos and sin at some positions, computed as
`LlamaRotaryEmbedding.forward` does.
"""

import json
import pathlib

import torch
from transformers import LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

POSITIONS = [0, 1, 2, 17, 511, 2047, 4095, 4096, 8191]


def llama(name, theta, head_dim, scaling, partial=1.0):
    rope = {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": partial, **scaling}
    config = LlamaConfig(hidden_size=4 * head_dim, num_attention_heads=4, head_dim=head_dim,
                         max_position_embeddings=16384, rope_parameters=rope)
    if rope["rope_type"] == "default":
        inv_freq, factor = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
        if partial != 1.0:
            inv_freq, factor = Phi3RotaryEmbedding.compute_default_rope_parameters(config)
    else:
        inv_freq, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config)
    return case(name, theta, int(head_dim * partial), rope, inv_freq, factor, POSITIONS)


def case(name, theta, dims, rope, inv_freq, factor, positions):
    position_ids = torch.tensor([positions])
    freqs = position_ids[..., None].float() * inv_freq
    cos = freqs.cos() * factor
    sin = freqs.sin() * factor
    return {
        "name": name, "theta": theta, "dims": dims, "scaling": rope, "attention_factor": factor,
        "inv_freq": inv_freq.tolist(), "positions": positions, "cos": cos[0].tolist(), "sin": sin[0].tolist(),
    }


def longrope(name, positions):
    """Through Phi-3's own module, which picks short or long by the largest position."""
    n = 24
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
        "short_factor": [1.0 + 0.05 * i for i in range(n)], "long_factor": [1.0 + 0.9 * i for i in range(n)],
        "original_max_position_embeddings": 4096,
    }
    config = Phi3Config(hidden_size=256, num_attention_heads=4, max_position_embeddings=131072, rope_parameters=rope,
                        original_max_position_embeddings=4096, pad_token_id=0)
    module = Phi3RotaryEmbedding(config)
    x = torch.zeros(1)
    cos, sin = module(x, torch.tensor([positions]))
    return {
        "name": name, "theta": 10000.0, "dims": 2 * n, "scaling": rope, "attention_factor": module.attention_scaling,
        "inv_freq": module.inv_freq.tolist(), "positions": positions,
        "cos": cos[0, :, :n].tolist(), "sin": sin[0, :, :n].tolist(),
    }


cases = [
    llama("default", 10000.0, 64, {}),
    llama("default, theta 1e6", 1000000.0, 128, {}),
    llama("partial", 10000.0, 64, {}, partial=0.5),
    llama("linear", 10000.0, 64, {"rope_type": "linear", "factor": 4.0}),
    llama("llama3", 500000.0, 64, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                   "original_max_position_embeddings": 8192}),
    llama("yarn", 10000.0, 128, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096}),
    llama("yarn, untruncated", 150000.0, 64, {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                                              "original_max_position_embeddings": 4096, "truncate": False}),
    longrope("longrope, short", [0, 1, 17, 4095]),
    longrope("longrope, long", [0, 1, 17, 4095, 4096, 8191]),
]
out = pathlib.Path(__file__).parents[1] / "fixtures" / "rope.json"
out.write_text(json.dumps(cases) + "\n")
print(out, out.stat().st_size, "bytes")
