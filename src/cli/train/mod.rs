//! `lora-studio train`: a run from its file, or one that goes on.

mod progress;

use std::path::{Path, PathBuf};

use super::output::{Failure, json, note};
use super::{download, interrupt};
use crate::engine::Error;
use crate::engine::config::RunConfig;
use crate::engine::train::{self, Control, Event, RunDir, Stop};
use progress::Progress;

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run file
    #[arg(value_name = "RUN.toml", required_unless_present = "resume", conflicts_with = "resume")]
    run: Option<PathBuf>,
    /// Change a setting of the run file; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Continue the run of this folder from its newest checkpoint
    #[arg(long, value_name = "RUN_DIR")]
    resume: Option<PathBuf>,
    /// Print one JSON object an event
    #[arg(long)]
    json: bool,
}

/// Sections that a run may change when it is continued: the others decide what its checkpoint means.
const CHANGEABLE: [&str; 4] = ["train.", "eval.", "sample.", "output."];

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = match (&args.run, &args.resume) {
        (_, Some(dir)) => resumed_config(dir, &args.set)?,
        (Some(file), None) => {
            let mut config = RunConfig::load(file)?;
            // A run folder's own file describes that run; from it, a new run begins.
            config.record = None;
            apply(&mut config, &args.set)?;
            config
        }
        (None, None) => return Err(Failure::Usage("a run file is missing".into())),
    };
    let config = config.with_absolute_paths();
    // Shown when the run begins: one that cannot begin has one line to say, the error.
    let mut warnings = config.validate()?;
    download::fetch_missing(&config.model.source)?;

    let control = Control::new();
    let stop = control.clone();
    interrupt::on_interrupt(
        move || stop.stop(Stop::Keep),
        "stopping after this step, with a checkpoint (Ctrl-C again to leave at once)",
    );
    let mut show: Box<dyn Show> = if args.json { Box::new(Json::default()) } else { Box::new(Progress::new(&config)) };
    let mut failure = None;
    let result = train::run(&config, args.resume.as_deref(), &control, &mut |event| {
        if matches!(event, Event::Started { .. }) {
            warnings.drain(..).for_each(|warning| note(format!("warning: {warning}")));
        }
        if failure.is_none()
            && let Err(e) = show.event(&event)
        {
            // Whoever read the output is gone: what was trained so far is worth keeping.
            failure = Some(e);
            control.stop(Stop::Keep);
        }
    });
    if let Some(failure) = failure {
        return result.map_err(|e| with_keys(e).into()).and(Err(failure));
    }
    match result {
        Ok(()) => show.end(interrupt::interrupted()),
        // Stopped while it was still loading: nothing went wrong.
        Err(_) if interrupt::interrupted() => Ok(()),
        Err(error) => {
            show.failed(&error);
            Err(with_keys(error).into())
        }
    }?;
    if interrupt::interrupted() { Err(Failure::Interrupted) } else { Ok(()) }
}

pub(super) fn apply(config: &mut RunConfig, assignments: &[String]) -> Result<(), Failure> {
    for assignment in assignments {
        config.set(assignment).map_err(|e| Failure::Usage(format!("--set {assignment}: {e}")))?;
    }
    Ok(())
}

/// An error about a row says which keys of the run file decide about it: the engine's sentence, which the window shows too,
/// names none.
fn with_keys(error: Error) -> Error {
    match error {
        Error::Row { .. } => Error::Other(format!(
            "{error} (data.format, data.columns and data.roles say how rows are read; data.on_bad_row = \"skip\" leaves out \
             those that cannot be)"
        )),
        other => other,
    }
}

fn resumed_config(dir: &Path, assignments: &[String]) -> Result<RunConfig, Failure> {
    let file = dir.join("run.toml");
    if !file.is_file() {
        return Err(Error::file("this is not a run folder: it has no run.toml", dir).into());
    }
    let mut config = RunConfig::load(&file)?;
    for assignment in assignments {
        if assignment.trim_start().starts_with("output.dir") {
            return Err(Failure::Usage(format!(
                "--set {assignment}: a run is continued in its own folder; to have it elsewhere, move the folder first"
            )));
        }
        if !CHANGEABLE.iter().any(|section| assignment.trim_start().starts_with(section)) {
            return Err(Failure::Usage(format!(
                "--set {assignment}: a run that is continued keeps its model, data and method; begin a new one with \
                 `lora-studio train {}`",
                file.display()
            )));
        }
    }
    if !assignments.is_empty() {
        apply(&mut config, assignments)?;
        config.validate()?;
        let (mut run_dir, _) = RunDir::resume(dir)?;
        run_dir.change(&config)?;
    }
    Ok(config)
}

/// One way of showing what happens.
trait Show {
    /// An event came.
    fn event(&mut self, event: &Event) -> Result<(), Failure>;
    /// The run ended well, or was interrupted.
    fn end(&mut self, interrupted: bool) -> Result<(), Failure>;
    /// The run ended with an error, which is printed by who called.
    fn failed(&mut self, error: &Error);
}

/// One JSON object a line.
#[derive(Default)]
struct Json {
    failed: bool,
}

impl Show for Json {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Note { message } => note(message),
            // For who watches: `started` stays the first line.
            Event::Loading { .. } => {}
            event => {
                self.failed |= matches!(event, Event::Failed { .. });
                json(event)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _interrupted: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        if !self.failed {
            let _ = json(&Event::Failed { error: error.to_string() });
        }
    }
}
