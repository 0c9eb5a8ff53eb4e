#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_studio::engine::data::Format;

fuzz_target!(|bytes: &[u8]| {
    for row in lora_studio_fuzz::read_all("rows.jsonl", bytes) {
        // Whatever the row is, an error must say so.
        if let Ok((format, _)) = Format::detect(&row.fields) {
            let _ = format.read(&row.fields);
        }
        for format in [Format::Messages, Format::Sharegpt, Format::Alpaca, Format::PromptCompletion, Format::Text] {
            let _ = format.read(&row.fields);
        }
    }
});
