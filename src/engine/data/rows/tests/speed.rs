//! Measurements.

use serde_json::json;

use super::*;

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
