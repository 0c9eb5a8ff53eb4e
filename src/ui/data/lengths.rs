//! How long the rows are, and where they are cut.

use eframe::egui::{self, Align2, Rect, RichText, Sense, Stroke, Ui, pos2, vec2};

use super::percent;
use crate::app::Studio;
use crate::app::data::{DataInfo, Histogram, nice};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{card, paint_text};
use crate::units::grouped;

/// Height of the bars.
const HEIGHT: f32 = 176.0;

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio) {
    card(ui, "Lengths of rows", |ui| {
        let Some(info) = &studio.data.info else {
            let text = if studio.data.busy() { "Being counted." } else { "Known when there are rows to train on." };
            ui.label(RichText::new(text).weak());
            return;
        };
        // The cut line follows the control at once, also while many rows are being counted on a thread.
        let limit = studio.shared.run.data.max_seq_len;
        bars(ui, &info.histogram, limit);
        ui.add_space(4.0);
        ui.label(RichText::new(words(info, limit)).weak().small());
    });
}

fn words(info: &DataInfo, limit: usize) -> String {
    let histogram = &info.histogram;
    let beyond = histogram.longer_than(limit);
    let share = beyond as f64 / histogram.rows().max(1) as f64;
    let tokens = |n: usize| grouped(n as u64);
    let half = tokens(histogram.quantile(0.5));
    let most = tokens(histogram.quantile(0.95));
    let cut = match beyond {
        0 => format!("No row is longer than {} tokens.", tokens(limit)),
        1 => format!("1 row ({}) is longer than {} tokens.", percent(share), tokens(limit)),
        n => format!("{} rows ({}) are longer than {} tokens.", tokens(n), percent(share), tokens(limit)),
    };
    format!("{cut} Half have at most {half}, 95% at most {most}.")
}

fn bars(ui: &mut Ui, histogram: &Histogram, limit: usize) {
    let p = palette(ui);
    let color = theme::series(ui)[0];
    let (whole, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT + 18.0), Sense::hover());
    let plot = Rect::from_min_max(whole.min, pos2(whole.right(), whole.top() + HEIGHT));
    let rows_end = histogram.bars.len() * histogram.width;
    // Room for the cut line beside the bars, as long as that does not press them together.
    let end = if limit < 2 * rows_end { rows_end.max(limit + limit / 12) } else { rows_end }.max(1);
    let x = |tokens: f32| plot.left() + plot.width() * (tokens / end as f32).min(1.0);
    let most = histogram.bars.iter().copied().max().unwrap_or(0).max(1) as f32;
    let top = plot.top() + 16.0;
    for (i, count) in histogram.bars.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (i * histogram.width, (i + 1) * histogram.width);
        // The smallest bar is still to be seen.
        let height = ((plot.bottom() - top) * *count as f32 / most).max(2.0);
        let bar = Rect::from_min_max(pos2(x(from as f32), plot.bottom() - height), pos2(x(to as f32), plot.bottom()));
        let fill = if from >= limit { p.bad.gamma_multiply(0.75) } else { color };
        ui.painter().rect_filled(bar.shrink2(vec2((bar.width() * 0.08).min(1.0), 0.0)), 1, fill);
    }
    ui.painter().hline(plot.x_range(), plot.bottom(), Stroke::new(1.0, p.line));
    if limit <= end {
        let at = x(limit as f32);
        ui.painter().vline(at, plot.y_range(), Stroke::new(1.5, p.bad));
        let left = at > plot.center().x;
        let text = RichText::new(format!("cut at {}", grouped(limit as u64))).small();
        let (rect, align) = if left {
            (Rect::from_min_max(plot.min, pos2(at - 5.0, plot.top() + 14.0)), Align2::RIGHT_CENTER)
        } else {
            (Rect::from_min_max(pos2(at + 5.0, plot.top()), pos2(plot.right(), plot.top() + 14.0)), Align2::LEFT_CENTER)
        };
        paint_text(ui, rect, align, text, p.bad);
    }
    axis(ui, plot, end);
    let name =
        format!("Histogram of {} row lengths, {} beyond the cut", histogram.rows(), histogram.longer_than(limit));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
    let Some(at) = response.hover_pos() else { return };
    let bar = ((at.x - plot.left()) / plot.width() * end as f32) as usize / histogram.width.max(1);
    let Some(count) = histogram.bars.get(bar) else { return };
    let from = grouped((bar * histogram.width) as u64);
    let to = match histogram.open && bar + 1 == histogram.bars.len() {
        true => "more".to_string(),
        false => grouped(((bar + 1) * histogram.width - 1) as u64),
    };
    response.on_hover_text_at_pointer(format!("{from} to {to} tokens: {} rows", grouped(*count as u64)));
}

/// Lengths under the bars.
fn axis(ui: &Ui, plot: Rect, end: usize) {
    let p = palette(ui);
    let step = nice(end.div_ceil(6));
    for length in (0..=end).step_by(step) {
        let at = plot.left() + plot.width() * length as f32 / end as f32;
        let text = RichText::new(grouped(length as u64)).small();
        let (from, align) = match length {
            0 => (0.0, Align2::LEFT_CENTER),
            _ if at + 20.0 > plot.right() => (-60.0, Align2::RIGHT_CENTER),
            _ => (-30.0, Align2::CENTER_CENTER),
        };
        let rect = Rect::from_min_size(pos2(at + from, plot.bottom() + 2.0), vec2(60.0, 16.0));
        paint_text(ui, rect, align, text, p.weak);
    }
}
