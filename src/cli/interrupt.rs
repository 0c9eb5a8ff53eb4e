//! Ctrl-C: the first asks the work to stop, the second ends the process.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a shell reports for a program that Ctrl-C ended.
pub(super) const STATUS: u8 = 130;

static PRESSED: AtomicU32 = AtomicU32::new(0);

/// Calls `stop` and says `notice` at the first Ctrl-C (or termination signal); exits at the second.
pub(super) fn on_interrupt(stop: impl Fn() + Send + 'static, notice: &'static str) {
    let handler = move || {
        if PRESSED.fetch_add(1, Ordering::SeqCst) == 0 {
            stop();
            super::output::note(format!("\n{notice}"));
        } else {
            std::process::exit(i32::from(STATUS));
        }
    };
    // Without a handler Ctrl-C ends the process at once, which loses nothing beyond the last checkpoint.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
pub(super) fn interrupted() -> bool {
    PRESSED.load(Ordering::SeqCst) > 0
}
