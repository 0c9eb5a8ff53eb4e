//! A run in numbers: what is being read, how far it is, and the buttons that steer it.

use eframe::egui::{ProgressBar, RichText, TextWrapMode, Ui};
use egui_material_icons::icons;

use super::super::action::Action;
use super::super::theme::{self, palette};
use super::super::widgets::{card, card_with, figure, icon_text_button, message, strong};
use crate::app::command::Commands;
use crate::app::live::RunView;
use crate::app::notices::Severity;
use crate::app::training::Phase;
use crate::app::{Command, Studio};
use crate::engine::train::{LoadPhase, Stop};
use crate::ui::busy;
use crate::units::{bytes, duration, grouped};

/// Between the click and the first step.
pub fn preparing(ui: &mut Ui, studio: &Studio, view: &RunView, commands: &mut Commands) {
    let stopping = studio.training.as_ref().is_some_and(|t| t.phase == Phase::Stopping);
    card(ui, "Preparing", |ui| {
        let (text, fraction) = match view.loading {
            _ if stopping => ("Stopping".to_string(), None),
            Some((phase, done, total)) => {
                let what = match phase {
                    LoadPhase::Data => "Reading the rows",
                    LoadPhase::Model => "Reading the model's weights",
                };
                let share = (total > 0).then(|| (done as f64 / total as f64) as f32);
                let amount = if total > 0 { format!(": {} of {}", bytes(done), bytes(total)) } else { String::new() };
                (format!("{what}{amount}"), share)
            }
            None if view.total_steps.is_some() => ("Computing the first step".to_string(), None),
            None => ("Opening the model".to_string(), None),
        };
        busy::progress(ui, fraction, &text);
        ui.add_space(4.0);
        ui.add_enabled_ui(!stopping, |ui| {
            let help = "Nothing has been trained yet, and nothing is kept.";
            if icon_text_button(ui, icons::ICON_CLOSE, "Cancel the start").on_hover_text(help).clicked() {
                commands.send(Command::Stop(Stop::Discard));
            }
        });
    });
}

/// Progress, figures and buttons.
pub fn figures(ui: &mut Ui, studio: &Studio, view: &RunView, actions: &mut Vec<Action>) {
    let Some(newest) = view.newest else { return };
    let p = palette(ui);
    let total = view.total_steps.map_or(String::new(), |t| format!(" of {}", grouped(t as u64)));
    let title = format!("Step {}{total}", grouped(newest.step as u64));
    let live = view.live();
    let checkpoint = view.checkpoint.map(|step| format!("newest checkpoint: step {}", grouped(step as u64)));
    let right = |ui: &mut Ui| {
        if let Some(text) = checkpoint {
            ui.label(RichText::new(text).weak().small());
        }
    };
    card_with(ui, &title, right, |ui| {
        ui.add(ProgressBar::new(view.fraction() as f32).fill(p.accent).desired_height(8.0));
        ui.add_space(theme::GAP);
        ui.columns(6, |columns| {
            // What is too long for its column is cut: it would make the whole page wider than the window.
            columns.iter_mut().for_each(|column| column.style_mut().wrap_mode = Some(TextWrapMode::Truncate));
            numbers(columns, studio, view);
        });
        if live {
            ui.add_space(theme::GAP);
            buttons(ui, studio, actions);
        }
    });
}

fn numbers(columns: &mut [Ui], studio: &Studio, view: &RunView) {
    let Some(newest) = view.newest else { return };
    let smooth = view.loss.smooth().last().map_or(newest.loss, |p| p[1]);
    let hover = format!("{:.4} nats in the newest step, {smooth:.4} smoothed", newest.loss);
    figure(&mut columns[0], &format!("{smooth:.3}"), "nats", "Loss, smoothed").on_hover_text(hover);
    figure(&mut columns[1], &format!("{:.2}", newest.epoch), &of_epochs(view), "Epochs");
    figure(&mut columns[2], &grouped(newest.tokens_per_second.round() as u64), "tokens/s", "Speed");
    let (memory, name) = match (view.live(), view.peak_bytes) {
        (false, Some(peak)) => (peak, "Peak"),
        _ => (newest.memory_bytes, "Memory"),
    };
    let (value, unit) = split(&bytes(memory));
    let device = bytes(studio.shared.device.memory_bytes);
    let name = match view.plan_bytes {
        Some(plan) => format!("{name}, {} planned", bytes(plan)),
        None => name.to_string(),
    };
    let hover = format!("The whole program. The device has {device} in all.{}", beside(view));
    figure(&mut columns[3], &value, &unit, &name).on_hover_text(hover);
    let seconds = view.seconds.unwrap_or(view.trained_seconds);
    figure(&mut columns[4], &duration(seconds), "", "In steps")
        .on_hover_text("Time that the steps took, without pauses, validation and samples.");
    match view.remaining().filter(|_| view.live()) {
        Some(left) => figure(&mut columns[5], &duration(left.as_secs_f64()), "", "Remaining"),
        None => match view.best {
            Some((loss, step)) => figure(&mut columns[5], &format!("{loss:.3}"), "nats", "Best validation")
                .on_hover_text(format!("The lowest validation loss, after step {}.", grouped(step as u64))),
            None => {
                let trained = view.parameters.map_or("unknown".into(), |(trained, _)| short(trained));
                figure(&mut columns[5], &trained, "numbers", "Trained")
            }
        },
    };
}

/// What a person should know of the run's memory: that it waits for other programs, or is not as it was planned.
pub fn memory_notes(ui: &mut Ui, view: &RunView) {
    let mut notes = Vec::new();
    if let Some(free) = view.held.filter(|_| view.live()) {
        notes.push(format!(
            "Other programs have left {} of the memory. The run waits until there is more; its checkpoint is on the disk.",
            bytes(free)
        ));
    }
    if let Some((measured, part)) = view.measured.as_ref().and_then(|m| Some((m, m.apart.as_ref()?))) {
        let (planned, found) = (bytes(measured.planned_allocated), bytes(measured.allocated));
        notes.push(format!("The run took {found} where {planned} were planned. The difference lies in: {part}."));
    }
    for note in &notes {
        message(ui, Severity::Warning, note);
        ui.add_space(theme::GAP);
    }
}

/// Measured beside planned, part by part, for a hover.
fn beside(view: &RunView) -> String {
    let Some(measured) = &view.measured else { return String::new() };
    let mut text = String::new();
    if measured.planned_allocated > 0 {
        let (planned, found) = (bytes(measured.planned_allocated), bytes(measured.allocated));
        text.push_str(&format!("\n\nAllocated at most: {found}, planned {planned}"));
    }
    for part in &measured.parts {
        text.push_str(&format!("\n{}: {}, planned {}", part.name, bytes(part.measured), bytes(part.planned)));
    }
    text
}

fn of_epochs(view: &RunView) -> String {
    let train = &view.config.train;
    if train.max_steps > 0 { String::new() } else { format!("of {}", train.epochs) }
}

fn split(text: &str) -> (String, String) {
    text.split_once(' ').map_or((text.to_string(), String::new()), |(a, b)| (a.to_string(), b.to_string()))
}

/// `4.9M`.
fn short(n: u64) -> String {
    match n {
        0..10_000 => grouped(n),
        10_000..1_000_000 => format!("{:.0}k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", n as f64 / 1e6),
        _ => format!("{:.1}B", n as f64 / 1e9),
    }
}

fn buttons(ui: &mut Ui, studio: &Studio, actions: &mut Vec<Action>) {
    let Some(training) = &studio.training else { return };
    if training.phase == Phase::Stopping {
        ui.horizontal(|ui| {
            busy::spinner(ui);
            ui.label(strong("Ending the run: the step in progress ends, then what is to be kept is written."));
        });
        return;
    }
    let paused = training.paused();
    ui.horizontal_wrapped(|ui| {
        let (icon, text, help) = match paused {
            true => (icons::ICON_PLAY_ARROW, "Continue", "Go on from the next micro-batch."),
            false => (icons::ICON_PAUSE, "Pause", "Hold the run. It keeps its memory."),
        };
        let mut button = |icon, text, help: &str, action: Action| {
            let help = match action.shortcut() {
                Some(keys) => format!("{help} ({})", ui.ctx().format_shortcut(&keys)),
                None => help.to_string(),
            };
            if icon_text_button(ui, icon, text).on_hover_text(help).clicked() {
                actions.push(action);
            }
        };
        button(icon, text, help, Action::PauseOrContinue);
        let help = "End after the last complete step and write the adapter. It can be continued later.";
        button(icons::ICON_STOP, "Stop and keep", help, Action::StopAndKeep);
        let help = "Write a checkpoint after this step.";
        button(icons::ICON_SAVE, "Checkpoint now", help, Action::SaveNow);
        let help = "Answer the sample prompts after this step.";
        button(icons::ICON_FORUM, "Sample now", help, Action::SampleNow);
        button(icons::ICON_DELETE, "Discard…", "Stop at once and write nothing more. Asks first.", Action::Discard);
    });
}
