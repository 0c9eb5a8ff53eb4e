//! Ctrl-C: the first asks the work to stop, the second ends the process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// What a shell reports for a program that Ctrl-C ended.
pub(super) const STATUS: u8 = 130;

static PRESSED: AtomicU32 = AtomicU32::new(0);

type Handler = Box<dyn Fn() + Send>;

/// What Ctrl-C does at the moment: a download's way of stopping is not a training's.
static HANDLER: Mutex<Option<Handler>> = Mutex::new(None);

/// From now on Ctrl-C does this.
fn handle(handler: impl Fn() + Send + 'static) {
    static ONCE: Once = Once::new();
    *HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
    ONCE.call_once(|| {
        let current = || {
            if let Some(handler) = &*HANDLER.lock().unwrap_or_else(PoisonError::into_inner) {
                handler();
            }
        };
        // Without a handler Ctrl-C ends the process at once, which loses nothing beyond the last checkpoint.
        let _ = ctrlc::set_handler(current);
    });
}

/// Calls `stop` and says `notice` at the first Ctrl-C (or termination signal); exits at the second.
pub(super) fn on_interrupt(stop: impl Fn() + Send + 'static, notice: &'static str) {
    handle(move || {
        if PRESSED.fetch_add(1, Ordering::SeqCst) == 0 {
            stop();
            super::output::note(format!("\n{notice}"));
        } else {
            std::process::exit(i32::from(STATUS));
        }
    });
}

/// Whether Ctrl-C was pressed.
pub(super) fn interrupted() -> bool {
    PRESSED.load(Ordering::SeqCst) > 0
}

/// Ctrl-C in a conversation: it stops the answer that is being given, and else ends the program.
#[derive(Clone, Debug, Default)]
pub(super) struct Answering {
    busy: Arc<AtomicBool>,
    cancel: Arc<AtomicBool>,
}

impl Answering {
    /// Takes over Ctrl-C.
    pub(super) fn new() -> Answering {
        let answering = Answering::default();
        let own = answering.clone();
        handle(move || {
            // A second Ctrl-C during the same answer ends the program, too.
            if !own.busy.load(Ordering::SeqCst) || own.cancel.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(STATUS));
            }
        });
        answering
    }

    /// Gives an answer, which should look at the flag.
    pub(super) fn during<T>(&self, answer: impl FnOnce(&AtomicBool) -> T) -> T {
        self.busy.store(true, Ordering::SeqCst);
        let result = answer(&self.cancel);
        self.busy.store(false, Ordering::SeqCst);
        result
    }

    /// Whether the answer was stopped.
    pub(super) fn interrupted(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    /// Goes on after an answer that was stopped.
    pub(super) fn reset(&self) {
        self.cancel.store(false, Ordering::SeqCst);
    }
}
