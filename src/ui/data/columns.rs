//! Which column is which, and who is meant by which word: said by hand where it is not found out, or found out wrong.

use std::collections::BTreeMap;

use eframe::egui::{self, ComboBox, Frame, Grid, Label, RichText, TextEdit, Ui};

use super::row_label;
use crate::app::Studio;
use crate::app::data::{FirstRows, SeenColumn};
use crate::engine::config::{DataConfig, DataFormat};
use crate::engine::data::{FieldOfFormat, Reading};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::badge;

/// Roles that a word can stand for, and what they are called.
const ROLES: [(&str, &str); 4] =
    [("system", "the system"), ("user", "the user"), ("assistant", "the model"), ("tool", "a tool")];
/// Keys under which messages usually say who speaks.
const ROLE_KEYS: [&str; 4] = ["role", "from", "speaker", "author"];
/// Columns that are named in the summary.
const NAMED: usize = 6;

/// What the section remembers.
#[derive(Default)]
pub struct View {
    /// The file that all this is about.
    of: String,
    /// Whether nothing can be read without it.
    needed: bool,
    /// Opened or closed by hand.
    open: Option<bool>,
    /// Columns that are chosen while a required one is still missing: rows are not read with half of them.
    pending: Option<Pending>,
    /// A word for a speaker that is being typed.
    word: String,
    role: usize,
}

struct Pending {
    format: DataFormat,
    columns: BTreeMap<String, String>,
}

impl View {
    /// The section, under the format.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, settings: &mut DataConfig) {
        let Some(first) = &studio.data.first_rows else { return };
        let survey = studio.data.survey.as_ref().filter(|survey| !survey.train.is_empty());
        let reading = studio.data.survey.as_ref().map(|survey| &survey.train.summary.reading);
        let format = shown_format(settings, reading, first);
        let plain_text = format == DataFormat::Text && first.columns.len() == 1 && settings.columns.is_empty();
        if first.columns.is_empty() || (plain_text && survey.is_some()) {
            return;
        }
        if self.of != settings.train {
            *self = View { of: settings.train.clone(), ..View::default() };
        }
        // It stays as it is while the rows are read once more.
        if !studio.data.busy() {
            self.needed = survey.is_none();
        }
        let open = self.open.unwrap_or(self.needed);
        ui.horizontal(|ui| {
            row_label(ui, "Columns").on_hover_text("Which column of the file is read as what.");
            let text = if open { "Done" } else { "Change columns…" };
            let response = ui.button(text);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Change columns"));
            if response.clicked() {
                self.open = Some(!open);
            }
            let said = match reading {
                Some(reading)
                    if survey.is_some() || missing(format, first, Some(reading), &settings.columns).is_none() =>
                {
                    summary(reading, first)
                }
                _ if studio.data.busy() => String::new(),
                _ => "Say which column is which.".to_string(),
            };
            ui.add(Label::new(RichText::new(said).weak()).truncate());
        });
        if !open {
            return;
        }
        let mut columns = match &self.pending {
            Some(pending) if pending.format == format => pending.columns.clone(),
            _ => settings.columns.clone(),
        };
        let before = columns.clone();
        Frame::new().fill(palette(ui).ground).corner_radius(theme::RADIUS).inner_margin(12).show(ui, |ui| {
            ui.set_width(ui.available_width());
            Grid::new("columns").num_columns(3).spacing([16.0, 6.0]).show(ui, |ui| {
                for field in format.fields().iter().filter(|f| !f.in_messages || !first.keys.is_empty()) {
                    field_ui(ui, field, first, reading.filter(|r| r.format == format), &mut columns);
                }
            });
            if let Some(missing) = missing(format, first, reading, &columns) {
                ui.add_space(4.0);
                let text = format!("Choose a column for {missing}; then the rows are read again.");
                ui.label(RichText::new(text).color(palette(ui).warning));
            }
            if format.fields().iter().any(|field| field.name == "role") && !first.keys.is_empty() {
                ui.add_space(theme::GAP);
                self.roles(ui, first, reading, &columns, &mut settings.roles);
            }
        });
        if columns == before {
            return;
        }
        if missing(format, first, reading, &columns).is_some() {
            self.pending = Some(Pending { format, columns });
            return;
        }
        self.pending = None;
        // It stays open: the next column is often wrong, too.
        self.open = Some(true);
        settings.columns = columns;
        if reading.is_none() {
            settings.format = format;
        }
    }

    /// The file's words for speakers.
    fn roles(
        &mut self,
        ui: &mut Ui,
        first: &FirstRows,
        reading: Option<&Reading>,
        columns: &BTreeMap<String, String>,
        roles: &mut BTreeMap<String, String>,
    ) {
        let key = columns.get("role").map(String::as_str).or_else(|| {
            let found = reading.map(|reading| reading.column("role"));
            found.into_iter().chain(ROLE_KEYS).find(|name| seen(&first.keys, name).is_some())
        });
        let unknown = key.and_then(|key| seen(&first.keys, key)).map_or(&[][..], |key| &key.unknown_roles);
        let mut words: Vec<String> = unknown.to_vec();
        words.extend(roles.keys().filter(|word| !unknown.contains(word)).cloned());
        ui.label(RichText::new("Who speaks").strong())
            .on_hover_text("Words of the file for speakers that are not known by themselves.");
        Grid::new("roles").num_columns(2).spacing([16.0, 6.0]).show(ui, |ui| {
            for word in words {
                let label = ui.label(format!("\"{word}\" is"));
                let now = roles.get(&word).cloned();
                let text = now.as_deref().map_or("not known: choose", role_name);
                let combo =
                    ComboBox::from_id_salt(("role", &word)).selected_text(text).width(160.0).show_ui(ui, |ui| {
                        if now.is_some() && ui.selectable_label(false, "as found").clicked() {
                            roles.remove(&word);
                        }
                        for (role, name) in ROLES {
                            if ui.selectable_label(now.as_deref() == Some(role), name).clicked() {
                                roles.insert(word.clone(), role.to_string());
                            }
                        }
                    });
                combo.response.labelled_by(label.id);
                ui.end_row();
            }
        });
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.word).hint_text("another word").desired_width(130.0);
            let response = ui.add(edit);
            let typed = self.word.clone();
            response.widget_info(|| {
                let mut info = egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Another word for a speaker");
                info.current_text_value = Some(typed.clone());
                info
            });
            let label = ui.label("is");
            let (role, name) = ROLES[self.role.min(ROLES.len() - 1)];
            let combo = ComboBox::from_id_salt("new-role").selected_text(name).width(110.0).show_ui(ui, |ui| {
                for (at, (_, name)) in ROLES.iter().enumerate() {
                    ui.selectable_value(&mut self.role, at, *name);
                }
            });
            combo.response.labelled_by(label.id);
            let word = self.word.trim();
            if ui.add_enabled(!word.is_empty(), egui::Button::new("Add the word")).clicked() {
                roles.insert(word.to_string(), role.to_string());
                self.word.clear();
            }
        });
    }
}

/// The format whose fields are offered: where nothing was recognised, the one that most such files have.
fn shown_format(settings: &DataConfig, reading: Option<&Reading>, first: &FirstRows) -> DataFormat {
    match (settings.format, reading.map(|reading| reading.format)) {
        (DataFormat::Auto, Some(found)) if found != DataFormat::Auto => found,
        (DataFormat::Auto, _) if !first.keys.is_empty() => DataFormat::Messages,
        (DataFormat::Auto, _) if first.columns.len() == 1 => DataFormat::Text,
        (DataFormat::Auto, _) => DataFormat::QuestionAnswer,
        (chosen, _) => chosen,
    }
}

fn seen<'c>(columns: &'c [SeenColumn], name: &str) -> Option<&'c SeenColumn> {
    columns.iter().find(|column| column.name == name)
}

/// Columns and keys that a field is chosen from.
fn choices<'f>(field: &FieldOfFormat, first: &'f FirstRows) -> &'f [SeenColumn] {
    if field.in_messages { &first.keys } else { &first.columns }
}

/// The column in which a field stands.
fn column_of<'a>(
    field: &FieldOfFormat,
    first: &'a FirstRows,
    reading: Option<&Reading>,
    columns: &BTreeMap<String, String>,
) -> Option<&'a SeenColumn> {
    let found = reading.map_or(field.column, |reading| reading.column(field.name));
    let name = columns.get(field.name).map_or(found, String::as_str);
    seen(choices(field, first), name)
}

/// The first required field that no column is chosen for.
fn missing(
    format: DataFormat,
    first: &FirstRows,
    reading: Option<&Reading>,
    columns: &BTreeMap<String, String>,
) -> Option<&'static str> {
    let reading = reading.filter(|reading| reading.format == format);
    let required = format.fields().iter().filter(|field| field.required && !field.in_messages);
    required.into_iter().find(|field| column_of(field, first, reading, columns).is_none()).map(|field| field.name)
}

fn field_ui(
    ui: &mut Ui,
    field: &FieldOfFormat,
    first: &FirstRows,
    reading: Option<&Reading>,
    columns: &mut BTreeMap<String, String>,
) {
    let label = ui
        .horizontal(|ui| {
            let label = ui.label(field.name).on_hover_text(field.help);
            if field.required {
                let color = palette(ui).weak;
                badge(ui, "needed", color).on_hover_text("A row cannot be read without it.");
            }
            label
        })
        .inner;
    let shown = column_of(field, first, reading, columns);
    let by_hand = columns.get(field.name).cloned();
    let text = match (&by_hand, shown) {
        (Some(name), _) => name.clone(),
        (None, Some(column)) => format!("{} (as found)", column.name),
        (None, None) if field.required => "choose a column".to_string(),
        (None, None) => "none".to_string(),
    };
    let combo =
        ComboBox::from_id_salt(("column", field.name)).selected_text(text).width(200.0).truncate().show_ui(ui, |ui| {
            if ui.selectable_label(by_hand.is_none(), "As found").clicked() {
                columns.remove(field.name);
            }
            for column in choices(field, first) {
                let response = ui.selectable_label(by_hand.as_ref() == Some(&column.name), &column.name);
                if response.clicked() {
                    columns.insert(field.name.to_string(), column.name.clone());
                }
                if !column.example.is_empty() {
                    response.on_hover_text(&column.example);
                }
            }
        });
    combo.response.labelled_by(label.id).on_hover_text(field.help);
    let example = shown.map_or("", |column| column.example.as_str());
    ui.add(Label::new(RichText::new(example).weak()).truncate());
    ui.end_row();
}

/// Where each field was found, and what is not read.
fn summary(reading: &Reading, first: &FirstRows) -> String {
    let fields = reading.format.fields().iter().filter(|field| !field.in_messages);
    let found = fields.filter_map(|field| {
        let column = column_of(field, first, Some(reading), &BTreeMap::new())?;
        Some(match column.name == field.name {
            true => field.name.to_string(),
            false => format!("{} from \"{}\"", field.name, column.name),
        })
    });
    let mut text = found.collect::<Vec<_>>().join(", ");
    if !reading.unused.is_empty() {
        let names: Vec<String> = reading.unused.iter().take(NAMED).map(|name| format!("\"{name}\"")).collect();
        let more = if reading.unused.len() > NAMED { ", …" } else { "" };
        text.push_str(&format!("; not read: {}{more}", names.join(", ")));
    }
    text
}

fn role_name(role: &str) -> &str {
    ROLES.iter().find(|(known, _)| *known == role).map_or(role, |(_, name)| name)
}
