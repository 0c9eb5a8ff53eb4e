//! Small parts that all rooms are made of.

use eframe::egui::{
    self, Align, Align2, Button, Color32, Frame, Label, Layout, Margin, Response, RichText, Sense, Stroke, StrokeKind,
    Ui, vec2,
};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons;

use super::theme::{self, palette};
use crate::app::gate::sentence;
use crate::app::notices::Severity;
use crate::engine::config::shorten_homes_in;

/// Text in the strong face.
pub fn strong(text: impl Into<String>) -> RichText {
    RichText::new(text).family(theme::strong_family())
}

/// An icon as text. In the icons' own face: Inter has signs of its own at some of their code points.
pub fn glyph(icon: MaterialIcon) -> RichText {
    RichText::new(icon.codepoint).family(egui::FontFamily::Name(egui_material_icons::FONT_FAMILY.into()))
}

/// A room's heading: title, one sentence, and what can be done at the right.
pub fn page_header(ui: &mut Ui, title: &str, sentence: &str, actions: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.add(Label::new(RichText::new(title).heading()).truncate());
            ui.add(Label::new(RichText::new(sentence).weak()).wrap());
        });
        ui.with_layout(Layout::right_to_left(Align::Center), actions);
    });
    ui.add_space(theme::GROUP - 6.0);
}

/// A card with a title.
pub fn card<R>(ui: &mut Ui, title: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    card_with(ui, title, |_| {}, contents)
}

/// A card with a title and something at the right of it.
pub fn card_with<R>(ui: &mut Ui, title: &str, right: impl FnOnce(&mut Ui), contents: impl FnOnce(&mut Ui) -> R) -> R {
    let p = palette(ui);
    let frame = Frame::new()
        .fill(p.card)
        .stroke(Stroke::new(1.0, p.line))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(16, 12));
    let inner = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        if !title.is_empty() {
            ui.horizontal(|ui| {
                ui.label(strong(title).size(14.5));
                ui.with_layout(Layout::right_to_left(Align::Center), right);
            });
            ui.add_space(4.0);
        }
        contents(ui)
    });
    ui.add_space(2.0);
    inner.inner
}

/// The one button of a room that matters most.
pub fn primary_button(ui: &mut Ui, icon: MaterialIcon, text: &str, enabled: bool) -> Response {
    let p = palette(ui);
    let (fill, ink) = if enabled { (p.accent, p.on_accent) } else { (p.chosen, p.weak) };
    let button = Button::new((glyph(icon).size(16.0).color(ink), strong(text).color(ink)))
        .fill(fill)
        .stroke(Stroke::NONE)
        .min_size(vec2(96.0, 32.0));
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, text));
    focus_ring(ui, &response);
    response
}

/// Shows that the keyboard is here, around what has no frame of its own that would.
pub fn focus_ring(ui: &Ui, response: &Response) {
    if response.has_focus() {
        let p = palette(ui);
        ui.painter().rect_stroke(response.rect.expand(2.0), 6, Stroke::new(1.5, p.accent), StrokeKind::Outside);
    }
}

/// A question or a text over the room, which waits behind it. Escape, or a press beside it, should close it.
pub fn dialog<R>(
    ctx: &egui::Context,
    name: &str,
    width: f32,
    contents: impl FnOnce(&mut Ui) -> R,
) -> egui::ModalResponse<R> {
    let frame = Frame::popup(&ctx.global_style()).inner_margin(18);
    egui::Modal::new(egui::Id::unique(name)).frame(frame).show(ctx, |ui| {
        ui.set_width(width.min(ui.ctx().content_rect().width() - 80.0));
        ui.spacing_mut().item_spacing.y = 8.0;
        contents(ui)
    })
}

/// The answer of a dialog that Enter gives: it has the keyboard while nothing else of the dialog does.
pub fn answer_at_enter(ui: &Ui, response: &Response) {
    if ui.memory(|memory| memory.focused().is_none()) {
        response.request_focus();
    }
}

/// A row of buttons of about this width in the middle, for an [`empty_state`].
pub fn centered_row(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    let size = vec2(width.min(ui.available_width()), 28.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), contents);
}

/// A button with an icon before its text. `text` is its accessible name.
pub fn icon_text_button(ui: &mut Ui, icon: MaterialIcon, text: &str) -> Response {
    let response = ui.add(Button::new((glyph(icon).size(15.0), text)));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, text));
    response
}

/// A button of an icon alone, with its name on hover.
pub fn icon_button(ui: &mut Ui, icon: MaterialIcon, name: &str) -> Response {
    let response = ui.add(Button::new(glyph(icon).size(16.0)).frame(false));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
    focus_ring(ui, &response);
    response.on_hover_text(name)
}

/// A short word in a coloured frame.
pub fn badge(ui: &mut Ui, text: &str, color: Color32) -> Response {
    // As high as its text: a frame would fill the row that it stands in.
    let font = egui::TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_string(), font, color);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(12.0, 4.0), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
    ui.painter().rect_filled(rect, 4, color.gamma_multiply(0.16));
    ui.painter().galley(rect.min + vec2(6.0, 2.0), galley, color);
    response
}

/// The icon and colour of a severity.
pub fn severity_look(ui: &Ui, severity: Severity) -> (MaterialIcon, Color32) {
    let p = palette(ui);
    match severity {
        Severity::Info => (icons::ICON_INFO, p.weak),
        Severity::Success => (icons::ICON_CHECK_CIRCLE, p.good),
        Severity::Warning => (icons::ICON_WARNING, p.warning),
        Severity::Error => (icons::ICON_ERROR, p.bad),
    }
}

/// One sentence with the icon of its severity, wrapped.
pub fn message(ui: &mut Ui, severity: Severity, text: &str) -> Response {
    let (icon, color) = severity_look(ui, severity);
    ui.horizontal_top(|ui| {
        line_icon(ui, icon, color);
        ui.add(Label::new(sentence(&shorten_homes_in(text))).wrap().selectable(true))
    })
    .inner
}

/// An icon before a text, in the middle of its first line: as a label it would stand as low as its own line is high.
pub fn line_icon(ui: &mut Ui, icon: MaterialIcon, color: Color32) {
    let size = vec2(16.0, ui.text_style_height(&egui::TextStyle::Body));
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let font = egui::FontId::new(16.0, egui::FontFamily::Name(egui_material_icons::FONT_FAMILY.into()));
    let galley = ui.painter().layout_no_wrap(icon.codepoint.to_string(), font, color);
    let at = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), rect).min;
    ui.painter().galley(at, galley, color);
}

/// What a room shows when there is nothing yet.
pub fn empty_state(ui: &mut Ui, icon: MaterialIcon, title: &str, text: &str, actions: impl FnOnce(&mut Ui)) {
    let p = palette(ui);
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space((height * 0.28).clamp(24.0, 220.0));
        ui.label(glyph(icon).size(44.0).color(p.weak));
        ui.add_space(4.0);
        ui.label(strong(title).size(17.0));
        ui.add(Label::new(RichText::new(text).weak()).wrap());
        ui.add_space(theme::GAP);
        actions(ui);
    });
}

/// A name and its value, in a two-column [`egui::Grid`].
pub fn fact(ui: &mut Ui, name: &str, value: impl Into<String>) {
    ui.label(RichText::new(name).weak());
    ui.add(Label::new(value.into()).wrap().selectable(true));
    ui.end_row();
}

/// A big number with its unit and what it is.
pub fn figure(ui: &mut Ui, value: &str, unit: &str, name: &str) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.label(strong(value).size(19.0));
            ui.label(RichText::new(unit).weak().small());
        });
        ui.label(RichText::new(name).weak().small());
    })
    .response
}

/// A segmented choice: a few words of which one is chosen. True when it changed.
pub fn segmented<T: PartialEq + Copy>(ui: &mut Ui, name: &str, current: &mut T, choices: &[(T, &str, &str)]) -> bool {
    let before = *current;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (value, label, help) in choices {
            let chosen = *current == *value;
            let response = ui.add(Button::selectable(chosen, *label));
            let full = format!("{name}: {label}");
            response.widget_info(|| egui::WidgetInfo::selected(egui::Role::RadioButton, true, chosen, &full));
            if response.clicked() {
                *current = *value;
            }
            if !help.is_empty() {
                response.on_hover_text(*help);
            }
        }
    });
    before != *current
}

/// A rectangle that can be pressed and drawn upon, with an accessible name.
pub fn press_area(ui: &mut Ui, size: egui::Vec2, name: &str, selected: bool) -> (egui::Rect, Response) {
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, selected, name));
    if response.has_focus() {
        let p = palette(ui);
        ui.painter().rect_stroke(rect, 4, Stroke::new(1.5, p.accent), StrokeKind::Inside);
    }
    (rect, response)
}

/// Text painted in a rectangle, shortened to fit.
pub fn paint_text(ui: &Ui, rect: egui::Rect, align: Align2, text: RichText, color: Color32) {
    let galley = egui::WidgetText::from(text.color(color)).into_galley(
        ui,
        Some(egui::TextWrapMode::Truncate),
        rect.width(),
        egui::TextStyle::Body,
    );
    let at = align.align_size_within_rect(galley.size(), rect).min;
    ui.painter().galley(at, galley, color);
}

/// Two columns of cards, of the same width, each from its top left and as far apart as the cards in them.
pub fn two_columns(ui: &mut Ui, contents: impl FnOnce(&mut Ui, &mut Ui)) {
    columns_apart(ui, theme::GROUP, contents);
}

/// Two columns with this much between them.
pub fn columns_apart(ui: &mut Ui, gap: f32, contents: impl FnOnce(&mut Ui, &mut Ui)) {
    let spacing = std::mem::replace(&mut ui.spacing_mut().item_spacing.x, gap);
    ui.columns_const(|[left, right]| {
        left.spacing_mut().item_spacing.x = spacing;
        right.spacing_mut().item_spacing.x = spacing;
        // Columns are justified by themselves, and so would be their text.
        let layout = Layout::top_down(Align::Min);
        let mut inner =
            [&*left, &*right].map(|column| egui::UiBuilder::new().max_rect(column.max_rect()).layout(layout));
        let mut second = right.new_child(std::mem::take(&mut inner[1]));
        let mut first = left.new_child(std::mem::take(&mut inner[0]));
        contents(&mut first, &mut second);
        left.advance_cursor_after_rect(first.min_rect());
        right.advance_cursor_after_rect(second.min_rect());
    });
    ui.spacing_mut().item_spacing.x = spacing;
}
