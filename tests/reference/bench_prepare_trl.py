"""What it costs TRL to make a file of rows ready to train: seconds by stage and memory.

    python tests/reference/bench_prepare_trl.py --rows 20000 --data gsm8k|alpaca [--processes 1] [--form messages|prompt]
    python tests/reference/bench_prepare_trl.py --rows 20000 --data gsm8k --write-only

Repeats the rows of shared/data to the number asked for, each with its number behind the question so that no two are alike,
and keeps them as /tmp/prep/DATA-ROWS.jsonl (`messages`) or DATA-ROWS-prompt.jsonl (`prompt` and `completion`): what our
side is measured with reads the same bytes. Then `datasets` loads the file and a real SFTTrainer with a toy model prepares
it, in a cache folder of its own: chat template, tokens, labels, packs of 2048 tokens (`bfd`). `messages` are trained with
`assistant_only_loss`, which needs generation tags that SmolLM2's template lacks and TRL does not know how to add, so they
are added here; `prompt` is trained with `completion_only_loss` and the template as it is.

Needs the tokenizer of SmolLM2 (shared/peers/setup.sh). Made with trl 1.16.0, datasets 5.2.0, transformers 5.23.0.
"""

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("LORA_SHARED", "/work/shared")) / "data"
PREPARED = Path("/tmp/prep")
SEPARATELY = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
TAGGED = (
    "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{message['content'] + '<|im_end|>'}}{% endgeneration %}{% else %}{{message['content'] + '<|im_end|>'}}"
    "{% endif %}{{'\n'}}"
)


def questions(data):
    if data == "gsm8k":
        lines = (DATA / "gsm8k_train.jsonl").read_text().splitlines()
        return [(row["question"], row["answer"]) for row in map(json.loads, lines)]
    rows = json.loads((DATA / "alpaca_en_demo.json").read_text())
    join = lambda row: "\n".join(filter(None, (row["instruction"], row.get("input"))))  # noqa: E731
    return [(join(row), row["output"]) for row in rows]


def write(data, rows, form):
    PREPARED.mkdir(exist_ok=True)
    path = PREPARED / f"{data}-{rows}{'' if form == 'messages' else '-prompt'}.jsonl"
    source = questions(data)
    with path.with_suffix(".part").open("w") as file:
        for number in range(rows):
            question, answer = source[number % len(source)]
            asked = [{"role": "user", "content": f"{question} ({number})"}]
            told = [{"role": "assistant", "content": answer}]
            row = {"messages": asked + told} if form == "messages" else {"prompt": asked, "completion": told}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    path.with_suffix(".part").rename(path)
    return path


def measure(path, rows, form, processes, tokenizer_folder, cache):
    # Read by datasets when it is imported.
    os.environ.update(HF_HOME=cache, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    began = time.perf_counter()
    import datasets
    import trl.trainer.sft_trainer as sft
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    imported = time.perf_counter()
    datasets.disable_progress_bars()
    steps, stages = {}, {}
    cpu = os.times()

    def timed(function, name):
        def call(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            stages[name] = stages.get(name, 0) + time.perf_counter() - start
            return result

        return call

    whole_map = datasets.Dataset.map

    def timed_map(self, *args, **kwargs):
        start = time.perf_counter()
        result = whole_map(self, *args, **kwargs)
        name = (kwargs.get("desc") or "other").split(" ")[0].lower()
        steps[name] = steps.get(name, 0) + time.perf_counter() - start
        return result

    datasets.Dataset.map = timed_map
    sft.pack_dataset = timed(sft.pack_dataset, "pack")
    sft.SFTTrainer._prepare_dataset = timed(sft.SFTTrainer._prepare_dataset, "all")

    load = timed(datasets.load_dataset, "load")
    dataset = load("json", data_files=str(path), split="train", cache_dir=cache)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    if form == "messages":
        assert SEPARATELY in tokenizer.chat_template
        tokenizer.chat_template = tokenizer.chat_template.replace(SEPARATELY, TAGGED)
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes))
    settings = sft.SFTConfig(
        output_dir=cache,
        max_length=2048,
        packing=True,
        packing_strategy="bfd",
        assistant_only_loss=form == "messages",
        dataset_num_proc=processes,
        use_cpu=True,
        bf16=False,
        report_to="none",
    )
    trainer = sft.SFTTrainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer)
    cpu = [after - before for before, after in zip(cpu, os.times())]
    packed = trainer.train_dataset
    tokens = sum(sum(lengths) for lengths in packed["seq_lengths"])
    trained = sum(label != -100 for labels in packed.select(range(min(200, len(packed))))["labels"] for label in labels)
    seconds = stages["load"] + stages["all"]
    megabytes = path.stat().st_size / 1e6
    peak = lambda who: round(resource.getrusage(who).ru_maxrss / 1024)  # noqa: E731
    return {
        "file": str(path),
        "rows": rows,
        "megabytes": round(megabytes, 1),
        "processes": processes,
        "import_seconds": round(imported - began, 2),
        "load_seconds": round(stages["load"], 2),
        "prepare_seconds": round(stages["all"] - stages["pack"], 2),
        "pack_seconds": round(stages["pack"], 2),
        "seconds": round(seconds, 2),
        # Of all its processes: what a busy machine leaves as it is.
        "cpu_seconds": round(sum(cpu[:4]), 2),
        "steps": {name: round(value, 2) for name, value in steps.items()},
        "rows_per_second": round(rows / seconds),
        "megabytes_per_second": round(megabytes / seconds, 2),
        "peak_mb": peak(resource.RUSAGE_SELF),
        "peak_mb_of_largest_child": peak(resource.RUSAGE_CHILDREN),
        "tokens": tokens,
        "packs": len(packed),
        "fill": round(tokens / (len(packed) * 2048), 4),
        "trained_in_first_200_packs": trained,
        "cache_mb": round(sum(f.stat().st_size for f in Path(cache).rglob("*") if f.is_file()) / 1e6),
        "load_average": os.getloadavg()[0],
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=20000)
    arguments.add_argument("--data", choices=["gsm8k", "alpaca"], default="gsm8k")
    arguments.add_argument("--form", choices=["messages", "prompt"], default="messages")
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--tokenizer", default=str(Path.home() / ".cache/lora-peers/smollm2-hf"))
    arguments.add_argument("--write-only", action="store_true")
    options = arguments.parse_args()
    path = write(options.data, options.rows, options.form)
    if options.write_only:
        print(path)
        return
    cache = tempfile.mkdtemp(prefix="prepare-trl-")
    try:
        result = measure(path, options.rows, options.form, options.processes, options.tokenizer, cache)
    finally:
        shutil.rmtree(cache)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
