//! The whole state of the program, and the one place that changes it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::adapters::Adapters;
use super::chat::Chat;
use super::command::Command;
use super::data::DataState;
use super::export::Export;
use super::gate;
use super::job::{Job, JobError, Waker};
use super::live::{Ending, RunView};
use super::model::{FormPrice, ModelState};
use super::notices::{Notices, Severity};
use super::open::Opening;
use super::prefs::Prefs;
use super::pricing::Pricing;
use super::room::{Readiness, Room};
use super::runs::RunsState;
use super::shared::Shared;
use super::sizes::Sizes;
use super::start_folder::{StartFolder, placed};
use super::starting_adapter::StartingAdapter;
use super::training::{Outcome, TrainCommand, Training};
use crate::engine::config::{RunConfig, shorten_home};
use crate::engine::device;
use crate::engine::formats::atomic_write;
use crate::engine::memory::Machine;
use crate::engine::train::run_dir::{self, RunSummary, Status};
use crate::engine::train::{Event, Stop};
use crate::units::grouped;

/// How long after the last change the remembered settings are written.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// How often free memory is asked for.
const DEVICE_EVERY: Duration = Duration::from_secs(2);

/// What a run is read from the disk for.
enum Purpose {
    Show,
    Continue(PathBuf),
}

/// The state of the program.
pub struct Studio {
    /// What all rooms share.
    pub shared: Shared,
    /// The draft's model.
    pub model: ModelState,
    /// The draft's rows.
    pub data: DataState,
    /// The adapter that the draft continues from.
    pub starting: StartingAdapter,
    /// The draft's price.
    pub pricing: Pricing,
    /// Which sizes of models fit into which memory.
    pub sizes: Sizes,
    /// The runs on the disk.
    pub runs: RunsState,
    opening: Opening,
    /// The run that trains, or has trained since the start of the program.
    pub training: Option<Training>,
    /// The run that the Train room shows.
    pub view: Option<RunView>,
    /// The adapters of the runs on the disk.
    pub adapters: Adapters,
    /// Base and adapted model answering.
    pub chat: Chat,
    /// The adapter for other programs.
    pub export: Export,
    /// Where the draft will lie.
    pub folder: StartFolder,
    /// What the next run is called; empty: by its folder.
    pub run_name: String,
    /// The run that is trained, while another one is shown.
    parked: Option<RunView>,
    /// The draft that Start was given for, while the checks that decide are not done.
    asked: Option<Box<RunConfig>>,
    /// A run being read from the disk, and what for.
    reading: Option<(Job<RunView>, Purpose)>,
    /// The trained run, read again because its steps came faster than they were drawn.
    catching_up: Option<Job<RunView>>,
    /// The run that was trained when the program ended without a word, being looked at.
    left: Option<Job<Option<RunSummary>>>,
    prefs_path: Option<PathBuf>,
    saved: Prefs,
    /// Model and tokens a second of the run that was trained last.
    last_speed: Option<(String, f64)>,
    /// The draft whose text is in `saved`.
    saved_run: Option<RunConfig>,
    changed: Option<Instant>,
    device_read: Instant,
}

impl Studio {
    /// The program as it was left; `prefs_path` is where it is remembered.
    pub fn open(prefs_path: Option<PathBuf>, waker: Waker) -> Studio {
        let mut notices = Notices::default();
        let (prefs, warnings) = prefs_path.as_deref().map(Prefs::load).unwrap_or_default();
        warnings.into_iter().for_each(|warning| notices.tell(Severity::Warning, warning));
        let (run, complaint) = prefs.draft();
        complaint.into_iter().for_each(|c| notices.tell(Severity::Warning, c));
        let shared = Shared {
            run,
            prefs: prefs.clone(),
            notices,
            device: device::cpu(),
            machine: Machine::this(),
            cards: Vec::new(),
            waker,
        };
        let mut studio = Studio {
            shared,
            model: ModelState::default(),
            data: DataState::default(),
            starting: StartingAdapter::default(),
            pricing: Pricing::default(),
            sizes: Sizes::default(),
            runs: RunsState::default(),
            opening: Opening::default(),
            training: None,
            view: None,
            folder: StartFolder::default(),
            run_name: String::new(),
            parked: None,
            adapters: Adapters::default(),
            chat: Chat::default(),
            export: Export::default(),
            asked: None,
            reading: None,
            catching_up: None,
            left: None,
            prefs_path,
            saved: prefs,
            last_speed: None,
            saved_run: None,
            changed: None,
            device_read: Instant::now(),
        };
        studio.follow();
        studio.look_for_what_was_left();
        studio
    }

    /// Takes what has happened on other threads. Called before each frame, also while the window is hidden.
    pub fn drain(&mut self) {
        let model = self.model.drain(&mut self.shared);
        let data = self.data.drain(&mut self.shared);
        let starting = self.starting.drain();
        if model || data || starting {
            self.follow();
        }
        self.drain_training();
        self.drain_left();
        self.folder.drain();
        self.sizes.drain();
        self.drain_reading();
        self.drain_chat_and_export();
        let training = self.is_training();
        if self.runs.drain(&mut self.shared, training) {
            self.follow();
        }
        self.opening.drain(&mut self.shared.notices);
        if self.device_read.elapsed() > DEVICE_EVERY {
            self.device_read = Instant::now();
            self.shared.device.refresh();
            self.shared.cards = device::cards();
            self.reprice();
        }
        if self.asked.is_some() {
            self.begin_or_wait();
        }
        self.remember();
    }

    /// Does one thing that the window asks for.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Go(room) => {
                if room == Room::Train && self.shared.prefs.room != room {
                    self.folder.look(&self.shared);
                }
                if matches!(room, Room::Chat | Room::Export) {
                    self.adapters.refresh(&self.shared);
                }
                self.shared.prefs.room = room;
            }
            Command::Edit(run) => {
                self.shared.run = *run;
                self.follow();
            }
            Command::OpenRunFile(path) => self.open_run_file(&path),
            Command::SaveRunFile(path) => self.save_run_file(&path),
            Command::Prefs(prefs) => {
                let draft = std::mem::take(&mut self.shared.prefs.draft);
                self.shared.prefs = Prefs { draft, ..*prefs };
                let smoothing = f64::from(self.shared.prefs.smoothing);
                for view in [&mut self.view, &mut self.parked].into_iter().flatten() {
                    view.loss.set_smoothing(smoothing);
                }
                self.folder.follow(&self.shared);
            }
            Command::Theme(theme) => self.shared.prefs.theme = theme,
            Command::Sizes => self.sizes.begin(&self.shared.waker),
            Command::Start => self.start(),
            Command::Continue(dir) => self.resume(dir),
            Command::Pause(paused) => self.with_training(|t| t.pause(paused)),
            Command::Stop(how) => self.with_training(|t| t.stop(how)),
            Command::SaveNow => self.with_training(|t| t.save_now()),
            Command::SampleNow => self.with_training(|t| t.sample_now()),
            Command::Show(dir) => self.show(dir),
            Command::Model(command) => {
                self.model.apply(command, &mut self.shared);
                self.follow();
            }
            Command::Data(command) => {
                self.data.apply(command, &mut self.shared, self.model.info.as_ref());
                self.reprice();
            }
            Command::Train(command) => self.train(command),
            Command::Chat(command) => {
                self.chat.apply(command, &mut self.shared);
                self.drain_chat_and_export();
            }
            Command::Export(command) => {
                self.export.apply(command, &mut self.shared);
                self.drain_chat_and_export();
            }
            Command::Runs(command) => {
                if self.runs.apply(command, &mut self.shared) {
                    self.follow();
                }
            }
            Command::Open(what) => self.opening.open(what, &self.shared.waker),
            Command::Tell(severity, text) => self.shared.notices.tell(severity, text),
        }
    }

    /// Whether a run is being trained.
    pub fn is_training(&self) -> bool {
        self.training.as_ref().is_some_and(Training::active)
    }

    /// Whether a run begins by itself as soon as the checks are done, because Start was given before.
    pub fn about_to_start(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether Start would train; [`gate::checks`] says why not.
    pub fn may_start(&self) -> bool {
        self.reading.is_none() && gate::refusal(self).is_none()
    }

    /// Whether a run is being read from the disk, to be shown or continued.
    pub fn reading_run(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether the run that is trained is not the one that is shown.
    pub fn training_elsewhere(&self) -> bool {
        self.parked.is_some() && self.is_training()
    }

    /// The folder of the run that is shown, if it can be trained further now.
    pub fn continuable(&self) -> Option<&Path> {
        let view = self.view.as_ref().filter(|_| !self.is_training())?;
        match view.ending? {
            Ending::Finished | Ending::Elsewhere => None,
            _ => view.dir.as_deref(),
        }
    }

    /// The run that is trained, whether it is shown or not.
    fn live_view(&self) -> Option<&RunView> {
        [&self.view, &self.parked].into_iter().flatten().find(|view| view.live())
    }

    /// Tokens a second of the run that was shown last, if it had this model.
    pub(crate) fn known_speed(&self, model: &str) -> Option<f64> {
        let newest = self.last_speed.as_ref().filter(|(known, _)| known == model)?;
        Some(newest.1).filter(|speed| *speed > 0.0)
    }

    /// For the rail.
    pub fn readiness(&self, room: Room) -> Readiness {
        match room {
            Room::Model => self.model.readiness(),
            Room::Data => self.data.readiness(),
            Room::Method => match self.shared.run.validate() {
                Err(error) => Readiness::Blocked(error.to_string()),
                Ok(_) if self.starting.readiness() != Readiness::Ready => self.starting.readiness(),
                Ok(warnings) => match warnings.first() {
                    Some(warning) => Readiness::Warning(warning.message.clone()),
                    None => Readiness::Ready,
                },
            },
            Room::Train if self.is_training() => Readiness::Training(self.live_view().map_or(0.0, RunView::fraction)),
            Room::Train => match gate::refusal(self) {
                Some(check) if check.verdict == gate::Verdict::Refused => Readiness::Blocked(check.sentence),
                Some(_) => Readiness::Neutral,
                None => Readiness::Ready,
            },
            _ => Readiness::Neutral,
        }
    }

    /// Brings model, rows and price up to the draft.
    fn follow(&mut self) {
        self.model.follow(&mut self.shared);
        self.data.follow(&mut self.shared, self.model.info.as_ref());
        self.starting.follow(&self.shared, self.model.info.as_ref());
        self.folder.follow(&self.shared);
        self.reprice();
    }

    fn reprice(&mut self) {
        self.pricing = Pricing::of(
            &self.shared,
            self.model.info.as_deref(),
            self.data.info.as_deref(),
            self.starting.shape.as_ref(),
        );
        self.model.forms = match self.model.info.as_deref() {
            Some(model) => FormPrice::of(&self.shared, model, self.data.info.as_deref(), self.starting.shape.as_ref()),
            None => Vec::new(),
        };
    }

    fn with_training(&mut self, act: impl FnOnce(&mut Training)) {
        if let Some(training) = self.training.as_mut().filter(|t| t.active()) {
            act(training);
        }
    }

    /// Whether another run may begin now; says so if not.
    fn free_to_train(&mut self) -> bool {
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

    fn start(&mut self) {
        if !self.free_to_train() {
            return;
        }
        self.shared.prefs.room = Room::Train;
        self.asked = Some(Box::new(self.shared.run.clone()));
        self.begin_or_wait();
    }

    /// Begins the run that was asked for, if the gate is open; says why not, if it stays shut. While something is still
    /// being looked at, the wish is kept.
    fn begin_or_wait(&mut self) {
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
                self.train_view(view, None);
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

    fn resume(&mut self, dir: PathBuf) {
        if self.free_to_train() {
            self.read(dir.clone(), Purpose::Continue(dir));
        }
    }

    fn train_view(&mut self, mut view: RunView, resume: Option<PathBuf>) {
        view.own = true;
        view.ending = None;
        view.failure = None;
        let name = if resume.is_none() { self.run_name.trim().to_string() } else { String::new() };
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

    /// A device that does not change, with the products of two threads with bfloat16: for pictures that are compared, and
    /// prices that are the same on every machine.
    #[cfg(test)]
    pub(crate) fn fix_device(&mut self, device: crate::engine::device::Device) {
        self.shared.device = device;
        self.shared.machine = Machine { threads: 2, isa: crate::engine::ops::cpu::Isa::Avx512Bf16 };
        self.device_read = Instant::now() + Duration::from_secs(24 * 3600);
        self.reprice();
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

    fn train(&mut self, command: TrainCommand) {
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

    /// What the Chat and Export rooms wait for. They look at adapters while they are shown only: the first start reads no
    /// run and opens no second model.
    fn drain_chat_and_export(&mut self) {
        self.chat.drain();
        self.export.drain();
        let room = self.shared.prefs.room;
        if !matches!(room, Room::Chat | Room::Export) {
            return;
        }
        self.adapters.drain();
        if !self.adapters.known() {
            self.adapters.refresh(&self.shared);
        }
        match room {
            Room::Chat => self.chat.follow(&self.shared, self.view.as_ref(), &self.adapters),
            _ => self.export.follow(&self.shared, self.view.as_ref(), &self.adapters),
        }
    }

    fn drain_training(&mut self) {
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
        }
        if missed > 0
            && let Some(dir) = dir
        {
            let smoothing = f64::from(self.shared.prefs.smoothing);
            let read = move |_: &super::job::Task| Ok(RunView::read(&dir, smoothing)?);
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
        }
    }

    /// A run that was trained when the program ended without a word is looked at again.
    fn look_for_what_was_left(&mut self) {
        if self.shared.prefs.training.is_empty() {
            return;
        }
        let dir = PathBuf::from(&self.shared.prefs.training);
        self.left = Some(Job::spawn("look-at-last-run", &self.shared.waker, move |_| {
            Ok(dir.is_dir().then(|| run_dir::summary(&dir)))
        }));
    }

    /// It is shown with its way on, unless it has ended well or another window trains it.
    fn drain_left(&mut self) {
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

    fn show(&mut self, dir: PathBuf) {
        self.shared.prefs.room = Room::Train;
        let mine = self.training.as_ref().filter(|t| t.active()).is_some_and(|t| t.run_dir.as_ref() == Some(&dir));
        if mine {
            self.train(TrainCommand::Live);
        } else {
            self.read(dir, Purpose::Show);
        }
    }

    fn read(&mut self, dir: PathBuf, purpose: Purpose) {
        self.shared.prefs.room = Room::Train;
        let smoothing = f64::from(self.shared.prefs.smoothing);
        let job = Job::spawn("read-run", &self.shared.waker, move |_| Ok(RunView::read(&dir, smoothing)?));
        self.reading = Some((job, purpose));
    }

    fn drain_reading(&mut self) {
        let Some(result) = self.reading.as_mut().and_then(|(job, _)| job.poll()) else { return };
        let Some((_, purpose)) = self.reading.take() else { return };
        match (result, purpose) {
            (Ok(view), Purpose::Show) => {
                let before = self.view.replace(view);
                if let Some(live) = before.filter(RunView::live) {
                    self.parked = Some(live);
                }
            }
            (Ok(view), Purpose::Continue(dir)) => self.train_view(view, Some(dir)),
            (Err(error), Purpose::Show) => self.shared.notices.error(format!("the run cannot be shown: {error}")),
            (Err(error), Purpose::Continue(_)) => {
                self.shared.notices.error(format!("the run cannot be continued: {error}"));
            }
        }
    }

    fn open_run_file(&mut self, path: &Path) {
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

    fn save_run_file(&mut self, path: &Path) {
        let text = self.shared.run.to_toml();
        match text.and_then(|text| atomic_write(path, text.as_bytes())) {
            Ok(()) => self.shared.notices.tell(Severity::Success, format!("run file written: {}", path.display())),
            Err(error) => self.shared.notices.error(error.to_string()),
        }
    }

    /// Writes the settings a moment after they changed.
    fn remember(&mut self) {
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
        self.changed = Instant::now().checked_sub(2 * SAVE_AFTER);
        self.remember();
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
