//! The start gate: everything that is looked at before a run begins, each with a verdict, one sentence, and a way out.

mod rows;

use super::command::Command;
use super::room::{Readiness, Room};
use super::studio::Studio;
use crate::engine::config::{OptimizerKind, shorten_home};
use crate::engine::memory::Item;
use crate::units::{bytes, grouped};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The model is open.
    Model,
    /// There are rows with trained tokens.
    Data,
    /// The model learns to stop.
    AnswerEnds,
    /// What was found in the rows.
    Rows,
    /// The settings make sense.
    Settings,
    /// The run fits into the memory.
    Memory,
    /// The run has a folder and room on the disk.
    Disk,
    /// No other run is trained.
    Alone,
}

impl Topic {
    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Topic::Model => "Model",
            Topic::Data => "Data",
            Topic::AnswerEnds => "Ends of answers",
            Topic::Rows => "Rows",
            Topic::Settings => "Settings",
            Topic::Memory => "Memory",
            Topic::Disk => "Disk",
            Topic::Alone => "Other runs",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It will run, but a person should look.
    Warning,
    /// Not known yet.
    Waiting,
    /// It cannot run.
    Refused,
}

/// A way out: what the button says and does.
#[derive(Clone, Debug)]
pub struct Fix {
    /// The button's text.
    pub label: String,
    /// What it does.
    pub command: Command,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// What.
    pub topic: Topic,
    /// How it is.
    pub verdict: Verdict,
    /// One sentence.
    pub sentence: String,
    /// What can be done about it with one click.
    pub fix: Option<Fix>,
}

impl Check {
    fn new(topic: Topic, verdict: Verdict, sentence: impl Into<String>) -> Check {
        Check { topic, verdict, sentence: sentence.into(), fix: None }
    }

    fn fix(mut self, label: impl Into<String>, command: Command) -> Check {
        self.fix = Some(Fix { label: label.into(), command });
        self
    }
}

/// Everything that is looked at before a run, in the order of the rooms. Microseconds: it is asked for in every frame.
pub fn checks(studio: &Studio) -> Vec<Check> {
    let mut checks = vec![model(studio), rows::data(studio)];
    checks.extend(rows::answer_ends(studio));
    checks.extend(rows::rows(studio));
    checks.extend([settings(studio), memory(studio), disk(studio)]);
    if studio.is_training() {
        let sentence = "A run is being trained already: stop it, or wait until it has finished.";
        checks.push(Check::new(Topic::Alone, Verdict::Refused, sentence));
    }
    checks
}

/// The first reason why the run cannot begin now.
pub fn refusal(studio: &Studio) -> Option<Check> {
    let checks = checks(studio);
    let first = |verdict| checks.iter().find(|c| c.verdict == verdict).cloned();
    first(Verdict::Refused).or_else(|| first(Verdict::Waiting))
}

/// The first reason why the prepared run cannot wait for its turn. What the run in training holds meanwhile is none.
pub fn queue_refusal(studio: &Studio) -> Option<Check> {
    let mut checks = checks(studio);
    checks.retain(|check| !matches!(check.topic, Topic::Memory | Topic::Alone));
    checks.into_iter().find(|check| check.verdict >= Verdict::Waiting)
}

fn model(studio: &Studio) -> Check {
    let topic = Topic::Model;
    match (studio.model.readiness(), &studio.model.info) {
        (Readiness::Blocked(problem), _) => Check::new(topic, Verdict::Refused, sentence(&problem))
            .fix("Choose another model", Command::Go(Room::Model)),
        (Readiness::Ready | Readiness::Warning(_), Some(model)) => {
            let parameters = grouped(model.stored.parameters());
            Check::new(topic, Verdict::Good, format!("{} is open: {parameters} parameters.", model.source))
        }
        _ => Check::new(topic, Verdict::Waiting, "The model is being opened."),
    }
}

fn settings(studio: &Studio) -> Check {
    let topic = Topic::Settings;
    let look = |check: Check| check.fix("Look at the settings", Command::Go(Room::Method));
    if let Readiness::Blocked(problem) = studio.starting.readiness() {
        return look(Check::new(topic, Verdict::Refused, sentence(&problem)));
    }
    match studio.shared.run.validate() {
        Err(error) => look(Check::new(topic, Verdict::Refused, sentence(&error.to_string()))),
        Ok(_) if studio.starting.readiness() == Readiness::Busy => {
            Check::new(topic, Verdict::Waiting, "The adapter to continue from is being read.")
        }
        Ok(warnings) if !warnings.is_empty() => {
            let text: Vec<String> = warnings.iter().map(|w| sentence(&w.message)).collect();
            look(Check::new(topic, Verdict::Warning, text.join(" ")))
        }
        Ok(_) => Check::new(topic, Verdict::Good, "All of them are within their usual ranges."),
    }
}

fn memory(studio: &Studio) -> Check {
    let topic = Topic::Memory;
    let pricing = &studio.pricing;
    if let Some(problem) = &pricing.problem {
        let waiting = studio.model.info.is_none() || studio.starting.readiness() == Readiness::Busy;
        let verdict = if waiting { Verdict::Waiting } else { Verdict::Refused };
        return Check::new(topic, verdict, sentence(problem));
    }
    let (needed, free) = (bytes(pricing.bytes()), bytes(pricing.available));
    if pricing.fits() {
        let narrow = pricing.bytes() as f64 > 0.9 * pricing.available as f64;
        return match narrow {
            false => Check::new(topic, Verdict::Good, format!("The run takes {needed} of {free} that are free.")),
            true => {
                let text = format!("The run takes {needed} of {free} that are free: close other programs.");
                Check::new(topic, Verdict::Warning, text)
            }
        };
    }
    let too_much = bytes(pricing.bytes() - pricing.available);
    let text = format!("The run takes {needed}, and {free} are free: {too_much} too much.");
    match &pricing.fix {
        Some(offer) => {
            let way = format!("{text} It fits with {}, {}.", offer.label(), offer.price());
            Check::new(topic, Verdict::Refused, way).fix(offer.verb(), Command::Edit(Box::new(offer.run.clone())))
        }
        None => {
            let text = format!("{text} Choose a smaller model, or close other programs.");
            Check::new(topic, Verdict::Refused, text).fix("Choose a smaller model", Command::Go(Room::Model))
        }
    }
}

fn disk(studio: &Studio) -> Check {
    let topic = Topic::Disk;
    let Some(place) = &studio.folder.place else {
        return Check::new(topic, Verdict::Waiting, "The run's folder is being looked at.");
    };
    let mut fresh = studio.shared.run.clone();
    fresh.output.dir.clear();
    let elsewhere = (!studio.shared.run.output.dir.is_empty()).then_some(Command::Edit(Box::new(fresh)));
    let refused = |text: String| {
        let check = Check::new(topic, Verdict::Refused, text);
        match elsewhere.clone() {
            Some(command) => check.fix("Use a new folder", command),
            None => check.fix("Choose where runs are kept", Command::Go(Room::Settings)),
        }
    };
    if let Some(problem) = &place.problem {
        return refused(sentence(problem));
    }
    if place.taken {
        return refused(format!("The folder already holds a run: {}", shorten_home(&place.folder)));
    }
    // A checkpoint: the adapter and its moments. One more is written before the oldest goes.
    let (adapter, run) = (4 * studio.pricing.trainable, &studio.shared.run);
    let (moments, file) = match run.train.optimizer {
        OptimizerKind::PagedAdamw => (2 * adapter, 2 * adapter),
        OptimizerKind::Adamw | OptimizerKind::Adamw8bit => (studio.pricing.of_item(Item::Optimizer), 0),
    };
    let needed = (adapter + moments) * (run.output.keep.max(1) as u64 + 1) + adapter + file;
    let folder = shorten_home(&place.folder);
    match place.free {
        Some(free) if free < needed => {
            refused(format!("The checkpoints take {}, and {} are free: {folder}", bytes(needed), bytes(free)))
        }
        Some(free) => {
            let text = format!("The checkpoints take {} of {} that are free: {folder}", bytes(needed), bytes(free));
            Check::new(topic, Verdict::Good, text)
        }
        None => Check::new(topic, Verdict::Good, format!("The run goes to {folder}")),
    }
}

/// What is going to happen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Optimizer steps of an epoch.
    pub steps_an_epoch: usize,
    /// Optimizer steps of the run.
    pub steps: usize,
    /// Tokens of an epoch.
    pub tokens_an_epoch: u64,
    /// Seconds of the run, from the speed of the run that was shown last, if it had the same model.
    pub seconds: Option<f64>,
}

/// What is going to happen, once rows and packing are known.
pub fn forecast(studio: &Studio) -> Option<Forecast> {
    let (steps, data) = (studio.pricing.steps?, studio.data.info.as_ref()?);
    let speed = studio.known_speed(&studio.shared.run.model.source);
    Some(Forecast {
        steps_an_epoch: steps.per_epoch,
        steps: steps.total,
        tokens_an_epoch: data.report.train.tokens,
        seconds: speed.map(|speed| steps.tokens as f64 / speed),
    })
}

/// An error or notice as a sentence: with a capital and a full stop, unless it ends with a path.
pub(crate) fn sentence(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut chars = text.trim().chars();
    // A setting's own name keeps its letters.
    let first_word = text.split_whitespace().next().unwrap_or_default();
    match chars.next() {
        Some(first) if !first_word.contains(['.', '_', '`', '/']) => out.extend(first.to_uppercase()),
        Some(first) => out.push(first),
        None => {}
    }
    out.push_str(chars.as_str());
    let path_at_end = out.rsplit(": ").next().is_some_and(|end| end.contains(['/', '\\', ':']) && !end.contains(' '));
    if !path_at_end && !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests;
