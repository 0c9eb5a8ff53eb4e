"""Steps of torch.optim.AdamW with clipping by norm: writes tests/fixtures/adamw.json.

    python tests/reference/adamw.py

Made with torch 2.15, the single-tensor implementation, f32 on the CPU.
"""

import json
import pathlib

import torch

torch.manual_seed(0)
cases = []
for weight_decay, max_norm, scale in [(0.0, 1.0, 1.0), (0.01, 1.0, 1e-3), (0.1, 0.5, 30.0)]:
    n = 37
    p = torch.nn.Parameter(torch.randn(n))
    optimizer = torch.optim.AdamW([p], lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, foreach=False)
    case = {"weight_decay": weight_decay, "max_norm": max_norm, "start": p.tolist(), "steps": []}
    for t in range(6):
        lr = 1e-3 * (t + 1) / 6
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.randn(n) * scale
        grad = p.grad.tolist()
        norm = torch.nn.utils.clip_grad_norm_([p], max_norm).item()
        optimizer.step()
        state = optimizer.state[p]
        case["steps"].append({"lr": lr, "grad": grad, "norm": norm, "params": p.tolist(),
                              "m": state["exp_avg"].tolist(), "v": state["exp_avg_sq"].tolist()})
    cases.append(case)
out = pathlib.Path(__file__).parents[1] / "fixtures" / "adamw.json"
out.write_text(json.dumps(cases) + "\n")
print(out, out.stat().st_size, "bytes")
