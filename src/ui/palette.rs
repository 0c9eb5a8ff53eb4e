//! The command palette: type a few letters of what you want.

use eframe::egui::{self, Align, Align2, Button, Context, Id, Key, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};

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
        let (up, down, enter) = ctx.input_mut(|i| {
            let mut key = |key| i.consume_key(egui::Modifiers::NONE, key);
            (key(Key::ArrowUp), key(Key::ArrowDown), key(Key::Enter))
        });
        let mut chosen = None;
        // Hung from the top: what is typed stays in its place, however much is found.
        let id = Id::unique("command-palette");
        let area =
            egui::Modal::default_area(id).anchor(Align2::CENTER_TOP, vec2(0.0, 0.14 * ctx.content_rect().height()));
        let modal = egui::Modal::new(id).area(area).show(ctx, |ui| {
            ui.set_width(460.0);
            let field = Id::unique("command-palette-query");
            // Before it is drawn: letters that came with the keys that opened it are for it. And whenever nothing else has
            // the keyboard: a dialog loses it in the frame after its first.
            if std::mem::take(&mut self.just_opened) || ui.memory(|memory| memory.focused().is_none()) {
                ui.memory_mut(|memory| memory.request_focus(field));
            }
            let edit = TextEdit::singleline(&mut self.query)
                .id(field)
                .hint_text("What do you want to do?")
                .desired_width(f32::INFINITY);
            let response = ui.add(edit);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search commands"));
            if response.changed() {
                self.selected = 0;
            }
            // What was typed in this frame counts: a slow frame takes the last letters and Enter at once.
            let found = found(&self.query, studio);
            self.selected = self.selected.min(found.len().saturating_sub(1));
            if up {
                self.selected = self.selected.saturating_sub(1);
            }
            if down && self.selected + 1 < found.len() {
                self.selected += 1;
            }
            if enter {
                chosen = found.get(self.selected).copied();
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

/// What makes sense now and is called so; what has the letters side by side comes first.
fn found(query: &str, studio: &Studio) -> Vec<Action> {
    let mut found = Action::all();
    found.retain(|action| matches(&action.label(), query) && action.enabled(studio));
    let query = query.trim().to_lowercase();
    found.sort_by_key(|action| !action.label().to_lowercase().contains(&query));
    found
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
    use eframe::egui::{Event, Key, Modifiers, Theme};

    use super::{found, matches};
    use crate::app::Room;
    use crate::ui::action::Action;
    use crate::ui::testing::TestWindow;

    #[test]
    fn letters_in_their_order() {
        assert!(matches("Open a GGUF file…", "gguf"));
        assert!(matches("Open a GGUF file…", "op fil"));
        assert!(matches("Start training", ""));
        assert!(!matches("Start training", "nits"));
    }

    #[test]
    fn letters_of_any_frame_are_for_the_field() {
        let mut window = TestWindow::new([1000.0, 680.0], Theme::Dark);
        window.wait_until_ready();
        let press = |key, modifiers| Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers };
        let text = |text: &str| Event::Text(text.into());
        let keys = [press(Key::K, Modifiers::COMMAND), text("g"), text("o to"), text(" r"), text("un")];
        for event in keys.into_iter().chain([press(Key::Enter, Modifiers::NONE)]) {
            window.harness.input_mut().events.push(event);
            window.harness.step();
        }
        window.harness.run_steps(2);
        assert_eq!(window.window().studio.shared.prefs.room, Room::Runs);
    }

    #[test]
    fn one_slow_frame_takes_the_keys_that_open_it_a_name_and_enter() {
        let mut window = TestWindow::new([1000.0, 680.0], Theme::Dark);
        window.wait_until_ready();
        let press = |key, modifiers| Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers };
        let text = |text: &str| Event::Text(text.into());
        let go = [press(Key::K, Modifiers::COMMAND), text("go to ru"), text("ns"), press(Key::Enter, Modifiers::NONE)];
        window.harness.input_mut().events.extend(go);
        window.harness.run_steps(3);
        let studio = &window.window().studio;
        assert_eq!((studio.shared.prefs.room, studio.is_training()), (Room::Runs, false));
        assert_eq!(found("log", studio)[0], Action::Log);
        assert_eq!(found("gguf", studio)[0], Action::OpenModelFile);
    }
}
