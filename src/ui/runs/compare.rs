//! Curves over each other, and the settings in which the runs differ.

use std::path::PathBuf;

use eframe::egui::{self, Color32, Grid, RichText, ScrollArea, Sense, Ui, vec2};

use crate::app::Studio;
use crate::app::live::RunView;
use crate::app::notices::Severity;
use crate::app::runs::Curves;
use crate::ui::busy;
use crate::ui::plot::{CurvePlot, LinkedPlots, PlotState, Unit};
use crate::ui::theme;
use crate::ui::widgets::{card, message, strong};

/// The runs whose curves are drawn: those that are compared, or else the selected one.
fn drawn(studio: &Studio) -> Vec<&PathBuf> {
    let runs = &studio.runs;
    if runs.compared.is_empty() { runs.selected.iter().collect() } else { runs.compared.iter().collect() }
}

/// What a curve is called: two runs may have the same name.
fn title(studio: &Studio, run: &PathBuf, among: &[&PathBuf]) -> String {
    let name = |path: &PathBuf| studio.runs.summary(path).map(|summary| summary.name.as_str());
    let folder = || run.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match name(run) {
        Some(own) if among.iter().filter(|other| name(other) == Some(own)).count() > 1 => {
            format!("{own}, {}", folder())
        }
        Some(own) => own.to_string(),
        None => folder(),
    }
}

/// The card with the curves.
pub fn curves(
    ui: &mut Ui,
    studio: &Studio,
    loss: &mut PlotState,
    validation: &mut PlotState,
    linked: &mut LinkedPlots,
) {
    let runs = drawn(studio);
    if runs.is_empty() {
        return;
    }
    let colors = theme::series(ui);
    let mut ready: Vec<(String, Color32, &RunView)> = Vec::new();
    card(ui, "Curves", |ui| {
        for (i, run) in runs.iter().enumerate() {
            let name = title(studio, run, &runs);
            match studio.runs.curves(run) {
                Some(Curves::Ready(view)) => ready.push((name, colors[i % colors.len()], view)),
                Some(Curves::Failed(error)) => drop(message(ui, Severity::Error, &format!("{name}: {error}"))),
                Some(Curves::Reading(_)) => {
                    ui.horizontal(|ui| {
                        busy::spinner(ui);
                        ui.label(RichText::new(format!("Reading {name}")).weak());
                    });
                }
                None => {}
            }
        }
        ready.retain(|(_, _, view)| !view.loss.raw().is_empty() || !view.validation.is_empty());
        if ready.is_empty() {
            ui.label(RichText::new("No step was recorded.").weak());
            return;
        }
        linked.cover(ui.ctx(), ready.iter().flat_map(|(_, _, view)| [view.loss.raw(), &view.validation]));
        let mut plot = CurvePlot::new("Loss", Unit::Named("nats")).height(220.0);
        for (name, color, view) in &ready {
            plot = match ready.len() {
                1 => plot.curve(name, &view.loss, *color),
                // Raw curves of several runs would hide each other.
                _ if view.loss.smoothing() > 0.0 => plot.line(name, view.loss.smooth(), *color),
                _ => plot.line(name, view.loss.raw(), *color),
            };
        }
        plot.show(ui, loss, linked);
        if ready.iter().any(|(_, _, view)| !view.validation.is_empty()) {
            let mut plot = CurvePlot::new("Validation loss", Unit::Named("nats")).height(160.0);
            for (name, color, view) in ready.iter().filter(|(_, _, view)| !view.validation.is_empty()) {
                plot = plot.marked(name, &view.validation, *color);
            }
            plot.show(ui, validation, linked);
        }
    });
    ui.add_space(theme::GAP);
}

/// The card with the settings, while several runs are compared.
pub fn settings(ui: &mut Ui, studio: &Studio) {
    let runs = &studio.runs;
    let all_read = runs.compared.iter().all(|run| matches!(runs.curves(run), Some(Curves::Ready(_))));
    if runs.compared.len() < 2 || !all_read {
        return;
    }
    let names: Vec<&PathBuf> = runs.compared.iter().collect();
    let colors = theme::series(ui);
    card(ui, "Settings that differ", |ui| {
        if runs.differences.is_empty() {
            ui.label(RichText::new("None: these runs have the same settings.").weak());
            return;
        }
        ScrollArea::horizontal().id_salt("differences").show(ui, |ui| {
            let grid = Grid::new("run-differences").num_columns(names.len() + 1).spacing(vec2(22.0, 6.0));
            grid.striped(true).show(ui, |ui| {
                ui.label("");
                for (i, run) in names.iter().enumerate() {
                    ui.horizontal(|ui| {
                        let (mark, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
                        ui.painter().rect_filled(mark, 2, colors[i % colors.len()]);
                        ui.add(egui::Label::new(strong(title(studio, run, &names))).truncate());
                    });
                }
                ui.end_row();
                for (key, values) in &runs.differences {
                    ui.label(RichText::new(key).weak());
                    for value in values {
                        let shown = if value.is_empty() { "none" } else { value.as_str() };
                        ui.add(egui::Label::new(shown).truncate()).on_hover_text(value);
                    }
                    ui.end_row();
                }
            });
        });
    });
    ui.add_space(theme::GAP);
}
