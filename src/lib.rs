//! LoRA Studio: fine-tune a language model on your own PC.
//!
//! The layers are `ui → app → engine`, and a command line over the same engine. The engine has no window, no channel
//! and prints nothing; `ARCHITECTURE.md` shows the whole.

#[cfg(feature = "gui")]
pub mod app;
pub mod cli;
pub mod engine;
#[cfg(feature = "gui")]
pub mod ui;
pub mod units;
