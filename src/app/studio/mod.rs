//! The whole state of the program, and the one place that changes it.

mod queue;
mod running;
mod saved;
mod shown;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::adapters::Adapters;
use super::chat::Chat;
use super::command::Command;
use super::data::DataState;
use super::export::Export;
use super::gate;
use super::job::{Job, Waker};
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
use super::start_folder::StartFolder;
use super::starting_adapter::StartingAdapter;
use super::training::Training;
use crate::engine::config::RunConfig;
use crate::engine::device;
use crate::engine::memory::Machine;
use crate::engine::train::run_dir::RunSummary;
pub use queue::{QueueCommand, Waiting};
use shown::Purpose;

/// How often free memory is asked for.
const DEVICE_EVERY: Duration = Duration::from_secs(2);

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
            Command::Queue(command) => self.queue(command),
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

    /// A device that does not change, with the products of two threads with bfloat16: for pictures that are compared, and
    /// prices that are the same on every machine.
    #[cfg(test)]
    pub(crate) fn fix_device(&mut self, device: crate::engine::device::Device) {
        self.shared.device = device;
        self.shared.machine = Machine { threads: 2, isa: crate::engine::ops::cpu::Isa::Avx512Bf16 };
        self.device_read = Instant::now() + Duration::from_secs(24 * 3600);
        self.reprice();
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
        self.adapters.look(&self.shared);
        match room {
            Room::Chat => self.chat.follow(&self.shared, self.view.as_ref(), &self.adapters),
            _ => self.export.follow(&self.shared, self.view.as_ref(), &self.adapters),
        }
    }
}
