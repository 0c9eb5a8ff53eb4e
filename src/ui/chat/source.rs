//! What is talked to: the adapter, the model under it, and what they take of the memory.

use eframe::egui::{Align, ComboBox, Frame, Label, Layout, Margin, RichText, Stroke, Ui};
use egui_material_icons::icons;

use super::weak;
use crate::app::adapters::{Base, RunWithAdapter};
use crate::app::chat::{ChatCommand, Choice, Phase};
use crate::app::notices::Severity;
use crate::app::{Room, Studio};
use crate::engine::config::{shorten_home, shorten_homes_in};
use crate::ui::action::Action;
use crate::ui::busy;
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{badge, icon_text_button, message, primary_button};
use crate::units::{bytes, grouped};

/// The card.
pub(super) fn ui(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand), actions: &mut Vec<Action>) {
    let p = palette(ui);
    let frame = Frame::new()
        .fill(p.card)
        .stroke(Stroke::new(1.0, p.line))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(14, 9));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            choice_ui(ui, studio, send, actions);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| memory_ui(ui, studio, send));
        });
        let chat = &studio.chat;
        if let Some(problem) = &chat.problem {
            ui.add_space(4.0);
            message(ui, Severity::Error, problem);
            ui.horizontal(|ui| {
                if icon_text_button(ui, icons::ICON_REFRESH, "Look again").clicked() {
                    send(ChatCommand::Look);
                }
                base_ui(ui, studio, send, actions);
            });
        } else if let Some(chosen) = &chat.chosen {
            ui.horizontal_wrapped(|ui| {
                let adapter = match &chosen.adapter {
                    None => "without an adapter".to_string(),
                    Some(_) => format!("adapter of rank {}, {} parameters", chosen.rank, grouped(chosen.parameters)),
                };
                let text = format!("Base model {}, {adapter}", shorten_homes_in(&chosen.model));
                let path = chosen.adapter.as_ref().map(|path| shorten_home(path)).unwrap_or_default();
                let line = ui.add(Label::new(RichText::new(text).weak().small()).truncate());
                if !path.is_empty() {
                    line.on_hover_text(path);
                }
                if chat.base == Base::Draft {
                    base_ui(ui, studio, send, actions);
                }
            });
        }
        for notice in chat.resident.iter().flat_map(|r| &r.notices) {
            message(ui, Severity::Warning, notice);
        }
    });
}

fn choice_ui(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand), actions: &mut Vec<Action>) {
    let chat = &studio.chat;
    let label = ui.label("Talk to");
    let newest = || match chat.chosen.as_ref().and_then(|c| c.adapter.as_ref()) {
        Some(path) => studio.adapters.name_of(path),
        None => "Base model, no adapter yet".to_string(),
    };
    let selected = match &chat.choice {
        Choice::Newest => newest(),
        Choice::Prepared => "Base model alone".to_string(),
        Choice::Adapter(path) => studio.adapters.name_of(path),
    };
    let combo = ComboBox::from_id_salt("chat-choice").width(240.0).selected_text(selected.clone()).truncate();
    let response = combo.show_ui(ui, |ui| {
        let mut entry = |ui: &mut Ui, choice: Choice, text: &str, help: &str| {
            if ui.selectable_label(chat.choice == choice, text).on_hover_text(help).clicked() {
                send(ChatCommand::Choose(choice));
            }
        };
        entry(ui, Choice::Newest, "Newest adapter", "Of the run in the Train room, else of the newest finished run.");
        entry(ui, Choice::Prepared, "Base model alone", "The model of the run being prepared, without an adapter.");
        if !studio.adapters.runs.is_empty() {
            ui.separator();
        }
        for RunWithAdapter { path, name, model, finished } in &studio.adapters.runs {
            let text = if *finished { name.clone() } else { format!("{name} (checkpoint)") };
            entry(ui, Choice::Adapter(path.clone()), &text, &format!("{model}\n{}", shorten_home(path)));
        }
        ui.separator();
        if ui.button("Another folder…").clicked() {
            actions.push(Action::OpenAdapter);
        }
    });
    let response = response.response.labelled_by(label.id);
    response.on_hover_text("An adapter of a run, or of any folder; or the base model alone.");
}

/// The adapter's own base model, or the prepared one where that has moved.
fn base_ui(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand), actions: &mut Vec<Action>) {
    if studio.chat.choice == Choice::Prepared {
        if ui.button("Choose a model").clicked() {
            actions.push(Action::Go(Room::Model));
        }
        return;
    }
    let (text, base) = match studio.chat.base {
        Base::Own => (format!("Put it on {}", studio.shared.run.model.source), Base::Draft),
        Base::Draft => ("Back to the adapter's own model".to_string(), Base::Own),
    };
    let help = "For an adapter whose base model has moved: takes the model of the run being prepared.";
    if ui.button(text).on_hover_text(help).clicked() {
        send(ChatCommand::Base(base));
    }
}

/// Loaded or not, in bytes; from right to left.
fn memory_ui(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand)) {
    let p = palette(ui);
    let chat = &studio.chat;
    if let Some(resident) = &chat.resident {
        if let Phase::Loading(done, total) = resident.phase {
            if ui.button("Cancel loading").clicked() {
                send(ChatCommand::Unload);
            }
            let share = if total > 0 { done as f32 / total as f32 } else { 0.0 };
            let bar = eframe::egui::ProgressBar::new(share).fill(p.accent).desired_width(120.0).desired_height(8.0);
            ui.add(bar);
            weak(ui, format!("Loading {} of {}", bytes(done), bytes(total)));
            return;
        }
        if icon_text_button(ui, icons::ICON_EJECT, "Unload").on_hover_text("Gives the model's memory back.").clicked() {
            send(ChatCommand::Unload);
        }
        let text = format!("{} in memory", bytes(resident.bytes + resident.cache_bytes));
        let help = format!(
            "Model and adapter {}, keys and values of the conversation {}.",
            bytes(resident.bytes),
            bytes(resident.cache_bytes)
        );
        weak(ui, text).on_hover_text(help);
        badge(ui, "loaded", p.good);
    }
    if chat.is_loaded() {
        return;
    }
    let (Some(chosen), Some((needed, free))) = (&chat.chosen, chat.price(&studio.shared)) else {
        if chat.looking() {
            busy::spinner(ui);
        }
        return;
    };
    let fits = needed <= free;
    let load = if chat.resident.is_some() { "Load this one" } else { "Load" };
    if primary_button(ui, icons::ICON_MEMORY, load, true)
        .on_hover_text("Sending a prompt loads the model, too.")
        .clicked()
    {
        send(ChatCommand::Load);
    }
    let text = format!("takes {} of {} free", bytes(needed), bytes(free));
    let color = if fits { p.weak } else { p.bad };
    let f = chosen.footprint;
    let help = format!(
        "Weights {}, adapter {}, keys and values of {} tokens {}, buffers {}.",
        bytes(f.weights),
        bytes(f.adapter),
        grouped(chosen.tokens as u64),
        bytes(f.cache),
        bytes(f.buffers)
    );
    ui.label(RichText::new(text).small().color(color)).on_hover_text(help);
    if !fits {
        badge(ui, "does not fit", p.bad);
    }
}
