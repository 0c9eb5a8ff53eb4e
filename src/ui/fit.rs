//! Changes of the draft that save memory or time, each with its price and a button that applies it.

use eframe::egui::{Align, Layout, RichText, Role, Ui, WidgetInfo};

use super::theme::palette;
use super::widgets::strong;
use crate::app::Studio;
use crate::engine::config::RunConfig;
use crate::engine::memory::fit::Offer;
use crate::units::bytes;

/// What would make the draft fit, save memory, or be faster; a click puts it into `run`.
pub fn ui(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    let pricing = &studio.pricing;
    if let Some(offer) = &pricing.fix {
        ui.add_space(4.0);
        ui.label(strong("Make it fit"));
        row(ui, offer, pricing.bytes(), offer.verb(), run);
    }
    if !pricing.smaller.is_empty() {
        ui.add_space(4.0);
        ui.label(strong("Less memory"));
        pricing.smaller.iter().for_each(|offer| row(ui, offer, pricing.bytes(), "Apply", run));
    }
    if !pricing.faster.is_empty() {
        ui.add_space(4.0);
        ui.label(strong("Faster, and it still fits"));
        pricing.faster.iter().for_each(|offer| row(ui, offer, pricing.bytes(), "Apply", run));
    }
}

/// One offer: what it does, what it takes, what it costs.
fn row(ui: &mut Ui, offer: &Offer, now: u64, verb: &str, run: &mut RunConfig) {
    let p = palette(ui);
    ui.horizontal(|ui| {
        let response = ui.button(verb);
        let name = format!("{verb}: {}", offer.label());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if response.on_hover_text(offer.settings().join("\n")).clicked() {
            *run = offer.run.clone();
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let change = match offer.needed <= now {
                true => format!("{} less, {}", bytes(now - offer.needed), offer.price()),
                false => format!("{} more, {}", bytes(offer.needed - now), offer.price()),
            };
            ui.label(RichText::new(change).color(p.weak).small());
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let mut label = offer.label();
                if offer.cuts_rows() {
                    label.push_str(": what is longer is lost");
                }
                ui.label(label);
            });
        });
    });
}
