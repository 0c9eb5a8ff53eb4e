//! The start gate: what was checked, and what can be done about it.

use eframe::egui::{self, Color32, Label, RichText, Ui, vec2};
use egui_material_icons::{MaterialIcon, icons};

use super::super::theme::{self, Palette, palette};
use super::super::widgets::{card_with, strong};
use crate::app::command::Commands;
use crate::app::gate::{Check, Verdict};
use crate::engine::config::shorten_homes_in;

/// The card.
pub fn ui(ui: &mut Ui, checks: &[Check], commands: &mut Commands) {
    let p = palette(ui);
    let worst = checks.iter().map(|c| c.verdict).max().unwrap_or(Verdict::Good);
    let (text, color) = match worst {
        Verdict::Good => ("Everything is ready", p.good),
        Verdict::Warning => ("Ready, with something to look at", p.warning),
        Verdict::Waiting => ("Still being looked at", p.weak),
        Verdict::Refused => ("Cannot begin yet", p.bad),
    };
    let summary = |ui: &mut Ui| {
        ui.label(RichText::new(text).color(color));
    };
    card_with(ui, "Before the run", summary, |ui| {
        for (i, check) in checks.iter().enumerate() {
            if i > 0 {
                ui.add_space(theme::GAP - 2.0);
            }
            entry(ui, check, &p, commands);
        }
    });
}

fn entry(ui: &mut Ui, check: &Check, p: &Palette, commands: &mut Commands) {
    let (icon, color) = look(check.verdict, p);
    ui.horizontal_top(|ui| {
        let (rect, response) = ui.allocate_exact_size(vec2(20.0, 20.0), egui::Sense::hover());
        let text = RichText::new(icon.codepoint).size(18.0);
        super::super::widgets::paint_text(ui, rect, egui::Align2::CENTER_CENTER, text, color);
        let spoken = format!("{}: {}", check.topic.title(), word(check.verdict));
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &spoken));
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.label(strong(check.topic.title()));
            ui.add(
                Label::new(RichText::new(shorten_homes_in(&check.sentence)).color(ink(check.verdict, p)))
                    .wrap()
                    .selectable(true),
            );
            if let Some(fix) = &check.fix {
                ui.add_space(3.0);
                if ui.button(&fix.label).clicked() {
                    commands.send(fix.command.clone());
                }
            }
        });
    });
}

fn look(verdict: Verdict, p: &Palette) -> (MaterialIcon, Color32) {
    match verdict {
        Verdict::Good => (icons::ICON_CHECK_CIRCLE, p.good),
        Verdict::Warning => (icons::ICON_WARNING, p.warning),
        Verdict::Waiting => (icons::ICON_PENDING, p.weak),
        Verdict::Refused => (icons::ICON_CANCEL, p.bad),
    }
}

fn ink(verdict: Verdict, p: &Palette) -> Color32 {
    if verdict == Verdict::Refused { p.text } else { p.weak }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Warning => "worth a look",
        Verdict::Waiting => "not known yet",
        Verdict::Refused => "cannot begin",
    }
}
