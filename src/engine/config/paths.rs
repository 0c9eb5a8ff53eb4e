//! The paths of a run file, made independent of the folder in which the program was started.

use std::path::{Path, PathBuf};

use super::RunConfig;

impl RunConfig {
    /// Expands `~` and makes the paths of existing files absolute, so that the run can be continued from anywhere.
    /// What is no existing path (`builtin:NAME`, a Hub id) stays as it is.
    pub fn with_absolute_paths(mut self) -> RunConfig {
        let inputs =
            [&mut self.model.source, &mut self.data.train, &mut self.data.validation, &mut self.method.init_from];
        for text in inputs {
            if text.is_empty() || text.starts_with("builtin:") {
                continue;
            }
            let path = expand_home(text);
            if path.exists() {
                *text = absolute(&path);
            }
        }
        // A template's name or text is no path, though a file of the model's name may lie around.
        if names_template_file(&self.data.chat_template) {
            self.data.chat_template = absolute(&expand_home(&self.data.chat_template));
        }
        if !self.output.dir.is_empty() {
            self.output.dir = absolute(&expand_home(&self.output.dir));
        }
        self
    }
}

/// Whether `data.chat_template` is the path of a file: it ends in `.jinja` and is not the text of a template.
pub fn names_template_file(choice: &str) -> bool {
    choice.trim_end().ends_with(".jinja") && !is_template_text(choice)
}

/// Whether `data.chat_template` is the text of a template.
pub fn is_template_text(choice: &str) -> bool {
    choice.contains("{{") || choice.contains("{%")
}

/// `~` and `~/x` in the user's home folder; anything else as it is.
pub fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix('~'), dirs::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    }
}

/// The way back, for texts that are shown: a path in the user's home folder begins with `~`.
pub fn shorten_home(path: &Path) -> String {
    let inside = dirs::home_dir().filter(|home| home.components().count() > 1);
    match inside.and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(rest) if rest.as_os_str().is_empty() => "~".into(),
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

/// The same for a sentence that names paths.
pub fn shorten_homes_in(text: &str) -> String {
    let home = dirs::home_dir().filter(|home| home.components().count() > 1);
    match home.as_deref().and_then(Path::to_str) {
        Some(home) => text.replace(&format!("{home}/"), "~/").replace(&format!("{home}\\"), "~\\"),
        None => text.to_string(),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_home_folder_are_shown_with_a_tilde() {
        let home = dirs::home_dir().unwrap();
        let inside = home.join("models").join("tiny");
        assert_eq!(shorten_home(&home), "~");
        assert_eq!(expand_home(&shorten_home(&inside)), inside);
        assert!(shorten_home(&inside).starts_with('~'));
        let sentence = format!("7 rows are cut: {}", inside.display());
        assert_eq!(shorten_homes_in(&sentence), format!("7 rows are cut: {}", shorten_home(&inside)));
        let beside = Path::new("/elsewhere/models");
        assert_eq!(shorten_home(beside), beside.display().to_string());
    }

    #[test]
    fn existing_files_become_absolute_and_names_stay() {
        let mut run = RunConfig::default();
        run.data.train = "Cargo.toml".into();
        run.data.validation = "no/such/file".into();
        run.method.init_from = "~".into();
        run.output.dir = "out".into();
        run.data.chat_template = "own.jinja".into();
        let run = run.with_absolute_paths();
        let here = std::env::current_dir().unwrap();
        assert_eq!(run.model.source, "builtin:tiny-chat");
        assert_eq!(Path::new(&run.data.train), here.join("Cargo.toml"));
        assert_eq!(run.data.validation, "no/such/file");
        assert_eq!(Path::new(&run.output.dir), here.join("out"));
        assert_eq!(Path::new(&run.method.init_from), dirs::home_dir().unwrap());
        assert_eq!(Path::new(&run.data.chat_template), here.join("own.jinja"));
        assert_eq!(expand_home("~x"), Path::new("~x"));
        for kept in ["", "chatml", "tool_use", "{{ 'x.jinja' }}.jinja"] {
            let mut run = RunConfig::default();
            run.data.chat_template = kept.into();
            assert_eq!(run.with_absolute_paths().data.chat_template, kept);
        }
    }
}
