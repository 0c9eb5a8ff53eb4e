#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use lora_studio_fuzz::read_all;

fuzz_target!(|bytes: &[u8]| {
    // As packed data, under the marks of both kinds.
    read_all("rows.jsonl.gz", &[&[0x1F, 0x8B, 8, 0], bytes].concat());
    read_all("rows.txt.zst", &[&[0x28, 0xB5, 0x2F, 0xFD], bytes].concat());
    // As rows within whole packed data.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory takes all");
    let gzip = gzip.finish().expect("memory takes all");
    let packed = read_all("rows.jsonl", &gzip);
    // Packed bytes may themselves be packed or Parquet, which is refused one level deeper.
    if !bytes.starts_with(b"PAR1") {
        assert_eq!(packed.len(), read_all("rows.jsonl", bytes).len());
    }
    let zstd = zstd::encode_all(bytes, 1).expect("memory takes all");
    assert_eq!(packed.len(), read_all("rows.jsonl.zst", &zstd).len());
    // Text that is UTF-16, by its mark.
    read_all("rows.csv", &[&[0xFF, 0xFE], bytes].concat());
});
