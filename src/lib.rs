//! LoRA Studio: fine-tune a language model on your own PC.
//!
//! The layers are `ui → app → engine`, and a command line over the same engine. The engine has no window, no channel
//! and prints nothing; `ARCHITECTURE.md` shows the whole.

/// Tests count what is allocated, as the program does.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: engine::memory::heap::Counting<std::alloc::System> =
    engine::memory::heap::Counting(std::alloc::System);

#[cfg(feature = "gui")]
pub mod app;
pub mod cli;
pub mod engine;
#[cfg(feature = "gui")]
pub mod ui;
pub mod units;
