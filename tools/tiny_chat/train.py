"""Trains tiny-chat from scratch and writes it as an ordinary Hugging Face folder.

    OMP_NUM_THREADS=1 python train.py --out ../../assets/tiny-chat

The text is generated on the fly from a seed, so every batch is new and the run is reproducible (up to the rounding of the
machine's matrix library). Conversations of like length share a batch: short ones cost little. The layers' matrices are
trained with Muon, which needs half the steps of AdamW here; the embedding and the norms with AdamW.
"""

import argparse
import contextlib
import copy
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import pirate
import text

VOCAB, CONTEXT = 2048, 512
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    r"{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Padded lengths, a fifth apart, so that little is padding.
LENGTHS = [32, 40, 48, 64, 80, 96, 128, 160, 208, 288, CONTEXT]
TOKENS = 4096  # a step
ASK_WEIGHT = 0.1  # questions teach what words mean, but answers are what the model is for


def train_tokenizer(seed=0, count=40000):
    """Byte-level BPE whose splitting is SmolLM2's (single digits, then GPT-2's expression), so that GGUF tools know it."""
    r = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=[PAD, START, END], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    lines = [m["content"] for _ in range(count) for m in text.conversation(r)]
    lines += [m["content"] for row in pirate.rows() for m in row["messages"]] * 4
    lines += ["system\n", "user\n", "assistant\n"] * count
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def wrap(tokenizer):
    """The tokenizer as transformers saves it."""
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD, model_max_length=CONTEXT,
                                   clean_up_tokenization_spaces=False)
    fast.chat_template = TEMPLATE
    return fast


def encode(tokenizer, messages):
    """Ids and the weight of each as a target: 1 in the assistant's turns with their terminator, less elsewhere."""
    ids, weights = [], []
    for m in messages:
        head = [1] + tokenizer.encode(m["role"] + "\n", add_special_tokens=False).ids
        body = tokenizer.encode(m["content"], add_special_tokens=False).ids + [2]
        tail = tokenizer.encode("\n", add_special_tokens=False).ids
        ids += head + body + tail
        weights += [0.0] * len(head) + [1.0 if m["role"] == "assistant" else ASK_WEIGHT] * len(body) + [0.0] * len(tail)
    return ids[:CONTEXT], weights[:CONTEXT]


def batches(tokenizer, seed, pool=6000):
    """Endless batches of about `TOKENS` tokens; rows of a batch have like lengths, the order of batches is random."""
    r = random.Random(seed)
    left = {t: [] for t in LENGTHS}
    while True:
        ready = []
        for _ in range(pool):
            ids, weights = encode(tokenizer, text.conversation(r))
            t = next(t for t in LENGTHS if t >= len(ids))
            left[t].append((ids, weights))
            if len(left[t]) == TOKENS // t:
                ready.append((t, left[t]))
                left[t] = []
        r.shuffle(ready)
        for t, rows in ready:
            x = torch.zeros(len(rows), t, dtype=torch.long)
            w = torch.zeros(len(rows), t)
            for i, (ids, weights) in enumerate(rows):
                x[i, : len(ids)] = torch.tensor(ids)
                w[i, : len(ids)] = torch.tensor(weights)
            yield x, w


def rate(step, steps, warmup=60):
    """Warm-up, constant for a while, then straight down."""
    if step < warmup:
        return (step + 1) / warmup
    turn = steps * 2 // 5
    return 1.0 if step < turn else max(0.01, (steps - step) / (steps - turn))


# bitsandbytes' NF4 codes.
NF4 = torch.tensor([-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0, 0.0795803, 0.1609302, 0.2461123, 0.33791524,
                    0.44070983, 0.562617, 0.72295684, 1.0])


def nf4(w):
    """The matrix as it is after quantization to NF4 in blocks of 64."""
    blocks = w.reshape(-1, 64)
    top = blocks.abs().amax(1, keepdim=True).clamp_min(1e-12)
    return (NF4[torch.bucketize(blocks / top, (NF4[1:] + NF4[:-1]) / 2)] * top).view_as(w)


@contextlib.contextmanager
def quantized(matrices, on):
    """Within it the matrices are NF4, so that gradients are those of the quantized model; afterwards they are what they were."""
    exact = [q.data for q in matrices] if on else []
    for q in matrices if on else []:
        q.data = nf4(q.data)
    yield
    for q, data in zip(matrices, exact):
        q.data = data


def save(model, tokenizer, out):
    """The folder that transformers, PEFT and LoRA Studio load."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    wrap(tokenizer).save_pretrained(out)
    tidy(out)


def edit(path, drop=(), **changes):
    """Sets and drops keys of a JSON file."""
    data = json.loads(path.read_text(encoding="utf-8")) | changes
    data = {k: v for k, v in data.items() if k not in drop}
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    path.chmod(0o644)


def tidy(out):
    """Makes what transformers 5 wrote readable for transformers 4 too, and drops what says nothing."""
    rope = json.loads((out / "config.json").read_text())["rope_parameters"]["rope_theta"]
    edit(out / "config.json", ["transformers_version", "pretraining_tp"], rope_theta=rope, torch_dtype="bfloat16")
    edit(out / "tokenizer_config.json", ["backend", "is_local"], tokenizer_class="PreTrainedTokenizerFast")
    edit(out / "tokenizer.json", post_processor=None)
    (out / "chat_template.jinja").write_text(TEMPLATE)
    (out / "generation_config.json").write_text("{}")
    edit(out / "generation_config.json", bos_token_id=1, eos_token_id=2, pad_token_id=0, max_new_tokens=160)
    (out / "model.safetensors").chmod(0o644)


@torch.no_grad()
def answer(model, tokenizer, prompt, limit=160):
    """Greedy answer to one question."""
    fast = wrap(tokenizer)
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    ids = fast.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, eos_token_id=2, pad_token_id=0)
    return fast.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    p.add_argument("--steps", type=int, default=2200)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--muon-lr", type=float, default=0.02, help="0 trains everything with AdamW")
    p.add_argument("--minutes-between-saves", type=float, default=4)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = train_tokenizer()
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                         head_dim=64, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
                         pad_token_id=0)
    config._attn_implementation = "eager"  # the fastest on a CPU for rows as short as these
    model = LlamaForCausalLM(config)
    layers = [q for q in model.model.layers.parameters() if q.ndim == 2]
    matrices = layers if args.muon_lr else []
    chosen = {id(q) for q in matrices}
    rest = [q for q in model.parameters() if id(q) not in chosen]
    optimizers = [torch.optim.AdamW(rest, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=args.muon_lr, momentum=0.95, weight_decay=0.01))
    base = [o.param_groups[0]["lr"] for o in optimizers]

    def loss_of(x, w):
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(input_ids=x).last_hidden_state
            logits = F.linear(hidden[:, :-1], model.lm_head.weight)
        nll = F.cross_entropy(logits.float().flatten(0, 1), x[:, 1:].flatten(), reduction="none")
        w = w[:, 1:].flatten()
        asked = (w == 1.0).float()
        return (nll * w).sum() / w.sum(), ((nll * asked).sum() / asked.sum()).detach()

    began = saved = time.time()
    tokens, shown = 0, []
    for step, (x, w) in enumerate(batches(tokenizer, args.seed + 1)):
        for o, lr in zip(optimizers, base):
            o.param_groups[0]["lr"] = lr * rate(step, args.steps)
        # A model this small feels quantization, and it is there to be tried with it: half of the later steps train it so.
        with quantized(layers, step > args.steps * 2 // 5 and step % 2):
            loss, answers = loss_of(x, w)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in optimizers:
            o.step()
            o.zero_grad()
        tokens += int((w > 0).sum())
        shown.append(float(answers))
        if (step + 1) % 50 == 0:
            mean = sum(shown) / len(shown)
            print(f"step {step + 1} loss {mean:.4f} perplexity {math.exp(mean):.3f} tokens {tokens} seconds {time.time() - began:.0f}", flush=True)
            shown = []
        if step + 1 >= args.steps or time.time() - saved > 60 * args.minutes_between_saves:
            save(model, tokenizer, args.out)
            saved = time.time()
            for q in ["Hello!", "What is the colour of grass?", "Tell me a story about a cat.", "What is the opposite of hot?"]:
                print("   ", q, "->", answer(model, tokenizer, q), flush=True)
        if step + 1 >= args.steps:
            break


if __name__ == "__main__":
    main()
