//! Going through the rows, or through those of one kind.

use eframe::egui::{ComboBox, DragValue, RichText, Ui};
use egui_material_icons::icons;

use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataInfo, Pick, RowSet, WrongAt, place, wrong_rows};
use crate::app::{Command, Studio};
use crate::engine::data::Survey;
use crate::ui::widgets::icon_button;
use crate::units::grouped;

/// The rows that are gone through; none for all.
fn picked(studio: &Studio) -> Option<&RowSet> {
    studio.data.info.as_ref()?.picks.rows(studio.data.pick)
}

/// Back, the number of the row, and on.
pub fn walk(ui: &mut Ui, studio: &Studio, survey: &Survey, commands: &mut Commands) {
    if let Some(at) = studio.data.look.wrong {
        return walk_wrong(ui, studio, survey, at, commands);
    }
    let (rows, row) = (survey.train.len(), studio.data.look.row);
    let (before, after) = match picked(studio) {
        None => (row.checked_sub(1), Some(row + 1).filter(|next| *next < rows)),
        Some(picked) => (picked.last_before(row), picked.from(row + 1)),
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

/// The same through the rows that cannot be read, and the way back to the others.
fn walk_wrong(ui: &mut Ui, studio: &Studio, survey: &Survey, wrong: WrongAt, commands: &mut Commands) {
    let rows = wrong_rows(survey, wrong.held_out);
    let (before, after) = (wrong.at.checked_sub(1), Some(wrong.at + 1).filter(|next| *next < rows));
    let mut wanted = None;
    ui.add_enabled_ui(before.is_some(), |ui| {
        if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Previous row").clicked() {
            wanted = before;
        }
    });
    let label = ui.label("Row that cannot be read");
    let mut number = wrong.at + 1;
    let drag = DragValue::new(&mut number).range(1..=rows.max(1)).speed(0.2).update_while_editing(false);
    if ui.add(drag).labelled_by(label.id).on_hover_text("Type a number to jump to a row.").changed() {
        wanted = Some(number - 1);
    }
    ui.label(RichText::new(format!("of {}", grouped(rows as u64))).weak());
    ui.add_enabled_ui(after.is_some(), |ui| {
        if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next row").clicked() {
            wanted = after;
        }
    });
    if let Some(Ok(shown)) = studio.data.look.shown.as_ref().filter(|_| !studio.data.look.waiting()) {
        let held = survey.validation.as_ref().filter(|_| wrong.held_out);
        let place = place(&held.unwrap_or(&survey.train).source, shown.row.file as usize, shown.row.line);
        ui.label(RichText::new(place).weak().small());
    }
    if let Some(at) = wanted {
        commands.send(Command::Data(DataCommand::LookAtWrong(WrongAt { at, ..wrong })));
    }
    if !survey.train.is_empty() && ui.link("Back to the others").clicked() {
        commands.send(Command::Data(DataCommand::Look(studio.data.look.row)));
    }
}

/// Which rows, how many they are, and which of them is shown.
pub fn choice(ui: &mut Ui, studio: &Studio, survey: &Survey, commands: &mut Commands) {
    let Some(info) = studio.data.info.as_ref().filter(|_| studio.data.look.wrong.is_none()) else { return };
    let label = ui.label(RichText::new("Go through").weak());
    let name = |pick: Pick| pick.label(&survey.train.summary, info.settings.max_seq_len);
    let (mut pick, row) = (studio.data.pick, studio.data.look.row);
    let combo = ComboBox::from_id_salt("pick").width(220.0).height(320.0).truncate();
    let response = combo.selected_text(name(pick)).show_ui(ui, |ui| {
        for offered in info.picks.offered() {
            let text = match info.picks.rows(offered) {
                None => name(offered),
                Some(rows) => format!("{} ({})", name(offered), grouped(rows.len() as u64)),
            };
            ui.selectable_value(&mut pick, offered, text).on_hover_text(offered.help());
        }
    });
    response.response.labelled_by(label.id).on_hover_text(pick.help());
    if pick != studio.data.pick {
        commands.send(Command::Data(DataCommand::GoThrough(pick, row)));
    }
    if let Some(rows) = info.picks.rows(pick) {
        ui.label(RichText::new(position(rows, row)).weak());
    }
}

/// Why the row that is shown is not trained on.
pub fn why_left_out(info: Option<&DataInfo>, survey: &Survey, row: usize) -> Option<String> {
    let info = info?;
    info.picks.why_left_out(survey, &info.settings, row)
}

/// `3 of 12`.
fn position(rows: &RowSet, row: usize) -> String {
    let all = grouped(rows.len() as u64);
    match (rows.len(), rows.contains(row)) {
        (0, _) => "there is none".to_string(),
        (_, true) => format!("{} of {all}", grouped(rows.before(row) as u64 + 1)),
        (1, false) => "1 row".to_string(),
        (_, false) => format!("{all} rows"),
    }
}
