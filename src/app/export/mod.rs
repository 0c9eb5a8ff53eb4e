//! The adapter for other programs.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::adapters::{Adapters, Base, locate};
use super::job::{Job, JobError};
use super::live::RunView;
use super::shared::Shared;
use crate::engine::config::{ModelSection, expand_home};
use crate::engine::peft::folder::{self, AdapterConfig, CARD_FILE, CONFIG_FILE, ModelCard, WEIGHTS_FILE};
use crate::engine::{Error, Result, export};
use crate::units::bytes;

/// Requests of the Export room.
#[derive(Clone, Debug)]
pub enum ExportCommand {
    /// Export the adapter of this run's or adapter's folder; `None`: the newest.
    Choose(Option<PathBuf>),
    /// The adapter's own model, or the prepared one.
    Base(Base),
    /// Look again at what is chosen.
    Look,
    /// Folders are made in this one.
    Into(String),
    /// The folder's name; empty: the adapter's own.
    Name(String),
    /// Write it.
    Write,
    /// Give it up; nothing is left behind.
    Cancel,
}

/// What would be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// What the run or the folder is called.
    pub name: String,
    /// The model that it is for.
    pub base_model: String,
    /// Rank.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// Adapted linears.
    pub modules: usize,
    /// Numbers in all A and B.
    pub parameters: u64,
    /// The files with about how many bytes they will have.
    pub files: Vec<(&'static str, u64)>,
}

impl Offer {
    /// All files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The folder.
    pub path: PathBuf,
    /// What to give transformers as the base model: a Hub id, a folder or a GGUF file.
    pub base: String,
    /// Numbers that were read back and found equal.
    pub parameters: u64,
    /// Files and their bytes.
    pub files: Vec<(String, u64)>,
}

impl Exported {
    /// Python that loads it.
    pub fn snippet(&self) -> String {
        // A JSON string is a Python string.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        // transformers takes a GGUF file by its folder and its name.
        let file = Path::new(&self.base).extension().filter(|e| e.eq_ignore_ascii_case("gguf"));
        let (base, file) = match (file, Path::new(&self.base).parent(), Path::new(&self.base).file_name()) {
            (Some(_), Some(folder), Some(name)) => {
                (folder.display().to_string(), format!(", gguf_file={}", quoted(&name.to_string_lossy())))
            }
            _ => (self.base.clone(), String::new()),
        };
        format!(
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
             base = {base}\n\
             tokenizer = AutoTokenizer.from_pretrained(base{file})\n\
             model = AutoModelForCausalLM.from_pretrained(base{file})\n\
             model = PeftModel.from_pretrained(model, {path})\n",
            base = quoted(&base),
            path = quoted(&self.path.display().to_string()),
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Target {
    adapter: PathBuf,
    base: Base,
    draft: ModelSection,
}

/// The room's state.
#[derive(Default)]
pub struct Export {
    /// What the user chose; `None`: the newest.
    pub chosen: Option<PathBuf>,
    /// On which model.
    pub base: Base,
    /// The folder's name, where the user gave one.
    pub name: String,
    /// What would be written.
    pub offer: Option<Offer>,
    /// Why nothing can be.
    pub problem: Option<String>,
    /// Why the last export was not made.
    pub refusal: Option<String>,
    /// The last one that was.
    pub done: Option<Exported>,
    /// The export that is being made.
    pub writing: Option<Job<Exported>>,
    target: Option<Target>,
    looking: Option<Job<Offer>>,
}

impl Export {
    /// Looks at what is chosen, if that is not what was looked at.
    pub fn follow(&mut self, shared: &Shared, view: Option<&RunView>, adapters: &Adapters) {
        if !adapters.known() && self.chosen.is_none() && view.is_none_or(|v| v.adapter.is_none()) {
            return;
        }
        let newest = || view.and_then(|v| v.adapter.as_ref()).or_else(|| adapters.newest().map(|run| &run.path));
        let Some(adapter) = self.chosen.as_ref().or_else(newest) else { return };
        let draft = &shared.run.model;
        if self.target.as_ref().is_some_and(|t| (&t.adapter, t.base, &t.draft) == (adapter, self.base, draft)) {
            return;
        }
        let target = Target { adapter: adapter.clone(), base: self.base, draft: draft.clone() };
        let name = adapters.name_of(adapter);
        self.target = Some(target.clone());
        (self.offer, self.problem, self.done, self.refusal) = (None, None, None, None);
        self.looking = Some(Job::spawn("look-at-export", &shared.waker, move |_| Ok(look(&target, name)?)));
    }

    /// Whether there is an adapter to speak of.
    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Takes what the threads have to say.
    pub fn drain(&mut self) {
        if let Some(result) = self.looking.as_mut().and_then(Job::poll) {
            self.looking = None;
            match result {
                Ok(offer) => self.offer = Some(offer),
                Err(error) => self.problem = Some(error.to_string()),
            }
        }
        if let Some(result) = self.writing.as_mut().and_then(Job::poll) {
            self.writing = None;
            match result {
                Ok(exported) => self.done = Some(exported),
                Err(JobError::Cancelled) => self.refusal = Some("cancelled: nothing was written".into()),
                Err(error) => self.refusal = Some(error.to_string()),
            }
        }
    }

    /// The folder that would be written, as far as it is known.
    pub fn folder(&self, shared: &Shared) -> Option<PathBuf> {
        let offer = self.offer.as_ref()?;
        let name = match self.name.trim() {
            "" => folder_name(&offer.name),
            name => name.to_string(),
        };
        Some(into(shared).join(name))
    }

    /// Does what the room asks for.
    pub fn apply(&mut self, command: ExportCommand, shared: &mut Shared) {
        match command {
            ExportCommand::Choose(chosen) => self.chosen = chosen,
            ExportCommand::Base(base) => self.base = base,
            ExportCommand::Look => self.target = None,
            ExportCommand::Into(folder) => shared.prefs.export_folder = folder,
            ExportCommand::Name(name) => self.name = name,
            ExportCommand::Cancel => {
                if let Some(job) = &self.writing {
                    job.cancel();
                }
            }
            ExportCommand::Write => {
                if self.writing.is_some() {
                    self.refusal = Some("an export is being written already: wait for it, or cancel it".into());
                    return;
                }
                (self.refusal, self.done) = (None, None);
                let name = self.name.trim();
                if Path::new(name).components().count() > 1 || name == ".." || name.contains(['/', '\\']) {
                    self.refusal = Some(format!("\"{name}\" is a path: give a folder's name, and its place above it"));
                    return;
                }
                let (Some(target), Some(folder)) = (self.target.clone(), self.folder(shared)) else {
                    self.refusal = Some("there is no adapter to export yet".into());
                    return;
                };
                self.writing = Some(Job::spawn("export", &shared.waker, move |task| {
                    task.say("Reading the adapter");
                    let located = locate(Some(&target.adapter), target.base, &target.draft)?;
                    let from = located.adapter.unwrap_or(target.adapter);
                    let named = AdapterConfig::read(&from.join(CONFIG_FILE))?;
                    let adapter = folder::read(&from, &located.source.config)?;
                    task.check()?;
                    check_space(&folder, 4 * adapter.params.len() as u64 + (1 << 20))?;
                    let base_model = match (target.base, named.base_model) {
                        (Base::Own, Some(name)) => name,
                        _ => located.source.name.clone(),
                    };
                    // Other programs know the built-in model by the folder that it was unpacked to only.
                    let base = match base_model.starts_with("builtin:") {
                        true => located.source.path.display().to_string(),
                        false => base_model.clone(),
                    };
                    let chat_template = folder::chat_template(&from)?;
                    let card = ModelCard { revision: named.revision, chat_template, ..ModelCard::of(base_model) };
                    task.say("Writing, and reading back");
                    export::peft(&adapter, &located.source.config, &card, &folder)?;
                    let size = |name: &str| Some((name.to_string(), std::fs::metadata(folder.join(name)).ok()?.len()));
                    Ok(Exported {
                        files: [WEIGHTS_FILE, CONFIG_FILE, CARD_FILE].into_iter().filter_map(size).collect(),
                        path: folder,
                        base,
                        parameters: adapter.params.len() as u64,
                    })
                }));
            }
        }
    }
}

/// Where exports go: where the last went, else the user's documents.
pub fn into(shared: &Shared) -> PathBuf {
    match shared.prefs.export_folder.trim() {
        "" => dirs::document_dir().or_else(dirs::home_dir).unwrap_or_default().join("LoRA Studio"),
        folder => expand_home(folder),
    }
}

/// A name that every file system takes.
fn folder_name(name: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.trim().chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "adapter".into() } else { name.chars().take(80).collect() }
}

fn look(target: &Target, name: String) -> Result<Offer> {
    let located = locate(Some(&target.adapter), target.base, &target.draft)?;
    let adapter = located.adapter.unwrap_or_else(|| target.adapter.clone());
    let info = folder::inspect(&adapter)?;
    let base_model = match (target.base, info.config.base_model) {
        (Base::Own, Some(name)) => name,
        _ => located.source.name.clone(),
    };
    let parameters = info.parameters as u64;
    Ok(Offer {
        name,
        base_model,
        rank: info.config.rank,
        alpha: info.config.alpha,
        modules: info.modules,
        parameters,
        // Numbers of four bytes, and about this much of header for each A and B.
        files: vec![
            (WEIGHTS_FILE, 4 * parameters + 2 * 150 * info.modules as u64),
            (CONFIG_FILE, 1 << 10),
            (CARD_FILE, 1 << 10),
        ],
        adapter,
    })
}

/// Refuses before anything is written where the disk is too full.
fn check_space(folder: &Path, needed: u64) -> Result<()> {
    let Some(existing) = folder.ancestors().find(|dir| dir.is_dir()) else { return Ok(()) };
    match fs4::available_space(existing) {
        Ok(free) if free < needed => {
            let message = format!("the disk has {} free, the export needs {}", bytes(free), bytes(needed));
            Err(Error::file(message, folder))
        }
        _ => Ok(()),
    }
}
