//! Going through the rows, or through those of one kind.

use eframe::egui::{ComboBox, DragValue, RichText, Ui};
use egui_material_icons::icons;

use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataInfo, Pick, place};
use crate::app::{Command, Studio};
use crate::engine::data::Survey;
use crate::ui::widgets::icon_button;
use crate::units::grouped;

/// What is gone through.
#[derive(Default)]
pub struct View {
    pick: Pick,
}

impl View {
    /// The rows that are gone through; none for all.
    fn rows<'i>(&self, studio: &'i Studio) -> Option<&'i [u32]> {
        studio.data.info.as_ref()?.picks.rows(self.pick)
    }

    /// Back, the number of the row, and on.
    pub fn walk(&self, ui: &mut Ui, studio: &Studio, survey: &Survey, commands: &mut Commands) {
        let (rows, row) = (survey.train.len(), studio.data.look.row);
        let picked = self.rows(studio);
        let (before, after) = match picked {
            None => (row.checked_sub(1), Some(row + 1).filter(|next| *next < rows)),
            Some(picked) => {
                let at = picked.partition_point(|other| (*other as usize) < row);
                let behind = picked.partition_point(|other| (*other as usize) <= row);
                let row = |at: usize| picked.get(at).map(|row| *row as usize);
                (at.checked_sub(1).and_then(row), row(behind))
            }
        };
        let mut wanted = None;
        ui.add_enabled_ui(before.is_some(), |ui| {
            if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Previous row").clicked() {
                wanted = before;
            }
        });
        let label = ui.label("Row");
        let mut number = row + 1;
        let drag = DragValue::new(&mut number).range(1..=rows.max(1)).speed(0.2).update_while_editing(false);
        if ui.add(drag).labelled_by(label.id).on_hover_text("Type a number to jump to a row.").changed() {
            wanted = Some(number - 1);
        }
        let first = if studio.data.reading().is_some() { "of the first" } else { "of" };
        ui.label(RichText::new(format!("{first} {}", grouped(rows as u64))).weak());
        ui.add_enabled_ui(after.is_some(), |ui| {
            if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next row").clicked() {
                wanted = after;
            }
        });
        if let Ok(record) = survey.train.record(row) {
            let place = place(&survey.train.source, record.file as usize, record.line as usize);
            ui.label(RichText::new(place).weak().small());
        }
        if let Some(row) = wanted {
            commands.send(Command::Data(DataCommand::Look(row)));
        }
    }

    /// Which rows, how many they are, and which of them is shown.
    pub fn choice(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
        let Some(info) = &studio.data.info else { return };
        let label = ui.label(RichText::new("Go through").weak());
        let before = self.pick;
        let text = self.pick.label();
        let combo = ComboBox::from_id_salt("pick").selected_text(text).width(170.0).height(260.0).show_ui(ui, |ui| {
            for pick in Pick::ALL {
                let text = match info.picks.rows(pick) {
                    None => pick.label().to_string(),
                    Some(rows) => format!("{} ({})", pick.label(), grouped(rows.len() as u64)),
                };
                ui.selectable_value(&mut self.pick, pick, text).on_hover_text(pick.help());
            }
        });
        combo.response.labelled_by(label.id).on_hover_text(self.pick.help());
        let row = studio.data.look.row as u32;
        if let Some(rows) = info.picks.rows(self.pick) {
            if self.pick != before
                && let Some(first) = rows.iter().find(|other| **other >= row).or(rows.first())
            {
                commands.send(Command::Data(DataCommand::Look(*first as usize)));
            }
            ui.label(RichText::new(position(rows, row)).weak());
        }
    }

    /// Why the row that is shown is not trained on.
    pub fn why_left_out(&self, info: Option<&DataInfo>, survey: &Survey, row: usize) -> Option<String> {
        let info = info?;
        info.picks.why_left_out(survey, &info.settings, row)
    }
}

/// `3 of 12`.
fn position(rows: &[u32], row: u32) -> String {
    let all = grouped(rows.len() as u64);
    match (rows.len(), rows.binary_search(&row)) {
        (0, _) => "there is none".to_string(),
        (_, Ok(at)) => format!("{} of {all}", grouped(at as u64 + 1)),
        (1, Err(_)) => "1 row".to_string(),
        (_, Err(_)) => format!("{all} rows"),
    }
}
