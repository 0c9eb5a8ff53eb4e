//! Which rows: a path, a dialog, the built-in ones; their format; rows for validation; and what is wrong with them.

use eframe::egui::{self, Align, ComboBox, Layout, RichText, Ui};
use egui_material_icons::icons;

use super::path_field::PathField;
use super::{columns, part, row_label, validation, wrong};
use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataProblem, quoted, train_on};
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::engine::config::{DataConfig, DataFormat, RunConfig};
use crate::engine::data::tokens::Summary;
use crate::ui::action::Action;
use crate::ui::busy;
use crate::ui::widgets::{card, icon_text_button, message};
use crate::units::bytes;

/// The rows that are always there.
const BUILT_IN: &str = "builtin:pirate";

/// Formats to choose from: all that can be trained on.
const FORMATS: [DataFormat; 8] = [
    DataFormat::Auto,
    DataFormat::Messages,
    DataFormat::ShareGpt,
    DataFormat::Alpaca,
    DataFormat::PromptCompletion,
    DataFormat::QuestionAnswer,
    DataFormat::Text,
    DataFormat::Preference,
];

/// What is being typed, opened and closed.
#[derive(Default)]
pub struct View {
    train: PathField,
    columns: columns::View,
    validation: validation::View,
}

impl View {
    /// The card.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let mut run = studio.shared.run.clone();
        card(ui, "Training rows", |ui| {
            ui.horizontal(|ui| {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open a file…").clicked() {
                        actions.push(Action::OpenData);
                    }
                    let hint = "path of a data file or a folder, or owner/name of a data set on the Hugging Face Hub";
                    let width = ui.available_width();
                    if let Some(path) = self.train.ui(ui, &run.data.train, "Training rows path", hint, width) {
                        train_on(&mut run.data, path);
                    }
                });
            });
            suggestions(ui, studio, &mut run);
            part::ui(ui, studio, &mut run.data, commands);
            reading(ui, studio, commands);
            download(ui, studio, commands);
            // Rows that cannot be read are listed below.
            if let Some(problem) = studio.data.problem.as_ref().filter(|_| studio.data.wrong().is_none()) {
                show_problem(ui, studio, problem, &mut run, commands);
            }
            ui.add_space(2.0);
            let survey = studio.data.survey.as_ref();
            if survey.is_some() || studio.data.first_rows.is_some() || run.data.format != DataFormat::Auto {
                format_choice(ui, survey.map(|survey| &survey.train.summary), &mut run.data);
            }
            self.columns.ui(ui, studio, &mut run.data);
            if let Some(survey) = survey {
                wrong::ui(ui, studio, survey, &mut run.data, commands);
            }
            self.validation.ui(ui, studio, &mut run, actions);
        });
        if run != studio.shared.run {
            commands.send(Command::Edit(Box::new(run)));
        }
    }
}

/// The built-in rows and those of the last times.
fn suggestions(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new("Ready to use").weak());
        let recent = studio.shared.prefs.recent_data.iter().filter(|name| *name != BUILT_IN);
        let built_in = (BUILT_IN.to_string(), "Built-in pirate talk".to_string());
        let named = recent.take(4).map(|name| (name.clone(), short(name)));
        for (name, label) in std::iter::once(built_in).chain(named) {
            let chosen = studio.shared.run.data.train == name;
            let response = ui.add(egui::Button::selectable(chosen, &label));
            response
                .widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, format!("Use {label}")));
            if response.on_hover_text(&name).clicked() {
                train_on(&mut run.data, name);
            }
        }
        ui.label(RichText::new("or drop a file anywhere in the window").weak());
    });
}

/// The last part of a path.
fn short(path: &str) -> String {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path).to_string()
}

fn reading(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let Some((fraction, elapsed)) = studio.data.reading() else { return };
    if elapsed.as_millis() < 100 {
        ui.ctx().request_repaint_after(std::time::Duration::from_millis(100));
        return;
    }
    ui.horizontal(|ui| {
        if elapsed.as_secs() >= 2 && ui.button("Stop reading").clicked() {
            commands.send(Command::Data(DataCommand::CancelReading));
        }
        ui.vertical(|ui| busy::progress(ui, fraction, "Reading and tokenizing the rows"));
    });
}

fn download(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let download = &studio.data.download;
    if let Some((fraction, text)) = download.progress() {
        ui.horizontal(|ui| {
            if ui.button("Stop the download").clicked() {
                commands.send(Command::Data(DataCommand::CancelDownload));
            }
            ui.vertical(|ui| busy::progress(ui, fraction, &text));
        });
    } else if let (Some(id), Some(problem)) = (&download.id, &download.problem) {
        message(ui, Severity::Error, &format!("{id}: {problem}"));
    }
}

fn show_problem(ui: &mut Ui, studio: &Studio, problem: &DataProblem, run: &mut RunConfig, commands: &mut Commands) {
    let downloading = studio.data.download.progress().is_some();
    ui.add_space(4.0);
    if let Some(id) = &problem.download {
        if !downloading {
            message(ui, Severity::Info, &problem.text);
            let help = "Fetches these rows from the Hugging Face Hub into its usual cache; of a data set that has several \
                        configurations you choose one first.";
            if icon_text_button(ui, icons::ICON_DOWNLOAD, "Download it").on_hover_text(help).clicked() {
                commands.send(Command::Data(DataCommand::Download(id.clone(), problem.part.clone())));
            }
        }
        return;
    }
    message(ui, Severity::Error, &quoted(&problem.text));
    for (id, size) in &problem.choice {
        let file = id.file.as_deref().unwrap_or_default();
        if ui.button(format!("{file} ({})", bytes(*size))).clicked() {
            let rows = if problem.of_validation { &mut run.data.validation } else { &mut run.data.train };
            *rows = id.to_string();
        }
    }
}

/// How the rows are read, why, and another choice.
fn format_choice(ui: &mut Ui, file: Option<&Summary>, settings: &mut DataConfig) {
    let before = settings.format;
    ui.horizontal(|ui| {
        let label = row_label(ui, "Format");
        let found = file.filter(|_| settings.format == DataFormat::Auto).map(|file| file.reading.format);
        let text = format_name(found.unwrap_or(settings.format));
        let combo = ComboBox::from_id_salt("format").selected_text(text).width(190.0).height(320.0).show_ui(ui, |ui| {
            for format in FORMATS {
                ui.selectable_value(&mut settings.format, format, format_name(format));
            }
        });
        combo.response.labelled_by(label.id).on_hover_text("How a row becomes a conversation or a document.");
        let why = match file {
            Some(file) if settings.format == DataFormat::Auto && !file.reading.reason.is_empty() => {
                format!("detected: {}", quoted(&file.reading.reason))
            }
            _ if settings.format == DataFormat::Auto => String::new(),
            _ => "chosen by you".to_string(),
        };
        ui.add(egui::Label::new(RichText::new(why).weak()).truncate());
    });
    if settings.format != before && settings.format != DataFormat::Auto {
        // Fields that the other format does not have.
        let fields = settings.format.fields();
        settings.columns.retain(|name, _| fields.iter().any(|field| field.name == name));
    }
}

/// A format in words.
fn format_name(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Auto => "Find out from the rows",
        DataFormat::Messages => "Messages with roles",
        DataFormat::ShareGpt => "ShareGPT conversations",
        DataFormat::Alpaca => "Alpaca instructions",
        DataFormat::PromptCompletion => "Prompt and completion",
        DataFormat::QuestionAnswer => "Question and answer",
        DataFormat::Text => "Plain text",
        DataFormat::Preference => "Preference pairs",
    }
}
