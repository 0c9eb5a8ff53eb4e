//! How others steer a running trainer: shared flags that it polls between micro-batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// What the trainer should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Go on.
    No,
    /// End after the last complete step: write a checkpoint and the adapter.
    Keep,
    /// End and write nothing more; what was written stays.
    Discard,
}

/// Shared flags; clones steer the same run.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    stop: AtomicU8,
    /// Set with `stop`: what long computations inside a step look at.
    cancelled: AtomicBool,
    pause: AtomicBool,
    save: AtomicBool,
    sample: AtomicBool,
}

impl Control {
    /// Flags of a run that simply runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run. A request to discard outlasts a later one to keep.
    pub fn stop(&self, how: Stop) {
        self.0.stop.fetch_max(how as u8, Ordering::SeqCst);
        self.0.cancelled.store(self.stopping() != Stop::No, Ordering::SeqCst);
    }

    /// Whether the run should end, as a flag for generation.
    pub(super) fn cancelled(&self) -> &AtomicBool {
        &self.0.cancelled
    }

    /// Whether and how the run should end.
    pub fn stopping(&self) -> Stop {
        match self.0.stop.load(Ordering::SeqCst) {
            0 => Stop::No,
            1 => Stop::Keep,
            _ => Stop::Discard,
        }
    }

    /// Holds the run between two micro-batches, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.0.pause.store(paused, Ordering::SeqCst);
    }

    /// Whether the run is held.
    pub fn paused(&self) -> bool {
        self.0.pause.load(Ordering::SeqCst)
    }

    /// Asks for a checkpoint after the current step.
    pub fn save_now(&self) {
        self.0.save.store(true, Ordering::SeqCst);
    }

    /// Asks for samples after the current step.
    pub fn sample_now(&self) {
        self.0.sample.store(true, Ordering::SeqCst);
    }

    /// Takes the request for a checkpoint.
    pub(super) fn take_save(&self) -> bool {
        self.0.save.swap(false, Ordering::SeqCst)
    }

    /// Takes the request for samples.
    pub(super) fn take_sample(&self) -> bool {
        self.0.sample.swap(false, Ordering::SeqCst)
    }

    /// Waits while the run is paused and not stopping; returns how it should go on.
    pub(super) fn wait_while_paused(&self) -> Stop {
        while self.paused() && self.stopping() == Stop::No {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discard_outlasts_keep_and_a_stop_ends_a_pause() {
        let control = Control::new();
        let other = control.clone();
        control.pause(true);
        other.stop(Stop::Discard);
        other.stop(Stop::Keep);
        assert_eq!(control.wait_while_paused(), Stop::Discard);
    }

    #[test]
    fn requests_are_taken_once() {
        let control = Control::new();
        control.save_now();
        assert!(control.take_save());
        assert!(!control.take_save());
    }
}
