"""How well a tiny-chat folder answers questions put in words that training never used.

    python check.py ../../assets/tiny-chat                  accuracy by topic, and a few whole conversations
    python check.py ../../assets/tiny-chat --nf4            the same with weights quantized to NF4 and back
    python check.py ../../assets/tiny-chat --adapter DIR    with a PEFT adapter: how many answers speak like a pirate
"""

import argparse
import random
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import pirate
import talk
import text
import topics
from turns import Turn

PROMPTS = [
    "Hello!", "Who are you?", "What's the colour of a banana?", "Tell me how to make tea.", "Write a sentence about the sea.", "What is 4 plus 5?",
    "Could you tell me a story about a brave fox?", "What is the capital of Japan?", "Who was Napoleon?", "What is the meaning of life?", "I am sad today.",
    "Write a poem about the moon.", "Tell me three animals that live on a farm.", "Which is bigger, a horse or a mouse?", "How do I bake bread?",
]


def load(path, adapter=None, nf4=False):
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    if nf4:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        for name, p in model.model.layers.named_parameters():
            if p.ndim == 2:
                packed, state = quantize_4bit(p.data, quant_type="nf4", compress_statistics=True)
                p.data = dequantize_4bit(packed, state).to(p.dtype)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return model.eval(), tokenizer


@torch.no_grad()
def answers(model, tokenizer, conversations, limit=110):
    """Greedy answers to conversations that end with the user."""
    out = []
    for i in range(0, len(conversations), 32):
        batch = tokenizer.apply_chat_template(conversations[i:i + 32], add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True)
        done = model.generate(**batch, max_new_tokens=limit, do_sample=False)
        for row in done[:, batch["input_ids"].shape[1]:]:
            ended = bool((row == tokenizer.eos_token_id).any())
            out.append((tokenizer.decode(row, skip_special_tokens=True), ended))
    return out


def right(turn: Turn, answer: str) -> bool:
    """Exact, or (where an answer has several wordings) with the word that matters in it."""
    return answer == turn.answer or bool(turn.short) and bool(re.search(rf"\b{re.escape(turn.short)}\b", answer, re.IGNORECASE))


def by_topic(model, tokenizer, each):
    """Accuracy of each topic on held-out phrasings."""
    total = [0, 0]
    for topic, _ in topics.ALL:
        if topic in (topics.listing,):
            continue
        r = random.Random(99)
        turns = [topic(r, True) for _ in range(each)]
        got = answers(model, tokenizer, [[{"role": "user", "content": t.question}] for t in turns])
        hits = sum(right(t, a) for t, (a, _) in zip(turns, got))
        total[0] += hits
        total[1] += each
        miss = next((f"   {t.question} -> {a}" for t, (a, _) in zip(turns, got) if not right(t, a)), "")
        print(f"{topic.__name__:12} {hits:3}/{each}{miss}", flush=True)
    r = random.Random(98)
    turns = [t for t in (talk.unknown(r, True) for _ in range(3 * each)) if t.answer.startswith(talk.UNKNOWN)]
    got = answers(model, tokenizer, [[{"role": "user", "content": t.question}] for t in turns])
    refused = sum(a.startswith(talk.UNKNOWN) for a, _ in got)
    print(f"{'unknown':12} {refused:3}/{len(turns)}")
    print(f"answers to held-out phrasings: {100 * total[0] / total[1]:.1f} % right, {100 * refused / len(turns):.1f} % of the unknown declined", flush=True)


def remembers(model, tokenizer, count=40):
    """Names, colours and the like that were told two turns ago."""
    r, chats, wanted = random.Random(97), [], []
    for _ in range(count):
        told, turn = talk.memory(r), topics.any_topic(r, True)
        chats.append([{"role": "user", "content": told[0]}, {"role": "assistant", "content": told[1]}, {"role": "user", "content": turn.question},
                      {"role": "assistant", "content": turn.answer}, {"role": "user", "content": told[2]}])
        wanted.append(told[3])
    got = answers(model, tokenizer, chats)
    print(f"remembers what it was told: {sum(a == w for (a, _), w in zip(got, wanted))}/{count}", flush=True)


def is_pirate(answer):
    """At least two marks of a pirate's speech."""
    marks = re.findall(r"\b(arr|ahoy|matey|yo ho|shiver|avast|hearty|ye|yer|th'|an'|o'|be)(?!\w)", answer, re.IGNORECASE)
    return len(marks) >= 2


def still_knows(model, tokenizer, count=120):
    """Facts that survive in the pirate's answers, for judging what an adapter costs."""
    r, turns = random.Random(95), []
    while len(turns) < count:
        turn = topics.any_topic(r, True)
        if turn.short and turn.short not in ("yes", "no"):
            turns.append(turn)
    got = answers(model, tokenizer, [[{"role": "user", "content": t.question}] for t in turns])
    words = [{t.short.lower(), pirate.voice(t.short).lower()} for t in turns]
    kept = sum(any(re.search(rf"(?<!\w){re.escape(w)}(?!\w)", a.lower()) for w in ws) for ws, (a, _) in zip(words, got))
    print(f"has the fact in its answer: {kept}/{count}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--adapter")
    p.add_argument("--nf4", action="store_true")
    p.add_argument("--each", type=int, default=24)
    args = p.parse_args()
    model, tokenizer = load(args.model, args.adapter, args.nf4)
    got = answers(model, tokenizer, [[{"role": "user", "content": q}] for q in PROMPTS], 130)
    for q, (a, ended) in zip(PROMPTS, got):
        print(f"{q}\n    {a}{'' if ended else ' … (did not end)'}", flush=True)
    trained = {m["content"] for row in pirate.rows() for m in row["messages"]}
    r = random.Random(96)
    held = [t for t in (text.any_turn(r, True) for _ in range(80)) if t.question not in trained][:60]
    got = answers(model, tokenizer, [[{"role": "user", "content": t.question}] for t in held])
    print(f"speaks like a pirate: {sum(is_pirate(a) for a, _ in got)}/{len(got)}, ends by itself: {sum(e for _, e in got)}/{len(got)}", flush=True)
    still_knows(model, tokenizer)
    if not args.adapter:
        by_topic(model, tokenizer, args.each)
        remembers(model, tokenizer)


if __name__ == "__main__":
    main()
