//! How long, how fast and in which portions is trained.

use eframe::egui::{RichText, Ui};

use super::super::widgets::{card, segmented};
use super::field::{Range, count, number, number_with, row};
use crate::engine::config::{RunConfig, Schedule};

/// The card.
pub fn steps(ui: &mut Ui, run: &mut RunConfig) {
    card(ui, "Steps", |ui| {
        let tiny = run.model.source.starts_with("builtin:");
        let train = &mut run.train;
        whole(ui, "Epochs", ("train", "epochs"), &mut train.epochs, Range::whole(1.0, 20.0, ""));
        count(ui, "Steps at most", ("train", "max_steps"), &mut train.max_steps, "0: as the epochs say");
        let usual = if tiny { (1e-4, 5e-3) } else { (1e-4, 2e-4) };
        let range = Range::number_log(1e-6, 1e-2);
        number_with(ui, "Learning rate", ("train", "learning_rate"), &mut train.learning_rate, range, Some(usual));
        row(ui, "Schedule", ("train", "schedule"), |ui| {
            segmented(
                ui,
                "Schedule",
                &mut train.schedule,
                &[
                    (Schedule::Constant, "Constant", "Stays at its peak."),
                    (Schedule::Linear, "Linear", "Falls to zero in a straight line."),
                    (Schedule::Cosine, "Cosine", "Falls to zero along half a cosine: slow, fast, slow."),
                ],
            )
        });
        number(ui, "Warm-up", ("train", "warmup_ratio"), &mut train.warmup_ratio, Range::number(0.0, 0.2));
        whole(ui, "Batch size", ("train", "batch_size"), &mut train.batch_size, Range::whole_log(1.0, 64.0, ""));
        let accumulation = &mut train.grad_accumulation;
        whole(ui, "Accumulation", ("train", "grad_accumulation"), accumulation, Range::whole_log(1.0, 128.0, ""));
        number(ui, "Weight decay", ("train", "weight_decay"), &mut train.weight_decay, Range::number(0.0, 0.2));
        number(ui, "Gradient clipping", ("train", "max_grad_norm"), &mut train.max_grad_norm, Range::number(0.0, 5.0));
        let mut seed = train.seed as usize;
        if count(ui, "Seed", ("train", "seed"), &mut seed, "") {
            train.seed = seed as u64;
        }
        let effective = train.batch_size * train.grad_accumulation;
        let sequences = if effective == 1 { "one sequence".into() } else { format!("{effective} sequences") };
        ui.label(RichText::new(format!("One step sees {sequences}.")).weak());
    });
}

fn whole(ui: &mut Ui, title: &str, path: (&str, &str), value: &mut usize, range: Range) {
    let mut number_value = *value as f64;
    if number(ui, title, path, &mut number_value, range) {
        *value = number_value as usize;
    }
}
