//! The adapted answer, shaded by how far the two models differ at each word.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    Align2, Color32, CornerRadius, Label, Mesh, Rect, RichText, Sense, TextStyle, Tooltip, Ui, pos2, vec2,
};

use crate::app::chat::{Comparison, Word};
use crate::ui::theme::palette;
use crate::ui::widgets::{paint_text, strong};

/// A word of so many nats is shaded to about two thirds of the strongest.
const NATS: f64 = 1.5;
/// The strongest shade, as a share of the accent: the text stays readable on it.
const STRONGEST: f32 = 0.5;

fn shade(accent: Color32, kl: f64) -> Color32 {
    accent.gamma_multiply(STRONGEST * (1.0 - (-kl / NATS).exp()) as f32)
}

/// The words, wrapped; what the two models say of one on hover.
pub(super) fn shaded(ui: &mut Ui, comparison: &Comparison) {
    let p = palette(ui);
    let font_id = TextStyle::Body.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (i, word) in comparison.words.iter().enumerate() {
        let text = if i == 0 { word.text.trim_start() } else { &word.text };
        // The space before a word keeps its ground.
        let letters = text.trim_start();
        let plain = TextFormat { font_id: font_id.clone(), color: p.text, ..TextFormat::default() };
        job.append(&text[..text.len() - letters.len()], 0.0, plain.clone());
        job.append(letters, 0.0, TextFormat { background: shade(p.accent, word.kl), ..plain });
    }
    let (at, galley, response) = Label::new(job).wrap().selectable(true).sense(Sense::hover()).layout_in_ui(ui);
    ui.painter().galley(at, galley.clone(), p.text);
    let Some(pointer) = response.hover_pos().filter(|_| response.hovered()) else { return };
    let mut left = galley.cursor_from_pos(pointer - at).index.0;
    let found = comparison.words.iter().enumerate().find(|(i, word)| {
        let text = if *i == 0 { word.text.trim_start() } else { &word.text };
        let chars = text.chars().count();
        let inside = left < chars;
        left = left.saturating_sub(chars);
        inside
    });
    if let Some((_, word)) = found {
        Tooltip::for_widget(&response).at_pointer().show(|ui| word_ui(ui, word));
    }
}

fn word_ui(ui: &mut Ui, word: &Word) {
    ui.label(strong(word.text.trim()));
    ui.label(format!("{} likely for the adapted model", percent(word.adapted)));
    ui.label(format!("{} likely for the base model", percent(word.base)));
    let tokens = if word.tokens == 1 { "1 token".to_string() } else { format!("{} tokens", word.tokens) };
    ui.label(RichText::new(format!("KL divergence {:.3} nats over {tokens}", word.kl)).weak().small());
    if word.differs {
        ui.label(RichText::new("The base model's likeliest token was another one here.").weak().small());
    }
}

/// `43 %`, `0.02 %`, `less than 0.0001 %`.
fn percent(share: f64) -> String {
    match 100.0 * share {
        p if p >= 99.95 => format!("{p:.0} %"),
        p if p >= 1.0 => format!("{p:.1} %"),
        p if p >= 0.00005 => format!("{} %", format!("{p:.4}").trim_end_matches('0')),
        _ => "less than 0.0001 %".into(),
    }
}

/// What the shades mean.
pub(super) fn legend(ui: &mut Ui) {
    let p = palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(136.0, 34.0), Sense::hover());
    let bar = Rect::from_min_size(rect.min + vec2(0.0, 6.0), vec2(rect.width(), 9.0));
    ui.painter().rect_filled(bar, CornerRadius::same(2), p.card);
    let mut mesh = Mesh::default();
    let steps = 24u32;
    for i in 0..=steps {
        let share = i as f32 / steps as f32;
        let color = shade(p.accent, 3.0 * NATS * f64::from(share));
        let x = bar.left() + bar.width() * share;
        mesh.colored_vertex(pos2(x, bar.top()), color);
        mesh.colored_vertex(pos2(x, bar.bottom()), color);
        if i > 0 {
            let v = 2 * i;
            mesh.add_triangle(v - 2, v - 1, v);
            mesh.add_triangle(v - 1, v, v + 1);
        }
    }
    ui.painter().add(mesh);
    let words = Rect::from_min_max(pos2(rect.left(), bar.bottom() + 2.0), rect.max);
    paint_text(ui, words, Align2::LEFT_CENTER, RichText::new("agree").small(), p.weak);
    paint_text(ui, words, Align2::RIGHT_CENTER, RichText::new("differ, per word").small(), p.weak);
    response
        .on_hover_text("The adapted answer's words are shaded by their KL divergence; point at one for its numbers.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_read_well_at_any_size() {
        let texts = [1.0, 0.9999, 0.432, 0.0123, 0.00023, 1e-6, 1e-9].map(percent);
        let want = ["100 %", "100 %", "43.2 %", "1.2 %", "0.023 %", "0.0001 %", "less than 0.0001 %"];
        assert_eq!(texts, want);
    }

    #[test]
    fn more_divergence_is_more_shade_and_none_is_none() {
        let shades = [0.0, 0.1, 1.0, 10.0].map(|kl| shade(Color32::from_rgb(10, 90, 200), kl).a());
        assert_eq!(shades[0], 0);
        assert!(shades.is_sorted() && shades[1] > 0 && shades[3] > shades[2], "{shades:?}");
    }
}
