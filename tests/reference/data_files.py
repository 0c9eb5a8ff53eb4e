"""Data files as pandas and pyarrow write them, and what is in them: tests/fixtures/data.

    python3 -m venv v && v/bin/pip install pyarrow pandas zstandard && v/bin/python tests/reference/data_files.py
"""

import datetime as dt
import decimal
import gzip
import json
import pathlib
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "data"
OUT.mkdir(exist_ok=True)

chats = [
    {
        "messages": [
            {"role": "user", "content": f"Grüße, Nummer {i}?\n\"quoted\"; comma, tab\t"},
            {"role": "assistant", "content": None if i == 3 else "日本語 " * (i % 4)},
        ][: 1 + (i % 3 > 0)]
        if i != 7
        else [],
        "id": 2**62 + i,
        "score": i / 8,
        "good": i % 2 == 0,
        "tags": None if i == 2 else [f"t{k}" for k in range(i % 4)],
        "grid": [[], [i], [i, i + 1]][: i % 4],
    }
    for i in range(30)
]
table = pa.Table.from_pylist(chats)


def write(name, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows) if isinstance(rows, list) else rows, OUT / name, **options)


# Several row groups, tiny pages, every codec and page version.
write("chats_snappy.parquet", chats, row_group_size=11, data_page_size=64)
write("chats_zstd.parquet", chats, compression="zstd", data_page_version="2.0", row_group_size=13, data_page_size=64)
write("chats_gzip.parquet", chats, compression="gzip", use_dictionary=False)
write("chats_lz4.parquet", chats, compression="lz4", use_compliant_nested_type=False)
write("chats_plain.parquet", chats, compression="none", data_page_version="2.0")
write("chats_brotli.parquet", chats, compression="brotli")
(OUT / "chats.json").write_text(json.dumps(chats, ensure_ascii=False, indent=1))

# One row of every type that is not JSON's own.
kinds = pa.table(
    {
        "decimal": pa.array([decimal.Decimal("-12.50"), None], pa.decimal128(9, 2)),
        "wide": pa.array([decimal.Decimal("123456789012345678901234.5"), None], pa.decimal256(40, 1)),
        "date": pa.array([dt.date(2024, 2, 29), None]),
        "time": pa.array([dt.time(12, 30, 0, 500000), None], pa.time64("us")),
        "utc": pa.array([dt.datetime(2024, 2, 29, 12, 30), None], pa.timestamp("us", tz="UTC")),
        "local": pa.array([dt.datetime(2024, 2, 29, 12, 30), None], pa.timestamp("ms")),
        "u64": pa.array([2**64 - 1, None], pa.uint64()),
        "u32": pa.array([2**32 - 1, None], pa.uint32()),
        "i8": pa.array([-128, None], pa.int8()),
        "f32": pa.array([0.1, None], pa.float32()),
        "f64": pa.array([float("nan"), 0.1]),
        "map": pa.array([[("a", [1, 2]), ("b", None)], None], pa.map_(pa.string(), pa.list_(pa.int32()))),
        "struct": pa.array([{"x": {"y": "z"}}, None]),
        "fixed": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
        "words": pa.array(["ja", None]).dictionary_encode(),
        "large": pa.array(["groß", None], pa.large_string()),
        "none": pa.array([None, None], pa.null()),
        "empty": pa.array([[], [None]], pa.list_(pa.string())),
    }
)
write("kinds.parquet", kinds)
write("int96.parquet", kinds.select(["local"]), use_deprecated_int96_timestamps=True)
write("image.parquet", [{"text": "a", "image": {"bytes": b"\x89PNG\r\n\0", "path": "a.png"}}, {"text": "b", "image": None}])
write("none.parquet", table.slice(0, 0))

frame = pd.DataFrame(
    {
        "question": ["plain", "with \"quotes\"", "two\nlines", "comma, semicolon; tab\t", "", "Grüße"],
        "answer": ["1", "[not json", "é", "x|y", "5", "日本語"],
        "messages": [json.dumps([{"role": "user", "content": "hi"}])] * 6,
    }
)
frame.to_csv(OUT / "pandas.csv", index=False)
frame.to_csv(OUT / "excel.csv", index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
frame.to_csv(OUT / "pandas.tsv.gz", index=True, sep="\t", compression={"method": "gzip", "mtime": 1})
(OUT / "utf16.csv").write_bytes(frame.to_csv(index=False, sep="\t", lineterminator="\r\n").encode("utf-16"))
frame.to_json(OUT / "pandas.jsonl", orient="records", lines=True, force_ascii=False)
frame.to_parquet(OUT / "pandas.parquet")
text = (OUT / "pandas.jsonl").read_bytes()
(OUT / "pandas.jsonl.zst").write_bytes(zstandard.compress(text))
# Two members, as `cat a.gz b.gz` makes them.
(OUT / "pandas.jsonl.gz").write_bytes(gzip.compress(text[:300], mtime=1) + gzip.compress(text[300:], mtime=1))
