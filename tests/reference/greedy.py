"""Greedy answers of SmolLM2-135M-Instruct by transformers in float32 -> tests/fixtures/greedy.json

    python tests/reference/greedy.py ~/.cache/lora-peers/smollm2-hf

transformers 5.23.0, torch 2.15. `margin` is the smallest distance between the first and the second logit of a step: an
implementation whose logits are off by less than half of it gives the same tokens.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
    "Natalia sell altogether in April and May?",
    "Say something in Japanese and add an emoji.",
]

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
cases = []
for prompt in PROMPTS:
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=48, repetition_penalty=1.0,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    tokens = out.sequences[0, ids.shape[1] :].tolist()
    top = torch.stack([step[0] for step in out.logits]).topk(2).values
    cases.append(
        dict(
            prompt=ids[0].tolist(),
            tokens=tokens,
            text=tokenizer.decode(tokens, skip_special_tokens=True),
            margin=float((top[:, 0] - top[:, 1]).min()),
        )
    )
    print(cases[-1]["margin"], repr(cases[-1]["text"]))

out = Path(__file__).parent.parent / "fixtures" / "greedy.json"
out.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
