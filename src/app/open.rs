//! Folders and pages that the user looks at in other programs.

use super::job::{Job, Waker};
use super::notices::{Notices, Severity};

/// Folders and pages that are being opened: the system may take its time over each.
#[derive(Default)]
pub struct Opening(Vec<Job<()>>);

impl Opening {
    /// Opens a folder, a file or an address with the system's own program for it.
    pub fn open(&mut self, what: String, waker: &Waker) {
        self.0.push(Job::spawn("open-with-system", waker, move |_| {
            let opened = opener::open(&what);
            opened.map_err(|e| super::job::JobError::Failed(format!("the system cannot open it ({e}): {what}")))
        }));
    }

    /// Says what did not work.
    pub fn drain(&mut self, notices: &mut Notices) {
        self.0.retain_mut(|job| match job.poll() {
            None => true,
            Some(Ok(())) => false,
            Some(Err(error)) => {
                notices.tell(Severity::Warning, error.to_string());
                false
            }
        });
    }
}
