//! What the trainer says while it works: one enum for the command line, the window and `metrics.jsonl`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::memory::Measured;

/// What is read before a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadPhase {
    /// The rows.
    Data,
    /// The frozen weights.
    Model,
}

/// One thing that happened. As JSON: `{"event":"step","step":1,…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Data or model are being read, before [`Event::Started`]. At most about twenty a second, and not recorded.
    Loading {
        /// What is being read.
        phase: LoadPhase,
        /// Bytes of the files that are done.
        done: u64,
        /// Bytes of the files in all.
        total: u64,
    },
    /// Everything is loaded and checked; the first step follows.
    Started {
        /// The run folder.
        run_dir: PathBuf,
        /// Numbers that are trained.
        trainable_parameters: u64,
        /// Numbers of the model and the adapter.
        total_parameters: u64,
        /// Bytes that a step is planned to take.
        plan_bytes: u64,
        /// Optimizer steps of the whole run; 0 in files of versions that did not say.
        #[serde(default)]
        total_steps: usize,
    },
    /// Something that a person should know: rows that were cut, what is being loaded, what changed since a checkpoint.
    Note {
        /// One sentence.
        message: String,
    },
    /// An optimizer step was made.
    Step {
        /// From 1.
        step: usize,
        /// Times that the data has been gone through, with its fraction.
        epoch: f64,
        /// Mean loss of the step's supervised tokens, in nats.
        loss: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Norm of the gradient before clipping.
        grad_norm: f64,
        /// Tokens that went through the model in this step.
        tokens: u64,
        /// Those of them that counted in the loss.
        supervised_tokens: u64,
        /// Speed of this step.
        tokens_per_second: f64,
        /// Bytes that the process holds.
        memory_bytes: u64,
    },
    /// What the run has taken so far beside what was planned: after the first step, after the first samples, at the end.
    Memory {
        /// After this many steps.
        step: usize,
        /// Both, in all and by part.
        #[serde(flatten)]
        measured: Measured,
    },
    /// Other programs have taken the memory: the run waits until there is more, or goes on.
    Held {
        /// After this many steps.
        step: usize,
        /// Whether it waits now.
        held: bool,
        /// Bytes that were free.
        available_bytes: u64,
    },
    /// The validation loss was measured.
    Eval {
        /// After this many steps.
        step: usize,
        /// Mean loss of the validation rows' supervised tokens, in nats.
        loss: f64,
    },
    /// How far the adapter has moved each linear: ‖s·B·A‖, for a map of layers × modules.
    AdapterNorms {
        /// After this many steps.
        step: usize,
        /// Names of the columns: `q_proj`.
        modules: Vec<String>,
        /// Number of rows.
        layers: usize,
        /// `[layers, modules]`, row by row; `null` where a layer's module has no adapter.
        norms: Vec<Option<f32>>,
    },
    /// A prompt was answered by the base and by the adapted model.
    Sample {
        /// After this many steps.
        step: usize,
        /// What was asked.
        prompt: String,
        /// The frozen model's answer.
        base: String,
        /// The answer with the adapter as it is now.
        adapted: String,
    },
    /// A checkpoint is complete on the disk.
    Checkpoint {
        /// After this many steps.
        step: usize,
        /// Its folder.
        path: PathBuf,
    },
    /// The run is over and its adapter is written.
    Finished {
        /// Steps made in all.
        steps: usize,
        /// Mean loss of the last steps, in nats.
        loss: f64,
        /// The adapter's folder.
        adapter_dir: PathBuf,
        /// Time that training took.
        seconds: f64,
        /// Highest memory of the process.
        peak_memory_bytes: u64,
    },
    /// The run ended with an error.
    Failed {
        /// One sentence.
        error: String,
    },
}

impl Event {
    /// The step that an event belongs to.
    pub fn step(&self) -> Option<usize> {
        match self {
            Event::Step { step, .. }
            | Event::Eval { step, .. }
            | Event::AdapterNorms { step, .. }
            | Event::Sample { step, .. }
            | Event::Memory { step, .. }
            | Event::Held { step, .. }
            | Event::Checkpoint { step, .. } => Some(*step),
            Event::Finished { steps, .. } => Some(*steps),
            Event::Loading { .. } | Event::Started { .. } | Event::Note { .. } | Event::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_what_the_documentation_says() {
        let step = Event::Step {
            step: 3,
            epoch: 0.5,
            loss: 2.25,
            learning_rate: 2e-4,
            grad_norm: 1.5,
            tokens: 512,
            supervised_tokens: 100,
            tokens_per_second: 250.0,
            memory_bytes: 1,
        };
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(
            text,
            r#"{"event":"step","step":3,"epoch":0.5,"loss":2.25,"learning_rate":0.0002,"grad_norm":1.5,"tokens":512,"supervised_tokens":100,"tokens_per_second":250.0,"memory_bytes":1}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), step);
        let loading = Event::Loading { phase: LoadPhase::Model, done: 3, total: 9 };
        assert_eq!(
            serde_json::to_string(&loading).unwrap(),
            r#"{"event":"loading","phase":"model","done":3,"total":9}"#
        );
        let checkpoint = Event::Checkpoint { step: 10, path: "checkpoints/step-10".into() };
        assert_eq!(
            serde_json::to_string(&checkpoint).unwrap(),
            r#"{"event":"checkpoint","step":10,"path":"checkpoints/step-10"}"#
        );
    }
}
