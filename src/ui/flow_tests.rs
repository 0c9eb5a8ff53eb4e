//! The whole way through the window, by accessible names; and what every room looks like.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Rect, Theme, pos2};
use egui_kittest::kittest::Queryable;
use egui_kittest::{SnapshotOptions, SnapshotResults};

use super::testing::TestWindow;
use crate::app::Room;
use crate::app::live::Ending;
use crate::engine::device::Device;
use crate::engine::peft::folder;

/// Clicks an entry of the rail.
fn enter(window: &mut TestWindow, room: Room) {
    let entries: Vec<_> = window.harness.query_all_by_role_and_label(Role::Button, room.title()).collect();
    let rail = entries.iter().find(|entry| entry.rect().right() < super::theme::RAIL + 10.0);
    rail.expect("an entry on the rail").click();
    drop(entries);
    window.harness.run_steps(3);
    assert_eq!(window.window().studio.shared.prefs.room, room);
}

#[test]
fn from_the_first_start_to_an_exported_adapter() {
    let mut window = TestWindow::new([1280.0, 900.0], Theme::Dark);
    window.harness.step();
    let out = window.folder.path().join("exports");
    window.window().studio.shared.prefs.export_folder = out.display().to_string();
    window.window().studio.shared.prefs.chat.max_new_tokens = 24;

    enter(&mut window, Room::Model);
    window.click("Take builtin:tiny-chat");
    enter(&mut window, Room::Data);
    window.click("Use Built-in pirate talk");
    window.wait_until_ready();
    enter(&mut window, Room::Method);
    window.click("Preset: Quickstart");
    window.click("Checkpointing: None");
    enter(&mut window, Room::Train);
    window.wait("the gate is open", 30, |w| w.studio.may_start());
    window.click("Start training");
    window.wait("the first point is there within ten seconds", 10, |w| {
        w.studio.view.as_ref().is_some_and(|v| v.newest.is_some())
    });
    window.wait("the run ends", 120, |w| w.studio.view.as_ref().is_some_and(|v| v.ending.is_some()));
    let view = window.window().studio.view.as_ref().unwrap();
    assert_eq!(view.ending, Some(Ending::Finished));
    let loss = view.loss.smooth();
    assert!(loss.last().unwrap()[1] < 0.5 * loss.first().unwrap()[1]);
    assert!(!view.samples.is_empty() && !view.norms.is_empty());

    window.click("Chat with it");
    window.wait("the adapter is looked at", 30, |w| w.studio.chat.chosen.is_some());
    window.harness.get_by_label("Prompt").focus();
    window.harness.run_steps(2);
    window.harness.get_by_label("Prompt").type_text("Hello! Who are you?");
    window.harness.run_steps(2);
    window.harness.key_press(Key::Enter);
    window.wait("both have answered", 60, |w| w.studio.chat.turns.first().is_some_and(|t| !t.open));
    let compared = window.window().studio.chat.turns[0].comparison.as_ref().map(|c| c.mean_kl);
    assert!(compared.is_some_and(|kl| kl > 0.1), "{compared:?}");

    enter(&mut window, Room::Export);
    window.wait("the adapter is offered", 30, |w| w.studio.export.offer.is_some());
    window.click("Export this adapter");
    window.wait("it is written", 30, |w| w.studio.export.writing.is_none());
    let model = crate::engine::formats::open_named("builtin:tiny-chat").unwrap();
    let exported: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(exported.len(), 1);
    assert!(folder::read(&exported[0], &model.config).unwrap().params.iter().any(|p| *p != 0.0));

    enter(&mut window, Room::Runs);
    window.wait("the run is listed", 30, |w| w.studio.runs.list.as_ref().is_some_and(|l| l.len() == 1));
}

/// Compared with `tests/snapshots`; `UPDATE_SNAPSHOTS=1` takes new ones. What differs from machine to machine is masked.
#[test]
fn rooms_look_as_they_did() {
    let mut results = SnapshotResults::new();
    for (theme, name) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
        let mut window = TestWindow::new([1100.0, 760.0], theme);
        window.wait_until_ready();
        window.window().studio.fix_device(Device {
            kind: "cpu",
            name: "A processor".into(),
            cores: 8,
            threads: 8,
            memory_bytes: 16 << 30,
            available_bytes: 12 << 30,
            others_bytes: 3 << 30,
            driver: None,
            features: Vec::new(),
        });
        if !window.picture("probe") {
            return;
        }
        for room in Room::ALL {
            window.go(room);
            window.wait("nothing is being read", 30, |w| match room {
                Room::Chat => w.studio.chat.chosen.is_some(),
                Room::Export => w.studio.adapters.known(),
                Room::Runs => w.studio.runs.list.is_some(),
                Room::Train => w.studio.may_start(),
                _ => true,
            });
            for _ in 0..30 {
                window.harness.step();
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let machine = [window.folder.path().display().to_string(), home(), "are free: ".into()];
            let rects: Vec<_> = machine
                .iter()
                .flat_map(|text| window.harness.query_all_by_label_contains(text).map(|node| node.rect()))
                .collect();
            for rect in rects {
                // To the end of the line: how long it is differs, too.
                let end = pos2(rect.right().max(1050.0), rect.bottom());
                window.harness.mask(Rect::from_min_max(rect.min, end));
            }
            let options = SnapshotOptions::new().max_failed_pixels(60usize);
            window.harness.snapshot_options(format!("{}-{name}", room.title().to_lowercase()), &options);
        }
        results.extend_harness(&mut window.harness);
    }
}

fn home() -> String {
    dirs::home_dir().unwrap().display().to_string()
}
