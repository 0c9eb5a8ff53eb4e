//! The model room: ways in, what the open model is, and how its weights lie in memory.

mod facts;
mod forms;
mod hub;
mod local;
mod sizes;
#[cfg(test)]
mod tests;

use std::path::Path;

use eframe::egui::{self, Align, Layout, RichText, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use super::action::Action;
use super::theme;
use super::widgets::{card, icon_text_button, message, page_header, two_columns};
use crate::app::command::Commands;
use crate::app::model::ModelCommand;
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::engine::hub::Problem;
use crate::ui::busy;

/// The model that is always there.
const BUILT_IN: &str = "builtin:tiny-chat";
/// From this width on, facts and memory stand side by side.
const TWO_COLUMNS: f32 = 740.0;

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    /// What is being typed.
    typed: String,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let sentence = "The model that is adapted. It stays frozen; what is trained is the adapter beside it.";
        page_header(ui, "Model", sentence, |_| {});
        self.ways_in(ui, studio, commands, actions);
        ui.add_space(theme::GAP);
        hub::ui(ui, studio, commands);
        open_model(ui, studio, commands);
        local::ui(ui, studio, commands);
    }

    fn ways_in(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        card(ui, "Choose a model", |ui| {
            ui.horizontal(|ui| {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if icon_text_button(ui, icons::ICON_DESCRIPTION, "Open a GGUF file…").clicked() {
                        actions.push(Action::OpenModelFile);
                    }
                    if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open a folder…").clicked() {
                        actions.push(Action::OpenModelFolder);
                    }
                    let open = ui.button("Open");
                    open.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Open what was typed"));
                    let open = open.clicked();
                    let hint = "owner/name on the Hub, or a path";
                    let edit = TextEdit::singleline(&mut self.typed).hint_text(hint);
                    let response =
                        ui.add_sized(vec2(ui.available_width(), 28.0), edit.align(egui::Align2::LEFT_CENTER));
                    response.widget_info(|| {
                        egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Name on the Hub, or path")
                    });
                    let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                    if (open || entered) && !self.typed.trim().is_empty() {
                        commands.send(Command::Model(ModelCommand::Take(self.typed.clone())));
                    }
                });
            });
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new("Ready to use").weak());
                let current = studio.shared.run.model.source.as_str();
                suggestion(ui, BUILT_IN, "Built-in tiny chat model", current, commands);
                let recent = studio.shared.prefs.recent_models.iter().filter(|name| *name != BUILT_IN);
                for name in recent.take(4) {
                    suggestion(ui, name, short(name), current, commands);
                }
            });
        });
    }
}

/// A model of which the name alone is enough.
fn suggestion(ui: &mut Ui, source: &str, text: &str, current: &str, commands: &mut Commands) {
    let chosen = source == current;
    let response = ui.add(egui::Button::selectable(chosen, text).frame_when_inactive(true));
    let name = format!("Take {source}");
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, &name));
    if response.on_hover_text(source).clicked() {
        commands.send(Command::Model(ModelCommand::Use(source.to_string())));
    }
}

/// The last part of a path; a name on the Hub as it is.
fn short(source: &str) -> &str {
    let path = Path::new(source);
    let is_path = path.is_absolute() || source.starts_with(['.', '~']) || source.contains('\\');
    if !is_path {
        return source;
    }
    path.file_name().and_then(|name| name.to_str()).unwrap_or(source)
}

/// What the draft names: its facts, or why it cannot be opened.
fn open_model(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let model = &studio.model;
    if let Some(info) = &model.info {
        if ui.available_width() < TWO_COLUMNS {
            facts::ui(ui, info);
            ui.add_space(theme::GAP);
            forms::ui(ui, studio, info, commands);
        } else {
            two_columns(ui, |left, right| {
                facts::ui(left, info);
                forms::ui(right, studio, info, commands);
            });
        }
        ui.add_space(theme::GAP);
        card(ui, "", |ui| sizes::ui(ui, studio, commands));
        ui.add_space(theme::GAP);
        return;
    }
    let source = &studio.shared.run.model.source;
    card(ui, short(source), |ui| {
        let Some(problem) = &model.problem else {
            ui.horizontal(|ui| {
                busy::spinner(ui);
                ui.label("Reading what the model is");
            });
            return;
        };
        message(ui, Severity::Error, problem);
        ui.horizontal(|ui| {
            let kind = model.trouble.as_ref().and_then(|t| t.kind.as_ref());
            if matches!(kind, Some(Problem::NotOnDisk | Problem::Choice { .. }))
                && icon_text_button(ui, icons::ICON_CLOUD_DOWNLOAD, "See what it holds").clicked()
            {
                commands.send(Command::Model(ModelCommand::Take(source.clone())));
            }
            if icon_text_button(ui, icons::ICON_REFRESH, "Try to open it again").clicked() {
                commands.send(Command::Model(ModelCommand::Reload));
            }
            if source != BUILT_IN && icon_text_button(ui, icons::ICON_DEPLOYED_CODE, "Use the built-in model").clicked()
            {
                commands.send(Command::Model(ModelCommand::Use(BUILT_IN.into())));
            }
        });
    });
    ui.add_space(theme::GAP);
}
