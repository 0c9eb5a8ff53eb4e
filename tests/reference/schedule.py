"""Learning rates of transformers' schedulers, step by step -> tests/fixtures/schedule.json

    python tests/reference/schedule.py

transformers 5.23.0, torch 2.15.
"""

import json
from pathlib import Path

import torch
from transformers import TrainingArguments, get_scheduler

NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
PEAK = 2e-4

cases = []
for kind, name in NAMES.items():
    for total, ratio in [(1, 0.0), (7, 0.0), (24, 0.03), (100, 0.1), (33, 1.0)]:
        # How the Trainer turns a ratio into steps.
        args = TrainingArguments(output_dir="unused", warmup_steps=ratio, use_cpu=True)
        warmup = args.get_warmup_steps(total) if ratio < 1.0 else total
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
        scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
        rates = []
        for _ in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        cases.append(dict(kind=kind, total=total, warmup_ratio=ratio, warmup_steps=warmup, learning_rates=rates))

out = Path(__file__).parent.parent / "fixtures" / "schedule.json"
out.write_text(json.dumps(cases, indent=1) + "\n")
print(out, len(cases))
