//! Training: the loop, its events, and the folder that a run leaves.

pub mod events;

pub use events::Event;
