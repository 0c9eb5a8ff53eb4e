//! The Export room: the adapter for other programs.

#[cfg(test)]
mod tests;

use eframe::egui::{Align, ComboBox, Grid, Label, Layout, RichText, TextEdit, Ui};
use egui_material_icons::icons;

use super::action::Action;
use super::theme::{self, palette};
use super::widgets::{
    card, card_with, centered_row, empty_state, fact, icon_text_button, message, page_header, primary_button, strong,
};
use crate::app::adapters::Base;
use crate::app::command::Commands;
use crate::app::export::{ExportCommand, Exported, Offer, into};
use crate::app::notices::Severity;
use crate::app::{Command, Room, Studio};
use crate::engine::config::{shorten_home, shorten_homes_in};
use crate::ui::busy;
use crate::units::{bytes, grouped};

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    /// The result of an export was there in the last frame.
    had_result: bool,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        page_header(ui, "Export", "The adapter in the form that other programs read.", |_| {});
        let export = &studio.export;
        if !export.has_target() {
            if studio.adapters.known() {
                nothing_yet(ui, studio, actions);
            } else {
                busy::spinner(ui);
            }
            return;
        }
        card(ui, "Adapter", |ui| adapter_ui(ui, studio, commands, actions));
        let Some(offer) = &export.offer else { return };
        ui.add_space(theme::GAP);
        card(ui, "PEFT folder", |ui| {
            let text = "For PEFT and transformers, and for every tool that loads their adapters. What is written is read \
                        back and compared, bit for bit, before the folder appears.";
            ui.add(Label::new(RichText::new(text).weak()).wrap());
            ui.add_space(6.0);
            place_ui(ui, studio, commands, actions);
            ui.add_space(6.0);
            files_ui(ui, studio, offer);
            ui.add_space(8.0);
            write_ui(ui, studio, commands);
        });
        if let Some(done) = &export.done {
            ui.add_space(theme::GAP);
            done_ui(ui, done, commands);
            if !self.had_result {
                ui.scroll_to_cursor(Some(Align::BOTTOM));
            }
        }
        self.had_result = export.done.is_some();
    }
}

fn nothing_yet(ui: &mut Ui, studio: &Studio, actions: &mut Vec<Action>) {
    if let Some(problem) = &studio.adapters.problem {
        message(ui, Severity::Error, problem);
    }
    let text = "Train first: the finished run's adapter is then exported from here. Or take one from a folder.";
    empty_state(ui, icons::ICON_IOS_SHARE, "No adapter yet", text, |ui| {
        centered_row(ui, 330.0, |ui| {
            if icon_text_button(ui, icons::ICON_MODEL_TRAINING, "Go to training").clicked() {
                actions.push(Action::Go(Room::Train));
            }
            if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open an adapter folder…").clicked() {
                actions.push(Action::OpenAdapter);
            }
        });
    });
}

fn adapter_ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
    let export = &studio.export;
    ui.horizontal(|ui| {
        let label = ui.label("Of");
        let newest = export.offer.as_ref().map_or("Newest".to_string(), |offer| offer.name.clone());
        let selected = match &export.chosen {
            Some(path) => studio.adapters.name_of(path),
            None => newest,
        };
        let combo = ComboBox::from_id_salt("export-choice").width(300.0).selected_text(selected).truncate();
        let response = combo.show_ui(ui, |ui| {
            let mut entry = |ui: &mut Ui, path: Option<&std::path::PathBuf>, text: &str, help: String| {
                if ui.selectable_label(export.chosen.as_ref() == path, text).on_hover_text(help).clicked() {
                    commands.send(Command::Export(ExportCommand::Choose(path.cloned())));
                }
            };
            let help = "Of the run in the Train room, else of the newest finished run.";
            entry(ui, None, "Newest adapter", help.into());
            for run in &studio.adapters.runs {
                let text = if run.finished { run.name.clone() } else { format!("{} (checkpoint)", run.name) };
                entry(ui, Some(&run.path), &text, format!("{}\n{}", run.model, shorten_home(&run.path)));
            }
        });
        response.response.labelled_by(label.id);
        if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Another folder…").clicked() {
            actions.push(Action::OpenAdapter);
        }
    });
    ui.add_space(4.0);
    if let Some(problem) = &export.problem {
        message(ui, Severity::Error, problem);
        ui.horizontal(|ui| {
            if icon_text_button(ui, icons::ICON_REFRESH, "Look again").clicked() {
                commands.send(Command::Export(ExportCommand::Look));
            }
            base_button(ui, studio, commands);
        });
    } else if let Some(offer) = &export.offer {
        Grid::new("export-facts").num_columns(2).spacing([18.0, 4.0]).show(ui, |ui| {
            fact(ui, "Base model", shorten_homes_in(&offer.base_model));
            let scale = format!("rank {}, alpha {}, on {} linears", offer.rank, offer.alpha, offer.modules);
            fact(ui, "LoRA", format!("{scale}; {} parameters", grouped(offer.parameters)));
            fact(ui, "From", shorten_home(&offer.adapter));
        });
        if export.base == Base::Draft {
            base_button(ui, studio, commands);
        }
    } else {
        busy::spinner(ui);
    }
}

fn base_button(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let (text, base) = match studio.export.base {
        Base::Own => (format!("Put it on {}", studio.shared.run.model.source), Base::Draft),
        Base::Draft => ("Back to the adapter's own model".to_string(), Base::Own),
    };
    let help = "For an adapter whose base model has moved: takes the model of the run being prepared.";
    if ui.button(text).on_hover_text(help).clicked() {
        commands.send(Command::Export(ExportCommand::Base(base)));
    }
}

fn place_ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
    let export = &studio.export;
    let idle = export.writing.is_none();
    ui.add_enabled_ui(idle, |ui| {
        Grid::new("export-place").num_columns(2).spacing([18.0, 8.0]).show(ui, |ui| {
            let label = ui.label("Into").on_hover_text("The export's folder is made in this one.");
            ui.horizontal(|ui| {
                let mut folder = shorten_home(&into(&studio.shared));
                let width = (ui.available_width() - 130.0).clamp(200.0, 560.0);
                let response = ui.add(TextEdit::singleline(&mut folder).desired_width(width)).labelled_by(label.id);
                if response.changed() {
                    commands.send(Command::Export(ExportCommand::Into(folder)));
                }
                if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Choose…").clicked() {
                    actions.push(Action::ExportInto);
                }
            });
            ui.end_row();
            let label = ui.label("Folder name");
            let mut name = export.name.clone();
            let suggested = export.folder(&studio.shared);
            let hint =
                suggested.and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
            let edit = TextEdit::singleline(&mut name).desired_width(300.0).hint_text(hint);
            if ui.add(edit).labelled_by(label.id).changed() {
                commands.send(Command::Export(ExportCommand::Name(name)));
            }
            ui.end_row();
        });
    });
}

fn files_ui(ui: &mut Ui, studio: &Studio, offer: &Offer) {
    let Some(folder) = studio.export.folder(&studio.shared) else { return };
    let text = format!("Will be written, about {} in all, as {}", bytes(offer.bytes()), shorten_home(&folder));
    ui.add(Label::new(text).wrap().selectable(true));
    Grid::new("export-files").num_columns(2).spacing([18.0, 2.0]).show(ui, |ui| {
        for (name, size) in &offer.files {
            ui.label(RichText::new(*name).monospace());
            ui.label(RichText::new(format!("about {}", bytes(*size))).weak());
            ui.end_row();
        }
    });
}

fn write_ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let export = &studio.export;
    if let Some(refusal) = &export.refusal {
        message(ui, Severity::Error, refusal);
        ui.add_space(4.0);
    }
    match &export.writing {
        Some(job) => {
            busy::progress(ui, None, &job.text());
            ui.add_space(4.0);
            if ui.add_enabled(!job.cancelling(), eframe::egui::Button::new("Cancel the export")).clicked() {
                commands.send(Command::Export(ExportCommand::Cancel));
            }
        }
        None => {
            if primary_button(ui, icons::ICON_IOS_SHARE, "Export this adapter", true).clicked() {
                commands.send(Command::Export(ExportCommand::Write));
            }
        }
    }
}

fn done_ui(ui: &mut Ui, done: &Exported, commands: &mut Commands) {
    let p = palette(ui);
    let right = |ui: &mut Ui| {
        if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open folder").clicked() {
            commands.send(Command::Open(done.path.display().to_string()));
        }
    };
    card_with(ui, "Exported", right, |ui| {
        let text = format!(
            "{} parameters were read back and are equal: {}",
            grouped(done.parameters),
            shorten_home(&done.path)
        );
        message(ui, Severity::Success, &text);
        Grid::new("exported-files").num_columns(2).spacing([18.0, 2.0]).show(ui, |ui| {
            for (name, size) in &done.files {
                ui.label(RichText::new(name).monospace());
                ui.label(RichText::new(bytes(*size)).weak());
                ui.end_row();
            }
        });
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            ui.label(strong("Load it in Python"));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_text_button(ui, icons::ICON_CONTENT_COPY, "Copy the Python").clicked() {
                    ui.ctx().copy_text(done.snippet());
                }
            });
        });
        eframe::egui::Frame::new().fill(p.ground).corner_radius(6).inner_margin(10).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.add(Label::new(RichText::new(done.snippet().trim_end()).monospace()).selectable(true).wrap());
        });
    });
}
