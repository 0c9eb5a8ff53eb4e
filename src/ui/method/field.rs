//! A setting of the run file as a row: name, slider with the usual range marked, value, and one sentence of help.

use eframe::egui::{self, Align, Color32, DragValue, Label, Layout, Rect, Response, RichText, Slider, Ui, pos2, vec2};
use egui_material_icons::icons;

use crate::engine::config::{Field, Kind, field};
use crate::ui::theme::palette;

/// Width of the column of names.
pub const NAMES: f32 = 150.0;
/// Width of a slider.
const SLIDER: f32 = 200.0;

/// How a number is edited.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// What the slider spans; the value box goes further, to what the run file allows.
    pub slider: (f64, f64),
    /// Whether the slider is logarithmic.
    pub log: bool,
    /// Whether the number is whole.
    pub whole: bool,
    /// What stands behind the value.
    pub unit: &'static str,
}

impl Range {
    /// Whole numbers along a straight slider.
    pub const fn whole(low: f64, high: f64, unit: &'static str) -> Range {
        Range { slider: (low, high), log: false, whole: true, unit }
    }

    /// Whole numbers along a logarithmic slider.
    pub const fn whole_log(low: f64, high: f64, unit: &'static str) -> Range {
        Range { slider: (low, high), log: true, whole: true, unit }
    }

    /// Numbers along a straight slider.
    pub const fn number(low: f64, high: f64) -> Range {
        Range { slider: (low, high), log: false, whole: false, unit: "" }
    }

    /// Numbers along a logarithmic slider.
    pub const fn number_log(low: f64, high: f64) -> Range {
        Range { slider: (low, high), log: true, whole: false, unit: "" }
    }

    /// Where a value lies on the slider, 0 to 1.
    fn share(&self, value: f64) -> f32 {
        let (low, high) = self.slider;
        let share = match self.log {
            true => (value.max(low) / low).ln() / (high / low).ln(),
            false => (value - low) / (high - low),
        };
        share.clamp(0.0, 1.0) as f32
    }
}

/// The name of a setting at the left of its row, with its help on hover, and whatever edits it.
pub fn row<R>(ui: &mut Ui, title: &str, path: (&str, &str), contents: impl FnOnce(&mut Ui) -> R) -> R {
    let help = field(path.0, path.1).map(help_text).unwrap_or_default();
    ui.horizontal(|ui| {
        let size = vec2(NAMES, ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_size(size);
            ui.add(Label::new(title).truncate()).on_hover_text(&help);
        });
        let inner = contents(ui);
        if !help.is_empty() {
            let p = palette(ui);
            ui.label(RichText::new(icons::ICON_HELP.codepoint).size(14.0).color(p.weak.gamma_multiply(0.7)))
                .on_hover_text(&help);
        }
        inner
    })
    .inner
}

/// One sentence, the usual range, and the key in the run file.
fn help_text(field: &Field) -> String {
    let usual = match field.usual {
        Some((low, high)) if high < 0.01 => format!("\nUsual: {low:e} to {high:e}."),
        Some((low, high)) => format!("\nUsual: {low} to {high}."),
        None => String::new(),
    };
    format!("{}{usual}\n{}", field.help, field.path())
}

/// A number as a row of its own. True when it changed.
pub fn number(ui: &mut Ui, title: &str, path: (&str, &str), value: &mut f64, range: Range) -> bool {
    let usual = field(path.0, path.1).and_then(|f| f.usual);
    number_with(ui, title, path, value, range, usual)
}

/// [`number`] with another usual range than the schema's.
pub fn number_with(
    ui: &mut Ui,
    title: &str,
    path: (&str, &str),
    value: &mut f64,
    range: Range,
    usual: Option<(f64, f64)>,
) -> bool {
    let before = *value;
    let allowed = allowed(path, range);
    row(ui, title, path, |ui| {
        let (low, high) = range.slider;
        let mut on_slider = value.clamp(low, high);
        ui.spacing_mut().slider_width = SLIDER;
        let slider = Slider::new(&mut on_slider, low..=high).logarithmic(range.log).show_value(false);
        let slider = if range.whole { slider.step_by(1.0) } else { slider };
        let response = ui.add(slider);
        let name = title.to_string();
        response.widget_info(|| egui::WidgetInfo::slider(true, on_slider, format!("{name} slider")));
        if let Some(usual) = usual {
            mark_usual(ui, &response, range, usual);
        }
        if response.changed() {
            *value = if range.log && range.whole { on_slider.round() } else { on_slider };
        }
        value_box(ui, title, value, range, allowed);
        if let Some((low, high)) = usual
            && (*value < low || *value > high)
        {
            let p = palette(ui);
            ui.label(RichText::new(icons::ICON_WARNING.codepoint).size(15.0).color(p.warning)).on_hover_text(format!(
                "unusual: mostly {} to {}",
                shown(low),
                shown(high)
            ));
        }
    });
    *value != before
}

/// A whole number without a slider. True when it changed.
pub fn count(ui: &mut Ui, title: &str, path: (&str, &str), value: &mut usize, unit: &'static str) -> bool {
    let mut number = *value as f64;
    let range = Range::whole(0.0, 1.0, unit);
    let allowed = allowed(path, range);
    row(ui, title, path, |ui| value_box(ui, title, &mut number, range, allowed));
    let changed = number as usize != *value;
    *value = number as usize;
    changed
}

fn value_box(ui: &mut Ui, title: &str, value: &mut f64, range: Range, allowed: (f64, f64)) -> Response {
    let speed = if range.whole { 0.2 } else { (value.abs() * 0.01).max(1e-7) };
    let mut drag = DragValue::new(value).speed(speed).range(allowed.0..=allowed.1).update_while_editing(false);
    if range.whole {
        drag = drag.max_decimals(0);
    } else {
        drag = drag.custom_formatter(|v, _| shown(v)).custom_parser(|text| text.trim().replace(',', ".").parse().ok());
    }
    let response = ui.add_sized(vec2(76.0, ui.spacing().interact_size.y), drag);
    response.widget_info(|| {
        let mut info = egui::WidgetInfo::labeled(egui::Role::SpinButton, true, title);
        info.value = Some(*value);
        info
    });
    if !range.unit.is_empty() {
        ui.label(RichText::new(range.unit).weak());
    }
    response
}

/// What the run file allows.
fn allowed(path: (&str, &str), range: Range) -> (f64, f64) {
    match field(path.0, path.1).map(|f| f.kind) {
        Some(Kind::Integer { min, max }) => (min as f64, max as f64),
        Some(Kind::Number { min, max, max_included }) => (min, if max_included { max } else { max - 1e-6 }),
        _ => range.slider,
    }
}

/// A band under the slider where people usually are.
fn mark_usual(ui: &Ui, slider: &Response, range: Range, (low, high): (f64, f64)) {
    let p = palette(ui);
    // As egui places the handle: half its size from the ends.
    let rect = slider.rect;
    let track = rect.x_range().shrink(rect.height() / 2.5);
    let x = |value| egui::lerp(track.min..=track.max, range.share(value));
    let y = rect.bottom() - 3.0;
    let band = Rect::from_min_max(pos2(x(low), y), pos2(x(high), y + 3.0));
    let color: Color32 = p.good.gamma_multiply(if ui.is_enabled() { 0.75 } else { 0.3 });
    ui.painter().rect_filled(band, 1, color);
}

/// `2e-4`, `0.05`, `16`.
pub fn shown(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        return format!("{digits}e{power}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(2e-4, "2e-4"), (1.25e-5, "1.25e-5"), (0.05, "0.05"), (16.0, "16"), (0.0, "0"), (0.001, "0.001")]
        {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn the_usual_range_lies_on_the_slider() {
        let range = Range::whole_log(1.0, 256.0, "");
        assert_eq!((range.share(1.0), range.share(16.0), range.share(256.0)), (0.0, 0.5, 1.0));
        assert_eq!(Range::number(0.0, 0.5).share(0.1), 0.2);
    }
}
