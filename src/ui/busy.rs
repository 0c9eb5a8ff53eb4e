//! What moves while something is under way, at a few frames a second: egui's own spinner and bar ask for as many as the
//! screen shows, which takes a core from the work that they wait for where frames are drawn in software.

use std::f64::consts::TAU;
use std::time::Duration;

use eframe::egui::{Color32, Rect, Response, RichText, Role, Sense, Shape, Stroke, Ui, WidgetInfo, lerp, pos2, vec2};

use super::theme::palette;

/// Between two frames of what moves.
const FRAME: Duration = Duration::from_millis(80);

/// Seconds of a turn of the spinner, and of a way of the bar.
const TURN: f64 = 1.2;

/// An arc that turns, as high as a line of text.
pub fn spinner(ui: &mut Ui) -> Response {
    let size = ui.spacing().interact_size.y;
    let (rect, response) = ui.allocate_exact_size(vec2(size, size), Sense::hover());
    response.widget_info(|| WidgetInfo::new(Role::ProgressIndicator));
    spinner_in(ui, rect.shrink(3.0));
    response
}

/// The same in a rectangle.
pub fn spinner_in(ui: &Ui, rect: Rect) {
    let Some(turned) = turned(ui, rect) else { return };
    let radius = rect.size().min_elem() * 0.5 - 1.0;
    let point = |part: f64| {
        let (sin, cos) = (TAU * (turned + 0.7 * part)).sin_cos();
        rect.center() + radius * vec2(cos as f32, sin as f32)
    };
    let arc = (0..=24).map(|i| point(f64::from(i) / 24.0)).collect();
    ui.painter().add(Shape::line(arc, Stroke::new(2.0, palette(ui).weak)));
}

/// How much is done as a bar, under words; where that is not known, a part of it moves.
pub fn progress(ui: &mut Ui, fraction: Option<f32>, text: &str) {
    if !text.is_empty() {
        ui.label(RichText::new(text).weak());
    }
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width().max(96.0), 8.0), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, ui.is_enabled(), text);
        info.value = fraction.map(|f| f64::from(f * 100.0).floor());
        info
    });
    let paint = |from: f32, to: f32, color: Color32| {
        let across = |part: f32| lerp(rect.left()..=rect.right(), part);
        let part = Rect::from_min_max(pos2(across(from), rect.top()), pos2(across(to), rect.bottom()));
        ui.painter().rect_filled(part, rect.height() * 0.5, color);
    };
    paint(0.0, 1.0, ui.visuals().extreme_bg_color);
    let least = rect.height() / rect.width();
    match fraction {
        Some(fraction) => paint(0.0, fraction.clamp(least, 1.0), palette(ui).accent),
        None => {
            let Some(turned) = turned(ui, rect) else { return };
            let middle = 0.5 - 0.5 * (TAU * 0.5 * turned).cos() as f32;
            paint(0.7 * middle, 0.7 * middle + 0.3, palette(ui).accent);
        }
    }
}

/// Turns since the start, if the place is seen; asks for the next frame.
fn turned(ui: &Ui, rect: Rect) -> Option<f64> {
    ui.is_rect_visible(rect).then(|| {
        ui.ctx().request_repaint_after(FRAME);
        ui.input(|input| input.time) / TURN
    })
}
