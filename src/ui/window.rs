//! The window: drains what has happened, draws the room, and carries out what was asked for.

use std::sync::Arc;
use std::time::Instant;

use eframe::egui::{self, Context, Rect, Ui, UiBuilder, ViewportCommand, pos2};

use super::action::Action;
use super::dialogs::{Ask, Dialogs};
use super::pace::Pace;
use super::palette::CommandPalette;
use super::timing::Timing;
use super::toasts::Toasts;
use super::{Rooms, about, closing, drop, log_view, shell, theme};
use crate::app::chat::{ChatCommand, Choice};
use crate::app::command::Commands;
use crate::app::export::ExportCommand;
use crate::app::job::Waker;
use crate::app::notices::Severity;
use crate::app::prefs::Prefs;
use crate::app::runs::RunsCommand;
use crate::app::{Command, Room, Studio};

/// Everything that is drawn, and what it draws.
pub struct Window {
    /// The program's state.
    pub studio: Studio,
    rooms: Rooms,
    dialogs: Dialogs,
    palette: CommandPalette,
    toasts: Toasts,
    commands: Commands,
    actions: Vec<Action>,
    about: bool,
    discard: bool,
    closing: closing::Closing,
    timing: Timing,
    pace: Arc<Pace>,
    software: bool,
}

impl Window {
    /// The window over a fresh or remembered state.
    pub fn new(ctx: &Context, prefs_path: Option<std::path::PathBuf>, started: Instant) -> Window {
        theme::install(ctx);
        let repaint = ctx.clone();
        let pace = Arc::new(Pace::new(started));
        let paced = pace.clone();
        let waker: Waker = Arc::new(move || repaint.request_repaint_after(paced.wait()));
        let studio = Studio::open(prefs_path, waker.clone());
        theme::apply(ctx, studio.shared.prefs.theme);
        ctx.set_zoom_factor(studio.shared.prefs.zoom);
        Window {
            studio,
            rooms: Rooms::default(),
            dialogs: Dialogs::new(waker),
            palette: CommandPalette::default(),
            toasts: Toasts::default(),
            commands: Commands::default(),
            actions: Vec::new(),
            about: false,
            discard: false,
            closing: closing::Closing::default(),
            timing: Timing::new(started),
            pace,
            software: false,
        }
    }

    /// Frames are drawn by the processors that train.
    pub fn drawn_in_software(&mut self) {
        self.software = true;
    }

    /// Before each frame, also while the window is hidden.
    pub fn logic(&mut self, ctx: &Context) {
        self.timing.before_frame();
        let touched = ctx.input(|input| !input.raw.events.is_empty());
        self.pace.frame(self.software, self.studio.is_training(), touched);
        self.studio.drain();
        for command in self.dialogs.take() {
            self.studio.apply(command);
        }
        self.closing.logic(ctx, &mut self.studio);
        self.remember_size(ctx);
        for notice in self.studio.shared.notices.take_fresh() {
            self.toasts.show(notice);
        }
    }

    /// The next start has the same size.
    fn remember_size(&mut self, ctx: &Context) {
        let size = &mut self.studio.shared.prefs.window;
        let zoom = ctx.zoom_factor();
        ctx.input(|input| {
            let viewport = input.viewport();
            let special = viewport.fullscreen == Some(true) || viewport.minimized == Some(true);
            let maximized = viewport.maximized == Some(true);
            let Some(inner) = viewport.inner_rect.filter(|_| !special) else { return };
            size.maximized = maximized;
            if !maximized && inner.is_positive() {
                let inner = inner.size() * zoom;
                (size.width, size.height) = (inner.x.round(), inner.y.round());
            }
        });
    }

    /// One frame.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.keys(ui);
        drop::take(ui.ctx(), &self.studio, &mut self.commands);
        let whole = ui.max_rect();
        let right = whole.left() + theme::RAIL;
        let log = if self.studio.shared.prefs.show_log { log_view::HEIGHT } else { 0.0 };
        let bar_top = whole.bottom() - theme::MEMORY_BAR;
        let room = Rect::from_min_max(pos2(right, whole.top()), pos2(whole.right(), bar_top - log));
        ui.painter().rect_filled(whole, 0, theme::palette(ui).ground);
        ui.scope_builder(UiBuilder::new().max_rect(room).id_salt("room"), |ui| {
            ui.set_clip_rect(room);
            let Window { studio, rooms, commands, actions, .. } = self;
            rooms.ui(ui, studio, commands, actions);
        });
        // Carried out before the bar is drawn: it shows the price of what was just changed.
        self.carry_out(ui);
        if log > 0.0 {
            let rect = Rect::from_min_max(pos2(right, bar_top - log), pos2(whole.right(), bar_top));
            ui.scope_builder(UiBuilder::new().max_rect(rect).id_salt("log"), |ui| {
                log_view::ui(ui, &self.studio.shared.notices, &mut self.actions);
            });
        }
        let bar = Rect::from_min_max(pos2(right, bar_top), whole.max);
        ui.scope_builder(UiBuilder::new().max_rect(bar).id_salt("memory"), |ui| {
            shell::memory_bar(ui, &self.studio, &mut self.commands);
        });
        let rail = Rect::from_min_max(whole.min, pos2(right, whole.bottom()));
        ui.scope_builder(UiBuilder::new().max_rect(rail).id_salt("rail"), |ui| {
            shell::rail(ui, &self.studio, &mut self.commands);
        });
        self.palette.ui(ui.ctx(), &self.studio, &mut self.actions);
        about::ui(ui.ctx(), &mut self.about);
        closing::discard_dialog(ui.ctx(), &mut self.discard, &mut self.commands);
        self.closing.ui(ui.ctx(), &mut self.commands);
        self.toasts.ui(ui.ctx());
        drop::hint(ui);
        self.carry_out(ui);
        self.timing.after_frame(ui.ctx(), &self.studio);
    }

    /// The program is being closed.
    pub fn close(&mut self) {
        self.studio.close();
        self.timing.close();
    }

    fn carry_out(&mut self, ui: &Ui) {
        let ctx = ui.ctx();
        for action in std::mem::take(&mut self.actions) {
            self.act(action, ctx);
        }
        for command in self.commands.take() {
            let (theme_before, zoom_before) = (self.studio.shared.prefs.theme, self.studio.shared.prefs.zoom);
            let start = matches!(command, Command::Start) && !self.studio.is_training();
            let given = Instant::now();
            self.studio.apply(command);
            if start && (self.studio.is_training() || self.studio.about_to_start()) {
                self.timing.start(given);
            }
            let prefs = &self.studio.shared.prefs;
            if prefs.theme != theme_before {
                theme::apply(ctx, prefs.theme);
            }
            if prefs.zoom != zoom_before {
                ctx.set_zoom_factor(prefs.zoom);
            }
            ctx.request_repaint();
        }
    }

    fn act(&mut self, action: Action, ctx: &Context) {
        if !action.enabled(&self.studio) {
            return;
        }
        if let Some(command) = action.command(&self.studio, ctx.theme() == egui::Theme::Dark) {
            self.commands.send(command);
            return;
        }
        let edit = |change: fn(&mut crate::engine::config::RunConfig, String)| {
            let run = self.studio.shared.run.clone();
            move |path: std::path::PathBuf| {
                let mut run = run;
                change(&mut run, path.display().to_string());
                Command::Edit(Box::new(run))
            }
        };
        let prefs = |change: fn(&mut Prefs)| {
            let mut prefs = self.studio.shared.prefs.clone();
            change(&mut prefs);
            Command::Prefs(Box::new(prefs))
        };
        const RUN: &[&str] = &["toml"];
        match action {
            Action::ExportPng | Action::ExportCsv => self.export_plots(action, ctx),
            Action::ChooseRunFolder => {
                let then = edit(|run, path| run.output.dir = path);
                self.dialogs.ask("Choose a folder for the run", Ask::Folder, None, then);
            }
            Action::OpenModelFolder => {
                let then = edit(|run, path| run.model.source = path);
                self.dialogs.ask("Choose a model folder", Ask::Folder, None, then);
            }
            Action::OpenModelFile => {
                let then = edit(|run, path| run.model.source = path);
                self.dialogs.ask("Choose a model file", Ask::File("GGUF model", &["gguf"]), None, then);
            }
            Action::OpenData => {
                let then = edit(|run, path| crate::app::data::train_on(&mut run.data, path));
                let kinds = Ask::File("Rows", super::data::ENDINGS);
                self.dialogs.ask("Choose training data", kinds, None, then);
            }
            Action::OpenValidation => {
                let then = edit(|run, path| (run.data.validation, run.data.validation_fraction) = (path, 0.0));
                let kinds = Ask::File("Rows", super::data::ENDINGS);
                self.dialogs.ask("Choose validation rows", kinds, None, then);
            }
            Action::OpenAdapter => {
                let exporting = self.studio.shared.prefs.room == Room::Export;
                if !exporting {
                    self.commands.send(Command::Go(Room::Chat));
                }
                self.dialogs.ask("Choose an adapter or run folder", Ask::Folder, None, move |path| match exporting {
                    true => Command::Export(ExportCommand::Choose(Some(path))),
                    false => Command::Chat(ChatCommand::Choose(Choice::Adapter(path))),
                });
            }
            Action::ExportInto => {
                self.commands.send(Command::Go(Room::Export));
                let start = crate::app::export::into(&self.studio.shared);
                let then = |path: std::path::PathBuf| Command::Export(ExportCommand::Into(path.display().to_string()));
                self.dialogs.ask("Choose where exports go", Ask::Folder, Some(&start), then);
            }
            Action::OpenRunFile => {
                self.dialogs.ask("Open a run file", Ask::File("Run file", RUN), None, Command::OpenRunFile);
            }
            Action::SaveRunFile => {
                let ask = Ask::Save("run.toml", "Run file", "toml");
                self.dialogs.ask("Save the run file", ask, None, Command::SaveRunFile);
            }
            Action::ChooseRunsFolder => {
                let start = crate::app::runs::folder(&self.studio.shared).ok();
                let then = |path: std::path::PathBuf| Command::Runs(RunsCommand::Folder(path.display().to_string()));
                self.dialogs.ask("Choose the folder for runs", Ask::Folder, start.as_deref(), then);
            }
            Action::Palette => self.palette.open(),
            Action::Log => self.commands.send(prefs(|p| p.show_log = !p.show_log)),
            Action::ZoomIn => self.commands.send(prefs(|p| p.zoom = (p.zoom + 0.1).min(2.5))),
            Action::ZoomOut => self.commands.send(prefs(|p| p.zoom = (p.zoom - 0.1).max(0.6))),
            Action::ZoomReset => self.commands.send(prefs(|p| p.zoom = 1.0)),
            Action::About => self.about = true,
            Action::Discard => self.discard = true,
            Action::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            _ => {}
        }
    }

    /// Asks for a file and writes the shown run's plots or steps into it, beside the window.
    fn export_plots(&mut self, action: Action, ctx: &Context) {
        let Some(view) = &self.studio.view else { return };
        let Some(dir) = view.dir.clone() else { return };
        let done = |result: crate::engine::Result<()>, path: &std::path::Path| match result {
            Ok(()) => Command::Tell(Severity::Success, format!("written: {}", path.display())),
            Err(error) => Command::Tell(Severity::Error, error.to_string()),
        };
        if action == Action::ExportCsv {
            let ask = Ask::Save("steps.csv", "Table", "csv");
            let then = move |path: std::path::PathBuf| done(super::plot::export_run_csv(&path, &dir), &path);
            self.dialogs.ask("Save the steps as a table", ask, None, then);
            return;
        }
        let dark = ctx.theme() == egui::Theme::Dark;
        let picture = super::train::Picture::of(view, &self.studio.shared, dark);
        let then = move |path: std::path::PathBuf| done(picture.write(&path), &path);
        self.dialogs.ask("Save the plots as a picture", Ask::Save("plots.png", "Picture", "png"), None, then);
    }

    fn keys(&mut self, ui: &Ui) {
        // What waits behind a dialog takes no keys.
        let dialog = ui.memory(|memory| memory.top_modal_layer().is_some());
        // Those with Shift first: the keys of the others are pressed with them, too.
        let mut all: Vec<Action> = Action::all().into_iter().chain([Action::Palette]).collect();
        all.sort_by_key(|action| !action.shortcut().is_some_and(|keys| keys.modifiers.shift));
        for action in all {
            if dialog && action != Action::Quit {
                continue;
            }
            if let Some(shortcut) = action.shortcut()
                && ui.ctx().input_mut(|input| input.consume_shortcut(&shortcut))
            {
                self.actions.push(action);
            }
        }
    }
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        Window::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        Window::ui(self, ui);
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.close();
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}
