#![no_main]

use libfuzzer_sys::fuzz_target;
use lora_studio::engine::data::{Message, chat_template};

// Any text as a chat template: it is refused, or stopped, or makes a text.
fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = chat_template(source) else { return };
    let messages = [
        Message::system("Be brief."),
        Message::user("2 + 2?"),
        Message::assistant("4"),
        Message::user("And 3 + 3?"),
        Message::assistant("<think>\nsix\n</think>\n\n6"),
    ];
    for prompt in [false, true] {
        let _ = template.render(&messages, None, prompt);
    }
});
