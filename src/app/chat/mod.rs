//! Base and adapted model answering side by side, from one resident model on a thread of its own.

mod comparison;
mod engine;
mod settings;
#[cfg(test)]
mod tests;
mod transcript;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::adapters::{Adapters, Base, locate};
use super::job::Job;
use super::live::RunView;
use super::shared::Shared;
use crate::engine::config::ModelSection;
use crate::engine::formats::StoredWeights;
use crate::engine::generate::{Finish, Footprint};
use crate::engine::model::LoadOptions;
use crate::engine::peft::folder;
use crate::units::bytes;
pub use comparison::{Comparison, Word};
use engine::{About, Ask, Engine, Said, Work};
pub use settings::{ChatSettings, MOST_TOKENS, Show};
pub use transcript::{Answer, Turn};

/// Tokens of a conversation that its memory is stated for.
const PLANNED_TOKENS: usize = 2048;

/// Requests of the Chat room.
#[derive(Clone, Debug)]
pub enum ChatCommand {
    /// Talk to something else.
    Choose(Choice),
    /// The adapter's own model, or the prepared one.
    Base(Base),
    /// Look again at what is chosen.
    Look,
    /// Load what is chosen.
    Load,
    /// Give the model's memory back; while it is being loaded, cancel that.
    Unload,
    /// Ask this.
    Ask(String),
    /// Ask this in place of the last prompt.
    Resend(String),
    /// Answer the last prompt again, with the next seed.
    Regenerate,
    /// End the answers that are being written.
    Stop,
    /// Begin anew.
    Clear,
    /// The settings are now these.
    Settings(Box<ChatSettings>),
    /// The message has been read.
    Dismiss,
}

/// What the user wants to talk to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The adapter of the run that is shown, else of the newest finished run; without any, the prepared model.
    #[default]
    Newest,
    /// The prepared model without an adapter.
    Prepared,
    /// A run's folder, or an adapter's.
    Adapter(PathBuf),
}

/// What the choice comes to.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    adapter: Option<PathBuf>,
    base: Base,
    draft: ModelSection,
}

/// What is chosen, looked at without loading it.
pub struct Chosen {
    /// The model as its run or the user names it.
    pub model: String,
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
    /// Its rank and how many numbers it has.
    pub rank: usize,
    /// Numbers in all A and B.
    pub parameters: u64,
    /// What it will take.
    pub footprint: Footprint,
    /// Tokens of a conversation that the footprint is for.
    pub tokens: usize,
    work: Work,
    /// Equal where the same weights would be loaded in the same way.
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    path: PathBuf,
    options: String,
}

/// How far the thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Weights are read: bytes done, bytes in all.
    Loading(u64, u64),
    /// It waits for a prompt.
    Idle,
    /// Answers are being written.
    Answering,
    /// The two models are being compared over the answer.
    Comparing,
}

/// The model in memory.
pub struct Resident {
    engine: Engine,
    /// How far it is.
    pub phase: Phase,
    /// What was loaded.
    pub chosen: Arc<Chosen>,
    /// Bytes of model and adapter.
    pub bytes: u64,
    /// Bytes of the conversation's keys and values.
    pub cache_bytes: u64,
    /// What a person should know of the model.
    pub notices: Vec<String>,
    /// Ends the answers, and the comparison.
    flags: [Arc<AtomicBool>; 2],
}

/// The room's state.
#[derive(Default)]
pub struct Chat {
    /// What the user wants to talk to.
    pub choice: Choice,
    /// On which model.
    pub base: Base,
    /// What that comes to.
    pub chosen: Option<Arc<Chosen>>,
    /// Why it comes to nothing.
    pub problem: Option<String>,
    /// Why the last thing asked for was not done.
    pub refusal: Option<String>,
    /// A prompt that was not taken, and how many were not so far: the room gives it back to be edited.
    pub returned: (u64, String),
    /// The model in memory.
    pub resident: Option<Resident>,
    /// The conversation, oldest first.
    pub turns: Vec<Turn>,
    target: Option<Target>,
    looking: Option<Job<Chosen>>,
    /// Changes with what is talked to: turns before are read, but no longer part of the conversation.
    epoch: u64,
    next_turn: u64,
}

impl Chat {
    /// Looks at what is chosen, if that is not what was looked at.
    pub fn follow(&mut self, shared: &Shared, view: Option<&RunView>, adapters: &Adapters) {
        if !adapters.known() && self.choice == Choice::Newest && view.is_none_or(|v| v.adapter.is_none()) {
            return;
        }
        let adapter = match &self.choice {
            Choice::Prepared => None,
            Choice::Adapter(path) => Some(path),
            Choice::Newest => {
                view.and_then(|view| view.adapter.as_ref()).or_else(|| adapters.newest().map(|run| &run.path))
            }
        };
        let draft = &shared.run.model;
        // Most frames end here: nothing is cloned for them.
        let same = self
            .target
            .as_ref()
            .is_some_and(|t| (t.adapter.as_ref(), t.base) == (adapter, self.base) && t.draft == *draft);
        if same {
            return;
        }
        let target = Target { adapter: adapter.cloned(), base: self.base, draft: draft.clone() };
        self.target = Some(target.clone());
        self.problem = None;
        self.chosen = None;
        self.looking = Some(Job::spawn("look-at-adapter", &shared.waker, move |_| Ok(look(target)?)));
    }

    /// Whether what is chosen is being looked at.
    pub fn looking(&self) -> bool {
        self.looking.is_some() || self.target.is_none()
    }

    /// Takes what the threads have to say.
    pub fn drain(&mut self) {
        if let Some(result) = self.looking.as_mut().and_then(Job::poll) {
            self.looking = None;
            match result {
                Ok(chosen) => self.chosen = Some(Arc::new(chosen)),
                Err(error) => self.problem = Some(error.to_string()),
            }
        }
        let Some(resident) = &self.resident else { return };
        let heard: Vec<Said> = resident.engine.heard().collect();
        heard.into_iter().for_each(|said| self.hear(said));
    }

    fn hear(&mut self, said: Said) {
        let Some(resident) = &mut self.resident else { return };
        let open = self.turns.last_mut().filter(|turn| turn.open);
        match said {
            Said::Loading(done, total) => resident.phase = Phase::Loading(done, total),
            Said::Ready { bytes, notices } => {
                resident.phase = if open.is_some() { Phase::Answering } else { Phase::Idle };
                (resident.bytes, resident.notices) = (bytes, notices);
            }
            Said::Turn(id, About::Done { cache_bytes }) => {
                resident.cache_bytes = cache_bytes;
                let next = match open {
                    // An older turn was given up; this one is still to come.
                    Some(turn) if turn.id != id => return,
                    Some(turn) => {
                        turn.open = false;
                        Phase::Idle
                    }
                    None => Phase::Idle,
                };
                if !matches!(resident.phase, Phase::Loading(..)) {
                    resident.phase = next;
                }
            }
            Said::Turn(id, about) => {
                let Some(turn) = open.filter(|turn| turn.id == id) else { return };
                turn.hear(about);
                if !turn.writing() {
                    resident.phase = Phase::Comparing;
                }
            }
            Said::Gone(result) => {
                if let Some(turn) = open {
                    turn.fail("the model was unloaded before the answer was complete".into());
                    turn.open = false;
                }
                if let Err(error) = result {
                    self.refusal = Some(error);
                }
                self.resident = None;
            }
        }
    }

    /// Whether answers are being written, or wait for the model.
    pub fn answering(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.open && turn.writing())
    }

    /// Whether what is chosen is what is loaded.
    pub fn is_loaded(&self) -> bool {
        let same = |r: &Resident, c: &Chosen| r.chosen.key == c.key && r.chosen.adapter == c.adapter;
        matches!((&self.resident, &self.chosen), (Some(r), Some(c)) if same(r, c))
    }

    /// Bytes that loading what is chosen would take, and bytes that would be free for it.
    pub fn price(&self, shared: &Shared) -> Option<(u64, u64)> {
        let chosen = self.chosen.as_ref()?;
        // What is loaded makes room for it.
        let freed = self.resident.as_ref().map_or(0, |r| r.bytes + r.cache_bytes);
        Some((chosen.footprint.total(), shared.device.available_bytes + freed))
    }

    /// Does what the room asks for.
    pub fn apply(&mut self, command: ChatCommand, shared: &mut Shared) {
        if !matches!(command, ChatCommand::Settings(_)) {
            self.refusal = None;
        }
        match command {
            ChatCommand::Choose(choice) => self.choice = choice,
            ChatCommand::Base(base) => self.base = base,
            ChatCommand::Look => self.target = None,
            ChatCommand::Load => {
                if let Err(why) = self.load(shared) {
                    self.refusal = Some(why);
                }
            }
            ChatCommand::Unload => self.unload(),
            ChatCommand::Ask(prompt) => self.ask(prompt, false, shared),
            ChatCommand::Resend(prompt) => self.ask(prompt, true, shared),
            ChatCommand::Regenerate => {
                let Some(prompt) = self.turns.last().map(|turn| turn.prompt.clone()) else { return };
                if !self.answering() && shared.prefs.chat.temperature > 0.0 {
                    shared.prefs.chat.seed = shared.prefs.chat.seed.wrapping_add(1);
                }
                self.ask(prompt, true, shared);
            }
            ChatCommand::Stop => {
                if let Some(resident) = &self.resident {
                    resident.flags[0].store(true, Ordering::SeqCst);
                }
            }
            ChatCommand::Clear => {
                self.give_up();
                self.turns.clear();
            }
            ChatCommand::Settings(settings) => shared.prefs.chat = *settings,
            ChatCommand::Dismiss => {}
        }
    }

    fn load(&mut self, shared: &Shared) -> Result<(), String> {
        if self.answering() {
            return Err("an answer is being written: stop it before you load something else".into());
        }
        if self.is_loaded() {
            return Ok(());
        }
        let Some(chosen) = self.chosen.clone() else {
            return Err(self.problem.clone().unwrap_or_else(|| "what is chosen is still being looked at".into()));
        };
        let (needed, free) = self.price(shared).unwrap_or_default();
        if needed > free {
            return Err(format!(
                "{} does not fit: it takes {}, and {} are free. Close other programs, or choose a smaller model or \
                 4-bit quantization",
                chosen.model,
                bytes(needed),
                bytes(free)
            ));
        }
        self.give_up();
        self.epoch += 1;
        if let Some(resident) = self.resident.as_mut().filter(|r| r.chosen.key == chosen.key)
            && resident.engine.adapter(chosen.adapter.clone())
        {
            resident.chosen = chosen;
            resident.phase = Phase::Loading(0, 0);
            return Ok(());
        }
        let before = self.resident.take().map(|r| r.engine);
        let engine = Engine::start(chosen.work.clone(), before, &shared.waker)?;
        let flags = Default::default();
        let phase = Phase::Loading(0, 0);
        self.resident = Some(Resident { engine, phase, chosen, bytes: 0, cache_bytes: 0, notices: Vec::new(), flags });
        Ok(())
    }

    /// Ends what is being written or compared.
    fn give_up(&mut self) {
        if let Some(resident) = &self.resident {
            resident.flags.iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
        }
        if let Some(turn) = self.turns.last_mut().filter(|turn| turn.open) {
            turn.close(Finish::Cancelled);
        }
    }

    fn unload(&mut self) {
        self.give_up();
        self.resident = None;
    }

    /// Asks, or says why not and gives the prompt back.
    fn ask(&mut self, prompt: String, again: bool, shared: &Shared) {
        if let Err(why) = self.try_ask(&prompt, again, shared) {
            self.refusal = Some(why);
            self.returned = (self.returned.0 + 1, prompt);
        }
    }

    fn try_ask(&mut self, prompt: &str, again: bool, shared: &Shared) -> Result<(), String> {
        let settings = &shared.prefs.chat;
        if self.answering() {
            return Err("an answer is being written: stop it, or wait until it is complete".into());
        }
        if prompt.trim().is_empty() {
            return Err("write something to ask first".into());
        }
        if let Some(problem) = settings.problem() {
            return Err(problem);
        }
        self.load(shared)?;
        self.give_up();
        let has_adapter = self.chosen.as_ref().is_some_and(|c| c.adapter.is_some());
        let asked = match settings.show {
            _ if !has_adapter => [true, false],
            Show::Both => [true, true],
            Show::Base => [true, false],
            Show::Adapted => [false, true],
        };
        let before = self.turns.len() - usize::from(again && !self.turns.is_empty());
        let history = &self.turns[..before];
        let side =
            |i: usize| asked[i].then(|| transcript::messages(history, i, self.epoch, settings.system.trim(), prompt));
        let sides = [side(0), side(1)];
        let Some(resident) = &mut self.resident else { return Err("no model is loaded".into()) };
        resident.flags = Default::default();
        let turn = self.next_turn + 1;
        let sent = resident.engine.ask(Ask {
            turn,
            sides,
            sampling: settings.sampling(),
            max_new_tokens: settings.max_new_tokens,
            stops: settings.stops(),
            stop: resident.flags[0].clone(),
            give_up: resident.flags[1].clone(),
        });
        if !sent {
            return Err("the model is still busy: try again in a moment".into());
        }
        if resident.phase == Phase::Idle || resident.phase == Phase::Comparing {
            resident.phase = Phase::Answering;
        }
        let with = resident.chosen.clone();
        self.turns.truncate(before);
        self.next_turn = turn;
        self.turns.push(Turn::new(turn, self.epoch, with, prompt.to_string(), asked));
        Ok(())
    }
}

fn look(target: Target) -> crate::engine::Result<Chosen> {
    let located = locate(target.adapter.as_deref(), target.base, &target.draft)?;
    let info = located.adapter.as_deref().map(folder::inspect).transpose()?;
    let options = LoadOptions::of_run(&located.section).without_embeddings();
    let stored = StoredWeights::of(&located.source)?;
    let parameters = info.as_ref().map_or(0, |info| info.parameters as u64);
    let config = &located.source.config;
    let sequences = if info.is_some() { 2 } else { 1 };
    Ok(Chosen {
        footprint: Footprint::of(
            config,
            &stored,
            &options,
            parameters,
            (sequences, PLANNED_TOKENS),
            rayon::current_num_threads(),
        ),
        tokens: PLANNED_TOKENS.min(config.max_positions),
        key: Key { path: located.source.path.clone(), options: format!("{options:?}") },
        model: located.section.source,
        adapter: located.adapter.clone(),
        rank: info.as_ref().map_or(0, |info| info.config.rank),
        parameters,
        work: Work { source: located.source, options, adapter: located.adapter },
    })
}
