#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lora_studio::engine::config::{DataConfig, LossOn};
use lora_studio::engine::data::{Encoder, Format, Reading};
use lora_studio::engine::formats::{self, TextTokenizer};

static TOKENIZER: OnceLock<TextTokenizer> = OnceLock::new();
static ENCODER: OnceLock<Encoder<'static>> = OnceLock::new();

/// The built-in model's tokenizer and template.
fn encoder() -> &'static Encoder<'static> {
    ENCODER.get_or_init(|| {
        let tokenizer = TOKENIZER.get_or_init(|| {
            let model = formats::builtin::model("tiny-chat").unwrap();
            formats::open(model).unwrap().tokenizer().unwrap()
        });
        Encoder::new(tokenizer, "2024-07-26T12:00:00+00:00[UTC]".parse().unwrap()).unwrap()
    })
}

fuzz_target!(|bytes: &[u8]| {
    for row in lora_studio_fuzz::read_all("rows.jsonl", bytes) {
        let found = Reading::choose(&DataConfig::default(), &[&row.fields]).ok();
        let by_hand = [
            Format::Messages,
            Format::ShareGpt,
            Format::Alpaca,
            Format::PromptCompletion,
            Format::QuestionAnswer,
            Format::Text,
            Format::Preference,
        ];
        for reading in found.into_iter().chain(by_hand.map(Reading::of)) {
            // Whatever the row is, an error must say so, and what is trained must pass the second look.
            let Ok(example) = reading.read(&row.fields) else { continue };
            for loss_on in [LossOn::Completions, LossOn::LastTurn, LossOn::All] {
                if let Ok(encoded) = encoder().encode(&example, loss_on).unwrap() {
                    assert_eq!(encoded.tokens.len(), encoded.trained.len());
                    let _ = encoder().verify(&example, &encoded, loss_on).unwrap();
                }
            }
        }
    }
});
