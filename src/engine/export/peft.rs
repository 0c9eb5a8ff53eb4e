//! An adapter as a PEFT folder.

use std::path::{Path, PathBuf};

use crate::engine::formats::StagedFolder;
use crate::engine::model::ModelConfig;
use crate::engine::peft::Adapter;
use crate::engine::peft::folder::{self, ModelCard};
use crate::engine::train::{checkpoint, run_dir};
use crate::engine::{Error, Result};

/// Writes `adapter` as PEFT's folder `out`. What was written is read back and compared with the adapter, bit for bit,
/// before the folder takes its name: an `out` that exists is replaced by a good one or left as it is.
pub fn peft(adapter: &Adapter, model: &ModelConfig, card: &ModelCard, out: &Path) -> Result<()> {
    let staged = StagedFolder::new(out)?;
    folder::write_files(staged.path(), adapter, model, card)?;
    let back = folder::read(staged.path(), model)?;
    if let Some(what) = difference(adapter, &back, model) {
        let message =
            format!("{what} differs when it is read back: the disk or the memory is faulty; nothing was kept");
        return Err(Error::file(message, out));
    }
    staged.commit(&folder::MARKERS)
}

/// The first thing in which two adapters differ.
fn difference(a: &Adapter, b: &Adapter, model: &ModelConfig) -> Option<String> {
    if (a.modules.len(), a.config.dropout, a.config.rslora) != (b.modules.len(), b.config.dropout, b.config.rslora) {
        return Some("the list of settings".into());
    }
    let bits = |x: &[f32], y: &[f32]| x.iter().map(|f| f.to_bits()).eq(y.iter().map(|f| f.to_bits()));
    for m in &a.modules {
        let path = model.linear_path(m.layer, m.kind);
        let same = b.module(m.layer, m.kind).is_some_and(|n| {
            (m.rank, m.scale.to_bits()) == (n.rank, n.scale.to_bits())
                && bits(&a.params[m.a_range()], &b.params[n.a_range()])
                && bits(&a.params[m.b_range()], &b.params[n.b_range()])
        });
        if !same {
            return Some(path);
        }
    }
    None
}

/// The adapter folder that a path means: itself; of a run that is finished, its result; of one that is not, its newest
/// whole checkpoint.
pub fn adapter_dir(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Err(Error::file("no such folder", path));
    }
    let is_adapter = |dir: &Path| dir.join(folder::CONFIG_FILE).is_file();
    let result = path.join("adapter");
    if is_adapter(path) {
        return Ok(path.to_path_buf());
    }
    if is_adapter(&result) {
        return Ok(result);
    }
    for entry in run_dir::checkpoints(path)? {
        if checkpoint::verify(&entry.path).is_ok() {
            return Ok(entry.path);
        }
    }
    Err(Error::file("neither an adapter nor a run with a result or a checkpoint", path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::peft::LoraConfig;
    use crate::engine::peft::folder::tests::tiny_llama;
    use crate::engine::train::TensorMoments;
    use crate::engine::train::checkpoint::TrainerState;

    fn adapter(seed: u64) -> Adapter {
        let model = tiny_llama();
        let targets = LoraConfig::targets(&model, &["all-linear"]).unwrap();
        let config = LoraConfig { rank: 2, alpha: 3.0, dropout: 0.1, rslora: true, targets };
        Adapter::new(&model, config, seed).unwrap()
    }

    #[test]
    fn the_result_is_the_adapter_and_a_failure_leaves_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let model = tiny_llama();
        peft(&adapter(1), &model, &ModelCard::of("m"), &out).unwrap();
        assert_eq!(folder::read(&out, &model).unwrap().params, adapter(1).params);

        // An adapter that cannot be read back: a module twice, and a number that is none.
        let mut broken = adapter(2);
        broken.params[3] = f32::NAN;
        assert!(peft(&broken, &model, &ModelCard::of("m"), &out).is_err());
        assert_eq!(folder::read(&out, &model).unwrap().params, adapter(1).params);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_single_bit_is_a_difference() {
        let model = tiny_llama();
        let (a, mut b) = (adapter(1), adapter(1));
        assert_eq!(difference(&a, &b, &model), None);
        let m = b.modules[9].clone();
        b.params[m.b] = -0.0;
        assert_eq!(difference(&a, &b, &model), Some(model.linear_path(m.layer, m.kind)));
        b = adapter(1);
        b.modules[0].scale = b.modules[0].scale.next_up();
        assert_eq!(difference(&a, &b, &model).as_deref(), Some("model.layers.0.self_attn.q_proj"));
    }

    #[test]
    fn a_run_means_its_result_or_its_newest_whole_checkpoint() {
        let run = tempfile::tempdir().unwrap();
        let model = tiny_llama();
        assert!(adapter_dir(&run.path().join("nowhere")).unwrap_err().to_string().contains("no such folder"));
        assert!(adapter_dir(run.path()).unwrap_err().to_string().contains("neither an adapter nor a run"));
        let step = |n: usize| run.path().join(format!("checkpoints/step-{n}"));
        let a = adapter(1);
        for n in [5, 10] {
            let state = TrainerState { step: n, ..TrainerState::default() };
            let moments: Vec<_> =
                a.tensor_sizes().map(|n| TensorMoments::Full { m: vec![0.5; n], v: vec![0.5; n] }).collect();
            let moments: Vec<_> = moments.iter().map(TensorMoments::view).collect();
            checkpoint::save(&step(n), &a, &model, &ModelCard::of("m"), &moments, &state).unwrap();
        }
        assert_eq!(adapter_dir(run.path()).unwrap(), step(10));
        fs::write(step(10).join(folder::WEIGHTS_FILE), "").unwrap();
        assert_eq!(adapter_dir(run.path()).unwrap(), step(5));
        peft(&a, &model, &ModelCard::of("m"), &run.path().join("adapter")).unwrap();
        assert_eq!(adapter_dir(run.path()).unwrap(), run.path().join("adapter"));
        assert_eq!(adapter_dir(&step(5)).unwrap(), step(5));
    }
}
