//! Embeddings that are read from the model's file give the bits of those in memory.

#![allow(clippy::unwrap_used)] // a test

mod common;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use common::{architecture, architectures, expected, sample};
use lora_studio::engine::config::{Embeddings, Quantization, RunConfig};
use lora_studio::engine::data::Batch;
use lora_studio::engine::formats::safetensors::{self, SafetensorsFile, TensorData};
use lora_studio::engine::formats::{self, ModelSource, StoredWeights};
use lora_studio::engine::model::{Checkpointing, Embedding, LoadOptions, Model, Session, Workspace, WorkspaceSize};
use lora_studio::engine::ops::Compute;
use lora_studio::engine::peft::{Adapter, LoraConfig};
use lora_studio::engine::train::{self, Control, Event, run_dir};

/// Never set: nothing is cancelled.
static GO: AtomicBool = AtomicBool::new(false);

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// Likelihoods, the loss with the adapter's gradients, and a conversation's logits, all as bits.
fn results(model: &Model, rows: &[Vec<u32>]) -> (Vec<u32>, u64, Vec<u32>, Vec<u32>) {
    let targets = model.config.linears().to_vec();
    let config = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets };
    let mut adapter = Adapter::new(&model.config, config, 3).unwrap();
    adapter.params.iter_mut().enumerate().for_each(|(i, x)| *x += ((i * 7 % 13) as f32 - 6.0) * 1e-3);
    let samples: Vec<_> = rows.iter().map(|row| sample(row, 0)).collect();
    let batch = Batch::of(&samples);
    let mut ws = Workspace::for_training(model, &adapter, WorkspaceSize::of([&batch]), &Checkpointing::PerLayer);
    let nll = bits(&model.nll(&batch, Some(&adapter), &mut ws).unwrap());
    let mut gradients = vec![0.0; adapter.params.len()];
    let loss = model.loss_and_gradients(&batch, &adapter, 1.0, None, &mut gradients, &mut ws).unwrap();
    let mut session = Session::new(model, Some(&adapter), &[false, true]).unwrap();
    let (mut logits, row) = (Vec::new(), &rows[0]);
    for tokens in [&row[..row.len() / 2], &row[row.len() / 2..], &row[..1]] {
        logits.extend(bits(session.forward(&[(0, tokens), (1, tokens)], &GO).unwrap().unwrap()));
    }
    (nll, loss.to_bits(), bits(&gradients), logits)
}

/// The model in every form, with its embeddings in memory and in the file; how many of the forms left them there.
fn compare(source: &ModelSource, rows: &[Vec<u32>], quantizations: &[Quantization]) -> usize {
    let stored = StoredWeights::of(source).unwrap();
    let mut left = 0;
    for &quantization in quantizations {
        for compute in [Compute::F32, Compute::Bf16] {
            let load = |embeddings| {
                let options = LoadOptions { quantization, double_quant: true, compute, embeddings };
                let model = Model::load(source, &options, &mut |_, _| true).unwrap();
                // What the plan counts is what lies in memory.
                assert_eq!(model.weight_bytes(), options.weight_bytes(&stored));
                assert_eq!(model.parameters(), source.parameters().unwrap());
                model
            };
            let (memory, file) = (load(Embeddings::Memory), load(Embeddings::File));
            if matches!(file.embedding, Embedding::File(_)) {
                left += 1;
                assert!(file.weight_bytes().embedding == 0 && memory.weight_bytes().embedding > 0);
            } else {
                assert_eq!(file.weight_bytes(), memory.weight_bytes());
            }
            assert!(results(&memory, rows) == results(&file, rows), "{} {quantization:?} {compute:?}", source.name);
        }
    }
    left
}

#[test]
fn every_architecture_computes_the_same_bits() {
    let mut left = 0;
    for name in architectures() {
        let path = architecture(&name);
        let source = formats::open(&path).unwrap();
        let found = compare(&source, &expected(&path).rows, &[Quantization::None, Quantization::Nf4]);
        // A head that is the same matrix needs all of it.
        assert_eq!(found > 0, !source.config.tied, "{name}");
        left += found;
    }
    assert!(left > 10, "{left}");
}

#[test]
fn gguf_files_compute_the_same_bits() {
    let mut left = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "gguf") {
            let rows = expected(&architecture(path.file_stem().unwrap().to_str().unwrap())).rows;
            left += compare(&formats::open(&path).unwrap(), &rows, &[Quantization::Keep, Quantization::Nf4]);
        }
    }
    assert!(left > 10, "{left}");
}

/// The built-in model with a head of its own, which is not its embedding.
fn untied(folder: &Path) -> PathBuf {
    let (from, to) = (formats::builtin::model("tiny-chat").unwrap(), folder.join("untied"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let config = fs::read_to_string(from.join("config.json")).unwrap();
    let other = config.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    assert_ne!(config, other);
    fs::write(to.join("config.json"), other).unwrap();
    let file = SafetensorsFile::open(from.join("model.safetensors")).unwrap();
    let tensors: Vec<_> = file.names().iter().map(|n| (n.clone(), file.tensor(n).unwrap().unwrap())).collect();
    let values: Vec<_> = tensors.iter().map(|(name, t)| (name.as_str(), t.shape(), t.to_bf16())).collect();
    let (_, shape, embedding) = values.iter().find(|(name, ..)| *name == "model.embed_tokens.weight").unwrap();
    let mut data: Vec<_> = values.iter().map(|(name, shape, v)| TensorData::bf16(*name, shape, v)).collect();
    data.push(TensorData::bf16("lm_head.weight", shape, embedding));
    safetensors::write(to.join("model.safetensors"), &data, &[("format", "pt")]).unwrap();
    to
}

fn config(model: &str, dir: &Path, embeddings: &str) -> RunConfig {
    let mut config = RunConfig::default();
    for change in [
        &format!("model.source={model}"),
        &format!("model.embeddings={embeddings}"),
        "data.max_seq_len=96",
        "data.validation_fraction=0.05",
        "method.rank=4",
        "train.max_steps=6",
        "train.grad_accumulation=2",
        "train.learning_rate=1e-3",
        "sample.every=3",
        "sample.prompts=[\"Who are you?\"]",
        "output.save_every=3",
    ] {
        config.set(change).unwrap();
    }
    config.output.dir = dir.to_str().unwrap().into();
    config
}

/// Losses and gradient norms of the steps and of the validation as bits, the samples, and the adapter's file.
fn trained(model: &str, dir: &Path, embeddings: &str) -> (Vec<String>, Vec<u8>) {
    let mut told = Vec::new();
    train::run(&config(model, dir, embeddings), None, &Control::new(), &mut |event| match event {
        Event::Step { step, loss, grad_norm, .. } => {
            told.push(format!("{step} {:x} {:x}", loss.to_bits(), grad_norm.to_bits()));
        }
        Event::Eval { step, loss, .. } => told.push(format!("{step} {:x}", loss.to_bits())),
        Event::Sample { step, base, adapted, .. } => told.push(format!("{step} {base} {adapted}")),
        _ => {}
    })
    .unwrap();
    (told, fs::read(dir.join("adapter/adapter_model.safetensors")).unwrap())
}

#[test]
fn a_run_is_the_same_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let own_head = untied(folder.path());
    for (i, model) in [own_head.to_str().unwrap(), "builtin:tiny-chat"].into_iter().enumerate() {
        let run = |embeddings| trained(model, &folder.path().join(format!("{i}-{embeddings}")), embeddings);
        let memory = run("memory");
        assert!(memory.0.len() > 8, "{:?}", memory.0);
        assert!(memory == run("file"), "{model}");
    }
}

#[test]
fn a_conversation_is_as_it_was_when_an_embedding_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = untied(folder.path());
    let options = LoadOptions::of_run(&RunConfig::default().model).without_embeddings();
    let model = Model::load(&formats::open(&path).unwrap(), &options, &mut |_, _| true).unwrap();
    let mut session = Session::new(&model, None, &[false]).unwrap();
    session.forward(&[(0, &[5, 6, 7])], &GO).unwrap();
    let weights = path.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let file = OpenOptions::new().write(true).open(&weights).unwrap();
    file.set_len(1000).unwrap();
    let message = session.forward(&[(0, &[8, 9])], &GO).unwrap_err().to_string();
    assert!(
        message.starts_with("the file was cut short while it was in use: row 8 of model.embed_tokens"),
        "{message}"
    );
    assert_eq!(session.tokens(0), [5, 6, 7]);
    // Put back, it goes on as if nothing had happened.
    fs::write(&weights, whole).unwrap();
    let got = bits(session.forward(&[(0, &[8, 9])], &GO).unwrap().unwrap());
    let mut other = Session::new(&model, None, &[false]).unwrap();
    other.forward(&[(0, &[5, 6, 7])], &GO).unwrap();
    assert_eq!(got, bits(other.forward(&[(0, &[8, 9])], &GO).unwrap().unwrap()));
}

#[cfg(unix)] // elsewhere a file that is open cannot be replaced
#[test]
fn a_file_that_was_replaced_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = untied(folder.path());
    let source = formats::open(&path).unwrap();
    // Of the same length, as a newer version of the model would be, and moved into place as a download is.
    let weights = path.join("model.safetensors");
    let mut other = fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(other[..8].try_into().unwrap()) as usize;
    other[header..].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(path.join("other"), other).unwrap();
    fs::rename(path.join("other"), &weights).unwrap();
    let options = LoadOptions::of_run(&RunConfig::default().model).without_embeddings();
    let message = Model::load(&source, &options, &mut |_, _| true).unwrap_err().to_string();
    assert!(message.contains("the file was replaced by another one meanwhile: open the model again"), "{message}");
}

#[test]
fn a_file_that_is_cut_short_while_a_run_reads_it_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = untied(folder.path());
    let (dir, weights) = (folder.path().join("run"), model.join("model.safetensors"));
    let mut failed = None;
    let result =
        train::run(&config(model.to_str().unwrap(), &dir, "file"), None, &Control::new(), &mut |event| match event {
            Event::Checkpoint { .. } => {
                let file = OpenOptions::new().write(true).open(&weights).unwrap();
                file.set_len(1000).unwrap();
            }
            Event::Failed { error } => failed = Some(error),
            _ => {}
        });
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with("the file was cut short while it was in use: row "), "{message}");
    assert!(message.contains("model.embed_tokens.weight") && message.ends_with("model.safetensors"), "{message}");
    assert_eq!(failed.as_ref(), Some(&message));
    // What was trained before is kept.
    assert!(dir.join("checkpoints/step-3").is_dir() && run_dir::events(&dir).unwrap().count() > 3);
}
