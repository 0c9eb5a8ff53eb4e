//! Rows that are held out, to see whether the model learns or memorises.

use eframe::egui::{self, ComboBox, DragValue, RichText, Ui};
use egui_material_icons::icons;

use super::part::with_size;
use super::path_field::PathField;
use super::row_label;
use crate::app::Studio;
use crate::engine::config::{DataConfig, RunConfig};
use crate::engine::hub::{DatasetSplit, PartChoice};
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
    Split,
}

impl Validation {
    /// What the settings say; a file goes before a number, a number before a share, as in the engine.
    fn of(data: &DataConfig) -> Validation {
        match data {
            data if !data.validation.is_empty() && !data.hub_validation_split.is_empty() => Validation::Split,
            data if !data.validation.is_empty() => Validation::File,
            data if data.validation_rows > 0 => Validation::Count,
            data if data.validation_fraction > 0.0 => Validation::Share,
            _ => Validation::None,
        }
    }

    /// The settings for this choice: only one of the three says something.
    fn set(self, data: &mut DataConfig, rows: usize, split: Option<&DatasetSplit>) {
        data.validation.clear();
        data.hub_validation_split.clear();
        if let (Validation::Split, Some(split)) = (self, split) {
            data.validation.clone_from(&data.train);
            data.hub_validation_split.clone_from(&split.name);
        }
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
            let splits = other_splits(studio, data);
            let mut choices = vec![
                (Validation::None, "None", "All rows are trained on."),
                (Validation::Share, "A share", "Rows chosen by the seed are held out; usual are 2 to 10%."),
                (Validation::Count, "A number", "As many rows as you say are held out, chosen by the seed."),
                (Validation::File, "A file", "Rows of another file."),
            ];
            if !splits.is_empty() {
                choices.insert(1, (Validation::Split, "A split", "Rows of another split of the same data set."));
            }
            if segmented(ui, "Validation", &mut choice, &choices) {
                self.wants_file = choice == Validation::File;
                let rows = studio.data.survey.as_ref().map_or(usize::MAX, |survey| survey.train.len());
                choice.set(data, rows, splits.first().copied());
            }
            match choice {
                Validation::None => {}
                Validation::Split => split_choice(ui, &splits, data),
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

/// The splits of the data set of the Hub that are not trained on, those that are meant for validation first.
fn other_splits<'s>(studio: &'s Studio, data: &DataConfig) -> Vec<&'s DatasetSplit> {
    let parts = studio.data.hub.as_ref().and_then(|hub| hub.parts.as_ref());
    let Some(config) = parts.and_then(|parts| parts.config(&data.hub_config)) else { return Vec::new() };
    let part = |held_out| PartChoice { held_out, ..PartChoice::default() };
    let trained = config.split(&PartChoice { split: data.hub_split.clone(), ..part(false) });
    let usual = config.split(&part(true));
    let mut splits: Vec<&DatasetSplit> =
        config.splits.iter().filter(|split| Some(&split.name) != trained.map(|trained| &trained.name)).collect();
    splits.sort_by_key(|split| Some(&split.name) != usual.map(|usual| &usual.name));
    splits
}

fn split_choice(ui: &mut Ui, splits: &[&DatasetSplit], data: &mut DataConfig) {
    let chosen = splits.iter().find(|split| split.name == data.hub_validation_split);
    let shown = chosen.map_or_else(|| data.hub_validation_split.clone(), |split| with_size(split));
    let combo = ComboBox::from_id_salt("validation-split").selected_text(shown).width(190.0);
    let response = combo.show_ui(ui, |ui| {
        for split in splits {
            let is_chosen = split.name == data.hub_validation_split;
            if ui.selectable_label(is_chosen, with_size(split)).clicked() {
                data.hub_validation_split.clone_from(&split.name);
            }
        }
    });
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Validation split"));
}

fn held_out(ui: &mut Ui, studio: &Studio) {
    let Some(info) = &studio.data.info else { return };
    let rows = grouped(info.report.validation.samples as u64);
    let help = "Rows that say the same stay together, so the number may differ a little from what you asked for.";
    ui.label(RichText::new(format!("{rows} rows are held out")).weak()).on_hover_text(help);
}
