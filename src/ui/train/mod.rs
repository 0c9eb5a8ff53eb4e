//! The Train room: the gate before a run, the run while it goes, and the run when it is over.

mod banner;
mod curves;
mod gate;
mod heat_map;
mod prepare;
mod queue;
mod run;
mod samples;
#[cfg(test)]
mod tests;

use eframe::egui::{self, RichText, Ui};
use egui_material_icons::icons;

use super::action::Action;
use super::theme;
use super::widgets::{card, icon_text_button, page_header, two_columns};
use crate::app::command::Commands;
use crate::app::live::{Ending, RunView};
use crate::app::training::{Phase, TrainCommand};
use crate::app::{Command, Studio};
use crate::ui::busy;
pub use curves::Picture;

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    prepare: prepare::Prepare,
    curves: curves::Curves,
    samples: samples::Samples,
    heat_map: heat_map::HeatMap,
    /// The run that the three above are about.
    shown: u64,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        if studio.reading_run() {
            card(ui, "", |ui| {
                ui.horizontal(|ui| {
                    busy::spinner(ui);
                    ui.label("Reading the run from its folder");
                    if ui.button("Cancel reading").clicked() {
                        commands.send(Command::Train(TrainCommand::CancelReading));
                    }
                });
            });
            return;
        }
        if studio.training_elsewhere() {
            card(ui, "", |ui| {
                ui.horizontal(|ui| {
                    ui.label("Another run is being trained meanwhile.");
                    if icon_text_button(ui, icons::ICON_MODEL_TRAINING, "Back to the run in training").clicked() {
                        commands.send(Command::Train(TrainCommand::Live));
                    }
                });
            });
            ui.add_space(theme::GAP);
        }
        if !studio.is_training() && !studio.shared.prefs.queue.is_empty() {
            queue::ui(ui, studio, commands, actions);
            ui.add_space(theme::GAP);
        }
        match &studio.view {
            None => self.prepare.ui(ui, studio, commands, actions),
            Some(view) => self.run_ui(ui, studio, view, commands, actions),
        }
    }

    fn run_ui(
        &mut self,
        ui: &mut Ui,
        studio: &Studio,
        view: &RunView,
        commands: &mut Commands,
        actions: &mut Vec<Action>,
    ) {
        if self.shown != view.id {
            self.shown = view.id;
            self.curves = curves::Curves::default();
            self.samples = samples::Samples::default();
            self.heat_map = heat_map::HeatMap::default();
        }
        let title = if view.name.is_empty() { "Train" } else { &view.name };
        let sentence = format!(
            "{} on {} · {}",
            tail(&view.config.model.source),
            tail(&view.config.data.train),
            state(studio, view)
        );
        page_header(ui, title, &sentence, |_| {});
        banner::ui(ui, studio, view, commands, actions);
        if view.newest.is_none() && view.live() {
            run::preparing(ui, studio, view, commands);
            return;
        }
        if view.newest.is_none() {
            notes(ui, view);
            return;
        }
        run::memory_notes(ui, view);
        run::figures(ui, studio, view, actions);
        ui.add_space(theme::GAP);
        self.curves.ui(ui, studio, view, commands, actions);
        ui.add_space(theme::GAP);
        if ui.available_width() > 860.0 {
            two_columns(ui, |left, right| {
                self.samples.ui(left, view);
                self.heat_map.ui(right, view);
            });
        } else {
            self.samples.ui(ui, view);
            ui.add_space(theme::GAP);
            self.heat_map.ui(ui, view);
        }
        ui.add_space(theme::GAP);
        if studio.is_training() {
            queue::ui(ui, studio, commands, actions);
            ui.add_space(theme::GAP);
        }
        notes(ui, view);
    }
}

/// How the run stands, in a word or two.
fn state(studio: &Studio, view: &RunView) -> &'static str {
    let phase = studio.training.as_ref().map(|t| t.phase);
    match (view.ending, phase) {
        (None, Some(Phase::Preparing)) => "being prepared",
        (None, Some(Phase::Paused)) => "paused",
        (None, Some(Phase::Stopping)) => "ending",
        (None, _) => "in training",
        (Some(Ending::Finished), _) => "finished",
        (Some(Ending::Stopped), _) => "stopped and kept",
        (Some(Ending::Discarded), _) => "discarded",
        (Some(Ending::Interrupted), _) => "interrupted",
        (Some(Ending::Failed), _) => "failed",
        (Some(Ending::Elsewhere), _) => "trained by another process",
    }
}

/// The last part of a path or id.
fn tail(source: &str) -> &str {
    source.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(source)
}

/// What the trainer said, folded away.
fn notes(ui: &mut Ui, view: &RunView) {
    if view.notes.is_empty() {
        return;
    }
    let title = format!("Notes of the trainer ({})", view.notes.len());
    egui::CollapsingHeader::new(title).id_salt("trainer-notes").show(ui, |ui| {
        let height = ui.text_style_height(&egui::TextStyle::Body);
        egui::ScrollArea::both().max_height(180.0).auto_shrink([false, true]).id_salt("trainer-notes-list").show_rows(
            ui,
            height,
            view.notes.len(),
            |ui, range| {
                for note in &view.notes[range] {
                    ui.add(egui::Label::new(RichText::new(note).weak()).extend().selectable(true));
                }
            },
        );
    });
}
