//! The Method room: presets, and every control of how the adapter is trained.

mod adapter;
mod field;
mod layer;
mod memory;
mod presets;
mod steps;
#[cfg(test)]
mod tests;

use eframe::egui::Ui;
use egui_material_icons::icons;

use super::action::Action;
use super::theme;
use super::widgets::{card, figure, icon_text_button, message, page_header, two_columns};
use crate::app::command::Commands;
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::units::{bytes, duration, grouped};
use adapter::{adapter, targets};
use memory::{keeping, memory};
use presets::presets;
use steps::steps;

/// Width from which the cards stand in two columns.
const TWO_COLUMNS: f32 = 960.0;

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        page_header(ui, "Method", "How much of the model is trained, and how.", |ui| {
            if icon_text_button(ui, icons::ICON_SAVE, "Save run file…").clicked() {
                actions.push(Action::SaveRunFile);
            }
            if icon_text_button(ui, icons::ICON_FILE_OPEN, "Open run file…").clicked() {
                actions.push(Action::OpenRunFile);
            }
        });
        let mut run = studio.shared.run.clone();
        presets(ui, &mut run);
        ui.add_space(theme::GAP);
        summary(ui, studio);
        ui.add_space(theme::GAP);
        if ui.available_width() >= TWO_COLUMNS {
            two_columns(ui, |left, right| {
                adapter(left, studio, &mut run);
                left.add_space(theme::GAP);
                targets(left, studio, &mut run);
                steps(right, &mut run);
                right.add_space(theme::GAP);
                memory(right, studio, &mut run);
                right.add_space(theme::GAP);
                keeping(right, &mut run);
            });
        } else {
            adapter(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            targets(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            steps(ui, &mut run);
            ui.add_space(theme::GAP);
            memory(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            keeping(ui, &mut run);
        }
        if run != studio.shared.run {
            commands.send(Command::Edit(Box::new(run)));
        }
    }
}

/// What the choice comes to.
fn summary(ui: &mut Ui, studio: &Studio) {
    let pricing = &studio.pricing;
    card(ui, "", |ui| {
        if let Some(problem) = &pricing.problem {
            message(ui, Severity::Warning, problem);
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 28.0;
            let share = 100.0 * pricing.trainable as f64 / pricing.total.max(1) as f64;
            let of = format!("of {}", grouped(pricing.total));
            figure(ui, &grouped(pricing.trainable), &of, "trainable parameters");
            figure(ui, &format!("{share:.2}"), "%", "of all are trained");
            let (needed, unit) = split_unit(&bytes(pricing.bytes()));
            figure(ui, &needed, &unit, "memory in training");
            if let Some(steps) = pricing.steps {
                figure(ui, &grouped(steps.per_epoch as u64), "", "steps an epoch");
                figure(ui, &grouped(steps.total as u64), "", "steps in all");
                if let Some(seconds) = crate::app::gate::forecast(studio).and_then(|f| f.seconds) {
                    figure(ui, &duration(seconds), "", "expected, at the speed of the last run");
                }
            }
        });
    });
}

/// `1.5` and `GiB`.
fn split_unit(text: &str) -> (String, String) {
    match text.split_once(' ') {
        Some((value, unit)) => (value.to_string(), unit.to_string()),
        None => (text.to_string(), String::new()),
    }
}
