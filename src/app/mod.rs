//! What the program is doing: the run being prepared, the thread that trains, the jobs beside it. No widgets.
//!
//! [`Studio`] holds it all. The window draws it, sends [`Command`]s, and calls [`Studio::drain`] before each frame.

pub mod adapters;
pub mod chat;
pub mod command;
pub mod data;
pub mod draft;
pub mod export;
pub mod gate;
pub mod hub;
pub mod job;
pub mod live;
pub mod model;
pub mod notices;
pub mod open;
pub mod prefs;
pub mod pricing;
pub mod room;
pub mod runs;
pub mod series;
pub mod shared;
pub mod sizes;
pub mod start_folder;
pub mod starting_adapter;
pub mod studio;
pub mod training;

pub use command::Command;
pub use room::{Readiness, Room};
pub use shared::Shared;
pub use studio::Studio;
