//! How the frozen weights lie in memory, what each form takes and whether it fits.

use eframe::egui::{Align2, Rect, RichText, Stroke, StrokeKind, Ui, pos2, vec2};

use crate::app::command::Commands;
use crate::app::model::{FormPrice, ModelInfo};
use crate::app::{Command, Studio};
use crate::engine::config::{Quantization, RunConfig};
use crate::engine::ops::Compute;
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{card, paint_text, press_area, segmented, strong};
use crate::units::bytes;

const ROW: f32 = 58.0;

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, info: &ModelInfo, commands: &mut Commands) {
    card(ui, "In memory", |ui| {
        let text = format!("{} of {} are free on this device.", bytes(studio.pricing.available), device(studio));
        ui.label(RichText::new(text).weak());
        let mut run = studio.shared.run.clone();
        for form in &studio.model.forms {
            row(ui, form, info, &mut run);
        }
        if run.model.quantization == Quantization::Keep && !info.keeps() {
            ui.label(RichText::new("The file is not quantized: \"as in the file\" leaves it so.").weak());
        }
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.label("Compute in");
            let choices = [
                (Compute::Bf16, "bf16", "Inputs of products are rounded to 16 bits, sums stay in 32: the fast way."),
                (
                    Compute::F32,
                    "f32",
                    "Everything in 32 bits: exact and slower, and unquantized weights take twice as much.",
                ),
            ];
            segmented(ui, "Compute", &mut run.model.compute, &choices);
        });
        if run.model.quantization == Quantization::Nf4 {
            ui.checkbox(&mut run.model.double_quant, "Double quantization").on_hover_text(
                "The scales of NF4's blocks are quantized too: 0.37 bits a parameter less, at no loss that can be measured.",
            );
        }
        if run != studio.shared.run {
            commands.send(Command::Edit(Box::new(run)));
        }
    });
}

fn device(studio: &Studio) -> String {
    bytes(studio.shared.device.memory_bytes)
}

fn words(form: Quantization, info: &ModelInfo) -> (&'static str, String) {
    match form {
        Quantization::Nf4 => ("NF4, 4 bits", "QLoRA: small, at little loss.".into()),
        Quantization::None => ("Unquantized", "LoRA: exact, as they were trained.".into()),
        Quantization::Keep => ("As in the file", format!("{}, not rounded again.", info.facts.quantization.describe())),
    }
}

fn row(ui: &mut Ui, form: &FormPrice, info: &ModelInfo, run: &mut RunConfig) {
    let p = palette(ui);
    let (name, sentence) = words(form.quantization, info);
    let chosen = run.model.quantization == form.quantization;
    let width = ui.available_width();
    let (rect, response) = press_area(ui, vec2(width, ROW), &format!("Weights: {name}"), chosen);
    let fill = match (chosen, response.hovered()) {
        (true, _) => p.chosen,
        (false, true) => p.line.gamma_multiply(0.5),
        _ => p.ground,
    };
    ui.painter().rect_filled(rect, theme::RADIUS, fill);
    let line = if chosen { p.accent } else { p.line };
    ui.painter().rect_stroke(rect, theme::RADIUS, Stroke::new(1.0, line), StrokeKind::Inside);
    let inner = rect.shrink2(vec2(12.0, 8.0));
    let right = 120.0;
    let split = inner.right() - right;
    let half = |from: f32, to: f32, lower: bool| {
        let (top, bottom) = match lower {
            false => (inner.top(), inner.center().y),
            true => (inner.center().y, inner.bottom()),
        };
        Rect::from_min_max(pos2(from, top), pos2(to, bottom))
    };
    let left = inner.left();
    paint_text(ui, half(left, split - 8.0, false), Align2::LEFT_CENTER, strong(name), p.text);
    paint_text(ui, half(left, split - 8.0, true), Align2::LEFT_CENTER, RichText::new(&sentence).small(), p.weak);
    let weights = strong(bytes(form.weights));
    paint_text(ui, half(split, inner.right(), false), Align2::RIGHT_CENTER, weights, p.text);
    let (verdict, color) = match (form.fits(), form.step) {
        (Some(true), Some(step)) => (format!("fits, {} in all", bytes(step)), p.good),
        (Some(false), Some(step)) => (format!("too large, {} in all", bytes(step)), p.bad),
        _ => ("weights alone".to_string(), p.weak),
    };
    paint_text(
        ui,
        half(split - 20.0, inner.right(), true),
        Align2::RIGHT_CENTER,
        RichText::new(verdict).small(),
        color,
    );
    let help = format!(
        "{sentence} The upper number is the weights alone, the lower one all that a step of the run being prepared takes."
    );
    if response.on_hover_text(help).clicked() {
        run.model.quantization = form.quantization;
    }
}
