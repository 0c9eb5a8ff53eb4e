//! A row as tokens, coloured by what happens to them; and as plain text. Laid out once a row, not once a frame.

use std::sync::Arc;

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{self, Color32, FontId, Galley, Label, RichText, Sense, Stroke, Ui, vec2};

use crate::engine::data::{Preview, PreviewToken};
use crate::ui::theme::{Palette, palette};
use crate::ui::widgets::strong;
use crate::units::grouped;

/// Tokens that are drawn of a row.
const DRAWN: usize = 20_000;
/// Stands where a line ends: an end of line is a token, too.
const END_OF_LINE: char = '¶';

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The text, with its special tokens marked.
    Text,
    /// Every token with its own ground.
    Tokens,
}

/// A row that was laid out.
#[derive(Default)]
pub struct Drawn(Option<Layout>);

struct Layout {
    of: Arc<Preview>,
    style: Style,
    limit: usize,
    width: f32,
    dark: bool,
    scale: f32,
    galley: Arc<Galley>,
    /// The first character of each token.
    starts: Vec<usize>,
}

impl Drawn {
    /// The row; tokens from `limit` on are cut off.
    pub fn ui(&mut self, ui: &mut Ui, preview: &Arc<Preview>, style: Style, limit: usize) {
        let (width, dark, scale) = (ui.available_width(), ui.visuals().dark_mode, ui.ctx().pixels_per_point());
        let same = |l: &Layout| {
            let look = l.width == width && l.dark == dark && l.scale == scale;
            Arc::ptr_eq(&l.of, preview) && l.style == style && l.limit == limit && look
        };
        if !self.0.as_ref().is_some_and(same) {
            let (job, starts) = job(&palette(ui), preview, style, limit, width);
            let galley = ui.painter().layout_job(job);
            self.0 = Some(Layout { of: preview.clone(), style, limit, width, dark, scale, galley, starts });
        }
        let Some(layout) = &self.0 else { return };
        let (rect, response) = ui.allocate_exact_size(layout.galley.size(), Sense::hover());
        let name = match style {
            Style::Text => "Rendered row",
            Style::Tokens => "Tokens of the row",
        };
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, name));
        ui.painter().galley(rect.min, layout.galley.clone(), palette(ui).text);
        if preview.tokens.len() > DRAWN {
            let text =
                format!("the first {} of {} tokens", grouped(DRAWN as u64), grouped(preview.tokens.len() as u64));
            ui.label(RichText::new(text).weak());
        }
        let Some(at) = response.hover_pos().filter(|_| style == Style::Tokens) else { return };
        let character = layout.galley.cursor_from_pos(at - rect.min).index.0;
        let index = layout.starts.partition_point(|start| *start <= character).saturating_sub(1);
        let Some(token) = preview.tokens.get(index) else { return };
        let cut = index >= limit;
        response.on_hover_ui_at_pointer(|ui| hover(ui, preview, token, index, cut));
    }
}

fn hover(ui: &mut Ui, preview: &Preview, token: &PreviewToken, index: usize, cut: bool) {
    let text = &preview.text[token.range.clone()];
    let text = if text.is_empty() { token.piece.as_str() } else { text };
    let fate = match (cut, token.ends_turn, index > 0 && token.trained) {
        (true, ..) => "cut off",
        (_, true, _) => "trained; it ends the answer, so the model learns to stop",
        (.., true) => "trained",
        _ => "read, not trained",
    };
    ui.label(strong(format!("{text:?}")));
    let special = if token.special { ", a special token" } else { "" };
    ui.add(Label::new(format!("Token {} of the vocabulary{special}", token.id)).wrap());
    ui.label(RichText::new(format!("Position {}, {fate}", grouped(index as u64 + 1))).weak());
}

/// What a token looks like.
fn format(p: &Palette, token: &PreviewToken, index: usize, style: Style, cut: bool) -> TextFormat {
    let font_id = FontId::monospace(12.5);
    let plain = TextFormat { font_id, color: p.text, ..TextFormat::default() };
    if style == Style::Text {
        return if token.special { TextFormat { color: p.accent, ..plain } } else { plain };
    }
    // Neighbours differ, so that one token can be told from the next.
    let shade = if index % 2 == 0 { 0.20 } else { 0.32 };
    let trained = index > 0 && token.trained;
    let background = if trained { p.good.gamma_multiply(shade) } else { p.weak.gamma_multiply(shade * 0.4) };
    let color = match (token.special, trained) {
        (true, _) => p.accent,
        (_, true) => p.text,
        _ => p.weak,
    };
    let mut format = TextFormat { color, background, line_height: Some(21.0), ..plain };
    if token.ends_turn {
        format.background = p.good.gamma_multiply(0.55);
        format.color = p.text;
        format.underline = Stroke::new(2.0, p.good);
    }
    if cut {
        format.background = Color32::TRANSPARENT;
        format.color = p.weak.gamma_multiply(0.7);
        format.underline = Stroke::NONE;
        format.strikethrough = Stroke::new(1.0, p.bad);
    }
    format
}

/// The text with its looks, and the first character of each token in it.
fn job(p: &Palette, preview: &Preview, style: Style, limit: usize, width: f32) -> (LayoutJob, Vec<usize>) {
    let mut job = LayoutJob::default();
    job.wrap.max_width = width;
    job.wrap.break_anywhere = false;
    let mut starts = Vec::with_capacity(preview.tokens.len().min(DRAWN));
    let mut characters = 0;
    for (index, token) in preview.tokens.iter().enumerate().take(DRAWN) {
        starts.push(characters);
        let text = &preview.text[token.range.clone()];
        let written = match text {
            "" if token.special => token.piece.clone(),
            _ if style == Style::Tokens => text.replace('\n', &format!("{END_OF_LINE}\n")),
            _ => text.to_string(),
        };
        characters += written.chars().count();
        job.append(&written, 0.0, format(p, token, index, style, index >= limit));
    }
    (job, starts)
}

/// What the colours mean, and how many tokens have each.
pub fn legend(ui: &mut Ui, preview: &Preview, limit: usize) {
    let p = palette(ui);
    let kept = &preview.tokens[..preview.tokens.len().min(limit)];
    let trained = kept.iter().skip(1).filter(|token| token.trained).count();
    let special = kept.iter().filter(|token| token.special).count();
    let ends = kept.iter().filter(|token| token.ends_turn).count();
    let cut = preview.tokens.len() - kept.len();
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let n = |n: usize| grouped(n as u64);
        ui.label(RichText::new(format!("{} tokens", n(preview.tokens.len()))).small());
        let mut entry = |fill: Color32, line: Color32, text: String, help: &str| {
            ui.add_space(8.0);
            let (rect, _) = ui.allocate_exact_size(vec2(14.0, 12.0), Sense::hover());
            ui.painter().rect_filled(rect, 2, fill);
            ui.painter().rect_stroke(rect, 2, Stroke::new(1.0, line), egui::StrokeKind::Inside);
            ui.label(RichText::new(text).small()).on_hover_text(help);
        };
        let none = Color32::TRANSPARENT;
        entry(
            p.good.gamma_multiply(0.3),
            none,
            format!("{} trained", n(trained)),
            "The loss counts how well they are predicted.",
        );
        entry(
            p.weak.gamma_multiply(0.14),
            none,
            format!("{} ignored", n(kept.len() - trained)),
            "Read by the model, not predicted.",
        );
        entry(
            none,
            p.accent,
            format!("{} special", n(special)),
            "Marks that the chat template writes; never part of ordinary text.",
        );
        let help = "Trained to come after an answer: from it the model learns to stop.";
        entry(p.good.gamma_multiply(0.6), p.good, format!("{} end of turn, trained", n(ends)), help);
        if cut > 0 {
            entry(none, p.bad, format!("{} cut off", n(cut)), "Beyond the maximum length.");
        }
    });
    ui.add_space(2.0);
}
