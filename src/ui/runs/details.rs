//! One run: its numbers, notes and settings, and what can be done with it.

use eframe::egui::{self, Button, CollapsingHeader, Grid, Response, RichText, ScrollArea, TextEdit, Ui, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons;

use super::{date, dialogs, status_word};
use crate::app::command::Commands;
use crate::app::notices::Severity;
use crate::app::runs::{Curves, RunsCommand, can_continue};
use crate::app::{Command, Room, Studio};
use crate::engine::config::{shorten_home, shorten_homes_in};
use crate::engine::train::run_dir::{RunSummary, Status};
use crate::ui::busy;
use crate::ui::theme::palette;
use crate::ui::widgets::{badge, card_with, fact, icon_button, icon_text_button, message};
use crate::units::{duration, grouped};

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, run: &RunSummary, dialogs: &mut dialogs::View, commands: &mut Commands) {
    let (word, color) = status_word(&run.status, &palette(ui));
    let mut close = false;
    card_with(
        ui,
        &run.name,
        |ui| {
            close = icon_button(ui, icons::ICON_CLOSE, "Close the details").clicked();
            badge(ui, word, color);
        },
        |ui| {
            if let Status::Failed(why) | Status::Broken(why) = &run.status {
                message(ui, Severity::Error, why);
            }
            if run.status == Status::Interrupted {
                let text = match run.checkpoints.first() {
                    Some(newest) => format!("Its program ended in the middle. It can go on from step {}.", newest.step),
                    None => "Its program ended before the first checkpoint. It can begin anew.".to_string(),
                };
                message(ui, Severity::Warning, &text);
            }
            buttons(ui, studio, run, dialogs, commands);
            if matches!(run.status, Status::Broken(_)) {
                return;
            }
            ui.add_space(4.0);
            if ui.available_width() < 700.0 {
                numbers(ui, run);
                notes(ui, studio, commands);
            } else {
                ui.columns_const(|[left, right]| {
                    numbers(left, run);
                    notes(right, studio, commands);
                });
            }
            settings(ui, studio, run);
        },
    );
    if close {
        commands.send(Command::Runs(RunsCommand::Select(None)));
    }
}

fn buttons(ui: &mut Ui, studio: &Studio, run: &RunSummary, dialogs: &mut dialogs::View, commands: &mut Commands) {
    let path = || run.path.clone();
    let broken = matches!(run.status, Status::Broken(_));
    let running = run.status == Status::Running;
    ui.horizontal_wrapped(|ui| {
        if !broken && icon_text_button(ui, icons::ICON_SHOW_CHART, "Show in Train").clicked() {
            commands.send(Command::Show(path()));
        }
        if can_continue(run) {
            let response = enabled_button(ui, !studio.is_training(), icons::ICON_PLAY_ARROW, "Continue the run");
            if response.on_disabled_hover_text("Another run is being trained.").clicked() {
                commands.send(Command::Continue(path()));
            }
        }
        if !broken && icon_text_button(ui, icons::ICON_CONTENT_COPY, "Duplicate into a new run").clicked() {
            commands.send(Command::Runs(RunsCommand::Duplicate(path())));
        }
        if run.has_adapter {
            // Chat and Export take the adapter of the run that is shown.
            if icon_text_button(ui, icons::ICON_FORUM, "Chat with it").clicked() {
                commands.send(Command::Show(path()));
                commands.send(Command::Go(Room::Chat));
            }
            if icon_text_button(ui, icons::ICON_IOS_SHARE, "Export it").clicked() {
                commands.send(Command::Show(path()));
                commands.send(Command::Go(Room::Export));
            }
        }
        if !broken && icon_text_button(ui, icons::ICON_EDIT, "Rename…").clicked() {
            dialogs.rename(run);
        }
        if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open its folder").clicked() {
            commands.send(Command::Open(run.path.display().to_string()));
        }
        let response = enabled_button(ui, !running && !studio.runs.deleting(), icons::ICON_DELETE, "Delete…");
        let why = if running { "It is being trained: stop it first." } else { "A run is being moved to the trash." };
        if response.on_disabled_hover_text(why).clicked() {
            dialogs.delete(run);
        }
    });
}

/// As [`icon_text_button`]; a widget of its own, so that a row of them wraps.
fn enabled_button(ui: &mut Ui, enabled: bool, icon: MaterialIcon, text: &str) -> Response {
    let response = ui.add_enabled(enabled, Button::new((icon.rich_text().size(15.0), text)));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, text));
    response
}

fn numbers(ui: &mut Ui, run: &RunSummary) {
    Grid::new("run-numbers").num_columns(2).spacing(vec2(14.0, 5.0)).min_row_height(18.0).show(ui, |ui| {
        fact(ui, "Model", shorten_homes_in(&run.model));
        fact(ui, "Data", shorten_homes_in(&run.dataset));
        fact(ui, "Begun", date(run));
        let steps = match run.total_steps {
            Some(total) => format!("{} of {}", grouped(run.steps as u64), grouped(total as u64)),
            None => grouped(run.steps as u64),
        };
        fact(ui, "Steps", steps);
        if run.seconds > 0.0 {
            fact(ui, "Time", duration(run.seconds));
        }
        let mut loss = run.last_loss.map(|loss| format!("{loss:.4} nats")).unwrap_or_default();
        if let Some(best) = run.best_validation_loss {
            loss = format!("{loss}, best validation {best:.4}");
        }
        fact(ui, "Loss", loss);
        if let Some(trained) = run.trainable_parameters {
            fact(ui, "Trained", format!("{} parameters", grouped(trained)));
        }
        let steps: Vec<String> = run.checkpoints.iter().take(6).map(|c| c.step.to_string()).collect();
        let checkpoints = if steps.is_empty() { "none".into() } else { format!("at step {}", steps.join(", ")) };
        fact(ui, "Checkpoints", checkpoints);
        fact(ui, "Folder", shorten_home(&run.path));
    });
}

fn notes(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let notes = &studio.runs.notes;
    let label = ui.label(RichText::new("Notes, kept as you type").weak());
    match &notes.text {
        Some(text) => {
            let mut text = text.clone();
            let edit = TextEdit::multiline(&mut text).desired_rows(6).desired_width(f32::INFINITY);
            let edit = edit.hint_text("What you tried, and what came of it");
            let response = ui.add(edit).labelled_by(label.id);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Notes of the run"));
            if response.changed() {
                commands.send(Command::Runs(RunsCommand::Notes(text)));
            }
        }
        None if notes.problem.is_none() => drop(busy::spinner(ui)),
        None => {}
    }
    if let Some(problem) = &notes.problem {
        message(ui, Severity::Error, problem);
    }
}

fn settings(ui: &mut Ui, studio: &Studio, run: &RunSummary) {
    CollapsingHeader::new(RichText::new("Settings of the run").small()).id_salt("run-settings").show(ui, |ui| {
        match studio.runs.curves(&run.path) {
            Some(Curves::Ready(view)) => {
                let text = view.config.to_toml().unwrap_or_default();
                let mut text = text.as_str();
                ScrollArea::vertical().id_salt("run-toml").max_height(320.0).auto_shrink([false, true]).show(
                    ui,
                    |ui| {
                        let edit = TextEdit::multiline(&mut text).code_editor().desired_width(f32::INFINITY);
                        let response = ui.add(edit);
                        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Run file"));
                    },
                );
            }
            Some(Curves::Failed(error)) => drop(message(ui, Severity::Error, error)),
            _ => drop(busy::spinner(ui)),
        }
    });
}
