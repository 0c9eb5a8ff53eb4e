//! Every kind of file, read in order and out of order, whole and broken.

mod folders;
mod json;
mod packed;
mod parquet;
mod random_access;
mod speed;
mod tables;

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::bytes::CHUNK;
use super::*;
use crate::engine::data::testing::gzip;
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

fn utf16(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}
