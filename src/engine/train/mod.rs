//! Training: the loop, its schedule and events, and the folder that a run leaves, with its checkpoints.

pub mod checkpoint;
pub mod events;
pub mod run_dir;
mod schedule;

pub use events::Event;
pub use schedule::LrSchedule;
