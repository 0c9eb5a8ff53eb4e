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
    assert_eq!(
        said(b"\0\x01\x02\0"),
        "the file holds zero bytes: it is binary, not text (or text in another encoding: save it as UTF-8): d"
    );
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

/// All rows, going on behind those that are wrong; and these, each with what stands in its place.
fn going_on(name: &str, content: impl Into<Vec<u8>>) -> (Vec<i64>, Vec<(usize, String, String)>) {
    let source = Source::from_bytes(name, content);
    let mut rows = source.rows().unwrap();
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    loop {
        match rows.next() {
            Some(Ok(row)) => good.push(row.fields["a"].as_i64().unwrap()),
            Some(Err(error)) => {
                let row = rows.wrong(error).unwrap();
                let raw = source.reader().unwrap().raw(row.file, &row.bytes, row.line, 40);
                wrong.push((row.line, row.message, raw.ok().flatten().unwrap_or_default()));
                if !rows.resume() {
                    break;
                }
            }
            None => break,
        }
    }
    (good, wrong)
}

#[test]
fn a_row_that_cannot_be_read_is_shown_as_it_stands_and_hides_no_other() {
    let line = |number, message: &str, raw: &str| (number, message.to_string(), raw.to_string());
    let syntax = |column| format!("not valid JSON: expected `:` (column {column})");
    let text = "{\"a\":1}\n  {\"a\" 2}\n{\"a\":3}\n[4]\n{\"a\":5}";
    let wrong =
        vec![line(2, &syntax(8), "{\"a\" 2}\n"), line(4, "expected an object with columns, found a list", "[4]\n")];
    assert_eq!(going_on("d.jsonl", text), (vec![1, 3, 5], wrong.clone()));
    assert_eq!(going_on("d.jsonl.gz", gzip(text.as_bytes())), (vec![1, 3, 5], wrong));
    // In an array, too, as long as brackets and quotes add up.
    let array = "[{\"a\":1}, {\"a\" 2},\n{\"a\":3},,4, {\"a\":5}]";
    let (good, wrong) = going_on("d.json", array);
    assert_eq!(good, [1, 3, 5]);
    let nothing = "expected a row between the commas, found nothing";
    assert_eq!(
        wrong,
        [
            line(1, "not valid JSON: expected `:` (line 1, column 16)", "{\"a\" 2}"),
            line(2, nothing, ""),
            line(2, "expected an object with columns, found the number 4", "4"),
        ]
    );
    // Where they do not, the rest belongs to the row, or nobody can tell.
    let open = "[{\"a\":1}, {\"a\": [2}, {\"a\":3}]";
    let (good, wrong) = going_on("d.json", open);
    assert_eq!((good, wrong.len()), (vec![1], 1));
    let (good, wrong) = going_on("d.json", "[{\"a\":1}]\n{\"a\":2}\n{\"a\":3}\n");
    let goes_on = "the array has ended, but the file goes on (what follows in the file is not read)";
    assert_eq!((good, wrong), (vec![1], vec![line(2, goes_on, "")]));
    let (_, wrong) = going_on("d", "words\n{\"a\":3}\n");
    assert!(wrong[0].1.ends_with(" (nothing of the file is read)"), "{wrong:?}");
}

#[test]
fn what_python_writes_is_read_or_explained() {
    let row = &read("d", "{\"a\":1,\"b\":NaN,\"c\":[-Infinity,\"NaN \\\" Infinity\"]}").unwrap()[0];
    assert_eq!(columns(row), json!({"a": 1, "b": null, "c": [null, "NaN \" Infinity"]}));
    let said = |text: &str| error("d", text.as_bytes());
    assert!(said("{'a':1}").contains("in JSON, names and texts stand in double quotes (column 2)"));
    assert!(said("{\"a\":None}").contains("in JSON, Python's None is null (column 6)"), "{}", said("{\"a\":None}"));
    assert!(said("{\"a\":\"\\ud800\"}").contains("half of a character"), "{}", said("{\"a\":\"\\ud800\"}"));
    assert!(said("{\"a\":NaN 2}").contains("not valid JSON: expected value (column 6)"), "{}", said("{\"a\":NaN 2}"));
}

#[test]
fn a_zero_byte_here_and_there_is_a_mistake_of_its_row() {
    let text = format!("{{\"a\":1}}\n{{\"a\":\"{}\0\"}}\n{{\"a\":3}}\n", "x".repeat(60));
    let (good, wrong) = going_on("d.jsonl", text);
    assert_eq!((good, wrong[0].0), (vec![1, 3], 2));
    assert!(wrong[0].1.contains("control character"), "{wrong:?}");
    assert!(error("d.jsonl", &[b"{\"a\":\"\xff\0\"}".as_slice(), &[b'x'; 90]].concat()).contains("it is binary"));
}
