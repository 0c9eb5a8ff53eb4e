//! How a run ended, and where to go from there.

use eframe::egui::{self, Color32, CornerRadius, Frame, Label, Margin, RichText, Stroke, Ui};
use egui_material_icons::{MaterialIcon, icons};

use super::super::action::Action;
use super::super::theme::{self, palette};
use super::super::widgets::{icon_text_button, strong};
use crate::app::command::Commands;
use crate::app::gate::sentence;
use crate::app::live::{Ending, RunView};
use crate::app::training::TrainCommand;
use crate::app::{Command, Room, Studio};
use crate::engine::config::shorten_home;
use crate::units::{duration, grouped};

/// The banner of a run that is over.
pub fn ui(ui: &mut Ui, studio: &Studio, view: &RunView, commands: &mut Commands, actions: &mut Vec<Action>) {
    let Some(ending) = view.ending else { return };
    let p = palette(ui);
    let (icon, color) = match ending {
        Ending::Finished | Ending::Stopped => (icons::ICON_CHECK_CIRCLE, p.good),
        Ending::Discarded | Ending::Elsewhere => (icons::ICON_INFO, p.weak),
        Ending::Interrupted => (icons::ICON_WARNING, p.warning),
        Ending::Failed => (icons::ICON_ERROR, p.bad),
    };
    framed(ui, icon, color, |ui| {
        let (title, text) = words(view, ending);
        ui.label(strong(title).size(14.5));
        if !text.is_empty() {
            ui.add(Label::new(RichText::new(text).color(p.weak)).wrap().selectable(true));
        }
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| buttons(ui, studio, view, ending, commands, actions));
    });
    ui.add_space(theme::GAP);
}

fn framed(ui: &mut Ui, icon: MaterialIcon, color: Color32, contents: impl FnOnce(&mut Ui)) {
    let p = palette(ui);
    let frame = Frame::new()
        .fill(p.card.lerp_to_gamma(color, 0.08))
        .stroke(Stroke::new(1.0, color.gamma_multiply(0.6)))
        .corner_radius(CornerRadius::same(theme::RADIUS))
        .inner_margin(Margin::symmetric(16, 12));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_top(|ui| {
            ui.label(RichText::new(icon.codepoint).color(color).size(22.0));
            ui.vertical(contents);
        });
    });
}

fn words(view: &RunView, ending: Ending) -> (String, String) {
    let steps = grouped(view.newest.map_or(0, |n| n.step) as u64);
    let total = view.total_steps.map_or(String::new(), |t| format!(" of {}", grouped(t as u64)));
    let time = duration(view.seconds.unwrap_or(view.trained_seconds));
    let adapter = view.adapter.as_ref().map_or(String::new(), |a| format!("The adapter is in {}", shorten_home(a)));
    let kept = match (view.checkpoint, &view.dir) {
        (Some(step), _) => format!("Its newest checkpoint is that of step {}.", grouped(step as u64)),
        (None, Some(_)) => "No checkpoint had been written.".to_string(),
        (None, None) => "Nothing was written.".to_string(),
    };
    match ending {
        Ending::Finished => (format!("Finished: {steps} steps in {time}"), adapter),
        Ending::Stopped => (format!("Stopped after step {steps}{total}, and kept"), adapter),
        Ending::Discarded if view.newest.is_none() => {
            ("The start was cancelled".to_string(), "Nothing was trained, and nothing is kept.".to_string())
        }
        Ending::Discarded => (format!("Discarded after step {steps}{total}"), kept),
        Ending::Interrupted => (format!("Interrupted after step {steps}{total}"), kept),
        Ending::Failed => {
            let reason = sentence(view.failure.as_deref().unwrap_or("it did not say why"));
            let title = match view.newest {
                Some(_) => format!("Failed after step {steps}{total}"),
                None => "The run could not begin".to_string(),
            };
            (title, if view.newest.is_some() { format!("{reason}\n{kept}") } else { reason })
        }
        Ending::Elsewhere => {
            ("Another process trains this run".to_string(), "What is shown is how far it was when it was read.".into())
        }
    }
}

fn buttons(
    ui: &mut Ui,
    studio: &Studio,
    view: &RunView,
    ending: Ending,
    commands: &mut Commands,
    actions: &mut Vec<Action>,
) {
    if ending == Ending::Elsewhere {
        if let Some(dir) = &view.dir
            && icon_text_button(ui, icons::ICON_REPLAY, "Read it again").clicked()
        {
            commands.send(Command::Show(dir.clone()));
        }
        return;
    }
    if view.adapter.is_some() && matches!(ending, Ending::Finished | Ending::Stopped) {
        if icon_text_button(ui, icons::ICON_FORUM, "Chat with it").clicked() {
            commands.send(Command::Go(Room::Chat));
        }
        if icon_text_button(ui, icons::ICON_IOS_SHARE, "Export it").clicked() {
            commands.send(Command::Go(Room::Export));
        }
    }
    if let Some(dir) = view.dir.as_ref().filter(|_| ending != Ending::Finished) {
        let text = match view.checkpoint {
            Some(step) => format!("Continue from step {}", grouped(step as u64)),
            None => "Begin it again".to_string(),
        };
        ui.add_enabled_ui(!studio.is_training(), |ui| {
            if icon_text_button(ui, icons::ICON_PLAY_ARROW, &text).clicked() {
                commands.send(Command::Continue(dir.clone()));
            }
        });
    }
    if view.dir.is_some() && icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open folder").clicked() {
        actions.push(Action::OpenRunFolder);
    }
    ui.add_enabled_ui(!studio.is_training(), |ui: &mut egui::Ui| {
        let text = if view.newest.is_some() { "Start another" } else { "Back to the checks" };
        if icon_text_button(ui, icons::ICON_RESTART_ALT, text).clicked() {
            commands.send(Command::Train(TrainCommand::Another));
        }
    });
}
