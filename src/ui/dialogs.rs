//! The system's file dialogs. They run beside the window, which goes on drawing, and answer with a command.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rfd::{AsyncFileDialog, FileHandle};

use crate::app::Command;
use crate::app::job::Waker;
use crate::app::notices::Severity;

/// What a dialog is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A folder.
    Folder,
    /// A file with one of these endings: name of the kind, endings.
    File(&'static str, &'static [&'static str]),
    /// A name for a new file: suggested name, name of the kind, ending.
    Save(&'static str, &'static str, &'static str),
}

/// Nobody closes a dialog this soon: there was none.
const SOONEST: Duration = Duration::from_millis(300);
const NO_DIALOG: &str = "the system shows no file dialog: type the path, or drop the file onto the window. On Linux \
                         dialogs come from xdg-desktop-portal or zenity";

/// The command of what was chosen. The system does not say that it has no dialog; it answers at once that nothing was chosen.
fn answer(chosen: Option<PathBuf>, after: Duration, then: impl FnOnce(PathBuf) -> Command) -> Option<Command> {
    match chosen {
        Some(path) => Some(then(path)),
        None if after < SOONEST => Some(Command::Tell(Severity::Warning, NO_DIALOG.into())),
        None => None,
    }
}

/// Dialogs that are open, and their answers.
pub struct Dialogs {
    send: Sender<Option<Command>>,
    answers: Receiver<Option<Command>>,
    open: usize,
    waker: Waker,
}

impl Dialogs {
    /// None open.
    pub fn new(waker: Waker) -> Dialogs {
        let (send, answers) = unbounded();
        Dialogs { send, answers, open: 0, waker }
    }

    /// Opens a dialog, unless one is open already; `then` makes the command of what was chosen.
    pub fn ask(
        &mut self,
        title: &str,
        ask: Ask,
        start: Option<&Path>,
        then: impl FnOnce(PathBuf) -> Command + Send + 'static,
    ) {
        if self.open > 0 {
            return;
        }
        let mut dialog = AsyncFileDialog::new().set_title(title);
        if let Some(folder) = start.filter(|p| p.is_dir()) {
            dialog = dialog.set_directory(folder);
        }
        let file: std::pin::Pin<Box<dyn Future<Output = Option<FileHandle>> + Send>> = match ask {
            Ask::Folder => Box::pin(dialog.pick_folder()),
            Ask::File(kind, endings) => {
                Box::pin(dialog.add_filter(kind, endings).add_filter("All files", &["*"]).pick_file())
            }
            Ask::Save(name, kind, ending) => {
                Box::pin(dialog.set_file_name(name).add_filter(kind, &[ending]).save_file())
            }
        };
        let (send, waker) = (self.send.clone(), self.waker.clone());
        let work = move || {
            let begun = Instant::now();
            let chosen = pollster::block_on(file).map(|f| f.path().to_path_buf());
            let _ = send.send(answer(chosen, begun.elapsed(), then));
            waker();
        };
        if std::thread::Builder::new().name("file-dialog".into()).spawn(work).is_ok() {
            self.open += 1;
        }
    }

    /// What was chosen since the last call.
    pub fn take(&mut self) -> Vec<Command> {
        let answers: Vec<_> = self.answers.try_iter().collect();
        self.open -= answers.len().min(self.open);
        answers.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_that_was_closed_says_nothing_and_one_that_never_was_does() {
        let path = Some(PathBuf::from("/rows.jsonl"));
        assert!(matches!(answer(path, Duration::ZERO, Command::OpenRunFile), Some(Command::OpenRunFile(_))));
        assert!(answer(None, Duration::from_secs(1), Command::OpenRunFile).is_none());
        let told = answer(None, Duration::from_millis(5), Command::OpenRunFile);
        assert!(matches!(told, Some(Command::Tell(Severity::Warning, text)) if text.contains("zenity")));
    }
}
