"""Planned memory against measured memory, over many configurations: the table of docs/performance.md.

    python memory_plan.py --binary target/release/lora-studio --small SMOLLM2_FOLDER [--large FOLDER] [--only WORD]

For every configuration `lora-studio plan` says in a process of its own what a run will take; `lora-studio train` then makes a
few steps of it and says what it took: the most that was allocated at a time (its counting allocator), and the most main memory
that the process held (the kernel's own count). Standard library only.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile

TINY, SMALL, LARGE = "tiny", "small", "large"


def configurations():
    """(model, changes): sequence, batch, rank, targets, quantization, checkpointing, offload, logits, packing, dropout,
    samples."""
    base = {"data.max_seq_len": 512, "train.batch_size": 1, "method.rank": 16, "method.dropout": 0.0,
            "method.target_modules": "all-linear", "model.quantization": "nf4", "model.compute": "bf16",
            "train.checkpointing": "none", "train.checkpoint_offload": False, "train.logits_chunk": 0,
            "data.packing": True, "train.grad_accumulation": 1, "train.optimizer": "adamw"}
    variations = [
        {},
        {"train.checkpointing": "per-layer"},
        {"data.max_seq_len": 128},
        {"data.max_seq_len": 1024},
        {"train.batch_size": 4, "data.max_seq_len": 256},
        {"method.rank": 4, "method.target_modules": ["q_proj", "v_proj"]},
        {"method.rank": 64},
        {"model.quantization": "none"},
        {"model.quantization": "none", "model.compute": "f32", "data.max_seq_len": 256},
        {"data.packing": False, "train.batch_size": 8, "data.max_seq_len": 96},
        {"method.dropout": 0.1},
        {"train.grad_accumulation": 4, "data.max_seq_len": 256},
        {"train.optimizer": "adamw-8bit", "method.rank": 64},
        {"train.optimizer": "paged-adamw", "method.rank": 64},
        {"train.checkpointing": "per-layer", "train.checkpoint_offload": True},
        {"train.logits_chunk": 32},
        {"train.logits_chunk": 1024, "data.max_seq_len": 1024},
        {"model.double_quant": False},
        {"sample.prompts": ["What is 12 times 7?", "Tell me about the sea."], "data.max_seq_len": 256},
        {"data.validation_rows": 20, "data.max_seq_len": 256},
    ]
    for model in (TINY, SMALL):
        for change in variations:
            yield model, {**base, **change}
    large = [
        {"data.max_seq_len": 128, "train.checkpointing": "per-layer"},
        {"data.max_seq_len": 128},
        {"data.max_seq_len": 256, "train.checkpointing": "per-layer"},
        {"data.max_seq_len": 128, "method.rank": 64},
        {"data.max_seq_len": 128, "model.quantization": "none"},
        {"data.max_seq_len": 128, "method.target_modules": ["q_proj", "v_proj"], "method.rank": 8},
        {"data.max_seq_len": 64, "train.batch_size": 2, "method.dropout": 0.05},
        {"data.max_seq_len": 128, "train.optimizer": "adamw-8bit", "method.rank": 64},
        {"data.max_seq_len": 512, "train.checkpointing": "per-layer"},
        {"data.max_seq_len": 512, "train.checkpointing": "per-layer", "train.checkpoint_offload": True},
        {"data.max_seq_len": 512, "train.checkpointing": "per-layer", "train.logits_chunk": 512},
    ]
    for change in large:
        yield LARGE, {**base, **change}


def toml(value):
    return json.dumps(value)


def command(binary, *arguments):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def measure(binary, model, data, changes, steps, folder):
    lines = {"model": {"source": model}, "data": {"train": data}, "output": {"dir": os.path.join(folder, "run")}}
    lines["train"] = {"max_steps": steps}
    lines["output"]["save_every"] = 0
    for key, value in changes.items():
        section, name = key.split(".")
        lines.setdefault(section, {})[name] = value
    path = os.path.join(folder, "run.toml")
    with open(path, "w") as file:
        for section, keys in lines.items():
            file.write(f"[{section}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in keys.items()))
    plan = json.loads(command(binary, "plan", path, "--json"))
    events = [json.loads(line) for line in command(binary, "train", path, "--json").splitlines()]
    memory = [e for e in events if e["event"] == "memory"][-1]
    finished = next(e for e in events if e["event"] == "finished")
    resident = max(plan["total_bytes"], plan["prepare_bytes"])
    return {"planned": plan["allocated_bytes"], "measured": memory["allocated"],
            "planned_resident": resident, "resident": finished["peak_memory_bytes"], "apart": memory["apart"],
            "parts": memory["parts"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/lora-studio")
    parser.add_argument("--small", required=True)
    parser.add_argument("--large")
    parser.add_argument("--data", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10, help="more of them make it likelier that a batch is full")
    parser.add_argument("--out")
    args = parser.parse_args()
    models = {TINY: "builtin:tiny-chat", SMALL: args.small, LARGE: args.large}
    base = next(c for _, c in configurations())
    rows = []
    chosen = [(m, c) for m, c in configurations() if models[m] and args.only in m]
    for number, (model, changes) in itertools.islice(enumerate(chosen), args.first, args.first + args.count):
        name = ", ".join(f"{k.split('.')[1]}={v}" for k, v in changes.items() if v != base.get(k)) or "usual"
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = measure(args.binary, models[model], args.data, changes, args.steps, folder)
            except RuntimeError as failed:
                print(f"{number} {model} {name}: {failed}", file=sys.stderr)
                continue
        row = {"number": number, "model": model, "name": name, **found}
        if args.out:
            with open(args.out, "a") as file:
                file.write(json.dumps(row) + "\n")
        print(line(row), flush=True)
        rows.append(row)
    for planned, measured in (("planned", "measured"), ("planned_resident", "resident")):
        off = [error(row[planned], row[measured]) for row in rows]
        mean = sum(map(abs, off)) / len(off)
        print(f"{measured}: {len(off)} configurations, off by {mean:.2f} % on average, {min(off):+.2f} to {max(off):+.2f} %")


def error(planned, measured):
    return 100 * (planned / measured - 1)


def line(row):
    mib = 1 << 20
    a = error(row["planned"], row["measured"])
    r = error(row["planned_resident"], row["resident"])
    return (f"| {row['model']} | {row['name']} | {row['planned'] / mib:.1f} | {row['measured'] / mib:.1f} | {a:+.2f} | "
            f"{row['planned_resident'] / mib:.0f} | {row['resident'] / mib:.0f} | {r:+.1f} | {row['apart'] or ''} |")


if __name__ == "__main__":
    main()
