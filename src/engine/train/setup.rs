//! From a run file to everything that training needs: model, tokenizer, data, adapter, buffers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Control, Event, LoadPhase, Stop};
use crate::engine::config::{self, RunConfig};
use crate::engine::data::{self, Dataset, EpochPlan, Severity};
use crate::engine::device;
use crate::engine::formats::{self, ModelSource, StoredWeights, TextTokenizer};
use crate::engine::memory::{BatchShape, Guard, Inputs, Machine, Meter, Plan, Price, Program, fit, heap};
use crate::engine::model::{LoadOptions, Model};
use crate::engine::peft::{self, Adapter, AdapterShape, LoraConfig};
use crate::engine::{Error, Result};

/// Time between two [`Event::Loading`].
const LOADING_INTERVAL: Duration = Duration::from_millis(50);

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
    stored: StoredWeights,
    /// Memory that was free before the model was loaded.
    available_bytes: u64,
    /// What the program held then.
    program: Program,
    /// Measures from then on.
    pub meter: Meter,
}

impl Setup {
    /// Opens and loads everything; the cheap things that can be wrong come before the slow ones. `begun` is when the run
    /// first started: chat templates may print the date, and a resumed run must see the same tokens.
    pub fn new(
        config: &RunConfig,
        control: &Control,
        begun: jiff::ZonedDateTime,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Setup> {
        let source = formats::open_named(&config.model.source)?;
        let tokenizer = source.tokenizer()?;
        // Before the rows are read: what is wrong with the settings or the folder is said at once.
        let shape = match config.method.init_from.is_empty() {
            true => AdapterShape::fresh(&source.config, &LoraConfig::of_run(&config.method, &source.config)?)?,
            false => AdapterShape::of(&initial_adapter(config, &source)?),
        };
        let mut reading = loading(LoadPhase::Data, control, on_event);
        let data = data::load_at(&config.data, &tokenizer, config.train.seed, begun, &mut reading)?;
        drop(reading);
        if let Some(found) = data.report.findings.iter().find(|found| found.severity == Severity::Error) {
            return Err(Error::file(format!("training is refused: {}", found.message), &data.report.source.source));
        }
        let stored = StoredWeights::of(&source)?;
        let (program, available_bytes) = (Program::measured(), device::cpu().available_bytes);
        let rows = BatchShape::of(&data, &config.data);
        let inputs = Inputs {
            model: &source.config,
            stored: &stored,
            adapter: Some(&shape),
            rows: Some(&rows),
            available_bytes,
            program,
            machine: Machine::this(),
        };
        fit::refuse(&inputs, config)?;
        let mut meter = Meter::begin();
        let adapter = initial_adapter(config, &source)?;
        meter.part("adapter");
        let options = LoadOptions::of_run(&config.model);
        let model = Model::load(&source, &options, &mut loading(LoadPhase::Model, control, on_event))?;
        // What reading has freed goes back before the step's buffers are taken.
        heap::give_back();
        meter.part("weights");
        let (model_path, model_name) = (source.path.clone(), source.name.clone());
        Ok(Setup { model_path, model_name, tokenizer, data, model, adapter, stored, available_bytes, program, meter })
    }

    /// The micro-batches of an epoch, as indices of training samples. The same for the same seed on every machine.
    pub fn micro_batches(&self, config: &RunConfig, epoch: usize) -> EpochPlan {
        let lengths = self.data.train.rows().iter().map(|row| row.tokens);
        data::plan_epoch(lengths, config.train.batch_size, &config.data, config.train.seed, epoch)
    }

    /// Watches the memory that the run was to leave free.
    pub fn guard(&self, needed: u64) -> Guard {
        Guard::new(self.available_bytes.saturating_sub(needed), device::available_bytes)
    }

    /// The memory and the buffers of the run: what was shown before it began, now from what was loaded.
    pub fn price(&self, config: &RunConfig) -> Result<Price> {
        let rows = BatchShape::of(&self.data, &config.data);
        let inputs = Inputs {
            model: &self.model.config,
            stored: &self.stored,
            adapter: Some(&AdapterShape::of(&self.adapter)),
            rows: Some(&rows),
            available_bytes: self.available_bytes,
            program: self.program,
            machine: Machine::this(),
        };
        Plan::price(&inputs, config)
    }
}

/// A progress callback that sends events, seldom enough for a window, and asks whether the run is still wanted.
fn loading<'a>(
    phase: LoadPhase,
    control: &'a Control,
    on_event: &'a mut dyn FnMut(Event),
) -> impl FnMut(u64, u64) -> bool + 'a {
    let mut last: Option<(Instant, u64)> = None;
    move |done, total| {
        let due =
            last.is_none_or(|(then, before)| then.elapsed() >= LOADING_INTERVAL || (done == total && before < total));
        if due {
            on_event(Event::Loading { phase, done, total });
            last = Some((Instant::now(), done));
        }
        control.stopping() == Stop::No
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
    let lora = LoraConfig::of_run(method, &source.config)?;
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
