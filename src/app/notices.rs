//! What the program tells its user outside of the rooms: short notices, and a log that keeps them all.

use std::collections::VecDeque;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something was done that was asked for.
    Success,
    /// Worth a look.
    Warning,
    /// Something did not work.
    Error,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub text: String,
    /// When, as `HH:MM:SS`.
    pub time: String,
}

/// Lines that the log keeps.
const KEPT: usize = 2_000;

/// Everything that was said, oldest first, and what has not been shown yet.
#[derive(Debug, Default)]
pub struct Notices {
    log: VecDeque<Notice>,
    fresh: Vec<Notice>,
    /// Notices ever logged: changes when there is something new.
    pub count: u64,
}

impl Notices {
    /// Into the log and to the user's eyes.
    pub fn tell(&mut self, severity: Severity, text: impl Into<String>) {
        let notice = Notice { severity, text: text.into(), time: now() };
        self.fresh.push(notice.clone());
        self.keep(notice);
    }

    /// Into the log only.
    pub fn log(&mut self, severity: Severity, text: impl Into<String>) {
        self.keep(Notice { severity, text: text.into(), time: now() });
    }

    /// [`Severity::Error`], to the user's eyes.
    pub fn error(&mut self, text: impl Into<String>) {
        self.tell(Severity::Error, text);
    }

    /// The log, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Notice> + ExactSizeIterator {
        self.log.iter()
    }

    /// What has not been shown yet; taken once.
    pub fn take_fresh(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.fresh)
    }

    fn keep(&mut self, notice: Notice) {
        self.count += 1;
        self.log.push_back(notice);
        if self.log.len() > KEPT {
            self.log.pop_front();
        }
    }
}

fn now() -> String {
    jiff::ZonedDateTime::now().strftime("%H:%M:%S").to_string()
}
