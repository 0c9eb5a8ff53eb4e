//! What was found in the rows: each with a row to look at and, where there is one, a way out.

use eframe::egui::{Align, Label, Layout, RichText, Ui};

use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataInfo, Found};
use crate::app::notices;
use crate::app::{Command, Studio};
use crate::engine::data::Severity;
use crate::ui::widgets::{glyph, message, severity_look, strong};
use crate::units::grouped;

/// Findings that are shown until all are asked for.
const FIRST: usize = 5;

/// What the list remembers.
#[derive(Default)]
pub struct View {
    all: bool,
}

impl View {
    /// The list, or that there is nothing in it.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, info: &DataInfo, commands: &mut Commands) {
        if info.findings.is_empty() {
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
        let shown = if self.all { info.findings.len() } else { FIRST.min(info.findings.len()) };
        for found in &info.findings[..shown] {
            finding(ui, studio, found, commands);
        }
        if info.findings.len() > FIRST {
            let text = match self.all {
                true => "Show fewer".to_string(),
                false => format!("Show all {} findings", info.findings.len()),
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
    format!("Nothing odd was found in {}{verified}.", rows(info.report.source.rows))
}

fn finding(ui: &mut Ui, studio: &Studio, found: &Found, commands: &mut Commands) {
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
            if let Some(fix) = found.fix(&run.data, most)
                && ui.button(fix.label()).clicked()
            {
                let mut run = run.clone();
                fix.apply(&mut run.data);
                commands.send(Command::Edit(Box::new(run)));
            }
            if let Some(example) = &found.example {
                let text = format!("row {}", grouped(example.row as u64 + 1));
                if ui.link(text).on_hover_text(format!("Shows it below; {}.", example.place)).clicked() {
                    commands.send(Command::Data(DataCommand::Look(example.row)));
                }
            }
            ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
                ui.label(glyph(icon).color(color).size(16.0));
                ui.add(Label::new(&found.sentence).wrap().selectable(true));
            });
        });
    });
}
