//! Against transformers: tests/reference/masks.py wrote the expected masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::engine::config::LossOn;
use crate::engine::data::testing::{byte_tokenizer, now};
use crate::engine::data::{Encoded, Encoder, Example, Format, MaskFault, NO_END, Reading};
use crate::engine::formats::TextTokenizer;

pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(super) fn text_tokenizer(folder: &Path, template: String) -> TextTokenizer {
    let mut tokenizer = byte_tokenizer(&[], None);
    tokenizer.tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    // The fixture's offsets are whole; that a tokenizer may cut white space out of them must not matter.
    tokenizer.tokenizer.with_post_processor(Some(ByteLevel::new(false, true, false)));
    (tokenizer.bos_token, tokenizer.eos_token) = (Some("<s>".into()), Some("</s>".into()));
    tokenizer.bos_id = tokenizer.token_id("<s>");
    tokenizer.eos_id = tokenizer.token_id("</s>");
    tokenizer.chat_template = Some(template);
    tokenizer
}

fn flags(trained: &[bool]) -> String {
    trained.iter().map(|t| if *t { '1' } else { '0' }).collect()
}

/// The trained texts of a mask, for a message that can be read.
fn spans(tokenizer: &TextTokenizer, ids: &[u32], mask: &str) -> Vec<String> {
    let mut spans: Vec<Vec<u32>> = Vec::new();
    let mut before = '0';
    for (id, flag) in ids.iter().zip(mask.chars()) {
        if flag == '1' {
            if before == '0' {
                spans.push(Vec::new());
            }
            spans.last_mut().unwrap().push(*id);
        }
        before = flag;
    }
    spans.iter().map(|ids| tokenizer.decode(ids, false).unwrap()).collect()
}

/// Compares every case of a fixture, with the templates' tags (`mask`) or without them (`trimmed`).
fn differences(folder: &Path, tagged: bool) -> (usize, Vec<String>) {
    let fixture: Value = serde_json::from_slice(&std::fs::read(folder.join("masks.json")).unwrap()).unwrap();
    let tags = Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").unwrap();
    let untag = |found: &regex::Captures| {
        let tag = if found.get(2).is_some() { "endif" } else { "if true" };
        format!("{{%{} {tag} {}%}}", &found[1], &found[3])
    };
    let cases = fixture["cases"].as_array().unwrap();
    let mut by_template: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for case in cases {
        by_template.entry(case["template"].as_str().unwrap()).or_default().push(case);
    }
    let mut differences = Vec::new();
    for (name, cases) in by_template {
        let mut source = match fixture["sources"][name].as_str() {
            Some(source) => source.to_string(),
            None => std::fs::read_to_string(fixtures().join(format!("templates/{name}.jinja"))).unwrap(),
        };
        if !tagged {
            source = tags.replace_all(&source, untag).into_owned();
        }
        let tokenizer = text_tokenizer(folder, source);
        let encoder = Encoder::new(&tokenizer, now()).unwrap();
        for case in cases {
            let conversation = case["conversation"].as_str().unwrap();
            let row = fixture["conversations"][conversation].as_object().unwrap();
            let example = Reading::of(Format::Messages).read(row).unwrap();
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            let expected = case[if tagged { "mask" } else { "trimmed" }].as_str().unwrap();
            let found = match encoder.encode(&example, LossOn::Completions).unwrap() {
                Ok(found) => found,
                // No answer in the conversation, or none that says anything.
                Err(_) if !expected.contains('1') => continue,
                Err(reason) => {
                    differences.push(format!("{name}, {conversation}: {reason}"));
                    continue;
                }
            };
            let Encoded { mut tokens, mut trained } = found;
            if encoder.turn_shape().terminator.is_empty() && tokens.len() == ids.len() + 1 {
                // The end-of-sequence token that such conversations get, trained where an answer is last.
                assert_eq!(tokens.pop(), tokenizer.eos_id);
                let Example::Conversation(c) = &example else { panic!() };
                assert_eq!(trained.pop(), Some(c.messages.last().unwrap().is_assistant()));
            }
            assert_eq!(tokens, ids, "{name}, {conversation}");
            let found = flags(&trained);
            if found != expected {
                let of = |mask| spans(&tokenizer, &ids, mask);
                differences.push(format!(
                    "{name}, {conversation}:\n  expected {:?}\n  found    {:?}",
                    of(expected),
                    of(&found)
                ));
            }
        }
    }
    (cases.len(), differences)
}

fn assert_equal(folder: &Path, tagged: bool) -> usize {
    let (count, differences) = differences(folder, tagged);
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
    count
}

#[test]
fn tagged_templates_train_what_transformers_trains() {
    assert_eq!(assert_equal(&fixtures().join("masks"), true), 166);
}

#[test]
fn turns_are_found_without_tags() {
    assert_eq!(assert_equal(&fixtures().join("masks"), false), 166);
}

/// Templates of published models are not part of this repository; the script makes the masks of a folder on demand.
#[test]
fn published_templates_train_what_transformers_trains() {
    let Some(folder) = std::env::var_os("LORA_STUDIO_TEMPLATE_MASKS") else {
        println!("skipped: LORA_STUDIO_TEMPLATE_MASKS names no output of tests/reference/masks.py");
        return;
    };
    assert_equal(Path::new(&folder), true);
    // Authors put the beginning of a tag in different places (before the header, behind empty thoughts), so without
    // the tags this is for reading.
    let (count, differences) = differences(Path::new(&folder), false);
    println!("without tags {} of {count} differ:\n{}", differences.len(), differences.join("\n"));
}

/// What is trained, said in words and not by another mask: every answer and what ends it, once, and nothing that others
/// say; `last-turn` is the last of it.
#[test]
fn answers_and_their_ends_are_trained_and_nothing_else() {
    let folder = fixtures().join("masks");
    let fixture: Value = serde_json::from_slice(&std::fs::read(folder.join("masks.json")).unwrap()).unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let source = match fixture["sources"][name].as_str() {
            Some(source) => source.to_string(),
            None => std::fs::read_to_string(fixtures().join(format!("templates/{name}.jinja"))).unwrap(),
        };
        let tokenizer = text_tokenizer(&folder, source);
        let encoder = Encoder::new(&tokenizer, now()).unwrap();
        let conversation = case["conversation"].as_str().unwrap();
        let row = fixture["conversations"][conversation].as_object().unwrap();
        let example = Reading::of(Format::Messages).read(row).unwrap();
        let Ok(encoded) = encoder.encode(&example, LossOn::Completions).unwrap() else { continue };
        let case = format!("{name}, {conversation}");
        let ends = !encoder.notices().iter().any(|notice| notice == NO_END);
        let mut check = |encoded: &Encoded, loss_on| {
            for fault in encoder.verify(&example, encoded, loss_on).unwrap() {
                if ends || !matches!(fault, MaskFault::NoEnd { .. }) {
                    wrong.push(format!("{case}, {loss_on:?}: {fault}"));
                }
            }
        };
        check(&encoded, LossOn::Completions);
        let trained = spans(&tokenizer, &encoded.tokens, &flags(&encoded.trained));
        let whole = trained.concat();
        match encoder.encode(&example, LossOn::LastTurn).unwrap() {
            Ok(last) => {
                check(&last, LossOn::LastTurn);
                let last = spans(&tokenizer, &last.tokens, &flags(&last.trained)).concat();
                if !whole.ends_with(&last) || (last.is_empty() && !whole.is_empty()) {
                    wrong.push(format!("{case}: the last turn is {last:?} of {trained:?}"));
                }
                let Example::Conversation(c) = &example else { panic!() };
                let answers = c.messages.iter().filter(|m| m.is_assistant() && m.train.unwrap_or(true)).count();
                if answers > 1 && trained.len() > 1 && last.len() >= whole.len() {
                    wrong.push(format!("{case}: the last turn is all of {trained:?}"));
                }
            }
            Err(reason) => wrong.push(format!("{case}: {reason}")),
        }
        checked += 1;
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 100, "{checked}");
}

#[test]
fn long_conversations_with_many_calls_come_to_an_end() {
    let template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}\
                    {% endif %}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(template));
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let call = serde_json::json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    let turns = |count: usize| {
        let turn = |i: usize| match i % 2 {
            0 => serde_json::json!({"role": "user", "content": format!("q{i}")}),
            _ => serde_json::json!({"role": "assistant", "content": format!("a{i}"), "tool_calls": call}),
        };
        let row = serde_json::json!({"messages": (0..count).map(turn).collect::<Vec<_>>()});
        Reading::of(Format::Messages).read(row.as_object().unwrap()).unwrap()
    };
    // So many that the prefixes of all of them would take minutes: the other way to find turns takes over.
    let started = std::time::Instant::now();
    for count in [40, 3000] {
        let Encoded { trained, tokens } = encoder.encode(&turns(count), LossOn::Completions).unwrap().unwrap();
        assert!(started.elapsed().as_secs() < 60, "{count}");
        let spans = spans(&tokenizer, &tokens, &flags(&trained));
        let expected = |i: usize| {
            format!(
                "a{i}{}<|im_end|>",
                "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {}}}]"
            )
        };
        assert_eq!(spans.len(), count / 2);
        let wrong = spans.iter().enumerate().find(|(at, span)| **span != expected(2 * at + 1));
        assert_eq!(wrong, None, "{count}");
    }
}
