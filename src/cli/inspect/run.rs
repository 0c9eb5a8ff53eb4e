//! A run folder.

use std::path::Path;

use serde::Serialize;

use crate::cli::output::{Failure, grouped, json, say};
use crate::engine::config::RunConfig;
use crate::engine::train::run_dir::Status;
use crate::engine::train::{Event, run_dir};

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    path: &'a Path,
    model: String,
    data: String,
    created: Option<String>,
    steps: usize,
    loss: Option<f64>,
    validation_loss: Option<f64>,
    /// `running`, `finished`, `stopped`, `interrupted`, `failed`, or `broken`.
    state: &'static str,
    checkpoints: Vec<usize>,
    adapter: Option<std::path::PathBuf>,
}

pub(super) fn show(path: &Path, as_json: bool) -> Result<(), Failure> {
    let config = RunConfig::load(path.join("run.toml"))?;
    let (mut steps, mut loss, mut validation_loss) = (0, None, None);
    for event in run_dir::events(path)? {
        match event? {
            Event::Step { step, loss: l, .. } => (steps, loss) = (step, Some(l)),
            Event::Eval { loss, .. } => validation_loss = Some(loss),
            _ => {}
        }
    }
    let state = match run_dir::summary(path).status {
        Status::Running => "running",
        Status::Finished => "finished",
        Status::Stopped => "stopped",
        Status::Interrupted => "interrupted",
        Status::Failed(_) => "failed",
        Status::Broken(_) => "broken",
    };
    let shown = Shown {
        kind: "run",
        path,
        model: config.model.source,
        data: config.data.train,
        created: config.record.map(|r| r.created).filter(|c| !c.is_empty()),
        steps,
        loss,
        validation_loss,
        state,
        checkpoints: run_dir::checkpoints(path)?.iter().map(|c| c.step).collect(),
        adapter: Some(path.join("adapter")).filter(|a| a.is_dir()),
    };
    if as_json {
        return json(&shown);
    }
    say(format!("run         {}", path.display()))?;
    say(format!("model       {}", shown.model))?;
    say(format!("data        {}", shown.data))?;
    if let Some(created) = &shown.created {
        say(format!("begun       {created}"))?;
    }
    say(format!("state       {}, {} steps", shown.state, grouped(shown.steps as u64)))?;
    if let Some(loss) = shown.loss {
        say(format!("loss        {loss:.4}"))?;
    }
    if let Some(loss) = shown.validation_loss {
        say(format!("validation  {loss:.4}"))?;
    }
    if !shown.checkpoints.is_empty() {
        let steps: Vec<String> = shown.checkpoints.iter().map(usize::to_string).collect();
        say(format!("checkpoints {}", steps.join(", ")))?;
    }
    match &shown.adapter {
        Some(adapter) => say(format!("adapter     {}", adapter.display())),
        None => Ok(()),
    }
}
