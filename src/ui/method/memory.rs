//! What the run keeps in memory, and what it checks and keeps on the way.

use eframe::egui::{RichText, Ui};

use super::super::fit;
use super::super::widgets::{card, segmented};
use super::field::{count, row};
use crate::app::Studio;
use crate::engine::config::{Checkpointing, Embeddings, OptimizerKind, Quantization, RunConfig};
use crate::engine::ops::Compute;

/// Types, checkpointing and optimizer, with what would make the run fit or faster.
pub fn memory(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    card(ui, "Memory", |ui| {
        row(ui, "Weights", ("model", "quantization"), |ui| {
            segmented(
                ui,
                "Weights",
                &mut run.model.quantization,
                &[
                    (Quantization::Nf4, "NF4", "4 bits a weight (QLoRA): an eighth of 32 bits, with little loss."),
                    (Quantization::None, "Unquantized", "In the compute type: exact, and four times as large."),
                    (Quantization::Keep, "As stored", "GGUF blocks or bitsandbytes 4-bit, without a second loss."),
                ],
            )
        });
        ui.add_enabled_ui(run.model.quantization == Quantization::Nf4, |ui| {
            row(ui, "Double quantization", ("model", "double_quant"), |ui| {
                ui.checkbox(&mut run.model.double_quant, "quantize the scales, too")
            });
        });
        row(ui, "Compute", ("model", "compute"), |ui| {
            segmented(
                ui,
                "Compute",
                &mut run.model.compute,
                &[(Compute::Bf16, "bf16", "Fast; sums are in 32 bits."), (Compute::F32, "f32", "Exact and slower.")],
            )
        });
        let info = studio.model.info.as_ref();
        let can_stay = info.is_none_or(|model| model.stored.embeddings_can_stay());
        ui.add_enabled_ui(can_stay, |ui| {
            row(ui, "Embeddings", ("model", "embeddings"), |ui| {
                let mut in_file = can_stay && run.model.embeddings == Embeddings::File;
                let found = ui.checkbox(&mut in_file, "read from the model's file");
                if found.changed() {
                    run.model.embeddings = if in_file { Embeddings::File } else { Embeddings::Memory };
                }
                found.on_disabled_hover_text("They stay in memory: this model answers with the same numbers, or its file has no rows of plain numbers or GGUF blocks.")
            });
        });
        row(ui, "Checkpointing", ("train", "checkpointing"), |ui| {
            segmented(
                ui,
                "Checkpointing",
                &mut run.train.checkpointing,
                &[
                    (Checkpointing::Auto, "Auto", "The fastest that fits, layer by layer."),
                    (Checkpointing::None, "None", "Keeps everything: fastest, largest."),
                    (Checkpointing::PerLayer, "Per layer", "Computes each layer twice: a quarter slower, far smaller."),
                ],
            )
        });
        let (kept, layers) = studio.pricing.kept_layers;
        if layers > 0 {
            let text = match kept {
                k if k == layers => format!("All {layers} layers keep their forward."),
                0 => format!("All {layers} layers are computed twice."),
                k => format!("{k} of {layers} layers keep their forward, the others are computed twice."),
            };
            ui.label(RichText::new(text).weak());
        }
        ui.add_enabled_ui(run.train.checkpointing != Checkpointing::None, |ui| {
            row(ui, "Layer inputs", ("train", "checkpoint_offload"), |ui| {
                ui.checkbox(&mut run.train.checkpoint_offload, "wait in a file for their backward")
                    .on_disabled_hover_text("Checkpointing is None: no layer is computed again, so none waits.")
            });
        });
        let chunk = &mut run.train.logits_chunk;
        count(ui, "Logits at a time", ("train", "logits_chunk"), chunk, "rows; 0: as many as 56 MiB hold");
        row(ui, "Optimizer", ("train", "optimizer"), |ui| {
            segmented(
                ui,
                "Optimizer",
                &mut run.train.optimizer,
                &[
                    (OptimizerKind::Adamw, "AdamW", "Two moments in 32 bits: 8 bytes for each trained number."),
                    (
                        OptimizerKind::Adamw8bit,
                        "8-bit",
                        "The moments in 8 bits: a quarter of the memory, nearly the same curve.",
                    ),
                    (
                        OptimizerKind::PagedAdamw,
                        "Paged",
                        "The moments in a file that the system keeps in memory while there is room: the same numbers, \
                         slower when there is none.",
                    ),
                ],
            )
        });
        fit::ui(ui, studio, run);
    });
}

/// Validation and checkpoints.
pub fn keeping(ui: &mut Ui, run: &mut RunConfig) {
    card(ui, "Checking and keeping", |ui| {
        count(ui, "Validate every", ("eval", "every"), &mut run.eval.every, "steps; 0: at the end");
        count(ui, "Checkpoint every", ("output", "save_every"), &mut run.output.save_every, "steps");
        count(ui, "Checkpoints kept", ("output", "keep"), &mut run.output.keep, "");
    });
}
