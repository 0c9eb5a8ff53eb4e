//! The training loop.

use std::time::{Duration, Instant};

use super::checkpoint::{self, SavedMoments, TrainerState};
use super::evaluate::{evaluate, mean_loss};
use super::samples::Samples;
use super::setup::Setup;
use super::{Control, Event, LrSchedule, Optimizer, RunDir, Stop, run_dir};
use crate::engine::config::RunConfig;
use crate::engine::data::{self, Batch, Encoder, Report, Side};
use crate::engine::device;
use crate::engine::memory::{Guard, Measured, Plan, process};
use crate::engine::model::Workspace;
use crate::engine::ops::adamw::{self, AdamW};
use crate::engine::ops::dropout::DropoutKey;
use crate::engine::peft::folder::{self, ModelCard};
use crate::engine::{Error, Result};
use crate::units::{bytes, grouped};

/// Everything that a run holds while it trains.
pub(super) struct Trainer<'a> {
    config: &'a RunConfig,
    control: &'a Control,
    on_event: &'a mut dyn FnMut(Event),
    setup: Setup,
    run_dir: RunDir,
    optimizer: Optimizer,
    /// What is to be said when the run begins.
    notes: Vec<String>,
    grads: Vec<f32>,
    workspace: Workspace,
    plan: Plan,
    guard: Guard,
    total_parameters: u64,
    state: TrainerState,
    schedule: LrSchedule,
    samples: Samples,
    card: ModelCard,
    /// Losses of the newest steps, for the last event.
    recent: Vec<f64>,
    /// The step whose norms were sent.
    norms_at: Option<usize>,
    /// A step was made, and all that it takes was measured.
    measured: bool,
}

/// Steps whose losses the last event's is the mean of.
const RECENT: usize = 10;

/// What one optimizer step found.
struct StepResult {
    loss: f64,
    grad_norm: f64,
    learning_rate: f64,
    tokens: u64,
    supervised: u64,
    seconds: f64,
}

impl<'a> Trainer<'a> {
    pub(super) fn new(
        config: &'a RunConfig,
        control: &'a Control,
        on_event: &'a mut dyn FnMut(Event),
        mut setup: Setup,
        run_dir: RunDir,
        moments: Option<SavedMoments>,
        mut state: TrainerState,
    ) -> Result<Self> {
        // First: a tokenizer's tables are made for them and go again, which need not be beside the large buffers.
        let samples = Samples::new(&config.sample.prompts, &config.data.chat_template, &setup)?;
        let card = model_card(config, &setup);
        let parameters = setup.adapter.params.len();
        let settings = AdamW { weight_decay: config.train.weight_decay, ..AdamW::default() };
        let kind = config.train.optimizer;
        let mut optimizer = Optimizer::new(kind, settings, setup.adapter.tensor_sizes(), run_dir.path())?;
        let mut notes = Vec::new();
        if let Some(moments) = moments
            && optimizer.restore(state.step as u64, moments.read())?
        {
            notes.push(format!(
                "the optimizer's moments were kept in another way and were converted for {}",
                kind.name()
            ));
        }
        setup.meter.part("optimizer");
        let grads = vec![0.0; parameters];
        setup.meter.part("gradients");
        let price = setup.price(config)?;
        let workspace = Workspace::new(&setup.model.config, price.layout, run_dir.path())?;
        setup.meter.part("workspace");
        price.plan.reserve();
        setup.meter.plan(price.plan.clone());
        let guard = setup.guard(price.plan.needed());
        let train = &config.train;
        let per_epoch = setup.micro_batches(config, 0).len().div_ceil(train.grad_accumulation);
        state.total_steps = train.total_steps(per_epoch);
        state.seed = train.seed;
        Ok(Trainer {
            schedule: LrSchedule::new(train.schedule, state.total_steps, train.warmup_ratio),
            samples,
            card,
            grads,
            guard,
            config,
            control,
            on_event,
            setup,
            run_dir,
            optimizer,
            notes,
            workspace,
            plan: price.plan,
            total_parameters: price.total_parameters,
            state,
            recent: Vec::new(),
            norms_at: None,
            measured: false,
        })
    }

    /// Continues the run's record where its checkpoint stands, as if the run had never stopped. `notes` are said when it
    /// begins.
    pub(super) fn take_up(&mut self, notes: Vec<String>) -> Result<()> {
        self.notes.extend(notes);
        self.run_dir.rewind(self.state.step, self.state.step >= self.state.total_steps)?;
        for event in run_dir::events(self.run_dir.path())? {
            if let Event::Step { loss, .. } = event? {
                self.remember(loss);
            }
        }
        Ok(())
    }

    /// Keeps a step's loss for the last event.
    fn remember(&mut self, loss: f64) {
        self.recent.push(loss);
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
    }

    /// Trains to the end, or until it is told to stop. An error is written into the run folder too, for whoever looks
    /// there later.
    pub(super) fn train(&mut self) -> Result<()> {
        let result = self.steps();
        if let Err(error) = &result {
            self.run_dir.record_failure(error);
        }
        result
    }

    fn steps(&mut self) -> Result<()> {
        self.emit(Event::Started {
            run_dir: self.run_dir.path().to_path_buf(),
            trainable_parameters: self.setup.adapter.params.len() as u64,
            total_parameters: self.total_parameters,
            plan_bytes: self.plan.total(),
            total_steps: self.state.total_steps,
        })?;
        let notes = std::mem::take(&mut self.notes).into_iter();
        let notes = notes.chain(data_notes(&self.setup.data.report)).chain(context_note(&self.setup));
        for message in notes {
            self.emit(Event::Note { message })?;
        }
        if self.state.step == 0 {
            self.evaluate()?;
        }
        while self.state.step < self.state.total_steps {
            let epoch = self.setup.micro_batches(self.config, self.state.epoch);
            let accumulation = self.config.train.grad_accumulation;
            let first = self.state.micro_cursor.next_multiple_of(accumulation);
            for start in (first..epoch.len()).step_by(accumulation) {
                let window: Vec<&[u32]> = epoch.iter().skip(start).take(accumulation).collect();
                let Some(result) = self.step(&window)? else {
                    return match self.control.stopping() {
                        Stop::Discard => Ok(()),
                        _ => self.finish(),
                    };
                };
                self.state.micro_cursor += window.len();
                self.report(&result, epoch.len())?;
                self.mind_memory()?;
                if self.state.step == self.state.total_steps {
                    break;
                }
            }
            if self.state.micro_cursor >= epoch.len() {
                self.state.epoch += 1;
                self.state.micro_cursor = 0;
            }
        }
        self.finish()
    }

    /// One optimizer step over a window of micro-batches; `None` when the run is being stopped, and then nothing changed.
    fn step(&mut self, window: &[&[u32]]) -> Result<Option<StepResult>> {
        let started = Instant::now();
        let batch = |rows: &&[u32]| {
            let samples = rows.iter().map(|&i| self.setup.data.train.get(i as usize)).collect::<Result<Vec<_>>>()?;
            Ok(Batch::of(&samples))
        };
        let batches = window.iter().map(batch).collect::<Result<Vec<Batch>>>()?;
        let tokens: usize = batches.iter().map(|b| b.tokens.len()).sum();
        let supervised: usize = batches.iter().map(|b| b.targets.len()).sum();

        // The loss is the mean over the supervised tokens of the whole window, so that 1 × 16 is 16 × 1.
        let scale = 1.0 / supervised.max(1) as f32;
        self.grads.fill(0.0);
        let mut loss = 0.0;
        for (micro, batch) in batches.iter().enumerate() {
            if self.control.wait_while_paused() != Stop::No {
                return Ok(None);
            }
            let key = DropoutKey {
                seed: self.config.train.seed,
                step: self.state.step as u64,
                micro: micro as u32,
                layer: 0,
                module: 0,
            };
            let Setup { model, adapter, .. } = &self.setup;
            loss += model.loss_and_gradients(batch, adapter, scale, Some(key), &mut self.grads, &mut self.workspace)?;
        }
        let loss = loss / supervised.max(1) as f64;
        let grad_norm = adamw::grad_norm(&self.grads);
        self.check_finite(loss, grad_norm)?;

        let train = &self.config.train;
        let learning_rate = train.learning_rate * self.schedule.factor(self.state.step);
        let params = &mut self.setup.adapter.params;
        self.optimizer.step(params, &self.grads, grad_norm, train.max_grad_norm, learning_rate)?;
        let seconds = started.elapsed().as_secs_f64();
        self.state.step += 1;
        self.state.tokens_seen += tokens as u64;
        self.state.supervised_seen += supervised as u64;
        self.state.seconds += seconds;
        self.state.last_loss = Some(loss as f32);
        let (tokens, supervised) = (tokens as u64, supervised as u64);
        Ok(Some(StepResult { loss, grad_norm, learning_rate, tokens, supervised, seconds }))
    }

    /// The step's event, and what is due after it: validation, samples, a checkpoint.
    fn report(&mut self, result: &StepResult, micro_batches: usize) -> Result<()> {
        let step = self.state.step;
        self.remember(result.loss);
        self.emit(Event::Step {
            step,
            epoch: self.state.epoch as f64 + self.state.micro_cursor as f64 / micro_batches as f64,
            loss: result.loss,
            learning_rate: result.learning_rate,
            grad_norm: result.grad_norm,
            tokens: result.tokens,
            supervised_tokens: result.supervised,
            tokens_per_second: result.tokens as f64 / result.seconds,
            memory_bytes: process::resident_bytes(),
        })?;
        match self.measured {
            false => {
                self.measured = true;
                self.setup.meter.last_part("products and logits");
            }
            true => self.setup.meter.look(),
        }
        let news = self.setup.meter.news();
        self.memory(news)?;
        if step == 1 || step % norms_interval(self.state.total_steps) == 0 {
            self.norms()?;
        }
        let due = |every: usize| every > 0 && step % every == 0 && step < self.state.total_steps;
        let (eval, sample) = (due(self.config.eval.every), due(self.config.sample.every));
        let save = due(self.config.output.save_every);
        if eval {
            self.evaluate()?;
        }
        if sample | self.control.take_sample() {
            self.sample()?;
        }
        if save | self.control.take_save() {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// What was taken so far, beside the plan.
    fn memory(&mut self, measured: Option<Measured>) -> Result<()> {
        match measured {
            None => Ok(()),
            Some(measured) => self.emit(Event::Memory { step: self.state.step, measured }),
        }
    }

    /// Waits while other programs have taken the memory, with what was reached on the disk.
    fn mind_memory(&mut self) -> Result<()> {
        let Some(free) = self.guard.short() else { return Ok(()) };
        let step = self.state.step;
        self.checkpoint()?;
        self.emit(Event::Held { step, held: true, available_bytes: free })?;
        let message = format!(
            "other programs have left {} of the memory: the run waits until there is more; a checkpoint was written",
            bytes(free)
        );
        self.emit(Event::Note { message })?;
        while !self.guard.enough() && self.control.stopping() == Stop::No {
            std::thread::sleep(Duration::from_millis(500));
        }
        let available_bytes = device::available_bytes();
        self.emit(Event::Held { step, held: false, available_bytes })
    }

    /// How far each linear has moved, once a step.
    fn norms(&mut self) -> Result<()> {
        let step = self.state.step;
        if self.norms_at == Some(step) {
            return Ok(());
        }
        self.norms_at = Some(step);
        let found = self.setup.adapter.norms(self.setup.model.config.layers.len());
        let modules = found.kinds.iter().map(|kind| kind.name().to_string()).collect();
        self.emit(Event::AdapterNorms { step, modules, layers: found.layers, norms: found.norms })
    }

    /// A loss or gradient that is no number ends the run before it spoils the adapter.
    fn check_finite(&self, loss: f64, grad_norm: f64) -> Result<()> {
        let what = match (loss.is_finite(), grad_norm.is_finite()) {
            (true, true) => return Ok(()),
            (false, _) => "the loss",
            (true, false) => "the gradient norm",
        };
        let kept = match self.run_dir.checkpoints()?.first() {
            Some(newest) => format!("the last checkpoint is kept: {}", newest.path.display()),
            None => "no checkpoint had been written yet; start again with a lower learning rate".to_string(),
        };
        Err(Error::NotFinite { what, step: self.state.step + 1, kept })
    }

    /// Mean loss over the validation rows' supervised tokens, where there are any and the run is not being stopped.
    fn evaluate(&mut self) -> Result<()> {
        if self.setup.data.validation.is_empty() {
            return Ok(());
        }
        let Setup { model, adapter, data, .. } = &self.setup;
        let control = self.control;
        // Who stops the run waits for what is kept of it, not for its validation.
        let mut more = |_| control.stopping() == Stop::No;
        let rows = evaluate(model, Some(adapter), &data.validation, &mut self.workspace, &mut more)?;
        if control.stopping() != Stop::No {
            return Ok(());
        }
        let loss = mean_loss(&rows);
        if self.state.best_loss.is_none_or(|best| loss < f64::from(best)) {
            self.state.best_loss = Some(loss as f32);
            self.state.best_step = Some(self.state.step);
        }
        self.emit(Event::Eval { step: self.state.step, loss })
    }

    /// Answers the sample prompts with the adapter as it is now, beside the base model's answers.
    fn sample(&mut self) -> Result<()> {
        if self.config.sample.prompts.is_empty() {
            return Ok(());
        }
        self.setup.meter.look();
        let answers = self.samples.answer(&self.setup, self.control)?;
        self.setup.meter.answered();
        let step = self.state.step;
        for (prompt, (base, adapted)) in self.config.sample.prompts.iter().zip(answers) {
            self.emit(Event::Sample { step, prompt: prompt.clone(), base, adapted })?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        let Setup { model, adapter, .. } = &self.setup;
        let moments = self.optimizer.tensors();
        let path = self.run_dir.checkpoint_dir(self.state.step);
        checkpoint::save(&path, adapter, &model.config, &self.card, &moments, &self.state)?;
        self.setup.meter.saved();
        self.run_dir.prune(self.config.output.keep)?;
        self.emit(Event::Checkpoint { step: self.state.step, path })
    }

    /// Last validation, samples and checkpoint, then the adapter's own folder. Of a run that is being stopped, only the latter two.
    fn finish(&mut self) -> Result<()> {
        self.norms()?;
        self.evaluate()?;
        self.sample()?;
        self.checkpoint()?;
        let adapter_dir = self.run_dir.adapter_dir();
        folder::write(&adapter_dir, &self.setup.adapter, &self.setup.model.config, &self.card)?;
        self.setup.meter.look();
        let measured = self.setup.meter.measured();
        self.memory(measured)?;
        self.run_dir.finish_record()?;
        let recent = &self.recent;
        self.emit(Event::Finished {
            steps: self.state.step,
            loss: mean(recent),
            adapter_dir,
            seconds: self.state.seconds,
            peak_memory_bytes: process::peak_resident_bytes(),
        })
    }

    /// Into the run folder first, then to whoever watches.
    fn emit(&mut self, event: Event) -> Result<()> {
        self.run_dir.record(&event)?;
        (self.on_event)(event);
        Ok(())
    }
}

/// The mean of the values; 0 of none.
fn mean(values: &[f64]) -> f64 {
    // Not `sum()`, whose value for none is −0.
    values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f64
}

/// Steps between two [`Event::AdapterNorms`]: about 200 a run, enough for a film of it.
fn norms_interval(total_steps: usize) -> usize {
    (total_steps / 200).max(1)
}

/// What a person should know of the rows before the run.
fn data_notes(report: &Report) -> Vec<String> {
    let side = |name: &str, side: &Side| {
        let rows = if side.samples == 1 { "row" } else { "rows" };
        let [samples, tokens, trained] = [side.samples as u64, side.tokens, side.trained_tokens].map(grouped);
        format!("{name}: {samples} {rows}, {tokens} tokens, {trained} of them trained")
    };
    let source = &report.source;
    let read = format!("rows are read as {} ({})", source.format.name(), source.reason);
    let mut notes = vec![read, side("training", &report.train)];
    if report.validation.samples > 0 {
        notes.push(side("validation", &report.validation));
    }
    notes.extend(report.notices.iter().cloned());
    notes
}

/// Rows beyond what the model was made for. They are trained all the same: some models stretch.
fn context_note(setup: &Setup) -> Option<String> {
    let context = setup.model.config.max_positions;
    let longer = |samples: &data::Samples| samples.rows().iter().filter(|row| row.tokens as usize > context).count();
    let rows = longer(&setup.data.train) + longer(&setup.data.validation);
    let these = match rows {
        0 => return None,
        1 => "1 row is".to_string(),
        n => format!("{} rows are", grouped(n as u64)),
    };
    let context = grouped(context as u64);
    Some(format!("{these} longer than the model's context of {context} tokens: set data.max_seq_len to that or less"))
}

/// The run's chat template, if it is not the model's own.
fn other_template(config: &RunConfig, setup: &Setup) -> Option<String> {
    let encoder = Encoder::with_template(&setup.tokenizer, &config.data.chat_template, jiff::ZonedDateTime::now());
    encoder.ok()?.other_template().map(str::to_string)
}

/// What the adapter's folder says of the run.
fn model_card(config: &RunConfig, setup: &Setup) -> ModelCard {
    let train = &config.train;
    let quantization = format!("{:?}", config.model.quantization).to_lowercase();
    let rows = |name: &str, value: String| (name.to_string(), value);
    ModelCard {
        settings: vec![
            rows("Quantization of the base", quantization),
            rows("Training rows", setup.data.train.len().to_string()),
            rows("Longest row, tokens", config.data.max_seq_len.to_string()),
            rows("Batch", format!("{} × {}", train.batch_size, train.grad_accumulation)),
            rows("Learning rate", format!("{:e}", train.learning_rate)),
            rows("Seed", train.seed.to_string()),
        ],
        chat_template: other_template(config, setup),
        ..ModelCard::of(setup.model_name.clone())
    }
}
