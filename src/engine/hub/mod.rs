//! The Hugging Face Hub: what a repository holds, downloads with progress, cancelling and resuming, and the models that
//! are already on this computer.
//!
//! ```no_run
//! use lora_studio::engine::hub::{Hub, HubId, RepoKind};
//! let hub = Hub::from_environment();
//! let id = HubId::parse("HuggingFaceTB/SmolLM2-135M-Instruct", RepoKind::Model)?;
//! let listing = hub.model_files(&id)?;
//! let folder = hub.download(&listing, &mut |p| {
//!     assert!(p.done_bytes <= p.total_bytes);
//!     true
//! })?;
//! # Ok::<(), lora_studio::engine::Error>(())
//! ```
//!
//! Files arrive by plain HTTP with ranges, which every endpoint and mirror understands. The calls block; run them on a
//! thread of their own.

mod cache;
mod checksum;
mod disk;
mod download;
mod front_matter;
mod http;
mod id;
mod listing;
mod local;
mod meter;
mod parts;
mod problem;
mod refusal;
mod select;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use id::{HubId, Reference, RepoKind};
pub use listing::{Listing, RemoteFile};
pub use local::{LocalKind, LocalModel, LocalOrigin, local_models};
pub use meter::Progress;
pub use parts::{DatasetConfig, DatasetParts, DatasetSplit, PartChoice};
pub use problem::{Problem, problem};
pub(in crate::engine) use select::split_named;
pub use settings::Token;

use cache::Cache;
use settings::Settings;

/// The Hub as the environment describes it: its address, the access token, the cache on the disk.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: Settings,
    cache: Cache,
    limits: Limits,
    cancel: Option<Arc<AtomicBool>>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Without a byte for this long, the connection counts as lost.
    stall: Duration,
    /// The pause after the first failure; it doubles.
    backoff: Duration,
}

impl Hub {
    /// Honours `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH`, the token that `hf auth login` left,
    /// and `HF_HUB_OFFLINE`, as huggingface_hub does.
    pub fn from_environment() -> Hub {
        Hub::with(Settings::read(|name| std::env::var(name).ok()))
    }

    /// A Hub whose downloads are in this folder, whatever the environment says.
    #[cfg(test)]
    pub(crate) fn with_cache(folder: &Path) -> Hub {
        Hub::with(Settings::read(|name| (name == "HF_HUB_CACHE").then(|| folder.display().to_string())))
    }

    fn with(settings: Settings) -> Hub {
        let cache = Cache { root: settings.cache.clone() };
        let limits = Limits { stall: Duration::from_secs(30), backoff: Duration::from_millis(500) };
        Hub { settings, cache, limits, cancel: None }
    }

    /// Keeps the token where `hf auth login` does, readable for its owner alone, and uses it from now on, unless a
    /// variable such as `HF_TOKEN` names one. `None` removes it.
    pub fn save_token(&mut self, token: Option<Token>) -> crate::engine::Result<()> {
        settings::write_token_file(&self.settings.token_path, token.as_ref())?;
        if !self.settings.token_from_variable {
            self.settings.token = token;
        }
        Ok(())
    }

    /// The file that the token is kept in.
    pub fn token_path(&self) -> &Path {
        &self.settings.token_path
    }

    /// Whether a variable such as `HF_TOKEN` names the token; the file is then not looked at.
    pub fn token_from_variable(&self) -> bool {
        self.settings.token_from_variable
    }

    /// The Hub's address.
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// Uses this token instead of the environment's; `None` leaves that one.
    pub fn with_token(mut self, token: Option<Token>) -> Hub {
        self.settings.token = token.or(self.settings.token);
        self
    }

    /// Never uses the network if `offline`; the environment may say so already.
    pub fn with_offline(mut self, offline: bool) -> Hub {
        self.settings.offline |= offline;
        self
    }

    /// Stops whatever it is doing soon after the flag is raised, with [`Problem::Cancelled`].
    pub fn with_cancel(mut self, cancel: Arc<AtomicBool>) -> Hub {
        self.cancel = Some(cancel);
        self
    }

    /// The folder that the downloads are in.
    pub fn cache_folder(&self) -> &Path {
        &self.settings.cache
    }

    /// Whether the network is not to be used.
    pub fn offline(&self) -> bool {
        self.settings.offline
    }

    /// Whether there is an access token.
    pub fn has_token(&self) -> bool {
        self.settings.token.is_some()
    }

    fn keep_going(&self) -> impl FnMut(u32) -> bool + use<> {
        let cancel = self.cancel.clone();
        move |_| !cancel.as_ref().is_some_and(|flag| flag.load(Ordering::SeqCst))
    }
}

/// Where a model of the Hub is on this computer, by [`Hub::from_environment`]; without network.
pub fn on_disk(id: &HubId) -> crate::engine::Result<PathBuf> {
    Hub::from_environment().on_disk(id)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
