//! The run that is trained: begun when the gate opens, followed, and ended.

use std::path::{Path, PathBuf};

use super::{Purpose, Studio};
use crate::app::gate;
use crate::app::job::{Job, JobError};
use crate::app::live::RunView;
use crate::app::notices::Severity;
use crate::app::room::Room;
use crate::app::start_folder::placed;
use crate::app::training::{Outcome, TrainCommand, Training};
use crate::engine::config::shorten_home;
use crate::engine::train::Event;

impl Studio {
    pub(super) fn with_training(&mut self, act: impl FnOnce(&mut Training)) {
        if let Some(training) = self.training.as_mut().filter(|t| t.active()) {
            act(training);
        }
    }

    /// Whether another run may begin now; says so if not.
    pub(super) fn free_to_train(&mut self) -> bool {
        let text = match (self.is_training(), &self.reading) {
            (true, _) => "a run is being trained already: stop it, or wait until it has finished",
            (_, Some((_, Purpose::Continue(_)))) => {
                "a run is about to be continued: stop it, or wait until it has finished"
            }
            _ => return true,
        };
        self.shared.notices.tell(Severity::Warning, text);
        false
    }

    pub(super) fn start(&mut self) {
        if !self.free_to_train() {
            return;
        }
        self.shared.prefs.room = Room::Train;
        self.asked = Some(Box::new(self.shared.run.clone()));
        self.begin_or_wait();
    }

    /// Begins the run that was asked for, if the gate is open; says why not, if it stays shut. While something is still
    /// being looked at, the wish is kept.
    pub(super) fn begin_or_wait(&mut self) {
        // What was changed since may be half done: it must not begin by itself.
        if self.asked.as_deref() != Some(&self.shared.run) {
            self.asked = None;
            let text = "the run was changed before it began: press Start when it is as you want it";
            self.shared.notices.tell(Severity::Info, text);
            return;
        }
        match gate::refusal(self) {
            None => {
                let config = placed(&self.shared.run, &self.shared.prefs);
                let view = RunView::new(config, f64::from(self.shared.prefs.smoothing));
                let name = self.run_name.trim().to_string();
                self.train_view(view, None, name);
            }
            Some(check) => {
                // The room then shows the gate with its ways out.
                self.view = None;
                if check.verdict == gate::Verdict::Refused {
                    self.asked = None;
                    let text = format!("training cannot begin yet: {}: {}", check.topic.title(), check.sentence);
                    self.shared.notices.tell(Severity::Warning, text);
                }
            }
        }
    }

    pub(super) fn resume(&mut self, dir: PathBuf) {
        if self.free_to_train() {
            self.read(dir.clone(), Purpose::Continue(dir));
        }
    }

    /// Trains a new run, or continues the one in `resume`. A `name` that is not empty is written beside it.
    pub(super) fn train_view(&mut self, mut view: RunView, resume: Option<PathBuf>, name: String) {
        view.own = true;
        view.ending = None;
        view.failure = None;
        if !name.is_empty() {
            view.name = name.clone();
        }
        let config = view.config.clone();
        self.view = Some(view);
        self.parked = None;
        self.asked = None;
        self.reading = None;
        self.catching_up = None;
        self.training = Some(Training::start(config, resume, name, &self.shared.waker));
    }

    pub(super) fn train(&mut self, command: TrainCommand) {
        match command {
            TrainCommand::Name(name) => self.run_name = name,
            TrainCommand::Another => {
                if !self.view.as_ref().is_some_and(RunView::live) {
                    self.view = None;
                    self.folder.look(&self.shared);
                }
            }
            TrainCommand::Live => {
                self.reading = None;
                if let Some(view) = self.parked.take() {
                    self.view = Some(view);
                }
                self.shared.prefs.room = Room::Train;
            }
            TrainCommand::CancelReading => self.reading = None,
            TrainCommand::CancelStart => self.asked = None,
        }
    }

    pub(super) fn drain_training(&mut self) {
        if let Some(result) = self.catching_up.as_mut().and_then(Job::poll) {
            self.catching_up = None;
            self.caught_up(result);
        }
        if self.catching_up.is_some() {
            // Events wait meanwhile: they follow on what is being read.
            return;
        }
        let Some(training) = self.training.as_mut().filter(|t| t.active()) else { return };
        let mut events = Vec::new();
        training.drain(|event| events.push(event));
        let missed = training.take_missed();
        let by_itself = !training.stopped();
        let (dir, outcome) = (training.run_dir.clone(), training.outcome.clone());

        for event in &events {
            if let Some((severity, text)) = log_line(event) {
                self.shared.notices.log(severity, text);
            }
        }
        let shown = self.view.as_ref().is_some_and(|v| v.own);
        let view = if shown { self.view.as_mut() } else { self.parked.as_mut() };
        if let Some(view) = view {
            events.iter().for_each(|event| view.apply(event));
            if let Some(outcome) = &outcome {
                view.ended(outcome);
            }
            if let Some(newest) = view.newest {
                self.last_speed = Some((view.config.model.source.clone(), newest.tokens_per_second));
            }
        }
        if let Some(dir) = dir.as_ref().filter(|dir| Path::new(&self.shared.prefs.training) != dir.as_path()) {
            self.shared.prefs.training = dir.display().to_string();
            // Now: whatever ends the program in the next second, the next start knows what was being trained.
            self.remember_now();
        }
        if missed > 0
            && let Some(dir) = dir
        {
            let smoothing = f64::from(self.shared.prefs.smoothing);
            let read = move |_: &crate::app::job::Task| Ok(RunView::read(&dir, smoothing)?);
            self.catching_up = Some(Job::spawn("catch-up", &self.shared.waker, read));
        }
        if let Some(outcome) = outcome {
            self.shared.prefs.training.clear();
            self.folder.look(&self.shared);
            match outcome {
                Outcome::Finished { adapter } => {
                    let text = format!("the run has finished; the adapter is in {}", adapter.display());
                    self.shared.notices.tell(Severity::Success, text);
                    self.adapters.refresh(&self.shared);
                }
                Outcome::Failed(error) => self.shared.notices.error(format!("the run has ended: {error}")),
                Outcome::Discarded => self.shared.notices.log(Severity::Info, "the run was discarded"),
            }
            if by_itself {
                self.go_on_with_queue();
            }
        }
    }

    /// The trained run as its folder has it, in place of the one that missed steps.
    fn caught_up(&mut self, result: Result<RunView, JobError>) {
        let shown = self.view.as_ref().is_some_and(|v| v.own);
        let place = if shown { &mut self.view } else { &mut self.parked };
        match (result, place.as_mut()) {
            (Ok(mut read), Some(old)) => {
                (read.id, read.own, read.ending) = (old.id, true, old.ending);
                read.name = old.name.clone();
                read.failure = old.failure.clone();
                read.version = old.version + 1;
                *old = read;
            }
            (Err(error), _) => {
                let text = format!("steps are missing in the curves, and the run's record cannot be read: {error}");
                self.shared.notices.log(Severity::Warning, text);
            }
            _ => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn train_with(
        &mut self,
        work: impl FnOnce(&crate::engine::train::Control, &mut dyn FnMut(Event)) -> Result<(), String> + Send + 'static,
    ) {
        let mut view = RunView::new(self.shared.run.clone(), 0.5);
        view.own = true;
        self.view = Some(view);
        self.training = Some(Training::spawn(work, &self.shared.waker));
        self.shared.prefs.room = Room::Train;
    }
}

/// What the log says of an event; steps are in the curves.
fn log_line(event: &Event) -> Option<(Severity, String)> {
    Some(match event {
        Event::Started { run_dir, .. } => (Severity::Info, format!("training begins in {}", shorten_home(run_dir))),
        Event::Note { message } => (Severity::Info, message.clone()),
        Event::Checkpoint { step, .. } => (Severity::Info, format!("checkpoint after step {step}")),
        Event::Eval { step, loss } => (Severity::Info, format!("validation loss after step {step}: {loss:.4} nats")),
        _ => return None,
    })
}
