//! The command line: one file per subcommand, over the same engine as the window.

use std::process::ExitCode;

/// Runs the program on the process's own arguments.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
