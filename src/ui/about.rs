//! Versions, licences, and where things are kept.

use eframe::egui::{self, Context, RichText};

use super::widgets::{answer_at_enter, dialog, fact, strong};
use crate::app::prefs::Prefs;
use crate::engine::config::shorten_home;
use crate::engine::train::run_dir;

/// The dialog, while `open`.
pub fn ui(ctx: &Context, open: &mut bool) {
    if !*open {
        return;
    }
    let modal = dialog(ctx, "about", 480.0, |ui| {
        ui.label(strong("LoRA Studio").size(20.0));
        ui.label("Fine-tune a language model on your own PC: one native program.");
        egui::Grid::new("about-facts").num_columns(2).spacing([16.0, 5.0]).show(ui, |ui| {
            fact(ui, "Version", env!("CARGO_PKG_VERSION"));
            fact(ui, "System", format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH));
            fact(ui, "Licence", "MIT or Apache-2.0");
            fact(ui, "Fonts", "Inter (SIL Open Font License), Material Symbols (Apache-2.0)");
            if let Ok(data) = run_dir::data_home() {
                fact(ui, "Runs", shorten_home(&data.join("runs")));
            }
            if let Some(path) = Prefs::path() {
                fact(ui, "Settings", shorten_home(&path));
            }
        });
        ui.label(RichText::new("Nothing that you train or write leaves this computer.").weak());
        let close = ui.button("Close");
        answer_at_enter(ui, &close);
        close.clicked()
    });
    if modal.inner || modal.should_close() {
        *open = false;
    }
}
