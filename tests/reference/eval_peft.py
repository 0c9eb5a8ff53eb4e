"""What `lora-studio eval` prints, computed by transformers + PEFT (+ bitsandbytes):

    eval_peft.py --model HF_FOLDER [--adapter DIR] --data ROWS.jsonl [--quantization none|nf4] [--compute f32|bf16]
                 [--loss-on all|completions] [--max-seq-len N] [--limit N] [--ours FILE]

Rows are {"text"} (tokenized with the tokenizer's own special tokens, end of sequence appended, every token counts),
{"question", "answer"} or {"messages"} (rendered with the chat template; with `--loss-on completions` the assistant's
turns count, up to and with the token that ends the turn). Rows longer than `--max-seq-len` are cut.

`--ours FILE` compares with the output of `lora-studio eval --json` and exits with 1 if a row's token count differs, or the
mean over all tokens by more than 2e-3.
"""
import argparse
import json
import math
import sys
import warnings

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore")
ap = argparse.ArgumentParser()
ap.add_argument("--model", required=True)
ap.add_argument("--adapter")
ap.add_argument("--data", required=True)
ap.add_argument("--quantization", choices=["none", "nf4"], default="none")
ap.add_argument("--compute", choices=["f32", "bf16"], default="f32")
ap.add_argument("--loss-on", choices=["all", "completions"], default="all")
ap.add_argument("--max-seq-len", type=int)
ap.add_argument("--limit", type=int)
ap.add_argument("--ours")
a = ap.parse_args()

dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[a.compute]
tok = AutoTokenizer.from_pretrained(a.model)
kw = {}
if a.quantization == "nf4":
    kw["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_use_double_quant=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
model = AutoModelForCausalLM.from_pretrained(a.model, dtype=dtype, device_map={"": "cpu"}, **kw)
if a.adapter:
    from peft import PeftModel
    model = PeftModel.from_pretrained(model, a.adapter)
model.eval()


def render(messages, **kw):
    return tok.apply_chat_template(messages, return_dict=False, **kw)


def tokens_and_mask(row):
    if "text" in row:
        ids = tok(row["text"]).input_ids + [tok.eos_token_id]
        return ids, [True] * len(ids)
    messages = row.get("messages") or [
        {"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
    ids = render(messages)
    if a.loss_on == "all":
        return ids, [True] * len(ids)
    mask = [False] * len(ids)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(render(messages[:i], add_generation_prompt=True))
        end = len(render(messages[:i + 1]))
        while ids[end - 1] != tok.eos_token_id:  # what the template puts after the end of the turn
            end -= 1
        mask[start:end] = [True] * (end - start)
    return ids, mask


rows, total, count = [], 0.0, 0
with open(a.data) as f:
    for i, line in enumerate(f):
        if a.limit is not None and i >= a.limit:
            break
        ids, mask = tokens_and_mask(json.loads(line))
        ids, mask = torch.tensor([ids[:a.max_seq_len]]), torch.tensor(mask[:a.max_seq_len])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()
        nll = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")[mask[1:]].double()
        if len(nll):
            rows.append(dict(tokens=len(nll), nll=nll.mean().item()))
            total, count = total + nll.sum().item(), count + len(nll)
loss = total / count
print(json.dumps(dict(rows=rows, loss=loss, perplexity=math.exp(loss))))

if a.ours:
    with open(a.ours) as f:
        ours = json.loads(f.read().strip().splitlines()[-1])
    if [r["tokens"] for r in ours["rows"]] != [r["tokens"] for r in rows]:
        sys.exit("the rows' token counts differ")
    worst = max(abs(x["nll"] - y["nll"]) for x, y in zip(ours["rows"], rows))
    difference = abs(ours["loss"] - loss)
    print(f"loss {ours['loss']:.6f} against {loss:.6f}: {difference:.1e}; worst row {worst:.1e}", file=sys.stderr)
    sys.exit(difference > 2e-3)
