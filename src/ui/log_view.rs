//! What was said since the program started.

use eframe::egui::{Align, Label, Layout, RichText, ScrollArea, Stroke, Ui, UiBuilder, vec2};
use egui_material_icons::icons;

use super::action::Action;
use super::theme::palette;
use super::widgets::{icon_button, severity_look, strong};
use crate::app::notices::Notices;

/// Its height.
pub const HEIGHT: f32 = 190.0;

/// The log, newest at the bottom.
pub fn ui(ui: &mut Ui, notices: &Notices, actions: &mut Vec<Action>) {
    let p = palette(ui);
    let whole = ui.max_rect();
    ui.painter().rect_filled(whole, 0, p.panel);
    ui.painter().hline(whole.x_range(), whole.top(), Stroke::new(1.0, p.line));
    let inner = whole.shrink2(vec2(16.0, 8.0));
    ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
        ui.horizontal(|ui| {
            ui.label(strong("Log"));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_button(ui, icons::ICON_CLOSE, "Close the log").clicked() {
                    actions.push(Action::Log);
                }
                if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the log").clicked() {
                    let all: Vec<String> = notices.all().map(|n| format!("{} {}", n.time, n.text)).collect();
                    ui.ctx().copy_text(all.join("\n"));
                }
            });
        });
        let row = ui.text_style_height(&eframe::egui::TextStyle::Body);
        let count = notices.all().len();
        if count == 0 {
            ui.label(RichText::new("Nothing has been said yet.").weak());
        }
        ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true).show_rows(ui, row, count, |ui, rows| {
            for notice in notices.all().skip(rows.start).take(rows.len()) {
                let (icon, color) = severity_look(ui, notice.severity);
                ui.horizontal(|ui| {
                    ui.label(RichText::new(&notice.time).monospace().weak());
                    ui.label(icon.rich_text().color(color));
                    ui.add(Label::new(&notice.text).truncate().selectable(true)).on_hover_text(&notice.text);
                });
            }
        });
    });
}
