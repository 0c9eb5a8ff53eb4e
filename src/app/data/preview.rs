//! The row that is shown, made on a thread that keeps the tokenizer and the compiled template; and the search for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::app::job::{Job, Waker, panic_message};
use crate::engine::config::LossOn;
use crate::engine::data::{Preview, Previewer, Survey};
use crate::engine::formats::TextTokenizer;

type Answer = (usize, Result<Preview, String>);

/// The row that is looked at.
#[derive(Default)]
pub struct Look {
    /// Its index, from 0.
    pub row: usize,
    /// The row, or why it cannot be shown. The one before stays until the next is there.
    pub shown: Option<Result<Arc<Preview>, String>>,
    rows: usize,
    worker: Option<Worker>,
    /// Whether another row, or this one in another way, is on its way.
    waiting: bool,
}

struct Worker {
    /// The row that is wanted: a newer wish replaces an older one.
    wanted: Arc<Mutex<Option<usize>>>,
    ring: Sender<()>,
    answers: Receiver<Answer>,
}

impl Look {
    /// Nothing yet; this row when there are some.
    pub fn at(row: usize) -> Look {
        Look { row, ..Look::default() }
    }

    /// Shows rows of this survey; `written` is what is trained, and `data.chat_template`.
    pub fn begin(
        &mut self,
        survey: &Arc<Survey>,
        tokenizer: &Arc<TextTokenizer>,
        written: (LossOn, String),
        waker: &Waker,
    ) {
        self.rows = survey.train.len();
        self.worker = None;
        if self.rows == 0 {
            (self.shown, self.waiting) = (None, false);
            return;
        }
        self.worker = Some(Worker::start(survey.clone(), tokenizer.clone(), written, waker.clone()));
        self.ask(self.row, waker);
    }

    /// Shows another row; the last one where there are fewer.
    pub fn ask(&mut self, row: usize, waker: &Waker) {
        let Some(worker) = &self.worker else { return };
        self.row = row.min(self.rows - 1);
        self.waiting = true;
        *worker.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.row);
        // Full: it has been called already and will find the newest wish.
        let _ = worker.ring.try_send(());
        waker();
    }

    /// Whether what is shown is not yet what was asked for.
    pub fn waiting(&self) -> bool {
        self.waiting
    }

    pub(super) fn drain(&mut self) {
        let Some(worker) = &self.worker else { return };
        for (row, answer) in worker.answers.try_iter() {
            if row == self.row {
                self.shown = Some(answer.map(Arc::new));
                self.waiting = false;
            }
        }
    }
}

impl Worker {
    /// The thread ends when the worker is dropped.
    fn start(
        survey: Arc<Survey>,
        tokenizer: Arc<TextTokenizer>,
        (loss_on, template): (LossOn, String),
        waker: Waker,
    ) -> Worker {
        let wanted = Arc::new(Mutex::new(None::<usize>));
        let (ring, rung) = bounded::<()>(1);
        let (answer, answers) = bounded::<Answer>(8);
        let (wishes, refuse) = (wanted.clone(), answer.clone());
        let work = move || {
            let previewer = Previewer::with_template(&tokenizer, &template).map_err(|error| error.to_string());
            for () in rung.iter() {
                let Some(row) = wishes.lock().unwrap_or_else(PoisonError::into_inner).take() else { continue };
                let show = || {
                    let previewer = previewer.as_ref().map_err(Clone::clone)?;
                    show(previewer, &survey, row, loss_on).map_err(|error| error.to_string())
                };
                let shown = catch_unwind(AssertUnwindSafe(show)).unwrap_or_else(|panic| {
                    Err(format!("an error in the program itself: {}", panic_message(panic.as_ref())))
                });
                if answer.send((row, shown)).is_err() {
                    return;
                }
                waker();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("preview-rows".into()).spawn(work) {
            let _ = refuse.send((0, Err(format!("the system gives no thread for the preview: {error}"))));
        }
        Worker { wanted, ring, answers }
    }
}

fn show(previewer: &Previewer, survey: &Survey, index: usize, loss_on: LossOn) -> crate::engine::Result<Preview> {
    previewer.show(survey.train.row(index)?, &survey.train.summary.reading, loss_on)
}

/// A search through the rows.
#[derive(Default)]
pub struct Finding {
    /// What is or was looked for.
    pub text: String,
    /// What became of it, when there is something to say.
    pub outcome: Option<String>,
    job: Option<Job<Option<usize>>>,
}

impl Finding {
    /// Looks for a text from this row on; a search before is given up.
    pub(super) fn start(text: String, from: usize, survey: Arc<Survey>, waker: &Waker) -> Finding {
        let needle = text.clone();
        let job = Job::spawn("search-rows", waker, move |task| {
            let found = survey.train.find(&needle, from, &mut |done, total| {
                task.progress(done, total);
                !task.cancelled()
            });
            Ok(found?)
        });
        Finding { text, outcome: None, job: Some(job) }
    }

    /// The row that was found.
    pub(super) fn drain(&mut self) -> Option<usize> {
        let result = self.job.as_mut().and_then(Job::poll)?;
        self.job = None;
        match result {
            Ok(Some(row)) => return Some(row),
            Ok(None) => self.outcome = Some(format!("no row holds \"{}\"", self.text)),
            Err(error) => self.outcome = Some(error.to_string()),
        }
        None
    }

    /// Share of the rows looked at, while it looks.
    pub fn progress(&self) -> Option<f32> {
        self.job.as_ref().map(|job| job.fraction().unwrap_or(0.0))
    }
}
