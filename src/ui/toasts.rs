//! Short notices in the corner. Errors stay until they are closed; a click shows the whole text.

use std::time::{Duration, Instant};

use eframe::egui::{self, Align2, Context, Frame, Id, Label, Margin, Sense, Stroke, vec2};
use egui_material_icons::icons;

use super::theme::{self, palette};
use super::widgets::{icon_button, severity_look};
use crate::app::gate::sentence;
use crate::app::notices::{Notice, Severity};
use crate::engine::config::shorten_homes_in;

/// How long a notice stays; errors stay longer.
const STAYS: Duration = Duration::from_secs(6);
const ERROR_STAYS: Duration = Duration::from_secs(30);
/// Notices shown at once; the log has the others.
const SHOWN: usize = 4;
/// Characters before a notice is shortened.
const SHORT: usize = 140;

struct Toast {
    notice: Notice,
    until: Instant,
    open: bool,
    id: u64,
}

/// The notices on screen.
#[derive(Default)]
pub struct Toasts {
    shown: Vec<Toast>,
    next: u64,
}

impl Toasts {
    /// Adds one.
    pub fn show(&mut self, notice: Notice) {
        let stays = if notice.severity == Severity::Error { ERROR_STAYS } else { STAYS };
        self.next += 1;
        self.shown.push(Toast { notice, until: Instant::now() + stays, open: false, id: self.next });
        if self.shown.len() > SHOWN {
            self.shown.remove(0);
        }
    }

    /// Draws them above the memory bar, newest at the bottom.
    pub fn ui(&mut self, ctx: &Context) {
        let now = Instant::now();
        self.shown.retain(|t| t.open || t.until > now);
        let Some(next) = self.shown.iter().filter(|t| !t.open).map(|t| t.until).min() else {
            if self.shown.is_empty() {
                return;
            }
            return self.draw(ctx);
        };
        ctx.request_repaint_after(next.saturating_duration_since(now) + Duration::from_millis(10));
        self.draw(ctx);
    }

    fn draw(&mut self, ctx: &Context) {
        let mut closed = None;
        let corner = vec2(-16.0, -theme::MEMORY_BAR - 12.0);
        egui::Area::new(Id::unique("toasts")).anchor(Align2::RIGHT_BOTTOM, corner).order(egui::Order::Foreground).show(
            ctx,
            |ui| {
                for toast in &mut self.shown {
                    if toast_ui(ui, toast) {
                        closed = Some(toast.id);
                    }
                }
            },
        );
        if let Some(id) = closed {
            self.shown.retain(|t| t.id != id);
        }
    }
}

/// True when it was closed.
fn toast_ui(ui: &mut egui::Ui, toast: &mut Toast) -> bool {
    let p = palette(ui);
    let (icon, color) = severity_look(ui, toast.notice.severity);
    let frame = Frame::new()
        .fill(p.card)
        .stroke(Stroke::new(1.0, color.gamma_multiply(0.6)))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(12, 8))
        .shadow(ui.visuals().popup_shadow);
    frame
        .show(ui, |ui| {
            ui.set_width(360.0);
            ui.horizontal_top(|ui| {
                ui.label(icon.rich_text().color(color).size(18.0));
                let text = &sentence(&shorten_homes_in(&toast.notice.text));
                let short = text.chars().count() > SHORT && !toast.open;
                let shown =
                    if short { format!("{}…", text.chars().take(SHORT).collect::<String>()) } else { text.clone() };
                let width = ui.available_width() - 30.0;
                ui.vertical(|ui| {
                    ui.set_width(width);
                    let sense = if short { Sense::click() } else { Sense::hover() };
                    let response = ui.add(Label::new(shown).wrap().selectable(!short).sense(sense));
                    if response.clicked() {
                        toast.open = true;
                    }
                    if short {
                        response.on_hover_text("Click for all of it");
                    }
                });
                icon_button(ui, icons::ICON_CLOSE, "Close the notice").clicked()
            })
            .inner
        })
        .inner
}
