//! Where prompts are written.

use eframe::egui::text::{CCursor, CCursorRange};
use eframe::egui::{Key, KeyboardShortcut, Modifiers, RichText, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use super::{View, refusal_ui};
use crate::app::Studio;
use crate::app::chat::{ChatCommand, Phase};
use crate::ui::widgets::primary_button;

impl View {
    /// The text field, with Send or Stop beside it.
    pub(super) fn composer_ui(&mut self, ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(ChatCommand)) {
        let chat = &studio.chat;
        if let Some(refusal) = &chat.refusal {
            refusal_ui(ui, refusal, send);
        }
        if self.editing {
            ui.horizontal(|ui| {
                ui.label(RichText::new("Editing the last prompt: its answers will be replaced").weak().small());
                if ui.small_button("Keep them").clicked() {
                    self.editing = false;
                    self.prompt.clear();
                }
            });
        }
        let answering = chat.answering();
        let mut go = false;
        ui.horizontal(|ui| {
            let width = ui.available_width() - 112.0;
            let id = ui.scope_id().with("chat-prompt");
            if std::mem::take(&mut self.to_end) {
                let mut state = TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
                let end = CCursor::new(self.prompt.chars().count());
                state.cursor.set_char_range(Some(CCursorRange::one(end)));
                state.store(ui.ctx(), id);
                ui.memory_mut(|memory| memory.request_focus(id));
            }
            let focused = ui.memory(|memory| memory.has_focus(id));
            // Taken before the field sees it: there it would be a new line.
            go = focused && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Enter));
            let edit = TextEdit::multiline(&mut self.prompt)
                .id(id)
                .hint_text("Ask something. Enter sends, Shift+Enter begins a new line")
                .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter))
                .desired_rows(2)
                .desired_width(width)
                .margin(vec2(10.0, 8.0));
            let response = ui.add(edit);
            let value = self.prompt.clone();
            response.widget_info(|| {
                let mut info =
                    eframe::egui::WidgetInfo::labeled(eframe::egui::Role::MultilineTextInput, true, "Prompt");
                info.current_text_value = Some(value.clone());
                info
            });
            ui.vertical(|ui| {
                if answering {
                    let waiting = matches!(chat.resident.as_ref().map(|r| r.phase), Some(Phase::Loading(..)) | None);
                    if primary_button(ui, icons::ICON_STOP, "Stop", !waiting)
                        .on_disabled_hover_text("The model is being loaded; that can be cancelled above.")
                        .clicked()
                    {
                        send(ChatCommand::Stop);
                    }
                } else {
                    let ready = !self.prompt.trim().is_empty();
                    go |= primary_button(ui, icons::ICON_SEND, "Send", ready).clicked();
                }
            });
        });
        if go && !self.prompt.trim().is_empty() {
            let prompt = std::mem::take(&mut self.prompt);
            let again = std::mem::take(&mut self.editing);
            send(if again { ChatCommand::Resend(prompt) } else { ChatCommand::Ask(prompt) });
        }
    }
}
