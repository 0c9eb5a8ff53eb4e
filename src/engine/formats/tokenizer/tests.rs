//! Vocabularies of GGUF files against llama.cpp (tests/reference/gguf_vocabularies.py), tokenizer folders against what is
//! wrong with them.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::engine::formats::gguf::GgufFile;
use crate::engine::formats::gguf::testing::{entry, file, numbers, strings, text};
use crate::engine::formats::hf;

/// A model whose vocabulary has so many entries.
fn model(vocab: usize) -> ModelConfig {
    let config = json!({"model_type": "llama", "vocab_size": vocab, "hidden_size": 4, "intermediate_size": 4,
        "num_hidden_layers": 1, "num_attention_heads": 1});
    let Value::Object(map) = config else { unreachable!() };
    hf::model_config(&hf::json::Json { map, path: "config.json".into() }).unwrap()
}

/// The metadata of one case as a GGUF file.
fn vocabulary(dir: &Path, case: &Value, words: &Value) -> GgufFile {
    let list = |key: &str| words[key].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect::<Vec<_>>();
    let tokens = list("tokens");
    let kinds: Vec<[u8; 4]> =
        words["kinds"].as_array().unwrap().iter().map(|k| (k.as_i64().unwrap() as i32).to_le_bytes()).collect();
    let mut entries = vec![
        entry("general.name", 8, &text(case["name"].as_str().unwrap_or("tiny"))),
        strings("tokenizer.ggml.tokens", &tokens),
        numbers("tokenizer.ggml.token_type", 5, &kinds),
    ];
    if case["model"] == "gpt2" {
        entries.push(strings("tokenizer.ggml.merges", &list("merges")));
    } else {
        let scores = words["scores"].as_array().unwrap();
        let scores: Vec<[u8; 4]> = scores.iter().map(|s| (s.as_f64().unwrap() as f32).to_le_bytes()).collect();
        entries.push(numbers("tokenizer.ggml.scores", 6, &scores));
    }
    for (key, value) in case.as_object().unwrap() {
        let key = format!("tokenizer.ggml.{key}");
        match value {
            Value::Bool(b) => entries.push(entry(&key, 7, &[u8::from(*b)])),
            Value::Number(n) => entries.push(entry(&key, 4, &(n.as_u64().unwrap() as u32).to_le_bytes())),
            Value::String(s) => entries.push(entry(&key, 8, &text(s))),
            _ => {}
        }
    }
    let path = dir.join("vocabulary.gguf");
    std::fs::write(&path, file(entries.len() as u64, &entries.concat(), 0, &[])).unwrap();
    GgufFile::open(&path).unwrap()
}

#[test]
fn every_kind_of_vocabulary_gives_llama_cpps_ids() {
    let all: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/tokens/vocabularies.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for case in all["cases"].as_array().unwrap() {
        let words = if case["model"] == "gpt2" { &all["bpe"] } else { &all["spm"] };
        let name = json!([case["model"], case["pre"], case["name"], case["add_space_prefix"]]).to_string();
        let file = vocabulary(dir.path(), case, words);
        let vocab = words["tokens"].as_array().unwrap().len();
        let tokenizer = TextTokenizer::from_gguf(&file, &model(vocab)).unwrap();
        for (text, ids) in all["texts"].as_array().unwrap().iter().zip(case["ids"].as_array().unwrap()) {
            let ids: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
            let text = text.as_str().unwrap();
            let found = tokenizer.encode(text, true).unwrap();
            let word = |id: &u32| tokenizer.tokenizer.id_to_token(*id).unwrap();
            let words = |ids: &[u32]| ids.iter().map(word).collect::<Vec<_>>();
            assert_eq!(found, ids, "{name} {text:?}\n{:?}\n{:?}", words(&found), words(&ids));
            // No text is lost on the way there and back; a space prefix may stay in front of special tokens.
            if !text.contains('<') {
                let decoded = tokenizer.decode(&tokenizer.encode(text, false).unwrap(), false).unwrap();
                assert_eq!(decoded, text, "{name}");
            }
        }
    }
}

#[test]
fn no_flipped_byte_of_a_vocabulary_panics() {
    let all: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/tokens/vocabularies.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 1u64;
    let mut built = 0;
    for (words, settings) in [("bpe", json!({"model": "gpt2", "pre": "llama-bpe"})), ("spm", json!({"model": "llama"}))]
    {
        let path = vocabulary(dir.path(), &settings, &all[words]).path().to_path_buf();
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            std::fs::write(&path, bytes).unwrap();
            let tokenizer = GgufFile::open(&path).and_then(|file| TextTokenizer::from_gguf(&file, &model(2000)));
            if let Ok(tokenizer) = tokenizer {
                built += 1;
                let _ = tokenizer.encode("Some text, 123 <s> ünïcödé", true).map(|ids| tokenizer.decode(&ids, false));
            }
        }
    }
    assert!(built >= 15, "{built} of 120 damaged files could still be read: the damage must reach beyond the header");
}

#[test]
fn vocabularies_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let words = json!({"tokens": ["a", "b", "ab"], "kinds": [1, 1, 1], "merges": ["a b", "b ab", "nonsense"]});
    let refuse = |case: Value, words: &Value| {
        TextTokenizer::from_gguf(&vocabulary(dir.path(), &case, words), &model(3)).unwrap_err().to_string()
    };
    // Merges of what is no token are passed over.
    let fine = vocabulary(dir.path(), &json!({"model": "gpt2", "pre": "gpt-2"}), &words);
    assert_eq!(TextTokenizer::from_gguf(&fine, &model(3)).unwrap().encode("aba", true).unwrap(), [2, 0]);
    assert!(refuse(json!({"model": "gpt2", "pre": "kimi-k2"}), &words).contains("rule \"kimi-k2\" is not supported"));
    assert!(
        refuse(json!({"model": "bert"}), &json!({"tokens": [], "kinds": [], "scores": []})).contains("kind \"bert\"")
    );
    let twice = json!({"tokens": ["a", "a"], "kinds": [1, 1], "merges": []});
    assert!(refuse(json!({"model": "gpt2"}), &twice).contains("the token \"a\" has two ids, 0 and 1"));
    let short = json!({"tokens": ["a", "b"], "kinds": [1], "merges": []});
    assert!(refuse(json!({"model": "gpt2"}), &short).contains("token_type has fewer entries"));
    let scores = json!({"tokens": ["a", "b"], "kinds": [1, 1], "scores": [0.0]});
    assert!(refuse(json!({"model": "llama"}), &scores).contains("scores has fewer entries"));
}

/// Writes a folder with a tokenizer of the words `a`, `b` and the special `<s>`, `</s>`.
fn folder(dir: &Path, settings: Value) {
    let added = |id: u32, content: &str, special: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": special})
    };
    let tokenizer = json!({"version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst",
        "stride": 0}, "padding": null, "added_tokens": [added(2, "<s>", true), added(3, "</s>", true),
        added(4, "<image>", true)], "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1}, "merges": []}});
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(dir.join("tokenizer_config.json"), settings.to_string()).unwrap();
}

fn read(settings: Value, vocab: usize) -> Result<TextTokenizer> {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path(), settings);
    TextTokenizer::from_folder(dir.path(), &model(vocab))
}

#[test]
fn special_tokens_of_a_folder() {
    let special = json!({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "unk_token": null});
    let plain = read(special.clone(), 5).unwrap();
    assert_eq!((plain.bos_id, plain.eos_id, plain.unk_token.as_deref()), (Some(2), Some(3), None));
    assert_eq!((plain.adds_bos, plain.adds_eos), (false, false));
    // Longer than the file's truncation allows: truncation is left to whoever builds the batches.
    assert_eq!(plain.encode("<s>abba</s>", true).unwrap(), [2, 0, 1, 1, 0, 3]);
    let with = |bos: bool, eos: bool| {
        let mut settings = special.clone();
        settings["add_bos_token"] = json!(bos);
        settings["add_eos_token"] = json!(eos);
        let tokenizer = read(settings, 5).unwrap();
        assert_eq!((tokenizer.adds_bos, tokenizer.adds_eos), (bos, eos));
        tokenizer.encode("ab", true).unwrap()
    };
    assert_eq!(with(true, false), [2, 0, 1]);
    assert_eq!(with(true, true), [2, 0, 1, 3]);
    assert_eq!(with(false, false), [0, 1]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let refuse = |settings: Value, vocab: usize| read(settings, vocab).unwrap_err().to_string();
    let message = refuse(json!({}), 1);
    assert!(
        message.starts_with(
            "the tokenizer does not fit the model: token \"b\" has id 1, but the model's vocabulary has 1 entries"
        ),
        "{message}"
    );
    // A special token that nothing uses may lie beyond the embedding; it is then ordinary text.
    let harmless = read(json!({"bos_token": "<s>"}), 4).unwrap();
    assert_eq!(harmless.encode("<s><image>a", true).unwrap(), [2, 0, 0]);
    assert!(refuse(json!({"eos_token": "<image>"}), 4).contains("token \"<image>\" has id 4"));
    assert!(refuse(json!({"chat_template": "{{ '<image>' }}"}), 4).contains("token \"<image>\" has id 4"));
}

#[test]
fn tokens_that_only_the_settings_list() {
    let listed = |id: &str| json!({"added_tokens_decoder": {id: {"content": "<new>", "special": true}}});
    assert_eq!(read(listed("5"), 6).unwrap().encode("a<new>b", true).unwrap(), [0, 5, 1]);
    let gap = read(listed("7"), 9).unwrap_err().to_string();
    assert!(gap.starts_with("token \"<new>\" with id 7 does not follow on tokenizer.json's tokens"), "{gap}");
    let other = json!({"added_tokens_decoder": {"9": {"content": "<s>", "special": true}}});
    assert!(read(other, 9).unwrap_err().to_string().contains("token \"<s>\" has id 9 here and id 2 in tokenizer.json"));
    assert!(read(listed("x"), 9).unwrap_err().to_string().contains("added_tokens_decoder: expected ids with tokens"));
}

#[test]
fn templates_by_their_precedence() {
    let text = read(json!({"chat_template": "T"}), 5).unwrap();
    assert_eq!((text.chat_template.as_deref(), text.named_templates.len()), (Some("T"), 0));
    let named = json!({"chat_template": [{"name": "default", "template": "D"}, {"name": "rag", "template": "R"}]});
    let list = read(named.clone(), 5).unwrap();
    assert_eq!(list.chat_template.as_deref(), Some("D"));
    assert_eq!(list.named_templates, [("rag".to_string(), "R".to_string())]);
    assert!(
        read(json!({"chat_template": 3}), 5)
            .unwrap_err()
            .to_string()
            .contains("chat_template: expected a string or a list")
    );
    // Files win over the settings.
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path(), named);
    std::fs::write(dir.path().join("chat_template.jinja"), "F").unwrap();
    std::fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
    std::fs::write(dir.path().join("additional_chat_templates/tool_use.jinja"), "U").unwrap();
    let files = TextTokenizer::from_folder(dir.path(), &model(5)).unwrap();
    assert_eq!(files.chat_template.as_deref(), Some("F"));
    assert_eq!(files.named_templates, [("tool_use".to_string(), "U".to_string())]);
}

#[test]
fn folders_without_a_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let message = || TextTokenizer::from_folder(dir.path(), &model(5)).unwrap_err().to_string();
    assert!(message().starts_with("there is no tokenizer.json in this folder"));
    std::fs::write(dir.path().join("tokenizer.model"), "x").unwrap();
    assert!(message().starts_with("there is no tokenizer.json, only a SentencePiece tokenizer.model"));
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert!(message().starts_with("not a tokenizer: "), "{}", message());
}
