//! Tables of any delimiter, and as pandas and spreadsheets write them.

use serde_json::{Map, json};

use super::*;
use crate::engine::config::DataConfig;
use crate::engine::data::{Example, Reading};

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
                json!({"question": "", "a": "[{\"role\":1}]"}),
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
            let messages: Value = serde_json::from_str(rows[0].fields["messages"].as_str().unwrap()).unwrap();
            assert_eq!(messages, json!([{"role": "user", "content": "hi"}]));
        }
    }
    assert_eq!(fixture_rows("pandas.tsv.gz")[1].fields["column 1"], "1");
}

/// The rows of a table with one cell each, as they are trained.
fn examples(head: &str, cells: &[&str]) -> Vec<Example> {
    let quoted: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
    let rows = read("d.csv", format!("{head}\n{}\n", quoted.join(","))).unwrap();
    let fields: Vec<&Map<String, Value>> = rows.iter().map(|row| &row.fields).collect();
    let reading = Reading::choose(&DataConfig::default(), &fields).unwrap();
    fields.into_iter().map(|fields| reading.read(fields).unwrap()).collect()
}

#[test]
fn cells_that_look_like_json_are_texts_where_texts_are_due() {
    let list = r#"[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]"#;
    let answers = |cells: &[&str], head: &str| match examples(head, cells).remove(0) {
        Example::Conversation(conversation) => {
            conversation.messages.into_iter().map(|m| (m.role, m.content.unwrap())).collect::<Vec<_>>()
        }
        Example::Document(text) => vec![("text".into(), text)],
    };
    let said = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
    for json in [list, "{\"a\": 1}", "[1, 2]", "[]", "[{\"role\": \"user\"}]", "{}"] {
        assert_eq!(answers(&["as JSON?", json], "question,answer"), said(&[("user", "as JSON?"), ("assistant", json)]));
        assert_eq!(answers(&[json, json], "instruction,output"), said(&[("user", json), ("assistant", json)]));
        // A single column of messages is read as such, whatever its name.
        if json != list {
            assert_eq!(answers(&[json], "text"), said(&[("text", json)]));
        }
    }
    assert_eq!(
        answers(&["{\"a\": 1}", "[1]"], "prompt,completion"),
        said(&[("user", "{\"a\": 1}"), ("assistant", "[1]")])
    );
    // Lists where lists are due.
    let whole = said(&[("user", "hi"), ("assistant", "yes")]);
    assert_eq!(answers(&[list], "messages"), whole);
    let turns = r#"[{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]"#;
    assert_eq!(answers(&[turns], "conversations"), whole);
    let (asked, answered) = (r#"[{"role":"user","content":"hi"}]"#, r#"[{"role":"assistant","content":"yes"}]"#);
    assert_eq!(answers(&[asked, answered], "prompt,completion"), whole);
    let tools = r#"[{"type": "function", "function": {"name": "f", "parameters": {}}}]"#;
    match examples("messages,tools", &[list, tools]).remove(0) {
        Example::Conversation(conversation) => {
            assert_eq!(conversation.tools, Some(serde_json::from_str(tools).unwrap()));
        }
        other => panic!("{other:?}"),
    }
}
