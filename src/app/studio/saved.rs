//! What is kept on the disk of the program: run files and settings.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Studio;
use crate::app::notices::Severity;
use crate::engine::config::RunConfig;
use crate::engine::formats::atomic_write;
use crate::engine::train::Stop;

/// How long after the last change the remembered settings are written.
const SAVE_AFTER: Duration = Duration::from_secs(1);

impl Studio {
    pub(super) fn open_run_file(&mut self, path: &Path) {
        match RunConfig::load(path) {
            Ok(mut run) => {
                run.record = None;
                self.shared.run = run;
                self.follow();
                self.shared.notices.tell(Severity::Success, format!("prepared from {}", path.display()));
            }
            Err(error) => self.shared.notices.error(error.to_string()),
        }
    }

    pub(super) fn save_run_file(&mut self, path: &Path) {
        let text = self.shared.run.to_toml();
        match text.and_then(|text| atomic_write(path, text.as_bytes())) {
            Ok(()) => self.shared.notices.tell(Severity::Success, format!("run file written: {}", path.display())),
            Err(error) => self.shared.notices.error(error.to_string()),
        }
    }

    /// Writes the settings a moment after they changed.
    pub(super) fn remember(&mut self) {
        let Some(path) = &self.prefs_path else { return };
        if self.saved_run.as_ref() != Some(&self.shared.run) {
            self.shared.prefs.draft = self.shared.run.to_toml().unwrap_or_default();
            self.saved_run = Some(self.shared.run.clone());
        }
        if self.saved == self.shared.prefs {
            self.changed = None;
            return;
        }
        if self.changed.get_or_insert_with(Instant::now).elapsed() > SAVE_AFTER {
            if let Err(error) = self.shared.prefs.save(path) {
                self.shared.notices.log(Severity::Warning, error);
            }
            self.saved = self.shared.prefs.clone();
        }
    }

    /// The program is being closed: what is trained is kept, and the settings are written.
    pub fn close(&mut self) {
        self.with_training(|t| t.stop(Stop::Keep));
        self.runs.close();
        self.remember_now();
    }

    /// [`Studio::remember`] without waiting for further changes.
    pub(super) fn remember_now(&mut self) {
        self.changed = Instant::now().checked_sub(2 * SAVE_AFTER);
        self.remember();
    }
}
