//! Rows that are held out, to see whether the model learns or memorises.

use eframe::egui::{self, DragValue, RichText, Ui};
use egui_material_icons::icons;

use super::path_field::PathField;
use super::row_label;
use crate::app::Studio;
use crate::engine::config::{DataConfig, RunConfig};
use crate::ui::action::Action;
use crate::ui::widgets::{icon_text_button, segmented};
use crate::units::grouped;

/// Rows that are held out when a number is wanted and none is said.
const ROWS: usize = 50;
/// Share that is held out when a share is wanted and none is said.
const SHARE: f64 = 0.05;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Validation {
    #[default]
    None,
    Share,
    Count,
    File,
}

impl Validation {
    /// What the settings say; a file goes before a number, a number before a share, as in the engine.
    fn of(data: &DataConfig) -> Validation {
        match data {
            data if !data.validation.is_empty() => Validation::File,
            data if data.validation_rows > 0 => Validation::Count,
            data if data.validation_fraction > 0.0 => Validation::Share,
            _ => Validation::None,
        }
    }

    /// The settings for this choice: only one of the three says something.
    fn set(self, data: &mut DataConfig, rows: usize) {
        data.validation.clear();
        data.validation_fraction = if self == Validation::Share { SHARE } else { 0.0 };
        // Never more than half of a small file.
        data.validation_rows = if self == Validation::Count { ROWS.min(rows / 2).max(1) } else { 0 };
    }
}

/// What is being typed.
#[derive(Default)]
pub struct View {
    path: PathField,
    /// A file is wanted, but none is named yet.
    wants_file: bool,
}

impl View {
    /// One line: how many rows, and which.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, run: &mut RunConfig, actions: &mut Vec<Action>) {
        let data = &mut run.data;
        let mut choice = match Validation::of(data) {
            Validation::None if self.wants_file => Validation::File,
            choice => choice,
        };
        ui.horizontal(|ui| {
            ui.set_min_height(30.0);
            row_label(ui, "Validation").on_hover_text(
                "Rows that are never trained on: their loss shows whether the model learns or memorises.",
            );
            let choices = [
                (Validation::None, "None", "All rows are trained on."),
                (Validation::Share, "A share", "Rows chosen by the seed are held out; usual are 2 to 10%."),
                (Validation::Count, "A number", "As many rows as you say are held out, chosen by the seed."),
                (Validation::File, "A file", "Rows of another file."),
            ];
            if segmented(ui, "Validation", &mut choice, &choices) {
                self.wants_file = choice == Validation::File;
                choice.set(data, studio.data.survey.as_ref().map_or(usize::MAX, |survey| survey.train.len()));
            }
            match choice {
                Validation::None => {}
                Validation::Share => {
                    let mut share = data.validation_fraction * 100.0;
                    let drag = DragValue::new(&mut share).range(0.1..=90.0).speed(0.2).max_decimals(1).suffix("%");
                    let response = ui.add(drag);
                    response.widget_info(|| egui::WidgetInfo::slider(true, share, "Share for validation"));
                    if response.changed() {
                        data.validation_fraction = (share * 10.0).round() / 1000.0;
                    }
                    held_out(ui, studio);
                }
                Validation::Count => {
                    let drag = DragValue::new(&mut data.validation_rows).range(1..=1_000_000).speed(1).suffix(" rows");
                    let response = ui.add(drag);
                    let rows = data.validation_rows as f64;
                    response.widget_info(|| egui::WidgetInfo::slider(true, rows, "Rows for validation"));
                    held_out(ui, studio);
                }
                Validation::File => {
                    let width = (ui.available_width() - 110.0).max(120.0);
                    let typed = self.path.ui(ui, &data.validation, "Validation rows path", "path of a file", width);
                    if let Some(path) = typed {
                        data.validation = path;
                    }
                    if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Choose…").clicked() {
                        actions.push(Action::OpenValidation);
                    }
                }
            }
        });
    }
}

fn held_out(ui: &mut Ui, studio: &Studio) {
    let Some(info) = &studio.data.info else { return };
    let rows = grouped(info.report.validation.samples as u64);
    let help = "Rows that say the same stay together, so the number may differ a little from what you asked for.";
    ui.label(RichText::new(format!("{rows} rows are held out")).weak()).on_hover_text(help);
}
