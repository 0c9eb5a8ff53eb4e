//! The room, driven by accessible names.

use eframe::egui::Theme;
use egui_kittest::kittest::Queryable;

use crate::app::export::ExportCommand;
use crate::app::{Command, Room};
use crate::engine::peft::folder;
use crate::ui::testing::TestWindow;

#[test]
fn an_adapter_is_exported_and_a_foreign_folder_left_alone() {
    let mut window = TestWindow::new([1000.0, 680.0], Theme::Light);
    window.wait_until_ready();
    let root = window.folder.path().to_path_buf();
    let adapter = crate::app::adapters::testing::adapter(&root.join("pirate"), 0.02);
    let studio = &mut window.window().studio;
    studio.shared.prefs.export_folder = root.join("out").display().to_string();
    studio.apply(Command::Go(Room::Export));
    studio.apply(Command::Export(ExportCommand::Choose(Some(adapter))));
    window.wait("the adapter is looked at", 30, |w| w.studio.export.offer.is_some());
    window.click("Export this adapter");
    window.wait("it is written", 30, |w| w.studio.export.writing.is_none());
    window.harness.get_by_label("Open folder");
    window.harness.get_by_label("Copy the Python");
    let model = crate::engine::formats::open_named("builtin:tiny-chat").unwrap();
    folder::read(&root.join("out/pirate"), &model.config).unwrap();

    std::fs::create_dir_all(root.join("out/thesis")).unwrap();
    std::fs::write(root.join("out/thesis/chapter1.tex"), "years of work").unwrap();
    window.harness.get_by_label("Folder name").focus();
    window.harness.run_steps(2);
    window.harness.get_by_label("Folder name").type_text("thesis");
    window.harness.run_steps(3);
    window.click("Export this adapter");
    window.wait("it is refused", 30, |w| w.studio.export.refusal.is_some());
    window.harness.get_by_label_contains("chapter1.tex");
}

#[test]
fn without_an_adapter_the_room_says_what_to_do() {
    let mut window = TestWindow::new([1000.0, 680.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Export);
    window.wait("it is known that there is none", 30, |w| w.studio.adapters.known());
    window.harness.get_by_label("No adapter yet");
    window.harness.get_by_label("Open an adapter folder…");
    window.click("Go to training");
    assert_eq!(window.window().studio.shared.prefs.room, Room::Train);
}
