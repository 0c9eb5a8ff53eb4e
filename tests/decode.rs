//! Decoding with a cache against the decoder's whole forward, and against transformers.

#![allow(clippy::unwrap_used)] // a test

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{architecture, architectures, expected, peers, peers_folder};
use lora_studio::engine::config::{Embeddings, Quantization};
use lora_studio::engine::data::{Batch, Sample};
use lora_studio::engine::formats::{self, ModelSource};
use lora_studio::engine::generate::{Finish, Request, Sampling, TextStream, generate, generate_in};
use lora_studio::engine::model::{LoadOptions, Model, Session, Workspace, WorkspaceSize};
use lora_studio::engine::ops::Compute;
use lora_studio::engine::peft::{Adapter, LoraConfig, folder};
use safetensors::tensor::{Dtype, TensorView};

/// Never set: nothing is cancelled.
static GO: AtomicBool = AtomicBool::new(false);

fn load(folder: &Path) -> Model {
    let options = LoadOptions {
        quantization: Quantization::None,
        double_quant: false,
        compute: Compute::F32,
        embeddings: Embeddings::File,
    };
    Model::load(&formats::open(folder).unwrap(), &options, &mut |_, _| true).unwrap()
}

/// Logits after each of `positions` by a forward of all tokens at once.
fn whole(model: &Model, adapter: Option<&Adapter>, tokens: &[u32], positions: &[usize]) -> Vec<f32> {
    let sample = Sample { tokens: tokens.to_vec(), trained: vec![false; tokens.len()], row: 0 };
    let mut ws = Workspace::for_inference(model, adapter, WorkspaceSize::any(tokens.len()));
    model.logits(&Batch::of([&sample]), adapter, positions, &mut ws).unwrap()
}

/// Logits after the last token.
fn last(model: &Model, adapter: Option<&Adapter>, tokens: &[u32]) -> Vec<f32> {
    whole(model, adapter, tokens, &[tokens.len() - 1])
}

/// Equal up to the rounding of sums in another order: 1e-5 of the largest logit.
fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let error = got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(error <= 1e-5 * largest, "{what}: {error} of {largest}");
}

/// Random tokens below `vocab`.
fn random_tokens(n: usize, vocab: usize) -> Vec<u32> {
    (0..n).map(|i| (lora_studio::engine::ops::random::split_mix64(9, i as u64) % vocab as u64) as u32).collect()
}

#[test]
fn one_token_at_a_time_gives_the_logits_of_the_whole() {
    for name in architectures() {
        let folder = architecture(&name);
        let model = load(&folder);
        let adapter = folder::read(&folder.join("adapter"), &model.config).unwrap();
        let mut rows = expected(&folder).rows;
        rows.sort_by_key(Vec::len);
        let row = rows.last().unwrap();
        for with in [None, Some(&adapter)] {
            let mut session = Session::new(&model, with, &[with.is_some()]).unwrap();
            let first = session.forward(&[(0, &row[..5])], &GO).unwrap().unwrap();
            assert_close(first, &last(&model, with, &row[..5]), &name);
            for t in 5..row.len() {
                let logits = session.forward(&[(0, &row[t..=t])], &GO).unwrap().unwrap();
                // Of the prefix alone: with LongRoPE, what comes later changes what came before.
                assert_close(logits, &last(&model, with, &row[..=t]), &format!("{name} token {t}"));
            }
            assert_eq!(session.tokens(0), row);
        }
    }
}

#[test]
fn base_and_adapted_sequences_of_all_lengths_in_one_batch() {
    for name in architectures() {
        let folder = architecture(&name);
        let model = load(&folder);
        let adapter = folder::read(&folder.join("adapter"), &model.config).unwrap();
        let rows = expected(&folder).rows;
        let adapted = [true, false, true, false];
        let mut session = Session::new(&model, Some(&adapter), &adapted).unwrap();
        let mut at = [0; 4];
        // Different pieces of the rows, not all of them each time, until each is at its end.
        for step in 0.. {
            let n = |i: usize| ((step * 7 + i * 3) % 6).min(rows[i].len() - at[i]);
            let input: Vec<(usize, &[u32])> =
                (0..4).rev().filter(|i| n(*i) > 0).map(|i| (i, &rows[i][at[i]..at[i] + n(i)])).collect();
            let logits = match input.is_empty() {
                true if (0..4).all(|i| at[i] == rows[i].len()) => break,
                true => continue,
                false => session.forward(&input, &GO).unwrap().unwrap(),
            };
            for ((i, piece), logits) in input.iter().zip(logits.chunks_exact(model.config.vocab)) {
                at[*i] += piece.len();
                let with = adapted[*i].then_some(&adapter);
                assert_close(logits, &last(&model, with, &rows[*i][..at[*i]]), &format!("{name} row {i}"));
            }
        }
    }
}

#[test]
fn long_sequences_go_in_pieces_and_windows_drop_what_nobody_sees() {
    for (name, windowed) in [("mistral", true), ("llama", false), ("gemma2", false)] {
        let mut model = load(&architecture(name));
        model.config.max_positions = 2000;
        let tokens = random_tokens(1500, model.config.vocab);
        let mut session = Session::new(&model, None, &[false, false]).unwrap();
        // A prompt of more than one piece beside a short one, then pieces of all sizes.
        let mut at = 0;
        for n in [700, 1, 1, 7, 8, 64, 300, 1, 256, 1, 161] {
            let mut input = vec![(0, &tokens[at..at + n])];
            if at == 0 {
                input.push((1, &tokens[..3]));
            }
            at += n;
            let logits = session.forward(&input, &GO).unwrap().unwrap();
            let (first, second) = logits.split_at(model.config.vocab);
            assert_close(first, &last(&model, None, &tokens[..at]), &format!("{name} {at}"));
            if !second.is_empty() {
                assert_close(second, &last(&model, None, &tokens[..3]), name);
            }
        }
        assert_eq!(at, tokens.len());
        // Rows of 2·kv_width floats in each layer: a window of 6 needs at most a piece of 512 and the 5 rows before it,
        // in blocks of 256; without, 1,500 rows, in blocks, and one block for the short sequence.
        let row = 4 * 2 * model.config.kv_width();
        let windows = model.config.layers.iter().filter(|l| l.window.is_some()).count();
        let whole = (model.config.layers.len() - windows) * (1536 + 256);
        let rows = session.cache_bytes() / row - whole;
        assert_eq!(windows == model.config.layers.len(), windowed);
        assert!(rows <= windows * (768 + 256), "{name}: {rows} rows in {windows} layers");
    }
}

fn request(tokens: &[u32], adapted: bool, max_new_tokens: usize) -> Request {
    Request { tokens: tokens.to_vec(), adapted, max_new_tokens, sampling: Sampling::greedy(), stop: vec![] }
}

/// Greedy decoding without a cache.
fn uncached(model: &Model, adapter: Option<&Adapter>, prompt: &[u32], n: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..n {
        let logits = last(model, adapter, &tokens);
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a))).unwrap();
        tokens.push(best as u32);
    }
    tokens.split_off(prompt.len())
}

#[test]
fn cached_greedy_is_uncached_greedy_alone_and_together() {
    let mut changed = 0;
    for name in architectures() {
        let folder = architecture(&name);
        let model = load(&folder);
        let adapter = folder::read(&folder.join("adapter"), &model.config).unwrap();
        let rows = expected(&folder).rows;
        let requests = [request(&rows[1], false, 25), request(&rows[1], true, 25), request(&rows[0], true, 3)];
        let mut streamed = vec![vec![]; 3];
        let all = generate(&model, Some(&adapter), &requests, &mut |i, t| streamed[i].push(t), &GO).unwrap();
        assert_eq!((all.prompt_tokens, all.new_tokens), (2 * rows[1].len() + rows[0].len(), 53));
        for (i, (r, c)) in requests.iter().zip(&all.completions).enumerate() {
            let with = r.adapted.then_some(&adapter);
            assert_eq!(c.tokens, uncached(&model, with, &r.tokens, r.max_new_tokens), "{name}");
            assert_eq!((c.finish, &c.tokens), (Finish::Length, &streamed[i]));
            let alone = generate(&model, with, std::slice::from_ref(r), &mut |_, _| (), &GO).unwrap();
            assert_eq!(alone.completions[0], *c, "{name}");
        }
        changed += usize::from(all.completions[0].tokens != all.completions[1].tokens);
    }
    // Some of the random models repeat one token, adapted or not.
    assert!(changed >= 12, "the adapter changes the answer of {changed} architectures");
}

#[test]
fn answers_end_at_a_stop_token_at_the_context_and_when_cancelled() {
    let model = load(&architecture("llama"));
    let prompt = [5, 6, 7];
    let free = uncached(&model, None, &prompt, 61);
    let run = |request: Request| generate(&model, None, &[request], &mut |_, _| (), &GO).unwrap();

    let stop = free[4];
    let before = free.iter().position(|t| *t == stop).unwrap();
    let stopped = run(Request { stop: vec![stop], ..request(&prompt, false, 61) });
    assert_eq!(
        (stopped.completions[0].finish, &stopped.completions[0].tokens[..]),
        (Finish::Stop(stop), &free[..before])
    );
    assert_eq!(stopped.new_tokens, before + 1);

    // 64 positions: the 61 tokens after the prompt fill them.
    let full = run(request(&prompt, false, 1000));
    assert_eq!((full.completions[0].finish, &full.completions[0].tokens), (Finish::Context, &free));

    assert!(run(request(&prompt, false, 0)).completions[0].tokens.is_empty());

    let cancel = AtomicBool::new(false);
    let mut seen = 0;
    let mut on_token = |_, _| {
        seen += 1;
        cancel.store(seen == 5, Ordering::Relaxed);
    };
    let cut = generate(&model, None, &[request(&prompt, false, 30)], &mut on_token, &cancel).unwrap();
    assert_eq!((cut.completions[0].finish, &cut.completions[0].tokens[..]), (Finish::Cancelled, &free[..5]));
}

#[test]
fn a_conversation_computes_only_what_is_new() {
    for name in ["llama", "mistral", "gemma3", "phi3-longrope"] {
        let folder = architecture(name);
        let model = load(&folder);
        let adapter = folder::read(&folder.join("adapter"), &model.config).unwrap();
        let tokens = random_tokens(60, model.config.vocab);
        let mut session = Session::new(&model, Some(&adapter), &[false, true]).unwrap();
        let mut turn = |prompts: [&[u32]; 2], computed: Option<usize>| {
            let requests = [request(prompts[0], false, 4), request(prompts[1], true, 4)];
            let got = generate_in(&mut session, &requests, &mut |_, _| (), &GO).unwrap();
            assert_eq!(computed.unwrap_or(got.prompt_tokens), got.prompt_tokens, "{name}");
            for (r, c) in requests.iter().zip(got.completions) {
                assert_eq!(c.tokens, uncached(&model, r.adapted.then_some(&adapter), &r.tokens, 4), "{name}");
            }
        };
        turn([&tokens[..8], &tokens[..12]], Some(20));
        // The answer replaced by other tokens, longer; the same again; shorter; another beginning. Eight go through in any case.
        turn([&tokens[..13], &tokens[..12]], Some(8 + 8));
        // LongRoPE computes a sequence again that passes 16 tokens, or comes back from there.
        let plain = name != "phi3-longrope";
        turn([&tokens[..30], &tokens[..20]], plain.then_some(17 + 8));
        turn([&tokens[..30], &tokens[..6]], plain.then_some(8 + 6));
        turn([&tokens[1..9], &tokens[..9]], plain.then_some(8 + 8));
    }
}

#[test]
fn a_cancelled_step_leaves_the_sequence_as_it_was() {
    for name in ["llama", "mistral", "phi3-longrope"] {
        let model = load(&architecture(name));
        let tokens = random_tokens(40, model.config.vocab);
        let mut session = Session::new(&model, None, &[false]).unwrap();
        session.forward(&[(0, &tokens[..10])], &GO).unwrap().unwrap();
        assert!(session.forward(&[(0, &tokens[10..])], &AtomicBool::new(true)).unwrap().is_none());
        // LongRoPE would change the frequencies of what is cached: there it is forgotten.
        let kept = session.tokens(0).len();
        assert_eq!(kept, if name == "phi3-longrope" { 0 } else { 10 });
        let logits = session.forward(&[(0, &tokens[kept..12])], &GO).unwrap().unwrap();
        assert_close(logits, &last(&model, None, &tokens[..12]), name);
    }
}

#[test]
fn what_cannot_be_generated_is_one_clear_error() {
    let model = load(&architecture("llama"));
    let error = |adapter: Option<&Adapter>, r: Request| {
        generate(&model, adapter, &[r], &mut |_, _| (), &GO).unwrap_err().to_string()
    };
    assert!(error(None, request(&[], false, 5)).contains("the prompt is empty"));
    assert!(error(None, request(&[1; 64], false, 5)).contains("64 tokens"));
    assert!(error(None, request(&[96], false, 5)).contains("token id 96"));
    assert!(error(None, request(&[1], true, 5)).contains("no adapter"));
    let hot = Request { sampling: Sampling { temperature: -1.0, ..Sampling::greedy() }, ..request(&[1], false, 5) };
    assert!(error(None, hot).contains("temperature"));
}

#[derive(serde::Deserialize)]
struct Greedy {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    text: String,
    margin: f32,
}

/// The model as the reference has it: a folder of its weights in bfloat16.
fn in_bf16<'a>(model: &ModelSource, folder: &'a Path) -> &'a Path {
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192,
        "rope_theta": 1e5, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let bytes = |name: &str| -> Vec<u8> {
        model.required(name).unwrap().to_bf16().iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let tensors: Vec<_> = model.config.tensors().into_iter().map(|(name, shape)| (bytes(&name), name, shape)).collect();
    let views =
        tensors.iter().map(|(bytes, name, shape)| (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    folder
}

#[test]
fn smollm2_says_what_it_says_in_transformers() {
    let Some(gguf) = peers("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let made = tempfile::tempdir().unwrap();
    let path = in_bf16(&formats::open(&gguf).unwrap(), made.path());
    // tests/reference/greedy.py
    let cases: Vec<Greedy> = serde_json::from_str(include_str!("fixtures/greedy.json")).unwrap();
    assert_eq!(cases.len(), 4);
    // Every choice is clear by far more than f32 rounding.
    assert!(cases.iter().all(|c| c.margin > 0.01));
    let model = load(path);
    let tokenizer = formats::open(&gguf).unwrap().tokenizer().unwrap();
    let requests: Vec<Request> =
        cases.iter().map(|c| Request { stop: model.config.eos.clone(), ..request(&c.prompt, false, 48) }).collect();
    let mut streams: Vec<_> = cases.iter().map(|_| (TextStream::new(&tokenizer), String::new())).collect();
    let mut on_token = |i: usize, token| {
        let (stream, text) = &mut streams[i];
        text.push_str(&stream.push(token).unwrap());
    };
    let got = generate(&model, None, &requests, &mut on_token, &GO).unwrap();
    for ((case, got), (stream, text)) in cases.iter().zip(&got.completions).zip(&mut streams) {
        let (tokens, stopped) = match case.tokens.split_last() {
            Some((end, tokens)) if model.config.eos.contains(end) => (tokens, true),
            _ => (&case.tokens[..], false),
        };
        assert_eq!(got.tokens, tokens, "{}", case.text);
        assert_eq!(matches!(got.finish, Finish::Stop(_)), stopped);
        text.push_str(&stream.finish().unwrap());
        assert_eq!(*text, case.text);
    }
}

#[test]
#[ignore = "a measurement: run it alone, with --nocapture"]
fn speed_on_smollm2() {
    let Some(path) = peers_folder() else { return };
    for (quantization, compute) in
        [(Quantization::None, Compute::F32), (Quantization::None, Compute::Bf16), (Quantization::Nf4, Compute::Bf16)]
    {
        let options = LoadOptions { quantization, double_quant: true, compute, embeddings: Embeddings::File };
        let model = Model::load(&formats::open(&path).unwrap(), &options, &mut |_, _| true).unwrap();
        let config =
            LoraConfig { rank: 16, alpha: 32.0, dropout: 0.0, rslora: false, targets: model.config.linears().to_vec() };
        let adapter = Adapter::new(&model.config, config, 0).unwrap();
        for (batch, adapted) in [(1, false), (1, true), (2, true), (8, false)] {
            let prompt = random_tokens(256, 1000);
            let requests: Vec<_> = (0..batch).map(|i| request(&prompt, adapted && i % 2 == 0, 64)).collect();
            let got = generate(&model, Some(&adapter), &requests, &mut |_, _| (), &GO).unwrap();
            let prefill = got.prompt_tokens as f64 / got.prefill_seconds;
            // The first token of each sequence belongs to the prefill.
            let decode = (got.new_tokens - batch) as f64 / got.decode_seconds;
            println!(
                "{quantization:?} {compute:?} batch {batch} adapted {adapted}: prefill {prefill:.0} tokens/s, decode \
                 {decode:.1} tokens/s"
            );
        }
    }
}
