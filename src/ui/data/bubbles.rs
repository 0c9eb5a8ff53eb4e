//! A row as a chat.

use eframe::egui::{self, Align, Frame, Label, Layout, Margin, RichText, Ui, vec2};

use crate::engine::config::LossOn;
use crate::engine::data::{Example, Message};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{badge, strong};

/// Messages of a conversation that are drawn.
const MESSAGES: usize = 60;
/// Characters of a message that are drawn.
const CHARACTERS: usize = 8_000;

/// The messages, or the document.
pub fn ui(ui: &mut Ui, example: &Example, loss_on: LossOn) {
    match example {
        Example::Document(text) => bubble(ui, "Document", shortened(text), true, Side::Whole),
        Example::Conversation(conversation) => {
            let may_train = |message: &Message| message.is_assistant() && message.train.unwrap_or(true);
            let last = conversation.messages.iter().rposition(may_train);
            for (at, message) in conversation.messages.iter().enumerate().take(MESSAGES) {
                let counts = loss_on != LossOn::LastTurn || last == Some(at);
                let answer = counts && may_train(message);
                let side = match message.role.as_str() {
                    "user" => Side::Right,
                    "system" => Side::Whole,
                    _ => Side::Left,
                };
                let content = content(message);
                bubble(ui, &title(&message.role), shortened(&content), answer || loss_on == LossOn::All, side);
            }
            let more = conversation.messages.len().saturating_sub(MESSAGES);
            if more > 0 {
                ui.label(RichText::new(format!("{more} more messages; the text shows them all")).weak());
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Whole,
}

fn title(role: &str) -> String {
    let mut chars = role.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The text, or the tool call that stands in its place.
fn content(message: &Message) -> std::borrow::Cow<'_, str> {
    let call = ["tool_calls", "function_call"].iter().find_map(|key| message.extra.get(*key)).filter(|v| !v.is_null());
    match (&message.content, call) {
        (Some(text), None) => text.into(),
        (text, Some(call)) => {
            let call = serde_json::to_string_pretty(call).unwrap_or_default();
            format!("{}{}{call}", text.as_deref().unwrap_or_default(), if text.is_some() { "\n" } else { "" }).into()
        }
        (None, None) => "".into(),
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

fn bubble(ui: &mut Ui, who: &str, text: &str, trained: bool, side: Side) {
    let p = palette(ui);
    let whole = ui.available_width();
    let width = if side == Side::Whole { whole } else { (whole * 0.78).max(whole.min(320.0)) };
    let align = if side == Side::Right { Align::Max } else { Align::Min };
    ui.with_layout(Layout::top_down(align), |ui| {
        let fill = match side {
            Side::Right => p.chosen,
            Side::Left => p.card,
            Side::Whole => p.panel,
        };
        let frame = Frame::new().fill(fill).corner_radius(theme::RADIUS).inner_margin(Margin::symmetric(12, 8));
        let frame = if side == Side::Right { frame } else { frame.stroke(egui::Stroke::new(1.0, p.line)) };
        frame.show(ui, |ui| {
            ui.set_max_width(width - 26.0);
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.spacing_mut().item_spacing.y = 3.0;
                ui.spacing_mut().interact_size.y = 16.0;
                ui.horizontal(|ui| {
                    ui.label(strong(who).small().color(p.weak));
                    if trained {
                        badge(ui, "trained", p.good);
                    }
                });
                ui.add(Label::new(text).wrap().selectable(true));
            });
        });
    });
    ui.allocate_space(vec2(0.0, 2.0));
}
