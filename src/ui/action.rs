//! Everything that can be asked for without data: one list for buttons, the command palette and the keyboard.

use eframe::egui::{Key, KeyboardShortcut, Modifiers};

use crate::app::prefs::ThemeChoice;
use crate::app::studio::QueueCommand;
use crate::app::training::TrainCommand;
use crate::app::{Command, Readiness, Room, Studio};
use crate::engine::train::Stop;

/// One thing that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a room.
    Go(Room),
    /// Train what is prepared.
    Start,
    /// Train what is prepared when the run in training has ended.
    Queue,
    /// Hold the run, or let it go on.
    PauseOrContinue,
    /// End the run and keep it.
    StopAndKeep,
    /// End the run and write nothing more; asks first.
    Discard,
    /// Train the shown run, which has not finished, further.
    ContinueShown,
    /// Put the shown run away, to prepare another one.
    Another,
    /// A checkpoint after this step.
    SaveNow,
    /// Samples after this step.
    SampleNow,
    /// The plots of the shown run as a picture.
    ExportPng,
    /// Every step of the shown run as a table.
    ExportCsv,
    /// The shown run's folder, in the system's file manager.
    OpenRunFolder,
    /// Choose the folder of the run being prepared.
    ChooseRunFolder,
    /// Choose a model's folder.
    OpenModelFolder,
    /// Choose a GGUF file.
    OpenModelFile,
    /// Choose a data file.
    OpenData,
    /// Choose a file of rows for the validation loss.
    OpenValidation,
    /// Choose an adapter's folder, for the Chat or the Export room.
    OpenAdapter,
    /// Choose where exports go.
    ExportInto,
    /// Prepare a run from its file.
    OpenRunFile,
    /// Write the run being prepared to a file.
    SaveRunFile,
    /// Choose where runs are kept.
    ChooseRunsFolder,
    /// Show the command palette.
    Palette,
    /// Show or hide the log.
    Log,
    /// Dark, light, system.
    Theme,
    /// Everything larger.
    ZoomIn,
    /// Everything smaller.
    ZoomOut,
    /// Everything at its own size.
    ZoomReset,
    /// Versions and licences.
    About,
    /// Leave; asks while a run is trained.
    Quit,
}

impl Action {
    /// All, in the order of the palette.
    pub fn all() -> Vec<Action> {
        use Action::*;
        let mut all =
            vec![Start, Queue, ContinueShown, Another, PauseOrContinue, StopAndKeep, Discard, SaveNow, SampleNow];
        all.extend([ExportPng, ExportCsv, OpenRunFolder, ChooseRunFolder]);
        all.extend([OpenModelFolder, OpenModelFile, OpenData, OpenValidation, OpenAdapter, ExportInto]);
        all.extend([OpenRunFile, SaveRunFile, ChooseRunsFolder]);
        all.extend(Room::ALL.map(Go));
        all.extend([Log, Theme, ZoomIn, ZoomOut, ZoomReset, About, Quit]);
        all
    }

    /// What it is called; "…" where it asks for more.
    pub fn label(self) -> String {
        match self {
            Action::Go(room) => format!("Go to {}", room.title()),
            Action::Start => "Start training".into(),
            Action::Queue => "Queue the prepared run".into(),
            Action::PauseOrContinue => "Pause or continue the run".into(),
            Action::StopAndKeep => "Stop the run and keep it".into(),
            Action::Discard => "Stop the run and discard it…".into(),
            Action::ContinueShown => "Continue the shown run".into(),
            Action::Another => "Prepare another run".into(),
            Action::SaveNow => "Write a checkpoint now".into(),
            Action::SampleNow => "Answer the sample prompts now".into(),
            Action::ExportPng => "Save the run's plots as a picture…".into(),
            Action::ExportCsv => "Save the run's steps as a table…".into(),
            Action::OpenRunFolder => "Open the shown run's folder".into(),
            Action::ChooseRunFolder => "Choose the next run's folder…".into(),
            Action::OpenModelFolder => "Open a model folder…".into(),
            Action::OpenModelFile => "Open a GGUF file…".into(),
            Action::OpenData => "Open a data file…".into(),
            Action::OpenValidation => "Open a validation file…".into(),
            Action::OpenAdapter => "Open an adapter folder…".into(),
            Action::ExportInto => "Choose the export folder…".into(),
            Action::OpenRunFile => "Open a run file…".into(),
            Action::SaveRunFile => "Save the run file…".into(),
            Action::ChooseRunsFolder => "Choose the folder for runs…".into(),
            Action::Palette => "Command palette".into(),
            Action::Log => "Show or hide the log".into(),
            Action::Theme => "Switch between dark and light".into(),
            Action::ZoomIn => "Larger".into(),
            Action::ZoomOut => "Smaller".into(),
            Action::ZoomReset => "Normal size".into(),
            Action::About => "About LoRA Studio".into(),
            Action::Quit => "Quit".into(),
        }
    }

    /// Its keys.
    pub fn shortcut(self) -> Option<KeyboardShortcut> {
        let key = |key| Some(KeyboardShortcut::new(Modifiers::COMMAND, key));
        let shift = |key| Some(KeyboardShortcut::new(Modifiers::COMMAND | Modifiers::SHIFT, key));
        const NUMBERS: [Key; 8] =
            [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8];
        match self {
            Action::Go(room) => Room::ALL.iter().position(|r| *r == room).and_then(|i| key(NUMBERS[i])),
            Action::Start => key(Key::Enter),
            Action::Queue => shift(Key::Enter),
            Action::PauseOrContinue => key(Key::P),
            Action::StopAndKeep => shift(Key::P),
            Action::OpenModelFolder => shift(Key::M),
            Action::OpenModelFile => key(Key::M),
            Action::OpenData => key(Key::D),
            Action::OpenRunFile => key(Key::O),
            Action::SaveRunFile => key(Key::S),
            Action::Palette => key(Key::K),
            Action::Log => key(Key::L),
            Action::Theme => shift(Key::T),
            Action::ZoomIn => key(Key::Plus),
            Action::ZoomOut => key(Key::Minus),
            Action::ZoomReset => key(Key::Num0),
            Action::Quit => key(Key::Q),
            Action::OpenAdapter => shift(Key::O),
            Action::ContinueShown | Action::Another => None,
            Action::Discard | Action::SaveNow | Action::SampleNow | Action::About | Action::OpenValidation => None,
            Action::ExportPng | Action::ExportCsv | Action::OpenRunFolder | Action::ChooseRunFolder => None,
            Action::ExportInto | Action::ChooseRunsFolder => None,
        }
    }

    /// Whether it makes sense now.
    pub fn enabled(self, studio: &Studio) -> bool {
        match self {
            // What is missing is said in the room.
            Action::Start => !studio.is_training(),
            Action::ExportPng | Action::ExportCsv => {
                studio.view.as_ref().is_some_and(|v| v.newest.is_some() && v.dir.is_some())
            }
            Action::ContinueShown => studio.continuable().is_some(),
            Action::Another => studio.view.is_some() && !studio.is_training(),
            Action::OpenRunFolder => studio.view.as_ref().is_some_and(|v| v.dir.is_some()),
            Action::PauseOrContinue | Action::StopAndKeep | Action::Discard | Action::SaveNow | Action::SampleNow => {
                studio.is_training()
            }
            Action::Queue => studio.is_training(),
            Action::SaveRunFile => !matches!(studio.readiness(Room::Method), Readiness::Blocked(_)),
            _ => true,
        }
    }

    /// The command that does it, for what the window does not do itself.
    pub fn command(self, studio: &Studio, dark: bool) -> Option<Command> {
        Some(match self {
            Action::Go(room) => Command::Go(room),
            Action::Start => Command::Start,
            Action::Queue => Command::Queue(QueueCommand::Add),
            Action::PauseOrContinue => Command::Pause(!studio.training.as_ref().is_some_and(|t| t.paused())),
            Action::ContinueShown => Command::Continue(studio.continuable()?.to_path_buf()),
            Action::Another => Command::Train(TrainCommand::Another),
            Action::StopAndKeep => Command::Stop(Stop::Keep),
            Action::OpenRunFolder => Command::Open(studio.view.as_ref()?.dir.as_ref()?.display().to_string()),
            Action::SaveNow => Command::SaveNow,
            Action::SampleNow => Command::SampleNow,
            Action::Theme => Command::Theme(if dark { ThemeChoice::Light } else { ThemeChoice::Dark }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_actions_share_their_keys_or_name() {
        let all: Vec<Action> = Action::all().into_iter().chain([Action::Palette]).collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.label(), b.label());
                assert!(a.shortcut().is_none() || a.shortcut() != b.shortcut(), "{a:?} and {b:?}");
            }
        }
    }
}
