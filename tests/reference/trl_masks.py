"""Which tokens TRL trains with `assistant_only_loss`: on its own training variants of published chat templates.

    python tests/reference/trl_masks.py [OUTPUT_FOLDER]

For a template that it knows and that has no `{% generation %}` tags, TRL takes its own copy with tags. This copies the
templates whose licence permits it, as they are and as TRL trains them, to tests/fixtures/masks/trl, and writes trl.json:
the token ids and the mask that TRL makes, and whether the published template writes the same text ("same"). With an
argument it does so for all of TRL's templates. The tokenizer is that of masks.py with the templates' other control tokens,
in the order of "control".

Made with trl 1.16.0, transformers 5.23.0.
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import transformers.utils.chat_template_utils as chat
import trl.chat_template_utils as known
from masks import CONTROL, SPECIAL
from templates import ASSISTANT, CALL, CONVERSATIONS, ROOT, SYSTEM, TOOL, USER, Now, m
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast
from trl.data_utils import _tokenize

# Qwen: Alibaba Cloud, Apache-2.0. Phi: Microsoft, MIT. GLM: Zhipu AI, MIT. gpt-oss: OpenAI, Apache-2.0. TRL's changes:
# Apache-2.0.
FREE = ["glm4moe", "gptoss", "phi3", "phi3_5", "qwen2_5", "qwen3", "qwen3_instruct_2507"]
TAKEN = ["one turn", "system", "three turns", "white space", "unicode", "tool call", "two answers", "empty answer"]
TAKEN += ["reasoning in the text", "reasoning beside the text"]
MORE = {
    "empty system": {"messages": [m(SYSTEM, ""), m(USER, "Hi"), m(ASSISTANT, "Hello!")]},
    "question behind the answer": {"messages": [m(USER, "Hi"), m(ASSISTANT, "Hello!"), m(USER, "Who are you?")]},
    # gpt-oss writes one message as two: thoughts or text in one channel, the answer or the call in another.
    "thinking": {"messages": [m(USER, "2 + 2?"), m(ASSISTANT, "4", thinking="Two and two.")]},
    "thinking and a call": {
        "messages": [m(USER, "Weather in Rome?"), {"role": ASSISTANT, "thinking": "I look.", "tool_calls": [CALL]}],
        "tools": [TOOL],
    },
    "text and a call, then answers": {
        "messages": [
            m(USER, "Weather in Rome?"),
            m(ASSISTANT, "Let me see.", tool_calls=[CALL]),
            m("tool", '{"sky": "clear"}', name="get_weather"),
            m(ASSISTANT, "Clear."),
            m(USER, "And tomorrow?"),
            m(ASSISTANT, "I look again.", tool_calls=[CALL]),
            m("tool", '{"sky": "rain"}', name="get_weather"),
        ],
        "tools": [TOOL],
    },
}
OTHER_CONTROL = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def main():
    output = Path(sys.argv[1]) if len(sys.argv) == 2 else ROOT / "fixtures/masks/trl"
    output.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    chat.datetime = Now
    folder = known._CHAT_TEMPLATES_DIR
    names = [path.stem.removesuffix("_training") for path in sorted(folder.glob("*_training.jinja"))]
    names = names if len(sys.argv) == 2 else FREE
    conversations = {name: CONVERSATIONS[name] for name in TAKEN} | MORE
    trained_with, control = {}, set(OTHER_CONTROL)
    for name in names:
        for file in (f"{name}.jinja", f"{name}_training.jinja"):
            shutil.copyfile(folder / file, output / file)
        trained_with[name] = (output / f"{name}_training.jinja").read_text()
        control.update(CONTROL.findall(trained_with[name]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "fixtures/masks/tokenizer.json"), **SPECIAL)
    control = sorted(control - set(tokenizer.get_vocab()))
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [AddedToken(token, special=True, normalized=False) for token in control]}
    )
    cases, refused = [], 0
    for name in names:
        tokenizer.chat_template = (output / f"{name}.jinja").read_text()
        assert known.get_training_chat_template(tokenizer) == trained_with[name], name
        for conversation_name, conversation in conversations.items():
            told = dict(tools=conversation.get("tools"))
            messages = conversation["messages"]
            try:
                # As SFTTrainer's preparation calls it.
                made = _tokenize(
                    tokenizer, messages, return_assistant_tokens_mask=True, chat_template=trained_with[name], **told
                )
                plain = tokenizer.apply_chat_template(messages, tokenize=False, **told)
            except Exception:  # noqa: BLE001: whatever a template refuses
                refused += 1
                continue
            ids = list(made["input_ids"])
            case = {
                "template": name,
                "conversation": conversation_name,
                "ids": ids,
                "mask": "".join(map(str, made["assistant_masks"])),
                "same": tokenizer(plain)["input_ids"] == ids,
            }
            cases.append(case)
    head = {"special_tokens": SPECIAL, "control": control, "conversations": conversations}
    head = json.dumps(head, ensure_ascii=False)[:-1]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    (output / "trl.json").write_text(f'{head},\n"cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {refused} refused, {sum(len(case['ids']) for case in cases)} tokens: {output}")


if __name__ == "__main__":
    main()
