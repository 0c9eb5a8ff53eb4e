//! The plots of a run, on the screen and as a picture.

use std::path::Path;

use eframe::egui::{Color32, Rect, Slider, Theme, Ui, vec2};
use egui_material_icons::icons;

use super::super::action::Action;
use super::super::plot::{CurvePlot, LinkedPlots, PlotState, PngOptions, Unit, export_png};
use super::super::theme::{self, palette};
use super::super::widgets::{card_with, columns_apart, icon_button, strong};
use crate::app::command::Commands;
use crate::app::live::RunView;
use crate::app::prefs::ThemeChoice;
use crate::app::shared::Shared;
use crate::app::{Command, Studio};

/// The device's memory is drawn while it is at most this many times what the run uses.
const FLAT: u64 = 4;

/// Between two plots beside each other: the name of an axis is no part of the plot before it.
const APART: f32 = 24.0;

/// The plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loss,
    Rate,
    Norm,
    Speed,
    Memory,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Kind::Loss => "Loss",
            Kind::Rate => "Learning rate",
            Kind::Norm => "Gradient norm",
            Kind::Speed => "Speed",
            Kind::Memory => "Memory",
        }
    }
}

const SMALL: [[Kind; 2]; 2] = [[Kind::Rate, Kind::Norm], [Kind::Speed, Kind::Memory]];

/// What the plots remember: zoom, cursor, hidden curves.
pub struct Curves {
    linked: LinkedPlots,
    plots: [Remembered; 5],
}

#[derive(Default)]
struct Remembered {
    state: PlotState,
    /// Height that the plot had with its legend.
    height: f32,
}

impl Default for Curves {
    fn default() -> Self {
        Curves { linked: LinkedPlots::new("train"), plots: Default::default() }
    }
}

impl Curves {
    /// The card of all plots.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        studio: &Studio,
        view: &RunView,
        commands: &mut Commands,
        actions: &mut Vec<Action>,
    ) {
        let prefs = &studio.shared.prefs;
        let device = studio.shared.device.memory_bytes;
        let mut smoothing = prefs.smoothing;
        let controls = |ui: &mut Ui| {
            if icon_button(ui, icons::ICON_TABLE, "Save the steps as a table…").clicked() {
                actions.push(Action::ExportCsv);
            }
            if icon_button(ui, icons::ICON_IMAGE, "Save the plots as a picture…").clicked() {
                actions.push(Action::ExportPng);
            }
            ui.add_space(theme::GAP);
            ui.spacing_mut().slider_width = 120.0;
            let slider = Slider::new(&mut smoothing, 0.0..=0.99).fixed_decimals(2);
            let response = ui.add(slider).on_hover_text("How much the loss is smoothed; 0 shows it as it is.");
            let label = ui.label("Smoothing");
            response.labelled_by(label.id);
        };
        card_with(ui, "Curves", controls, |ui| {
            self.plots[Kind::Loss as usize].state.set_log(prefs.log_scale);
            self.all(ui, view, device, 200.0, 120.0);
        });
        let log = self.plots[Kind::Loss as usize].state.is_log();
        if log != prefs.log_scale || smoothing != prefs.smoothing {
            let mut prefs = prefs.clone();
            (prefs.log_scale, prefs.smoothing) = (log, smoothing);
            commands.send(Command::Prefs(Box::new(prefs)));
        }
    }

    /// Loss over the whole width, the others two by two.
    fn all(&mut self, ui: &mut Ui, view: &RunView, device: u64, large: f32, small: f32) {
        let rest = [&view.validation, &view.learning_rate, &view.grad_norm, &view.memory];
        self.linked.cover(ui.ctx(), [view.loss.raw(), view.speed.raw()].into_iter().chain(rest));
        self.plot(ui, Kind::Loss, view, device, large);
        for row in SMALL {
            ui.add_space(4.0);
            columns_apart(ui, APART, |left, right| {
                self.plot(left, row[0], view, device, small);
                self.plot(right, row[1], view, device, small);
            });
        }
    }

    fn plot(&mut self, ui: &mut Ui, kind: Kind, view: &RunView, device: u64, height: f32) {
        let title = kind.title();
        let Remembered { state, height: known } = &mut self.plots[kind as usize];
        let place = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), *known));
        if *known > 0.0 && !ui.is_rect_visible(place) {
            // Scrolled away: its place is enough.
            self.linked.hidden(ui.ctx(), title);
            ui.allocate_space(place.size());
            return;
        }
        let [blue, orange, green, pink, red, ..] = theme::series(ui);
        let weak = palette(ui).weak;
        let plot = match kind {
            Kind::Loss => {
                let plot = CurvePlot::new(title, Unit::Named("nats")).curve("training", &view.loss, blue);
                match view.validation.last() {
                    Some(_) => plot.marked("validation", &view.validation, orange),
                    None => plot,
                }
            }
            Kind::Rate => CurvePlot::new(title, Unit::None).line("rate", &view.learning_rate, green),
            Kind::Norm => CurvePlot::new(title, Unit::None).line("norm", &view.grad_norm, pink),
            Kind::Speed => CurvePlot::new(title, Unit::Named("tok/s")).curve("speed", &view.speed, red),
            Kind::Memory => memory(title, view, device, [blue, orange, weak]),
        };
        let drawn = ui.vertical(|ui| plot.height(height).show(ui, state, &mut self.linked));
        *known = drawn.response.rect.height();
    }
}

fn memory<'a>(title: &'a str, view: &'a RunView, device: u64, colors: [Color32; 3]) -> CurvePlot<'a> {
    let [color, planned, other] = colors;
    let plot = CurvePlot::new(title, Unit::Bytes).from_zero().line("used", &view.memory, color);
    let plot = match view.plan_bytes {
        Some(bytes) => plot.reference("plan", bytes as f64, planned),
        None => plot,
    };
    // What the device has in all is in the memory bar, too, and far above it would press the curve flat.
    let used = view.plan_bytes.unwrap_or(0).max(view.newest.map_or(0, |n| n.memory_bytes));
    let near = device > 0 && device <= FLAT.saturating_mul(used);
    if near { plot.reference("device", device as f64, other) } else { plot }
}

/// The plots of a run as they are now, for a picture that is drawn beside the window.
pub struct Picture {
    view: RunView,
    device: u64,
    dark: bool,
    log: bool,
}

impl Picture {
    /// A copy of what is drawn.
    pub fn of(view: &RunView, shared: &Shared, dark: bool) -> Picture {
        Picture { view: view.clone(), device: shared.device.memory_bytes, dark, log: shared.prefs.log_scale }
    }

    /// Draws it into a PNG file.
    pub fn write(&self, path: &Path) -> crate::engine::Result<()> {
        let options = PngOptions { width: 2000, height: 1480, pixels_per_point: 2.0 };
        let setup = |ctx: &eframe::egui::Context| {
            theme::install(ctx);
            theme::apply(ctx, if self.dark { ThemeChoice::Dark } else { ThemeChoice::Light });
            ctx.options_mut(|o| o.fallback_theme = if self.dark { Theme::Dark } else { Theme::Light });
        };
        let mut curves = Curves::default();
        export_png(path, options, setup, |ui| {
            ui.label(strong(&self.view.name).size(16.0));
            curves.plots[Kind::Loss as usize].state.set_log(self.log);
            curves.all(ui, &self.view, self.device, 250.0, 130.0);
        })
    }
}
