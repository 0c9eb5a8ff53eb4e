//! The command palette: type a few letters of what you want.

use eframe::egui::{self, Align, Button, Context, Id, Key, Layout, RichText, ScrollArea, TextEdit, Ui};

use super::action::Action;
use crate::app::Studio;

/// The palette, open or closed.
#[derive(Default)]
pub struct CommandPalette {
    open: bool,
    just_opened: bool,
    query: String,
    selected: usize,
}

impl CommandPalette {
    /// Opens it, empty.
    pub fn open(&mut self) {
        *self = CommandPalette { open: true, just_opened: true, ..Self::default() };
    }

    /// Draws it when it is open; pushes what was chosen.
    pub fn ui(&mut self, ctx: &Context, studio: &Studio, actions: &mut Vec<Action>) {
        if !self.open {
            return;
        }
        let found: Vec<Action> =
            Action::all().into_iter().filter(|a| matches(&a.label(), &self.query) && a.enabled(studio)).collect();
        self.selected = self.selected.min(found.len().saturating_sub(1));
        let (up, down, enter) = ctx.input_mut(|i| {
            let mut key = |key| i.consume_key(egui::Modifiers::NONE, key);
            (key(Key::ArrowUp), key(Key::ArrowDown), key(Key::Enter))
        });
        if up {
            self.selected = self.selected.saturating_sub(1);
        }
        if down && self.selected + 1 < found.len() {
            self.selected += 1;
        }
        let mut chosen = if enter { found.get(self.selected).copied() } else { None };
        let modal = egui::Modal::new(Id::unique("command-palette")).show(ctx, |ui| {
            ui.set_width(460.0);
            let edit =
                TextEdit::singleline(&mut self.query).hint_text("What do you want to do?").desired_width(f32::INFINITY);
            let response = ui.add(edit);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search commands"));
            if std::mem::take(&mut self.just_opened) {
                response.request_focus();
            }
            if response.changed() {
                self.selected = 0;
            }
            ui.add_space(4.0);
            ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
                for (i, action) in found.iter().enumerate() {
                    if entry(ui, *action, i == self.selected, up || down) {
                        chosen = Some(*action);
                    }
                }
                if found.is_empty() {
                    ui.label(RichText::new("Nothing is called so.").weak());
                }
            });
        });
        if let Some(action) = chosen {
            actions.push(action);
        }
        if chosen.is_some() || modal.should_close() {
            self.open = false;
        }
    }
}

/// One command with its keys. True when it was clicked.
fn entry(ui: &mut Ui, action: Action, selected: bool, moved: bool) -> bool {
    ui.with_layout(Layout::top_down_justified(Align::Min), |ui| {
        let keys = action.shortcut().map(|s| ui.ctx().format_shortcut(&s)).unwrap_or_default();
        let response = ui.add(Button::selectable(selected, action.label()).shortcut_text(keys));
        if selected && moved {
            response.scroll_to_me(None);
        }
        response.clicked()
    })
    .inner
}

/// Whether the letters of `query` occur in `label` in their order.
fn matches(label: &str, query: &str) -> bool {
    let mut letters = label.chars().flat_map(char::to_lowercase);
    query.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).all(|q| letters.any(|l| l == q))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn letters_in_their_order() {
        assert!(matches("Open a GGUF file…", "gguf"));
        assert!(matches("Open a GGUF file…", "op fil"));
        assert!(matches("Start training", ""));
        assert!(!matches("Start training", "nits"));
    }
}
