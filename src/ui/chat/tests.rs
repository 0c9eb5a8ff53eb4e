//! The room, driven by accessible names.

use eframe::egui::{Key, Theme};
use egui_kittest::kittest::Queryable;

use crate::app::chat::{ChatCommand, Choice, Phase};
use crate::app::{Command, Room};
use crate::ui::testing::TestWindow;

fn window_with_adapter(size: [f32; 2], theme: Theme) -> TestWindow {
    let mut window = TestWindow::new(size, theme);
    window.wait_until_ready();
    let adapter = crate::app::adapters::testing::adapter(&window.folder.path().join("pirate"), 0.02);
    let studio = &mut window.window().studio;
    studio.shared.prefs.chat.max_new_tokens = 24;
    studio.apply(Command::Go(Room::Chat));
    studio.apply(Command::Chat(ChatCommand::Choose(Choice::Adapter(adapter))));
    window.wait("the adapter is looked at", 30, |w| w.studio.chat.chosen.is_some());
    window
}

fn type_prompt(window: &mut TestWindow, text: &str) {
    window.harness.get_by_label("Prompt").focus();
    window.harness.run_steps(2);
    window.harness.get_by_label("Prompt").type_text(text);
    window.harness.run_steps(2);
}

#[test]
fn a_prompt_typed_and_sent_is_answered_twice_and_compared() {
    let mut window = window_with_adapter([1000.0, 680.0], Theme::Light);
    type_prompt(&mut window, "Hello! Who are you?");
    window.harness.key_press(Key::Enter);
    window.wait("both have answered", 60, |w| w.studio.chat.turns.first().is_some_and(|t| !t.open));
    let turn = &window.window().studio.chat.turns[0];
    assert_eq!(turn.prompt, "Hello! Who are you?");
    assert!(turn.comparison.as_ref().is_some_and(|c| c.mean_kl > 0.0));
    for name in ["Copy base answer 1", "Copy adapted answer 1", "Answer again", "Unload", "Clear"] {
        window.harness.get_by_label(name);
    }
    window.harness.get_by_label("KL divergence from the base");
    // The last prompt comes back to be edited, and replaces itself.
    window.click("Edit the prompt");
    type_prompt(&mut window, " Really?");
    window.click("Send");
    window.wait("it is answered", 60, |w| w.studio.chat.turns.len() == 1 && !w.studio.chat.turns[0].open);
    assert_eq!(window.window().studio.chat.turns[0].prompt, "Hello! Who are you? Really?");
    window.click("Unload");
    assert!(window.window().studio.chat.resident.is_none());
    window.harness.get_by_label("Load");
    window.click("Clear");
    assert!(window.window().studio.chat.turns.is_empty());
}

#[test]
fn without_an_adapter_the_room_says_what_to_do() {
    let mut window = TestWindow::new([1000.0, 680.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Chat);
    window.wait("it is known that there is none", 30, |w| w.studio.chat.chosen.is_some());
    window.harness.get_by_label("No adapter yet");
    window.harness.get_by_label("Open an adapter folder…");
    // Nothing was changed, so nothing can be reset; and the keyboard writes the prompt.
    assert!(window.harness.query_by_label("Reset to defaults").is_none());
    window.harness.input_mut().events.push(eframe::egui::Event::Text("Hello".into()));
    window.harness.run_steps(2);
    assert_eq!(window.harness.get_by_label("Prompt").value().as_deref(), Some("Hello"));
    window.click("Go to training");
    assert_eq!(window.window().studio.shared.prefs.room, Room::Train);
}

#[test]
fn a_model_that_does_not_fit_is_refused_in_the_room_and_the_prompt_stays() {
    let mut window = window_with_adapter([1000.0, 680.0], Theme::Dark);
    type_prompt(&mut window, "Hello!");
    window.window().studio.shared.device.available_bytes = 1 << 20;
    window.click("Send");
    window.harness.get_by_label_contains("does not fit: it takes");
    window.click("Dismiss");
    assert!(window.window().studio.chat.refusal.is_none());
}

/// Pictures of the room with a trained adapter; trains the built-in preset, so it is not part of every test run.
#[test]
#[ignore = "trains for half a minute: for looking at the room"]
fn pictures() {
    for (theme, size, name) in [
        (Theme::Dark, [1280.0, 820.0], "dark"),
        (Theme::Light, [1000.0, 680.0], "small"),
        (Theme::Light, [1900.0, 1000.0], "wide"),
    ] {
        let mut window = TestWindow::new(size, theme);
        window.wait_until_ready();
        let trained = std::path::Path::new("/tmp/rchat-trained");
        if !trained.join("adapter").is_dir() {
            let mut run = window.window().studio.shared.run.clone();
            run.output.dir = trained.display().to_string();
            window.window().studio.apply(Command::Edit(Box::new(run)));
            window.wait_until_ready();
            window.window().studio.apply(Command::Start);
            window.wait("it has trained", 300, |w| !w.studio.is_training());
        }
        window.go(Room::Chat);
        window.wait("looked", 30, |w| w.studio.chat.chosen.is_some());
        window.picture(&format!("chat-none-{name}"));
        let choice = Choice::Adapter(trained.to_path_buf());
        window.window().studio.apply(Command::Chat(ChatCommand::Choose(choice)));
        window.wait("looked", 30, |w| w.studio.chat.chosen.is_some());
        window.picture(&format!("chat-before-{name}"));
        window.window().studio.shared.prefs.chat.temperature = 0.0;
        for prompt in ["Hello! Who are you?", "Please explain to me how to make tea."] {
            window.window().studio.apply(Command::Chat(ChatCommand::Ask(prompt.into())));
            let picture = |w: &mut TestWindow| w.picture(&format!("chat-streaming-{name}"));
            window.wait("some of it", 60, |w| {
                w.studio.chat.turns.last().is_some_and(|t| t.answers[0].as_ref().is_some_and(|a| a.tokens > 8))
            });
            picture(&mut window);
            window.wait("answered", 60, |w| {
                w.studio.chat.resident.as_ref().is_some_and(|r| r.phase == Phase::Idle)
                    && !w.studio.chat.turns.last().unwrap().open
            });
        }
        window.picture(&format!("chat-{name}"));
        window.window().studio.apply(Command::Chat(ChatCommand::Ask(" ".into())));
        window.harness.run_steps(3);
        window.picture(&format!("chat-refusal-{name}"));
        let out = window.folder.path().join("exports").display().to_string();
        let studio = &mut window.window().studio;
        studio.shared.prefs.export_folder = out;
        studio.apply(Command::Go(Room::Export));
        studio.apply(Command::Export(crate::app::export::ExportCommand::Choose(Some(trained.to_path_buf()))));
        window.wait("looked", 30, |w| w.studio.export.offer.is_some());
        window.picture(&format!("export-before-{name}"));
        window.click("Export this adapter");
        window.wait("written", 30, |w| w.studio.export.done.is_some());
        window.picture(&format!("export-{name}"));
    }
}
