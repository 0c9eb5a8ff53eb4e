//! What all rooms share: the run being prepared, the remembered settings, the device, and a way to tell things.

use super::job::Waker;
use super::notices::Notices;
use super::prefs::Prefs;
use crate::engine::config::RunConfig;
use crate::engine::device::Device;
use crate::engine::memory::Machine;

/// Shared by all rooms.
pub struct Shared {
    /// The run being prepared.
    pub run: RunConfig,
    /// What is remembered.
    pub prefs: Prefs,
    /// What the user is told.
    pub notices: Notices,
    /// The device that a run would use.
    pub device: Device,
    /// What decides there how products are cut.
    pub machine: Machine,
    /// Cards, which are shown beside it.
    pub cards: Vec<Device>,
    /// Asks the window to look; called from any thread.
    pub waker: Waker,
}
