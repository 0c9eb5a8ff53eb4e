//! The command line: one file per subcommand, over the same engine as the window.

mod args;
mod bench;
mod chat;
mod devices;
mod download;
mod eval;
mod export;
mod inspect;
mod interrupt;
mod model;
mod output;
mod plan;
mod train;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

/// Fine-tune a language model on your own PC: one native program, no Python.
#[derive(Debug, Parser)]
#[command(name = "lora-studio", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train an adapter as a run file says, or continue a run
    Train(train::Args),
    /// Say what a run will take of the memory, buffer by buffer, and what would make it fit
    Plan(plan::Args),
    /// Measure the loss of a model, with or without an adapter, on rows
    Eval(eval::Args),
    /// Talk to a model, with or without an adapter, or to both side by side
    Chat(chat::Args),
    /// Write an adapter in the form that another program reads
    Export(export::Args),
    /// Say what a path holds: a model, an adapter, a run or a dataset
    Inspect(inspect::Args),
    /// Fetch a model or a dataset from the Hugging Face Hub
    Download(download::Args),
    /// Measure how fast this machine trains, decodes and multiplies
    Bench(bench::Args),
    /// List the devices that a run can use
    Devices(devices::Args),
}

/// Runs the program on the process's own arguments. The exit status is 0, or 1 after one line `error: …` on standard
/// error, or 2 for wrong arguments, or 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version count as success, and go to standard output.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let Some(command) = cli.command else { return window(started) };
    let result = match command {
        Command::Train(args) => train::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Download(args) => download::run(&args),
        Command::Bench(args) => bench::run(&args, started),
        Command::Devices(args) => devices::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// No subcommand opens the window.
#[cfg(feature = "gui")]
fn window(started: Instant) -> ExitCode {
    crate::ui::run(started)
}

/// A build without the window says how it is used.
#[cfg(not(feature = "gui"))]
fn window(_started: Instant) -> ExitCode {
    use clap::CommandFactory;
    let _ = Cli::command().print_help();
    ExitCode::SUCCESS
}
