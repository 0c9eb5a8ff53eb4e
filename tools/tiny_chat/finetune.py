"""Trains a pirate adapter with PEFT: the peer of presets/quickstart.toml, for comparing settings and results.

    python finetune.py ../../assets/tiny-chat ../../assets/data/pirate.jsonl /tmp/pirate --rank 16 --lr 2e-3 --epochs 3
"""

import argparse
import json
import math
import random
import time

import torch
from peft import LoraConfig, get_peft_model

from check import load


def encode(tokenizer, messages):
    """Ids, and labels that are -100 outside the assistant's turns (their terminator included)."""
    ids, labels = [], []
    for m in messages:
        head = tokenizer(f"<|im_start|>{m['role']}\n")["input_ids"]
        body = tokenizer(f"{m['content']}<|im_end|>")["input_ids"]
        tail = tokenizer("\n")["input_ids"]
        ids += head + body + tail
        labels += [-100] * len(head) + (body if m["role"] == "assistant" else [-100] * len(body)) + [-100] * len(tail)
    return ids, labels


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("data")
    p.add_argument("out")
    p.add_argument("--rank", type=int, default=16)
    p.add_argument("--alpha", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--nf4", action="store_true")
    args = p.parse_args()
    torch.manual_seed(0)
    model, tokenizer = load(args.model, nf4=args.nf4)
    model = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM"))
    with open(args.data, encoding="utf-8") as f:
        rows = [encode(tokenizer, json.loads(line)["messages"]) for line in f]
    optimizer = torch.optim.AdamW([q for q in model.parameters() if q.requires_grad], lr=args.lr, weight_decay=0.0)
    r, step, began, tokens = random.Random(0), 0, time.time(), 0
    steps = args.epochs * math.ceil(len(rows) / args.batch)
    for epoch in range(args.epochs):
        r.shuffle(rows)
        for i in range(0, len(rows), args.batch):
            batch = rows[i:i + args.batch]
            n = max(len(ids) for ids, _ in batch)
            x = torch.tensor([ids + [0] * (n - len(ids)) for ids, _ in batch])
            y = torch.tensor([labels + [-100] * (n - len(labels)) for _, labels in batch])
            warm = max(1, round(0.03 * steps))
            optimizer.param_groups[0]["lr"] = args.lr * ((step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (steps - warm)))
            loss = model(input_ids=x, labels=y).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            tokens += sum(len(ids) for ids, _ in batch)
            if step == 1 or step % 15 == 0:
                print(f"step {step}/{steps} loss {loss.item():.3f} tokens {tokens} seconds {time.time() - began:.0f}", flush=True)
    model.save_pretrained(args.out)


if __name__ == "__main__":
    main()
