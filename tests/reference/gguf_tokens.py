"""Makes tests/fixtures/tokens/smollm2.json: texts and the ids that llama.cpp gives them with SmolLM2's GGUF.

    python tests/reference/gguf_tokens.py SmolLM2-135M-Instruct.Q4_1.gguf smollm2-hf

llama-cpp-python 0.3.36. The second argument is the same model as a Hugging Face folder (transformers 5.23): where its
tokenizer gives other ids, the case says so under "transformers".
"""
import json
import os
import random
import sys

from llama_cpp import Llama
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fixtures", "tokens", "smollm2.json")

TEXTS = [
    "Hello, world!",
    " leading space, trailing space ",
    "tabs\tand\t\tdouble\ttabs,  double  spaces,    four",
    "line\nline\n\nline\n\n\n   indented\r\nwindows\r\rold mac",
    "\n",
    " ",
    "   ",
    "\u00a0no-break\u2009thin\u3000ideographic\u2028line separator",
    "I'm you're they've he'll she'd it's WE'RE I'M don't 'tis o'clock ''quoted''",
    "12345 1,234,567.89 3.14159 0x1F 1e-10 ½ ² Ⅷ ٣٤٥ १२३ 一二三 2024-11-23T18:33:00Z",
    "def f(x: int) -> dict[str, float]:\n    return {k: v ** 2 for k, v in x.items() if v != 0}\n\n\tif (a && !b || c) { x[i]++; }  // done",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>",
    "<|im_start|><|im_end|><|endoftext|><repo_name>a/b<file_sep>main.rs<jupyter_start>",
    "almost <|im_start |> <|im_en d|> <|im_start|user|> <|unknown|> <s></s> <unk>",
    "naïve café résumé Straße ŒUVRE İstanbul ſ Ǆ ﬁ",
    "e\u0301 decomposed, n\u0303, a\u030a\u0323",
    "Привет, как дела? Ελληνικά γράμματα. Հայերեն ქართული",
    "你好，世界。今天天气很好！ 日本語のテキスト、カタカナ。 한국어 문장입니다.",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם، שָׁלוֹם",
    "नमस्ते दुनिया, ওহে বিশ্ব, வணக்கம் உலகம், สวัสดีชาวโลก",
    "emoji 😀😃 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ☃️ ❤️ 🤷🏻‍♀️!",
    "math ∑_{i=0}^{∞} x² ≤ ∫ f(x)dx ⇒ ℝ⊂ℂ, α≈β, → ← ↔",
    "zero\u200bwidth\u200djoiner\ufeffbom\u00adsoft",
    "control \x01\x02\x1b[31mred\x1b[0m \x7f",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ________________ ---------------- ................",
    "https://example.com/path?q=a%20b&c=d#frag user@example.org C:\\Users\\x\\file.txt",
    "MixedCaseIdentifier snake_case_name kebab-case SCREAMING_SNAKE ThisIsALongCamelCase123Name",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\\n\"}}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] task\n> quote\n```rust\nfn main() {}\n```",
    "\U0001d54f\U0001d550 \U00020000\U0002a6d6 \U0010fffd private \ue000",
]

# A long mixture, so that boundaries between scripts, spaces and special tokens meet in many ways.
ALPHABET = list("abAB01 29 ,.'\"!?\n\t  -_éßΩжあ字한ا🙂़\u0301\u00a0") + ["<|im_end|>", "'s", "'LL", "  ", "\n\n", " the"]
rng = random.Random(0)
TEXTS += ["".join(rng.choices(ALPHABET, k=60)) for _ in range(120)]

gguf, folder = sys.argv[1:3]
llama = Llama(gguf, vocab_only=True, verbose=False)
other = AutoTokenizer.from_pretrained(folder)
cases = []
for text in TEXTS:
    ids = llama.tokenize(text.encode(), add_bos=True, special=True)
    case = {"text": text, "ids": ids}
    theirs = other(text)["input_ids"]
    if theirs != ids:
        case["transformers"] = theirs
    cases.append(case)
os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n")
print(f"{len(cases)} cases, {sum('transformers' in c for c in cases)} of which transformers cuts otherwise")
