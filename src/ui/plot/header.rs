//! The line above a plot: its name, a legend whose entries show and hide curves, the scale, the way back.

use eframe::egui::{
    Align, Color32, FontSelection, Layout, Response, Role, Sense, Stroke, StrokeKind, TextStyle, Ui, WidgetInfo, pos2,
    vec2,
};

/// Names a control for those who do not see it; the visible text alone would be the same in every plot.
pub(super) fn name(response: &Response, role: Role, selected: bool, label: &str) {
    response.widget_info(|| WidgetInfo::selected(role, response.enabled(), selected, label));
}

/// An entry of the legend: a swatch, the curve's name and its value. Clicking it shows or hides the curve.
pub(super) fn legend_entry(
    ui: &mut Ui,
    plot: &str,
    curve: &str,
    value: Option<&str>,
    stroke: Stroke,
    shown: &mut bool,
) -> Response {
    let text = match value {
        Some(value) => format!("{curve} {value}"),
        None => curve.to_string(),
    };
    let swatch = vec2(14.0, 10.0);
    let gap = 5.0;
    let font = FontSelection::from(TextStyle::Body).resolve(ui.style());
    let color = if *shown { ui.visuals().text_color() } else { ui.visuals().weak_text_color() };
    let galley = ui.painter().layout_no_wrap(text, font, color);
    let size = vec2(swatch.x + gap + galley.size().x, galley.size().y.max(swatch.y)) + vec2(6.0, 2.0);
    let (rect, mut response) = ui.allocate_exact_size(size, Sense::click());
    if response.clicked() {
        *shown = !*shown;
        response.mark_changed();
    }
    name(&response, Role::CheckBox, *shown, &format!("{plot}: {curve}"));
    if ui.is_rect_visible(rect) {
        if response.hovered() || response.has_focus() {
            let visuals = ui.style().interact(&response);
            ui.painter().rect(rect, 3, Color32::TRANSPARENT, visuals.bg_stroke, StrokeKind::Inside);
        }
        let left = rect.left() + 3.0;
        let middle = rect.center().y;
        let line = Stroke::new(stroke.width.max(2.0), if *shown { stroke.color } else { color.gamma_multiply(0.5) });
        ui.painter().line_segment([pos2(left, middle), pos2(left + swatch.x, middle)], line);
        let at = pos2(left + swatch.x + gap, middle - galley.size().y / 2.0);
        let width = galley.size().x;
        ui.painter().galley(at, galley, color);
        if !*shown {
            ui.painter().line_segment([pos2(at.x, middle), pos2(at.x + width, middle)], Stroke::new(1.0, color));
        }
    }
    let what = if *shown { "Hide this curve" } else { "Show this curve" };
    response.on_hover_text(what)
}

/// The buttons at the right, a logarithmic scale and the whole run again while it is zoomed, and the legend in what is
/// left, in as many lines as it needs. Whether the whole run was asked for.
pub(super) fn buttons(ui: &mut Ui, plot: &str, log: &mut bool, zoomed: bool, legend: impl FnOnce(&mut Ui)) -> bool {
    let mut reset = false;
    ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
        let response =
            ui.selectable_label(*log, "Log").on_hover_text("Logarithmic scale; values up to 0 are not drawn");
        if response.clicked() {
            *log = !*log;
        }
        name(&response, Role::CheckBox, *log, &format!("{plot}: logarithmic scale"));
        if zoomed {
            let response = ui.button("Whole run").on_hover_text("Show the whole run and follow it (double click)");
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{plot}: show the whole run")));
            reset = response.clicked();
        }
        ui.with_layout(Layout::left_to_right(Align::Center).with_main_wrap(true), legend);
    });
    reset
}
