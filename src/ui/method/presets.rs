//! Presets: everything but model, rows and prompts at one click.

use eframe::egui::{Align, Label, Layout, RichText, Stroke, StrokeKind, Ui, UiBuilder, Vec2, vec2};

use super::super::theme::{self, palette};
use super::super::widgets::{press_area, strong};
use crate::app::draft;
use crate::app::gate::sentence;
use crate::engine::config::{self, Preset, RunConfig};

/// Least width of a preset.
const LEAST: f32 = 166.0;

/// Its height: its words take two lines from some width on.
fn height(width: f32) -> f32 {
    if width < 264.0 { 94.0 } else { 66.0 }
}

/// The presets, in as few rows of equal length as there is room for; the one that the draft equals is marked.
pub fn presets(ui: &mut Ui, run: &mut RunConfig) {
    let all = config::presets();
    let gap = ui.spacing().item_spacing.x;
    let room = (((ui.available_width() + gap) / (LEAST + gap)) as usize).clamp(1, all.len());
    let columns = all.len().div_ceil(all.len().div_ceil(room));
    let width = (ui.available_width() - (columns - 1) as f32 * gap) / columns as f32;
    for row in all.chunks(columns) {
        ui.horizontal_top(|ui| {
            for preset in row {
                card(ui, vec2(width, height(width)), preset, run);
            }
        });
    }
}

fn card(ui: &mut Ui, size: Vec2, preset: &Preset, run: &mut RunConfig) {
    let p = palette(ui);
    let with = draft::with_preset(run, &preset.config);
    let chosen = with == *run;
    let title = if chosen { strong(preset.title).color(p.accent) } else { strong(preset.title) };
    let name = format!("Preset: {}", preset.title);
    let (rect, response) = press_area(ui, size, &name, chosen);
    let line = if chosen || response.hovered() { p.accent } else { p.line };
    let fill = if chosen { p.chosen } else { p.card };
    ui.painter().rect(rect, theme::RADIUS, fill, Stroke::new(1.0, line), StrokeKind::Inside);
    let inside = rect.shrink2(vec2(12.0, 8.0));
    let inner = UiBuilder::new().max_rect(inside).layout(Layout::top_down(Align::Min)).id_salt(preset.id);
    // A child takes no space in the row: the card has taken it.
    let mut text = ui.new_child(inner);
    text.spacing_mut().item_spacing.y = 2.0;
    text.add(Label::new(title).selectable(false));
    let summary = RichText::new(sentence(preset.summary)).weak().small();
    text.add(Label::new(summary).wrap().selectable(false));
    if response.clicked() {
        *run = with;
    }
    response.on_hover_text("Sets everything but model, data and prompts.");
}
