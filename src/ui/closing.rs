//! Leaving while a run is trained asks; so does throwing a run away.

use eframe::egui::{Button, Context, Ui, ViewportCommand, vec2};
use egui_material_icons::icons;

use super::widgets::{answer_at_enter, dialog, icon_text_button, primary_button, strong};
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
        let modal = dialog(ctx, "closing", 440.0, |ui| {
            if before == Closing::Waiting {
                ui.label(strong("Finishing").size(17.0));
                ui.label(
                    "The step in progress ends, a checkpoint and the adapter are written, then the window closes.",
                );
                busy::spinner(ui);
                return;
            }
            ui.label(strong("A run is being trained").size(17.0));
            ui.label("It can be kept up to this step and continued later from the Runs room.");
            ui.add_space(6.0);
            ui.horizontal_wrapped(|ui| {
                let keep = primary_button(ui, icons::ICON_SAVE, "Stop, keep it and quit", true);
                answer_at_enter(ui, &keep);
                if keep.clicked() {
                    commands.send(Command::Stop(Stop::Keep));
                    *self = Closing::Waiting;
                }
                if tall_button(ui, "Discard it and quit") {
                    commands.send(Command::Stop(Stop::Discard));
                    *self = Closing::Waiting;
                }
                if tall_button(ui, "Go on training") {
                    *self = Closing::No;
                }
            });
        });
        if before == Closing::Asking && *self == Closing::Asking && modal.should_close() {
            *self = Closing::No;
        }
    }
}

/// A button as high as the primary one beside it.
fn tall_button(ui: &mut Ui, text: &str) -> bool {
    ui.add(Button::new(text).min_size(vec2(0.0, 32.0))).clicked()
}

/// Asks before a run is thrown away.
pub fn discard_dialog(ctx: &Context, open: &mut bool, commands: &mut Commands) {
    if !*open {
        return;
    }
    let modal = dialog(ctx, "discard", 420.0, |ui| {
        ui.label(strong("Discard this run?").size(17.0));
        ui.label("It stops at once. Checkpoints that were written stay in its folder; nothing more is written.");
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            let discard = icon_text_button(ui, icons::ICON_DELETE, "Discard the run").clicked();
            if discard {
                commands.send(Command::Stop(Stop::Discard));
            }
            let stay = ui.button("Go on training");
            answer_at_enter(ui, &stay);
            discard | stay.clicked()
        })
        .inner
    });
    if modal.inner || modal.should_close() {
        *open = false;
    }
}
