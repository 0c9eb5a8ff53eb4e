//! Training: the loop, its events, and the folder that a run leaves.

pub mod events;
pub mod run_dir;

pub use events::Event;
