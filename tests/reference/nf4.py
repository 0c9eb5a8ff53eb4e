"""What bitsandbytes makes of a few matrices in 4 bits: tests/fixtures/nf4.safetensors, read by src/engine/quant/nf4.rs.

    OMP_NUM_THREADS=1 python tests/reference/nf4.py

Made with bitsandbytes 0.50.2 and torch 2.15 on a CPU with AVX-512; one thread, because torch's mean depends on how it is
split. The inputs are computed, here and in the test, by the same integer arithmetic, so only the results are stored;
for the largest cases their SHA-256.
"""

import hashlib
import json
import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import bitsandbytes.functional as F
import numpy as np
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import save_file
from splitmix import byte_sums

torch.set_num_threads(1)


def values(n, seed):
    """Sums of four bytes of splitmix64 around zero, a scale of its own for every 16 values: exact in 32 bits."""
    total = byte_sums(n, seed)
    scale = ((np.arange(n) // 16 * 7919 + seed) % 97 + 32).astype(np.float32) / np.float32(65536)
    v = total.astype(np.float32) * scale
    if seed == 5:  # whole blocks of zeros, and a short last block of zeros
        v[64:192] = 0
        v[-30:] = 0
    return torch.from_numpy(v)


# name, rows, columns, seed, dtype, double quantization, quant type
CASES = [
    ("even", 8, 128, 1, torch.float32, True, "nf4"),
    ("plain", 8, 128, 1, torch.float32, False, "nf4"),
    ("bf16", 16, 192, 2, torch.bfloat16, True, "nf4"),
    ("short_block", 3, 50, 3, torch.float32, True, "nf4"),
    ("odd", 7, 9, 4, torch.float32, False, "nf4"),
    ("odd_columns", 33, 77, 6, torch.float32, True, "nf4"),
    ("zeros", 10, 95, 5, torch.float32, True, "nf4"),
    ("one_block", 4, 16, 7, torch.float32, True, "nf4"),
    ("fp4", 8, 96, 8, torch.float32, True, "fp4"),
    ("three_nested", 120, 288, 9, torch.float32, True, "nf4"),
    ("mid", 576, 192, 10, torch.bfloat16, True, "nf4"),
    ("large", 1536, 576, 11, torch.float32, True, "nf4"),
    ("larger", 2050, 999, 12, torch.float32, True, "nf4"),
]

tensors, cases = {}, []
for name, rows, cols, seed, dtype, double, kind in CASES:
    w = values(rows * cols, seed).reshape(rows, cols).to(dtype)
    codes, state = F.quantize_4bit(w, blocksize=64, compress_statistics=double, quant_type=kind)
    parts = {"codes": codes.flatten(), "absmax": state.absmax, "quant_map": state.code}
    case = {"name": name, "rows": rows, "cols": cols, "seed": seed, "double": double, "type": kind,
            "dtype": str(dtype).removeprefix("torch.")}
    if double:
        parts["nested_absmax"] = state.state2.absmax
        parts["nested_quant_map"] = state.state2.code.clone()
        parts["offset"] = state.offset.reshape(1)
    for dtype, part in (torch.float32, "values_f32"), (torch.bfloat16, "values_bf16"):
        # The generic implementation, which is the format's definition (blocks of the flattened matrix). The AVX-512 kernel
        # of 0.50.2 takes another block's scale when the columns are a multiple of 16 but not of 64.
        scales = F.dequantize_blockwise(state.absmax, state.state2) + state.offset if double else state.absmax
        v = _dequantize_4bit_compute(codes.flatten(), scales, state.code, 64, w.shape, dtype)
        state.dtype = dtype
        if cols % 16 or cols % 64 == 0:
            assert torch.equal(v, F.dequantize_4bit(codes, state)), name
        parts[part] = v.flatten()
    for part, t in parts.items():
        t = t.contiguous()
        raw = t.view(torch.int16 if t.dtype == torch.bfloat16 else t.dtype).numpy().tobytes()
        case[part] = hashlib.sha256(raw).hexdigest()
        if rows * cols < 5000 and part not in ("values_bf16", "nested_quant_map", "quant_map"):
            tensors[f"{name}.{part}"] = t
    cases.append(case)
tensors["dynamic_map"] = F.create_dynamic_map()

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
save_file(tensors, os.path.join(here, "nf4.safetensors"), metadata={"format": "pt", "cases": json.dumps(cases)})
