//! Runs on the disk: shown in the Train room, read to be continued, and looked at after a start that followed on a crash.

use std::path::PathBuf;

use super::Studio;
use crate::app::job::Job;
use crate::app::live::RunView;
use crate::app::notices::Severity;
use crate::app::room::Room;
use crate::app::training::TrainCommand;
use crate::engine::train::run_dir::{self, Status};
use crate::units::grouped;

/// What a run is read from the disk for.
pub(super) enum Purpose {
    Show,
    Continue(PathBuf),
}

impl Studio {
    pub(super) fn show(&mut self, dir: PathBuf) {
        self.shared.prefs.room = Room::Train;
        let mine = self.training.as_ref().filter(|t| t.active()).is_some_and(|t| t.run_dir.as_ref() == Some(&dir));
        if mine {
            self.train(TrainCommand::Live);
        } else {
            self.read(dir, Purpose::Show);
        }
    }

    pub(super) fn read(&mut self, dir: PathBuf, purpose: Purpose) {
        self.shared.prefs.room = Room::Train;
        let smoothing = f64::from(self.shared.prefs.smoothing);
        let job = Job::spawn("read-run", &self.shared.waker, move |_| Ok(RunView::read(&dir, smoothing)?));
        self.reading = Some((job, purpose));
    }

    pub(super) fn drain_reading(&mut self) {
        let Some(result) = self.reading.as_mut().and_then(|(job, _)| job.poll()) else { return };
        let Some((_, purpose)) = self.reading.take() else { return };
        match (result, purpose) {
            (Ok(view), Purpose::Show) => {
                let before = self.view.replace(view);
                if let Some(live) = before.filter(RunView::live) {
                    self.parked = Some(live);
                }
            }
            (Ok(view), Purpose::Continue(dir)) => self.train_view(view, Some(dir), String::new()),
            (Err(error), Purpose::Show) => self.shared.notices.error(format!("the run cannot be shown: {error}")),
            (Err(error), Purpose::Continue(_)) => {
                self.shared.notices.error(format!("the run cannot be continued: {error}"));
            }
        }
    }

    /// A run that was trained when the program ended without a word is looked at again.
    pub(super) fn look_for_what_was_left(&mut self) {
        if self.shared.prefs.training.is_empty() {
            return;
        }
        let dir = PathBuf::from(&self.shared.prefs.training);
        self.left = Some(Job::spawn("look-at-last-run", &self.shared.waker, move |_| {
            Ok(dir.is_dir().then(|| run_dir::summary(&dir)))
        }));
    }

    /// It is shown with its way on, unless it has ended well or another window trains it.
    pub(super) fn drain_left(&mut self) {
        let Some(result) = self.left.as_mut().and_then(Job::poll) else { return };
        self.left = None;
        // What was begun meanwhile is what the user wants.
        if self.is_training() {
            return;
        }
        match result {
            Ok(Some(run)) if run.status == Status::Running => {}
            Ok(Some(run)) if run.status == Status::Interrupted && run.steps > 0 && self.view.is_none() => {
                self.shared.prefs.training.clear();
                let text =
                    format!("{} was interrupted after step {}: it can go on", run.name, grouped(run.steps as u64));
                self.shared.notices.tell(Severity::Warning, text);
                self.show(run.path);
            }
            _ => self.shared.prefs.training.clear(),
        }
    }
}
