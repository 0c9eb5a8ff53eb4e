//! Parquet files of pyarrow, whole, damaged and forged.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::ByteArrayType;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;

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
/// minutes; one of a dictionary took all memory.
#[test]
fn a_forged_header_is_damage_and_not_a_long_wait() {
    for (name, reason) in
        [("forged", "the Parquet file is damaged"), ("forged_dictionary", "a dictionary claims to have ")]
    {
        let mut rows = Source::find(&fixture(&format!("{name}.parquet")).to_string_lossy()).unwrap().rows().unwrap();
        let error = loop {
            match rows.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.to_string(),
                None => panic!("{name} is damaged"),
            }
        };
        assert!(error.contains(reason), "{name}: {error}");
        assert!(!rows.resume());
    }
}

/// Rows of lists with one and the same text, which the file has once.
fn lists(rows: usize, length: usize, text: usize) -> Vec<u8> {
    let schema =
        "message rows { optional group texts (LIST) { repeated group list { required binary element (UTF8); } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let text: ::parquet::data_type::ByteArray = "x".repeat(text).into_bytes().into();
    for _ in 0..rows {
        let (defs, mut reps) = (vec![2; length], vec![1; length]);
        reps[0] = 0;
        column.typed::<ByteArrayType>().write_batch(&vec![text.clone(); length], Some(&defs), Some(&reps)).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

#[test]
fn a_text_that_is_meant_many_times_takes_the_memory_of_a_row() {
    // 4,000 rows of 20 × 100 kB: eight gigabytes, of which the file has a page.
    let file = lists(4000, 20, 100_000);
    assert!(file.len() < 1 << 20, "{}", file.len());
    let rows = Source::from_bytes("d.parquet", file).rows().unwrap();
    let lengths = rows
        .take(1500)
        .map(|row| row.unwrap().fields["texts"].as_array().map(|list| (list.len(), list[19].as_str().map(str::len))));
    assert!(lengths.into_iter().all(|found| found == Some((20, Some(100_000)))));
    // One row of 70 MB is a row that is too long, and the next one is read.
    let file = lists(3, 700, 100_000);
    let mut rows = Source::from_bytes("d.parquet", file).rows().unwrap();
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("the row is longer than 64 MiB: column `texts.list.element`"), "{error}");
    assert!(rows.resume());
    // Values without end within one row.
    let file = lists(2, 17 << 20, 1);
    let error = Source::from_bytes("d.parquet", file).rows().unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("its rows claim lists of more than"), "{error}");
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

/// One text of so many bytes in a file of one page, and where the page begins.
fn one_page(compression: Compression, bytes: usize) -> (Vec<u8>, usize) {
    let schema = Arc::new(parse_message_type("message rows { required binary text (UTF8); }").unwrap());
    let properties = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(false);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["x".repeat(bytes).into_bytes().into()], None, None).unwrap();
    column.close().unwrap();
    let place = group.close().unwrap().column(0).data_page_offset() as usize;
    (file.into_inner().unwrap(), place)
}

/// The two lengths of the page at a place are its second and third number; `length` takes that of the first.
fn forge(file: &mut [u8], place: usize, length: u32) {
    let mut at = place + 2;
    assert_eq!((file[place], file[at]), (0x15, 0x15));
    at += 1;
    let mut left = 2 * u64::from(length);
    loop {
        let more = file[at] & 0x80;
        file[at] = (left & 0x7F) as u8 | more;
        left >>= 7;
        at += 1;
        if more == 0 {
            assert_eq!(left, 0, "the length takes more bytes than the one before");
            return;
        }
    }
}

#[test]
fn a_page_that_claims_more_than_it_can_be_takes_no_memory() {
    let long = 134 << 20;
    for (compression, claim) in [
        (Compression::SNAPPY, i32::MAX as u32),
        (Compression::ZSTD(Default::default()), i32::MAX as u32),
        (Compression::GZIP(Default::default()), 600 << 20),
        (Compression::LZ4_RAW, 600 << 20),
        (Compression::UNCOMPRESSED, i32::MAX as u32),
    ] {
        let (mut file, place) = one_page(compression, long);
        let first = |file: &[u8]| Source::from_bytes("d.parquet", file).rows().unwrap().next().unwrap();
        // As it is, it is a row that is too long.
        let error = first(&file).unwrap_err().to_string();
        assert!(error.contains("the row is longer than 64 MiB"), "{compression}: {error}");
        forge(&mut file, place, claim);
        let error = first(&file).unwrap_err().to_string();
        assert!(error.contains(&format!("a page claims to unpack to {claim} bytes")), "{compression}: {error}");
    }
    let (file, _) = one_page(Compression::ZSTD(Default::default()), 1 << 20);
    let row = Source::from_bytes("d.parquet", file).rows().unwrap().next().unwrap().unwrap();
    assert_eq!(row.fields["text"].as_str().map(str::len), Some(1 << 20));
}
