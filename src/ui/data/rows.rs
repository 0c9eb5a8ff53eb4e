//! The rows, one at a time: as a chat, as the text that the template makes of it, as tokens.

use std::sync::Arc;

use eframe::egui::{self, Align, Key, Label, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use super::{bubbles, filter, tokens};
use crate::app::command::Commands;
use crate::app::data::{DataCommand, quoted};
use crate::app::notices::Severity;
use crate::app::{Command, Studio};
use crate::engine::config::OnBadRow;
use crate::engine::data::{Preview, Survey};
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{card, icon_button, message, segmented};

/// Height of a row; longer ones scroll.
const HEIGHT: f32 = 280.0;
/// Characters of a raw row that are shown.
const RAW: usize = 20_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    Chat,
    Rendered,
    #[default]
    Tokens,
}

/// What the card remembers.
#[derive(Default)]
pub struct View {
    shape: Shape,
    needle: String,
    drawn: tokens::Drawn,
    raw: Option<(Arc<Preview>, String)>,
}

impl View {
    /// The card.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, survey: &Survey, commands: &mut Commands) {
        let look = &studio.data.look;
        card(ui, "", |ui| {
            self.toolbar(ui, studio, survey, commands);
            if let Some(outcome) = &studio.data.finding.outcome {
                message(ui, Severity::Info, outcome);
            }
            ui.add_space(4.0);
            match &look.shown {
                None => {
                    ui.allocate_ui(vec2(ui.available_width(), HEIGHT), |ui| {
                        ui.set_min_height(HEIGHT);
                        ui.label(RichText::new("The row is being read.").weak());
                    });
                }
                Some(Err(problem)) => {
                    message(ui, Severity::Error, problem);
                }
                Some(Ok(preview)) => self.row(ui, studio, survey, preview),
            }
        });
    }

    fn toolbar(&mut self, ui: &mut Ui, studio: &Studio, survey: &Survey, commands: &mut Commands) {
        ui.horizontal(|ui| {
            filter::walk(ui, studio, survey, commands);
            if studio.data.look.wrong.is_some() {
                // As it stands in the file is the only way.
                return;
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.allocate_ui_with_layout(vec2(224.0, 26.0), Layout::left_to_right(Align::Center), |ui| {
                    let choices = [
                        (Shape::Chat, "chat", "Who says what."),
                        (Shape::Rendered, "text", "What the model's chat template writes."),
                        (Shape::Tokens, "tokens", "What the model sees, and which of it is trained."),
                    ];
                    ui.label(RichText::new("Show as").weak());
                    segmented(ui, "Show as", &mut self.shape, &choices);
                });
            });
        });
        ui.horizontal(|ui| {
            filter::choice(ui, studio, survey, commands);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| self.search(ui, studio, commands));
        });
    }

    fn search(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
        let (row, rows) = (studio.data.look.row, studio.data.survey.as_ref().map_or(1, |s| s.train.len().max(1)));
        let searching = studio.data.finding.progress();
        if searching.is_some() {
            if icon_button(ui, icons::ICON_CLOSE, "Stop the search").clicked() {
                commands.send(Command::Data(DataCommand::CancelFind));
            }
        } else if icon_button(ui, icons::ICON_SEARCH, "Find next").clicked() && !self.needle.trim().is_empty() {
            let text = self.needle.trim().to_string();
            commands.send(Command::Data(DataCommand::Find { text, from: (row + 1) % rows }));
        }
        let width = ui.available_width().min(220.0);
        let edit = TextEdit::singleline(&mut self.needle).hint_text("Find in rows").align(egui::Align2::LEFT_CENTER);
        let response = ui.add_sized(vec2(width, 26.0), edit);
        let value = self.needle.clone();
        response.widget_info(|| {
            let mut info = egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Find in rows");
            info.current_text_value = Some(value.clone());
            info
        });
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if entered && !self.needle.trim().is_empty() {
            let text = self.needle.trim().to_string();
            commands.send(Command::Data(DataCommand::Find { text, from: (row + 1) % rows }));
            response.request_focus();
        }
    }

    fn row(&mut self, ui: &mut Ui, studio: &Studio, survey: &Survey, preview: &Arc<Preview>) {
        let p = palette(ui);
        // All shapes are equally high, so that nothing below moves.
        let mut height = HEIGHT;
        let before = ui.cursor().top();
        let info = studio.data.info.as_deref();
        let why = preview.refusal.as_deref().map(quoted);
        if studio.data.look.wrong.is_some() {
            let skipped = studio.shared.run.data.on_bad_row == OnBadRow::Skip;
            let severity = if skipped { Severity::Warning } else { Severity::Error };
            message(ui, severity, &format!("This row cannot be read: {}.", why.unwrap_or_default()));
        } else if let Some(why) = why.or_else(|| filter::why_left_out(info, survey, preview.row.index)) {
            message(ui, Severity::Warning, &format!("This row is left out: {why}."));
        }
        if preview.refusal.is_none() && self.shape == Shape::Tokens {
            tokens::legend(ui, preview, studio.shared.run.data.max_seq_len);
        }
        height -= ui.cursor().top() - before;
        let frame = egui::Frame::new().fill(p.ground).corner_radius(theme::RADIUS).inner_margin(12);
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width());
            let salt = (preview.row.index, self.shape as u8);
            let area = ScrollArea::vertical().id_salt(salt).min_scrolled_height(height).max_height(height);
            area.auto_shrink([false, false]).show(ui, |ui| match (&preview.example, self.shape) {
                (Some(example), Shape::Chat) => bubbles::ui(ui, example, studio.shared.run.data.loss_on),
                (Some(_), Shape::Rendered) if preview.refusal.is_none() => {
                    self.drawn.ui(ui, preview, tokens::Style::Text, usize::MAX);
                }
                (Some(_), Shape::Tokens) if preview.refusal.is_none() => {
                    self.drawn.ui(ui, preview, tokens::Style::Tokens, studio.shared.run.data.max_seq_len);
                }
                _ => self.raw(ui, preview),
            });
        });
    }

    /// The row as it stands in the file, where nothing else can be made of it.
    fn raw(&mut self, ui: &mut Ui, preview: &Arc<Preview>) {
        if self.raw.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, preview)) {
            let mut text = match preview.row.fields.is_empty() {
                true => preview.text.clone(),
                false => serde_json::to_string_pretty(&preview.row.fields).unwrap_or_default(),
            };
            if let Some((end, _)) = text.char_indices().nth(RAW) {
                text.truncate(end);
            }
            self.raw = Some((preview.clone(), text));
        }
        let Some((_, text)) = &self.raw else { return };
        ui.add(Label::new(RichText::new(text).monospace()).wrap().selectable(true));
    }
}
