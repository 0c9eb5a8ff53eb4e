#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;

static QUIET: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    // Panics of the Parquet library are caught; the fuzzer's own hook would end the process before. Any other panic still
    // ends it, where it would leave the target.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    lora_studio_fuzz::read_all("rows.parquet", bytes);
});
