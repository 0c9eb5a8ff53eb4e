"""Steps of bitsandbytes' AdamW8bit: writes tests/fixtures/adamw_8bit.safetensors, read by src/engine/ops/adamw_8bit.rs and
src/engine/quant/dynamic.rs.

    python tests/reference/adamw_8bit.py

Made with bitsandbytes 0.50.2 and torch 2.15 on the CPU. The optimizer is the package's own (`bnb.optim.AdamW8bit`); only the
quantizer of its state is the package's generic one (`backends/default`), which takes the nearest code as its CUDA kernel
does. The CPU's own looks codes up among 65536 even steps of [-1, 1]: second moments below 1.5e-5 of their block's largest
become zero there. The script compares the generic quantizer with the search of the CUDA kernel, written out below.

Gradients are computed, here and in the test, by the same 32-bit arithmetic, so only results are stored.
"""

import json
import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import bitsandbytes as bnb
import bitsandbytes.backends.cpu.ops as cpu
import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors.torch import save_file
from splitmix import byte_sums

torch.set_num_threads(1)
GENERIC = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)


def quantize(values, code):
    return torch.ops.bitsandbytes.quantize_blockwise.default.redispatch(GENERIC, values, code, 256)


def quantize_state(values, code, absmax, out, blocksize):
    assert blocksize == 256
    codes, scales = quantize(values, code)
    out.copy_(codes)
    absmax.copy_(scales)


cpu._quant_blockwise_fp32_direct = quantize_state


def search(code, x, signed):
    """`quantize_2D` of csrc/kernels.cu: a binary search, then the nearer of two neighbours."""
    pivot, upper_pivot, lower_pivot = 127, 255, 0
    lower, upper, val = np.float32(-1.0 if signed else 0.0), np.float32(1.0), code[127]
    for i in (64, 32, 16, 8, 4, 2, 1):
        if x > val:
            lower_pivot, lower, pivot = pivot, val, pivot + i
        else:
            upper_pivot, upper, pivot = pivot, val, pivot - i
        val = code[pivot]
    if x > val:
        return upper_pivot if x > (upper + val) * np.float32(0.5) else pivot
    return lower_pivot if x < (lower + val) * np.float32(0.5) else pivot


def numbers(n, seed):
    """Cubes of sums of four bytes of splitmix64 around zero, -1 to 1: most are small, as gradients are."""
    total = byte_sums(n, seed)
    t = total.astype(np.float32) / np.float32(510)
    return torch.from_numpy(t * t * t)


tensors = {}
for signed, name in (True, "signed"), (False, "unsigned"):
    code = F.create_dynamic_map(signed=signed)
    # One block a row; the largest is 1, so that the values are what is looked up.
    rows = [numbers(256, 900 + i) * np.float32(10.0 ** -(i % 8)) for i in range(24)]
    middles = (code[:-1] + code[1:]) / 2
    rows.append(torch.cat([middles, torch.ones(1)]))
    rows.append(torch.cat([torch.nextafter(middles, torch.full_like(middles, 2.0)), torch.ones(1)]))
    values = torch.stack(rows)
    if not signed:
        values = values.abs()
    values[:, 255] = 1.0
    codes, absmax = quantize(values.flatten(), code)
    assert (absmax == 1.0).all()
    found = np.array([search(code.numpy(), x, signed) for x in values.flatten().numpy()])
    unlike = (found != codes.numpy()).reshape(len(rows), 256)
    # Only where a value is exactly in the middle do the two choose differently.
    assert not np.delete(unlike, 24, axis=0).any(), unlike.sum(axis=1)
    tensors |= {f"{name}.map": code, f"{name}.values": values.flatten(), f"{name}.codes": codes}

SIZES = [4096, 4700, 1000]  # whole blocks, a short last block, and below min_8bit_size: in 32 bits
STEPS, WEIGHT_DECAY, MAX_NORM = 12, 0.1, 1.0
params = [torch.nn.Parameter(numbers(n, 50 + i)) for i, n in enumerate(SIZES)]
optimizer = bnb.optim.AdamW8bit(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=WEIGHT_DECAY)
norms = []
for t in range(1, STEPS + 1):
    optimizer.param_groups[0]["lr"] = 1e-3 * t / STEPS
    for i, p in enumerate(params):
        p.grad = numbers(p.numel(), 10 * t + i) * np.float32([1.0, 0.01, 0.1][i])
        if i == 0:
            p.grad[:512] = 0.0  # two blocks that never move
        if i == 1 and t == 1:
            p.grad[:256] = 0.0  # one that begins later
    norms.append(torch.nn.utils.clip_grad_norm_(params, MAX_NORM).item())
    optimizer.step()
    if t in (1, STEPS):
        for i, p in enumerate(params):
            state = optimizer.state[p]
            at = f"step{t}.{i}."
            tensors[at + "params"] = p.detach().clone()
            tensors[at + "m"], tensors[at + "v"] = state["state1"].clone(), state["state2"].clone()
            assert state["state1"].dtype == (torch.uint8 if SIZES[i] >= 4096 else torch.float32)
            if "absmax1" in state:
                tensors[at + "m_absmax"], tensors[at + "v_absmax"] = state["absmax1"].clone(), state["absmax2"].clone()

about = {"sizes": SIZES, "steps": STEPS, "weight_decay": WEIGHT_DECAY, "max_norm": MAX_NORM, "norms": norms}
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
out = os.path.join(here, "adamw_8bit.safetensors")
save_file(tensors, out, metadata={"format": "pt", "about": json.dumps(about)})
print(out, os.path.getsize(out), "bytes; norms", norms)
