"""Makes tests/fixtures/tokens/vocabularies.json: small vocabularies of both kinds that GGUF files carry, in many settings,
and the ids that llama.cpp gives a list of texts with each.

    python tests/reference/gguf_vocabularies.py     # llama-cpp-python 0.3.36, gguf 0.19, tokenizers, sentencepiece 0.2

The vocabularies are trained here, on the texts themselves and this file. One byte-level BPE goes by every name of a
splitting rule (`tokenizer.ggml.pre`); one SentencePiece vocabulary is used as Llama's, Gemma's and Phi-3's converters
write theirs. The test writes the same metadata into a file of its own and must get the same ids.
"""
import io
import json
import os
import random
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gguf
import sentencepiece
from llama_cpp import Llama
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "tokens", "vocabularies.json")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

with open(os.path.join(os.path.dirname(HERE), "fixtures", "tokens", "smollm2.json")) as f:
    TEXTS = [case["text"] for case in json.load(f)][:50]
TEXTS += [
    "12345 1,234,567.89 3.14159 x = 100000; 1000_0000 Ⅷ½²",
    "camelCase HTTPServer XMLHttpRequest ÄÖÜäöü ÉCOLE école Łódź ǅ",
    "$100 + 200 = 300 < 400 > 5 ^ 6 ~ 7 | 8 ` 9 %&*",
    "words/and/slashes\n/next\r\n\n  /x  \n \n\t\n end",
    "don't DON'T Don'T l'été l'ÉTÉ 'S 'Re ’s",
    "a</s>b<s> c<unk>d <user> e<user>  f <|end|>\n g",
]
CORPUS = TEXTS * 3 + open(__file__, encoding="utf-8").read().splitlines()


def byte_level():
    """Tokens, kinds, merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    kinds = [NORMAL] * len(tokens)
    # A token that no merges lead to: only rules that take whole words as they are find it.
    for token, kind in [("Ġcamel", NORMAL), ("<s>", CONTROL), ("</s>", CONTROL), ("<user>", USER_DEFINED),
                        ("<|im_start|>", CONTROL), ("<|im_end|>", NORMAL), ("<reserved>", UNUSED)]:
        tokens.append(token)
        kinds.append(kind)
    return tokens, kinds, merges


def sentence_pieces():
    """Tokens, kinds, scores, as the converter reads them off a SentencePiece model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(t for text in CORPUS for t in text.split("\n") if t), model_writer=model, vocab_size=900,
        model_type="bpe", byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2,
        user_defined_symbols=["<user>"], num_threads=1)
    p = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens, kinds, scores = [], [], []
    for i in range(p.vocab_size()):
        tokens.append(p.id_to_piece(i))
        scores.append(p.get_score(i))
        kinds.append(UNKNOWN if p.is_unknown(i) else CONTROL if p.is_control(i) else UNUSED if p.is_unused(i)
                     else BYTE if p.is_byte(i) else USER_DEFINED if tokens[-1] == "<user>" else NORMAL)
    for token in ("<|endoftext|>", "<|end|>", "<|assistant|>"):
        tokens.append(token)
        kinds.append(CONTROL)
        scores.append(-1000.0)
    return tokens, kinds, scores


BPE, SPM = byte_level(), sentence_pieces()
PRE = ["default", "llama-bpe", "smaug-bpe", "smollm", "gpt-2", "qwen2", "tekken", "gpt-4o", "seed-coder", "bailingmoe",
       "falcon", "qwen35", "deepseek-coder", "deepseek-v3", "bloom", "viking", "minicpm5"]
BPE_IDS = dict(bos_token_id=BPE[0].index("<s>"), eos_token_id=BPE[0].index("</s>"))
CASES = [dict(model="gpt2", pre=pre, **BPE_IDS) for pre in PRE]
CASES += [
    dict(model="gpt2", pre="llama-bpe", add_bos_token=False, add_eos_token=True, **BPE_IDS),
    dict(model="gpt2", pre="qwen2", add_bos_token=True, **BPE_IDS),
    dict(model="llama", bos_token_id=1, eos_token_id=2),
    dict(model="llama"),
    dict(model="llama", add_space_prefix=False, add_bos_token=True, add_eos_token=False, bos_token_id=1, eos_token_id=2),
    dict(model="llama", add_bos_token=False, add_eos_token=True, bos_token_id=1, eos_token_id=2, name="Phi-3-mini"),
]


def ids_of_llama_cpp(case):
    tokens, kinds, third = BPE if case["model"] == "gpt2" else SPM
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.gguf")
        w = gguf.GGUFWriter(path, "llama")
        w.add_name(case.get("name", "tiny"))
        w.add_tokenizer_model(case["model"])
        if "pre" in case:
            w.add_tokenizer_pre(case["pre"])
        w.add_token_list(tokens)
        w.add_token_types(kinds)
        if case["model"] == "gpt2":
            w.add_token_merges(third)
        else:
            w.add_token_scores(third)
        for key, value in case.items():
            if key.endswith("_id"):
                w.add_uint32(f"tokenizer.ggml.{key}", value)
            elif isinstance(value, bool):
                w.add_bool(f"tokenizer.ggml.{key}", value)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()
        llama = Llama(path, vocab_only=True, verbose=bool(os.environ.get("VERBOSE")))
        return [llama._model.tokenize(text.encode(), True, True) for text in TEXTS]


out = {"texts": TEXTS, "bpe": dict(zip(("tokens", "kinds", "merges"), BPE)),
       "spm": dict(zip(("tokens", "kinds", "scores"), SPM)), "cases": []}
for case in CASES:
    out["cases"].append(case | {"ids": ids_of_llama_cpp(case)})
with open(OUT, "w") as f:
    json.dump(out, f, separators=(",", ":"))
print(len(CASES), "settings,", len(TEXTS), "texts,", os.path.getsize(OUT) // 1000, "kB")
first = out["cases"][0]["ids"]
print("rules that differ from the first:", [c.get("pre") for c in out["cases"] if c["ids"] != first])
