//! The window without a screen, for tests: driven by accessible names, rendered by software.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui::{self, Theme, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use super::Window;
use super::theme;
use crate::app::Room;

/// A window in a test, with folders of its own for settings and runs.
pub struct TestWindow {
    /// Drives it.
    pub harness: Harness<'static, Option<Window>>,
    /// Everything that it writes.
    pub folder: tempfile::TempDir,
}

impl TestWindow {
    /// A fresh start of the program at this size. Runs go into the test's own folder.
    pub fn new(size: impl Into<Vec2>, theme: Theme) -> TestWindow {
        let folder = tempfile::tempdir().unwrap();
        let prefs = folder.path().join("studio.toml");
        Self::with_prefs(size, theme, folder, prefs)
    }

    fn with_prefs(size: impl Into<Vec2>, theme: Theme, folder: tempfile::TempDir, prefs: PathBuf) -> TestWindow {
        let runs = folder.path().join("runs");
        let choice = match theme {
            Theme::Dark => crate::app::prefs::ThemeChoice::Dark,
            Theme::Light => crate::app::prefs::ThemeChoice::Light,
        };
        let app = move |ui: &mut egui::Ui, window: &mut Option<Window>| {
            let window = window.get_or_insert_with(|| {
                let mut window = Window::new(ui.ctx(), Some(prefs.clone()), Instant::now());
                window.studio.shared.prefs.runs_folder = runs.display().to_string();
                window.studio.shared.prefs.theme = choice;
                theme::apply(ui.ctx(), choice);
                window
            });
            window.logic(ui.ctx());
            window.ui(ui);
        };
        let harness = Harness::builder()
            .with_size(size)
            .with_theme(theme)
            .with_context_setup(theme::install)
            .with_max_steps(16)
            .build_ui_state(app, None);
        TestWindow { harness, folder }
    }

    /// The window.
    pub fn window(&mut self) -> &mut Window {
        self.harness.state_mut().as_mut().unwrap()
    }

    /// Steps until `done`, or fails after `seconds` with `what`.
    pub fn wait(&mut self, what: &str, seconds: u64, mut done: impl FnMut(&Window) -> bool) {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            self.harness.step();
            if done(self.harness.state().as_ref().unwrap()) {
                self.harness.run_steps(2);
                return;
            }
            assert!(Instant::now() < until, "waited {seconds} s in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the draft's model and rows are known.
    pub fn wait_until_ready(&mut self) {
        self.wait("model and data are read", 60, |w| !w.studio.model.busy() && !w.studio.data.busy());
    }

    /// Clicks what has this accessible name.
    pub fn click(&mut self, name: &str) {
        self.harness.get_by_label(name).click();
        self.harness.run_steps(3);
    }

    /// Opens a room by its entry on the rail.
    pub fn go(&mut self, room: Room) {
        self.window().studio.apply(crate::app::Command::Go(room));
        self.harness.run_steps(3);
    }

    /// Renders the window into `target/rooms/NAME.png`, for looking at. False where there is no renderer.
    pub fn picture(&mut self, name: &str) -> bool {
        match self.harness.render() {
            Ok(image) => {
                let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/rooms");
                std::fs::create_dir_all(&folder).unwrap();
                image.save(folder.join(format!("{name}.png"))).unwrap();
                true
            }
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "no renderer: {error}");
                eprintln!("SKIPPED: no software Vulkan to render with ({error}); install mesa-vulkan-drivers");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of each room as it is at the first start: for the eyes of whoever changes one.
    #[test]
    fn every_room_is_drawn_dark_and_light_large_and_small() {
        for (theme, size, name) in [
            (Theme::Dark, [1280.0, 820.0], "dark"),
            (Theme::Light, [1280.0, 820.0], "light"),
            (Theme::Dark, [1000.0, 680.0], "small"),
            (Theme::Light, [1280.0, 1500.0], "long"),
        ] {
            let mut window = TestWindow::new(size, theme);
            window.wait_until_ready();
            for room in Room::ALL {
                window.go(room);
                if !window.picture(&format!("{}-{name}", room.title().to_lowercase())) {
                    return;
                }
            }
        }
    }
}
