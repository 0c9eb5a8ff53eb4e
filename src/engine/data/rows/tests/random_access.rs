//! A row that is looked up is the row that was read, for files that a generator makes: of every kind, with everything in
//! their texts that separates rows or columns elsewhere.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArrayType, Int64Type};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;
use crate::engine::data::random::Random;

/// What texts are made of.
const PIECES: [&str; 24] = [
    "a", "word", " ", "\n", "\r\n", "\r", "\"", "\"\"", "'", ",", ";", "\t", "|", "\\", "\\n", "{", "}", "[", "]", "é",
    "😀", "\u{2028}", "# ", "",
];

struct Generator(Random);

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn text(&mut self) -> String {
        let length = match self.below(8) {
            0 => 0,
            1 => 300,
            _ => self.below(12),
        };
        (0..length).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    fn white(&mut self) -> &'static str {
        ["", "", " ", "\n", "\r\n", "\t "][self.below(6)]
    }

    fn records(&mut self) -> Vec<(String, i64)> {
        let count = 1 + self.below(40);
        (0..count).map(|at| (self.text(), at as i64 - 3)).collect()
    }

    /// A file of a kind, its name, and what is in it.
    fn file(&mut self, kind: &str) -> (String, Vec<u8>, Vec<Value>) {
        let records = self.records();
        let values: Vec<Value> = records.iter().map(|(text, n)| json!({"text": text, "n": n})).collect();
        match kind {
            "json" => {
                let mut out = format!("{}[", self.white());
                for (at, value) in values.iter().enumerate() {
                    let row = if self.below(2) == 0 { value.to_string() } else { format!("{value:#}") };
                    let comma = if at == 0 { "" } else { "," };
                    out += &[self.white(), comma, self.white(), &row].concat();
                }
                out += &[self.white(), "]", self.white()].concat();
                ("d.json".into(), out.into_bytes(), values)
            }
            "jsonl" => {
                let mut out = String::new();
                for value in &values {
                    out += &format!("{value}{}", ["\n", "\r\n", "\n\n", "\n \n"][self.below(4)]);
                }
                ("d.jsonl".into(), out.into_bytes(), values)
            }
            "csv" => {
                let end = ["\n", "\r\n"][self.below(2)];
                let mut out = format!("text,n{end}");
                for (text, n) in &records {
                    out += &format!("\"{}\",{n}{end}", text.replace('"', "\"\""));
                }
                let values = records.iter().map(|(text, n)| json!({"text": text, "n": n.to_string()})).collect();
                ("d.csv".into(), out.into_bytes(), values)
            }
            "txt" => {
                let lines: Vec<String> =
                    records.iter().map(|(text, n)| format!("{n}{}", text.replace(['\n', '\r'], " "))).collect();
                let values = lines.iter().map(|line| json!({"text": line.trim_end()})).collect();
                ("d.txt".into(), lines.join(["\n", "\r\n", "\n\n"][self.below(3)]).into_bytes(), values)
            }
            "md" => {
                let whole =
                    format!("x{}", records.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("\n"));
                ("d.md".into(), whole.into_bytes(), Vec::new())
            }
            _ => ("d.parquet".into(), self.parquet(&records), values),
        }
    }

    fn parquet(&mut self, records: &[(String, i64)]) -> Vec<u8> {
        let schema = parse_message_type("message rows { required binary text (UTF8); required int64 n; }").unwrap();
        let codecs = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::ZSTD(Default::default()),
            Compression::GZIP(Default::default()),
            Compression::LZ4_RAW,
        ];
        let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][self.below(2)];
        let properties = WriterProperties::builder()
            .set_compression(codecs[self.below(codecs.len())])
            .set_dictionary_enabled(self.below(2) == 0)
            .set_writer_version(version)
            .set_statistics_enabled([EnabledStatistics::None, EnabledStatistics::Page][self.below(2)])
            .set_data_page_size_limit(1 + self.below(600))
            .set_write_batch_size(1 + self.below(9))
            .build();
        let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).unwrap();
        let mut rest = records;
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + self.below(15)).min(rest.len()));
            rest = later;
            let mut group = file.next_row_group().unwrap();
            let texts: Vec<_> = now.iter().map(|(text, _)| text.clone().into_bytes().into()).collect();
            let numbers: Vec<i64> = now.iter().map(|(_, n)| *n).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        file.into_inner().unwrap()
    }

    /// The file as it is, or packed.
    fn packed(&mut self, name: &str, bytes: Vec<u8>) -> (String, Vec<u8>) {
        match self.below(4) {
            _ if name.ends_with("parquet") => (name.into(), bytes),
            0 => (format!("{name}.gz"), gzip(&bytes)),
            1 => (format!("{name}.zst"), zstd::encode_all(&bytes[..], 1).unwrap()),
            2 => (name.into(), [&b"\xEF\xBB\xBF"[..], &bytes].concat()),
            _ => (name.into(), bytes),
        }
    }

    /// Looks rows up in an order without one, some several times.
    fn look_up(&mut self, source: &Source, rows: &[Row]) {
        for chunk in [1 + self.below(64), CHUNK] {
            let mut reader = source.reader().unwrap().with_chunk(chunk);
            for _ in 0..2 * rows.len() {
                let row = &rows[self.below(rows.len())];
                assert_eq!(reader.read(row.file, &row.bytes, row.index, row.line).unwrap(), *row);
            }
        }
    }
}

#[test]
fn rows_of_generated_files_are_found_again_in_any_order() {
    for kind in ["json", "jsonl", "csv", "txt", "md", "parquet"] {
        for seed in 0..60 {
            let mut generator = Generator(Random::new(seed, "rows", 0));
            let (name, bytes, values) = generator.file(kind);
            let (name, bytes) = generator.packed(&name, bytes);
            let rows = read(&name, bytes.clone()).unwrap_or_else(|e| panic!("{kind}, seed {seed}: {e}"));
            if kind != "md" {
                assert_eq!(all(&rows), values, "{kind}, seed {seed}");
            }
            generator.look_up(&Source::from_bytes(name.as_str(), bytes), &rows);
        }
    }
}

#[test]
fn rows_of_folders_of_generated_files_are_found_again_in_any_order() {
    for seed in 100..120 {
        let mut generator = Generator(Random::new(seed, "rows", 0));
        let folder = tempfile::tempdir().unwrap();
        // A folder holds files of one kind, or of several that can be told apart.
        for (number, kind) in ["json", "jsonl", "csv", "jsonl", "parquet"].into_iter().enumerate() {
            let (name, bytes, _) = generator.file(kind);
            let (name, bytes) = generator.packed(&name, bytes);
            std::fs::write(folder.path().join(format!("{number}{name}")), bytes).unwrap();
        }
        let source = Source::find(&folder.path().to_string_lossy()).unwrap();
        let rows: Vec<Row> = source.rows().unwrap().collect::<Result<_>>().unwrap();
        assert!(rows.iter().any(|row| row.file == 4));
        generator.look_up(&source, &rows);
    }
}
