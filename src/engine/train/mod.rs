//! Training: the loop, its schedule and events, and the folder that a run leaves, with its checkpoints.
//!
//! [`run`] is the whole of it: settings in, events out, steered by a [`Control`].

pub mod checkpoint;
mod control;
mod evaluate;
pub mod events;
mod optimizer;
pub mod run_dir;
mod samples;
mod schedule;
mod setup;
mod trainer;

use std::path::{Path, PathBuf};

pub use checkpoint::TrainerState;
pub use control::{Control, Stop};
pub use evaluate::{RowLoss, evaluate, mean_loss};
pub use events::{Event, LoadPhase};
pub use optimizer::{Optimizer, TensorMoments, TensorView};
pub use run_dir::RunDir;
pub use samples::SAMPLE_TOKENS;
pub use schedule::LrSchedule;

use crate::engine::config::RunConfig;
use crate::engine::data::Source;
use crate::engine::ops::gemm::scratch;
use crate::engine::{Error, Result};
use setup::Setup;
use trainer::Trainer;

/// Trains as `config` says and writes a run folder; or continues the run in the folder `resume` from its newest
/// complete checkpoint, with the settings that lie there.
///
/// Every event but [`Event::Loading`] is on the disk before `on_event` sees it. The last one is [`Event::Finished`] or, with
/// the error that is also returned, [`Event::Failed`]; a run that was stopped with [`Stop::Discard`], or before anything
/// was trained, just ends.
pub fn run(
    config: &RunConfig,
    resume: Option<&Path>,
    control: &Control,
    on_event: &mut dyn FnMut(Event),
) -> Result<()> {
    let result = match resume {
        None => start(config, control, on_event),
        Some(dir) => continue_run(dir, control, on_event),
    };
    // The trainer is gone; what its threads kept for the next step is of no more use.
    scratch::release();
    if let Err(Error::Cancelled(_)) = result {
        return Ok(());
    }
    if let Err(error) = &result {
        on_event(Event::Failed { error: error.to_string() });
    }
    result
}

fn start(config: &RunConfig, control: &Control, on_event: &mut dyn FnMut(Event)) -> Result<()> {
    config.validate()?;
    RunDir::check(config)?;
    let setup = Setup::new(config, control, jiff::ZonedDateTime::now(), on_event)?;
    // Only now: a run that cannot begin leaves no folder behind.
    let run_dir = RunDir::create(config, &inputs(config, &setup)?)?;
    let folder = run_dir.path().to_path_buf();
    match Trainer::new(config, control, on_event, setup, run_dir, None, TrainerState::default()) {
        Ok(mut trainer) => trainer.train(),
        Err(error) => {
            run_dir::record_failure(&folder, &error);
            Err(error)
        }
    }
}

fn continue_run(dir: &Path, control: &Control, on_event: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut run_dir, config) = RunDir::resume(dir)?;
    let changed = config.record.as_ref().map(run_dir::changed_inputs).unwrap_or_default();
    let mut setup = Setup::new(&config, control, setup::begun(&config), on_event)?;
    let mut state = TrainerState::default();
    let mut moments = None;
    if let Some(latest) = checkpoint::latest(run_dir.path(), &setup.model.config)? {
        for (path, error) in &latest.damaged {
            run_dir.log(&format!("passed over the damaged checkpoint {}: {error}", path.display()))?;
        }
        let newest = latest.checkpoint;
        setup.adapter = newest.adapter;
        setup.adapter.config.dropout = config.method.dropout as f32;
        moments = Some(newest.moments);
        state = newest.state;
    }
    let mut trainer = Trainer::new(&config, control, on_event, setup, run_dir, moments, state)?;
    trainer.take_up(changed)?;
    trainer.train()
}

/// The files that decide the run, for its record.
fn inputs(config: &RunConfig, setup: &Setup) -> Result<Vec<PathBuf>> {
    let mut inputs = vec![setup.model_path.clone()];
    for source in [Some(Source::of_train(&config.data)?), Source::of_validation(&config.data)?].into_iter().flatten() {
        if !source.is_in_memory() {
            inputs.extend(source.files().to_vec());
        }
    }
    if !config.method.init_from.is_empty() {
        inputs.push(crate::engine::config::expand_home(&config.method.init_from));
    }
    Ok(inputs)
}
