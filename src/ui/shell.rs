//! What surrounds every room: the rail at the left and the memory bar at the bottom.

use eframe::egui::{
    self, Align, Align2, CornerRadius, Layout, Rect, RichText, Sense, Stroke, StrokeKind, Ui, pos2, vec2,
};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons;

use super::theme::{self, palette};
use super::widgets::{paint_text, press_area, strong};
use crate::app::command::Commands;
use crate::app::{Command, Readiness, Room, Studio};
use crate::engine::memory::Item;
use crate::ui::busy;
use crate::units::bytes;

/// The icon of a room.
pub fn icon(room: Room) -> MaterialIcon {
    match room {
        Room::Model => icons::ICON_DEPLOYED_CODE,
        Room::Data => icons::ICON_DATABASE,
        Room::Method => icons::ICON_TUNE,
        Room::Train => icons::ICON_MODEL_TRAINING,
        Room::Chat => icons::ICON_FORUM,
        Room::Export => icons::ICON_IOS_SHARE,
        Room::Runs => icons::ICON_HISTORY,
        Room::Settings => icons::ICON_SETTINGS,
    }
}

/// The rooms, with what is ready and what is missing.
pub fn rail(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let p = palette(ui);
    ui.painter().rect_filled(ui.max_rect(), 0, p.panel);
    ui.painter().vline(ui.max_rect().right(), ui.max_rect().y_range(), Stroke::new(1.0, p.line));
    ui.add_space(16.0);
    ui.horizontal(|ui| {
        ui.add_space(14.0);
        ui.label(strong("LoRA Studio").size(16.0));
    });
    ui.add_space(14.0);
    ui.spacing_mut().item_spacing.y = 2.0;
    for room in Room::ALL {
        if room == Room::Runs {
            ui.add_space(8.0);
            let rect = ui.allocate_exact_size(vec2(theme::RAIL, 1.0), Sense::hover()).0;
            ui.painter().hline(rect.shrink2(vec2(12.0, 0.0)).x_range(), rect.top(), Stroke::new(1.0, p.line));
            ui.add_space(8.0);
        }
        rail_entry(ui, room, studio, commands);
    }
}

fn rail_entry(ui: &mut Ui, room: Room, studio: &Studio, commands: &mut Commands) {
    let p = palette(ui);
    let chosen = studio.shared.prefs.room == room;
    let (rect, response) = press_area(ui, vec2(theme::RAIL - 1.0, 36.0), room.title(), chosen);
    let inner = rect.shrink2(vec2(8.0, 1.0));
    if chosen {
        ui.painter().rect_filled(inner, theme::RADIUS, p.chosen);
    } else if response.hovered() {
        ui.painter().rect_filled(inner, theme::RADIUS, p.line.gamma_multiply(0.5));
    }
    let ink = if chosen { p.text } else { p.weak };
    let left = Rect::from_min_size(inner.min + vec2(8.0, 0.0), vec2(22.0, inner.height()));
    let icon_ink = if chosen { p.accent } else { ink };
    paint_text(ui, left, Align2::LEFT_CENTER, icon(room).rich_text().size(18.0), icon_ink);
    let title = Rect::from_min_max(pos2(left.right() + 8.0, inner.top()), pos2(inner.right() - 26.0, inner.bottom()));
    let text = if chosen { strong(room.title()) } else { RichText::new(room.title()) };
    paint_text(ui, title, Align2::LEFT_CENTER, text, if chosen { p.text } else { p.text.gamma_multiply(0.86) });
    let mark = Rect::from_min_max(pos2(inner.right() - 24.0, inner.top()), pos2(inner.right() - 6.0, inner.bottom()));
    let (glyph, color, hover) = match studio.readiness(room) {
        Readiness::Training(share) => {
            let wide = mark.with_min_x(mark.left() - 20.0);
            let text = RichText::new(format!("{:.0} %", (100.0 * share).floor())).small();
            paint_text(ui, wide, Align2::RIGHT_CENTER, text, p.accent);
            (None, p.weak, "a run is being trained".to_string())
        }
        Readiness::Neutral => (None, p.weak, String::new()),
        Readiness::Busy => {
            busy::spinner_in(ui, Rect::from_center_size(mark.center(), vec2(14.0, 14.0)));
            (None, p.weak, "being looked at".to_string())
        }
        Readiness::Ready => (Some(icons::ICON_CHECK_CIRCLE), p.good, "ready".to_string()),
        Readiness::Warning(text) => (Some(icons::ICON_WARNING), p.warning, text),
        Readiness::Blocked(text) => (Some(icons::ICON_CANCEL), p.bad, text),
    };
    if let Some(glyph) = glyph {
        paint_text(ui, mark, Align2::CENTER_CENTER, glyph.rich_text().size(15.0), color);
    }
    let response = if hover.is_empty() { response } else { response.on_hover_text(hover) };
    if response.clicked() {
        commands.send(Command::Go(room));
    }
}

/// What the run will take of the device's memory, item by item, against what is free.
pub fn memory_bar(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let p = palette(ui);
    let whole = ui.max_rect();
    ui.painter().rect_filled(whole, 0, p.panel);
    ui.painter().hline(whole.x_range(), whole.top(), Stroke::new(1.0, p.line));
    let inner = whole.shrink2(vec2(theme::PAGE, 9.0));
    let pricing = &studio.pricing;
    let device = &studio.shared.device;
    let mut child = ui.new_child(egui::UiBuilder::new().max_rect(inner).layout(Layout::top_down(Align::Min)));
    child.horizontal(|ui| {
        ui.label(strong("Memory").size(12.5));
        let (needed, free) = (pricing.bytes(), pricing.available);
        if let Some(problem) = &pricing.problem {
            ui.label(RichText::new(problem).weak().small());
        } else if needed > 0 {
            let text = format!("{} of {} free", bytes(needed), bytes(free));
            let verdict = if !pricing.fits() {
                RichText::new(format!("does not fit: {} too much", bytes(needed - free))).color(p.bad)
            } else if needed as f64 > 0.9 * free as f64 {
                RichText::new("fits narrowly").color(p.warning)
            } else {
                RichText::new("fits").color(p.good)
            };
            ui.label(RichText::new(text).small());
            ui.label(verdict.small());
            if let Some(offer) = &pricing.fix {
                let what = format!("{}: {}", offer.label(), offer.price());
                if ui.small_button(offer.verb()).on_hover_text(what).clicked() {
                    commands.send(Command::Edit(Box::new(offer.run.clone())));
                }
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let name = format!("{} · {} cores · {} in all", device.name, device.cores, bytes(device.memory_bytes));
            let response = ui.add(egui::Label::new(RichText::new(name).weak().small()).truncate());
            response.on_hover_ui(|ui| devices(ui, studio));
            if let Some(card) = studio.shared.cards.first() {
                let text =
                    format!("{} · {} of {} free", card.name, bytes(card.available_bytes), bytes(card.memory_bytes));
                ui.label(RichText::new(text).weak().small()).on_hover_ui(|ui| devices(ui, studio));
            }
        });
    });
    let bar = Rect::from_min_size(pos2(inner.left(), inner.top() + 21.0), vec2(inner.width(), 20.0));
    stacked_bar(&mut child, bar, studio);
}

/// The bar itself: items up to what is free, and the free rest; what does not fit runs over a red line.
fn stacked_bar(ui: &mut Ui, bar: Rect, studio: &Studio) {
    let p = palette(ui);
    let pricing = &studio.pricing;
    let radius = CornerRadius::same(4);
    ui.painter().rect_filled(bar, radius, p.ground);
    let (needed, free) = (pricing.bytes(), pricing.available);
    // A small run in a large memory would be a sliver: then the free rest is drawn shortened, with a break in it.
    let shortened = needed > 0 && needed < free / 3;
    let scale = if shortened { 3 * needed } else { free.max(needed).max(1) } as f64;
    let mut x = bar.left();
    for (item, size) in &pricing.items {
        let width = (bar.width() as f64 * *size as f64 / scale) as f32;
        let part = Rect::from_min_size(pos2(x, bar.top()), vec2(width, bar.height()));
        x += width;
        if width < 0.5 {
            continue;
        }
        ui.painter().rect_filled(part.shrink2(vec2(0.5, 0.0)), 1, theme::item_color(*item));
        let light = matches!(item, Item::Weights | Item::Logits);
        let ink = if light { egui::Color32::WHITE } else { egui::Color32::from_rgb(0x0d, 0x10, 0x15) };
        // The name alone where there is no room for both, and nothing where it would be cut.
        let texts = [format!("{} {}", item_name(*item), bytes(*size)), item_name(*item).to_string()];
        let font = egui::FontId::proportional(10.5);
        let fits = |text: &String| {
            let galley = ui.painter().layout_no_wrap(text.clone(), font.clone(), ink);
            galley.size().x + 10.0 <= width
        };
        if let Some(text) = texts.into_iter().find(fits) {
            let inside = part.shrink2(vec2(5.0, 0.0));
            paint_text(ui, inside, Align2::LEFT_CENTER, RichText::new(text).size(10.5), ink);
        }
    }
    if shortened {
        for offset in [-3.0, 3.0] {
            let at = bar.center_bottom() + vec2(bar.width() * 0.24 + offset, 0.0);
            let ends = [at + vec2(-3.0, 1.0), at + vec2(3.0, -bar.height() - 1.0)];
            ui.painter().line_segment(ends, Stroke::new(1.5, p.weak));
        }
        let rest = Rect::from_min_max(pos2(bar.center().x, bar.top()), bar.max).shrink2(vec2(8.0, 0.0));
        let text = RichText::new(format!("{} stay free", bytes(free - needed))).size(10.5);
        paint_text(ui, rest, Align2::RIGHT_CENTER, text, p.weak);
    }
    if needed > free && free > 0 {
        let at = bar.left() + (bar.width() as f64 * free as f64 / scale) as f32;
        ui.painter().vline(at, bar.expand2(vec2(0.0, 3.0)).y_range(), Stroke::new(2.0, p.bad));
    }
    ui.painter().rect_stroke(bar, radius, Stroke::new(1.0, p.line), StrokeKind::Inside);
    let response = ui.interact(bar, ui.scope_id().with("memory-bar"), Sense::hover());
    let share = if free > 0 { needed as f64 / free as f64 } else { 0.0 };
    response.widget_info(|| {
        let mut info = egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Memory of the run");
        info.value = Some(share);
        info
    });
    if !pricing.items.is_empty() {
        response.on_hover_ui(|ui| itemised(ui, studio));
    }
}

/// Every device with its memory and who holds it.
fn devices(ui: &mut Ui, studio: &Studio) {
    let shared = &studio.shared;
    egui::Grid::new("devices").num_columns(2).spacing(vec2(14.0, 3.0)).show(ui, |ui| {
        for device in std::iter::once(&shared.device).chain(&shared.cards) {
            ui.label(strong(&device.name));
            ui.label(if device.trains() { "trains" } else { "shown only: runs train on the processor" });
            ui.end_row();
            let [all, free, others] = [device.memory_bytes, device.available_bytes, device.others_bytes].map(bytes);
            for (name, value) in [("in all", all), ("free", free), ("other programs", others)] {
                ui.label(name);
                ui.label(value);
                ui.end_row();
            }
            if let Some(driver) = &device.driver {
                ui.label("driver");
                ui.label(driver);
                ui.end_row();
            }
        }
    });
}

/// Every item with its bytes.
fn itemised(ui: &mut Ui, studio: &Studio) {
    if let Some(peak) = studio.pricing.peak {
        ui.label(RichText::new(format!("The most is needed in: {}.", peak.name())).weak());
    }
    egui::Grid::new("memory-items").num_columns(3).spacing(vec2(10.0, 3.0)).show(ui, |ui| {
        for (item, size) in studio.pricing.items.iter().filter(|(_, size)| *size > 0) {
            let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
            ui.painter().rect_filled(rect, 2, theme::item_color(*item));
            ui.label(item_label(*item));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(bytes(*size)));
            ui.end_row();
        }
    });
}

/// What an item is called.
pub fn item_name(item: Item) -> &'static str {
    match item {
        Item::Weights => "Weights",
        Item::Adapter => "Adapter",
        Item::Gradients => "Gradients",
        Item::Optimizer => "Optimizer",
        Item::Activations => "Activations",
        Item::Scratch => "Scratch",
        Item::Logits => "Logits",
        Item::Rope => "Rotary tables",
        Item::Batch => "Batch",
        Item::Loading => "Loading",
        Item::Samples => "Samples",
        Item::Files => "Files",
    }
}

/// What an item is called, and what it is.
pub fn item_label(item: Item) -> String {
    format!("{}: {}", item_name(item), item_help(item))
}

fn item_help(item: Item) -> &'static str {
    match item {
        Item::Weights => "the frozen model",
        Item::Adapter => "A and B of every adapted linear",
        Item::Gradients => "of the adapter only",
        Item::Optimizer => "AdamW's two moments",
        Item::Activations => "kept from the forward for the backward",
        Item::Scratch => "buffers of the layer being computed",
        Item::Logits => "a chunk of the head's output",
        Item::Rope => "sines and cosines of positions",
        Item::Batch => "the rows of a step",
        Item::Loading => "the tensor that is being read",
        Item::Samples => "keys, values and buffers of the prompts' answers",
        Item::Files => "being hashed or written",
    }
}
