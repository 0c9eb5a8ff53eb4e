//! Before a run: the gate, what will happen, the prompts that are answered on the way, and where the run goes.

use eframe::egui::{self, Align, Button, DragValue, Label, Layout, RichText, Sense, Stroke, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use super::super::action::Action;
use super::super::theme;
use super::super::widgets::{
    card, fact, icon_button, icon_text_button, page_header, primary_button, strong, two_columns,
};
use crate::app::command::Commands;
use crate::app::gate::{self, Check, Verdict};
use crate::app::training::TrainCommand;
use crate::app::{Command, Studio};
use crate::engine::config::{RunConfig, shorten_home};
use crate::ui::busy;
use crate::units::{duration, grouped};

/// Most prompts: each is answered by two models at every round.
const MOST_PROMPTS: usize = 12;

/// What is being typed.
#[derive(Default)]
pub struct Prepare {
    /// With those that are still empty, which the run file would refuse.
    prompts: Vec<String>,
}

impl Prepare {
    /// The page.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let checks = gate::checks(studio);
        page_header(ui, "Train", "What was checked, and what will happen when you press Start.", |ui| {
            if studio.about_to_start() {
                about_to_start(ui, &checks, commands);
                return;
            }
            let refused = checks.iter().find(|check| check.verdict == Verdict::Refused);
            let response = primary_button(ui, icons::ICON_PLAY_ARROW, "Start training", refused.is_none());
            if response.clicked() {
                actions.push(Action::Start);
            }
            if let Some(check) = refused {
                response.on_disabled_hover_text(&check.sentence);
            } else if checks.iter().any(|check| check.verdict == Verdict::Waiting) {
                response.on_hover_text("The run begins as soon as everything is looked at.");
            }
        });
        let mut right = |ui: &mut Ui, commands: &mut Commands| {
            self.forecast(ui, studio);
            ui.add_space(theme::GAP);
            self.prompts(ui, studio, commands);
            ui.add_space(theme::GAP);
            place(ui, studio, commands, actions);
        };
        if ui.available_width() > 720.0 {
            two_columns(ui, |first, second| {
                super::gate::ui(first, &checks, commands);
                right(second, commands);
            });
        } else {
            super::gate::ui(ui, &checks, commands);
            ui.add_space(theme::GAP);
            right(ui, commands);
        }
    }

    fn forecast(&self, ui: &mut Ui, studio: &Studio) {
        card(ui, "What will happen", |ui| {
            let Some(forecast) = gate::forecast(studio) else {
                ui.label(RichText::new("Known when the rows are read.").weak());
                return;
            };
            let train = &studio.shared.run.train;
            egui::Grid::new("forecast").num_columns(2).spacing(egui::vec2(16.0, 5.0)).show(ui, |ui| {
                let how = match train.max_steps {
                    0 => format!("{} × {} an epoch", train.epochs, grouped(forecast.steps_an_epoch as u64)),
                    _ => format!("an epoch has {}", grouped(forecast.steps_an_epoch as u64)),
                };
                fact(ui, "Steps", format!("{} ({how})", grouped(forecast.steps as u64)));
                fact(ui, "Tokens an epoch", grouped(forecast.tokens_an_epoch));
                let share = 100.0 * studio.pricing.trainable as f64 / studio.pricing.total.max(1) as f64;
                let trained = format!("{} numbers ({share:.2}% of the model)", grouped(studio.pricing.trainable));
                fact(ui, "Trained", trained);
                let time = match forecast.seconds {
                    Some(seconds) => format!("about {}, at the speed of the last run", duration(seconds)),
                    None => "known after the first steps".to_string(),
                };
                fact(ui, "Expected time", time);
            });
        });
    }

    fn prompts(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
        let run = &studio.shared.run;
        let written =
            |prompts: &[String]| -> Vec<String> { prompts.iter().filter(|p| !p.trim().is_empty()).cloned().collect() };
        if written(&self.prompts) != run.sample.prompts {
            self.prompts = run.sample.prompts.clone();
        }
        card(ui, "Sample prompts", |ui| {
            let help = "Answered on the way by the base and by the adapted model, so that you see what changes.";
            ui.add(Label::new(RichText::new(help).weak()).wrap());
            let mut removed = None;
            let mut changed = false;
            for (i, prompt) in self.prompts.iter_mut().enumerate() {
                ui.horizontal(|ui| {
                    let width = ui.available_width() - 32.0;
                    let edit = TextEdit::singleline(prompt).desired_width(width).hint_text("Ask something");
                    let response = ui.add(edit);
                    changed |= response.changed();
                    let text = prompt.clone();
                    response.widget_info(|| {
                        let mut info = egui::WidgetInfo::text_edit(true, "", &text, "");
                        info.label = Some(format!("Sample prompt {}", i + 1));
                        info
                    });
                    if icon_button(ui, icons::ICON_CLOSE, &format!("Remove sample prompt {}", i + 1)).clicked() {
                        removed = Some(i);
                    }
                });
            }
            if let Some(i) = removed {
                self.prompts.remove(i);
                changed = true;
            }
            ui.horizontal(|ui| {
                let room = self.prompts.len() < MOST_PROMPTS;
                ui.add_enabled_ui(room, |ui| {
                    if icon_text_button(ui, icons::ICON_ADD, "Add a prompt").clicked() {
                        self.prompts.push(String::new());
                    }
                });
                if self.prompts.is_empty() {
                    return;
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let mut every = run.sample.every;
                    let value = DragValue::new(&mut every).range(0..=1_000_000).suffix(" steps");
                    let help = "Steps between two rounds of samples; 0 answers at the end only.";
                    let response = ui.add(value).on_hover_text(help);
                    let label = ui.label(RichText::new("Answered every").weak());
                    if response.labelled_by(label.id).changed() {
                        edit(run, commands, |run| run.sample.every = every);
                    }
                });
            });
            let prompts = written(&self.prompts);
            if changed && prompts != run.sample.prompts {
                edit(run, commands, |run| run.sample.prompts = prompts);
            }
        });
    }
}

/// Start was pressed before everything was looked at: what is waited for, and the way back.
fn about_to_start(ui: &mut Ui, checks: &[Check], commands: &mut Commands) {
    if ui.add(Button::new("Cancel the start").min_size(vec2(0.0, 32.0))).clicked() {
        commands.send(Command::Train(TrainCommand::CancelStart));
    }
    let (text, p) = ("Starts when the checks are done", theme::palette(ui));
    // Not greyed: it says what is going to happen.
    let button = Button::new(strong(text).color(p.text)).fill(p.chosen).stroke(Stroke::NONE).sense(Sense::hover());
    let response = ui.add(button.min_size(vec2(96.0, 32.0)));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, false, text));
    if let Some(check) = checks.iter().find(|check| check.verdict == Verdict::Waiting) {
        response.on_hover_text(&check.sentence);
    }
    busy::spinner(ui);
}

/// The run's name and folder.
fn place(ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
    card(ui, "Name and folder", |ui| {
        let mut name = studio.run_name.clone();
        let label = ui.label(RichText::new("Name").weak());
        let edit_name = TextEdit::singleline(&mut name).desired_width(f32::INFINITY).hint_text("From model and data");
        if ui.add(edit_name).labelled_by(label.id).changed() {
            commands.send(Command::Train(TrainCommand::Name(name)));
        }
        let mut dir = studio.shared.run.output.dir.clone();
        let label = ui.label(RichText::new("Folder").weak());
        ui.horizontal(|ui| {
            let hint = match &studio.folder.place {
                Some(place) if dir.is_empty() => format!("A new one in {}", shorten_home(&place.folder)),
                _ => "A new one".to_string(),
            };
            let width = ui.available_width() - 34.0;
            let field = TextEdit::singleline(&mut dir).desired_width(width).hint_text(hint);
            if ui.add(field).labelled_by(label.id).changed() {
                edit(&studio.shared.run, commands, |run| run.output.dir = dir);
            }
            if icon_button(ui, icons::ICON_FOLDER_OPEN, "Choose the run's folder…").clicked() {
                actions.push(Action::ChooseRunFolder);
            }
        });
    });
}

fn edit(run: &RunConfig, commands: &mut Commands, change: impl FnOnce(&mut RunConfig)) {
    let mut run = run.clone();
    change(&mut run);
    commands.send(Command::Edit(Box::new(run)));
}
