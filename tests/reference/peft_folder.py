"""Adapter folders written by PEFT, and PEFT as the reader of ours.

    python tests/reference/peft_folder.py make          # -> tests/fixtures/peft/
    python tests/reference/peft_folder.py check FOLDER... # loads each, prints a line of JSON: what PEFT made of it

peft 0.21.2, transformers 5.23.0, torch 2.15, safetensors 0.8.
"""

import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

warnings.filterwarnings("ignore")
DATA = Path(__file__).parent.parent / "fixtures" / "peft"
SHAPE = dict(
    vocab_size=32, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
)  # fmt: skip


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE))


def phi3():
    torch.manual_seed(0)
    return Phi3ForCausalLM(Phi3Config(**SHAPE))


# name: (model, dtype, settings)
CASES = {
    "patterns": (llama, torch.float32, dict(
        r=2, lora_alpha=4, lora_dropout=0.05, target_modules=["q_proj", "v_proj", "down_proj"],
        rank_pattern={"q_proj": 3}, alpha_pattern={"layers.1.mlp.down_proj": 16, "v_proj": 2.5})),
    "all_linear": (llama, torch.float32, dict(r=2, lora_alpha=8, target_modules="all-linear")),
    "regex_rslora": (llama, torch.bfloat16, dict(
        r=3, lora_alpha=16, use_rslora=True, target_modules=r".*\.layers\.\d+\.(self_attn\.(q|v)|mlp\.up)_proj")),
    "one_layer": (llama, torch.float16, dict(
        r=2, lora_alpha=4, target_modules=["q_proj", "o_proj"], layers_to_transform=[1], layers_pattern="layers")),
    "excluded": (llama, torch.float32, dict(
        r=1, lora_alpha=1, target_modules=["gate_proj", "up_proj"], exclude_modules=r".*layers\.0\.mlp\.up_proj")),
    "phi3": (phi3, torch.float32, dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "gate_up_proj"])),
}  # fmt: skip


def modules(model):
    """What PEFT computes with: per adapted module its rank, its scale and a digest of A and B in f32."""
    found = {}
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if not isinstance(scaling, dict) or "default" not in scaling:
            continue
        digest = hashlib.sha256()
        for side in (module.lora_A, module.lora_B):
            digest.update(side["default"].weight.detach().float().numpy().tobytes())
        found[name.removeprefix("base_model.model.")] = dict(
            rank=module.r["default"], scale=float(scaling["default"]), sha256=digest.hexdigest()
        )
    return found


def make():
    shutil.rmtree(DATA, ignore_errors=True)
    expected = {}
    for case, (base, dtype, settings) in CASES.items():
        model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", **settings))
        generator = torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = torch.randn(parameter.shape, generator=generator).to(dtype)
        model.save_pretrained(DATA / case)
        (DATA / case / "README.md").unlink()
        expected[case] = modules(model)
    (DATA / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def check(folder):
    config = json.loads((Path(folder) / "adapter_config.json").read_text())
    base = phi3() if "qkv_proj" in str(config["target_modules"]) else llama()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder)
    # PEFT only warns about keys that are missing or that nothing takes.
    keys = [str(w.message) for w in caught if "key" in str(w.message).lower()]
    with torch.no_grad():
        logits = model(torch.tensor([[1, 5, 9, 2]])).logits
    print(json.dumps(dict(modules=modules(model), warnings=keys, finite=bool(logits.isfinite().all()))))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make()
    else:
        for folder in sys.argv[2:]:
            check(folder)
