//! Leaving while a run is trained asks; so does throwing a run away.

use eframe::egui::{self, Context, Id, ViewportCommand};

use super::widgets::strong;
use crate::app::command::Commands;
use crate::app::{Command, Studio};
use crate::engine::train::Stop;
use crate::ui::busy;

/// How far leaving has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// Nobody wants to leave.
    #[default]
    No,
    /// The user is being asked.
    Asking,
    /// The run is being ended; then the window closes.
    Waiting,
}

impl Closing {
    /// Looks whether the window is to be closed. Without a run it closes at once.
    pub fn logic(&mut self, ctx: &Context, studio: &mut Studio) {
        if ctx.input(|i| i.viewport().close_requested()) && studio.is_training() {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            if *self == Closing::No {
                *self = Closing::Asking;
            }
        }
        if *self == Closing::Waiting && !studio.is_training() {
            ctx.send_viewport_cmd(ViewportCommand::Close);
        }
        if *self == Closing::Asking && !studio.is_training() {
            *self = Closing::No;
        }
    }

    /// The question, or the wait.
    pub fn ui(&mut self, ctx: &Context, commands: &mut Commands) {
        if *self == Closing::No {
            return;
        }
        let before = *self;
        egui::Modal::new(Id::unique("closing")).show(ctx, |ui| {
            ui.set_width(420.0);
            if before == Closing::Waiting {
                ui.label(strong("Finishing").size(16.0));
                ui.label(
                    "The step in progress ends, a checkpoint and the adapter are written, then the window closes.",
                );
                busy::spinner(ui);
                return;
            }
            ui.label(strong("A run is being trained").size(16.0));
            ui.label("It can be kept up to this step and continued later from the Runs room.");
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                if ui.button("Stop, keep it and quit").clicked() {
                    commands.send(Command::Stop(Stop::Keep));
                    *self = Closing::Waiting;
                }
                if ui.button("Discard it and quit").clicked() {
                    commands.send(Command::Stop(Stop::Discard));
                    *self = Closing::Waiting;
                }
                if ui.button("Go on training").clicked() {
                    *self = Closing::No;
                }
            });
        });
    }
}

/// Asks before a run is thrown away.
pub fn discard_dialog(ctx: &Context, open: &mut bool, commands: &mut Commands) {
    if !*open {
        return;
    }
    let modal = egui::Modal::new(Id::unique("discard")).show(ctx, |ui| {
        ui.set_width(400.0);
        ui.label(strong("Discard this run?").size(16.0));
        ui.label("It stops at once. Checkpoints that were written stay in its folder; nothing more is written.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            let discard = ui.button("Discard the run").clicked();
            if discard {
                commands.send(Command::Stop(Stop::Discard));
            }
            discard | ui.button("Go on training").clicked()
        })
        .inner
    });
    if modal.inner || modal.should_close() {
        *open = false;
    }
}
