//! The rooms of the window, in the order of the way through them.

use serde::{Deserialize, Serialize};

/// One room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Room {
    /// Which model is trained.
    #[default]
    Model,
    /// On what.
    Data,
    /// How.
    Method,
    /// The run itself.
    Train,
    /// Base and adapted model, side by side.
    Chat,
    /// The adapter for other programs.
    Export,
    /// What was trained before.
    Runs,
    /// The program's own settings.
    Settings,
}

impl Room {
    /// The rooms of the flow, then the others.
    pub const ALL: [Room; 8] =
        [Room::Model, Room::Data, Room::Method, Room::Train, Room::Chat, Room::Export, Room::Runs, Room::Settings];

    /// Its name on the rail.
    pub fn title(self) -> &'static str {
        match self {
            Room::Model => "Model",
            Room::Data => "Data",
            Room::Method => "Method",
            Room::Train => "Train",
            Room::Chat => "Chat",
            Room::Export => "Export",
            Room::Runs => "Runs",
            Room::Settings => "Settings",
        }
    }
}

/// Whether a room has what a run needs from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Readiness {
    /// Nothing to say: the room is not part of what a run needs.
    #[default]
    Neutral,
    /// Being looked at.
    Busy,
    /// A run is being trained; this share of it is done, 0 to 1.
    Training(f64),
    /// Ready.
    Ready,
    /// It will run, but a person should look: one sentence.
    Warning(String),
    /// It cannot run: one sentence.
    Blocked(String),
}
