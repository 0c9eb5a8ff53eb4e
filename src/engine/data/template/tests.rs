//! Against transformers: tests/reference/templates.py wrote the expected texts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ChatTemplate;
use crate::engine::data::testing::now;
use crate::engine::data::{Format, Message, Reading, chat_template};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Compares every rendering of a fixture; what differs, in words.
fn differences(fixture: &Path) -> (usize, Vec<String>) {
    let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
    let special: Vec<(String, String)> = fixture["special_tokens"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, token)| (name.clone(), token.as_str().unwrap().to_string()))
        .collect();
    let mut differences = Vec::new();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let source = match fixture["sources"][name].as_str() {
            Some(source) => source.to_string(),
            None => std::fs::read_to_string(fixtures().join(format!("templates/{name}.jinja"))).unwrap(),
        };
        let conversation = &fixture["conversations"][case["conversation"].as_str().unwrap()];
        let case_name = format!("{name}, {}, prompt {}", case["conversation"], case["prompt"]);
        let rendered = ChatTemplate::new(&source, special.clone(), now()).and_then(|template| {
            let messages = messages(conversation);
            template.render(&messages, conversation.get("tools"), case["prompt"].as_bool().unwrap())
        });
        match (case["text"].as_str(), rendered) {
            (Some(text), Ok(rendered)) => {
                if rendered.text != text {
                    differences.push(format!("{case_name}:\n  expected {text:?}\n  found    {:?}", rendered.text));
                }
                let ranges: Vec<[usize; 2]> = rendered.generation.iter().map(|r| [r.start, r.end]).collect();
                if serde_json::to_value(&ranges).unwrap() != case["generation"] {
                    differences.push(format!("{case_name}: expected {}, found {ranges:?}", case["generation"]));
                }
            }
            (Some(_), Err(reason)) => differences.push(format!("{case_name}: {reason}")),
            (None, Ok(rendered)) if case["raised"] == true => {
                differences.push(format!("{case_name}: expected {}, found {:?}", case["error"], rendered.text));
            }
            // Jinja fails where an absent column is used; minijinja may take it for an empty text.
            (None, Ok(_)) => {}
            (None, Err(reason)) => {
                let refusal =
                    format!("the chat template refuses the conversation: {}", case["error"].as_str().unwrap());
                if case["raised"] == true && reason != refusal {
                    differences.push(format!("{case_name}: expected {refusal:?}, found {reason:?}"));
                }
            }
        }
    }
    (cases.len(), differences)
}

fn messages(conversation: &Value) -> Vec<Message> {
    match Reading::of(Format::Messages).read(conversation.as_object().unwrap()).unwrap() {
        crate::engine::data::Example::Conversation(conversation) => conversation.messages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn templates_render_as_in_transformers() {
    let (count, differences) = differences(&fixtures().join("templates.json"));
    assert_eq!(count, 442);
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
}

/// Templates of published models are not part of this repository; the script renders a folder of them on demand.
#[test]
fn published_templates_render_as_in_transformers() {
    let Some(fixture) = std::env::var_os("LORA_STUDIO_TEMPLATES") else {
        println!("skipped: LORA_STUDIO_TEMPLATES names no output of tests/reference/templates.py");
        return;
    };
    let (count, differences) = differences(Path::new(&fixture));
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn line_breaks_of_a_template_are_line_feeds() {
    // As transformers renders it; the conversation's own line breaks stay.
    let source = "{%- for m in messages %}\r\n{{ m.content }}\r\n{{ 'a\r\nb\rc\\r' }}\r{% generation %}x\r\n\
                  {% endgeneration %}\r\n{%- endfor %}\r\n";
    let rendered = chat_template(source).unwrap().render(&[Message::user("q\r\nw")], None, false).unwrap();
    assert_eq!(rendered.text, "q\r\nw\na\nb\nc\r\nx\n");
}

#[test]
fn endless_templates_are_stopped() {
    let stopped = "the chat template does not come to an end: it was stopped";
    let long = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
    let grows = "{% set ns = namespace(s='0123456789') %}{% for a in range(1000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}";
    for source in [long, grows] {
        let started = std::time::Instant::now();
        assert_eq!(chat_template(source).unwrap().render(&[], None, false).unwrap_err(), stopped);
        assert!(started.elapsed().as_secs() < 20);
    }
    let recursive = "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}";
    assert!(chat_template(recursive).unwrap().render(&[], None, false).is_err());
}

/// Templates that would take gigabytes, were each of their steps not paid for before it is taken.
#[test]
fn templates_that_grow_are_stopped() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).map(str::to_string);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = peak();
    for source in [
        "{{ 'x' * 10**9 }}",
        "{{ 'x' * 1000000000000 }}",
        "{% for a in range(10**9) %}x{% endfor %}",
        "{{ range(10**9) | list | length }}",
        "{% set s = 'x' * 1000000 %}{{ s.replace('x', s) }}",
        "{% set s = 'x' * 1000000 %}{{ s | replace('x', s) }}",
        "{% set s = 'x' * 1000000 %}{{ ([s] * 100000) | join(s) }}",
        "{% set s = 'x' * 1000000 %}{{ s.join([s] * 100000) }}",
        "{% set s = 'x' * 1000000 %}{{ s | list | join(s) }}",
        "{{ ['x' * 1000000] * 100000 }}",
        "{{ ([[1] * 1000] * 1000000) | tojson }}",
        "{{ (['x' * 1000000] * 100000) | tojson }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | indent(1000000000) }}",
        "{{ '{:>1000000000}'.format('x') }}",
        "{{ '{:{}}'.format('x', 1000000000) }}",
        "{{ '{0:.999999999f}'.format(1.5) }}",
        "{{ ('x' * 50000000).split('')|length }}",
        "{{ ('x ' * 20000000).split()|length }}",
        "{{ ('\\n' * 50000000)|lines|length }}",
        "{{ ('\\n' * 50000000).splitlines()|length }}",
        "{{ ('x ' * 20000000)|split|length }}",
        "{{ ('x,' * 20000000)|split(',')|length }}",
        "{% set s = 'x' * 1000000 %}{% for a in range(100) %}{{ s }}{% endfor %}",
    ] {
        let started = std::time::Instant::now();
        let reason = match chat_template(source) {
            Ok(template) => template.render(&[], None, false).err(),
            Err(reason) => Some(reason),
        };
        assert!(reason.is_some(), "{source} is rendered");
        println!(
            "{:>6.2} s {:>6} MiB {source}: {}",
            started.elapsed().as_secs_f64(),
            (peak() - before) >> 10,
            reason.unwrap()
        );
        assert!(started.elapsed().as_secs() < 20, "{source}");
        assert!((peak() - before) >> 10 < 800, "{source}");
    }
    let much = "{% set s = 'x' * 1000000 %}{% for a in range(100) %}{{ s }}{% endfor %}";
    let reason = chat_template(much).unwrap().render(&[], None, false).unwrap_err();
    assert_eq!(reason, "the chat template writes more than 64 MiB: it was stopped");
}

#[test]
fn broken_templates_are_named() {
    let reason = chat_template("a\n{% for m in %}").err().unwrap();
    assert!(reason.starts_with("the chat template is not valid: syntax error: unexpected end of block"), "{reason}");
    assert!(reason.ends_with("(line 2 of the template)"), "{reason}");
    let reason = chat_template("{{ nothing() }}").unwrap().render(&[], None, false).unwrap_err();
    assert!(reason.starts_with("the chat template failed: unknown function: nothing is unknown"), "{reason}");
}

#[test]
fn marks_never_meet_the_text() {
    // The conversation contains the characters that would mark generated text.
    let template = chat_template("{% generation %}{{ messages[0].content }}{% endgeneration %}!").unwrap();
    let content = "\u{FDD0}a\u{FDD1}\u{FDD2}";
    let rendered = template.render(&[Message::user(content)], None, false).unwrap();
    assert_eq!(rendered.text, format!("{content}!"));
    let [range] = rendered.generation.as_slice() else { panic!("{:?}", rendered.generation) };
    assert_eq!(*range, 0..content.len());
}
