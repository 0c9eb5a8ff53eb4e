//! The data room: which rows, what is in them, and what a run makes of them.

mod bubbles;
mod columns;
mod filter;
mod findings;
mod lengths;
mod numbers;
mod part;
mod path_field;
mod rows;
mod settings;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod tokens;
mod validation;
mod wrong;

use std::sync::Arc;

use eframe::egui::{Align, Layout, Response, RichText, Ui, vec2};
use egui_material_icons::icons;

use super::action::Action;
use super::theme;
use super::widgets::{card, icon_text_button, message, page_header, two_columns};
use crate::app::command::Commands;
use crate::app::data::DataCommand;
use crate::app::notices::Severity;
use crate::app::{Command, Readiness, Room, Studio};
pub use crate::engine::data::ENDINGS;
use crate::engine::data::Survey;

/// From this width on, settings and lengths stand side by side.
const TWO_COLUMNS: f32 = 700.0;

/// Width of the names of choices.
const LABEL: f32 = 66.0;

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    source: source::View,
    rows: rows::View,
    findings: findings::View,
    template: template::View,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let sentence = "The rows that the model learns from, and exactly what it will see of them.";
        page_header(ui, "Data", sentence, |ui| {
            if icon_text_button(ui, icons::ICON_REFRESH, "Read again")
                .on_hover_text("Reads the file again, whatever has changed on the disk.")
                .clicked()
            {
                commands.send(Command::Data(DataCommand::Reload));
            }
        });
        self.source.ui(ui, studio, commands, actions);
        if studio.model.info.is_none() {
            waiting_for_model(ui, studio, commands);
            return;
        }
        let data = &studio.data;
        if let Some(info) = &data.info {
            ui.add_space(theme::GAP);
            numbers::ui(ui, studio, info, &mut self.findings, commands);
        }
        let some = |survey: &&Arc<Survey>| !survey.train.is_empty() || data.look.wrong.is_some();
        if let Some(survey) = data.survey.as_ref().filter(some) {
            ui.add_space(theme::GAP);
            self.rows.ui(ui, studio, survey, commands);
        }
        ui.add_space(theme::GAP);
        self.template.ui(ui, studio, commands);
        ui.add_space(theme::GAP);
        if ui.available_width() < TWO_COLUMNS {
            settings::ui(ui, studio, commands);
            ui.add_space(theme::GAP);
            lengths::ui(ui, studio);
            return;
        }
        two_columns(ui, |left, right| {
            settings::ui(left, studio, commands);
            lengths::ui(right, studio);
        });
    }
}

/// Rows are written with the model's chat template and cut into its tokens.
fn waiting_for_model(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    ui.add_space(theme::GAP);
    card(ui, "", |ui| match studio.readiness(Room::Model) {
        Readiness::Blocked(reason) => {
            message(
                ui,
                Severity::Warning,
                "Choose a model first: rows are written with its chat template and its tokenizer.",
            );
            ui.label(RichText::new(reason).weak());
            if icon_text_button(ui, icons::ICON_DEPLOYED_CODE, "Go to the model").clicked() {
                commands.send(Command::Go(Room::Model));
            }
        }
        _ => {
            message(ui, Severity::Info, "The model is being opened; the rows are read with its tokenizer.");
        }
    });
}

/// The name of a line of choices, as wide as the others, so that the choices stand below one another.
fn row_label(ui: &mut Ui, text: &str) -> Response {
    let label = |ui: &mut Ui| ui.label(RichText::new(text).weak());
    ui.allocate_ui_with_layout(vec2(LABEL, ui.spacing().interact_size.y), Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_width(LABEL);
        label(ui)
    })
    .inner
}

/// A share in percent: `0.3%`, `12%`.
fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value > 0.0 && value < 9.95 { format!("{value:.1}%") } else { format!("{value:.0}%") }
}
