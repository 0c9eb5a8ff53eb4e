//! What the targets share.

use lora_studio::engine::Error;
use lora_studio::engine::data::{Row, Source};

/// Panics of the Parquet library are caught where it is called; the fuzzer's own hook would end the process before.
fn let_parquet_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let hook = |info: &std::panic::PanicHookInfo| {
        if !info.location().is_some_and(|place| place.file().contains("/parquet-")) {
            eprintln!("{info}");
            std::process::abort();
        }
    };
    ONCE.call_once(|| std::panic::set_hook(Box::new(hook)));
}

/// Rows read at most: long inputs say nothing new.
const ROWS: usize = 2000;

/// Reads all rows, and every one of them again by its place, from the last to the first.
pub fn read_all(name: &str, bytes: &[u8]) -> Vec<Row> {
    let_parquet_panic();
    let source = Source::from_bytes(name, bytes);
    let Ok(mut rows) = source.rows() else { return Vec::new() };
    let mut good = Vec::new();
    for _ in 0..ROWS {
        match rows.next() {
            None => break,
            Some(Ok(row)) => good.push(row),
            Some(Err(error)) => {
                assert!(!matches!(error, Error::Row { line: 0, .. }), "lines are counted from 1");
                if !rows.resume() {
                    break;
                }
            }
        }
    }
    if let Ok(mut reader) = source.reader() {
        for row in good.iter().rev().take(50) {
            let again = reader.read(row.file, &row.bytes, row.index, row.line);
            // A damaged Parquet file may show its damage earlier, or another, to who comes from elsewhere.
            if !bytes.starts_with(b"PAR1") {
                assert_eq!(again.expect("a row that was read before"), *row);
            }
        }
    }
    good
}
