//! Packed files, and other encodings than UTF-8.

use serde_json::json;

use super::*;

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

#[test]
fn what_stands_before_the_damage_is_read() {
    let text: String = (0..9).map(|i| format!("{{\"a\":{i}}}\n")).collect();
    // Both halves are whole blocks for who unpacks them; the second is cut off.
    let halves = |pack: &dyn Fn(&[u8]) -> Vec<u8>| {
        let (first, second) = (pack(&text.as_bytes()[..36]), pack(&text.as_bytes()[36..]));
        [&first[..], &second[..second.len() - 6]].concat()
    };
    let wide = utf16(&text, false, true);
    let lone = [&wide[..2 + 2 * 36], &[0, 0xDC], &wide[2 + 2 * 36..]].concat();
    for (said, bytes) in [
        ("the gzip data ends early", halves(&|part| gzip(part))),
        ("the zstd data ends early", halves(&|part| zstd::encode_all(part, 1).unwrap())),
        ("the UTF-16 text ends within a character", wide[..2 + 2 * 36 + 1].to_vec()),
        ("the UTF-16 text is damaged", lone),
    ] {
        let mut rows = Source::from_bytes("d.jsonl", bytes).rows().unwrap();
        let (mut good, mut wrong) = (0, None);
        for row in rows.by_ref() {
            match row {
                Ok(_) => good += 1,
                Err(error) => wrong = Some(error),
            }
        }
        let wrong = wrong.unwrap_or_else(|| panic!("{said}"));
        assert!(good >= 4, "{said}: {good}");
        let start = format!("line {}: {said}", good + 1);
        assert!(wrong.to_string().starts_with(&start), "{wrong}, expected {start}");
        assert!(rows.wrong(wrong).is_ok() && !rows.resume());
    }
}

#[test]
fn reading_can_be_stopped_where_no_row_ends() {
    let row = zstd::encode_all(&b"{\"a\":1}\n"[..], 1).unwrap();
    for rest in [&b"\n"[..], b" ", b"x", b"\""] {
        // Two hundred times what is read at once, and with a stop before that is read.
        let bytes = rest.repeat(200 * CHUNK);
        let source = Source::from_bytes("d.zst", [row.clone(), zstd::encode_all(&bytes[..], 1).unwrap()].concat());
        let mut rows = source.rows().unwrap();
        assert!(matches!(rows.next(), Some(Ok(_))));
        rows.stop().store(true, std::sync::atomic::Ordering::Relaxed);
        let error = rows.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Cancelled(_)), "{error}");
        assert!(!rows.resume() && rows.next().is_none());
    }
}

trait TakeBytes: std::io::Read + Sized {
    fn take_bytes(self, bytes: u64) -> std::io::Take<Self> {
        std::io::Read::take(self, bytes)
    }
}

impl TakeBytes for std::io::Repeat {}
