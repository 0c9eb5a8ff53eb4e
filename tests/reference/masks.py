"""Which tokens transformers trains: `return_assistant_tokens_mask` with `{% generation %}` templates.

    python tests/reference/masks.py [TEMPLATE_FOLDER OUTPUT_FOLDER]

For every tagged template in tests/fixtures/templates and every conversation of templates.py this writes the token ids and
the mask that transformers' `apply_chat_template` gives ("mask"), and the mask of the same ranges without the white space
at their ends ("trimmed"): what a template that lost its tags must train, because the white space behind a terminator is
never generated, nor is the header of a turn. The tokenizer is a small byte-level BPE trained here, whose merges cross the
borders of turns; it is saved beside the fixture. With arguments it does the same for a folder of published .jinja files.

Made with transformers 5.23.0, tokenizers 0.23.
"""

import json
import re
import sys
import warnings
from pathlib import Path

import transformers.utils.chat_template_utils as chat
from templates import CONVERSATIONS, ROOT, Now, render
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CONTROL = re.compile(r"<\|[^|>\s]+\|>|<｜[^｜>\s]+｜>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
# Templates that end a turn with a line break instead of a control token: that line break is the template's.
BARE = {"plain"}
# Templates whose tags begin in front of the header, which the model never writes.
HEADED = {"smollm3": "<|im_start|>assistant\n"}


def train_tokenizer(sources):
    """Byte-level BPE of about 600 tokens. Every control token of the templates is one special token."""
    control = sorted({token for source in sources for token in CONTROL.findall(source)} | set(SPECIAL.values()))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    text = [m.get("content") or "" for c in CONVERSATIONS.values() for m in c["messages"]]
    text += ["It is 4.\n\n### Instruction:\nName", "### Response:\nBlue", ":\n Blue", "]  It", " Hello", ">It is"] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def overlapping(offsets, ranges):
    return [int(any(start < e and s < end for s, e in ranges)) for start, end in offsets]


def trimmed(text, start, end, name):
    if name in BARE:
        return start, end - text[start:end].endswith("\n")
    header = HEADED.get(name, "")
    start += len(header) * text[start:end].startswith(header)
    return start, start + len(text[start:end].rstrip())


def main():
    folder, output = ROOT / "fixtures/templates", ROOT / "fixtures/masks"
    if len(sys.argv) == 3:
        folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    chat.datetime = Now
    sources = {path.stem: path.read_text() for path in sorted(folder.glob("*.jinja"))}
    sources = {name: source for name, source in sources.items() if re.search(r"\{%-?\s*generation", source)}
    backend = train_tokenizer(sources.values())
    backend.save(str(output / "tokenizer.json"), pretty=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL)
    cases = []
    for name, source in sources.items():
        for conversation_name, conversation in CONVERSATIONS.items():
            rendered = render(source, conversation, False, SPECIAL)
            if "error" in rendered:
                continue
            encoded = tokenizer.apply_chat_template(
                conversation["messages"],
                tools=conversation.get("tools"),
                chat_template=source,
                return_assistant_tokens_mask=True,
                return_dict=True,
            )
            text = rendered["text"]
            ids = list(encoded["input_ids"])
            again = backend.encode(text, add_special_tokens=False)
            assert ids == again.ids, (name, conversation_name)
            to_char = lambda at: len(text.encode()[:at].decode())  # noqa: E731
            ranges = [(to_char(start), to_char(end)) for start, end in rendered["generation"]]
            ranges = [trimmed(text, start, end, name) for start, end in ranges]
            case = {
                "template": name,
                "conversation": conversation_name,
                "ids": ids,
                "mask": "".join(map(str, encoded["assistant_masks"])),
                "trimmed": "".join(map(str, overlapping(again.offsets, ranges))),
            }
            cases.append(case)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    head = {"special_tokens": SPECIAL, "conversations": CONVERSATIONS}
    if len(sys.argv) == 3:
        head["sources"] = sources
    head = json.dumps(head, ensure_ascii=False)[:-1]
    (output / "masks.json").write_text(f'{head},\n"cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {sum(len(case['ids']) for case in cases)} tokens: {output}")


if __name__ == "__main__":
    main()
