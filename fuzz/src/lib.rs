//! What the targets share.

use lora_studio::engine::data::{Row, Source};

/// Panics of the Parquet library are caught where it is called; the fuzzer's own hook would end the process before.
fn let_parquet_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let hook = |info: &std::panic::PanicHookInfo| {
        // It takes its values out of pages with the crate `bytes`.
        let of_library = |file: &str| file.contains("/parquet-") || file.contains("/bytes-");
        if !info.location().is_some_and(|place| of_library(place.file())) {
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
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..ROWS {
        match rows.next() {
            None => break,
            Some(Ok(row)) => good.push(row),
            Some(Err(error)) => {
                let Ok(row) = rows.wrong(error) else { break };
                assert!(row.line > 0 && row.bytes.start <= row.bytes.end, "lines are counted from 1: {row:?}");
                wrong.push(row);
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
    // What stands in the place of the others is shown; where it cannot be, it is said.
    if let Ok(mut reader) = source.reader() {
        for row in wrong.iter().take(50) {
            if let Ok(Some(raw)) = reader.raw(row.file, &row.bytes, row.line, 4096) {
                assert!(raw.len() <= 3 * 4096);
            }
        }
    }
    good
}
