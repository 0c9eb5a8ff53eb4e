//! The adapter's growth: layers × modules, coloured by the norm of what the adapter adds to each linear.

use eframe::egui::{self, Align2, Rect, RichText, Sense, Slider, Stroke, StrokeKind, Ui, pos2, vec2};
use egui_material_icons::icons;

use super::super::theme::{self, palette};
use super::super::widgets::{card_with, icon_button, paint_text};
use crate::app::live::{Norms, RunView};
use crate::units::grouped;

/// Width of the modules' names.
const NAMES: f32 = 84.0;
/// Height of a row of cells.
const ROW: f32 = 22.0;
/// Height of the legend.
const LEGEND: f32 = 10.0;

/// What is chosen.
#[derive(Default)]
pub struct HeatMap {
    /// `None` follows the newest.
    at: Option<usize>,
    /// The largest norm of the run, and how many maps it is of.
    largest: (f32, usize),
}

impl HeatMap {
    /// The card.
    pub fn ui(&mut self, ui: &mut Ui, view: &RunView) {
        let Some(last) = view.norms.len().checked_sub(1) else {
            let text = "How much each layer's adapter has grown is shown after the first step.";
            card_with(ui, "Growth of the adapter", |_| {}, |ui| ui.label(RichText::new(text).weak()));
            return;
        };
        self.measure(&view.norms);
        let mut at = self.at.unwrap_or(last).min(last);
        let norms = &view.norms[at];
        let following = self.at.is_none();
        let right = |ui: &mut Ui| {
            let text = format!("step {}{}", grouped(norms.step as u64), if following { ", newest" } else { "" });
            ui.label(RichText::new(text).weak().small());
        };
        card_with(ui, "Growth of the adapter", right, |ui| {
            let help = "Norm of what the adapter adds to each linear's weights, layer by layer.";
            ui.add(egui::Label::new(RichText::new(help).weak()).wrap());
            if last > 0 {
                ui.horizontal(|ui| {
                    if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Earlier in the growth of the adapter").clicked() {
                        at = at.saturating_sub(1);
                    }
                    ui.spacing_mut().slider_width = (ui.available_width() - 40.0).clamp(60.0, 320.0);
                    let slider = ui.add(Slider::new(&mut at, 0..=last).show_value(false));
                    let step = norms.step as f64;
                    slider.widget_info(|| egui::WidgetInfo::slider(true, step, "Time of the growth of the adapter"));
                    if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Later in the growth of the adapter").clicked() {
                        at = (at + 1).min(last);
                    }
                });
                if at != last || self.at.is_some() {
                    self.at = (at != last).then_some(at);
                }
            }
            ui.add_space(4.0);
            cells(ui, norms, self.largest.0);
            ui.add_space(theme::GAP);
            legend(ui, self.largest.0);
        });
    }

    /// One scale for the whole run, so that colours can be compared over time.
    fn measure(&mut self, norms: &[Norms]) {
        let (mut largest, mut known) = self.largest;
        if known > norms.len() {
            (largest, known) = (0.0, 0);
        }
        for map in &norms[known..] {
            largest = map.values.iter().flatten().copied().filter(|v| v.is_finite()).fold(largest, f32::max);
        }
        self.largest = (largest, norms.len());
    }
}

/// Modules as rows, layers as columns.
fn cells(ui: &mut Ui, norms: &Norms, largest: f32) {
    let p = palette(ui);
    let (rows, columns) = (norms.modules.len(), norms.layers);
    let width = ui.available_width();
    let cell = ((width - NAMES) / columns.max(1) as f32).min(44.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, ROW * rows as f32 + 18.0), Sense::hover());
    let spoken = format!("Growth of the adapter after step {}, layers by modules", norms.step);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &spoken));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let left = rect.left() + NAMES;
    let gap = if cell > 8.0 { 1.0 } else { 0.0 };
    let value = |row: usize, column: usize| norms.values.get(column * rows + row).copied().flatten();
    let at = |row: usize, column: usize| {
        Rect::from_min_size(pos2(left + cell * column as f32, rect.top() + ROW * row as f32), vec2(cell, ROW))
    };
    for (row, name) in norms.modules.iter().enumerate() {
        let place = Rect::from_min_size(pos2(rect.left(), rect.top() + ROW * row as f32), vec2(NAMES - 8.0, ROW));
        paint_text(ui, place, Align2::LEFT_CENTER, RichText::new(name).size(12.0), p.weak);
        for column in 0..columns {
            let color = match value(row, column) {
                Some(norm) => theme::ramp(if largest > 0.0 { norm / largest } else { 0.0 }),
                None => p.ground,
            };
            ui.painter().rect_filled(at(row, column).shrink(gap), if cell > 8.0 { 2 } else { 0 }, color);
        }
    }
    // As many layer numbers as there is room for.
    let every = (26.0 / cell).ceil().max(1.0) as usize;
    for column in (0..columns).step_by(every) {
        let place = Rect::from_min_size(at(rows, column).min, vec2(cell.max(26.0), 18.0));
        let place = place.translate(vec2((cell - place.width()) / 2.0, 0.0));
        paint_text(ui, place, Align2::CENTER_CENTER, RichText::new(column.to_string()).size(10.5), p.weak);
    }
    let Some(pointer) = response.hover_pos().filter(|pointer| pointer.x >= left) else { return };
    let (column, row) = (((pointer.x - left) / cell) as usize, ((pointer.y - rect.top()) / ROW) as usize);
    if column >= columns || row >= rows {
        return;
    }
    ui.painter().rect_stroke(at(row, column), 2, Stroke::new(1.5, p.text), StrokeKind::Inside);
    let text = match value(row, column) {
        Some(norm) => format!("Layer {column}, {}: {norm:.4}", norms.modules[row]),
        None => format!("Layer {column}, {}: no adapter", norms.modules[row]),
    };
    response.on_hover_text_at_pointer(text);
}

/// The colours and what they stand for.
fn legend(ui: &mut Ui, largest: f32) {
    let p = palette(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
    let bar = Rect::from_min_size(rect.min + vec2(NAMES, 0.0), vec2((rect.width() - NAMES).min(220.0), LEGEND));
    const PARTS: usize = 48;
    let width = bar.width() / PARTS as f32;
    for i in 0..PARTS {
        let part = Rect::from_min_size(pos2(bar.left() + width * i as f32, bar.top()), vec2(width + 0.5, LEGEND));
        ui.painter().rect_filled(part, 0, theme::ramp((i as f32 + 0.5) / PARTS as f32));
    }
    let below = Rect::from_min_size(bar.left_bottom() + vec2(0.0, 1.0), vec2(bar.width(), 15.0));
    let text = |text: String| RichText::new(text).size(10.5);
    paint_text(ui, below, Align2::LEFT_CENTER, text("0".into()), p.weak);
    paint_text(ui, below, Align2::RIGHT_CENTER, text(format!("{largest:.3}")), p.weak);
    let name = Rect::from_min_size(rect.min, vec2(NAMES - 8.0, LEGEND));
    paint_text(ui, name, Align2::LEFT_CENTER, text("Norm".into()), p.weak);
}
