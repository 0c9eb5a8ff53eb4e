//! What the program remembers between two starts: the draft of the next run, the room, and how the window looks.
//!
//! A TOML file in the user's configuration folder, written atomically, read tolerantly: a value that cannot be understood
//! falls back to its default with a warning, and never costs the rest.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chat::ChatSettings;
use super::room::Room;
use super::studio::Waiting;
use crate::engine::config::{RunConfig, expand_home};
use crate::engine::formats::atomic_write;
use crate::engine::train::run_dir;

/// Dark or light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThemeChoice {
    /// As the system is set.
    #[default]
    System,
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

/// How large the window is, in the system's points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSize {
    /// Inner width.
    pub width: f32,
    /// Inner height.
    pub height: f32,
    /// It fills the screen; the sizes above are those before.
    pub maximized: bool,
}

impl WindowSize {
    /// Narrower and lower than this the rooms do not fit.
    pub const LEAST: [f32; 2] = [880.0, 600.0];
    /// Larger is no screen.
    const MOST: f32 = 16_384.0;

    /// What a window can have.
    fn sane(self) -> WindowSize {
        let side = |value: f32, least: f32, default: f32| match value.is_finite() {
            true => value.clamp(least, Self::MOST),
            false => default,
        };
        let default = WindowSize::default();
        WindowSize {
            width: side(self.width, Self::LEAST[0], default.width),
            height: side(self.height, Self::LEAST[1], default.height),
            ..self
        }
    }
}

impl Default for WindowSize {
    fn default() -> Self {
        WindowSize { width: 1280.0, height: 820.0, maximized: false }
    }
}

/// The remembered state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prefs {
    /// The room that was open.
    pub room: Room,
    /// Dark or light.
    pub theme: ThemeChoice,
    /// Size of everything; 1 is the system's own.
    pub zoom: f32,
    /// Whether the log is open.
    pub show_log: bool,
    /// Smoothing of the loss curve, 0 to 0.99.
    pub smoothing: f32,
    /// Whether losses are drawn on a logarithmic axis.
    pub log_scale: bool,
    /// Models chosen before, newest first.
    pub recent_models: Vec<String>,
    /// Data files chosen before, newest first.
    pub recent_data: Vec<String>,
    /// Where exports went last.
    pub export_folder: String,
    /// Where runs are kept; empty: the data folder.
    pub runs_folder: String,
    /// Whether the network is left alone.
    pub offline: bool,
    /// The folder of the run that is being trained: still there at the next start when the program was killed.
    pub training: String,
    /// How large the window is.
    pub window: WindowSize,
    /// The run being prepared, as the text of its run file.
    pub draft: String,
    /// Runs that wait for their turn.
    pub queue: Vec<Waiting>,
    /// How the models answer in the chat.
    pub chat: ChatSettings,
}

impl Default for Prefs {
    fn default() -> Self {
        Prefs {
            room: Room::Model,
            theme: ThemeChoice::System,
            zoom: 1.0,
            show_log: false,
            smoothing: 0.9,
            log_scale: false,
            recent_models: Vec::new(),
            recent_data: Vec::new(),
            export_folder: String::new(),
            runs_folder: String::new(),
            offline: false,
            training: String::new(),
            window: WindowSize::default(),
            draft: String::new(),
            queue: Vec::new(),
            chat: ChatSettings::default(),
        }
    }
}

/// Entries of a list of recent things.
const RECENT: usize = 8;

impl Prefs {
    /// Where the file lies: in the folder of `LORA_STUDIO_CONFIG`, else the user's configuration folder.
    pub fn path() -> Option<PathBuf> {
        let folder = match std::env::var_os("LORA_STUDIO_CONFIG") {
            Some(folder) => PathBuf::from(folder),
            None => dirs::config_dir()?.join("lora-studio"),
        };
        Some(folder.join("studio.toml"))
    }

    /// What the file says, and what in it could not be understood.
    pub fn load(path: &Path) -> (Prefs, Vec<String>) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return (Prefs::default(), Vec::new()),
            Err(e) => {
                return (Prefs::default(), vec![format!("the settings could not be read ({e}): {}", path.display())]);
            }
        };
        Self::parse(&text)
    }

    fn parse(text: &str) -> (Prefs, Vec<String>) {
        let mut warnings = Vec::new();
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(e) => {
                warnings.push(format!("the settings are damaged and start afresh: {}", e.message()));
                return (Prefs::default(), warnings);
            }
        };
        let Ok(mut good) = toml::Table::try_from(Prefs::default()) else { return (Prefs::default(), warnings) };
        for (key, value) in table {
            if !good.contains_key(&key) {
                // Of a newer or older version; it is not ours to complain about.
                continue;
            }
            let before = good.insert(key.clone(), value);
            if let Err(e) = good.clone().try_into::<Prefs>() {
                warnings.push(format!("the setting \"{key}\" is not understood and has its default: {}", e.message()));
                if let Some(before) = before {
                    good.insert(key, before);
                }
            }
        }
        let mut prefs: Prefs = good.try_into().unwrap_or_default();
        prefs.zoom = if prefs.zoom.is_finite() { prefs.zoom.clamp(0.5, 3.0) } else { 1.0 };
        prefs.window = prefs.window.sane();
        prefs.smoothing = if prefs.smoothing.is_finite() { prefs.smoothing.clamp(0.0, 0.999) } else { 0.9 };
        (prefs, warnings)
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let text = toml::to_string_pretty(self).map_err(|e| format!("the settings cannot be written: {e}"))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| format!("cannot make the folder ({e}): {}", folder.display()))?;
        }
        atomic_write(path, text.as_bytes()).map_err(|e| e.to_string())
    }

    /// The folder that new runs go to and the runs are listed from.
    pub fn runs_dir(&self) -> crate::engine::Result<PathBuf> {
        match self.runs_folder.trim() {
            "" => Ok(run_dir::data_home()?.join("runs")),
            folder => Ok(expand_home(folder)),
        }
    }

    /// The run that was being prepared; a fresh one where there is none or it is not understood.
    pub fn draft(&self) -> (RunConfig, Option<String>) {
        if self.draft.is_empty() {
            return (super::draft::first_run(), None);
        }
        match RunConfig::from_str(&self.draft) {
            Ok(run) => (run, None),
            Err(e) => (super::draft::first_run(), Some(format!("the run being prepared starts afresh: {e}"))),
        }
    }

    /// Puts `what` at the head of a list of recent things.
    pub fn remember(list: &mut Vec<String>, what: &str) {
        if what.is_empty() || list.first().is_some_and(|first| first == what) {
            return;
        }
        list.retain(|other| other != what);
        list.insert(0, what.to_string());
        list.truncate(RECENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/studio.toml");
        let mut prefs = Prefs { room: Room::Chat, theme: ThemeChoice::Light, zoom: 1.25, ..Prefs::default() };
        prefs.draft = super::super::draft::first_run().to_toml().unwrap();
        prefs.save(&path).unwrap();
        assert_eq!(Prefs::load(&path), (prefs.clone(), vec![]));
        assert_eq!(prefs.draft().0, super::super::draft::first_run());
        assert_eq!(Prefs::load(&dir.path().join("absent.toml")), (Prefs::default(), vec![]));
    }

    #[test]
    fn one_bad_value_does_not_cost_the_others() {
        let (prefs, warnings) = Prefs::parse("zoom = 1.5\ntheme = \"pink\"\nfrom_the_future = 3\nroom = \"data\"\n");
        assert_eq!((prefs.zoom, prefs.theme, prefs.room), (1.5, ThemeChoice::System, Room::Data));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("\"theme\""), "{warnings:?}");
        let (prefs, warnings) = Prefs::parse("zoom = = 1");
        assert_eq!((prefs, warnings.len()), (Prefs::default(), 1));
        assert_eq!(Prefs::parse("zoom = 99").0.zoom, 3.0);
        let window = |text: &str| Prefs::parse(text).0.window;
        assert_eq!(
            window("[window]\nwidth = 3\nheight = 1e9\nmaximized = true"),
            WindowSize { width: 880.0, height: 16_384.0, maximized: true }
        );
        assert_eq!(
            window("[window]\nwidth = nan\nheight = 900.0"),
            WindowSize { width: 1280.0, height: 900.0, maximized: false }
        );
        assert_eq!(window("window = 7"), WindowSize::default());
        let (_, complaint) = Prefs { draft: "[model]\nsauce = 1".into(), ..Prefs::default() }.draft();
        assert!(complaint.unwrap().contains("sauce"));
    }

    #[test]
    fn recent_things_are_few_and_come_once() {
        let mut list = Vec::new();
        for i in 0..20 {
            Prefs::remember(&mut list, &format!("m{}", i % 12));
        }
        assert_eq!((list.len(), &*list[0]), (8, "m7"));
        assert_eq!(list.iter().collect::<std::collections::HashSet<_>>().len(), 8);
    }
}
