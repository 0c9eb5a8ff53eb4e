//! Against TRL: tests/reference/trl_masks.py wrote the tokens and the masks that its SFTTrainer makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::AddedToken;

use super::tests::{fixtures, text_tokenizer};
use crate::engine::config::LossOn;
use crate::engine::data::testing::now;
use crate::engine::data::{Encoder, Format, Reading};

/// What the masks of a fixture differ in: the template, who trains it and where, the text.
type Differences = BTreeSet<(String, &'static str, String)>;

const TRL_BEHIND: &str = "TRL behind our turn";
const TRL_BEFORE: &str = "TRL in front of our turn";

fn folder() -> PathBuf {
    fixtures().join("masks/trl")
}

/// Compares with TRL on the templates as TRL trains them, or as they are published where they write the same tokens.
fn differences(folder: &Path, published: bool) -> (usize, Differences) {
    let fixture: Value = serde_json::from_slice(&std::fs::read(folder.join("trl.json")).unwrap()).unwrap();
    let control: Vec<&str> = fixture["control"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let mut by_template: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for case in fixture["cases"].as_array().unwrap().iter().filter(|case| !published || case["same"] == true) {
        by_template.entry(case["template"].as_str().unwrap()).or_default().push(case);
    }
    let (mut count, mut differences) = (0, Differences::new());
    for (name, cases) in by_template {
        let file = if published { format!("{name}.jinja") } else { format!("{name}_training.jinja") };
        let source = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut tokenizer = text_tokenizer(&fixtures().join("masks"), source);
        tokenizer.tokenizer.add_special_tokens(control.iter().map(|t| AddedToken::from(*t, true))).unwrap();
        let encoder = Encoder::new(&tokenizer, now()).unwrap();
        for case in cases {
            let conversation = case["conversation"].as_str().unwrap();
            let row = fixture["conversations"][conversation].as_object().unwrap();
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            let expected = case["mask"].as_str().unwrap();
            let example = Reading::of(Format::Messages).read(row).unwrap();
            count += 1;
            let found = match encoder.encode(&example, LossOn::Completions).unwrap() {
                Ok(found) => found,
                Err(reason) => {
                    differences.insert((name.to_string(), "refused", format!("{conversation}: {reason}")));
                    continue;
                }
            };
            // An end-of-sequence token may be put behind a template that ends turns with nothing.
            assert_eq!(found.tokens[..ids.len()], ids, "{name}, {conversation}");
            let ours = &found.trained[..ids.len()];
            let theirs: Vec<bool> = expected.chars().map(|c| c == '1').collect();
            let mut from = 0;
            for run in
                (0..ids.len()).collect::<Vec<_>>().chunk_by(|a, b| (ours[*a], theirs[*a]) == (ours[*b], theirs[*b]))
            {
                let to = from + run.len();
                let who = match (ours[from], theirs[from]) {
                    (false, true) if from > 0 && ours[from - 1] => TRL_BEHIND,
                    (false, true) if ours.get(to) == Some(&true) => TRL_BEFORE,
                    (false, true) => "TRL alone",
                    (true, false) => "ours alone",
                    _ => "both",
                };
                if who != "both" {
                    let text = tokenizer.decode(&ids[from..to], false).unwrap();
                    differences.insert((name.to_string(), who, text));
                }
                from = to;
            }
        }
    }
    (count, differences)
}

#[test]
fn trls_templates_train_what_trl_trains() {
    let (count, differences) = differences(&folder(), false);
    assert_eq!(count, 101);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// TRL's variants train more than a model ever writes: the line break behind the terminator (for Phi-3 also the
/// end-of-sequence token behind that, which ends the conversation), and for Qwen 2.5 the line break in front of an
/// answer, which is the end of the prompt for it; for gpt-oss that prompt itself. Here that is not trained, and there is
/// no other difference.
#[test]
fn published_templates_train_what_trl_trains() {
    let (count, differences) = differences(&folder(), true);
    assert_eq!(count, 79);
    let expected = [
        ("gptoss", TRL_BEFORE, "<|start|>assistant"),
        // Where two answers follow one another.
        ("gptoss", TRL_BEHIND, "<|start|>assistant"),
        ("phi3", TRL_BEHIND, "\n"),
        ("phi3", TRL_BEHIND, "\n</s>"),
        ("phi3_5", TRL_BEHIND, "\n"),
        ("phi3_5", TRL_BEHIND, "\n</s>"),
        // One token of this vocabulary; Qwen's own cuts it in front of the line break.
        ("qwen2_5", TRL_BEFORE, "assistant\n"),
        ("qwen2_5", TRL_BEHIND, "\n"),
        ("qwen3", TRL_BEHIND, "\n"),
        ("qwen3_instruct_2507", TRL_BEHIND, "\n"),
    ];
    let expected: Differences =
        expected.into_iter().map(|(name, who, text)| (name.to_string(), who, text.to_string())).collect();
    assert_eq!(differences, expected);
}

/// What gpt-oss writes for one message: both channels, and what ends each.
#[test]
fn messages_in_two_parts_are_trained_whole() {
    let source = std::fs::read_to_string(folder().join("gptoss.jinja")).unwrap();
    let fixture: Value = serde_json::from_slice(&std::fs::read(folder().join("trl.json")).unwrap()).unwrap();
    let mut tokenizer = text_tokenizer(&fixtures().join("masks"), source);
    let control = fixture["control"].as_array().unwrap().iter().map(|t| AddedToken::from(t.as_str().unwrap(), true));
    tokenizer.tokenizer.add_special_tokens(control).unwrap();
    let encoder = Encoder::new(&tokenizer, now()).unwrap();
    let call =
        " to=functions.get_weather<|channel|>commentary json<|message|>{\"place\": \"Zürich\", \"days\": 1.0}<|call|>";
    let text = |words: &str| format!("<|channel|>analysis<|message|>{words}<|end|><|start|>assistant");
    let answer = |words: &str, end: &str| format!("<|channel|>final<|message|>{words}<|{end}|>");
    let trained = |conversation: &str, loss_on: LossOn| -> Vec<String> {
        let row = fixture["conversations"][conversation].as_object().unwrap();
        let example = Reading::of(Format::Messages).read(row).unwrap();
        let encoded = encoder.encode(&example, loss_on).unwrap().unwrap();
        assert_eq!(encoder.verify(&example, &encoded, loss_on).unwrap(), [], "{conversation}");
        let pairs: Vec<(u32, bool)> = encoded.tokens.into_iter().zip(encoded.trained).collect();
        let runs = pairs.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1);
        runs.map(|run| tokenizer.decode(&run.iter().map(|pair| pair.0).collect::<Vec<_>>(), false).unwrap()).collect()
    };
    let all = LossOn::Completions;
    assert_eq!(trained("thinking", all), [text("Two and two.") + &answer("4", "return")]);
    assert_eq!(trained("thinking and a call", all), [text("I look.") + call]);
    // The template drops a text before a call that an answer follows.
    assert_eq!(
        trained("text and a call, then answers", all),
        [call.to_string(), answer("Clear.", "end"), text("I look again.") + call]
    );
    assert_eq!(trained("text and a call, then answers", LossOn::LastTurn), [text("I look again.") + call]);
}

/// With a folder of all of TRL's templates, made on demand.
#[test]
fn all_of_trls_templates() {
    let Some(folder) = std::env::var_os("LORA_STUDIO_TRL_MASKS") else {
        println!("skipped: LORA_STUDIO_TRL_MASKS names no output of tests/reference/trl_masks.py");
        return;
    };
    let (count, tagged) = differences(Path::new(&folder), false);
    println!("as TRL trains them, {count} cases: {tagged:#?}");
    // Where the published templates begin and end a turn otherwise is for reading.
    let (count, published) = differences(Path::new(&folder), true);
    println!("as published, {count} cases: {published:#?}");
    assert!(tagged.is_empty());
}
