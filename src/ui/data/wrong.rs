//! Rows that cannot be read: which, why, and whether to go on without them.

use eframe::egui::{self, RichText, ScrollArea, Ui};

use crate::app::data::{place, quoted};
use crate::app::notices::Severity;
use crate::engine::config::{DataConfig, OnBadRow};
use crate::engine::data::{Fix, Survey, Tokenized};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{message, strong};
use crate::units::grouped;

/// Height of a line of the list.
const LINE: f32 = 20.0;
/// Lines of the list that are seen at once.
const SEEN: f32 = 6.0;

/// The rows of both files.
pub fn ui(ui: &mut Ui, survey: &Survey, settings: &mut DataConfig) {
    let skipped = settings.on_bad_row == OnBadRow::Skip;
    let files = [(Some(&survey.train), "the training file"), (survey.validation.as_ref(), "the validation file")];
    let mut any = false;
    for (file, which) in files.into_iter().filter_map(|(file, which)| Some((file?, which))) {
        if file.summary.wrong_rows > 0 {
            any = true;
            ui.add_space(4.0);
            of_file(ui, file, which, skipped);
        }
    }
    if !any {
        return;
    }
    if skipped {
        let help = "The run is refused until every row can be read.";
        if ui.button("Do not leave them out").on_hover_text(help).clicked() {
            settings.on_bad_row = OnBadRow::Stop;
        }
    } else {
        let help = "The run goes on without the rows that cannot be read; they are counted in its record.";
        if ui.button(Fix::SkipBadRows.label()).on_hover_text(help).clicked() {
            Fix::SkipBadRows.apply(settings);
        }
    }
}

fn of_file(ui: &mut Ui, file: &Tokenized, which: &str, skipped: bool) {
    let p = palette(ui);
    let rows = match file.summary.wrong_rows {
        1 => "1 row".to_string(),
        n => format!("{} rows", grouped(n as u64)),
    };
    let (severity, color, rest) = match skipped {
        true if file.summary.wrong_rows == 1 => (Severity::Warning, p.warning, "and is left out."),
        true => (Severity::Warning, p.warning, "and are left out."),
        false => (Severity::Error, p.bad, "Correct them and read again, choose other columns, or leave them out."),
    };
    let stop = if skipped { "" } else { "." };
    message(ui, severity, &format!("{rows} of {which} cannot be read{stop} {rest}"));
    let problems = &file.summary.problems;
    egui::Frame::new().fill(p.ground).corner_radius(theme::RADIUS).inner_margin(8).show(ui, |ui| {
        let area = ScrollArea::vertical().id_salt(which).max_height(SEEN * (LINE + 6.0)).auto_shrink([false, true]);
        area.show_rows(ui, LINE, problems.len(), |ui, range| {
            for problem in &problems[range] {
                ui.horizontal(|ui| {
                    ui.set_min_height(LINE);
                    ui.label(strong(place(&file.source, problem.file, problem.line)).color(color));
                    let text = quoted(&problem.message);
                    ui.add(egui::Label::new(&text).truncate()).on_hover_text(text);
                });
            }
        });
    });
    if problems.len() < file.summary.wrong_rows {
        ui.label(RichText::new(format!("the first {} of them are listed", problems.len())).weak().small());
    }
}
