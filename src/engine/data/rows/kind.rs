//! What a file is: by its first bytes, and where those leave it open, by its name.

use std::path::Path;

/// Endings of the files that rows are read from; `gz` and `zst` are one of the others, packed.
pub const ENDINGS: &[&str] = &["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "txt", "md", "gz", "zst"];

/// Endings of files of which a data file may be packed.
const PACKED: [&str; 4] = ["gz", "gzip", "zst", "zstd"];

/// What the rows are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An array of objects, or one object a line.
    Json,
    /// A table; its delimiter is found out.
    Csv,
    /// A table whose cells are separated by tabs.
    Tsv,
    /// One document a line.
    Text,
    /// One document a file.
    Document,
    /// Columns, read from the file's end.
    Parquet,
}

/// What the bytes are packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// How text is written in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// The ending in lower case, without the one of its packing.
fn ending(path: &Path) -> String {
    let of = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match of(path) {
        packed if PACKED.contains(&packed.as_str()) => of(&path.with_extension("")),
        plain => plain,
    }
}

/// The kind that a file's name tells; `None` for names that rows are not expected in.
pub(super) fn named(path: &Path) -> Option<Kind> {
    match ending(path).as_str() {
        "jsonl" | "json" | "ndjson" => Some(Kind::Json),
        "csv" => Some(Kind::Csv),
        "tsv" | "tab" => Some(Kind::Tsv),
        "txt" | "text" => Some(Kind::Text),
        "md" | "markdown" => Some(Kind::Document),
        "parquet" => Some(Kind::Parquet),
        _ => None,
    }
}

/// The kind of unpacked UTF-8 text, by its first bytes and its name. Files of other names are tried as JSON.
pub(super) fn of_text(head: &[u8], path: &Path) -> Kind {
    match named(path) {
        // Tables whose first cell looks like this do not exist; JSON under a wrong name does.
        Some(Kind::Csv | Kind::Tsv) if looks_like_json(head) => Kind::Json,
        Some(Kind::Parquet) | None => Kind::Json,
        Some(kind) => kind,
    }
}

fn looks_like_json(head: &[u8]) -> bool {
    let mut bytes = head.iter().filter(|b| !b.is_ascii_whitespace());
    match (bytes.next(), bytes.next()) {
        (Some(b'{'), next) => matches!(next, Some(b'"' | b'}')),
        (Some(b'['), next) => matches!(next, Some(b'{' | b']')),
        _ => false,
    }
}

/// Packing, by the first bytes.
pub(super) fn packing(head: &[u8]) -> Option<Packing> {
    match head {
        [0x1F, 0x8B, ..] => Some(Packing::Gzip),
        // A zstd frame, or one that only carries notes, as parallel writers put first.
        [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Packing::Zstd),
        _ => None,
    }
}

/// Whether this is a Parquet file.
pub(super) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// The encoding and the length of the byte order mark.
pub(super) fn encoding(head: &[u8]) -> (Encoding, usize) {
    // Letters, brackets and spaces; the bytes between them are zero in UTF-16 alone.
    let ascii = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    match *head {
        [0xEF, 0xBB, 0xBF, ..] => (Encoding::Utf8, 3),
        [0xFF, 0xFE, ..] => (Encoding::Utf16Le, 2),
        [0xFE, 0xFF, ..] => (Encoding::Utf16Be, 2),
        [a, 0, b, 0, ..] if ascii(a) && ascii(b) => (Encoding::Utf16Le, 0),
        [0, a, 0, b, ..] if ascii(a) && ascii(b) => (Encoding::Utf16Be, 0),
        _ => (Encoding::Utf8, 0),
    }
}

/// What a file of another kind is, and what to do with it.
pub(super) fn foreign(head: &[u8], path: &Path) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 28] = [
        (b"\xFD7zXZ\0", "the file is compressed with xz: unpack it first, or pack it with gzip or zstd"),
        (b"BZh", "the file is compressed with bzip2: unpack it first, or pack it with gzip or zstd"),
        (b"\x04\x22\x4D\x18", "the file is compressed with lz4: unpack it first, or pack it with gzip or zstd"),
        (b"7z\xBC\xAF\x27\x1C", "the file is a 7z archive: unpack it first"),
        (b"Rar!\x1A\x07", "the file is a RAR archive: unpack it first"),
        (b"PK\x05\x06", "the file is an empty zip archive"),
        (b"PARE", "the Parquet file is encrypted: write it without encryption"),
        (b"%PDF", "the file is a PDF: save its text as a .txt file"),
        (b"{\\rtf", "the file is a rich text document: save it as plain text (.txt)"),
        (
            b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
            "the file is of an old Excel or Word: save a table as .csv, a document as plain text (.txt)",
        ),
        (b"\x89PNG", IMAGE),
        (b"\xFF\xD8\xFF", IMAGE),
        (b"GIF8", IMAGE),
        (b"ARROW1\0", ARROW),
        (b"\xFF\xFF\xFF\xFF", ARROW),
        (b"\x80\x02", PICKLE),
        (b"\x80\x03", PICKLE),
        (b"\x80\x04", PICKLE),
        (b"\x80\x05", PICKLE),
        (b"SQLite format 3\0", "the file is a SQLite database: export its table as .csv or .jsonl"),
        (b"Obj\x01", "the file is an Avro file: convert its rows to .jsonl or .parquet"),
        (b"ORC", "the file is an ORC file: convert its rows to .jsonl or .parquet"),
        (b"\x93NUMPY", "the file is a NumPy array: rows are read from .jsonl, .csv, .parquet or text files"),
        (b"\x89HDF", "the file is an HDF5 file: convert its rows to .jsonl or .parquet"),
        (b"GGUF", "the file is a model (GGUF), not data: name a data file"),
        (
            b"version https://git-lfs",
            "the file is only a pointer of Git LFS: fetch the data itself with `git lfs pull`, or download it",
        ),
        (b"\xFF\xFE\0\0", "the file is UTF-32 text: save it as UTF-8"),
        (b"\0\0\xFE\xFF", "the file is UTF-32 text: save it as UTF-8"),
    ];
    const IMAGE: &str = "the file is an image: text is trained, images are not";
    const ARROW: &str =
        "the file is an Arrow file: save its rows as Parquet (in Python: dataset.to_parquet(\"rows.parquet\"))";
    const PICKLE: &str =
        "the file is a Python pickle, which is not read because it can run code: save the rows as .jsonl or .parquet";
    if head.starts_with(b"PK\x03\x04") {
        return Some(zip(head));
    }
    if head.starts_with(b"RIFF") && head.get(8..12).is_some_and(|kind| kind == b"WEBP") {
        return Some(IMAGE);
    }
    if head.get(257..262).is_some_and(|mark| mark == b"ustar") {
        return Some("the file is a tar archive: unpack it first, and name the folder");
    }
    // A text may well be one.
    if !matches!(named(path), Some(Kind::Text | Kind::Document)) && is_web_page(head) {
        return Some(
            "the file is a web page: download the data file itself (often behind a button \"raw\" or \"download\")",
        );
    }
    // `ORC` alone could be the start of a text: the format goes on with a byte that text does not have.
    let wrong = |mark: &[u8]| mark == b"ORC" && head.get(3).is_none_or(|b| b.is_ascii_graphic() || *b == b' ');
    let bzip = |mark: &[u8]| mark == b"BZh" && head.get(4..10) != Some(b"1AY&SY");
    SIGNATURES.iter().find(|(mark, _)| head.starts_with(mark) && !wrong(mark) && !bzip(mark)).map(|found| found.1)
}

/// Excel and Word write zip archives.
fn zip(head: &[u8]) -> &'static str {
    let holds = |part: &[u8]| head.windows(part.len()).any(|at| at == part);
    if holds(b"xl/") {
        "the file is an Excel workbook: save the sheet as .csv (in Excel: Save as, CSV UTF-8)"
    } else if holds(b"word/") {
        "the file is a Word document: save it as plain text (.txt)"
    } else {
        "the file is a zip archive: unpack it first, and name the folder"
    }
}

fn is_web_page(head: &[u8]) -> bool {
    let start = head.trim_ascii_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|s| s.eq_ignore_ascii_case(with.as_bytes()));
    begins("<!doctype html") || begins("<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kinds_packed_or_not() {
        let kind = |name: &str| named(Path::new(name));
        assert_eq!(kind("a/b.JSONL"), Some(Kind::Json));
        assert_eq!(kind("a.csv.gz"), Some(Kind::Csv));
        assert_eq!(kind("a.tsv.zst"), Some(Kind::Tsv));
        assert_eq!(kind("train-00000-of-00003.parquet"), Some(Kind::Parquet));
        assert_eq!((kind("a.png"), kind("a"), kind("a.gz"), kind("a.tar.gz")), (None, None, None, None));
        assert!(ENDINGS.iter().all(|e| PACKED.contains(e) || kind(&format!("x.{e}")).is_some()));
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        for (head, word) in [
            (&b"PK\x03\x04....[Content_Types].xml...xl/workbook.xml"[..], "Excel"),
            (b"PK\x03\x04....word/document.xml", "Word"),
            (b"PK\x03\x04rows.jsonl", "zip"),
            (b"\xFD7zXZ\0..", "xz"),
            (b"BZh91AY&SY..", "bzip2"),
            (b"%PDF-1.7", "PDF"),
            (b"\x89PNG\r\n", "image"),
            (b"\x80\x04\x95", "pickle"),
            (b"ARROW1\0\0", "Arrow"),
            (b"\xFF\xFF\xFF\xFF\x10\0", "Arrow"),
            (b"SQLite format 3\0", "SQLite"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ] {
            assert!(foreign(head, Path::new("d")).is_some_and(|said| said.contains(word)), "{word}");
        }
        for text in [&b"{\"a\":1}"[..], b"ORC is a format", b"BZh is a format", b"Rar!", b"", b"a,b\n"] {
            assert_eq!(foreign(text, Path::new("d")), None);
        }
    }
}
