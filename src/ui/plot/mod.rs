//! Curves over the steps of a run: [`CurvePlot`], drawn on the screen or into a PNG.
//!
//! A room keeps one [`PlotState`] a plot and one [`LinkedPlots`] for the plots that share their steps and their cursor:
//!
//! ```
//! use eframe::egui::{Color32, Context, RawInput};
//! use lora_studio::app::series::Curve;
//! use lora_studio::ui::plot::{CurvePlot, LinkedPlots, PlotState, Unit};
//!
//! let mut loss = Curve::new(0.9);
//! (1..=100).for_each(|step| loss.push(step as f64, 3.0 / step as f64));
//! let (mut state, mut linked) = (PlotState::default(), LinkedPlots::new("train"));
//! let output = Context::default().run_ui(RawInput::default(), |ui| {
//!     linked.cover(ui.ctx(), [loss.raw()].into_iter());
//!     CurvePlot::new("Loss", Unit::Named("nats"))
//!         .curve("train", &loss, Color32::from_rgb(0, 114, 178))
//!         .show(ui, &mut state, &mut linked);
//! });
//! assert!(!output.shapes.is_empty());
//! # output.drop_without_applying_deltas();
//! ```

mod axis;
mod curve_plot;
mod header;
mod image;
mod linked;
mod number;
mod raster;

pub use crate::app::series::{export_csv, export_run_csv};
pub use curve_plot::{CurvePlot, PlotState};
pub use image::{PngOptions, export_png, render};
pub use linked::LinkedPlots;
pub use number::{Unit, grouped};

#[cfg(test)]
mod tests;
