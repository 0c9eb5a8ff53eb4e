//! Which rows: a path, a dialog, the built-in ones; their format; rows for validation; and what is wrong with them.

use eframe::egui::{self, Align, ComboBox, DragValue, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use crate::app::command::Commands;
use crate::app::data::{DataCommand, DataProblem};
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::engine::config::{DataFormat, RunConfig};
use crate::engine::data::tokens::Summary;
use crate::ui::action::Action;
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{card, icon_text_button, message, progress, segmented, strong};
use crate::units::{bytes, grouped};

/// The rows that are always there.
const BUILT_IN: &str = "builtin:pirate";

/// Formats to choose from: all that can be trained on.
const FORMATS: [DataFormat; 7] = [
    DataFormat::Auto,
    DataFormat::Messages,
    DataFormat::ShareGpt,
    DataFormat::Alpaca,
    DataFormat::PromptCompletion,
    DataFormat::QuestionAnswer,
    DataFormat::Text,
];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Validation {
    #[default]
    None,
    Share,
    File,
}

/// What is being typed.
#[derive(Default)]
pub struct View {
    train: PathField,
    validation: PathField,
    /// A file for validation is wanted, but none is named yet.
    wants_file: bool,
}

/// A text field whose text counts when it is left, entered or pasted.
#[derive(Default)]
struct PathField {
    typed: String,
    /// The draft's text that `typed` began with.
    from: String,
}

impl PathField {
    /// The text that is to be taken over.
    fn ui(&mut self, ui: &mut Ui, current: &str, name: &str, hint: &'static str, width: f32) -> Option<String> {
        if self.from != current {
            self.from = current.to_string();
            self.typed = current.to_string();
        }
        let edit = TextEdit::singleline(&mut self.typed).hint_text(hint).align(egui::Align2::LEFT_CENTER);
        let response = ui.add_sized(vec2(width, 28.0), edit);
        let value = self.typed.clone();
        response.widget_info(|| {
            let mut info = egui::WidgetInfo::labeled(egui::Role::TextInput, true, name);
            info.current_text_value = Some(value.clone());
            info
        });
        let pasted = response.changed()
            && ui.input(|input| input.events.iter().any(|event| matches!(event, egui::Event::Paste(_))));
        let typed = self.typed.trim().trim_matches('"').to_string();
        ((pasted || response.lost_focus()) && typed != current).then(|| {
            self.from.clone_from(&typed);
            typed
        })
    }
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
                        run.data.train = path;
                    }
                });
            });
            suggestions(ui, studio, &mut run);
            reading(ui, studio, commands);
            download(ui, studio, commands);
            if let Some(problem) = &studio.data.problem {
                show_problem(ui, studio, problem, &mut run, commands);
            }
            if let Some(survey) = &studio.data.survey {
                ui.add_space(2.0);
                format_choice(ui, Some(&survey.train.summary), &mut run);
                wrong_rows(ui, &survey.train.summary, "the training file");
                if let Some(held) = &survey.validation {
                    wrong_rows(ui, &held.summary, "the validation file");
                }
            } else if studio.data.problem.is_some() && run.data.format != DataFormat::Auto {
                format_choice(ui, None, &mut run);
            }
            ui.add_space(2.0);
            self.validation(ui, studio, &mut run, actions);
        });
        if run != studio.shared.run {
            commands.send(Command::Edit(Box::new(run)));
        }
    }

    fn validation(&mut self, ui: &mut Ui, studio: &Studio, run: &mut RunConfig, actions: &mut Vec<Action>) {
        let data = &mut run.data;
        let mut choice = match (data.validation.is_empty(), data.validation_fraction > 0.0) {
            (false, _) => Validation::File,
            (_, true) => Validation::Share,
            _ if self.wants_file => Validation::File,
            _ => Validation::None,
        };
        ui.horizontal(|ui| {
            ui.set_min_height(30.0);
            ui.label(RichText::new("Validation").weak()).on_hover_text(
                "Rows that are never trained on: their loss shows whether the model learns or memorises.",
            );
            let choices = [
                (Validation::None, "None", "All rows are trained on."),
                (
                    Validation::Share,
                    "A share",
                    "Some of the rows are held out, chosen by the seed; usual are 2 to 10%.",
                ),
                (Validation::File, "A file", "Rows of another file."),
            ];
            if segmented(ui, "Validation", &mut choice, &choices) {
                self.wants_file = choice == Validation::File;
                data.validation_fraction = if choice == Validation::Share { 0.05 } else { 0.0 };
                data.validation.clear();
            }
            match choice {
                Validation::None => {}
                Validation::Share => {
                    let mut share = data.validation_fraction * 100.0;
                    let drag = DragValue::new(&mut share).range(0.1..=90.0).speed(0.2).max_decimals(1).suffix("%");
                    let response = ui.add(drag);
                    response.widget_info(|| egui::WidgetInfo::slider(true, share, "Share for validation"));
                    if response.changed() {
                        data.validation_fraction = (share * 10.0).round() / 1000.0;
                    }
                    if let Some(info) = &studio.data.info {
                        let rows = grouped(info.report.validation.samples as u64);
                        ui.label(RichText::new(format!("{rows} rows are held out")).weak());
                    }
                }
                Validation::File => {
                    let width = (ui.available_width() - 110.0).max(120.0);
                    if let Some(path) =
                        self.validation.ui(ui, &data.validation, "Validation rows path", "path of a file", width)
                    {
                        data.validation = path;
                    }
                    if icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Choose…").clicked() {
                        actions.push(Action::OpenValidation);
                    }
                }
            }
        });
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
                run.data.train = name;
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
        ui.vertical(|ui| progress(ui, fraction, "Reading and tokenizing the rows"));
    });
}

fn download(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let download = &studio.data.download;
    if let Some((fraction, text)) = download.progress() {
        ui.horizontal(|ui| {
            if ui.button("Stop the download").clicked() {
                commands.send(Command::Data(DataCommand::CancelDownload));
            }
            ui.vertical(|ui| progress(ui, fraction, &text));
        });
    } else if let (Some(id), Some(problem)) = (&download.id, &download.problem) {
        message(ui, Severity::Error, &format!("{id}: {problem}"));
    }
}

fn show_problem(ui: &mut Ui, studio: &Studio, problem: &DataProblem, run: &mut RunConfig, commands: &mut Commands) {
    let downloading = studio.data.download.progress().is_some();
    if let Some(id) = &problem.download {
        if !downloading {
            message(ui, Severity::Info, &format!("{}.", problem.text));
            if icon_text_button(ui, icons::ICON_DOWNLOAD, "Download it")
                .on_hover_text("Fetches the training split from the Hugging Face Hub into its usual cache.")
                .clicked()
            {
                commands.send(Command::Data(DataCommand::Download(id.clone())));
            }
        }
        return;
    }
    message(ui, Severity::Error, &problem.text);
    for (id, size) in &problem.choice {
        let file = id.file.as_deref().unwrap_or_default();
        if ui.button(format!("{file} ({})", bytes(*size))).clicked() {
            let rows = if problem.of_validation { &mut run.data.validation } else { &mut run.data.train };
            *rows = id.to_string();
        }
    }
}

/// How the rows are read, why, and another choice.
fn format_choice(ui: &mut Ui, file: Option<&Summary>, run: &mut RunConfig) {
    ui.horizontal(|ui| {
        let label = ui.label(RichText::new("Format").weak());
        let found = file.filter(|_| run.data.format == DataFormat::Auto).map(|file| file.reading.format);
        let text = format_name(found.unwrap_or(run.data.format));
        let combo = ComboBox::from_id_salt("format").selected_text(text).width(190.0).height(320.0).show_ui(ui, |ui| {
            for format in FORMATS {
                ui.selectable_value(&mut run.data.format, format, format_name(format));
            }
        });
        combo.response.labelled_by(label.id).on_hover_text("How a row becomes a conversation or a document.");
        let why = match file {
            Some(file) if run.data.format == DataFormat::Auto && !file.reading.reason.is_empty() => {
                format!("found out: {}", file.reading.reason.replace('`', "\""))
            }
            _ if run.data.format == DataFormat::Auto => String::new(),
            _ => "chosen by you".to_string(),
        };
        ui.add(egui::Label::new(RichText::new(why).weak()).truncate());
    });
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

/// What is wrong with rows of a file, by line.
fn wrong_rows(ui: &mut Ui, file: &Summary, which: &str) {
    if file.wrong_rows == 0 {
        return;
    }
    let p = palette(ui);
    let rows = match file.wrong_rows {
        1 => "1 row".to_string(),
        n => format!("{} rows", grouped(n as u64)),
    };
    let text = format!("{rows} of {which} cannot be read. Correct them, or choose another format, then read again.");
    message(ui, Severity::Error, &text);
    let height = 20.0;
    let shown = file.problems.len();
    egui::Frame::new().fill(p.ground).corner_radius(theme::RADIUS).inner_margin(8).show(ui, |ui| {
        let area = ScrollArea::vertical().id_salt(which).max_height(6.0 * (height + 6.0)).auto_shrink([false, true]);
        area.show_rows(ui, height, shown, |ui, range| {
            for problem in &file.problems[range] {
                ui.horizontal(|ui| {
                    ui.set_min_height(height);
                    ui.label(strong(format!("line {}", grouped(problem.line as u64))).color(p.bad));
                    let text = problem.message.replace('`', "\"");
                    ui.add(egui::Label::new(&text).truncate()).on_hover_text(text);
                });
            }
        });
    });
    if shown < file.wrong_rows {
        ui.label(RichText::new(format!("the first {shown} of them are listed")).weak().small());
    }
}
