"""What transformers makes of chat templates: text and `{% generation %}` ranges.

    python tests/reference/templates.py [TEMPLATE_FOLDER OUTPUT_JSON]

Renders every template in tests/fixtures/templates with every conversation below through transformers'
`render_jinja_template` and writes tests/fixtures/templates.json, which src/engine/data/template/tests.rs compares with.
With arguments it does the same for a folder of .jinja files taken from published models; the Rust test reads that file
where LORA_STUDIO_TEMPLATES names it.

Made with transformers 5.23.0, jinja2 3.1.6.
"""

import json
import sys
from datetime import datetime
from pathlib import Path

import transformers.utils.chat_template_utils as chat

ROOT = Path(__file__).resolve().parent.parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}

USER, SYSTEM, ASSISTANT = "user", "system", "assistant"


def m(role, content, **extra):
    return {"role": role, "content": content, **extra}


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather <now> & \"later\" in a place: é",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"place": "Zürich", "days": 1.0}}}

CONVERSATIONS = {
    "one turn": {"messages": [m(USER, "What is 2 + 2?"), m(ASSISTANT, "It is 4.")]},
    "system": {"messages": [m(SYSTEM, "Be brief."), m(USER, "Hi"), m(ASSISTANT, "Hello!")]},
    "three turns": {
        "messages": [
            m(SYSTEM, "Speak like a pirate."),
            m(USER, "Name a colour."),
            m(ASSISTANT, "Blue, arr."),
            m(USER, "Name a colour."),
            m(ASSISTANT, "Blue, arr."),
            m(USER, "assistant"),
            m(ASSISTANT, "user\nassistant\n"),
        ]
    },
    "question": {"messages": [m(USER, "Who are you?")]},
    "white space": {
        "messages": [m(USER, "  padded \n"), m(ASSISTANT, " \n padded too\n\n"), m(USER, "\tb"), m(ASSISTANT, "x ")]
    },
    "unicode": {
        "messages": [
            m(USER, "Grüße 😀 👩‍👩‍👧 \u00a0 e\u0301"),
            m(ASSISTANT, "日本語 \u200b العربية 😀😀 <b>&amp;</b> 'quotes' \"double\""),
        ]
    },
    "control tokens as text": {
        "messages": [
            m(USER, "What does <|im_end|> or </s> or [/INST] mean?"),
            m(ASSISTANT, "<|im_end|>\n ends a turn, <|im_start|>assistant\n begins one."),
            m(USER, "And {{ this }} {% if %}?"),
            m(ASSISTANT, "{% generation %} nothing {% endgeneration %}"),
        ]
    },
    "reasoning in the text": {
        "messages": [
            m(USER, "1+1"),
            m(ASSISTANT, "<think>\none and one\n</think>\n\n2"),
            m(USER, "2+2"),
            m(ASSISTANT, "<think>\ntwo and two: 4\n</think>\n\n4"),
        ]
    },
    "reasoning beside the text": {
        "messages": [
            m(USER, "1+1"),
            m(ASSISTANT, "2", reasoning_content="one and one"),
            m(USER, "2+2"),
            m(ASSISTANT, "4", reasoning="two and two: 4"),
        ]
    },
    "tool call": {
        "messages": [
            m(USER, "Weather in Zürich?"),
            {"role": ASSISTANT, "tool_calls": [CALL]},
            m("tool", '{"sky": "clear"}', name="get_weather"),
            m(ASSISTANT, "Clear."),
            m(USER, "Thanks"),
            m(ASSISTANT, "Let me see.", tool_calls=[CALL]),
        ],
        "tools": [TOOL],
    },
    "assistant first": {"messages": [m(ASSISTANT, "Welcome!"), m(USER, "Hi"), m(ASSISTANT, "How are you?")]},
    "empty answer": {"messages": [m(USER, "Say nothing."), m(ASSISTANT, ""), m(USER, "Again."), m(ASSISTANT, " ")]},
    "two answers": {"messages": [m(USER, "a"), m(ASSISTANT, "b"), m(ASSISTANT, "c"), m(USER, "d"), m(ASSISTANT, "e")]},
}


class Now(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12, 0, 0)


def byte_ranges(text, ranges):
    return [[len(text[:start].encode()), len(text[:end].encode())] for start, end in ranges]


def render(source, conversation, prompt, special):
    messages = [{k: v for k, v in message.items() if v is not None} for message in conversation["messages"]]
    try:
        texts, ranges = chat.render_jinja_template(
            conversations=[messages],
            tools=conversation.get("tools"),
            chat_template=source,
            return_assistant_tokens_mask=True,
            add_generation_prompt=prompt,
            **special,
        )
    except Exception as e:  # noqa: BLE001: whatever a template does
        return {"error": str(e), "raised": type(e).__name__ == "TemplateError"}
    return {"text": texts[0], "generation": byte_ranges(texts[0], ranges[0])}


def main():
    folder, output = ROOT / "fixtures/templates", ROOT / "fixtures/templates.json"
    outside = len(sys.argv) == 3
    if outside:
        folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    chat.datetime = Now
    cases = []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        for name, conversation in CONVERSATIONS.items():
            for prompt in (False, True):
                rendered = render(source, conversation, prompt, SPECIAL)
                cases.append({"template": path.stem, "conversation": name, "prompt": prompt, **rendered})
    sources = {path.stem: path.read_text() for path in sorted(folder.glob("*.jinja"))} if outside else {}
    result = {"special_tokens": SPECIAL, "conversations": CONVERSATIONS, "sources": sources, "cases": cases}
    lines = json.dumps(result, ensure_ascii=False, indent=0) if outside else compact(result)
    output.write_text(lines + "\n")
    failed = sum("error" in case for case in cases)
    print(f"{len(cases)} renderings, {failed} of them refused: {output}")


def compact(result):
    """One case a line, so that a change shows as the lines that changed."""
    dump = lambda value: json.dumps(value, ensure_ascii=False)  # noqa: E731
    head = [f'"{key}": {dump(value)}' for key, value in result.items() if key != "cases"]
    cases = ",\n".join(dump(case) for case in result["cases"])
    return "{\n" + ",\n".join(head) + ',\n"cases": [\n' + cases + "\n]}"


if __name__ == "__main__":
    main()
