//! What the window asks for. Widgets edit copies and send commands; only [`super::Studio::apply`] changes state.

use std::path::PathBuf;

use super::chat::ChatCommand;
use super::data::DataCommand;
use super::export::ExportCommand;
use super::model::ModelCommand;
use super::prefs::{Prefs, ThemeChoice};
use super::room::Room;
use super::runs::RunsCommand;
use super::studio::QueueCommand;
use super::training::TrainCommand;
use crate::engine::config::RunConfig;
use crate::engine::train::Stop;

/// One request.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open a room.
    Go(Room),
    /// The run being prepared is now this one.
    Edit(Box<RunConfig>),
    /// Read the run being prepared from a run file.
    OpenRunFile(PathBuf),
    /// Write the run being prepared to a run file.
    SaveRunFile(PathBuf),
    /// The remembered settings are now these (all but the draft).
    Prefs(Box<Prefs>),
    /// Dark or light.
    Theme(ThemeChoice),
    /// Compute which sizes of models fit into which memory.
    Sizes,
    /// Train what is prepared.
    Start,
    /// Hold the run, or let it go on.
    Pause(bool),
    /// End the run.
    Stop(Stop),
    /// Write a checkpoint after this step.
    SaveNow,
    /// Answer the sample prompts after this step.
    SampleNow,
    /// Continue the run in this folder.
    Continue(PathBuf),
    /// Show the run in this folder in the Train room.
    Show(PathBuf),
    /// Of the Model room.
    Model(ModelCommand),
    /// Of the Data room.
    Data(DataCommand),
    /// Of the Train room.
    Train(TrainCommand),
    /// Of the runs that wait for their turn.
    Queue(QueueCommand),
    /// Of the Chat room.
    Chat(ChatCommand),
    /// Of the Export room.
    Export(ExportCommand),
    /// Of the Runs room.
    Runs(RunsCommand),
    /// Open a folder, a file or an address with the system's own program.
    Open(String),
    /// Say something to the user.
    Tell(super::notices::Severity, String),
}

/// Commands of one frame, in order.
#[derive(Debug, Default)]
pub struct Commands(Vec<Command>);

impl Commands {
    /// Adds one.
    pub fn send(&mut self, command: Command) {
        self.0.push(command);
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.0)
    }
}
