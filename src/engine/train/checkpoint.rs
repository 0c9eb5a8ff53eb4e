//! Checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! A checkpoint is a folder: the adapter as PEFT keeps it, so that it can be used as it is; the optimizer's moments; the
//! trainer's counters; and the hashes of all these in the form that `sha256sum -c` checks. It appears under its name when
//! all of it is on the disk. A checkpoint that was damaged afterwards is recognised, and the one before it is used.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::optimizer::{TensorMoments, TensorView};
use super::run_dir;
use crate::engine::digest::sha256;
use crate::engine::formats::StagedFolder;
use crate::engine::formats::safetensors::{self, Dtype, SafetensorsFile, TensorData};
use crate::engine::model::ModelConfig;
use crate::engine::ops::adamw_8bit::{BLOCK, Moments};
use crate::engine::peft::Adapter;
use crate::engine::peft::folder::{self, ModelCard};
use crate::engine::{Error, Result};

const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const STATE_FILE: &str = "trainer_state.json";
const HASHES_FILE: &str = "SHA256SUMS";
/// Every part, in the order of the hashes.
const PARTS: [&str; 5] = [folder::CONFIG_FILE, folder::WEIGHTS_FILE, folder::CARD_FILE, OPTIMIZER_FILE, STATE_FILE];
const FILES: [&str; 6] = [PARTS[0], PARTS[1], PARTS[2], PARTS[3], PARTS[4], HASHES_FILE];

/// Before the names of the first and second moments: numbers of 32 bits, or codes of 8.
const MOMENTS: [&str; 2] = ["exp_avg.", "exp_avg_sq."];
/// Before the names of the scales of moments in 8 bits, one for every [`BLOCK`] numbers of the flattened tensor.
const SCALES: [&str; 2] = ["exp_avg_absmax.", "exp_avg_sq_absmax."];

/// Version of [`TrainerState`]'s meaning; a state of another version is not continued.
const VERSION: u32 = 1;

/// Where a run stands between two optimizer steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Optimizer steps made.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Whole passes over the data made.
    pub epoch: usize,
    /// Micro-batches of the running epoch that were used.
    pub micro_cursor: usize,
    /// Tokens that went through the model.
    pub tokens_seen: u64,
    /// Tokens that the loss was computed on.
    pub supervised_seen: u64,
    /// Seconds of training so far, over all resumptions.
    pub seconds: f64,
    /// Seed of the run.
    pub seed: u64,
    /// Loss of the last step.
    pub last_loss: Option<f32>,
    /// Lowest validation loss.
    pub best_loss: Option<f32>,
    /// The step after which it was measured.
    pub best_step: Option<usize>,
}

/// `trainer_state.json`.
#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    #[serde(flatten)]
    state: TrainerState,
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The adapter.
    pub adapter: Adapter,
    /// The optimizer's moments, still on the disk.
    pub moments: SavedMoments,
    /// Counters and cursors.
    pub state: TrainerState,
}

/// The optimizer's moments in a checkpoint's file, which has been checked.
#[derive(Clone, Debug)]
pub struct SavedMoments {
    file: SafetensorsFile,
    /// Names of the adapter's tensors in order.
    tensors: Vec<String>,
}

/// The newest checkpoint of a run that is whole.
#[derive(Debug)]
pub struct Latest {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
    /// Newer ones that were passed over, with what is wrong with each.
    pub damaged: Vec<(PathBuf, Error)>,
}

/// Writes a checkpoint into `dir` (a run's `checkpoints/step-N`), whole or not at all; one of the same name is replaced.
/// `moments` are those of the adapter's tensors in order.
pub fn save(
    dir: &Path,
    adapter: &Adapter,
    model: &ModelConfig,
    card: &ModelCard,
    moments: &[TensorView<'_>],
    state: &TrainerState,
) -> Result<()> {
    assert_eq!(moments.len(), 2 * adapter.modules.len(), "moments of another adapter");
    let staged = StagedFolder::new(dir)?;
    let at = |name| staged.path().join(name);
    folder::write_files(staged.path(), adapter, model, card)?;
    safetensors::write(at(OPTIMIZER_FILE), &moment_tensors(adapter, model, moments), &folder::METADATA)?;
    let file = StateFile { version: VERSION, state: state.clone() };
    let json = serde_json::to_string_pretty(&file).map_err(|e| Error::Other(e.to_string()))?;
    write_text(&at(STATE_FILE), &json)?;
    let mut hashes = String::new();
    for part in PARTS {
        let _ = writeln!(hashes, "{}  {part}", sha256(&at(part))?);
    }
    write_text(&at(HASHES_FILE), &hashes)?;
    // A name of the form step-N in a folder of checkpoints is ours, whatever damage left of it.
    staged.commit(&FILES)
}

/// The counters of a checkpoint alone, without a look at its other files.
pub(super) fn read_state(dir: &Path) -> Result<TrainerState> {
    let path = dir.join(STATE_FILE);
    let text = fs::read_to_string(&path).map_err(Error::io("read the trainer's state", &path))?;
    let StateFile { version, state } =
        serde_json::from_str(&text).map_err(|e| Error::file(format!("not a trainer's state: {e}"), &path))?;
    if version != VERSION {
        let message = format!("written by another version of the program (state {version}, expected {VERSION})");
        return Err(Error::file(message, &path));
    }
    Ok(state)
}

/// Reads a checkpoint of a run on `model`, after checking that its files are those that were written.
pub fn load(dir: &Path, model: &ModelConfig) -> Result<Checkpoint> {
    verify(dir)?;
    let state = read_state(dir)?;
    let adapter = folder::read(dir, model)?;
    let moments = SavedMoments::open(&dir.join(OPTIMIZER_FILE), &adapter, model)?;
    Ok(Checkpoint { adapter, moments, state })
}

/// The newest whole checkpoint of the run in `run`; `None` when it has none at all. When every one is damaged, the
/// newest one's error.
pub fn latest(run: &Path, model: &ModelConfig) -> Result<Option<Latest>> {
    let mut damaged = Vec::new();
    for entry in run_dir::checkpoints(run)? {
        match load(&entry.path, model) {
            Ok(checkpoint) => return Ok(Some(Latest { path: entry.path, checkpoint, damaged })),
            Err(e) => damaged.push((entry.path, e)),
        }
    }
    match damaged.into_iter().next() {
        Some((_, e)) => Err(e),
        None => Ok(None),
    }
}

/// Checks every part of a checkpoint against its hash.
pub fn verify(dir: &Path) -> Result<()> {
    let path = dir.join(HASHES_FILE);
    let hashes = fs::read_to_string(&path).map_err(Error::io("read the checkpoint's hashes", &path))?;
    for part in PARTS {
        let line = hashes.lines().find_map(|l| l.split_once("  ").filter(|(_, name)| *name == part));
        let Some((expected, _)) = line else {
            return Err(Error::file(format!("the checkpoint is damaged: no hash of {part}"), &path));
        };
        let file = dir.join(part);
        if sha256(&file)? != expected {
            return Err(Error::file("the checkpoint is damaged: the file is not the one that was written", file));
        }
    }
    Ok(())
}

/// What the optimizer's file holds: moments under the names of the adapter's tensors, and in their shapes.
fn moment_tensors<'a>(adapter: &'a Adapter, model: &'a ModelConfig, moments: &[TensorView<'a>]) -> Vec<TensorData<'a>> {
    let mut tensors = Vec::new();
    for (of, moments) in folder::tensors(adapter, model, "", &adapter.params).zip(moments) {
        let name = |prefix| format!("{prefix}{}", of.name);
        match *moments {
            TensorView::Full { m, v } => {
                for (prefix, x) in MOMENTS.into_iter().zip([m, v]) {
                    tensors.push(TensorData::f32(name(prefix), &of.shape, x));
                }
            }
            TensorView::File { file, m, v } => {
                for (prefix, at) in MOMENTS.into_iter().zip([m, v]) {
                    tensors.push(TensorData::f32_in_file(name(prefix), &of.shape, file, at));
                }
            }
            TensorView::Blocks(Moments { m, v, m_absmax, v_absmax }) => {
                for (prefix, codes) in MOMENTS.into_iter().zip([m, v]) {
                    tensors.push(TensorData::u8(name(prefix), &of.shape, codes));
                }
                for (prefix, absmax) in SCALES.into_iter().zip([m_absmax, v_absmax]) {
                    tensors.push(TensorData::f32(name(prefix), &[absmax.len()], absmax));
                }
            }
        }
    }
    tensors
}

impl SavedMoments {
    /// Checks names, types and shapes against the adapter's.
    fn open(path: &Path, adapter: &Adapter, model: &ModelConfig) -> Result<SavedMoments> {
        let file = SafetensorsFile::open(path)?;
        let mut tensors = Vec::new();
        for of in folder::tensors(adapter, model, "", &adapter.params) {
            let check = |prefix: &str, dtypes: &[Dtype], shape: &[usize]| {
                let name = format!("{prefix}{}", of.name);
                let fail = |message: String| Error::tensor(&name, message, path);
                let found = file.info(&name).ok_or_else(|| fail("absent".into()))?;
                if found.shape != shape {
                    return Err(fail(format!("expected shape {shape:?}, got {:?}", found.shape)));
                }
                if !dtypes.contains(&found.dtype) {
                    return Err(fail(format!("stored as {}: no optimizer of this program does that", found.dtype)));
                }
                Ok(found.dtype)
            };
            let first = check(MOMENTS[0], &[Dtype::F32, Dtype::U8], &of.shape)?;
            check(MOMENTS[1], &[first], &of.shape)?;
            if first == Dtype::U8 {
                let blocks = of.shape.iter().product::<usize>().div_ceil(BLOCK);
                SCALES.iter().try_for_each(|prefix| check(prefix, &[Dtype::F32], &[blocks]).map(|_| ()))?;
            }
            tensors.push(of.name);
        }
        Ok(SavedMoments { file, tensors })
    }

    /// The moments of the adapter's tensors in order, each read when it is asked for.
    pub fn read(&self) -> impl Iterator<Item = Result<TensorMoments>> {
        self.tensors.iter().map(|tensor| self.read_tensor(tensor))
    }

    fn read_tensor(&self, tensor: &str) -> Result<TensorMoments> {
        let absent = |name: &str| Error::tensor(name, "absent", self.file.path());
        let floats = |prefix: &str| -> Result<Vec<f32>> {
            let name = format!("{prefix}{tensor}");
            Ok(self.file.tensor(&name)?.ok_or_else(|| absent(&name))?.to_f32())
        };
        let codes = |prefix: &str| -> Result<Vec<u8>> {
            let name = format!("{prefix}{tensor}");
            Ok(self.file.bytes(&name).ok_or_else(|| absent(&name))?.to_vec())
        };
        let dtype = self.file.info(&format!("{}{tensor}", MOMENTS[0])).map(|info| info.dtype);
        Ok(match dtype {
            Some(Dtype::U8) => TensorMoments::Blocks(Moments {
                m: codes(MOMENTS[0])?,
                v: codes(MOMENTS[1])?,
                m_absmax: floats(SCALES[0])?,
                v_absmax: floats(SCALES[1])?,
            }),
            _ => TensorMoments::Full { m: floats(MOMENTS[0])?, v: floats(MOMENTS[1])? },
        })
    }
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io("write the file", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::peft::LoraConfig;
    use crate::engine::peft::folder::tests::tiny_llama;

    /// A checkpoint in memory.
    struct Parts {
        adapter: Adapter,
        moments: Vec<TensorMoments>,
        state: TrainerState,
    }

    /// Every other tensor's moments are in 8 bits.
    fn checkpoint(seed: u64) -> Parts {
        let model = tiny_llama();
        let targets = LoraConfig::targets(&model, &["all-linear"]).unwrap();
        let config = LoraConfig { rank: 3, alpha: 6.0, dropout: 0.05, rslora: true, targets };
        let adapter = Adapter::new(&model, config, seed).unwrap();
        // Numbers of every size, subnormal ones too: moments get there.
        let moments = adapter.tensor_sizes().enumerate().map(|(t, n)| {
            let odd = |f: f32| -> Vec<f32> { (0..n).map(|i| seed as f32 * f.powi((t + i) as i32 % 40)).collect() };
            match t % 2 {
                0 => TensorMoments::Full { m: odd(0.1), v: odd(0.01) },
                _ => TensorMoments::Blocks(Moments::quantize(&odd(-0.1), &odd(0.01))),
            }
        });
        let moments = moments.collect();
        let state = TrainerState {
            step: 10,
            total_steps: 24,
            epoch: 1,
            micro_cursor: 5,
            tokens_seen: 1 << 60,
            supervised_seen: 12345,
            seconds: 0.1,
            seed: u64::MAX,
            last_loss: Some(1.0 / 3.0),
            best_loss: Some(f32::MIN_POSITIVE),
            best_step: None,
        };
        Parts { adapter, moments, state }
    }

    fn write(dir: &Path, c: &Parts) {
        let moments: Vec<_> = c.moments.iter().map(TensorMoments::view).collect();
        save(dir, &c.adapter, &tiny_llama(), &ModelCard::of("m"), &moments, &c.state).unwrap();
    }

    fn assert_same_bits(got: &Checkpoint, want: &Parts) {
        let bits = |x: &[f32]| x.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got.adapter.params), bits(&want.adapter.params));
        assert_eq!((&got.adapter.modules, &got.adapter.config), (&want.adapter.modules, &want.adapter.config));
        // Moments have no zeros of either sign that could hide a difference.
        assert_eq!(got.moments.read().collect::<Result<Vec<_>>>().unwrap(), want.moments);
        assert_eq!(got.state, want.state);
    }

    #[test]
    fn what_is_loaded_is_what_was_saved_bit_for_bit() {
        let run = tempfile::tempdir().unwrap();
        let dir = run.path().join("checkpoints/step-10");
        let saved = checkpoint(1);
        let subnormal = |t: &TensorMoments| {
            let TensorMoments::Full { v, .. } = t else { return false };
            v.iter().any(|x| x.is_subnormal())
        };
        assert!(saved.moments.iter().any(subnormal));
        write(&dir, &checkpoint(2));
        write(&dir, &saved);
        assert_same_bits(&load(&dir, &tiny_llama()).unwrap(), &saved);
        // The adapter inside is an adapter folder.
        assert_eq!(folder::read(&dir, &tiny_llama()).unwrap().params, saved.adapter.params);
    }

    #[test]
    fn moments_that_do_not_fit_the_adapter_are_named() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join(OPTIMIZER_FILE);
        let (model, parts) = (tiny_llama(), checkpoint(1));
        let views: Vec<_> = parts.moments.iter().map(TensorMoments::view).collect();
        let good = moment_tensors(&parts.adapter, &model, &views);
        let message = |change: &dyn Fn(&mut Vec<TensorData>)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            safetensors::write(&path, &tensors, &folder::METADATA).unwrap();
            SavedMoments::open(&path, &parts.adapter, &model).unwrap_err().to_string()
        };
        let (first, scales) = (good[0].name.clone(), good.iter().find(|t| t.name.starts_with(SCALES[0])).unwrap());
        let gone = message(&|t| t.retain(|t| t.name != first));
        assert!(gone.contains(&first) && gone.contains("absent"), "{gone}");
        let gone = message(&|t| t.retain(|t| t.name != scales.name));
        assert!(gone.contains(&scales.name) && gone.contains("absent"), "{gone}");
        let turned = message(&|t| t[0].shape.reverse());
        assert!(turned.contains("expected shape"), "{turned}");
        let short = message(&|t| (t[1].dtype, t[1].shape) = (Dtype::I32, t[1].shape.clone()));
        assert!(short.contains("stored as I32"), "{short}");
    }

    #[test]
    fn the_hashes_are_what_sha256sum_checks() {
        let run = tempfile::tempdir().unwrap();
        let dir = run.path().join("step-10");
        write(&dir, &checkpoint(1));
        match std::process::Command::new("sha256sum").args(["-c", HASHES_FILE]).current_dir(&dir).output() {
            Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
            Err(e) => eprintln!("skipped: sha256sum is not here: {e}"),
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed_and_the_checkpoint_before_it_is_used() {
        let run = tempfile::tempdir().unwrap();
        let dir = |n: usize| run.path().join(format!("checkpoints/step-{n}"));
        assert!(latest(run.path(), &tiny_llama()).unwrap().is_none());
        let good = checkpoint(1);
        write(&dir(9), &good);
        for name in FILES {
            write(&dir(10), &checkpoint(2));
            let path = dir(10).join(name);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
            let found = latest(run.path(), &tiny_llama()).unwrap().unwrap();
            assert_eq!(found.path, dir(9), "{name}");
            assert_eq!(found.damaged[0].0, dir(10));
            assert_same_bits(&found.checkpoint, &good);
        }
        // Cut off, and gone.
        for damage in [|p: &Path| fs::write(p, "").unwrap(), |p: &Path| fs::remove_file(p).unwrap()] {
            write(&dir(10), &checkpoint(2));
            damage(&dir(10).join(OPTIMIZER_FILE));
            assert_eq!(latest(run.path(), &tiny_llama()).unwrap().unwrap().path, dir(9));
        }
        fs::remove_dir_all(dir(9)).unwrap();
        let message = latest(run.path(), &tiny_llama()).unwrap_err().to_string();
        assert!(message.contains(OPTIMIZER_FILE), "{message}");
    }

    #[test]
    fn a_checkpoint_of_another_model_is_refused() {
        let run = tempfile::tempdir().unwrap();
        let dir = run.path().join("step-10");
        write(&dir, &checkpoint(1));
        let other = ModelConfig { hidden: 16, ..tiny_llama() };
        let message = load(&dir, &other).unwrap_err().to_string();
        assert!(message.contains("another model"), "{message}");
    }
}
