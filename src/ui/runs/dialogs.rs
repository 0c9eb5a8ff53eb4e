//! What the room asks before it does it.

use std::path::PathBuf;

use eframe::egui::{self, Context, Key, Label, TextEdit};
use egui_material_icons::icons;

use crate::app::Command;
use crate::app::command::Commands;
use crate::app::runs::RunsCommand;
use crate::engine::train::run_dir::RunSummary;
use crate::ui::widgets::{answer_at_enter, dialog, icon_text_button, primary_button, strong};

/// The question that is open.
#[derive(Default)]
pub struct View {
    asking: Option<Asking>,
}

enum Asking {
    /// A new name for a run.
    Name(PathBuf, String, bool),
    /// Whether this run, called so, goes to the trash.
    Delete(PathBuf, String),
}

impl View {
    /// Asks for a new name.
    pub fn rename(&mut self, run: &RunSummary) {
        self.asking = Some(Asking::Name(run.path.clone(), run.name.clone(), true));
    }

    /// Asks whether it goes to the trash.
    pub fn delete(&mut self, run: &RunSummary) {
        self.asking = Some(Asking::Delete(run.path.clone(), run.name.clone()));
    }

    /// The dialog, while one is open.
    pub fn ui(&mut self, ctx: &Context, commands: &mut Commands) {
        let Some(asking) = &mut self.asking else { return };
        let mut answer = None;
        let mut done = false;
        let modal = dialog(ctx, "runs-dialog", 440.0, |ui| match asking {
            Asking::Name(run, name, fresh) => {
                ui.label(strong("Rename the run").size(17.0));
                ui.label("Its folder keeps its own name. Leave it empty to call it by that again.");
                let response = ui.add(TextEdit::singleline(name).desired_width(f32::INFINITY));
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Name of the run"));
                if std::mem::take(fresh) {
                    response.request_focus();
                }
                let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
                ui.horizontal(|ui| {
                    if primary_button(ui, icons::ICON_CHECK, "Rename it", true).clicked() || entered {
                        answer = Some(RunsCommand::Rename(run.clone(), name.clone()));
                    }
                    done = ui.button("Keep the name").clicked();
                });
            }
            Asking::Delete(run, name) => {
                ui.label(strong("Move the run to the trash?").size(17.0));
                let text = format!("{name}: its curves, samples, checkpoints and adapter.");
                ui.add(Label::new(text).wrap());
                ui.add_space(6.0);
                ui.horizontal(|ui| {
                    if icon_text_button(ui, icons::ICON_DELETE, "Move to the trash").clicked() {
                        answer = Some(RunsCommand::Delete(run.clone()));
                    }
                    let keep = ui.button("Keep the run");
                    answer_at_enter(ui, &keep);
                    done = keep.clicked();
                });
            }
        });
        let answered = answer.is_some();
        if let Some(command) = answer {
            commands.send(Command::Runs(command));
        }
        if answered || done || modal.should_close() {
            self.asking = None;
        }
    }
}
