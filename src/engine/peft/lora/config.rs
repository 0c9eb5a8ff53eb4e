//! The settings of a LoRA adapter.

use crate::engine::config::MethodConfig;
use crate::engine::model::{LinearKind, ModelConfig};
use crate::engine::{Error, Result};

/// Rank, scale, dropout and where the adapter sits.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank r.
    pub rank: usize,
    /// α; the update is scaled by α/r, or α/√r with `rslora`.
    pub alpha: f32,
    /// Probability with which an input of A is zeroed in training.
    pub dropout: f32,
    /// Rank-stabilised scaling (Kalajdzievski 2023).
    pub rslora: bool,
    /// The linears that get an adapter, in every layer.
    pub targets: Vec<LinearKind>,
}

impl LoraConfig {
    /// What a run file's `[method]` says for a fresh adapter of `model`.
    pub fn of_run(method: &MethodConfig, model: &ModelConfig) -> Result<LoraConfig> {
        let targets = method.target_modules.resolve(model.linears())?;
        if targets.is_empty() {
            return Err(Error::Config(
                "method.target_modules is empty: name at least one module, or \"all-linear\"".into(),
            ));
        }
        Ok(LoraConfig {
            rank: method.rank,
            alpha: method.alpha as f32,
            dropout: method.dropout as f32,
            rslora: method.use_rslora,
            targets,
        })
    }

    /// The factor on B·A.
    pub fn scale(&self) -> f32 {
        scale(f64::from(self.alpha), self.rank, self.rslora)
    }

    /// The linears of `model` that names mean: `all-linear`, or names of modules such as `q_proj`.
    pub fn targets(model: &ModelConfig, names: &[impl AsRef<str>]) -> Result<Vec<LinearKind>> {
        let available = model.linears();
        let list = || available.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ");
        if names.is_empty() {
            return Err(Error::Config(format!("target_modules is empty: name some of {}, or all-linear", list())));
        }
        let mut wanted = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            if name.eq_ignore_ascii_case("all-linear") {
                return Ok(available.to_vec());
            }
            match LinearKind::from_name(name).filter(|k| available.contains(k)) {
                Some(kind) => wanted.push(kind),
                None => {
                    let message = format!("target_modules: this model has no \"{name}\"; it has {}", list());
                    return Err(Error::Config(message));
                }
            }
        }
        Ok(available.iter().copied().filter(|k| wanted.contains(k)).collect())
    }

    /// Refuses settings with which no adapter of `model` can be made.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        let refuse = |message: String| Err(Error::Config(message));
        if self.rank == 0 {
            return refuse("rank is 0: it must be at least 1".into());
        }
        if !self.alpha.is_finite() {
            return refuse(format!("alpha is {}: it must be a number", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("dropout is {}: it must be at least 0 and below 1", self.dropout));
        }
        if self.targets.is_empty() {
            return refuse("no target modules: the adapter would be empty".into());
        }
        match self.targets.iter().find(|k| !model.linears().contains(k)) {
            Some(kind) => refuse(format!("this model has no {} to adapt", kind.name())),
            None => Ok(()),
        }
    }
}

/// α/r, or α/√r: in `f64` and rounded once, as Python computes it.
pub(crate) fn scale(alpha: f64, rank: usize, rslora: bool) -> f32 {
    let r = rank as f64;
    (alpha / if rslora { r.sqrt() } else { r }) as f32
}
