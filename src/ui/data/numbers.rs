//! What a run would train on, in numbers, and what was found in it.

use eframe::egui::{Ui, vec2};

use super::{findings, percent};
use crate::app::Studio;
use crate::app::command::Commands;
use crate::app::data::DataInfo;
use crate::ui::widgets::{card, figure};
use crate::units::grouped;

/// Figures in a line.
const COLUMNS: f32 = 5.0;

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, info: &DataInfo, findings: &mut findings::View, commands: &mut Commands) {
    card(ui, "", |ui| {
        let train = &info.report.train;
        let source = &info.report.source;
        let longest = info.histogram.quantile(1.0).max(source.longest);
        let steps = info.steps_per_epoch(&studio.shared.run.train);
        let sequences = info.sequences();
        let n = |n: usize| grouped(n as u64);
        let how = if info.settings.packing { "packed, in an epoch" } else { "one a row" };
        let cut_off = format!("{} tokens are cut off.", grouped(source.tokens_cut));
        let count_in = format!("{} tokens count in the loss; the others are read only.", grouped(train.trained_tokens));
        line(
            ui,
            &[
                (n(train.samples), "rows", "trained on", "Rows of the file without those left out and held out."),
                (grouped(train.tokens), "tokens", "in an epoch", "Tokens that pass through the model in an epoch."),
                (percent(info.trained_share()), "of the tokens", "are trained", &count_in),
                (n(sequences), "sequences", how, "What is computed in an epoch."),
                (n(steps), "steps", "in an epoch", "Sequences, by batch size and gradient accumulation."),
            ],
        );
        ui.add_space(6.0);
        line(
            ui,
            &[
                (n(longest), "tokens", "longest row", "Before it is cut."),
                (n(source.truncated), "rows", "are cut", &cut_off),
                (n(info.dropped()), "rows", "are left out", "Rows that are not trained on; each says why."),
                (n(info.duplicates), "rows", "are duplicates", "Rows that say the same as an earlier one."),
            ],
        );
        ui.add_space(4.0);
        ui.separator();
        findings.ui(ui, studio, info, commands);
    });
}

/// Figures side by side, each as wide as the next: value, unit, name, help.
fn line(ui: &mut Ui, figures: &[(String, &str, &str, &str)]) {
    let width = (ui.available_width() - (COLUMNS - 1.0) * ui.spacing().item_spacing.x) / COLUMNS;
    ui.horizontal(|ui| {
        for (value, unit, name, help) in figures {
            ui.allocate_ui(vec2(width, 40.0), |ui| {
                ui.set_min_width(width);
                let unit = if value == "1" { unit.strip_suffix('s').unwrap_or(unit) } else { unit };
                let one = || name.replace("are duplicates", "is a duplicate").replace("are ", "is ");
                let name = if value == "1" { one() } else { name.to_string() };
                figure(ui, value, unit, &name).on_hover_text(*help);
            });
        }
    });
}
