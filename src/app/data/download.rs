//! A data set on its way from the Hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::app::job::{Job, JobError, Waker};
use crate::app::notices::Severity;
use crate::app::shared::Shared;
use crate::engine::data;
use crate::engine::hub::{Hub, HubId, PartChoice, Problem, problem};
use crate::units::bytes;

/// What has come from the Hub.
enum Arrived {
    /// The rows.
    Rows,
    /// What the data set consists of, to choose from.
    Parts,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// What the data set consists of.
    Parts,
    /// The rows of this part; where none is named and there are several configurations, those to choose from.
    Rows(PartChoice),
}

/// The download of a data set, and how the last one ended.
#[derive(Default)]
pub struct Download {
    /// What is or was downloaded.
    pub id: Option<HubId>,
    /// Why the last one ended early.
    pub problem: Option<String>,
    job: Option<Job<Arrived>>,
    stop: Arc<AtomicBool>,
}

impl Download {
    /// Begins; refused while another one goes on. `offline` is the user's wish to use no network.
    pub(super) fn start(&mut self, id: HubId, wish: Wish, offline: bool, waker: &Waker) -> Result<(), String> {
        if let (Some(_), Some(other)) = (&self.job, &self.id) {
            return Err(format!("{other} is being downloaded: wait until it is here, or stop it"));
        }
        self.stop = Arc::new(AtomicBool::new(false));
        self.problem = None;
        self.id = Some(id.clone());
        let stop = self.stop.clone();
        self.job = Some(Job::spawn("download-data", waker, move |task| {
            let ended = |error: crate::engine::Error| match problem(&error) {
                Some(Problem::Cancelled) => JobError::Cancelled,
                _ => JobError::from(error),
            };
            let hub = Hub::from_environment().with_offline(offline).with_cancel(stop);
            task.say("asking the Hub for its files");
            let part = match wish {
                // One that a person has seen is chosen, also where nothing is named.
                Wish::Rows(part) if id.file.is_some() || !part.config.is_empty() || hub.known_parts(&id).is_some() => {
                    part
                }
                Wish::Rows(part) => {
                    let parts = hub.dataset_parts(&id).map_err(ended)?;
                    if parts.configs.len() > 1 {
                        return Ok(Arrived::Parts);
                    }
                    part
                }
                Wish::Parts => {
                    hub.dataset_parts(&id).map_err(ended)?;
                    return Ok(Arrived::Parts);
                }
            };
            let listing = hub.dataset_part(&id, &part).map_err(ended)?;
            // Before the person waits for files that nothing reads.
            let readable =
                |path: &str| data::ENDINGS.iter().any(|e| path.to_ascii_lowercase().ends_with(&format!(".{e}")));
            if !listing.files.iter().any(|file| readable(&file.path)) {
                let first = listing.files.first().map(|file| file.path.clone()).unwrap_or_default();
                let endings = data::ENDINGS.join(", .");
                return Err(JobError::Failed(format!(
                    "its rows are in files that are not read ({first}); files ending in .{endings} are: \
                     convert them first, and open the converted file"
                )));
            }
            hub.download(&listing, &mut |now| {
                let speed = match now.retries {
                    0 => format!("{}/s", bytes(now.bytes_per_second as u64)),
                    tries => format!("connection lost, try {tries}"),
                };
                task.say(format!("{}: {} of {}, {speed}", now.file, bytes(now.done_bytes), bytes(now.total_bytes)));
                task.progress(now.done_bytes, now.total_bytes);
                !task.cancelled()
            })
            .map_err(ended)?;
            Ok(Arrived::Rows)
        }));
        Ok(())
    }

    /// Asks it to end; what has arrived is kept.
    pub(super) fn cancel(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(job) = &self.job {
            job.cancel();
        }
    }

    /// Share done and words, while it goes on.
    pub fn progress(&self) -> Option<(Option<f32>, String)> {
        self.job.as_ref().map(|job| (job.fraction(), job.text()))
    }

    /// True when something has just arrived.
    pub(super) fn drain(&mut self, shared: &mut Shared) -> bool {
        let Some(result) = self.job.as_mut().and_then(Job::poll) else { return false };
        self.job = None;
        let name = self.id.as_ref().map(HubId::to_string).unwrap_or_default();
        match result {
            Ok(Arrived::Parts) => return true,
            Ok(Arrived::Rows) => {
                shared.notices.tell(Severity::Success, format!("{name} is on this computer now"));
                return true;
            }
            Err(JobError::Cancelled) => {
                self.problem = Some("stopped; what has arrived is kept, and the next download continues there".into());
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
        false
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
