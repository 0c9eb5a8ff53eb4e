#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    lora_studio_fuzz::read_all("rows.parquet", bytes);
});
