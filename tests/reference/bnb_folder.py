"""Makes tests/fixtures/bnb: a tiny Llama saved by transformers in bitsandbytes' 4 bits, in three variants, and what
bitsandbytes dequantizes two of its weights to.

    python tests/reference/bnb_folder.py        # transformers 5.23, bitsandbytes 0.50.2, torch 2.15, CPU

`nf4`: NF4; `nf4-double`: NF4 with double quantization; `fp4-double`: FP4 with double quantization. Each is an ordinary
folder of save_pretrained; `expected.safetensors` holds bitsandbytes' values in f32. Some rows are no multiple of the
block of 64, so that blocks run over the ends of rows, and one weight's last block is not full.
"""
import os
import shutil
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import bitsandbytes as bnb
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "bnb")


def config(intermediate):
    return LlamaConfig(vocab_size=48, hidden_size=40, intermediate_size=intermediate, num_hidden_layers=1,
                       num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32, head_dim=22,
                       tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)


torch.manual_seed(0)
# 40 x 450 values are 282 blocks: the absmax values of one weight fill more than one block of 256 themselves.
for kind, intermediate in (("nf4", 150), ("nf4-double", 450), ("fp4-double", 150)):
    with tempfile.TemporaryDirectory() as base:
        model = LlamaForCausalLM(config(intermediate))
        for p in model.parameters():
            if p.ndim == 2:
                torch.nn.init.normal_(p, std=0.05)
        model.to(torch.bfloat16).save_pretrained(base)
        out = os.path.join(OUT, kind)
        shutil.rmtree(out, ignore_errors=True)
        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind[:3],
                                          bnb_4bit_use_double_quant=kind.endswith("double"),
                                          bnb_4bit_compute_dtype=torch.float32)
        quantized = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, dtype=torch.bfloat16,
                                                         device_map="cpu")
        quantized.save_pretrained(out)
        expected = {}
        for name, module in quantized.named_modules():
            if isinstance(module, bnb.nn.Linear4bit) and name.endswith(("down_proj", "k_proj")):
                state = module.weight.quant_state
                state.dtype = torch.float32
                expected[f"{name}.weight"] = bnb.functional.dequantize_4bit(module.weight.data, state).contiguous()
        save_file(expected, os.path.join(out, "expected.safetensors"))
        size = sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out))
        print(kind, sorted(os.listdir(out)), f"{size / 1000:.0f} kB", len(expected), "weights")
