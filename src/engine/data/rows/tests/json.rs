//! JSON lines, arrays, texts: what is read, and what is said of what is wrong.

use serde_json::json;

use super::*;

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
