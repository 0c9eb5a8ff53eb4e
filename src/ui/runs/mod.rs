//! The runs room: what was trained before, compared, continued, copied and cleared away.

mod compare;
mod details;
mod dialogs;
mod table;
#[cfg(test)]
mod tests;

use eframe::egui::{self, Align, Color32, Layout, RichText, TextEdit, Ui};
use egui_material_icons::icons;

use super::action::Action;
use super::plot::{LinkedPlots, PlotState};
use super::theme::{self, Palette};
use super::widgets::{card, empty_state, icon_text_button, message, page_header};
use crate::app::command::Commands;
use crate::app::notices::Severity;
use crate::app::runs::{self, RunsCommand};
use crate::app::{Command, Room, Studio};
use crate::engine::config::shorten_home;
use crate::engine::train::run_dir::{RunSummary, Status};
use crate::ui::busy;

/// What the room remembers between frames.
pub struct View {
    table: table::View,
    dialogs: dialogs::View,
    loss: PlotState,
    validation: PlotState,
    linked: LinkedPlots,
}

impl Default for View {
    fn default() -> Self {
        View {
            table: table::View::default(),
            dialogs: dialogs::View::default(),
            loss: PlotState::default(),
            validation: PlotState::default(),
            linked: LinkedPlots::new("runs"),
        }
    }
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, _actions: &mut Vec<Action>) {
        let state = &studio.runs;
        let folder = runs::folder(&studio.shared);
        page_header(ui, "Runs", "What was trained before. Tick several to see their curves over each other.", |ui| {
            if let Ok(folder) = &folder
                && icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open the runs folder").clicked()
            {
                commands.send(Command::Open(folder.display().to_string()));
            }
            if state.busy() {
                busy::spinner(ui);
            } else if icon_text_button(ui, icons::ICON_REFRESH, "Read again").clicked() {
                commands.send(Command::Runs(RunsCommand::Refresh));
            }
        });
        if let Some(problem) = &state.problem {
            message(ui, Severity::Error, problem);
            ui.add_space(theme::GAP);
        }
        if let Some(refusal) = &state.refusal {
            message(ui, Severity::Error, refusal);
            ui.add_space(theme::GAP);
        }
        let Some(list) = &state.list else {
            if state.problem.is_none() {
                ui.horizontal(|ui| {
                    busy::spinner(ui);
                    ui.label("Reading the runs");
                });
            }
            return;
        };
        if list.is_empty() {
            let place = folder.map(|f| shorten_home(&f)).unwrap_or_default();
            let text = format!("Every run that you train is kept here with its curves, samples and adapter.\n{place}");
            empty_state(ui, icons::ICON_HISTORY, "No run yet", &text, |ui| {
                if icon_text_button(ui, icons::ICON_MODEL_TRAINING, "Go to training").clicked() {
                    commands.send(Command::Go(Room::Train));
                }
            });
            return;
        }
        card(ui, "", |ui| {
            self.filter(ui, list.len());
            self.table.ui(ui, studio, list, commands);
        });
        ui.add_space(theme::GAP);
        if let Some(run) = state.selected.as_ref().and_then(|path| state.summary(path)) {
            details::ui(ui, studio, run, &mut self.dialogs, commands);
            ui.add_space(theme::GAP);
        }
        compare::curves(ui, studio, &mut self.loss, &mut self.validation, &mut self.linked);
        compare::settings(ui, studio);
        self.dialogs.ui(ui.ctx(), commands);
    }

    fn filter(&mut self, ui: &mut Ui, count: usize) {
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.table.filter).hint_text("Filter by name, model, data or status");
            let response = ui.add(edit.desired_width(320.0));
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Filter runs"));
            let shown = self.table.shown();
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let text = match (shown, count) {
                    (_, 1) => "1 run".to_string(),
                    (shown, count) if shown == count => format!("{count} runs"),
                    (shown, count) => format!("{shown} of {count} runs"),
                };
                ui.label(RichText::new(text).weak());
            });
        });
        ui.add_space(4.0);
    }
}

/// A status in a word.
fn word(status: &Status) -> &'static str {
    match status {
        Status::Running => "training",
        Status::Finished => "finished",
        Status::Stopped => "stopped",
        Status::Interrupted => "interrupted",
        Status::Failed(_) => "failed",
        Status::Broken(_) => "cannot be read",
    }
}

/// A status in a word, with its colour.
fn status_word(status: &Status, p: &Palette) -> (&'static str, Color32) {
    let color = match status {
        Status::Running => p.accent,
        Status::Finished => p.good,
        Status::Stopped => p.weak,
        Status::Interrupted => p.warning,
        Status::Failed(_) | Status::Broken(_) => p.bad,
    };
    (word(status), color)
}

/// `2026-11-23 22:47` of an RFC 3339 time.
fn date(run: &RunSummary) -> String {
    run.created.get(..16).map(|text| text.replace('T', " ")).unwrap_or_default()
}

/// The last part of a path or name.
fn tail(text: &str) -> &str {
    text.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(text)
}
