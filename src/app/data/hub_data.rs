//! A data set of the Hub, and what it consists of.

use crate::engine::config::DataConfig;
use crate::engine::hub::{DatasetParts, Hub, HubId, Reference, RepoKind};

/// A data set of the Hub.
#[derive(Clone, Debug, PartialEq)]
pub struct HubData {
    /// Its name.
    pub id: HubId,
    /// What it consists of, if the Hub was asked, or its README is here.
    pub parts: Option<DatasetParts>,
    /// Whether the Hub was asked: there may be more than what is here.
    pub asked: bool,
}

impl HubData {
    /// The data set that the settings name as a whole.
    pub(super) fn of(settings: &DataConfig) -> Option<HubData> {
        let id = Reference::hub(&settings.train, RepoKind::Dataset).filter(|id| id.file.is_none())?;
        let hub = Hub::from_environment();
        let known = hub.known_parts(&id);
        let asked = known.is_some();
        let parts = known.or_else(|| hub.carded_parts(&id));
        Some(HubData { id, parts, asked })
    }
}
