//! The window: draws the state, sends commands. One file a room.

mod about;
mod action;
mod busy;
mod chat;
mod closing;
mod data;
mod dialogs;
mod drop;
mod export;
mod fit;
#[cfg(test)]
mod flow_tests;
mod log_view;
mod method;
mod model;
mod pace;
mod palette;
pub mod plot;
mod runs;
#[cfg(test)]
mod screenshots;
mod settings;
mod shell;
#[cfg(test)]
mod testing;
pub mod theme;
mod timing;
mod toasts;
mod train;
mod widgets;
mod window;

use std::process::ExitCode;
use std::time::Instant;

use eframe::egui::{self, ScrollArea, Ui, UiBuilder};

use crate::app::command::Commands;
use crate::app::prefs::{Prefs, WindowSize};
use crate::app::{Room, Studio};
use action::Action;
pub use window::Window;

/// What each room remembers of its own between frames: open sections, text being typed.
#[derive(Default)]
struct Rooms {
    model: model::View,
    data: data::View,
    method: method::View,
    train: train::View,
    chat: chat::View,
    export: export::View,
    runs: runs::View,
    settings: settings::View,
}

impl Rooms {
    /// Draws the open room.
    fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        let room = studio.shared.prefs.room;
        let mut page = ui.max_rect().shrink2(egui::vec2(theme::PAGE, 0.0));
        // On a very wide screen a page stands in the middle: lines as long as the screen are hard to read.
        let beside = ((page.width() - theme::MEASURE) / 2.0).floor().max(0.0);
        page = page.shrink2(egui::vec2(beside, 0.0));
        if room != Room::Chat {
            // The scroll bar has the margin for itself.
            page.max.x = ui.max_rect().right() - 2.0;
        }
        ui.scope_builder(UiBuilder::new().max_rect(page).id_salt(room), |ui| {
            // Chat fills its page and scrolls inside; the others are as long as they are.
            if room == Room::Chat {
                ui.add_space(theme::PAGE - 4.0);
                self.chat.ui(ui, studio, commands, actions);
                return;
            }
            ScrollArea::vertical().auto_shrink(false).id_salt(room).show(ui, |ui| {
                ui.add_space(theme::PAGE - 4.0);
                ui.set_max_width((ui.available_width() - theme::PAGE + 2.0 - beside).min(theme::MEASURE));
                match room {
                    Room::Model => self.model.ui(ui, studio, commands, actions),
                    Room::Data => self.data.ui(ui, studio, commands, actions),
                    Room::Method => self.method.ui(ui, studio, commands, actions),
                    Room::Train => self.train.ui(ui, studio, commands, actions),
                    Room::Export => self.export.ui(ui, studio, commands, actions),
                    Room::Runs => self.runs.ui(ui, studio, commands, actions),
                    Room::Settings => self.settings.ui(ui, studio, commands, actions),
                    Room::Chat => {}
                }
                ui.add_space(theme::PAGE);
            });
        });
    }
}

/// Opens the window and returns when it is closed. `started` is when the process began.
pub fn run(started: Instant) -> ExitCode {
    let path = crate::app::prefs::Prefs::path();
    let size = path.as_deref().map(|path| Prefs::load(path).0).unwrap_or_default().window;
    let viewport = egui::ViewportBuilder::default()
        .with_title("LoRA Studio")
        .with_app_id("lora-studio")
        .with_inner_size([size.width, size.height])
        .with_maximized(size.maximized)
        .with_min_inner_size(WindowSize::LEAST)
        .with_drag_and_drop(true);
    // Part of the program; a window without its picture would still be one.
    let viewport = match eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icon.png")) {
        Ok(icon) => viewport.with_icon(icon),
        Err(_) => viewport,
    };
    // Nothing here is a gradient that dithering would smooth; without a graphics card it is half of a frame's work.
    let options = eframe::NativeOptions { viewport, persist_window: false, dithering: false, ..Default::default() };
    let result = eframe::run_native(
        "lora-studio",
        options,
        Box::new(move |cc| {
            let mut window = Window::new(&cc.egui_ctx, path, started);
            if cc.gl.as_deref().is_some_and(is_software) {
                window.drawn_in_software();
            }
            Ok(Box::new(window))
        }),
    );
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: the window cannot be opened ({error}). The command line works without one: lora-studio --help"
            );
            ExitCode::FAILURE
        }
    }
}

/// Whether the processors do the work of a graphics card: Mesa's llvmpipe and softpipe, SwiftShader, those of Windows and of
/// macOS.
fn is_software(gl: &eframe::glow::Context) -> bool {
    use eframe::glow::HasContext;
    // SAFETY: the context is current while the window is made, and a name is all that is asked for.
    let name = unsafe { gl.get_parameter_string(eframe::glow::RENDERER) }.to_lowercase();
    ["llvmpipe", "softpipe", "swrast", "swiftshader", "software", "gdi generic", "basic render"]
        .iter()
        .any(|known| name.contains(known))
}
