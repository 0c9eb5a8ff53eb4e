//! The row that is shown, made on a thread that keeps the tokenizer and the compiled template; and the search for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::app::job::{Job, Waker, panic_message};
use crate::engine::config::LossOn;
use crate::engine::data::{Preview, Previewer, RowReader, Survey};
use crate::engine::formats::TextTokenizer;

type Answer = (Wanted, Result<Preview, String>);

/// A row to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// One that can be read: its index.
    Row(usize),
    /// One that cannot.
    Wrong(WrongAt),
}

/// A row that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAt {
    /// Whether it is of the validation file.
    pub held_out: bool,
    /// Which of those of its file, from 0.
    pub at: usize,
}

/// The row that is looked at.
#[derive(Default)]
pub struct Look {
    /// Its index, from 0; if one is shown that cannot be read, the one before that.
    pub row: usize,
    /// The row that cannot be read, if it is such a one.
    pub wrong: Option<WrongAt>,
    /// The row, or why it cannot be shown. The one before stays until the next is there.
    pub shown: Option<Result<Arc<Preview>, String>>,
    rows: usize,
    worker: Option<Worker>,
    /// Whether another row, or this one in another way, is on its way.
    waiting: bool,
}

struct Worker {
    /// The row that is wanted: a newer wish replaces an older one.
    wanted: Arc<Mutex<Option<Wanted>>>,
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
        let wrong = |held_out: bool| wrong_rows(survey, held_out);
        // One that cannot be read stays in sight as long as there is one in its place.
        let kept = self.wrong.filter(|wrong_at| wrong_at.at < wrong(wrong_at.held_out));
        let first = WrongAt { held_out: wrong(false) == 0, at: 0 };
        let nothing_else = (self.rows == 0 && wrong(first.held_out) > 0).then_some(first);
        let at = kept.or(nothing_else);
        if self.rows == 0 && at.is_none() {
            (self.shown, self.waiting, self.wrong) = (None, false, None);
            return;
        }
        self.worker = Some(Worker::start(survey.clone(), tokenizer.clone(), written, waker.clone()));
        match at {
            Some(at) => self.ask_wrong(at, waker),
            None => self.ask(self.row, waker),
        }
    }

    /// Shows another row; the last one where there are fewer.
    pub fn ask(&mut self, row: usize, waker: &Waker) {
        let Some(last) = self.rows.checked_sub(1) else { return };
        (self.row, self.wrong) = (row.min(last), None);
        self.want(waker);
    }

    /// Shows a row that cannot be read.
    pub fn ask_wrong(&mut self, at: WrongAt, waker: &Waker) {
        self.wrong = Some(at);
        self.want(waker);
    }

    fn wanted(&self) -> Wanted {
        self.wrong.map_or(Wanted::Row(self.row), Wanted::Wrong)
    }

    fn want(&mut self, waker: &Waker) {
        let wanted = self.wanted();
        let Some(worker) = &self.worker else { return };
        self.waiting = true;
        *worker.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        // Full: it has been called already and will find the newest wish.
        let _ = worker.ring.try_send(());
        waker();
    }

    /// Whether what is shown is not yet what was asked for.
    pub fn waiting(&self) -> bool {
        self.waiting
    }

    pub(super) fn drain(&mut self) {
        let wanted = self.wanted();
        let Some(worker) = &self.worker else { return };
        for (row, answer) in worker.answers.try_iter() {
            if row == wanted {
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
        let wanted = Arc::new(Mutex::new(None::<Wanted>));
        let (ring, rung) = bounded::<()>(1);
        let (answer, answers) = bounded::<Answer>(8);
        let (wishes, refuse) = (wanted.clone(), answer.clone());
        let work = move || {
            let previewer = Previewer::with_template(&tokenizer, &template);
            let mut opened = previewer.and_then(|previewer| Ok((previewer, survey.train.source.reader()?)));
            for () in rung.iter() {
                let Some(row) = wishes.lock().unwrap_or_else(PoisonError::into_inner).take() else { continue };
                let mut show = || {
                    let (previewer, reader) = opened.as_mut().map_err(|error| error.to_string())?;
                    show(previewer, &survey, reader, row, loss_on).map_err(|error| error.to_string())
                };
                let shown = catch_unwind(AssertUnwindSafe(&mut show)).unwrap_or_else(|panic| {
                    Err(format!("an error in the program itself: {}", panic_message(panic.as_ref())))
                });
                if answer.send((row, shown)).is_err() {
                    return;
                }
                waker();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("preview-rows".into()).spawn(work) {
            let _ = refuse.send((Wanted::Row(0), Err(format!("the system gives no thread for the preview: {error}"))));
        }
        Worker { wanted, ring, answers }
    }
}

fn show(
    previewer: &Previewer,
    survey: &Survey,
    reader: &mut RowReader,
    wanted: Wanted,
    loss_on: LossOn,
) -> crate::engine::Result<Preview> {
    let reading = &survey.train.summary.reading;
    match wanted {
        Wanted::Row(index) => previewer.show(survey.train.row_by(reader, index)?, reading, loss_on),
        Wanted::Wrong(WrongAt { held_out, at }) => {
            let held = survey.validation.as_ref().filter(|_| held_out);
            let rows = held.unwrap_or(&survey.train);
            previewer.show_wrong(&rows.source, &rows.wrong_row(at)?, &rows.summary.reading, loss_on)
        }
    }
}

/// How many rows of a file cannot be read.
pub fn wrong_rows(survey: &Survey, held_out: bool) -> usize {
    match (held_out, &survey.validation) {
        (false, _) => survey.train.summary.wrong_rows,
        (true, held) => held.as_ref().map_or(0, |held| held.summary.wrong_rows),
    }
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
