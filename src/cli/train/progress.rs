//! What a person sees of a run: what it trains, a bar, samples, and both models' answers side by side at the end.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::Show;
use crate::cli::output::{Failure, bytes, columns, duration, grouped, interactive, note, say, shorten, width};
use crate::engine::Error;
use crate::engine::config::{Quantization, RunConfig, TargetModules};
use crate::engine::ops::Compute;
use crate::engine::train::{Event, LoadPhase};

/// The bar counts thousandths of the run, because its number of steps is known only by the share that is done.
const BAR: u64 = 1000;
/// Without a terminal, this many lines tell the course of a run.
const LINES: usize = 40;

/// Shows a run to a person.
pub(super) struct Progress {
    config: RunConfig,
    bar: Option<ProgressBar>,
    /// When the first step ended, and the share done then: loading and resumed steps tell nothing about speed.
    first: Option<(Instant, f64)>,
    /// Losses of the newest steps: a single step's loss jumps too much to read.
    recent: Vec<f64>,
    /// The first and the newest validation loss, with the step that each was measured after.
    validation: Option<[(usize, f64); 2]>,
    samples: Vec<(usize, String, String, String)>,
    run_dir: PathBuf,
    last_step: usize,
    last_checkpoint: Option<usize>,
    printed: usize,
}

impl Progress {
    pub(super) fn new(config: &RunConfig) -> Progress {
        let bar = interactive().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_message(format!("loading {}", config.model.source));
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        });
        Progress {
            config: config.clone(),
            bar,
            first: None,
            recent: Vec::new(),
            validation: None,
            samples: Vec::new(),
            run_dir: PathBuf::new(),
            last_step: 0,
            last_checkpoint: None,
            printed: 0,
        }
    }

    /// A line above the bar.
    fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn started(&mut self, run_dir: &Path, trainable: u64, total: u64, plan: u64) -> Result<(), Failure> {
        self.run_dir = run_dir.to_path_buf();
        for line in header(&self.config) {
            self.line(line)?;
        }
        let share = 100.0 * trainable as f64 / total.max(1) as f64;
        self.line(format!("trainable  {} of {} ({share:.2}%)", grouped(trainable), grouped(total)))?;
        self.line(format!("memory     {} planned", bytes(plan)))?;
        self.line(format!("run        {}", run_dir.display()))?;
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.set_length(BAR);
            if let Ok(style) = ProgressStyle::with_template("{bar:28} {msg}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_message("first step");
        }
        Ok(())
    }

    fn step(&mut self, step: usize, epoch: f64, loss: f64, rate: f64, speed: f64) -> Result<(), Failure> {
        if self.first.is_none() {
            self.line("")?;
        }
        self.recent.push(loss);
        if self.recent.len() > 10 {
            self.recent.remove(0);
        }
        self.last_step = step;
        let (share, total) = share(&self.config, step, epoch);
        let now = Instant::now();
        let left = match self.first {
            None => {
                self.first = Some((now, share));
                None
            }
            Some((then, before)) if share > before => {
                Some((now - then).as_secs_f64() / (share - before) * (1.0 - share))
            }
            Some(_) => None,
        };
        let mean = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        let mut text =
            format!("step {step}/{total}  loss {mean:.3}  lr {rate:.2e}  {} tokens/s", grouped(speed as u64));
        if let Some(left) = left.filter(|_| share < 1.0) {
            text.push_str(&format!("  {} left", duration(left)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position((share * BAR as f64) as u64);
            bar.set_message(text);
        } else if step == 1 || step == total || step * LINES / total > self.printed {
            self.printed = step * LINES / total;
            say(text)?;
        }
        Ok(())
    }
}

impl Show for Progress {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Loading { phase, done, total } => {
                if let Some(bar) = &self.bar {
                    let what = match phase {
                        LoadPhase::Model => &self.config.model.source,
                        LoadPhase::Data => &self.config.data.train,
                    };
                    bar.set_message(format!("loading {what}: {} of {}", bytes(*done), bytes(*total)));
                }
                Ok(())
            }
            Event::Started { run_dir, trainable_parameters, total_parameters, plan_bytes, .. } => {
                self.started(run_dir, *trainable_parameters, *total_parameters, *plan_bytes)
            }
            Event::Note { message } => {
                match &self.bar {
                    Some(bar) => bar.suspend(|| note(message)),
                    None => note(message),
                }
                Ok(())
            }
            Event::Step { step, epoch, loss, learning_rate, tokens_per_second, .. } => {
                self.step(*step, *epoch, *loss, *learning_rate, *tokens_per_second)
            }
            Event::Eval { step, loss } => {
                let newest = (*step, *loss);
                let first = self.validation.map_or(newest, |[first, _]| first);
                self.validation = Some([first, newest]);
                self.line(format!("step {step}: validation loss {loss:.4}"))
            }
            Event::Sample { step, prompt, base, adapted } => {
                self.samples.retain(|(s, ..)| s == step);
                self.samples.push((*step, prompt.clone(), base.clone(), adapted.clone()));
                let text = format!("step {step}: {prompt} → {adapted}");
                self.line(shorten(&text, width()))
            }
            Event::Checkpoint { step, .. } => {
                self.last_checkpoint = Some(*step);
                Ok(())
            }
            Event::Finished { steps, loss, adapter_dir, seconds, peak_memory_bytes } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                for (_, prompt, base, adapted) in &self.samples {
                    say(format!("\n{prompt}"))?;
                    say(columns(("base", "adapted"), (base, adapted), width()).trim_end())?;
                }
                let (made, time) = (grouped(*steps as u64), duration(*seconds));
                let loss = if *steps > 0 { format!(", loss {loss:.3}") } else { String::new() };
                let unit = if *steps == 1 { "step" } else { "steps" };
                say(format!("\n{made} {unit} in {time}{loss}, {} at most", bytes(*peak_memory_bytes)))?;
                match self.validation {
                    Some([(before, first), (after, last)]) if before < after => {
                        say(format!("validation loss {first:.4} → {last:.4}"))?;
                    }
                    Some([_, (_, last)]) => say(format!("validation loss {last:.4}"))?,
                    None => {}
                }
                say(format!("adapter    {}", adapter_dir.display()))?;
                say(format!(
                    "try it     lora-studio chat --model {} --adapter {} --compare",
                    quoted(&self.config.model.source),
                    quoted(&adapter_dir.to_string_lossy())
                ))
            }
            Event::Memory { measured, .. } => match &measured.apart {
                None => Ok(()),
                Some(part) => {
                    let (planned, found) = (bytes(measured.planned_allocated), bytes(measured.allocated));
                    self.line(format!("memory     {found} where {planned} were planned: {part}"))
                }
            },
            // A note says the same in words.
            Event::Held { .. } => Ok(()),
            Event::AdapterNorms { .. } | Event::Failed { .. } => Ok(()),
        }
    }

    fn end(&mut self, interrupted: bool) -> Result<(), Failure> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if interrupted && self.last_checkpoint.is_some() {
            say(format!(
                "stopped    continue with: lora-studio train --resume {}",
                quoted(&self.run_dir.to_string_lossy())
            ))?;
        }
        Ok(())
    }

    fn failed(&mut self, _error: &Error) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// What is trained on what, in three lines.
fn header(config: &RunConfig) -> [String; 3] {
    let (model, data, method) = (&config.model, &config.data, &config.method);
    let storage = match model.quantization {
        Quantization::Nf4 if model.double_quant => "nf4, double quantization",
        Quantization::Nf4 => "nf4",
        Quantization::None => "not quantized",
        Quantization::Keep => "quantization of the file",
    };
    let compute = match model.compute {
        Compute::Bf16 => "bf16",
        Compute::F32 => "f32",
    };
    let targets = match &method.target_modules {
        TargetModules::AllLinear => "all linears".to_string(),
        TargetModules::Names(names) => names.join(", "),
    };
    [
        format!("model      {} ({storage}, {compute})", model.source),
        format!("data       {} (up to {} tokens)", data.train, grouped(data.max_seq_len as u64)),
        format!("method     LoRA, rank {}, alpha {}, {targets}", method.rank, method.alpha),
    ]
}

/// The share of the run that is done, and its number of steps.
fn share(config: &RunConfig, step: usize, epoch: f64) -> (f64, usize) {
    if config.train.max_steps > 0 {
        let total = config.train.max_steps.max(step);
        return (step as f64 / total as f64, total);
    }
    let share = (epoch / config.train.epochs as f64).clamp(1e-9, 1.0);
    (share, ((step as f64 / share).round() as usize).max(step))
}

/// A path as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:\\".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_string() } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_steps_follows_from_the_share_done() {
        let mut config = RunConfig::default();
        // 3 epochs of 17 steps.
        for step in 1..=51 {
            let (done, total) = share(&config, step, step as f64 / 17.0);
            assert_eq!(total, 51, "{step}");
            assert!((done - step as f64 / 51.0).abs() < 1e-12);
        }
        config.train.max_steps = 20;
        assert_eq!(share(&config, 5, 0.1), (0.25, 20));
    }
}
