//! A run as it is watched: its curves, samples and numbers, from the events of the trainer or from the run's folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::series::{Curve, Series};
use crate::engine::Result;
use crate::engine::config::RunConfig;
use crate::engine::memory::Measured;
use crate::engine::train::events::LoadPhase;
use crate::engine::train::run_dir::Status;
use crate::engine::train::{Event, run_dir};

use super::training::Outcome;

/// Lines of a run's log that are shown.
const NOTES: usize = 500;
/// Gives each view a number of its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// How a run that is shown has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made.
    Finished,
    /// It was stopped before its last step, and kept.
    Stopped,
    /// It was thrown away; checkpoints that were written are still there.
    Discarded,
    /// Its process ended without a word.
    Interrupted,
    /// It ended with the error in [`RunView::failure`].
    Failed,
    /// It has not ended: another process trains it.
    Elsewhere,
}

/// Answers to one prompt after some steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// After this many steps.
    pub step: usize,
    /// What was asked.
    pub prompt: String,
    /// The frozen model's answer.
    pub base: String,
    /// The answer with the adapter.
    pub adapted: String,
}

/// How much each adapted linear's weight has changed after some steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Norms {
    /// After this many steps.
    pub step: usize,
    /// Names of the columns.
    pub modules: Vec<String>,
    /// Rows.
    pub layers: usize,
    /// Frobenius norms of scale·B·A, `[layers × modules]`; none where a layer has no such adapter.
    pub values: Vec<Option<f32>>,
}

/// The newest step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Newest {
    /// Steps made.
    pub step: usize,
    /// Times that the data has been gone through.
    pub epoch: f64,
    /// Loss of the step.
    pub loss: f64,
    /// Tokens a second, smoothed over steps.
    pub tokens_per_second: f64,
    /// Seconds a step, smoothed over steps.
    pub step_seconds: f64,
    /// Bytes that the process holds.
    pub memory_bytes: u64,
}

/// Everything that the Train room draws of a run.
#[derive(Clone)]
pub struct RunView {
    /// Another one for each run that is shown.
    pub id: u64,
    /// What the run is called; empty until it has a folder or a name.
    pub name: String,
    /// This process trains it, or did.
    pub own: bool,
    /// How it ended, when it has.
    pub ending: Option<Ending>,
    /// Seconds that its steps took.
    pub trained_seconds: f64,
    /// Steps of the whole run, when it has finished.
    pub steps_made: Option<usize>,
    /// Its settings.
    pub config: RunConfig,
    /// Its folder, once it has one.
    pub dir: Option<PathBuf>,
    /// Loss of each step, raw and smoothed.
    pub loss: Curve,
    /// Validation losses.
    pub validation: Series,
    /// Learning rates.
    pub learning_rate: Series,
    /// Gradient norms before clipping.
    pub grad_norm: Series,
    /// Tokens a second.
    pub speed: Curve,
    /// Bytes that the process held.
    pub memory: Series,
    /// Answers to the user's prompts, oldest first.
    pub samples: Vec<Sample>,
    /// The adapter's growth, oldest first.
    pub norms: Vec<Norms>,
    /// What the trainer said.
    pub notes: Vec<String>,
    /// What is being read before the first step: what, bytes done, bytes in all.
    pub loading: Option<(LoadPhase, u64, u64)>,
    /// The newest step.
    pub newest: Option<Newest>,
    /// Steps of the whole run, once known.
    pub total_steps: Option<usize>,
    /// Trained numbers and all numbers of the model.
    pub parameters: Option<(u64, u64)>,
    /// Bytes that a step was planned to take.
    pub plan_bytes: Option<u64>,
    /// What it has taken beside what was planned.
    pub measured: Option<Measured>,
    /// Bytes that other programs have left, while the run waits for more.
    pub held: Option<u64>,
    /// Highest memory of the process, when it has finished.
    pub peak_bytes: Option<u64>,
    /// Seconds that training took, when it has finished.
    pub seconds: Option<f64>,
    /// Lowest validation loss and its step.
    pub best: Option<(f64, usize)>,
    /// Step of the newest checkpoint.
    pub checkpoint: Option<usize>,
    /// The adapter's folder, when it has finished.
    pub adapter: Option<PathBuf>,
    /// Why it ended early.
    pub failure: Option<String>,
    /// Changes with every event.
    pub version: u64,
}

impl RunView {
    /// A run without events yet. `smoothing` is that of the loss curve, 0 to 1.
    pub fn new(config: RunConfig, smoothing: f64) -> RunView {
        RunView {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: String::new(),
            own: false,
            ending: None,
            trained_seconds: 0.0,
            steps_made: None,
            config,
            dir: None,
            loss: Curve::new(smoothing),
            validation: Series::default(),
            learning_rate: Series::default(),
            grad_norm: Series::default(),
            speed: Curve::new(0.9),
            memory: Series::default(),
            samples: Vec::new(),
            norms: Vec::new(),
            notes: Vec::new(),
            loading: None,
            newest: None,
            total_steps: None,
            parameters: None,
            plan_bytes: None,
            measured: None,
            held: None,
            peak_bytes: None,
            seconds: None,
            best: None,
            checkpoint: None,
            adapter: None,
            failure: None,
            version: 0,
        }
    }

    /// A run from its folder.
    pub fn read(dir: &Path, smoothing: f64) -> Result<RunView> {
        let config = RunConfig::load(dir.join("run.toml"))?;
        let mut view = RunView::new(config, smoothing);
        view.dir = Some(dir.to_path_buf());
        for event in run_dir::events(dir)?.chain(run_dir::samples(dir)?) {
            view.apply(&event?);
        }
        view.notes = run_dir::log_messages(dir, NOTES)?;
        let summary = run_dir::summary(dir);
        view.name = summary.name;
        view.checkpoint = summary.checkpoints.first().map(|c| c.step);
        view.ending = Some(match summary.status {
            Status::Running => Ending::Elsewhere,
            Status::Finished => Ending::Finished,
            Status::Stopped => Ending::Stopped,
            Status::Interrupted => Ending::Interrupted,
            Status::Failed(error) | Status::Broken(error) => {
                view.failure.get_or_insert(error);
                Ending::Failed
            }
        });
        let adapter = dir.join("adapter");
        if view.adapter.is_some() || adapter.join("adapter_config.json").is_file() {
            // The folder may have moved since the event was written.
            view.adapter = Some(adapter);
        }
        Ok(view)
    }

    /// One event, in order.
    pub fn apply(&mut self, event: &Event) {
        self.version += 1;
        match event {
            Event::Started { run_dir, trainable_parameters, total_parameters, plan_bytes, total_steps } => {
                self.total_steps = (*total_steps > 0).then_some(*total_steps);
                self.dir.get_or_insert_with(|| run_dir.clone());
                self.parameters = Some((*trainable_parameters, *total_parameters));
                self.plan_bytes = Some(*plan_bytes);
                self.loading = None;
                self.failure = None;
                self.ending = None;
                (self.seconds, self.peak_bytes, self.steps_made) = (None, None, None);
                if self.name.is_empty() {
                    self.name = run_dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                }
            }
            Event::Loading { phase, done, total } => self.loading = Some((*phase, *done, *total)),
            Event::AdapterNorms { step, modules, layers, norms } => {
                self.norms.retain(|n| n.step < *step);
                self.norms.push(Norms { step: *step, modules: modules.clone(), layers: *layers, values: norms.clone() })
            }
            Event::Note { message } => self.notes.push(message.clone()),
            Event::Step {
                step,
                epoch,
                loss,
                learning_rate,
                grad_norm,
                tokens,
                tokens_per_second,
                memory_bytes,
                ..
            } => {
                let x = *step as f64;
                // A run that continues may begin before the last step that was seen.
                if self.newest.is_some_and(|newest| newest.step >= *step) {
                    self.rewind(x - 1.0);
                }
                self.loss.push(x, *loss);
                self.learning_rate.push(x, *learning_rate);
                self.grad_norm.push(x, *grad_norm);
                self.speed.push(x, *tokens_per_second);
                self.memory.push(x, *memory_bytes as f64);
                let seconds = *tokens as f64 / tokens_per_second.max(1e-9);
                self.trained_seconds += seconds;
                let blend = |old: f64, new: f64| 0.9 * old + 0.1 * new;
                let (speed, step_seconds) = match self.newest {
                    Some(n) => (blend(n.tokens_per_second, *tokens_per_second), blend(n.step_seconds, seconds)),
                    None => (*tokens_per_second, seconds),
                };
                self.newest = Some(Newest {
                    step: *step,
                    epoch: *epoch,
                    loss: *loss,
                    tokens_per_second: speed,
                    step_seconds,
                    memory_bytes: *memory_bytes,
                });
            }
            Event::Memory { measured, .. } => self.measured = Some(measured.clone()),
            Event::Held { held, available_bytes, .. } => self.held = held.then_some(*available_bytes),
            Event::Eval { step, loss } => {
                self.validation.push(*step as f64, *loss);
                if self.best.is_none_or(|(best, _)| *loss < best) {
                    self.best = Some((*loss, *step));
                }
            }
            Event::Sample { step, prompt, base, adapted } => {
                self.samples.retain(|s| s.step != *step || s.prompt != *prompt);
                self.samples.push(Sample {
                    step: *step,
                    prompt: prompt.clone(),
                    base: base.clone(),
                    adapted: adapted.clone(),
                });
            }
            Event::Checkpoint { step, .. } => self.checkpoint = Some(*step),
            Event::Finished { adapter_dir, seconds, peak_memory_bytes, steps, .. } => {
                self.steps_made = Some(*steps);
                self.adapter = Some(adapter_dir.clone());
                self.seconds = Some(*seconds);
                self.peak_bytes = Some(*peak_memory_bytes);
            }
            Event::Failed { error } => self.failure = Some(error.clone()),
        }
    }

    /// Forgets what came after step `x`: a run that is continued makes those steps again.
    fn rewind(&mut self, x: f64) {
        self.loss.truncate_after(x);
        self.speed.truncate_after(x);
        for series in [&mut self.validation, &mut self.learning_rate, &mut self.grad_norm, &mut self.memory] {
            series.truncate_after(x);
        }
        self.samples.retain(|s| s.step as f64 <= x);
        self.norms.retain(|n| n.step as f64 <= x);
        let measured = self.validation.points().filter(|p| p[1].is_finite());
        self.best = measured.map(|p| (p[1], p[0] as usize)).reduce(|a, b| if b.0 < a.0 { b } else { a });
        if let Some(newest) = self.newest.as_mut().filter(|n| n.step > 0) {
            // The time of each step is not kept; they take about the same.
            self.trained_seconds *= x.max(0.0) / newest.step as f64;
            newest.step = x.max(0.0) as usize;
        }
    }

    /// The thread that trained it is over.
    pub fn ended(&mut self, outcome: &Outcome) {
        self.version += 1;
        self.loading = None;
        self.held = None;
        self.ending = Some(match outcome {
            // Not the newest step that was seen: steps may have been left out.
            Outcome::Finished { .. } => match (self.steps_made, self.total_steps) {
                (Some(made), Some(total)) if made >= total => Ending::Finished,
                _ => Ending::Stopped,
            },
            Outcome::Discarded => Ending::Discarded,
            Outcome::Failed(error) => {
                self.failure.get_or_insert_with(|| error.clone());
                Ending::Failed
            }
        });
    }

    /// Whether this process is training it now.
    pub fn live(&self) -> bool {
        self.own && self.ending.is_none()
    }

    /// Share of the run that is done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        match (self.newest, self.total_steps) {
            (Some(n), Some(total)) => n.step as f64 / total.max(1) as f64,
            _ => 0.0,
        }
    }

    /// Time that the remaining steps will take, without evaluations and samples.
    pub fn remaining(&self) -> Option<Duration> {
        let (newest, total) = (self.newest?, self.total_steps?);
        Duration::try_from_secs_f64(total.saturating_sub(newest.step) as f64 * newest.step_seconds).ok()
    }
}

#[cfg(test)]
mod tests;
