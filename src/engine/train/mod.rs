//! Training: the loop, its schedule and events, and the folder that a run leaves, with its checkpoints.

pub mod checkpoint;
mod control;
pub mod events;
mod optimizer;
pub mod run_dir;
mod schedule;

pub use control::{Control, Stop};
pub use events::Event;
pub use optimizer::Optimizer;
pub use schedule::LrSchedule;
