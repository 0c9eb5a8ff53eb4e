//! Every kind of file, read in order and out of order, whole and broken.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::bytes::CHUNK;
use super::*;
use crate::engine::{Error, Result};

/// Reads through a small buffer, so that every construct crosses its end, and through a large one.
fn read(name: &str, content: impl Into<Vec<u8>>) -> Result<Vec<Row>> {
    let source = Source::from_bytes(name, content);
    let small = Rows::with_chunk(&source, 3).and_then(|rows| rows.collect::<Result<Vec<_>>>());
    let large = source.rows().and_then(|rows| rows.collect::<Result<Vec<_>>>());
    match (&small, &large) {
        (Ok(small), Ok(large)) => assert_eq!(small, large),
        (Err(small), Err(large)) => assert_eq!(small.to_string(), large.to_string()),
        _ => panic!("{small:?} {large:?}"),
    }
    if let Ok(rows) = &large {
        out_of_order(&source, rows);
    }
    large
}

/// Rows that are looked up are those that were read, whatever the order.
fn out_of_order(source: &Source, rows: &[Row]) {
    for chunk in [3, CHUNK] {
        let mut reader = source.reader().unwrap().with_chunk(chunk);
        let some = (0..rows.len()).chain((0..rows.len()).rev()).chain((0..rows.len()).map(|i| i * 7919 % rows.len()));
        for row in some.map(|i| &rows[i]) {
            assert_eq!(reader.read(row.file, &row.bytes, row.index, row.line).unwrap(), *row);
        }
    }
}

fn error(name: &str, content: &[u8]) -> String {
    read(name, content).unwrap_err().to_string()
}

fn values(rows: &[Row]) -> Vec<(usize, usize, i64)> {
    rows.iter().map(|r| (r.index, r.line, r.fields["a"].as_i64().unwrap())).collect()
}

fn columns(row: &Row) -> Value {
    Value::Object(row.fields.clone())
}

fn all(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(columns).collect()
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

fn fixture_rows(name: &str) -> Vec<Row> {
    let source = Source::find(&fixture(name).to_string_lossy()).unwrap();
    let rows: Vec<Row> = source.rows().unwrap().collect::<Result<_>>().unwrap();
    out_of_order(&source, &rows);
    rows
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn utf16(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn json_lines_skip_blank_lines_and_keep_line_numbers() {
    let rows = read("d", "{\"a\":1}\n\n  \r\n{\"a\":2}\r\n {\"a\":3}").unwrap();
    assert_eq!(values(&rows), [(0, 1, 1), (1, 4, 2), (2, 5, 3)]);
    assert_eq!(values(&read("d.jsonl", "\u{FEFF}\n{\"a\":1}\n").unwrap()), [(0, 2, 1)]);
}

#[test]
fn arrays_keep_the_line_where_a_row_begins() {
    let text = "[\n  {\"a\": 1, \"s\": \"],}\\\"\\\\\"},\n\n  {\n \"a\":\n2, \"n\": [[1],{}]},{\"a\":3}\n]\n";
    assert_eq!(values(&read("d.json", text).unwrap()), [(0, 2, 1), (1, 4, 2), (2, 6, 3)]);
    assert!(read("d.json", "[ ]").unwrap().is_empty());
    assert!(read("d.json", "").unwrap().is_empty());
}

#[test]
fn texts_are_one_document_a_line_or_a_file() {
    let rows = read("d.txt", "\u{FEFF}first line \r\n\n  zwei\n").unwrap();
    let seen: Vec<_> = rows.iter().map(|r| (r.line, r.fields["text"].as_str().unwrap())).collect();
    assert_eq!(seen, [(1, "first line"), (3, "  zwei")]);
    let rows = read("d.md", "\u{FEFF}# Title\r\n\r\nText\r\n\r\n").unwrap();
    assert_eq!((rows.len(), rows[0].line, &rows[0].fields["text"]), (1, 1, &json!("# Title\n\nText")));
    assert!(read("d.md", " \n\n").unwrap().is_empty());
    assert_eq!(error("d.txt", b"a\nb\xFF\n"), "line 2: the text is not UTF-8: save the file as UTF-8: d.txt");
}

#[test]
fn tables_are_read_by_any_delimiter() {
    for (name, delimiter) in
        [("d.csv", ','), ("d.csv", ';'), ("d.csv", '\t'), ("d.csv", '|'), ("d.tsv", '\t'), ("d.tsv", ';')]
    {
        let text = "question,a \r\n\"two\r\nlines, \"\"so\"\"\",1.5\r\n\r\n,\"[{\"\"role\"\":1}]\"\r\n[x,{y";
        let rows = read(name, text.replace(',', &delimiter.to_string())).unwrap();
        let quoted = format!("two\r\nlines{delimiter} \"so\"");
        assert_eq!(
            all(&rows),
            [
                json!({"question": quoted, "a": "1.5"}),
                json!({"question": "", "a": [{"role": 1}]}),
                json!({"question": "[x", "a": "{y"}),
            ],
            "{name} {delimiter}"
        );
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 5, 6]);
    }
    let one = read("d.csv", "text\nhello\n\n  \nworld; you\n").unwrap();
    assert_eq!(all(&one), [json!({"text": "hello"}), json!({"text": "  "}), json!({"text": "world; you"})]);
    // Commas in the texts of a table whose delimiter is another.
    let rows = read("d.csv", "a;b\n1,5;2,5\n1;2\n").unwrap();
    assert_eq!(all(&rows), [json!({"a": "1,5", "b": "2,5"}), json!({"a": "1", "b": "2"})]);
    assert_eq!(all(&read("d.csv", "sep=|\r\na,b|c\r\n1|2\r\n").unwrap()), [json!({"a,b": "1", "c": "2"})]);
    assert_eq!(all(&read("d.csv", ",b\n0,x\n").unwrap()), [json!({"column 1": "0", "b": "x"})]);
    assert_eq!(all(&read("d.csv", "a,b\r1,2\r3,4").unwrap()).len(), 2);
    assert!(read("d.csv", "\n\n").unwrap().is_empty() && read("d.csv", "a,b\n").unwrap().is_empty());
    assert_eq!(values(&read("d.csv", "[{\"a\":1}]").unwrap()), [(0, 1, 1)]);
}

#[test]
fn what_is_wrong_with_a_table_is_named_with_its_line() {
    assert_eq!(
        error("d.csv", b"a,b\n1,2\n1,2,3\n"),
        "line 3: expected 2 columns as in the first line, found 3 (cells are separated by `,`; a cell that holds one is \
         written in quotes): d.csv"
    );
    assert!(error("d.tsv", b"a\tb\n1\n").starts_with("line 2: expected 2 columns as in the first line, found 1"));
    assert!(error("d.csv", b"a,b,a\n").starts_with("line 1: two columns are named `a`: rename one"));
    assert!(error("d.csv", b"a,b\n1,2\n3,\"4\n5,6\n").starts_with("line 3: a quote opens in this row and is never"));
    assert!(error("d.csv", b"a,b\n1,\xFF\n").starts_with("line 2: the row is not UTF-8 text"));
    let wide = format!("{}\n", ",".repeat(20_000));
    assert!(error("d.csv", wide.as_bytes()).starts_with("line 1: the row has more than 16384 columns"));
    // Wrong records are passed over.
    let mut rows = Source::from_bytes("d.csv", "a,b\r\n1,2\r\n3\r\n4,5\r\n").rows().unwrap();
    assert!(rows.next().unwrap().is_ok() && rows.next().unwrap().is_err() && rows.next().is_none());
    assert!(rows.resume());
    assert_eq!(columns(&rows.next().unwrap().unwrap()), json!({"a": "4", "b": "5"}));
    assert!(rows.next().is_none() && !rows.resume());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let said = |content: &[u8]| error("d", content);
    assert_eq!(said(b"{\"a\":1}\n{\"a\" 2}\n"), "line 2: not valid JSON: expected `:` (column 6): d");
    assert_eq!(said("{\"ä\":1}\n  {\"ä\" 2}\n".as_bytes()), "line 2: not valid JSON: expected `:` (column 8): d");
    assert_eq!(said(b"{\"a\":1}\n[1]\n"), "line 2: expected an object with columns, found a list: d");
    assert_eq!(
        said(b"{\n\"a\":1}\n"),
        "line 1: the row does not end on its line: one object a line is expected, or an array of objects: d"
    );
    assert_eq!(
        said(b"[{\"a\":1},\n{\"a\":\n2]}]"),
        "line 2: not valid JSON: expected `,` or `}` (line 3, column 2): d"
    );
    assert_eq!(said(b"[{\"a\":1}, {\"a\" 2}]"), "line 1: not valid JSON: expected `:` (line 1, column 16): d");
    assert_eq!(said(b"[{\"a\":1},\n{\"a\":2"), "line 2: the file ends within the array: is it cut off?: d");
    assert_eq!(said(b"[{\"a\":1},\n"), "line 2: the file ends within the array: is it cut off?: d");
    assert_eq!(said(b"[{\"a\":1},\n]"), "line 2: expected a row between the commas, found nothing: d");
    assert_eq!(said(b"[{\"a\":1}]\n[]"), "line 2: the array has ended, but the file goes on: d");
    assert_eq!(said(b"[3]"), "line 1: expected an object with columns, found the number 3: d");
    assert_eq!(said(b"{\"a\":\"\xFF\"}"), "line 1: the row is not UTF-8 text: save the file as UTF-8: d");
    assert!(said(b"question,answer\n1,2\n").starts_with("line 1: expected JSON"));
    assert_eq!(said(b"\0\x01\x02\0"), "the file holds zero bytes: it is binary, not text: d");
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(said(deep.as_bytes()), "line 1: the row is nested more than 127 levels deep: no known format is: d");
    let deep = format!("[{}", "[".repeat(100_000));
    assert!(said(deep.as_bytes()).starts_with("line 1: the row is nested more than 127 levels"));
}

#[test]
fn rows_that_are_too_long_are_refused_and_passed_over() {
    for (name, head, long, tail) in [
        ("d.jsonl", "", "{\"a\":\"", "\"}\n{\"a\":1}\n"),
        ("d.csv", "a,b\n", "x", ",1\n1,2\n"),
        ("d.txt", "", "x", "\nrow\n"),
    ] {
        let content = [head, long, &"x".repeat(MAX_ROW_BYTES + CHUNK), tail].concat();
        let source = Source::from_bytes(name, content);
        let mut rows = source.rows().unwrap();
        let error = rows.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("the row is longer than 64 MiB"), "{error}");
        assert!(rows.resume());
        assert!(rows.next().unwrap().is_ok() && rows.next().is_none(), "{name}");
    }
    let content = ["[{\"a\":\"", &"x".repeat(MAX_ROW_BYTES), "\"}]"].concat();
    let error = Source::from_bytes("d.json", content).rows().unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("the row is longer than 64 MiB"), "{error}");
}

#[test]
fn the_iterator_ends_after_an_error_and_goes_on_when_told() {
    let source = Source::from_bytes("d", "{\"a\":1}\nx\n{\"a\":2}\n");
    assert!(source.rows().unwrap().next().unwrap().is_ok());
    let source = Source::from_bytes("d", "{\"a\":1}\n{x}\n{\"a\":2}\n");
    let mut rows = source.rows().unwrap();
    assert!(rows.next().unwrap().is_ok());
    assert!(rows.next().unwrap().is_err());
    assert!(rows.next().is_none());
    assert!(rows.resume() && rows.next().unwrap().is_ok() && rows.next().is_none() && !rows.resume());
}

#[test]
fn packed_and_encoded_files_hold_the_same_rows() {
    let text = "[{\"a\":1,\"s\":\"grün 😀\"},\r\n{\"a\":2}]";
    let plain = all(&read("d.json", text).unwrap());
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let split = [gzip(&text.as_bytes()[..9]), gzip(&text.as_bytes()[9..])].concat();
    let wide = |big_endian, mark| utf16(text, big_endian, mark);
    let all_forms: [(&str, Vec<u8>); 9] = [
        // Under names that are right and under names that are not.
        ("d.json.gz", gzip(text.as_bytes())),
        ("d.json", gzip(text.as_bytes())),
        ("d.json.gz", split),
        ("d.jsonl.zst", zstd.clone()),
        ("d.json", gzip(&zstd)),
        ("d.json", wide(false, true)),
        ("d.json", wide(true, true)),
        ("d.json", wide(false, false)),
        ("d.json.gz", gzip(&wide(true, false))),
    ];
    for (name, bytes) in all_forms {
        assert_eq!(all(&read(name, bytes).unwrap()), plain, "{name}");
    }
    assert_eq!(all(&read("d.txt.gz", gzip(b"one\ntwo")).unwrap()), [json!({"text": "one"}), json!({"text": "two"})]);
    assert!(read("d.jsonl.gz", gzip(b"")).unwrap().is_empty());
}

#[test]
fn broken_packing_and_encoding_is_said() {
    let text: String = (0..5000).map(|i| format!("{{\"a\":{i},\"s\":\"{:x}\"}}\n", i * 7919 % 65_537)).collect();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, whole) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd)] {
        let mut rows = Source::from_bytes("d.jsonl", &whole[..whole.len() * 2 / 3]).rows().unwrap();
        let good = rows.by_ref().take_while(Result::is_ok).count();
        assert!(good < 5000, "{name}");
        assert!(!rows.resume());
        let cut = read("d.jsonl", &whole[..whole.len() - 4]).unwrap_err().to_string();
        assert!(cut.contains(&format!("the {name} data ends early: is the file cut off?")), "{cut}");
        let mut wrong = whole.clone();
        wrong[whole.len() / 2] ^= 0x55;
        wrong[whole.len() / 2 + 1] ^= 0x55;
        let _ = read("d.jsonl", wrong);
        let head = read("d.jsonl", &whole[..6]).unwrap_err().to_string();
        assert!(head.starts_with(&format!("the {name} data ends early")), "{head}");
    }
    let mut wide = utf16("{\"a\":1}\n", false, true);
    wide.push(0);
    assert!(error("d", &wide).contains("the UTF-16 text ends within a character"));
    assert!(
        error("d", &[&utf16("{\"a\":\"", true, true)[..], &[0xDC, 0, 0, 0x41]].concat())
            .contains("UTF-16 text is damaged")
    );
    let nested = gzip(&gzip(&gzip(&gzip(b"{}"))));
    assert_eq!(error("d", &nested), "the file is packed more than twice: unpack it first: d");
    // A bomb: 1 GiB of spaces in front of a row, read a piece at a time.
    let spaces = zstd::encode_all(std::io::repeat(b' ').take_bytes(1 << 28), 1).unwrap();
    let row = zstd::encode_all(&b"{\"a\":1}"[..], 1).unwrap();
    let source = Source::from_bytes("d.zst", [spaces, row].concat());
    assert_eq!(source.rows().unwrap().map(Result::unwrap).count(), 1);
}

trait TakeBytes: std::io::Read + Sized {
    fn take_bytes(self, bytes: u64) -> std::io::Take<Self> {
        std::io::Read::take(self, bytes)
    }
}

impl TakeBytes for std::io::Repeat {}

#[test]
fn the_first_row_of_a_long_file_comes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
    // A hole: it takes no place on the disk.
    file.set_len(200 << 20).unwrap();
    drop(file);
    let source = Source::find(&path.to_string_lossy()).unwrap();
    assert_eq!(source.bytes(), 200 << 20);
    let mut rows = source.rows().unwrap();
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("the file holds zero bytes"), "{error}");
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(8000 - 9));
    (0..100).for_each(|_| file.write_all(line.as_bytes()).unwrap());
    let mut rows = Source::find(&path.to_string_lossy()).unwrap().rows().unwrap();
    assert!(rows.next().unwrap().is_ok());
    assert!(rows.bytes_read() <= 2 * CHUNK as u64, "{}", rows.bytes_read());
}

#[test]
fn folders_are_read_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    write("a.jsonl", b"{\"a\":1}\n{\"a\":2}\n");
    write("b.json", b"[{\"a\":3},\n{\"a\" 4},{\"a\":5}]");
    write("c.csv.gz", &gzip(b"a;b\n[6];7\n"));
    write("d.txt", b"");
    let source = Source::find(&folder.path().to_string_lossy()).unwrap();
    assert_eq!((source.files().len(), source.path()), (4, folder.path()));
    let mut rows = source.rows().unwrap();
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    loop {
        match rows.next() {
            None => break,
            Some(Ok(row)) => good.push(row),
            Some(Err(Error::Row { path, line, .. })) => {
                wrong.push((path.file_name().unwrap().to_os_string(), line));
                assert!(rows.resume());
            }
            Some(Err(other)) => panic!("{other}"),
        }
    }
    let places: Vec<_> = good.iter().map(|row| (row.index, row.file, row.line)).collect();
    assert_eq!(places, [(0, 0, 1), (1, 0, 2), (2, 1, 1), (3, 2, 2)]);
    assert_eq!(wrong, [("b.json".into(), 2)]);
    assert_eq!(rows.bytes_read(), source.bytes());
    out_of_order(&source, &good);
    write("c.csv.gz", b"PK\x03\x04....");
    let error = Source::find(&folder.path().to_string_lossy()).unwrap().rows().unwrap().find_map(|row| match row {
        Err(e @ Error::File { .. }) => Some(e.to_string()),
        _ => None,
    });
    assert_eq!(error, None, "the iterator ends at the row that is wrong");
}

#[test]
fn a_file_that_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.txt");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let source = Source::find(&path.to_string_lossy()).unwrap();
    let mut reader = source.reader().unwrap();
    assert!(reader.read(0, &(4..8), 1, 2).is_ok());
    std::fs::write(&path, "one\ntwo words\n").unwrap();
    let error = reader.read(0, &(4..8), 1, 2).unwrap_err().to_string();
    assert!(error.starts_with("line 2: the file has changed since it was read"), "{error}");
    for (start, end) in [(5, 4), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        assert!(reader.read(0, &std::ops::Range { start, end }, 0, 1).is_err());
    }
    assert!(reader.read(7, &(0..4), 0, 1).is_err());
}

#[test]
fn parquet_files_of_pyarrow_hold_what_their_json_holds() {
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("chats.json")).unwrap()).unwrap();
    for name in ["snappy", "zstd", "gzip", "lz4", "plain"] {
        let rows = fixture_rows(&format!("chats_{name}.parquet"));
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(columns(row), *expected, "{name} {}", row.line);
        }
        assert_eq!((rows[5].line, rows[5].bytes.clone()), (6, 5..6));
    }
    assert!(fixture_rows("none.parquet").is_empty());
    let brotli = Source::find(&fixture("chats_brotli.parquet").to_string_lossy()).unwrap();
    let error = brotli.rows().unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("its columns are compressed with brotli"), "{error}");
}

#[test]
fn parquet_values_of_every_type() {
    let rows = fixture_rows("kinds.parquet");
    assert_eq!(
        columns(&rows[0]),
        json!({
            "decimal": "-12.50", "wide": "123456789012345678901234.5", "date": "2024-02-29", "time": "12:30:00.5",
            "utc": "2024-02-29T12:30:00Z", "local": "2024-02-29T12:30:00", "u64": u64::MAX, "u32": u32::MAX, "i8": -128,
            "f32": 0.1, "f64": null, "map": {"a": [1, 2], "b": null}, "struct": {"x": {"y": "z"}}, "fixed": [1, 2],
            "words": "ja", "large": "groß", "none": null, "empty": [],
        })
    );
    for (name, value) in &rows[1].fields {
        let expected = match name.as_str() {
            "f64" => json!(0.1),
            "empty" => json!([null]),
            _ => Value::Null,
        };
        assert_eq!(*value, expected, "{name}");
    }
    assert_eq!(columns(&fixture_rows("int96.parquet")[0]), json!({"local": "2024-02-29T12:30:00"}));
    let image = Source::find(&fixture("image.parquet").to_string_lossy()).unwrap();
    let mut rows = image.rows().unwrap();
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("line 1: column `image.bytes` holds binary data"), "{error}");
    assert!(rows.resume());
    assert_eq!(columns(&rows.next().unwrap().unwrap()), json!({"text": "b", "image": null}));
}

/// Found by fuzzing: a page header of a few bytes that claims a list of billions of them kept the Parquet library busy for
/// minutes.
#[test]
fn a_forged_header_is_damage_and_not_a_long_wait() {
    let mut rows = Source::find(&fixture("forged.parquet").to_string_lossy()).unwrap().rows().unwrap();
    let error = loop {
        match rows.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.to_string(),
            None => panic!("the file is damaged"),
        }
    };
    assert!(error.contains("the Parquet file is damaged"), "{error}");
    assert!(!rows.resume());
}

#[test]
fn tables_of_pandas_hold_the_same_rows_in_every_form() {
    let lines = fixture_rows("pandas.jsonl");
    let texts = |rows: &[Row]| -> Vec<Vec<Value>> {
        rows.iter().map(|row| ["question", "answer"].map(|name| row.fields[name].clone()).to_vec()).collect()
    };
    assert_eq!(lines.len(), 6);
    for name in [
        "pandas.jsonl.gz",
        "pandas.jsonl.zst",
        "pandas.parquet",
        "pandas.csv",
        "excel.csv",
        "utf16.csv",
        "pandas.tsv.gz",
    ] {
        let rows = fixture_rows(name);
        let mut expected = texts(&lines);
        if name == "excel.csv" || name == "utf16.csv" {
            // pandas writes line ends of Windows within cells, too.
            assert_eq!(texts(&rows)[2][0].as_str().unwrap().replace("\r\n", "\n"), "two\nlines", "{name}");
            expected[2][0] = texts(&rows)[2][0].clone();
        }
        assert_eq!(texts(&rows), expected, "{name}");
        if name.contains("csv") {
            assert_eq!(rows[0].fields["messages"], json!([{"role": "user", "content": "hi"}]));
        }
    }
    assert_eq!(fixture_rows("pandas.tsv.gz")[1].fields["column 1"], "1");
}

#[test]
fn damaged_parquet_files_are_errors() {
    let whole = std::fs::read(fixture("chats_snappy.parquet")).unwrap();
    let count = |bytes: &[u8]| {
        let mut rows = Source::from_bytes("d.parquet", bytes).rows().unwrap();
        let mut seen = 0;
        while let Some(row) = rows.next() {
            seen += 1;
            assert!(seen < 100);
            if row.is_err() && !rows.resume() {
                break;
            }
        }
    };
    assert_eq!(
        error("d.parquet", &whole[..whole.len() - 9]),
        "the Parquet file has no end: is it cut off, or still being downloaded or written?: d.parquet"
    );
    assert!(error("d.jsonl", &whole[..8]).starts_with("the Parquet file has no end"));
    assert!(error("d.jsonl", &gzip(&whole)).starts_with("a Parquet file cannot be read while it is packed"));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        count(&bytes);
    }
}

/// Not a test: `cargo test --release reading_speed -- --ignored --nocapture`. Of the file's own bytes, in MB/s. Parquet and
/// other large files are read from `LORA_STUDIO_SPEED`, a folder.
#[test]
#[ignore = "a measurement"]
fn reading_speed() {
    let row = |i: usize| {
        let words: Vec<String> = (0..40).map(|k| format!("word{}", (i * 31 + k * 17) % 977)).collect();
        (words.join(" "), words[..20].join(" "))
    };
    let rows: Vec<(String, String)> = (0..200_000).map(row).collect();
    let lines: String = rows.iter().map(|(q, a)| format!("{}\n", json!({"question": q, "answer": a}))).collect();
    let table: String = rows.iter().map(|(q, a)| format!("\"{q}\",\"{a}\"\n")).collect();
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    let packed = gzip(lines.as_bytes());
    let zstd = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    let table = format!("question,answer\n{table}");
    let mut sources: Vec<Source> = [
        ("rows.jsonl", lines.into_bytes()),
        ("rows.json", array.into_bytes()),
        ("rows.csv", table.into_bytes()),
        ("rows.jsonl.gz", packed),
        ("rows.jsonl.zst", zstd),
    ]
    .map(|(name, bytes)| Source::from_bytes(name, bytes))
    .into();
    if let Ok(folder) = std::env::var("LORA_STUDIO_SPEED") {
        let files = Source::find(&folder).unwrap().files().to_vec();
        sources.extend(files.iter().map(|file| Source::find(&file.to_string_lossy()).unwrap()));
    }
    for source in sources {
        let begun = std::time::Instant::now();
        let mut text = 0;
        let rows = source.rows().unwrap().map(|row| text += row.unwrap().fields.len()).count();
        let seconds = begun.elapsed().as_secs_f64();
        let speed = source.bytes() as f64 / 1e6 / seconds;
        println!(
            "{}: {rows} rows, {} cells, {:.0} MB/s of {} MB",
            source.path().display(),
            text,
            speed,
            source.bytes() >> 20
        );
    }
}
