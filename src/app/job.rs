//! Work on a thread of its own: progress, cancel, and a result that the window picks up between two frames.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};

/// Asks the window to look at what has changed; called from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The user cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// The work itself failed, in one sentence for the user.
    #[error("{0}")]
    Failed(String),
    /// A defect of the program.
    #[error("an error in the program itself: {0}. The rest goes on; please report it")]
    Panicked(String),
}

impl From<crate::engine::Error> for JobError {
    fn from(error: crate::engine::Error) -> Self {
        JobError::Failed(error.to_string())
    }
}

/// A job as its thread sees it.
#[derive(Clone)]
pub struct Task(Arc<Shared>);

struct Shared {
    done: AtomicU64,
    total: AtomicU64,
    text: Mutex<String>,
    cancel: AtomicBool,
    waker: Waker,
}

impl Task {
    fn new(waker: &Waker) -> Task {
        Task(Arc::new(Shared {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            text: Mutex::new(String::new()),
            cancel: AtomicBool::new(false),
            waker: waker.clone(),
        }))
    }

    /// Reports `done` of `total`, in whatever unit the job has; a total of 0 is unknown.
    pub fn progress(&self, done: u64, total: u64) {
        self.0.done.store(done, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
        (self.0.waker)();
    }

    /// Says what is being done.
    pub fn say(&self, text: impl Into<String>) {
        *self.0.text.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
        (self.0.waker)();
    }

    /// Whether the user wants it to end.
    pub fn cancelled(&self) -> bool {
        self.0.cancel.load(Ordering::SeqCst)
    }

    /// An error to leave with when cancelled.
    pub fn check(&self) -> Result<(), JobError> {
        if self.cancelled() { Err(JobError::Cancelled) } else { Ok(()) }
    }
}

/// A running job as the window sees it. Dropping it cancels the work; its result is thrown away.
pub struct Job<T> {
    task: Task,
    started: Instant,
    result: Receiver<Result<T, JobError>>,
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work` on a thread called `name`. A panic in it becomes [`JobError::Panicked`].
    pub fn spawn(
        name: &'static str,
        waker: &Waker,
        work: impl FnOnce(&Task) -> Result<T, JobError> + Send + 'static,
    ) -> Job<T> {
        let (send, result) = bounded(1);
        let task = Task::new(waker);
        let (inner, wake) = (task.clone(), waker.clone());
        let refuse = send.clone();
        let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&inner)));
            let result = result.unwrap_or_else(|panic| Err(JobError::Panicked(panic_message(panic.as_ref()))));
            // The window may be gone, or the job dropped.
            let _ = send.send(result);
            wake();
        });
        if let Err(error) = spawned {
            let _ = refuse.send(Err(JobError::Failed(format!("the system gives no thread for \"{name}\": {error}"))));
        }
        Job { task, started: Instant::now(), result }
    }

    /// The result, once, when it is there.
    pub fn poll(&mut self) -> Option<Result<T, JobError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(JobError::Panicked("its thread is gone".into()))),
        }
    }
}

impl<T> Job<T> {
    /// Done and total, in the job's unit; the total is 0 while it is unknown.
    pub fn progress(&self) -> (u64, u64) {
        (self.task.0.done.load(Ordering::Relaxed), self.task.0.total.load(Ordering::Relaxed))
    }

    /// Share done, 0 to 1, where the total is known.
    pub fn fraction(&self) -> Option<f32> {
        let (done, total) = self.progress();
        (total > 0).then(|| (done as f64 / total as f64).min(1.0) as f32)
    }

    /// What it says it is doing.
    pub fn text(&self) -> String {
        self.task.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Time since it began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks it to end; its result will be an error or what it has so far.
    pub fn cancel(&self) {
        self.task.0.cancel.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked to end.
    pub fn cancelling(&self) -> bool {
        self.task.cancelled()
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T: Send + 'static>(job: &mut Job<T>) -> Result<T, JobError> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match job.poll() {
                Some(result) => return result,
                None => assert!(Instant::now() < until, "the job did not end"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn waker() -> (Waker, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let inner = count.clone();
        let waker: Waker = Arc::new(move || {
            inner.fetch_add(1, Ordering::SeqCst);
        });
        (waker, count)
    }

    #[test]
    fn a_result_comes_once_and_wakes_the_window() {
        let (waker, count) = waker();
        let mut job = Job::spawn("add", &waker, |task| {
            task.progress(1, 4);
            Ok(2 + 2)
        });
        assert_eq!(wait(&mut job), Ok(4));
        assert_eq!(job.fraction(), Some(0.25));
        std::thread::sleep(Duration::from_millis(20));
        assert!(count.load(Ordering::SeqCst) >= 2);
    }

    #[test]
    fn a_panic_is_an_error_that_keeps_its_words() {
        let mut job: Job<()> = Job::spawn("panics", &waker().0, |_| panic!("index 7 of 3"));
        let error = wait(&mut job).unwrap_err();
        assert_eq!(error, JobError::Panicked("index 7 of 3".into()));
        assert!(error.to_string().contains("index 7 of 3"));
    }

    #[test]
    fn cancelling_reaches_the_work_and_dropping_cancels() {
        let (ended, end) = bounded(2);
        let work = move |task: &Task| -> Result<(), JobError> {
            while !task.cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = ended.send(());
            task.check()
        };
        let mut job = Job::spawn("waits", &waker().0, work.clone());
        job.cancel();
        assert_eq!(wait(&mut job), Err(JobError::Cancelled));
        drop(Job::spawn("waits", &waker().0, work));
        for _ in 0..2 {
            end.recv_timeout(Duration::from_secs(20)).expect("the work ended");
        }
    }
}
