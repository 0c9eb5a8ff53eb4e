//! How conversations are written: the model's own chat template, another one, or one that is edited here.

use std::time::{Duration, Instant};

use eframe::egui::{self, Align, ComboBox, Label, Layout, RichText, ScrollArea, TextEdit, Ui};

use crate::app::data::quoted;
use crate::app::notices::Severity;
use crate::app::{Command, Studio, command::Commands};
use crate::engine::config::{DataFormat, is_template_text, names_template_file};
use crate::engine::data::{chat_template, template_names, template_source};
use crate::engine::formats::TextTokenizer;
use crate::ui::theme;
use crate::ui::widgets::{card, message};

/// The template that every model may have.
const CHATML: &str = "chatml";
/// After this long without a key, what was typed is used.
const PAUSE: Duration = Duration::from_millis(400);
/// Height of the editor.
const HEIGHT: f32 = 260.0;

/// What is being edited.
#[derive(Default)]
pub struct View {
    editor: Option<Editor>,
}

struct Editor {
    text: String,
    /// The settings' choice that `text` belongs to.
    of: String,
    /// When a key was pressed, until the text is used.
    changed: Option<Instant>,
    /// Why the text cannot be used.
    problem: Option<String>,
}

impl Editor {
    /// Begins with the template that is in use.
    fn of(tokenizer: &TextTokenizer, choice: &str) -> Editor {
        let (text, problem) = match template_source(tokenizer, choice) {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error.to_string())),
        };
        let problem = problem.or_else(|| fault(&text));
        Editor { text, of: choice.to_string(), changed: None, problem }
    }

    /// What was typed is used, if it is a template.
    fn take_over(&mut self, tokenizer: &TextTokenizer, choice: &mut String) {
        self.changed = None;
        self.problem = fault(&self.text);
        if self.problem.is_none() {
            let own = tokenizer.chat_template.as_ref() == Some(&self.text);
            *choice = if own { String::new() } else { self.text.clone() };
            self.of.clone_from(choice);
        }
    }
}

/// Why a text is no template.
fn fault(text: &str) -> Option<String> {
    if !is_template_text(text) {
        return Some("there is nothing in it that writes messages: {{ … }} or {% … %}".into());
    }
    chat_template(text).err()
}

impl View {
    /// The card.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
        let Some(model) = &studio.model.info else { return };
        let tokenizer = &model.tokenizer;
        let before = &studio.shared.run.data.chat_template;
        let mut choice = before.clone();
        card(ui, "Chat template", |ui| {
            let reading = studio.data.survey.as_ref().map(|survey| survey.train.summary.reading.format);
            if reading.unwrap_or(studio.shared.run.data.format) == DataFormat::Text {
                ui.label(RichText::new("Plain text is trained as it stands: no template is used.").weak());
                return;
            }
            self.chosen(ui, tokenizer, &mut choice);
            if tokenizer.chat_template.is_none() && choice.is_empty() {
                let text = "The model brings no chat template: conversations are written as ChatML.";
                message(ui, Severity::Info, text);
            }
            self.edited(ui, tokenizer, &mut choice);
        });
        if choice != *before {
            let mut run = studio.shared.run.clone();
            run.data.chat_template = choice;
            commands.send(Command::Edit(Box::new(run)));
        }
    }

    /// One line: which template, and the way to its text.
    fn chosen(&mut self, ui: &mut Ui, tokenizer: &TextTokenizer, choice: &mut String) {
        let own = if tokenizer.chat_template.is_some() { "The model's own" } else { "ChatML, in place of its own" };
        ui.horizontal(|ui| {
            let label = ui.label(RichText::new("Written with").weak());
            let now = name(choice, own);
            let combo = ComboBox::from_id_salt("template").selected_text(&now).width(230.0).show_ui(ui, |ui| {
                ui.selectable_value(choice, String::new(), own);
                for other in template_names(tokenizer).into_iter().filter(|name| name != "default") {
                    let text = name(&other, own);
                    ui.selectable_value(choice, other, text);
                }
            });
            combo.response.labelled_by(label.id).on_hover_text("What is written around each message, for this run.");
            if !choice.is_empty() {
                let text = if tokenizer.chat_template.is_some() { "Back to the model's own" } else { "Back to ChatML" };
                if ui.button(text).clicked() {
                    choice.clear();
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let text = if self.editor.is_some() { "Close the editor" } else { "Edit…" };
                let response = ui.button(text);
                response.widget_info(|| {
                    let name = if self.editor.is_some() { text } else { "Edit the template" };
                    egui::WidgetInfo::labeled(egui::Role::Button, true, name)
                });
                if response.on_hover_text("The template is Jinja, as in tokenizer_config.json.").clicked() {
                    self.editor = match self.editor.take() {
                        Some(mut editor) => {
                            if editor.changed.is_some() {
                                editor.take_over(tokenizer, choice);
                            }
                            None
                        }
                        None => Some(Editor::of(tokenizer, choice)),
                    };
                }
            });
        });
    }

    fn edited(&mut self, ui: &mut Ui, tokenizer: &TextTokenizer, choice: &mut String) {
        let Some(editor) = &mut self.editor else { return };
        // Another was chosen elsewhere.
        if editor.of != *choice {
            *editor = Editor::of(tokenizer, choice);
        }
        ui.add_space(theme::GAP);
        let area = ScrollArea::vertical().id_salt("template").max_height(HEIGHT).auto_shrink([false, true]);
        let response = area.show(ui, |ui| {
            ui.add(TextEdit::multiline(&mut editor.text).code_editor().desired_rows(8).desired_width(f32::INFINITY))
        });
        let response = response.inner;
        let value = editor.text.clone();
        response.widget_info(|| {
            let mut info = egui::WidgetInfo::labeled(egui::Role::MultilineTextInput, true, "Template text");
            info.current_text_value = Some(value.clone());
            info
        });
        if response.changed() {
            editor.changed = Some(Instant::now());
            ui.ctx().request_repaint_after(PAUSE);
        }
        if let Some(since) = editor.changed.map(|at| at.elapsed()) {
            if since < PAUSE {
                ui.ctx().request_repaint_after(PAUSE - since);
            } else {
                editor.take_over(tokenizer, choice);
            }
        }
        if let Some(problem) = &editor.problem {
            message(ui, Severity::Error, &quoted(problem));
            let text = "It is not used: rows are written with the last template that works.";
            ui.add(Label::new(RichText::new(text).weak()).wrap());
        }
    }
}

/// A choice in words.
fn name(choice: &str, own: &str) -> String {
    match choice {
        "" | "default" => own.to_string(),
        CHATML => "ChatML".to_string(),
        text if is_template_text(text) => "Edited here".to_string(),
        path if names_template_file(path) => {
            format!("The file {}", path.rsplit(['/', '\\']).next().unwrap_or(path).trim())
        }
        name => format!("The model's \"{name}\""),
    }
}
