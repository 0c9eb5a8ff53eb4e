//! The run files that ship with the program, to start from.

use std::sync::OnceLock;

use super::RunConfig;

/// A run file of presets/.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Name of its file, without the ending: `chat-persona`.
    pub id: &'static str,
    /// What the file's first comment begins with: "Chat persona".
    pub title: &'static str,
    /// The rest of that comment: what it is for, in one sentence.
    pub summary: &'static str,
    /// Its settings. Model and data are the built-in ones, to be replaced by what the user chose.
    pub config: RunConfig,
}

macro_rules! files {
    ($($id:literal),* $(,)?) => {
        &[$(($id, include_str!(concat!("../../../presets/", $id, ".toml")))),*]
    };
}

/// Every file of presets/, the one to begin with first.
const FILES: &[(&str, &str)] = files!["quickstart", "chat-persona", "qlora", "low-memory", "small-model", "careful"];

/// The presets, the one to begin with first.
pub fn presets() -> &'static [Preset] {
    static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
    PRESETS.get_or_init(|| FILES.iter().filter_map(|(id, text)| preset(id, text)).collect())
}

/// `# Title: summary.` and the settings.
fn preset(id: &'static str, text: &'static str) -> Option<Preset> {
    let first = text.lines().next()?.strip_prefix("# ")?;
    let (title, summary) = first.split_once(": ")?;
    Some(Preset { id, title, summary, config: RunConfig::from_str(text).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_preset_with_a_title_and_a_sentence() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap().replace(".toml", ""))
            .collect();
        files.sort();
        let mut ids: Vec<&str> = presets().iter().map(|p| p.id).collect();
        assert_eq!(ids[0], "quickstart");
        ids.sort_unstable();
        assert_eq!(ids, files);
        for p in presets() {
            assert!(!p.title.is_empty() && p.title.len() <= 24, "{}", p.title);
            assert!(p.summary.ends_with('.') && p.summary.len() <= 110, "{}", p.summary);
            p.config.validate().unwrap();
        }
        let titles: Vec<&str> = presets().iter().map(|p| p.title).collect();
        assert_eq!(
            titles,
            ["Quickstart", "Chat persona", "Instruction QLoRA", "Low memory", "Small model", "Careful and long"]
        );
    }
}
