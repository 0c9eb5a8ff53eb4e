//! A path that is typed, pasted or chosen.

use eframe::egui::{self, TextEdit, Ui, vec2};

/// A text field whose text counts when it is left, entered or pasted.
#[derive(Default)]
pub struct PathField {
    typed: String,
    /// The draft's text that `typed` began with.
    from: String,
}

impl PathField {
    /// The text that is to be taken over.
    pub fn ui(&mut self, ui: &mut Ui, current: &str, name: &str, hint: &'static str, width: f32) -> Option<String> {
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
