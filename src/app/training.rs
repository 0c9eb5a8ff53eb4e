//! The training thread: one at a time, steered by flags, watched through a bounded channel.
//!
//! The trainer must never wait for a window that is slow or hidden, and the window must not miss what matters. So step
//! events are left out when the channel fills up (they are in the run's `metrics.jsonl`, from where the curves are then
//! read again), and all others always arrive.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use super::job::{Waker, panic_message};
use crate::engine::config::RunConfig;
use crate::engine::train::{self, Control, Event, Stop, run_dir};

/// Requests of the Train room that no other room has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainCommand {
    /// The next run is called this; empty: by its folder.
    Name(String),
    /// Put the shown run away, to prepare another one.
    Another,
    /// Show the run that is being trained.
    Live,
    /// The run that is being read from the disk need not be shown.
    CancelReading,
    /// Do not begin the run that was to begin as soon as the checks are done.
    CancelStart,
}

/// Events that fit into the channel.
const CAPACITY: usize = 4096;
/// Room that step events leave for the others.
const RESERVED: usize = 256;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Model and data are being read.
    Preparing,
    /// Steps are being made.
    Running,
    /// Held between two micro-batches.
    Paused,
    /// Asked to end; the last checkpoint and the adapter are being written.
    Stopping,
    /// Over, for whatever reason.
    Ended,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were made, or it was stopped and kept.
    Finished {
        /// The adapter's folder.
        adapter: PathBuf,
    },
    /// It was stopped and nothing more was written.
    Discarded,
    /// It could not go on.
    Failed(String),
}

/// A run that this process trains, or has trained.
pub struct Training {
    control: Control,
    events: Receiver<Event>,
    /// Step events that did not fit.
    missed: Arc<AtomicU64>,
    ending: Receiver<Result<(), String>>,
    /// How far it is.
    pub phase: Phase,
    /// Set when it is over.
    pub outcome: Option<Outcome>,
    /// Its folder, once it has one.
    pub run_dir: Option<PathBuf>,
    adapter: Option<PathBuf>,
}

impl Training {
    /// Starts a new run, or continues the one in `resume`. A `name` that is not empty is written beside the run.
    pub fn start(config: RunConfig, resume: Option<PathBuf>, name: String, waker: &Waker) -> Training {
        let work = move |control: &Control, on_event: &mut dyn FnMut(Event)| {
            let mut named = |event: Event| {
                let problem = match &event {
                    Event::Started { run_dir, .. } if !name.trim().is_empty() => run_dir::rename(run_dir, &name).err(),
                    _ => None,
                };
                on_event(event);
                if let Some(error) = problem {
                    on_event(Event::Note { message: format!("the run's name could not be written: {error}") });
                }
            };
            train::run(&config, resume.as_deref(), control, &mut named).map_err(|e| e.to_string())
        };
        Self::spawn(work, waker)
    }

    /// [`Training::start`] with any trainer, for tests.
    pub(crate) fn spawn(
        work: impl FnOnce(&Control, &mut dyn FnMut(Event)) -> Result<(), String> + Send + 'static,
        waker: &Waker,
    ) -> Training {
        let (send, events) = bounded(CAPACITY);
        let (end, ending) = bounded(1);
        let control = Control::new();
        let missed = Arc::new(AtomicU64::new(0));
        let (inner, counter, wake, refuse) = (control.clone(), missed.clone(), waker.clone(), end.clone());
        let thread = move || {
            let result = catch_unwind(AssertUnwindSafe(|| {
                work(&inner, &mut |event| {
                    deliver(&send, event, &counter, &inner);
                    wake();
                })
            }));
            let result = result.unwrap_or_else(|panic| {
                Err(format!(
                    "an error in the program itself: {}. The run is kept up to its last checkpoint; please report it",
                    panic_message(panic.as_ref())
                ))
            });
            let _ = end.send(result);
            wake();
        };
        if let Err(error) = std::thread::Builder::new().name("training".into()).spawn(thread) {
            let _ = refuse.send(Err(format!("the system gives no thread for training: {error}")));
        }
        Training {
            control,
            events,
            missed,
            ending,
            phase: Phase::Preparing,
            outcome: None,
            run_dir: None,
            adapter: None,
        }
    }

    /// Whether the thread still works.
    pub fn active(&self) -> bool {
        self.phase != Phase::Ended
    }

    /// Takes what has happened since the last call and hands it to `on_event` in order.
    pub fn drain(&mut self, mut on_event: impl FnMut(Event)) {
        // The end first: every event was sent before it.
        let ended = self.ending.try_recv().ok();
        while let Ok(event) = self.events.try_recv() {
            match &event {
                Event::Started { run_dir, .. } => {
                    self.run_dir = Some(run_dir.clone());
                    if self.phase == Phase::Preparing {
                        self.phase = if self.control.paused() { Phase::Paused } else { Phase::Running };
                    }
                }
                Event::Finished { adapter_dir, .. } => self.adapter = Some(adapter_dir.clone()),
                _ => {}
            }
            on_event(event);
        }
        if let Some(result) = ended {
            self.phase = Phase::Ended;
            self.outcome = Some(match (result, self.adapter.take()) {
                // Stopped while it was still reading: nothing went wrong.
                (Err(_), None) if self.control.stopping() != Stop::No => Outcome::Discarded,
                (Err(error), _) => Outcome::Failed(error),
                (Ok(()), Some(adapter)) => Outcome::Finished { adapter },
                (Ok(()), None) => Outcome::Discarded,
            });
        }
    }

    /// Step events that were left out since the last call. The curves must then be read from the disk.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::SeqCst)
    }

    /// Holds the run, or lets it go on.
    pub fn pause(&mut self, paused: bool) {
        self.control.pause(paused);
        self.phase = match self.phase {
            Phase::Running if paused => Phase::Paused,
            Phase::Paused if !paused => Phase::Running,
            other => other,
        };
    }

    /// Whether it is held, or will be once it runs.
    pub fn paused(&self) -> bool {
        self.control.paused()
    }

    /// Ends the run.
    pub fn stop(&mut self, how: Stop) {
        self.control.stop(how);
        if self.active() {
            self.phase = Phase::Stopping;
        }
    }

    /// Whether it was asked to end.
    pub fn stopped(&self) -> bool {
        self.control.stopping() != Stop::No
    }

    /// A checkpoint after this step.
    pub fn save_now(&self) {
        self.control.save_now();
    }

    /// Samples after this step.
    pub fn sample_now(&self) {
        self.control.sample_now();
    }
}

impl Drop for Training {
    /// The window is going: what was trained is kept by the trainer's own rules.
    fn drop(&mut self) {
        if self.active() {
            self.control.stop(Stop::Keep);
        }
    }
}

fn deliver(send: &Sender<Event>, event: Event, missed: &AtomicU64, control: &Control) {
    if matches!(event, Event::Step { .. }) {
        let room = send.len() < CAPACITY - RESERVED;
        if !room || matches!(send.try_send(event), Err(TrySendError::Full(_))) {
            missed.fetch_add(1, Ordering::SeqCst);
        }
        return;
    }
    let mut event = event;
    loop {
        match send.send_timeout(event, Duration::from_millis(200)) {
            Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
            // Nobody has looked for thousands of events. Only a run that is given up may lose one.
            Err(SendTimeoutError::Timeout(_)) if control.stopping() == Stop::Discard => return,
            Err(SendTimeoutError::Timeout(back)) => event = back,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn waker() -> Waker {
        Arc::new(|| {})
    }

    fn step(step: usize) -> Event {
        Event::Step {
            step,
            epoch: 0.0,
            loss: 1.0,
            learning_rate: 1e-4,
            grad_norm: 1.0,
            tokens: 1,
            supervised_tokens: 1,
            tokens_per_second: 1.0,
            memory_bytes: 1,
        }
    }

    fn started() -> Event {
        Event::Started {
            run_dir: "run".into(),
            trainable_parameters: 1,
            total_parameters: 2,
            plan_bytes: 3,
            total_steps: 9,
        }
    }

    fn drain_to_end(training: &mut Training) -> Vec<Event> {
        let mut events = Vec::new();
        let until = Instant::now() + Duration::from_secs(30);
        while training.active() {
            training.drain(|e| events.push(e));
            assert!(Instant::now() < until, "the run did not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        events
    }

    #[test]
    fn a_window_that_never_looks_holds_nothing_up_and_misses_only_steps() {
        let mut training = Training::spawn(
            |_, on_event| {
                on_event(started());
                for i in 1..=3 * CAPACITY {
                    on_event(step(i));
                    if i % CAPACITY == 0 {
                        on_event(Event::Checkpoint { step: i, path: "c".into() });
                    }
                }
                on_event(Event::Finished {
                    steps: 3 * CAPACITY,
                    loss: 1.0,
                    adapter_dir: "run/adapter".into(),
                    seconds: 1.0,
                    peak_memory_bytes: 1,
                });
                Ok(())
            },
            &waker(),
        );
        std::thread::sleep(Duration::from_millis(200));
        let events = drain_to_end(&mut training);
        let steps = events.iter().filter(|e| matches!(e, Event::Step { .. })).count();
        assert_eq!(events.iter().filter(|e| matches!(e, Event::Checkpoint { .. })).count(), 3);
        assert!(matches!(events.last(), Some(Event::Finished { .. })));
        assert_eq!(steps as u64 + training.take_missed(), 3 * CAPACITY as u64);
        assert_eq!(training.take_missed(), 0);
        assert_eq!(training.outcome, Some(Outcome::Finished { adapter: "run/adapter".into() }));
    }

    #[test]
    fn a_panic_ends_the_run_with_its_words() {
        let mut training = Training::spawn(
            |_, on_event| {
                on_event(started());
                panic!("a slice was too short")
            },
            &waker(),
        );
        drain_to_end(&mut training);
        let Some(Outcome::Failed(error)) = &training.outcome else { panic!("{:?}", training.outcome) };
        assert!(error.contains("a slice was too short") && error.contains("last checkpoint"), "{error}");
    }

    #[test]
    fn pausing_and_stopping_reach_the_trainer() {
        let mut training = Training::spawn(
            |control, on_event| {
                on_event(started());
                while control.stopping() == Stop::No {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err("interrupted".into())
            },
            &waker(),
        );
        while training.phase == Phase::Preparing {
            training.drain(|_| {});
            std::thread::sleep(Duration::from_millis(1));
        }
        training.pause(true);
        assert_eq!((training.phase, training.paused()), (Phase::Paused, true));
        training.pause(false);
        assert_eq!(training.phase, Phase::Running);
        training.stop(Stop::Discard);
        assert_eq!(training.phase, Phase::Stopping);
        drain_to_end(&mut training);
        assert_eq!(training.outcome, Some(Outcome::Discarded));
    }
}
