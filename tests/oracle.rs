//! The engine's hand-written backward against autograd, and what must hold between ways to compute the same gradient.

#![allow(clippy::unwrap_used)] // a test

mod common;
#[path = "oracle/mod.rs"]
mod decoder;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use common::{Random, architecture, architectures, expected, load, load_as, relative_error, sample, write_wide_model};
use decoder::Oracle;
use lora_studio::engine::config::Quantization;
use lora_studio::engine::data::{Batch, Sample};
use lora_studio::engine::formats;
use lora_studio::engine::model::{Checkpointing, Layout, LinearKind, Model, ModelConfig, Workspace, WorkspaceSize};
use lora_studio::engine::ops::Compute;
use lora_studio::engine::ops::dropout::DropoutKey;
use lora_studio::engine::peft::{Adapter, LoraConfig};
use tempfile::TempDir;

/// The fixture's adapter, read without the engine's reader.
fn fixture_adapter(folder: &Path, config: &ModelConfig) -> Adapter {
    let lora = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets: config.linears().to_vec() };
    let mut adapter = Adapter::zeros(config, lora);
    adapter.params = flat(&folder.join("adapter/adapter_model.safetensors"), config, &adapter);
    adapter
}

/// The tensors of a PEFT file in the order of [`Adapter::params`].
fn flat(file: &Path, config: &ModelConfig, adapter: &Adapter) -> Vec<f32> {
    let tensors = candle_core::safetensors::load(file, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors.len(), 2 * adapter.modules.len());
    let mut values = vec![f32::NAN; adapter.params.len()];
    for m in &adapter.modules {
        for (part, range) in [("lora_A", m.a_range()), ("lora_B", m.b_range())] {
            let name = format!("base_model.model.{}.{part}.weight", config.linear_path(m.layer, m.kind));
            let tensor = tensors.get(&name).unwrap_or_else(|| panic!("no tensor {name}"));
            values[range].copy_from_slice(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }
    values
}

#[test]
fn autograd_agrees_with_transformers() {
    for name in architectures() {
        let folder = architecture(&name);
        let config = formats::open(&folder).unwrap().config;
        let adapter = fixture_adapter(&folder, &config);
        let oracle = Oracle::new(&folder, &config, &adapter).unwrap();
        let expected = expected(&folder);
        let batch = Batch::of(expected.rows.iter().map(|r| sample(r, 0)).collect::<Vec<_>>().iter());
        let nll = oracle.nll(&batch).unwrap();
        let reference = expected.adapter_nll.concat();
        assert_eq!(nll.len(), reference.len());
        let worst = nll.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let (_, gradients) = oracle.loss_and_gradients(&batch).unwrap();
        let reference = flat(&folder.join("gradients.safetensors"), &config, &adapter);
        let mut error: f64 = 0.0;
        for m in &adapter.modules {
            for range in [m.a_range(), m.b_range()] {
                error = error.max(relative_error(&reference[range.clone()], &gradients[range]));
            }
        }
        println!("{name}: likelihood {worst:.1e}, gradient {error:.1e}");
        // Both in float64; settings such as the norms' ε are float32 in the engine's configuration.
        assert!(worst < 1e-6, "{name}: likelihoods differ by {worst:.1e}");
        assert!(error < 2e-7, "{name}: gradients differ by {error:.1e}");
    }
}

const KEY: DropoutKey = DropoutKey { seed: 5, step: 3, micro: 1, layer: 0, module: 0 };

/// LoRA of an odd rank on `targets`.
fn lora(targets: &[LinearKind], dropout: f32) -> LoraConfig {
    LoraConfig { rank: 3, alpha: 7.0, dropout, rslora: true, targets: targets.to_vec() }
}

/// Rows of many lengths, some trained from the middle on, some not at all.
fn samples(random: &mut Random, vocab: usize) -> Vec<Sample> {
    let shapes = [(11, 4), (1, 0), (2, 0), (23, 0), (5, 5), (9, 8), (17, 3), (8, 1)];
    shapes.into_iter().map(|(n, from)| sample(&random.tokens(n, vocab), from)).collect()
}

/// Loss and gradient of the engine, in a workspace of its own.
fn engine(
    model: &Model,
    adapter: &Adapter,
    batch: &Batch,
    key: Option<DropoutKey>,
    keep: &Checkpointing,
) -> (f64, Vec<f32>) {
    let mut ws = Workspace::for_training(model, adapter, WorkspaceSize::of([batch]), keep);
    let mut gradients = vec![0.0; adapter.params.len()];
    let loss = model.loss_and_gradients(batch, adapter, 1.0, key, &mut gradients, &mut ws).unwrap();
    (loss, gradients)
}

/// The largest relative error of a tensor's gradient.
fn worst(adapter: &Adapter, ours: &[f32], exact: &[f64]) -> f64 {
    let tensors = adapter.modules.iter().flat_map(|m| [m.a_range(), m.b_range()]);
    let error = |r: std::ops::Range<usize>| match exact[r.clone()].iter().all(|g| *g == 0.0) {
        true => {
            if ours[r].iter().all(|g| *g == 0.0) {
                0.0
            } else {
                f64::INFINITY
            }
        }
        false => relative_error(&ours[r.clone()], &exact[r]),
    };
    tensors.map(error).fold(0.0, f64::max)
}

/// The engine's backward against autograd in float64, on a packed batch of a fixture.
fn compare(
    name: &str,
    dropout: f32,
    targets: impl Fn(&ModelConfig) -> Vec<LinearKind>,
    layers: impl Fn(usize) -> bool,
) {
    let folder = architecture(name);
    let model = load(&folder, Compute::F32);
    let mut random = Random::new(name.len() as u64);
    let mut adapter = random.adapter(&model.config, lora(&targets(&model.config), dropout));
    adapter.modules.retain(|m| layers(m.layer));
    let batch = Batch::of(&samples(&mut random, model.config.vocab));
    compare_batch(name, &folder, &model, &adapter, &batch);
}

/// The same on that batch.
fn compare_batch(name: &str, folder: &Path, model: &Model, adapter: &Adapter, batch: &Batch) {
    let key = (adapter.config.dropout > 0.0).then_some(KEY);
    let (loss, gradients) = engine(model, adapter, batch, key, &Checkpointing::None);
    let mut oracle = Oracle::new(folder, &model.config, adapter).unwrap();
    oracle.dropout = key;
    let (exact_loss, exact) = oracle.loss_and_gradients(batch).unwrap();
    let error = worst(adapter, &gradients, &exact);
    let loss_error = (loss / exact_loss - 1.0).abs();
    println!("{name}: loss {loss_error:.1e}, gradient {error:.1e}");
    assert!(loss_error < 1e-6, "{name}: loss {loss} against {exact_loss}");
    assert!(error < 1e-5, "{name}: a tensor's gradient is off by {error:.1e}");
    // Nothing is written outside the adapter's modules.
    let mut inside = vec![false; gradients.len()];
    adapter.modules.iter().for_each(|m| inside[m.a..m.b + m.rank * m.out_features].fill(true));
    assert!(inside.iter().zip(&gradients).all(|(inside, g)| *inside || *g == 0.0));
}

#[test]
fn gradients_equal_autograd() {
    for name in architectures() {
        compare(&name, 0.0, |c| c.linears().to_vec(), |_| true);
    }
}

#[test]
fn gradients_equal_autograd_with_dropout() {
    for name in ["llama", "gemma3", "phi3"] {
        compare(name, 0.3, |c| c.linears().to_vec(), |_| true);
    }
}

#[test]
fn gradients_equal_autograd_on_some_linears() {
    use LinearKind::{Down, Gate, GateUp, K, O, Q, Qkv, Up, V};
    for targets in [vec![Q, V], vec![K], vec![O], vec![Gate], vec![Up, Down], vec![Down]] {
        compare("llama-bias", 0.0, |_| targets.clone(), |_| true);
        compare("gemma3", 0.0, |_| targets.clone(), |_| true);
    }
    for targets in [vec![Qkv], vec![GateUp], vec![O, Down]] {
        compare("phi3", 0.0, |_| targets.clone(), |_| true);
    }
    // The lowest layers without an adapter: the backward stops above them.
    for lowest in [1, 2] {
        compare("gemma3", 0.0, |c| c.linears().to_vec(), |layer| layer >= lowest);
    }
    compare("gemma3", 0.0, |c| c.linears().to_vec(), |layer| layer != 1);
}

/// Rows of many lengths for the wide model, 436 tokens in all.
fn long_samples(random: &mut Random) -> Vec<Sample> {
    let shapes = [(150, 40), (1, 0), (67, 0), (64, 63), (90, 0), (33, 1), (2, 0), (29, 20)];
    shapes.into_iter().map(|(n, from)| sample(&random.tokens(n, 1003), from)).collect()
}

#[test]
fn gradients_equal_autograd_on_a_wide_model() {
    let folder = tempfile::tempdir().unwrap();
    write_wide_model(folder.path(), 2);
    let model = load(folder.path(), Compute::F32);
    let mut random = Random::new(11);
    let config = LoraConfig { rank: 16, ..lora(model.config.linears(), 0.05) };
    let adapter = random.adapter(&model.config, config);
    compare_batch("wide", folder.path(), &model, &adapter, &Batch::of(&long_samples(&mut random)));
}

/// A model with random samples: the fixtures, and a wide one.
struct Subject {
    name: String,
    folder: PathBuf,
    samples: Vec<Sample>,
    random: Random,
    /// Holds the wide model's files.
    _files: Option<TempDir>,
}

fn subjects(seed: u64) -> Vec<Subject> {
    let fixture = |name: String| {
        let folder = architecture(&name);
        let vocab = formats::open(&folder).unwrap().config.vocab;
        let mut random = Random::new(seed);
        Subject { samples: samples(&mut random, vocab), name, folder, random, _files: None }
    };
    let files = tempfile::tempdir().unwrap();
    write_wide_model(files.path(), 2);
    let mut random = Random::new(seed);
    let samples = long_samples(&mut random);
    let folder = files.path().to_path_buf();
    let wide = Subject { name: "wide".into(), folder, samples, random, _files: Some(files) };
    architectures().into_iter().map(fixture).chain([wide]).collect()
}

/// One packed batch of eight samples, against eight batches accumulated: the same gradient.
#[test]
fn packing_and_accumulation_agree() {
    for mut s in subjects(8) {
        let name = s.name;
        let model = load(&s.folder, Compute::F32);
        let adapter = s.random.adapter(&model.config, lora(model.config.linears(), 0.0));
        let whole = Batch::of(&s.samples);
        let (together, packed) = engine(&model, &adapter, &whole, None, &Checkpointing::None);
        let mut ws = Workspace::for_training(&model, &adapter, WorkspaceSize::of([&whole]), &Checkpointing::None);
        let mut accumulated = vec![0.0; packed.len()];
        let mut sum = 0.0;
        for sample in &s.samples {
            let batch = Batch::of([sample]);
            sum += model.loss_and_gradients(&batch, &adapter, 1.0, None, &mut accumulated, &mut ws).unwrap();
        }
        assert!((sum / together - 1.0).abs() < 1e-6, "{name}: {sum} against {together}");
        let exact: Vec<f64> = packed.iter().map(|g| f64::from(*g)).collect();
        let error = relative_error(&accumulated, &exact);
        println!("{name}: {error:.1e}");
        assert!(error < 1e-6, "{name}: {error:.1e}");
    }
}

/// A sample sees only itself in a packed batch: each of its tokens has the loss that it has alone.
#[test]
fn a_packed_sample_has_the_loss_that_it_has_alone() {
    for mut s in subjects(8) {
        let model = load(&s.folder, Compute::F32);
        let adapter = s.random.adapter(&model.config, lora(model.config.linears(), 0.0));
        let whole = Batch::of(&s.samples);
        let mut ws = Workspace::for_inference(&model, Some(&adapter), WorkspaceSize::of([&whole]));
        let packed = model.nll(&whole, Some(&adapter), &mut ws).unwrap();
        let mut rest = &packed[..];
        for (i, sample) in s.samples.iter().enumerate() {
            let alone = model.nll(&Batch::of([sample]), Some(&adapter), &mut ws).unwrap();
            let (own, others) = rest.split_at(alone.len());
            rest = others;
            for (packed, alone) in own.iter().zip(&alone) {
                let error = (packed - alone).abs() / alone.abs().max(1.0);
                assert!(error < 1e-6, "{}, sample {i}: {packed} against {alone}", s.name);
            }
        }
        assert!(rest.is_empty());
    }
}

/// The bits of a loss and a gradient.
fn bits((loss, gradients): &(f64, Vec<f32>)) -> (u64, Vec<u32>) {
    (loss.to_bits(), gradients.iter().map(|g| g.to_bits()).collect())
}

/// Every way in which a model computes.
const WAYS: [(Quantization, Compute); 3] =
    [(Quantization::None, Compute::F32), (Quantization::None, Compute::Bf16), (Quantization::Nf4, Compute::Bf16)];

#[test]
fn checkpointing_changes_no_bit() {
    for mut s in subjects(9) {
        for (quantization, compute) in WAYS {
            let model = load_as(&s.folder, quantization, compute);
            let adapter = s.random.adapter(&model.config, lora(model.config.linears(), 0.1));
            let batch = Batch::of(&s.samples);
            let all = bits(&engine(&model, &adapter, &batch, Some(KEY), &Checkpointing::None));
            for keep in [Checkpointing::PerLayer, Checkpointing::KeepLast(1)] {
                let other = bits(&engine(&model, &adapter, &batch, Some(KEY), &keep));
                assert!(all == other, "{} {quantization:?} {compute:?} {keep:?}", s.name);
            }
        }
    }
}

/// Inputs of layers that wait in a file: the same bits, whatever the batch before, whichever layers are adapted or keep their
/// forward, and after a validation or a pass that was given up.
#[test]
fn offloading_changes_no_bit() {
    let files = tempfile::tempdir().unwrap();
    write_wide_model(files.path(), 9);
    let mut random = Random::new(12);
    let samples = long_samples(&mut random);
    let (large, small) = (Batch::of(&samples), Batch::of(&samples[..1]));
    assert!(small.tokens.len() < large.tokens.len());
    let model = load_as(files.path(), Quantization::Nf4, Compute::Bf16);
    let whole = random.adapter(&model.config, lora(model.config.linears(), 0.1));
    let mut upper = whole.clone();
    upper.modules.retain(|m| m.layer >= 4);
    for (what, adapter) in [("all layers", &whole), ("the upper layers", &upper)] {
        let plain = |batch: &Batch| bits(&engine(&model, adapter, batch, Some(KEY), &Checkpointing::None));
        let (plain_large, plain_small) = (plain(&large), plain(&small));
        for (keep, in_file) in
            [(Checkpointing::PerLayer, 6), (Checkpointing::KeepLast(2), 4), (Checkpointing::KeepLast(6), 0)]
        {
            let size = WorkspaceSize::of([&large]);
            let layout = Layout::for_training(&model.config, model.compute, adapter, size, &keep).offload(true);
            let bytes = layout.activation_bytes();
            let without = layout.clone().offload(false);
            assert_eq!(layout.in_file(), in_file, "{keep:?}");
            assert_eq!(without.activation_bytes() - bytes, in_file * 4 * layout.stream_len);
            let mut ws = Workspace::new(&model.config, layout, files.path()).unwrap();
            let trained = |batch: &Batch, ws: &mut Workspace| {
                let mut gradients = vec![0.0; adapter.params.len()];
                let loss = model.loss_and_gradients(batch, adapter, 1.0, Some(KEY), &mut gradients, ws).unwrap();
                bits(&(loss, gradients))
            };
            let name = format!("{what}, {keep:?}");
            assert!(trained(&large, &mut ws) == plain_large, "{name}");
            assert!(trained(&small, &mut ws) == plain_small, "{name}: a smaller batch");
            let nll = model.nll(&large, Some(adapter), &mut ws).unwrap();
            let mut others = Workspace::for_inference(&model, Some(adapter), WorkspaceSize::of([&large]));
            assert!(nll == model.nll(&large, Some(adapter), &mut others).unwrap(), "{name}: validation");
            let given_up = model.last_hidden(&large, Some(adapter), &[0], &mut ws, &AtomicBool::new(true)).unwrap();
            assert!(given_up.is_none());
            assert!(trained(&large, &mut ws) == plain_large, "{name}: once more");
        }
    }
}

/// Neither what a workspace was used for before, nor a second run, nor the number of threads changes a bit.
#[test]
fn repetition_and_threads_change_no_bit() {
    for mut s in subjects(10) {
        for (quantization, compute) in WAYS {
            let model = load_as(&s.folder, quantization, compute);
            let adapter = s.random.adapter(&model.config, lora(model.config.linears(), 0.1));
            let batch = Batch::of(&s.samples);
            let what = format!("{} {quantization:?} {compute:?}", s.name);
            let first = bits(&engine(&model, &adapter, &batch, Some(KEY), &Checkpointing::None));

            let tokens = batch.tokens.len();
            let larger = Batch::of(&[sample(&s.random.tokens(2 * tokens, model.config.vocab), 0)]);
            let size = WorkspaceSize::of([&larger, &batch]);
            let mut ws = Workspace::for_training(&model, &adapter, size, &Checkpointing::None);
            let mut scrap = vec![0.0; adapter.params.len()];
            model.loss_and_gradients(&larger, &adapter, 0.5, Some(KEY), &mut scrap, &mut ws).unwrap();
            let mut gradients = vec![0.0; adapter.params.len()];
            let loss = model.loss_and_gradients(&batch, &adapter, 1.0, Some(KEY), &mut gradients, &mut ws).unwrap();
            assert!(first == bits(&(loss, gradients)), "{what}: a used workspace");

            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| engine(&model, &adapter, &batch, Some(KEY), &Checkpointing::None));
                assert!(first == bits(&again), "{what}: {threads} threads");
            }
        }
    }
}
