"""Makes tests/fixtures/peft_steps.json: 24 training steps of SmolLM2-135M-Instruct by transformers + PEFT + bitsandbytes.

    python tests/reference/peft_steps.py [CASE...]     # torch 2.15, transformers 5.23, peft 0.21.2, bitsandbytes 0.50.2

One GSM8K row a step in the file's order, as text (question, newline, answer, end of sequence), loss on every token; LoRA of
rank 16, alpha 32 on all linears, no dropout; AdamW at a constant 2e-4 without weight decay; gradients clipped at 1. For
each case and step: the loss, the norm of the gradient before clipping, and the number of tokens.

Both sides start from the same adapter without sharing a file of 20 MB: B is zero and A is computed from a counter by
SplitMix64 (Steele et al. 2014), exactly in float32; see `initial_a` here and in tests/peft_steps.rs. `--save DIR` writes it as
a PEFT folder.

The model is read twice: from the Hugging Face folder (bf16; needs Python to make) and from the GGUF that it is made of,
dequantized to f32, which is all that a continuous integration machine needs to run our side.

Measured differences between the reference's own runs: unquantized bf16 is up to 4 % in loss and 9 % in gradient norm away
from f32 (its residual stream is bf16), NF4 with bf16 0.5 % and 2 % (everything but the products is f32 there).

Environment: LORA_STUDIO_PEERS (the model's folder, default ~/.cache/lora-peers), LORA_STUDIO_DATA (default ../shared/data
beside the repository). About twenty minutes on two cores (bf16 without
quantization is the slowest), 3 GB.
"""
import gc
import json
import math
import os
import sys
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PEERS = os.environ.get("LORA_STUDIO_PEERS") or os.path.expanduser("~/.cache/lora-peers")
DATA = os.environ.get("LORA_STUDIO_DATA") or os.path.join(os.path.dirname(ROOT), "shared", "data")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "peft_steps.json")
STEPS, RANK, ALPHA, RATE, CLIP = 24, 16, 32, 2e-4, 1.0
# source, quantization, compute
CASES = [(s, q, c) for s in ("gguf", "hf") for q in ("nf4", "none") for c in ("f32", "bf16")]
LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
           "mlp.down_proj"]


def splitmix64(x):
    """The finalizer of SplitMix64 on an array of counters."""
    with np.errstate(over="ignore"):
        z = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def initial_a(layer, linear, rows, cols):
    """A `[rows, cols]`, uniform in ±1/sqrt(cols) like PEFT's: element i of a module draws counter module·2^32 + i and uses
    its upper 24 bits, u; the value is (2u/2^24 − 1)·f32(1/sqrt(cols)), every step exact or rounded once in f32."""
    module = layer * len(LINEARS) + LINEARS.index(linear)
    counters = np.uint64(module << 32) + np.arange(rows * cols, dtype=np.uint64)
    u = (splitmix64(counters) >> np.uint64(40)).astype(np.float32)
    unit = u * np.float32(2 ** -23) - np.float32(1)
    return torch.from_numpy((unit * np.float32(1 / math.sqrt(cols))).reshape(rows, cols))


def load(source, quantization, compute, folder):
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute]
    kw = {}
    if quantization == "nf4":
        kw["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_use_double_quant=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map={"": "cpu"}, **kw)
    if quantization == "nf4":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear"))
    for name, p in model.named_parameters():
        if "lora_A" in name:
            layer = int(name.split(".layers.")[1].split(".")[0])
            linear = next(l for l in LINEARS if f".{l}." in name)
            with torch.no_grad():
                p.copy_(initial_a(layer, linear, *p.shape))
        elif "lora_B" in name:
            assert p.abs().max() == 0
    return model.train()


def run(source, quantization, compute, folder, rows):
    model = load(source, quantization, compute, folder)
    params = [p for p in model.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in params)
    opt = torch.optim.AdamW(params, lr=RATE, weight_decay=0.0)
    losses, norms = [], []
    for ids in rows:
        ids = torch.tensor([ids])
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params, CLIP).item())
        opt.step()
        opt.zero_grad(set_to_none=True)
        losses.append(loss.item())
    print(source, quantization, compute, f"loss {losses[0]:.5f} … {losses[-1]:.5f}, norm {norms[0]:.5f} … {norms[-1]:.5f}", flush=True)
    figures = lambda values: [float(f"{v:.7g}") for v in values]
    return dict(source=source, quantization=quantization, compute=compute, losses=figures(losses), grad_norms=figures(norms))


def main(wanted):
    tok = AutoTokenizer.from_pretrained(os.path.join(PEERS, "smollm2-hf"))
    with open(os.path.join(DATA, "gsm8k_train.jsonl")) as f:
        texts = [(lambda r: r["question"] + "\n" + r["answer"])(json.loads(next(f))) for _ in range(STEPS)]
    rows = [tok(t).input_ids + [tok.eos_token_id] for t in texts]
    with tempfile.TemporaryDirectory() as tmp:
        folders = {"hf": os.path.join(PEERS, "smollm2-hf"), "gguf": tmp}
        if any(s == "gguf" for s, _, _ in wanted):
            model = AutoModelForCausalLM.from_pretrained(PEERS, gguf_file=GGUF, dtype=torch.float32)
            weights = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
            save_file(weights, os.path.join(tmp, "model.safetensors"), metadata={"format": "pt"})
            with open(os.path.join(PEERS, "smollm2-hf", "config.json")) as f:
                config = json.load(f)
            config["dtype"] = config["torch_dtype"] = "float32"
            with open(os.path.join(tmp, "config.json"), "w") as f:
                json.dump(config, f)
            del model, weights
        cases = []
        for case in wanted:
            cases.append(run(*case, folders[case[0]], rows))
            gc.collect()
    if wanted == CASES:
        with open(OUT, "w") as f:
            f.write(json.dumps(dict(tokens=[len(r) for r in rows], cases=cases)).replace(', "', ',\n"').replace('{"source', '\n{"source') + "\n")


if sys.argv[1:2] == ["--save"]:
    model = load("hf", "none", "f32", os.path.join(PEERS, "smollm2-hf"))
    model.save_pretrained(sys.argv[2])
else:
    main([c for c in CASES if len(sys.argv) == 1 or "-".join(c) in sys.argv[1:]])
