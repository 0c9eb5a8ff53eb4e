//! How the models answer.

use eframe::egui::{Align, DragValue, Layout, Response, RichText, ScrollArea, Slider, TextEdit, Ui};
use egui_material_icons::icons;

use crate::app::Studio;
use crate::app::chat::{ChatCommand, ChatSettings, MOST_TOKENS, Show};
use crate::ui::widgets::{icon_button, segmented, strong};

/// The panel.
pub(super) fn ui(ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand)) {
    let before = &studio.shared.prefs.chat;
    let mut settings = before.clone();
    let has_adapter = studio.chat.chosen.as_ref().is_some_and(|c| c.adapter.is_some());
    ScrollArea::vertical().auto_shrink(false).id_salt("chat-settings").show(ui, |ui| {
        if has_adapter {
            ui.label(strong("Answers"));
            let choices = [
                (Show::Both, "Both", "Base and adapted side by side, in one batch."),
                (Show::Base, "Base", "The frozen model alone."),
                (Show::Adapted, "Adapted", "The model with the adapter alone."),
            ];
            segmented(ui, "Answers", &mut settings.show, &choices);
            ui.add_space(8.0);
        }
        text(ui, "System prompt", "Stands above the conversation, as an instruction.", &mut settings.system, 2, "none");
        ui.add_space(8.0);
        ui.label(strong("Sampling"));
        sampling(ui, &mut settings);
        ui.add_space(8.0);
        ui.label(strong("Length"));
        row(ui, "Longest answer", "Tokens of an answer at most.", |ui| {
            ui.add(DragValue::new(&mut settings.max_new_tokens).range(1..=MOST_TOKENS).suffix(" tokens"))
        });
        let help = "An answer ends before one of these texts, one a line; \\n stands for the end of a line.";
        text(ui, "Stop strings", help, &mut settings.stop, 2, "none");
        ui.add_space(8.0);
        let defaults = ChatSettings { show: settings.show, open: settings.open, ..ChatSettings::default() };
        if settings != defaults && ui.button("Reset to defaults").clicked() {
            settings = defaults;
        }
    });
    if settings != *before {
        send(ChatCommand::Settings(Box::new(settings)));
    }
}

fn sampling(ui: &mut Ui, s: &mut ChatSettings) {
    let help = "0 takes the likeliest token each time (greedy); 1 draws as the model says; more is wilder.";
    row(ui, "Temperature", help, |ui| {
        ui.add(DragValue::new(&mut s.temperature).range(0.0..=2.0).speed(0.01).max_decimals(2))
    });
    slider(ui, "Temperature slider", &mut s.temperature, 0.0..=2.0);
    let random = s.temperature > 0.0;
    ui.add_enabled_ui(random, |ui| {
        let help = "Draws from the likeliest tokens that together have this probability; 1 is all.";
        row(ui, "Top-p", help, |ui| {
            ui.add(DragValue::new(&mut s.top_p).range(0.01..=1.0).speed(0.005).max_decimals(2))
        });
        slider(ui, "Top-p slider", &mut s.top_p, 0.01..=1.0);
        let help = "Draws from so many likeliest tokens only; 0 is all.";
        row(ui, "Top-k", help, |ui| {
            let shown =
                |k: f64, _: std::ops::RangeInclusive<usize>| if k == 0.0 { "all".into() } else { format!("{k}") };
            let read = |text: &str| if text.trim() == "all" { Some(0.0) } else { text.trim().parse().ok() };
            ui.add(DragValue::new(&mut s.top_k).range(0..=1000).custom_formatter(shown).custom_parser(read))
        });
    });
    let help = "Above 1, tokens that occurred become less likely; 1 is off.";
    row(ui, "Repetition penalty", help, |ui| {
        ui.add(DragValue::new(&mut s.repetition_penalty).range(0.5..=2.0).speed(0.005).max_decimals(2))
    });
    ui.add_enabled_ui(random, |ui| {
        ui.horizontal(|ui| {
            let help = "The same seed gives the same answer to the same conversation.";
            let label = ui.label("Seed").on_hover_text(help);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_button(ui, icons::ICON_CASINO, "Another seed").clicked() {
                    // Any bits will do: a person only wants another one.
                    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                    s.seed = time.map_or(s.seed.wrapping_add(1), |t| t.subsec_nanos() % 100_000);
                }
                ui.add(DragValue::new(&mut s.seed).range(0..=u32::MAX)).labelled_by(label.id).on_hover_text(help);
            });
        });
    });
    if !random {
        ui.label(RichText::new("Greedy: every answer is the likeliest one, and repeats.").weak().small());
    }
}

/// A name, and at the right a number.
fn row(ui: &mut Ui, name: &str, help: &str, number: impl FnOnce(&mut Ui) -> Response) {
    ui.horizontal(|ui| {
        let label = ui.label(name).on_hover_text(help);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| number(ui).labelled_by(label.id).on_hover_text(help));
    });
}

fn slider(ui: &mut Ui, name: &'static str, value: &mut f64, range: std::ops::RangeInclusive<f64>) {
    ui.scope(|ui| {
        ui.spacing_mut().slider_width = ui.available_width() - 4.0;
        ui.spacing_mut().interact_size.y = 16.0;
        // Drawn, it would round the value to its step; only what is dragged is to change.
        let mut dragged = *value;
        let response = ui.add(Slider::new(&mut dragged, range).show_value(false).step_by(0.01));
        if response.changed() {
            *value = (100.0 * dragged).round() / 100.0;
        }
        response.widget_info(|| eframe::egui::WidgetInfo::labeled(eframe::egui::Role::Slider, true, name));
    });
}

fn text(ui: &mut Ui, name: &str, help: &str, text: &mut String, rows: usize, hint: &'static str) {
    let label = ui.label(strong(name)).on_hover_text(help);
    let edit = TextEdit::multiline(text).desired_rows(rows).desired_width(f32::INFINITY).hint_text(hint);
    ui.add(edit).labelled_by(label.id).on_hover_text(help);
}
