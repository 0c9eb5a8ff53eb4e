//! The model that the draft names: opened from headers alone, so that its facts are there before anything is loaded.

use std::path::PathBuf;
use std::sync::Arc;

use super::data::DataInfo;
use super::hub::{HubCommand, HubState, Trouble};
use super::job::Job;
use super::prefs::Prefs;
use super::pricing::Pricing;
use super::room::Readiness;
use super::shared::Shared;
use crate::engine::config::Quantization;
use crate::engine::formats::{self, ModelFacts, StoredWeights, TextTokenizer};
use crate::engine::hub::{Hub, Reference, RepoKind};
use crate::engine::model::{LoadOptions, ModelConfig};
use crate::engine::peft::AdapterShape;
use crate::engine::{Error, Result};

/// Requests of the Model room.
#[derive(Clone, Debug)]
pub enum ModelCommand {
    /// Open the model again, whatever has changed on the disk.
    Reload,
    /// Take what a person typed: `builtin:NAME`, a folder, a GGUF file, or a name on the Hub, which is looked at first.
    Take(String),
    /// The draft's model is now this one, which is on this computer.
    Use(String),
    /// About the Hub.
    Hub(HubCommand),
}

/// What is known of a model without loading its weights.
#[derive(Debug)]
pub struct ModelInfo {
    /// As the run file names it.
    pub source: String,
    /// Where it lies.
    pub path: PathBuf,
    /// The decoder's parameters.
    pub config: ModelConfig,
    /// Files, quantization, licence, number of weights.
    pub facts: ModelFacts,
    /// How its weights are stored, for the memory plan.
    pub stored: StoredWeights,
    /// Its tokenizer and chat template.
    pub tokenizer: Arc<TextTokenizer>,
}

/// What the draft would take with the weights in one of their forms.
#[derive(Clone, Debug, PartialEq)]
pub struct FormPrice {
    /// The form.
    pub quantization: Quantization,
    /// Bytes of the weights alone.
    pub weights: u64,
    /// Bytes of the whole step, where it can be said.
    pub step: Option<u64>,
    /// Bytes that are free.
    pub available: u64,
}

impl FormPrice {
    /// The forms that there are.
    pub const ALL: [Quantization; 3] = [Quantization::Nf4, Quantization::None, Quantization::Keep];

    /// The draft in each form.
    pub fn of(
        shared: &Shared,
        model: &ModelInfo,
        data: Option<&DataInfo>,
        adapter: Option<&AdapterShape>,
    ) -> Vec<FormPrice> {
        let forms = Self::ALL.into_iter().filter(|form| *form != Quantization::Keep || model.keeps());
        let price = |quantization| {
            let mut run = shared.run.clone();
            run.model.quantization = quantization;
            let pricing = Pricing::of_run(&run, shared, Some(model), data, adapter);
            FormPrice {
                quantization,
                weights: LoadOptions::of_run(&run.model).loaded_bytes(&model.stored),
                step: pricing.problem.is_none().then(|| pricing.bytes()),
                available: pricing.available,
            }
        };
        forms.map(price).collect()
    }

    /// Whether the step fits, where it can be said.
    pub fn fits(&self) -> Option<bool> {
        self.step.map(|bytes| bytes <= self.available)
    }
}

impl ModelInfo {
    /// Whether the file's weights are quantized, so that they can be kept as they are.
    pub fn keeps(&self) -> bool {
        self.facts.quantization != formats::Quantization::None
    }
}

/// The room's state.
#[derive(Default)]
pub struct ModelState {
    /// The open model.
    pub info: Option<Arc<ModelInfo>>,
    /// Why there is none.
    pub problem: Option<String>,
    /// The same with its kind.
    pub trouble: Option<Trouble>,
    /// What the draft would take with the weights in each of their forms.
    pub forms: Vec<FormPrice>,
    /// Downloads and what is on this computer.
    pub hub: HubState,
    /// The source that `info` or `problem` is about, or that is being opened.
    source: Option<String>,
    opening: Option<Job<std::result::Result<ModelInfo, Trouble>>>,
}

impl ModelState {
    /// Opens the draft's model, if it is not the open one.
    pub fn follow(&mut self, shared: &mut Shared) {
        let source = shared.run.model.source.trim().to_string();
        if self.source.as_deref() == Some(&source) {
            return;
        }
        self.open(source, shared);
    }

    /// Opens the draft's model again, whatever has changed on the disk.
    pub fn reload(&mut self, shared: &mut Shared) {
        let source = shared.run.model.source.trim().to_string();
        self.open(source, shared);
    }

    /// Does what the room asks for. The draft may have another model afterwards.
    pub fn apply(&mut self, command: ModelCommand, shared: &mut Shared) {
        match command {
            ModelCommand::Reload => self.reload(shared),
            ModelCommand::Take(text) => self.take(&text, shared),
            ModelCommand::Use(source) => self.name(&source, shared),
            ModelCommand::Hub(command) => self.hub.apply(command, shared),
        }
    }

    fn take(&mut self, text: &str, shared: &mut Shared) {
        let text = text.trim().trim_matches('"');
        let is_hub = !text.starts_with("builtin:") && matches!(Reference::of(text, RepoKind::Model), Reference::Hub(_));
        if is_hub {
            self.hub.apply(HubCommand::Look(text.to_string()), shared);
        } else {
            self.name(text, shared);
        }
    }

    fn name(&mut self, source: &str, shared: &mut Shared) {
        shared.run.model.source = source.to_string();
        // Named again after a failure, it is tried again.
        self.source = None;
    }

    fn open(&mut self, source: String, shared: &mut Shared) {
        self.source = Some(source.clone());
        self.info = None;
        self.problem = None;
        self.trouble = None;
        self.opening = None;
        self.forms.clear();
        if source.is_empty() {
            self.problem = Some("no model is chosen yet".into());
            return;
        }
        let hub = self.hub.hub(shared);
        self.opening =
            Some(Job::spawn("open-model", &shared.waker, move |_| Ok(open(source, &hub).map_err(|e| (&e).into()))));
    }

    /// Takes the result of opening, and what the Hub has brought. True when something changed.
    pub fn drain(&mut self, shared: &mut Shared) -> bool {
        let arrived = self.hub.drain(shared);
        if let Some(name) = &arrived {
            self.name(name, shared);
        }
        let Some(result) = self.opening.as_mut().and_then(Job::poll) else { return arrived.is_some() };
        self.opening = None;
        match result.unwrap_or_else(|error| Err(error.into())) {
            Ok(info) => {
                Prefs::remember(&mut shared.prefs.recent_models, &info.source);
                self.info = Some(Arc::new(info));
            }
            Err(trouble) => {
                self.problem = Some(trouble.text.clone());
                self.trouble = Some(trouble);
            }
        }
        true
    }

    /// Whether it is being opened.
    pub fn busy(&self) -> bool {
        self.opening.is_some()
    }

    /// For the rail.
    pub fn readiness(&self) -> Readiness {
        match (&self.opening, &self.info, &self.problem) {
            (Some(_), ..) => Readiness::Busy,
            (_, Some(_), _) => Readiness::Ready,
            (_, _, Some(problem)) => Readiness::Blocked(problem.clone()),
            _ => Readiness::Busy,
        }
    }
}

/// From headers alone. A name on the Hub is looked for in this Hub's cache.
fn open(source: String, hub: &Hub) -> Result<ModelInfo> {
    let opened = match Reference::of(&source, RepoKind::Model) {
        Reference::Hub(id) if !source.starts_with("builtin:") => formats::open(hub.on_disk(&id).map_err(shorter)?)?,
        _ => formats::open_named(&source)?,
    };
    let facts = opened.facts()?;
    let tokenizer = Arc::new(opened.tokenizer()?);
    let stored = StoredWeights::of(&opened)?;
    let (path, config) = (opened.path.clone(), opened.config.clone());
    Ok(ModelInfo { source, path, config, facts, stored, tokenizer })
}

/// The window has a button for what the engine says of the command line.
fn shorter(error: Error) -> Error {
    match error {
        Error::Hub { problem, message } => {
            let message = message.split(": get it with").next().unwrap_or(&message).to_string();
            Error::Hub { problem, message }
        }
        other => other,
    }
}
