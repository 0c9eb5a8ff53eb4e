//! What cannot work, and what is unusual.

use super::schema::{FIELDS, Kind};
use super::{Checkpointing, Quantization, RunConfig};
use crate::engine::ops::Compute;
use crate::engine::{Error, Result};

/// The built-in model, a thousandth of the size that the usual learning rates are made for, and the highest rate that is
/// usual for it.
const TINY: &str = "builtin:tiny-chat";
const TINY_RATE: f64 = 5e-3;

/// A setting that works but is outside of what people use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `section.key`.
    pub key: String,
    /// One sentence: what it is, what is usual.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl RunConfig {
    /// Refuses settings that contradict each other; returns what is unusual.
    pub fn validate(&self) -> Result<Vec<Warning>> {
        for (key, text) in [("model.source", &self.model.source), ("data.train", &self.data.train)] {
            if text.trim().is_empty() {
                return Err(Error::Config(format!("{key} is empty")));
            }
        }
        let held_out = [
            ("data.validation", !self.data.validation.is_empty()),
            ("data.validation_fraction", self.data.validation_fraction > 0.0),
            ("data.validation_rows", self.data.validation_rows > 0),
        ];
        let held_out: Vec<&str> = held_out.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect();
        match held_out.as_slice() {
            [] | [_] => {}
            [one, other] => {
                return Err(Error::Config(format!("{one} and {other} are both set: choose one of them")));
            }
            all => return Err(Error::Config(format!("{} are all set: choose one of them", all.join(", ")))),
        }
        if let Some(prompt) = self.sample.prompts.iter().position(|p| p.trim().is_empty()) {
            return Err(Error::Config(format!("sample.prompts: prompt {} is empty", prompt + 1)));
        }
        let mut warnings = self.unusual()?;
        if self.model.quantization == Quantization::None && self.model.compute == Compute::F32 {
            warnings.push(Warning {
                key: "model.quantization".into(),
                message: "model.quantization = \"none\" with compute = \"f32\" takes 32 bits a parameter; \
                          nf4 takes 4.13"
                    .into(),
            });
        }
        if self.train.checkpoint_offload && self.train.checkpointing == Checkpointing::None {
            warnings.push(Warning {
                key: "train.checkpoint_offload".into(),
                message: "train.checkpoint_offload has no effect with checkpointing = \"none\": no layer is computed \
                          again; set checkpointing to \"per-layer\" or \"auto\""
                    .into(),
            });
        }
        if self.eval.every > 0 && held_out.is_empty() {
            warnings.push(Warning {
                key: "eval.every".into(),
                message: "eval.every is set, but there are no validation rows: set data.validation, \
                          data.validation_fraction or data.validation_rows"
                    .into(),
            });
        }
        Ok(warnings)
    }

    /// Numbers outside of their usual range.
    fn unusual(&self) -> Result<Vec<Warning>> {
        let table = toml::Table::try_from(self).map_err(|e| Error::Config(e.to_string()))?;
        let mut warnings = Vec::new();
        for field in FIELDS {
            let Some((low, mut high)) = field.usual else { continue };
            if field.key == "learning_rate" && self.model.source == TINY {
                high = TINY_RATE;
            }
            if field.key == "epochs" && self.train.max_steps > 0 {
                continue;
            }
            let value = table.get(field.section).and_then(|s| s.get(field.key));
            let number = value.and_then(|v| v.as_float().or_else(|| v.as_integer().map(|n| n as f64)));
            let (Some(value), Some(number)) = (value, number) else { continue };
            if number < low || number > high {
                let range = match field.kind {
                    Kind::Number { .. } if high < 0.01 => format!("{low:e} to {high:e}"),
                    _ => format!("{low} to {high}"),
                };
                let message = format!("{} = {value} is unusual: mostly {range}", field.path());
                warnings.push(Warning { key: field.path(), message });
            }
        }
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(assignments: &[&str]) -> RunConfig {
        let mut run = RunConfig::default();
        run.model.source = "model".into();
        for a in assignments {
            run.set(a).unwrap();
        }
        run
    }

    #[test]
    fn the_defaults_have_no_warning() {
        assert_eq!(RunConfig::default().validate().unwrap(), []);
    }

    #[test]
    fn each_usual_range_warns_on_both_sides() {
        for (assignment, key, range) in [
            ("method.rank=2", "method.rank", "4 to 32"),
            ("method.rank=64", "method.rank", "4 to 32"),
            ("method.alpha=4", "method.alpha", "8 to 64"),
            ("method.alpha=128", "method.alpha", "8 to 64"),
            ("method.dropout=0.2", "method.dropout", "0 to 0.1"),
            ("train.learning_rate=0.00005", "train.learning_rate", "1e-4 to 2e-4"),
            ("train.learning_rate=0.001", "train.learning_rate", "1e-4 to 2e-4"),
            ("train.epochs=20", "train.epochs", "1 to 10"),
        ] {
            let warnings = with(&[assignment]).validate().unwrap();
            assert_eq!(warnings.len(), 1, "{assignment}");
            assert_eq!(warnings[0].key, key);
            assert!(warnings[0].message.ends_with(&format!("mostly {range}")), "{}", warnings[0]);
        }
        for edge in ["method.rank=4", "method.rank=32", "method.alpha=8", "method.alpha=64", "train.learning_rate=1e-4"]
        {
            assert_eq!(with(&[edge]).validate().unwrap(), [], "{edge}");
        }
        let tiny = with(&["model.source=builtin:tiny-chat", "train.learning_rate=2e-3"]);
        assert_eq!(tiny.validate().unwrap(), []);
        assert_eq!(with(&["train.epochs=20", "train.max_steps=5"]).validate().unwrap(), []);
    }

    #[test]
    fn contradictions_are_refused() {
        let both = with(&["data.validation=v.jsonl", "data.validation_fraction=0.1"]).validate();
        assert!(both.expect_err("both").to_string().contains("choose one"));
        let both = with(&["data.validation_rows=4", "data.validation_fraction=0.1"]).validate();
        assert_eq!(
            both.expect_err("both").to_string(),
            "data.validation_fraction and data.validation_rows are both set: choose one of them"
        );
        let all = with(&["data.validation=v", "data.validation_rows=4", "data.validation_fraction=0.1"]).validate();
        assert!(all.expect_err("all").to_string().ends_with("data.validation_rows are all set: choose one of them"));
        assert_eq!(with(&["eval.every=5", "data.validation_rows=4"]).validate().unwrap(), []);
        assert_eq!(with(&["data.train="]).validate().expect_err("empty").to_string(), "data.train is empty");
        let blank = with(&["sample.prompts=[\"Hi\", \" \"]"]).validate();
        assert_eq!(blank.expect_err("blank").to_string(), "sample.prompts: prompt 2 is empty");
        assert_eq!(with(&["eval.every=5"]).validate().unwrap()[0].key, "eval.every");
        assert_eq!(with(&["eval.every=5", "data.validation_fraction=0.1"]).validate().unwrap(), []);
        let offload = |checkpointing: &str| {
            let run = with(&["train.checkpoint_offload=true", &format!("train.checkpointing={checkpointing}")]);
            run.validate().unwrap().into_iter().map(|warning| warning.key).collect::<Vec<_>>()
        };
        assert_eq!(offload("none"), ["train.checkpoint_offload"]);
        assert!(offload("per-layer").is_empty() && offload("auto").is_empty());
    }

    #[test]
    fn every_preset_is_read_and_makes_sense() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let run = RunConfig::load(&path).unwrap();
            let warnings = run.validate().unwrap();
            // A model of a few million parameters takes a higher rate than the usual range is made for.
            let tiny = path.ends_with("quickstart.toml");
            assert!(
                warnings.iter().all(|w| tiny && w.key == "train.learning_rate"),
                "{}: {warnings:?}",
                path.display()
            );
            assert_eq!(RunConfig::from_str(&run.to_toml().unwrap()).unwrap(), run);
            count += 1;
        }
        assert!(count >= 4);
    }
}
