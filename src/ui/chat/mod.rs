//! The Chat room: one prompt, two answers side by side.

mod composer;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod turn;
mod words;

use eframe::egui::{CentralPanel, Frame, Label, Layout, Margin, Panel, RichText, ScrollArea, Ui};
use egui_material_icons::icons;

use super::action::Action;
use super::theme::{self, palette};
use super::widgets::{centered_row, empty_state, icon_text_button, message, page_header};
use crate::app::chat::{ChatCommand, Choice};
use crate::app::command::Commands;
use crate::app::notices::Severity;
use crate::app::{Command, Room, Studio};
use crate::ui::busy;

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    /// What is being typed.
    prompt: String,
    /// The last prompt is being edited.
    editing: bool,
    /// The next frame puts the cursor behind what is typed.
    to_end: bool,
    /// When the room was drawn last, counted in passes.
    drawn: u64,
    /// Prompts that were given back so far.
    returned: u64,
    /// Height of each turn, for those out of sight.
    heights: turn::Heights,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let chat = &studio.chat;
        // Who comes in can type at once, unless something else has the keyboard.
        let pass = ui.ctx().cumulative_pass_nr();
        if pass > self.drawn + 1 && ui.memory(|memory| memory.focused()).is_none() {
            self.to_end = true;
        }
        self.drawn = pass;
        if chat.returned.0 > self.returned {
            self.returned = chat.returned.0;
            if self.prompt.is_empty() && !chat.returned.1.trim().is_empty() {
                self.prompt = chat.returned.1.clone();
                self.to_end = true;
            }
        }
        let mut send = |command| commands.send(Command::Chat(command));
        let open = studio.shared.prefs.chat.open;
        page_header(ui, "Chat", "One prompt, two answers: the frozen model beside your adapter.", |ui| {
            let label = if open { "Hide settings" } else { "Show settings" };
            if icon_text_button(ui, icons::ICON_TUNE, label).clicked() {
                let mut settings = studio.shared.prefs.chat.clone();
                settings.open = !open;
                send(ChatCommand::Settings(Box::new(settings)));
            }
            if !chat.turns.is_empty()
                && icon_text_button(ui, icons::ICON_DELETE_SWEEP, "Clear")
                    .on_hover_text("Begins a new conversation; what was said is gone.")
                    .clicked()
            {
                send(ChatCommand::Clear);
            }
        });
        source::ui(ui, studio, &mut send, actions);
        ui.add_space(theme::GAP);
        if open {
            let frame = Frame::new().inner_margin(Margin { left: 12, right: 0, top: 0, bottom: 12 });
            let panel = Panel::right("chat-settings").resizable(false).exact_size(262.0).frame(frame);
            panel.show_separator_line(false).show(ui, |ui| settings::ui(ui, studio, &mut send));
        }
        let frame = Frame::new().inner_margin(Margin { left: 0, right: 0, top: 8, bottom: 12 });
        let panel = Panel::bottom("chat-composer").resizable(false).frame(frame).show_separator_line(false);
        panel.show(ui, |ui| self.composer_ui(ui, studio, &mut send));
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            if chat.turns.is_empty() {
                let area = ScrollArea::vertical().auto_shrink(false).id_salt("chat-nothing-yet");
                area.show(ui, |ui| nothing_yet(ui, studio, &mut send, actions));
                return;
            }
            let area = ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true).id_salt("chat-turns");
            area.show(ui, |ui| {
                turn::all(ui, &mut self.heights, studio, &mut send, |prompt| {
                    self.prompt = prompt;
                    self.to_end = true;
                    self.editing = true;
                })
            });
        });
    }
}

/// Before the first prompt.
fn nothing_yet(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand), actions: &mut Vec<Action>) {
    let chat = &studio.chat;
    if chat.looking() {
        ui.vertical_centered(|ui| {
            ui.add_space(60.0);
            busy::spinner(ui);
        });
        return;
    }
    let Some(chosen) = &chat.chosen else { return };
    if chosen.adapter.is_none() && chat.choice == Choice::Newest {
        let text = "Train first, and the adapted model answers here beside its base. The base model alone can be asked \
                    already.";
        empty_state(ui, icons::ICON_FORUM, "No adapter yet", text, |ui| {
            let mut go = false;
            centered_row(ui, 330.0, |ui| {
                go = icon_text_button(ui, icons::ICON_MODEL_TRAINING, "Go to training").clicked();
                if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open an adapter folder…").clicked() {
                    actions.push(Action::OpenAdapter);
                }
            });
            if go {
                actions.push(Action::Go(Room::Train));
            }
        });
        return;
    }
    let title = if chosen.adapter.is_some() { "Ask both" } else { "Ask the base model" };
    let prompts = &studio.shared.run.sample.prompts;
    let text = match prompts.is_empty() {
        true => "Write a prompt below; Enter sends it.",
        false => "Write a prompt below; Enter sends it. Or begin with one of the sample prompts.",
    };
    empty_state(ui, icons::ICON_FORUM, title, text, |ui| {
        for prompt in prompts.iter().take(4) {
            if ui.button(prompt).clicked() {
                send(ChatCommand::Ask(prompt.clone()));
            }
        }
    });
}

/// What was not done and why.
fn refusal_ui(ui: &mut Ui, text: &str, send: &mut impl FnMut(ChatCommand)) {
    let p = palette(ui);
    Frame::new().fill(p.bad.gamma_multiply(0.1)).corner_radius(theme::RADIUS).inner_margin(8).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_width(ui.available_width());
            let wide = ui.available_width() - 90.0;
            ui.scope(|ui| {
                ui.set_max_width(wide);
                message(ui, Severity::Error, text);
            });
            ui.with_layout(Layout::right_to_left(eframe::egui::Align::Min), |ui| {
                if ui.small_button("Dismiss").clicked() {
                    send(ChatCommand::Dismiss);
                }
            });
        });
    });
    ui.add_space(6.0);
}

/// A line that is glanced at.
fn weak(ui: &mut Ui, text: impl Into<String>) -> eframe::egui::Response {
    ui.add(Label::new(RichText::new(text.into()).weak().small()))
}
