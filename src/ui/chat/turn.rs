//! A prompt and its answers.

use std::collections::HashMap;

use eframe::egui::{Align, Color32, Frame, Label, Layout, Margin, Rect, RichText, Sense, Stroke, Ui, vec2};
use egui_material_icons::icons;

use super::{weak, words};
use crate::app::Studio;
use crate::app::chat::{Answer, ChatCommand, Comparison, Phase, Turn};
use crate::app::notices::Severity;
use crate::engine::generate::Finish;
use crate::ui::busy;
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{figure, icon_button, message, strong};
use crate::units::grouped;

/// Heights of complete turns, so that those out of sight are not laid out.
#[derive(Default)]
pub(super) struct Heights {
    width: f32,
    of: HashMap<u64, f32>,
}

/// The conversation. `edit` is called with the last prompt when it is to be edited.
pub(super) fn all(
    ui: &mut Ui,
    heights: &mut Heights,
    studio: &Studio,
    send: &mut impl FnMut(ChatCommand),
    mut edit: impl FnMut(String),
) {
    let turns = &studio.chat.turns;
    // Strokes are drawn around cards, and need their place.
    let width = ui.available_width() - 4.0;
    ui.set_max_width(width);
    if heights.width != width {
        *heights = Heights { width, of: HashMap::new() };
    }
    for (i, turn) in turns.iter().enumerate() {
        let last = i + 1 == turns.len();
        let known = heights.of.get(&turn.id).filter(|_| !turn.open && !last);
        if let Some(height) = known {
            let rect = Rect::from_min_size(ui.cursor().min, vec2(width, *height));
            if !ui.is_rect_visible(rect.expand(40.0)) {
                ui.allocate_exact_size(rect.size(), Sense::hover());
                continue;
            }
        }
        let before = i.checked_sub(1).map(|before| turns[before].epoch);
        let inner = ui.push_id(turn.id, |ui| {
            if before.is_some_and(|epoch| epoch != turn.epoch) {
                epoch_ui(ui, studio, turn);
            }
            turn_ui(ui, studio, turn, i + 1, last, send, &mut edit);
        });
        heights.of.insert(turn.id, inner.response.rect.height());
    }
}

/// Another model answers from here on.
fn epoch_ui(ui: &mut Ui, studio: &Studio, turn: &Turn) {
    ui.add_space(6.0);
    let with = match &turn.with.adapter {
        Some(path) => format!("{} on {}", studio.adapters.name_of(path), turn.with.model),
        None => turn.with.model.clone(),
    };
    ui.vertical_centered(|ui| weak(ui, format!("A new conversation with {with}")));
    ui.separator();
}

fn turn_ui(
    ui: &mut Ui,
    studio: &Studio,
    turn: &Turn,
    number: usize,
    last: bool,
    send: &mut impl FnMut(ChatCommand),
    edit: &mut impl FnMut(String),
) {
    let p = palette(ui);
    let frame = Frame::new().fill(p.chosen).corner_radius(theme::RADIUS).inner_margin(Margin::symmetric(14, 8));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.set_min_height(24.0);
            let wide = ui.available_width() - 70.0;
            ui.scope(|ui| {
                ui.set_max_width(wide);
                ui.add(Label::new(&turn.prompt).wrap().selectable(true));
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if !last || studio.chat.answering() {
                    return;
                }
                if icon_button(ui, icons::ICON_REFRESH, "Answer again")
                    .on_hover_text("With the next seed, where the temperature is above 0.")
                    .clicked()
                {
                    send(ChatCommand::Regenerate);
                }
                if icon_button(ui, icons::ICON_EDIT, "Edit the prompt").clicked() {
                    edit(turn.prompt.clone());
                }
            });
        });
    });
    let loading = studio.chat.resident.as_ref().is_none_or(|r| matches!(r.phase, Phase::Loading(..)));
    let series = theme::series(ui);
    let shades = turn.comparison.as_ref();
    match &turn.answers {
        [Some(base), Some(adapted)] => ui.columns(2, |columns| {
            answer_ui(&mut columns[0], "Base", series[0], base, None, number, loading);
            answer_ui(&mut columns[1], "Adapted", series[1], adapted, shades, number, loading);
        }),
        [Some(base), None] => answer_ui(ui, "Base", series[0], base, None, number, loading),
        [None, Some(adapted)] => answer_ui(ui, "Adapted", series[1], adapted, shades, number, loading),
        [None, None] => {}
    }
    if let Some(problem) = &turn.problem {
        message(ui, Severity::Error, problem);
    }
    if let Some(comparison) = &turn.comparison {
        comparison_ui(ui, comparison);
    } else if turn.open && !turn.writing() && turn.answers[1].is_some() {
        weak(ui, "Comparing the two models over this answer…");
    }
    ui.add_space(theme::GROUP - 4.0);
}

fn answer_ui(
    ui: &mut Ui,
    name: &str,
    color: Color32,
    answer: &Answer,
    shades: Option<&Comparison>,
    number: usize,
    loading: bool,
) {
    let p = palette(ui);
    let frame = Frame::new()
        .fill(p.card)
        .stroke(Stroke::new(1.0, p.line))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(14, 10));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        // Columns would stretch the lines of text to their width.
        ui.with_layout(Layout::top_down(Align::Min), |ui| {
            contents_ui(ui, name, color, answer, shades, number, loading)
        });
    });
}

fn contents_ui(
    ui: &mut Ui,
    name: &str,
    color: Color32,
    answer: &Answer,
    shades: Option<&Comparison>,
    number: usize,
    loading: bool,
) {
    ui.horizontal(|ui| {
        let (dot, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
        ui.painter().circle_filled(dot.center(), 4.0, color);
        ui.label(strong(name));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let copy = format!("Copy {} answer {number}", name.to_lowercase());
            if !answer.text.is_empty() && icon_button(ui, icons::ICON_CONTENT_COPY, &copy).clicked() {
                ui.ctx().copy_text(answer.text.trim().to_string());
            }
        });
    });
    match (&answer.text, answer.finish) {
        (text, None) if text.is_empty() => {
            ui.horizontal(|ui| {
                busy::spinner(ui);
                weak(ui, if loading { "Loading the model" } else { "Reading the prompt" });
            });
        }
        (text, Some(_)) if text.trim().is_empty() => {
            ui.label(RichText::new("An empty answer").weak().italics());
        }
        (text, _) => match shades {
            Some(comparison) => words::shaded(ui, comparison),
            None => {
                ui.add(Label::new(text.trim_start()).wrap().selectable(true));
            }
        },
    }
    ui.add_space(2.0);
    weak(ui, state(answer)).on_hover_text("Tokens a second count from the answer's second token on.");
}

/// Tokens, speed, and why it ended.
fn state(answer: &Answer) -> String {
    let mut text = match answer.tokens {
        1 => "1 token".to_string(),
        n => format!("{n} tokens"),
    };
    if let Some(speed) = answer.speed() {
        let speed = if speed < 100.0 { format!("{speed:.1}") } else { grouped(speed.round() as u64) };
        text.push_str(&format!(" · {speed} tokens/s"));
    }
    match answer.finish {
        None | Some(Finish::Stop(_)) => {}
        Some(Finish::Length) => text.push_str(" · cut at the longest answer allowed"),
        Some(Finish::Context) => text.push_str(" · the model's context is full"),
        Some(Finish::Cancelled) => text.push_str(" · stopped"),
        Some(Finish::Ended) => text.push_str(" · ended at a stop string"),
    }
    text
}

/// The figures that say how far the two are from each other.
fn comparison_ui(ui: &mut Ui, comparison: &Comparison) {
    ui.add_space(2.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 22.0;
        ui.add_space(2.0);
        figure(ui, &format!("{:.3}", comparison.mean_kl), "nats/token", "KL divergence from the base").on_hover_text(
            "How far the adapted model's choice of the next token is from the base's, on average over the adapted answer \
             and its end: the Kullback–Leibler divergence KL(adapted ‖ base) of the two distributions before any \
             temperature. 0: the adapter changes nothing here.",
        );
        let share = format!("{:.0}", 100.0 * comparison.greedy_share);
        let name = format!("of {} greedy choices differ", comparison.tokens);
        figure(ui, &share, "%", &name)
            .on_hover_text("Where the base model, choosing the likeliest token, would have gone on otherwise.");
        words::legend(ui);
    });
}
