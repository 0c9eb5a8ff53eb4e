//! From a run file to everything that training needs: model, tokenizer, data, adapter, buffers.

use std::path::PathBuf;

use super::Control;
use super::trainer::largest_batch;
use crate::engine::config::{self, RunConfig};
use crate::engine::data::{self, Dataset};
use crate::engine::device;
use crate::engine::formats::{self, ModelSource, TextTokenizer};
use crate::engine::memory::Plan;
use crate::engine::model::{Checkpointing, Layout, LoadOptions, Model, WorkspaceSize};
use crate::engine::peft::{self, Adapter, LoraConfig};
use crate::engine::{Error, Result};

/// What a run reads before its first step.
pub(super) struct Setup {
    /// The folder or file of the model. Only that: an open source would keep its pages in memory for the whole run.
    pub model_path: PathBuf,
    /// What the adapter names as its base.
    pub model_name: String,
    pub tokenizer: TextTokenizer,
    pub data: Dataset,
    pub model: Model,
    pub adapter: Adapter,
}

impl Setup {
    /// Opens and loads everything; the cheap things that can be wrong come before the slow ones. `begun` is when the run
    /// first started: chat templates may print the date, and a resumed run must see the same tokens.
    pub fn new(config: &RunConfig, control: &Control, begun: jiff::ZonedDateTime) -> Result<Setup> {
        let source = formats::open_named(&config.model.source)?;
        let tokenizer = source.tokenizer()?;
        let adapter = initial_adapter(config, &source)?;
        let data = data::load_at(&config.data, &tokenizer, config.train.seed, begun)?;
        let options = LoadOptions {
            quantization: config.model.quantization,
            double_quant: config.model.double_quant,
            compute: config.model.compute,
        };
        let model = Model::load(&source, &options, &mut |_, _| control.stopping() == super::Stop::No)?;
        Ok(Setup { model_path: source.path.clone(), model_name: source.name.clone(), tokenizer, data, model, adapter })
    }

    /// The micro-batches of an epoch, as indices of training samples. The same for the same seed on every machine.
    pub fn micro_batches(&self, config: &RunConfig, epoch: usize) -> Vec<Vec<usize>> {
        data::plan_epoch(&self.data.train, config.train.batch_size, &config.data, config.train.seed, epoch)
    }

    /// The buffers for the largest batch of the run, with as much of the forward kept as `checkpointing` says.
    pub fn layout(&self, config: &RunConfig) -> Result<Layout> {
        let size = self.batch_size(config);
        let m = &self.model.config;
        let layout = |keep| Layout::for_training(m, &self.adapter, size.clone(), &keep);
        Ok(match config.train.checkpointing {
            config::Checkpointing::None => layout(Checkpointing::None),
            config::Checkpointing::PerLayer => layout(Checkpointing::PerLayer),
            config::Checkpointing::Auto => {
                // The fastest that fits: every layer that can keep its forward saves computing it twice.
                let free = device::cpu().available_bytes as f64 * 0.8;
                let weights = self.model.bytes() as f64;
                let fits = |n: &usize| {
                    let plan = Plan::of_step(&self.model, &self.adapter, &layout(Checkpointing::KeepLast(*n)));
                    plan.total() as f64 - weights <= free
                };
                let keep = (0..=m.layers.len()).rev().find(fits).unwrap_or(0);
                layout(Checkpointing::KeepLast(keep))
            }
        })
    }

    /// The largest batch that training or validation will see.
    fn batch_size(&self, config: &RunConfig) -> WorkspaceSize {
        let (train, validation) = (&self.data.train, &self.data.validation);
        let (mut tokens, mut supervised) = largest_batch(train, config.train.batch_size);
        if config.data.packing {
            // A bin holds at most max_seq_len tokens, and never more than there are.
            let all: usize = train.iter().map(|s| s.tokens.len()).sum();
            tokens = (config.train.batch_size * config.data.max_seq_len).min(all);
            supervised = tokens;
        }
        let longest = train.iter().chain(validation).map(|s| s.tokens.len()).max().unwrap_or(0);
        let (one, one_supervised) = largest_batch(validation, 1);
        WorkspaceSize { tokens: tokens.max(one), longest, supervised: supervised.max(one_supervised) }
    }
}

/// When the run whose folder held `config` first started.
pub(super) fn begun(config: &RunConfig) -> jiff::ZonedDateTime {
    let recorded = config.record.as_ref().map(|record| record.created.as_str());
    recorded
        .and_then(|created| jiff::ZonedDateTime::strptime("%Y-%m-%dT%H:%M:%S%:z", created).ok())
        .unwrap_or_else(jiff::ZonedDateTime::now)
}

/// A fresh adapter, or the one to continue from. The latter's rank, alpha and targets are its own; dropout is the run's.
fn initial_adapter(config: &RunConfig, source: &ModelSource) -> Result<Adapter> {
    let method = &config.method;
    if !method.init_from.is_empty() {
        let mut adapter = peft::folder::read(&config::expand_home(&method.init_from), &source.config)?;
        adapter.config.dropout = method.dropout as f32;
        return Ok(adapter);
    }
    let targets = method.target_modules.resolve(source.config.linears())?;
    if targets.is_empty() {
        return Err(Error::Config(
            "method.target_modules is empty: name at least one module, or \"all-linear\"".into(),
        ));
    }
    let lora = LoraConfig {
        rank: method.rank,
        alpha: method.alpha as f32,
        dropout: method.dropout as f32,
        rslora: method.use_rslora,
        targets,
    };
    Adapter::new(&source.config, lora, config.train.seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Record;

    #[test]
    fn a_resumed_run_keeps_its_date() {
        let record = Record { created: "2024-07-26T23:59:58+05:30".into(), ..Record::default() };
        let config = RunConfig { record: Some(record), ..RunConfig::default() };
        assert_eq!(begun(&config).strftime("%d %b %Y %H:%M").to_string(), "26 Jul 2024 23:59");
    }
}
