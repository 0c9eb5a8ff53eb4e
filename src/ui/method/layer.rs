//! A drawing of one decoder layer, whose linears are clicked to choose what is adapted.

use eframe::egui::{Align2, Color32, Painter, Pos2, Rect, Response, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use crate::engine::config::TargetModules;
use crate::engine::model::{LinearKind, ModelConfig};
use crate::ui::theme::palette;
use crate::ui::widgets::paint_text;

/// Size of the drawing.
const SIZE: (f32, f32) = (470.0, 318.0);
/// Size of a linear.
const BOX: (f32, f32) = (98.0, 36.0);

/// The drawing. Returns the new choice when one was clicked.
pub fn drawing(ui: &mut Ui, model: &ModelConfig, targets: &TargetModules) -> Option<TargetModules> {
    let all = model.linears();
    let chosen = targets.resolve(all).unwrap_or_default();
    let (whole, _) = ui.allocate_exact_size(vec2(SIZE.0, SIZE.1), Sense::hover());
    let painter = ui.painter().with_clip_rect(whole.expand(2.0));
    background(ui, &painter, whole, model);
    let mut clicked = None;
    for (kind, center) in places(all, whole) {
        let rect = Rect::from_center_size(center, vec2(BOX.0, BOX.1));
        if linear(ui, rect, kind, model, chosen.contains(&kind)).clicked() {
            clicked = Some(kind);
        }
    }
    clicked.map(|kind| toggled(all, &chosen, kind))
}

/// The choice with one linear more or less; all of them are `all-linear`.
fn toggled(all: &[LinearKind], chosen: &[LinearKind], kind: LinearKind) -> TargetModules {
    let now: Vec<LinearKind> = all.iter().copied().filter(|k| chosen.contains(k) != (*k == kind)).collect();
    if now.len() == all.len() {
        TargetModules::AllLinear
    } else {
        TargetModules::Names(now.iter().map(|k| k.name().to_string()).collect())
    }
}

/// Centres of the linears: attention in the upper row, the MLP in the lower.
fn places(all: &[LinearKind], whole: Rect) -> Vec<(LinearKind, Pos2)> {
    let at = |x: f32, y: f32| whole.min + vec2(x, y);
    all.iter()
        .map(|kind| {
            let place = match kind {
                LinearKind::Q => at(130.0, 34.0),
                LinearKind::K | LinearKind::Qkv => at(130.0, 78.0),
                LinearKind::V => at(130.0, 122.0),
                LinearKind::O => at(370.0, 78.0),
                LinearKind::Gate => at(130.0, 212.0),
                LinearKind::GateUp => at(130.0, 238.0),
                LinearKind::Up => at(130.0, 264.0),
                LinearKind::Down => at(370.0, 238.0),
            };
            (*kind, place)
        })
        .collect()
}

/// Everything that is not clicked: norms, attention, the gate, and the lines between.
fn background(ui: &Ui, painter: &Painter, whole: Rect, model: &ModelConfig) {
    let p = palette(ui);
    let at = |x: f32, y: f32| whole.min + vec2(x, y);
    let line = Stroke::new(1.5, p.line.lerp_to_gamma(p.weak, 0.45));
    let wire = |points: &[Pos2]| {
        points.windows(2).for_each(|w| {
            painter.line_segment([w[0], w[1]], line);
        });
    };
    let name = |center: Pos2, size: (f32, f32), text: &str| {
        let rect = Rect::from_center_size(center, vec2(size.0, size.1));
        painter.rect(rect, 6, p.ground, Stroke::new(1.0, p.line), StrokeKind::Inside);
        paint_text(ui, rect, Align2::CENTER_CENTER, RichText::new(text).size(11.5), p.weak);
    };
    let plus = |center: Pos2| {
        painter.circle(center, 9.0, p.ground, Stroke::new(1.0, p.line));
        painter.line_segment([center - vec2(4.0, 0.0), center + vec2(4.0, 0.0)], Stroke::new(1.2, p.weak));
        painter.line_segment([center - vec2(0.0, 4.0), center + vec2(0.0, 4.0)], Stroke::new(1.2, p.weak));
    };
    // The residual stream runs along the left, under the attention block, and along the right.
    for (mid, ins, norm) in [(78.0, [34.0, 78.0, 122.0], "norm"), (238.0, [212.0, 238.0, 264.0], "norm")] {
        wire(&[at(10.0, mid), at(60.0, mid)]);
        for y in ins {
            if y != 238.0 || model.fused {
                wire(&[at(56.0, mid), at(68.0, mid), at(68.0, y), at(84.0, y)]);
                wire(&[at(176.0, y), at(200.0, y), at(200.0, mid), at(216.0, mid)]);
            }
        }
        wire(&[at(216.0, mid), at(452.0, mid)]);
        name(at(34.0, mid), (44.0, 26.0), norm);
        plus(at(444.0, mid));
    }
    wire(&[at(10.0, 78.0), at(10.0, 160.0), at(444.0, 160.0), at(444.0, 87.0)]);
    wire(&[at(453.0, 78.0), at(464.0, 78.0), at(464.0, 176.0), at(10.0, 176.0), at(10.0, 238.0)]);
    wire(&[at(10.0, 238.0), at(10.0, 304.0), at(444.0, 304.0), at(444.0, 247.0)]);
    let heads = format!("{} heads", model.heads);
    name(at(258.0, 78.0), (84.0, 44.0), "attention");
    paint_text(
        ui,
        Rect::from_center_size(at(258.0, 110.0), vec2(96.0, 16.0)),
        Align2::CENTER_CENTER,
        RichText::new(heads).size(10.5),
        p.weak,
    );
    name(at(258.0, 238.0), (84.0, 36.0), "gate × up");
    let title = format!("One of {} layers", model.layers.len());
    let place = Rect::from_min_size(at(300.0, 0.0), vec2(168.0, 18.0));
    paint_text(ui, place, Align2::RIGHT_CENTER, RichText::new(title).size(11.5), p.weak);
}

/// One linear, pressed to adapt it or leave it.
fn linear(ui: &mut Ui, rect: Rect, kind: LinearKind, model: &ModelConfig, chosen: bool) -> Response {
    let p = palette(ui);
    let response = ui.interact(rect, ui.scope_id().with(("linear", kind)), Sense::click());
    let name = kind.name();
    response.widget_info(|| {
        eframe::egui::WidgetInfo::selected(eframe::egui::Role::CheckBox, true, chosen, format!("Adapt {name}"))
    });
    let (fill, ink, line): (Color32, Color32, Color32) = match (chosen, response.hovered()) {
        (true, _) => (p.accent, p.on_accent, p.accent),
        (false, true) => (p.chosen, p.text, p.accent),
        (false, false) => (p.card, p.text, p.weak.gamma_multiply(0.6)),
    };
    let width = if response.has_focus() { 2.5 } else { 1.0 };
    ui.painter().rect(rect, 6, fill, Stroke::new(width, line), StrokeKind::Inside);
    let (top, bottom) = rect.shrink2(vec2(4.0, 3.0)).split_top_bottom_at_fraction(0.56);
    paint_text(ui, top, Align2::CENTER_CENTER, RichText::new(name).size(12.5), ink);
    let (out, input) = model.linear_shape(kind);
    let shape = RichText::new(format!("{input} → {out}")).size(10.0);
    paint_text(ui, bottom, Align2::CENTER_CENTER, shape, ink.gamma_multiply(0.75));
    let what = match kind {
        LinearKind::Q => "what a token looks for",
        LinearKind::K => "what a token offers to be found by",
        LinearKind::V => "what a token passes on when it is found",
        LinearKind::Qkv => "queries, keys and values in one matrix",
        LinearKind::O => "mixes what the heads have found",
        LinearKind::Gate => "decides which features pass",
        LinearKind::Up => "the features themselves",
        LinearKind::GateUp => "gate and features in one matrix",
        LinearKind::Down => "writes the features back",
    };
    response.on_hover_text(format!("{name}: {what}.\nClick to {} it.", if chosen { "leave" } else { "adapt" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicking_through_the_linears() {
        use LinearKind::*;
        let all = [Q, K, V, O, Gate, Up, Down];
        let names = |targets: &TargetModules| match targets {
            TargetModules::Names(names) => names.join(" "),
            TargetModules::AllLinear => "all".into(),
        };
        let without_k = toggled(&all, &all, K);
        assert_eq!(names(&without_k), "q_proj v_proj o_proj gate_proj up_proj down_proj");
        assert_eq!(names(&toggled(&all, &without_k.resolve(&all).unwrap(), K)), "all");
        assert_eq!(names(&toggled(&all, &[V], V)), "");
        assert_eq!(names(&toggled(&all, &[V], Q)), "q_proj v_proj");
    }
}
