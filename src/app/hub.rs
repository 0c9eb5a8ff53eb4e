//! The Hub as the Model room uses it: what a repository holds, one download at a time, what is on this computer, the token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::job::{Job, JobError, Task, Waker};
use super::notices::Severity;
use super::room::Room;
use super::shared::Shared;
use crate::engine::Error;
use crate::engine::hub::{Hub, HubId, Listing, LocalModel, Problem, Progress, RepoKind, Token, problem};

/// Requests about the Hub.
#[derive(Clone, Debug)]
pub enum HubCommand {
    /// Look what the repository of this name holds; take it at once when it is on this computer.
    Look(String),
    /// Forget what was looked at.
    Close,
    /// Begin or continue the download of what was looked at.
    Download,
    /// Stop the download; what has arrived is kept.
    Cancel,
    /// Look again which models are on this computer.
    Scan,
    /// Keep this access token, or none.
    SaveToken(Option<Token>),
    /// Whether the network may be used.
    Offline(bool),
}

/// A problem, for the one who shows it with a button that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The Hub's own kind, where it is one.
    pub kind: Option<Problem>,
    /// What happened and what to do.
    pub text: String,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Trouble {
        Trouble { kind: problem(error).cloned(), text: error.to_string() }
    }
}

impl From<JobError> for Trouble {
    fn from(error: JobError) -> Trouble {
        Trouble { kind: None, text: error.to_string() }
    }
}

/// What a repository holds, and how much of it is here.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its files.
    pub listing: Listing,
    /// Bytes that a download would still fetch.
    pub missing: u64,
}

impl Found {
    /// Bytes that are on this computer.
    pub fn here(&self) -> u64 {
        self.listing.total_bytes() - self.missing.min(self.listing.total_bytes())
    }
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The name, as it was typed.
    pub name: String,
    /// Its page on the Hub.
    pub page: String,
    /// The files.
    pub found: Option<Found>,
    /// Why there are none, or why the download ended.
    pub trouble: Option<Trouble>,
}

/// What a look gives.
enum Look {
    OnDisk,
    Listed(Box<Found>),
    Trouble(Trouble),
}

struct Download {
    job: Job<(u64, Result<(), Trouble>)>,
    cancel: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
    /// The draft's model when it began: the new one takes its place only if nobody has chosen another since.
    instead_of: String,
}

impl Drop for Download {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::SeqCst);
    }
}

/// What is on this computer.
struct Scan {
    models: Vec<LocalModel>,
    cache_bytes: u64,
}

/// The Hub's part of the Model room.
pub struct HubState {
    /// The Hub as the environment describes it. The token in it never shows itself.
    pub base: Hub,
    /// What was looked at last.
    pub looked: Option<Looked>,
    /// Models on this computer, once they are known.
    pub local: Option<Vec<LocalModel>>,
    /// Bytes of the cache, once they are known.
    pub cache_bytes: Option<u64>,
    /// Why the token could not be kept.
    pub token_problem: Option<String>,
    looking: Option<(Job<Look>, Arc<AtomicBool>)>,
    download: Option<Download>,
    scanning: Option<Job<Scan>>,
    token_job: Option<Job<Hub>>,
}

impl Default for HubState {
    fn default() -> Self {
        HubState {
            base: Hub::from_environment(),
            looked: None,
            local: None,
            cache_bytes: None,
            token_problem: None,
            looking: None,
            download: None,
            scanning: None,
            token_job: None,
        }
    }
}

impl HubState {
    /// The Hub with the user's own settings.
    pub fn hub(&self, shared: &Shared) -> Hub {
        self.base.clone().with_offline(shared.prefs.offline)
    }

    /// Whether a repository is being looked at.
    pub fn looking(&self) -> bool {
        self.looking.is_some()
    }

    /// How far the download is, while there is one.
    pub fn progress(&self) -> Option<Progress> {
        let download = self.download.as_ref()?;
        Some(download.progress.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether the download was told to stop and has not yet.
    pub fn cancelling(&self) -> bool {
        self.download.as_ref().is_some_and(|d| d.job.cancelling())
    }

    /// Whether the disk is being looked through.
    pub fn scanning(&self) -> bool {
        self.scanning.is_some()
    }

    /// Does what the room asks for.
    pub fn apply(&mut self, command: HubCommand, shared: &mut Shared) {
        match command {
            HubCommand::Look(name) => self.look(name, shared),
            HubCommand::Close if self.download.is_none() => {
                self.stop_looking();
                self.looked = None;
            }
            HubCommand::Close => {}
            HubCommand::Download => self.start_download(shared),
            HubCommand::Cancel => {
                if let Some(download) = &self.download {
                    download.cancel.store(true, Ordering::SeqCst);
                    download.job.cancel();
                }
                if self.stop_looking() {
                    self.looked = None;
                }
            }
            HubCommand::Scan => self.scan(shared),
            HubCommand::SaveToken(token) => self.save_token(token, &shared.waker),
            HubCommand::Offline(offline) => shared.prefs.offline = offline,
        }
    }

    fn stop_looking(&mut self) -> bool {
        let Some((job, cancel)) = self.looking.take() else { return false };
        cancel.store(true, Ordering::SeqCst);
        job.cancel();
        true
    }

    fn look(&mut self, name: String, shared: &mut Shared) {
        if self.download.is_some() {
            let text = "a download is running: cancel it, or wait until it is done, then look at another model";
            shared.notices.tell(Severity::Warning, text);
            return;
        }
        self.stop_looking();
        let name = name.trim().to_string();
        let hub = self.hub(shared);
        let id = match HubId::parse(&name, RepoKind::Model) {
            Ok(id) => id,
            Err(error) => {
                self.looked = Some(Looked { name, trouble: Some((&error).into()), ..Looked::default() });
                return;
            }
        };
        // As the run file would name it: what was typed may be the address of a page.
        self.looked = Some(Looked { name: id.to_string(), page: hub.page(&id), ..Looked::default() });
        let cancel = Arc::new(AtomicBool::new(false));
        let hub = hub.with_cancel(cancel.clone());
        let job = Job::spawn("look-at-hub", &shared.waker, move |_| Ok(look_at(&hub, &id)));
        self.looking = Some((job, cancel));
    }

    fn start_download(&mut self, shared: &mut Shared) {
        if self.download.is_some() {
            shared.notices.tell(Severity::Warning, "a download is running already: one at a time");
            return;
        }
        let hub = self.hub(shared);
        let Some(looked) = &mut self.looked else { return };
        let Some(found) = &looked.found else { return };
        looked.trouble = None;
        let listing = found.listing.clone();
        let first = Progress {
            done_bytes: found.here(),
            total_bytes: listing.total_bytes(),
            file: listing.files.first().map(|f| f.path.clone()).unwrap_or_default(),
            ..Progress::default()
        };
        let progress = Arc::new(Mutex::new(first));
        let cancel = Arc::new(AtomicBool::new(false));
        let (shown, hub) = (progress.clone(), hub.with_cancel(cancel.clone()));
        let job = Job::spawn("download", &shared.waker, move |task: &Task| {
            let mut report = |now: &Progress| {
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
                task.progress(now.done_bytes, now.total_bytes);
                !task.cancelled()
            };
            let result = hub.download(&listing, &mut report);
            Ok((hub.missing_bytes(&listing), result.map(drop).map_err(|e| (&e).into())))
        });
        let instead_of = shared.run.model.source.clone();
        self.download = Some(Download { job, cancel, progress, instead_of });
    }

    fn scan(&mut self, shared: &Shared) {
        if self.scanning.is_some() {
            return;
        }
        let hub = self.hub(shared);
        self.scanning = Some(Job::spawn("scan-models", &shared.waker, move |_| {
            Ok(Scan { models: hub.local_models(), cache_bytes: hub.cache_bytes() })
        }));
    }

    fn save_token(&mut self, token: Option<Token>, waker: &Waker) {
        let mut hub = self.base.clone();
        self.token_problem = None;
        self.token_job = Some(Job::spawn("save-token", waker, move |_| {
            hub.save_token(token)?;
            Ok(hub)
        }));
    }

    /// Takes what has happened; gives the name of a model that is now on this computer and is to be opened.
    pub fn drain(&mut self, shared: &mut Shared) -> Option<String> {
        if self.local.is_none() && matches!(shared.prefs.room, Room::Model | Room::Settings) {
            self.scan(shared);
        }
        if let Some(result) = self.scanning.as_mut().and_then(Job::poll) {
            self.scanning = None;
            match result {
                Ok(scan) => (self.local, self.cache_bytes) = (Some(scan.models), Some(scan.cache_bytes)),
                Err(error) => {
                    self.local.get_or_insert_default();
                    shared.notices.error(format!("the models on this computer cannot be listed: {error}"));
                }
            }
        }
        if let Some(result) = self.token_job.as_mut().and_then(Job::poll) {
            self.token_job = None;
            match result {
                Ok(hub) => {
                    self.base = hub;
                    // What was refused may be allowed now, and the other way round.
                    if let Some(name) = self.looked.as_ref().filter(|l| l.found.is_none()).map(|l| l.name.clone())
                        && self.download.is_none()
                    {
                        self.look(name, shared);
                    }
                }
                Err(error) => self.token_problem = Some(error.to_string()),
            }
        }
        self.drain_look().or_else(|| self.drain_download(shared))
    }

    fn drain_look(&mut self) -> Option<String> {
        let result = self.looking.as_mut().and_then(|(job, _)| job.poll())?;
        self.looking = None;
        let looked = self.looked.as_mut()?;
        match result.unwrap_or_else(|error| Look::Trouble(error.into())) {
            Look::OnDisk => {
                let name = std::mem::take(&mut looked.name);
                self.looked = None;
                return Some(name);
            }
            Look::Listed(found) => looked.found = Some(*found),
            Look::Trouble(trouble) => looked.trouble = Some(trouble),
        }
        None
    }

    fn drain_download(&mut self, shared: &mut Shared) -> Option<String> {
        let result = self.download.as_mut().and_then(|d| d.job.poll())?;
        let instead_of = self.download.take().map(|d| d.instead_of.clone()).unwrap_or_default();
        let looked = self.looked.as_mut()?;
        let (missing, ended) = match result {
            Ok((missing, ended)) => (Some(missing), ended),
            Err(error) => (None, Err(error.into())),
        };
        if let (Some(found), Some(missing)) = (&mut looked.found, missing) {
            found.missing = missing;
        }
        match ended {
            Ok(()) => {
                let id = looked.found.as_ref().map(|found| found.listing.id.to_string());
                let name = id.unwrap_or_else(|| looked.name.clone());
                self.looked = None;
                self.scan(shared);
                shared.notices.tell(Severity::Success, format!("{name} is on this computer now"));
                (shared.run.model.source == instead_of).then_some(name)
            }
            Err(trouble) => {
                // Cancelling is no trouble: the button says that it can go on.
                looked.trouble = (trouble.kind != Some(Problem::Cancelled)).then_some(trouble);
                None
            }
        }
    }
}

fn look_at(hub: &Hub, id: &HubId) -> Look {
    match hub.on_disk(id) {
        Ok(_) => return Look::OnDisk,
        Err(error) if problem(&error) == Some(&Problem::NotOnDisk) => {}
        // Several GGUF files of it are here; the network may know of more.
        Err(error) if hub.offline() => return Look::Trouble((&error).into()),
        Err(_) => {}
    }
    match hub.model_files(id) {
        Ok(listing) => Look::Listed(Box::new(Found { missing: hub.missing_bytes(&listing), listing })),
        Err(error) => Look::Trouble((&error).into()),
    }
}
