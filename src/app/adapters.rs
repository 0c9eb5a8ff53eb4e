//! The adapters that there are to talk to and to export: those of the runs on the disk, and of any folder.

use std::path::{Path, PathBuf};

use super::job::Job;
use super::shared::Shared;
use crate::engine::config::{ModelSection, RunConfig};
use crate::engine::export::adapter_dir;
use crate::engine::formats::{self, ModelSource};
use crate::engine::peft::folder::{AdapterConfig, CONFIG_FILE};
use crate::engine::train::run_dir;
use crate::engine::{Error, Result};

/// A run that has an adapter, or at least a checkpoint of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWithAdapter {
    /// The run's folder.
    pub path: PathBuf,
    /// What the run is called.
    pub name: String,
    /// Its `model.source`.
    pub model: String,
    /// It has its result; else only checkpoints.
    pub finished: bool,
}

/// The runs with adapters, newest first.
#[derive(Default)]
pub struct Adapters {
    /// What was found.
    pub runs: Vec<RunWithAdapter>,
    /// Why nothing could be found.
    pub problem: Option<String>,
    listed: bool,
    listing: Option<Job<Vec<RunWithAdapter>>>,
}

impl Adapters {
    /// Looks again. What is being looked at, or was found and not taken, is older than what there is now.
    pub fn refresh(&mut self, shared: &Shared) {
        let folder = shared.prefs.runs_dir();
        self.listing = Some(Job::spawn("list-adapters", &shared.waker, move |task| {
            let mut runs = Vec::new();
            for run in run_dir::list(&folder?)? {
                task.check()?;
                if run.has_adapter || !run.checkpoints.is_empty() {
                    let finished = run.has_adapter;
                    runs.push(RunWithAdapter { path: run.path, name: run.name, model: run.model, finished });
                }
            }
            Ok(runs)
        }));
    }

    /// Takes what was found. True when something changed.
    pub fn drain(&mut self) -> bool {
        let Some(result) = self.listing.as_mut().and_then(Job::poll) else { return false };
        self.listing = None;
        self.listed = true;
        match result {
            Ok(runs) => {
                self.problem = None;
                self.runs = runs;
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
        true
    }

    /// Looks, if nobody has.
    pub fn look(&mut self, shared: &Shared) {
        if !self.listed && self.listing.is_none() {
            self.refresh(shared);
        }
    }

    /// Whether the disk has been looked at.
    pub fn known(&self) -> bool {
        self.listed
    }

    /// The newest run with a result.
    pub fn newest(&self) -> Option<&RunWithAdapter> {
        self.runs.iter().find(|run| run.finished)
    }

    /// What a path is called: the run's name, else the last part of the path that says something.
    pub fn name_of(&self, path: &Path) -> String {
        let run = self.runs.iter().find(|run| path.starts_with(&run.path));
        let last = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        match run {
            Some(run) => run.name.clone(),
            None if path.ends_with("adapter") => path.parent().and_then(last).unwrap_or_else(|| "adapter".into()),
            None => last(path).unwrap_or_else(|| path.display().to_string()),
        }
    }
}

/// Which model an adapter is put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// The one that it was trained on, as its run or its settings name it.
    #[default]
    Own,
    /// The one of the run being prepared, for an adapter whose model has moved.
    Draft,
}

/// An adapter and the model that belongs to it.
pub struct Located {
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
    /// The open model.
    pub source: ModelSource,
    /// What its run says of loading it.
    pub section: ModelSection,
}

/// Finds the adapter that `path` means (an adapter folder, or a run's), and opens the model under it; without a path, the
/// draft's model alone.
pub fn locate(path: Option<&Path>, base: Base, draft: &ModelSection) -> Result<Located> {
    let Some(path) = path else {
        let source = formats::open_named(draft.source.trim())?;
        return Ok(Located { adapter: None, source, section: draft.clone() });
    };
    let adapter = adapter_dir(path)?;
    let section = match base {
        Base::Draft => draft.clone(),
        Base::Own => match run_of(&adapter) {
            Some(run) => run.model,
            None => {
                let Some(source) = AdapterConfig::read(&adapter.join(CONFIG_FILE))?.base_model else {
                    let message = "the adapter does not name the model that it was trained on: choose that model in the \
                                   Model room, then take the prepared model as the base";
                    return Err(Error::file(message, adapter));
                };
                ModelSection { source, ..draft.clone() }
            }
        },
    };
    let source = formats::open_named(section.source.trim()).map_err(|error| match base {
        Base::Draft => error,
        Base::Own => Error::Other(format!(
            "the adapter's base model cannot be opened. Where it has moved, choose it in the Model room, then take the \
             prepared model as the base ({error})"
        )),
    })?;
    Ok(Located { adapter: Some(adapter), source, section })
}

/// The settings of the run that an adapter folder lies in: `RUN/adapter` or `RUN/checkpoints/step-N`.
fn run_of(adapter: &Path) -> Option<RunConfig> {
    let file = adapter.ancestors().skip(1).take(2).map(|dir| dir.join("run.toml")).find(|file| file.is_file())?;
    RunConfig::load(file).ok()
}

/// An adapter of the built-in model, for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::{Path, PathBuf};

    use crate::engine::formats;
    use crate::engine::peft::folder::{self, ModelCard};
    use crate::engine::peft::{Adapter, LoraConfig};

    /// Writes one of rank 4 on every linear into `dir`; B is of size `b`, so that 0 changes nothing.
    pub(crate) fn adapter(dir: &Path, b: f32) -> PathBuf {
        let source = formats::open_named("builtin:tiny-chat").unwrap();
        let targets = LoraConfig::targets(&source.config, &["all-linear"]).unwrap();
        let config = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets };
        let mut adapter = Adapter::new(&source.config, config, 3).unwrap();
        for m in adapter.modules.clone() {
            for (i, x) in adapter.params[m.b_range()].iter_mut().enumerate() {
                *x = b * ((i * 7 % 13) as f32 - 6.0);
            }
        }
        folder::write(dir, &adapter, &source.config, &ModelCard::of("builtin:tiny-chat")).unwrap();
        dir.to_path_buf()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ended_after_the_last_look_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let mut studio = crate::app::Studio::open(None, std::sync::Arc::new(|| {}));
        studio.shared.prefs.runs_folder = dir.path().display().to_string();
        let mut adapters = Adapters::default();
        for run in ["1", "2"] {
            std::fs::create_dir_all(dir.path().join(run).join("adapter")).unwrap();
            adapters.refresh(&studio.shared);
            // Nobody asks for the first answer.
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !adapters.drain() {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let names: Vec<&str> = adapters.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["2", "1"]);
    }

    #[test]
    fn names_are_those_of_runs_or_of_folders() {
        let run = RunWithAdapter { path: "/r/1".into(), name: "Pirate".into(), model: "m".into(), finished: true };
        let adapters = Adapters { runs: vec![run], ..Adapters::default() };
        assert_eq!(adapters.name_of(Path::new("/r/1/adapter")), "Pirate");
        assert_eq!(adapters.name_of(Path::new("/other/poet/adapter")), "poet");
        assert_eq!(adapters.name_of(Path::new("/other/poet")), "poet");
        assert_eq!(adapters.newest().unwrap().path, Path::new("/r/1"));
    }

    #[test]
    fn a_path_without_an_adapter_and_a_model_that_is_gone_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let draft = ModelSection::default();
        let refused = |path: &Path, base| locate(Some(path), base, &draft).err().unwrap().to_string();
        assert!(refused(dir.path(), Base::Own).contains("neither an adapter nor a run"));
        let config = r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "/gone/model"}"#;
        std::fs::write(dir.path().join(CONFIG_FILE), config).unwrap();
        let message = refused(dir.path(), Base::Own);
        assert!(message.contains("cannot be opened") && message.contains("Model room"), "{message}");
        // The draft's model is there.
        let located = locate(Some(dir.path()), Base::Draft, &draft).unwrap();
        assert_eq!(located.source.name, "builtin:tiny-chat");
        std::fs::write(dir.path().join(CONFIG_FILE), r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#).unwrap();
        assert!(refused(dir.path(), Base::Own).contains("does not name the model"));
    }
}
