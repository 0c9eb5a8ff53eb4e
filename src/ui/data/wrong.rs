//! Rows that cannot be read: which, why, and whether to go on without them. Each of them can be looked at.

use eframe::egui::{self, ScrollArea, Ui};

use crate::app::command::Commands;
use crate::app::data::{DataCommand, WrongAt, place, quoted};
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::engine::config::{DataConfig, OnBadRow};
use crate::engine::data::{Fix, Survey, Tokenized, WrongRow};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{message, strong};
use crate::units::grouped;

/// Height of a line of the list.
const LINE: f32 = 20.0;
/// Lines of the list that are seen at once.
const SEEN: f32 = 6.0;

/// The rows of both files.
pub fn ui(ui: &mut Ui, studio: &Studio, survey: &Survey, settings: &mut DataConfig, commands: &mut Commands) {
    let skipped = settings.on_bad_row == OnBadRow::Skip;
    let files = [(false, Some(&survey.train)), (true, survey.validation.as_ref())];
    let mut any = false;
    for (held_out, file) in files.into_iter().filter_map(|(held_out, file)| Some((held_out, file?))) {
        if file.summary.wrong_rows > 0 {
            any = true;
            ui.add_space(4.0);
            if let Some(at) = of_file(ui, file, held_out, skipped, studio.data.look.wrong) {
                commands.send(Command::Data(DataCommand::LookAtWrong(at)));
            }
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

/// The list; the row that was clicked.
fn of_file(ui: &mut Ui, file: &Tokenized, held_out: bool, skipped: bool, shown: Option<WrongAt>) -> Option<WrongAt> {
    let p = palette(ui);
    let which = if held_out { "the validation file" } else { "the training file" };
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
    let mut clicked = None;
    egui::Frame::new().fill(p.ground).corner_radius(theme::RADIUS).inner_margin(8).show(ui, |ui| {
        let area = ScrollArea::vertical().id_salt(which).max_height(SEEN * (LINE + 6.0)).auto_shrink([false, true]);
        area.show_rows(ui, LINE, file.summary.wrong_rows, |ui, range| {
            for at in range {
                let wrong = match file.summary.wrong.get(at) {
                    Some(wrong) => wrong.clone(),
                    None => file
                        .wrong_row(at)
                        .unwrap_or_else(|error| WrongRow { message: error.to_string(), ..WrongRow::default() }),
                };
                let here = WrongAt { held_out, at };
                ui.horizontal(|ui| {
                    ui.set_min_height(LINE);
                    let name = strong(place(&file.source, wrong.file as usize, wrong.line)).color(color);
                    let name = if shown == Some(here) { name.underline() } else { name };
                    let link = ui.add(egui::Button::new(name).frame(false));
                    if link.on_hover_text("Shows it below, as it stands in the file.").clicked() {
                        clicked = Some(here);
                    }
                    let text = quoted(&wrong.message);
                    ui.add(egui::Label::new(&text).truncate()).on_hover_text(text);
                });
            }
        });
    });
    clicked
}
