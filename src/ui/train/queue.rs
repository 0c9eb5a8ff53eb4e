//! The runs that wait for their turn.

use eframe::egui::{Align, Label, Layout, RichText, Ui};
use egui_material_icons::icons;

use super::super::action::Action;
use super::super::widgets::{card_with, icon_button, icon_text_button};
use super::tail;
use crate::app::command::Commands;
use crate::app::gate;
use crate::app::studio::QueueCommand;
use crate::app::{Command, Studio};

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
    let queue = &studio.shared.prefs.queue;
    let right = |ui: &mut Ui| {
        let text = match queue.len() {
            0 => "none waits".to_string(),
            1 => "1 run waits".to_string(),
            n => format!("{n} runs wait"),
        };
        ui.label(RichText::new(text).weak().small());
    };
    card_with(ui, "Next runs", right, |ui| {
        for (i, waiting) in queue.iter().enumerate() {
            ui.horizontal(|ui| {
                ui.label(RichText::new(format!("{}", i + 1)).weak());
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if icon_button(ui, icons::ICON_CLOSE, &format!("Remove run {} of the queue", i + 1)).clicked() {
                        commands.send(Command::Queue(QueueCommand::Remove(i)));
                    }
                    let text = match waiting.name.is_empty() {
                        true => waiting.what.clone(),
                        false => format!("{}: {}", waiting.name, waiting.what),
                    };
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(Label::new(text).truncate()));
                });
            });
        }
        match studio.is_training() {
            true => add(ui, studio, actions),
            false => {
                let help =
                    "They wait because the run before them was stopped, the program was closed, or memory was short.";
                ui.add(Label::new(RichText::new(help).weak()).wrap());
                if icon_text_button(ui, icons::ICON_PLAY_ARROW, "Begin the first").clicked() {
                    commands.send(Command::Queue(QueueCommand::Begin));
                }
            }
        }
    });
}

/// The prepared run, and how it comes into the queue.
fn add(ui: &mut Ui, studio: &Studio, actions: &mut Vec<Action>) {
    let help = "Prepare another run in the rooms Model, Data and Method; it begins when this one has ended by itself.";
    ui.add(Label::new(RichText::new(help).weak()).wrap());
    ui.horizontal(|ui| {
        let refusal = gate::queue_refusal(studio);
        let button = ui.add_enabled_ui(refusal.is_none(), |ui| {
            let keys = Action::Queue.shortcut().map(|keys| ui.ctx().format_shortcut(&keys)).unwrap_or_default();
            let hover = format!("Trained after the others that wait. ({keys})");
            icon_text_button(ui, icons::ICON_PLAYLIST_ADD, "Queue the prepared run").on_hover_text(hover).clicked()
        });
        if button.inner {
            actions.push(Action::Queue);
        }
        let run = &studio.shared.run;
        let text = match refusal {
            Some(check) => check.sentence,
            None => format!("{} on {}", tail(&run.model.source), tail(&run.data.train)),
        };
        ui.add(Label::new(RichText::new(text).weak()).truncate());
    });
}
