//! What was found in the rows: each with a row to look at and, where there is one, a way out.

use eframe::egui::{Align, Button, Label, Layout, RichText, Ui, vec2};

use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataInfo, Found, Pick};
use crate::app::notices;
use crate::app::{Command, Studio};
use crate::engine::data::{Fix, Severity, Topic};
use crate::ui::theme::palette;
use crate::ui::widgets::{line_icon, message, severity_look, strong};
use crate::units::grouped;

/// Findings that are shown until all are asked for.
const FIRST: usize = 5;

/// Width of the way to a row.
const LINK: f32 = 76.0;

/// What the list remembers.
#[derive(Default)]
pub struct View {
    all: bool,
}

impl View {
    /// The list, or that there is nothing in it.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, info: &DataInfo, commands: &mut Commands) {
        // Rows that cannot be read are listed above, beside the file.
        let all: Vec<&Found> = info.findings.iter().filter(|found| found.topic != Topic::Unreadable).collect();
        if all.is_empty() {
            message(ui, notices::Severity::Success, &nothing(info));
            return;
        }
        ui.horizontal(|ui| {
            ui.label(strong("What was found"));
            if info.verified > 0 {
                let text = format!("the masks of {} were checked a second time", rows(info.verified));
                ui.label(RichText::new(text).weak().small());
            }
        });
        let mut offered = Vec::new();
        let shown = if self.all { all.len() } else { FIRST.min(all.len()) };
        for found in &all[..shown] {
            finding(ui, studio, found, &mut offered, commands);
        }
        if all.len() > FIRST {
            let text = match self.all {
                true => "Show fewer".to_string(),
                false => format!("Show all {} findings", all.len()),
            };
            if ui.link(text).clicked() {
                self.all = !self.all;
            }
        }
    }
}

fn rows(count: usize) -> String {
    if count == 1 { "1 row".to_string() } else { format!("{} rows", grouped(count as u64)) }
}

fn nothing(info: &DataInfo) -> String {
    let verified = match info.verified {
        0 => String::new(),
        1 => "; the mask of 1 of them was checked a second time".to_string(),
        n => format!("; the masks of {} of them were checked a second time", grouped(n as u64)),
    };
    let source = &info.report.source;
    let looked_at = match source.wrong_rows {
        0 => rows(source.rows),
        _ if source.rows == 1 => "the 1 row that can be read".to_string(),
        _ => format!("the {} that can be read", rows(source.rows)),
    };
    format!("Nothing odd was found in {looked_at}{verified}.")
}

/// One line. `offered` are the ways out that have a button already.
fn finding(ui: &mut Ui, studio: &Studio, found: &Found, offered: &mut Vec<Fix>, commands: &mut Commands) {
    let severity = match found.severity {
        Severity::Note => notices::Severity::Info,
        Severity::Warning => notices::Severity::Warning,
        Severity::Error => notices::Severity::Error,
    };
    let (icon, color) = severity_look(ui, severity);
    let run = &studio.shared.run;
    let most = studio.model.info.as_ref().map_or(usize::MAX, |model| model.config.max_positions);
    ui.horizontal_top(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            if let Some(fix) = found.fix(&run.data, most).filter(|fix| !offered.contains(fix)) {
                offered.push(fix);
                if ui.button(fix.label()).clicked() {
                    let mut run = run.clone();
                    fix.apply(&mut run.data);
                    commands.send(Command::Edit(Box::new(run)));
                }
            }
            if let Some(example) = &found.example {
                let text = format!("row {}", grouped(example.row as u64 + 1));
                let link = Button::new(RichText::new(text).color(palette(ui).accent)).frame(false);
                // As high as a button, and all of one width.
                let size = vec2(LINK, ui.spacing().interact_size.y);
                let others = if found.rows > 1 { " The arrows beside it lead through all of them." } else { "" };
                let help = format!("Shows it below: {}.{others}", example.place);
                if ui.add_sized(size, link).on_hover_text(help).clicked() {
                    commands.send(Command::Data(match found.mark {
                        Some(mark) => DataCommand::GoThrough(Pick::Of(mark), example.row),
                        None => DataCommand::Look(example.row),
                    }));
                }
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                // The first line stands as high as the words of the buttons.
                ui.add_space(4.0);
                ui.horizontal_top(|ui| {
                    line_icon(ui, icon, color);
                    ui.add(Label::new(&found.sentence).wrap().selectable(true));
                });
            });
        });
    });
}
