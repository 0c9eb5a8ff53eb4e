"""Probabilities that transformers' logits processors leave, in float64 -> tests/fixtures/sampler.json

    python tests/reference/sampler.py

transformers 5.23.0, torch 2.15.
"""

import json
from pathlib import Path

import torch
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

generator = torch.Generator().manual_seed(0)
cases = []
for vocab, temperature, top_k, top_p, penalty in [
    (40, 1.0, 0, 1.0, 1.0),
    (40, 0.7, 0, 1.0, 1.0),
    (40, 1.0, 5, 1.0, 1.0),
    (40, 1.0, 0, 0.9, 1.0),
    (40, 1.3, 7, 0.6, 1.2),
    (40, 0.5, 0, 0.05, 1.1),
    (40, 1.0, 100, 0.999, 0.8),
    (3, 1.0, 1, 0.5, 1.0),
    (200, 0.8, 40, 0.95, 1.3),
]:
    logits = torch.randn(1, vocab, generator=generator) * 3
    if top_k == 5:  # a tie at the border
        logits[0, torch.topk(logits[0], 6).indices[5]] = torch.topk(logits[0], 5).values[4]
    history = torch.randint(0, vocab, (1, 6), generator=generator)
    scores = logits
    if penalty != 1.0:
        scores = RepetitionPenaltyLogitsProcessor(penalty)(history, scores)
    scores = TemperatureLogitsWarper(temperature)(history, scores.double())
    if top_k:
        scores = TopKLogitsWarper(top_k)(history, scores)
    if top_p < 1.0:
        scores = TopPLogitsWarper(top_p)(history, scores)
    cases.append(
        dict(
            temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty,
            logits=logits[0].tolist(), history=history[0].tolist(), probabilities=scores.softmax(-1)[0].tolist(),
        )  # fmt: skip
    )

out = Path(__file__).parent.parent / "fixtures" / "sampler.json"
out.write_text(json.dumps(cases, indent=1) + "\n")
print(out, len(cases))
