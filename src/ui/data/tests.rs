use eframe::egui::{Key, Theme};
use egui_kittest::kittest::{NodeT, Queryable};

use crate::app::{Readiness, Room};
use crate::engine::config::{DataFormat, LossOn};
use crate::ui::testing::TestWindow;

mod by_hand;

fn open() -> TestWindow {
    let mut window = TestWindow::new([1000.0, 1500.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Data);
    window
}

fn file(window: &TestWindow, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = window.folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Types a path, as a person does.
fn type_path(window: &mut TestWindow, path: &str) {
    window.click("Training rows path");
    let field = window.harness.get_by_label("Training rows path");
    field.focus();
    window.harness.key_press_modifiers(eframe::egui::Modifiers::COMMAND, Key::A);
    window.harness.run_steps(2);
    window.harness.get_by_label("Training rows path").type_text(path);
    window.harness.run_steps(2);
    window.harness.key_press(Key::Enter);
    window.harness.run_steps(3);
    assert_eq!(window.window().studio.shared.run.data.train, path);
    settle(window);
}

fn settle(window: &mut TestWindow) {
    window.wait("the row is shown", 30, |w| {
        let data = &w.studio.data;
        let shown = data.look.shown.is_some() && !data.look.waiting();
        !data.busy() && (shown || data.survey.as_ref().is_none_or(|s| s.train.is_empty()))
    });
}

fn shows(window: &TestWindow, part: &str) -> bool {
    window.harness.query_all_by_label_contains(part).next().is_some()
}

const QUESTIONS: &str = "{\"question\":\"2+2?\",\"answer\":\"4\"}\n{\"question\":\"3+3?\",\"answer\":\"6\"}\n";

#[test]
fn the_built_in_rows_are_there_and_their_ends_are_trained() {
    let mut window = open();
    settle(&mut window);
    assert!(shows(&window, "end of turn, trained"));
    assert!(!shows(&window, "0 end of turn, trained"));
    assert!(shows(&window, "detected: \"messages\" with \"role\" and \"content\""));
    window.click("Show as: chat");
    assert!(shows(&window, "Assistant") && shows(&window, "User"));
    window.click("Show as: text");
    assert!(shows(&window, "Rendered row"));
    window.click("Show as: tokens");
    assert!(shows(&window, "Tokens of the row"));
    window.click("Next row");
    window.wait("row 2", 20, |w| matches!(&w.studio.data.look.shown, Some(Ok(p)) if p.row.index == 1));
    window.click("Previous row");
    window.wait("row 1", 20, |w| matches!(&w.studio.data.look.shown, Some(Ok(p)) if p.row.index == 0));
}

#[test]
fn a_file_of_each_format_is_typed_and_read() {
    let mut window = open();
    for (name, text, format) in [
        ("q.jsonl", QUESTIONS, DataFormat::QuestionAnswer),
        (
            "m.json",
            "[{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}]",
            DataFormat::Messages,
        ),
        (
            "s.json",
            "[{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}]",
            DataFormat::ShareGpt,
        ),
        ("a.json", "[{\"instruction\":\"a\",\"input\":\"\",\"output\":\"b\"}]", DataFormat::Alpaca),
        ("p.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}", DataFormat::PromptCompletion),
        ("t.txt", "one line\nanother line\n", DataFormat::Text),
    ] {
        let path = file(&window, name, text);
        type_path(&mut window, &path);
        let survey = window.window().studio.data.survey.clone().unwrap();
        assert_eq!(survey.train.summary.reading.format, format, "{name}");
        assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready, "{name}");
        assert!(!shows(&window, "0 end of turn, trained"), "{name}");
    }
    assert!(shows(&window, "Use p.jsonl"));
    window.click("Use Built-in pirate talk");
    assert_eq!(window.window().studio.shared.run.data.train, "builtin:pirate");
}

#[test]
fn wrong_rows_are_listed_with_their_lines() {
    let mut window = open();
    let path =
        file(&window, "wrong.jsonl", format!("{QUESTIONS}{{\"question\" 3}}\n{{\"question\":\"a\",\"answer\":7}}\n"));
    type_path(&mut window, &path);
    assert!(shows(&window, "2 rows of the training file cannot be read"));
    assert!(shows(&window, "line 3") && shows(&window, "line 4"));
    assert!(shows(&window, "\"answer\" is the number 7; expected a text"));
    assert!(matches!(window.window().studio.readiness(Room::Data), Readiness::Blocked(_)));
    window.picture("data-wrong-rows");
    // Each of them can be looked at.
    window.click("line 3");
    window.wait("the row is shown", 20, |w| matches!(&w.studio.data.look.shown, Some(Ok(p)) if p.row.line == 3));
    assert!(shows(&window, "This row cannot be read: not valid JSON") && shows(&window, "{\"question\" 3}"));
    window.picture("data-wrong-row");
    window.click("Next row");
    window.wait("the next one is shown", 20, |w| matches!(&w.studio.data.look.shown, Some(Ok(p)) if p.row.line == 4));
    assert!(shows(&window, "This row cannot be read: \"answer\" is the number 7") && shows(&window, "\"answer\": 7"));
    window.click("Back to the others");
    window.wait("row 1", 20, |w| !w.studio.data.look.waiting() && w.studio.data.look.wrong.is_none());
    std::fs::write(&path, QUESTIONS).unwrap();
    window.click("Read again");
    settle(&mut window);
    assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready);
}

#[test]
fn a_file_that_is_none_says_so_in_the_room() {
    let mut window = open();
    for (name, bytes, text) in [
        ("empty.jsonl", &b""[..], "The data set is empty"),
        ("zip.jsonl", b"PK\x03\x04....", "The file is a zip archive: unpack it first"),
        ("binary.json", b"\x7FELF\0\x01", "The file holds zero bytes: it is binary"),
    ] {
        let path = file(&window, name, bytes);
        type_path(&mut window, &path);
        assert!(shows(&window, text), "{name}");
    }
    let folder = window.folder.path().display().to_string();
    std::fs::create_dir(format!("{folder}/nothing")).unwrap();
    type_path(&mut window, &format!("{folder}/nothing"));
    assert!(shows(&window, "There is no data file in this folder"));
    type_path(&mut window, &format!("{folder}/none.jsonl"));
    assert!(shows(&window, "There is no such data file"));
    window.picture("data-missing");
}

/// What newcomers come with. The pictures are for the eyes of whoever changes the room.
#[test]
fn files_of_newcomers_are_read_or_refused_in_plain_words() {
    let mut window = open();
    let pair = |chosen: &str| format!("{{\"prompt\":\"Hi\",\"chosen\":\"{chosen}\",\"rejected\":\"no\"}}\n");
    let broken = format!("{QUESTIONS}{{'question': '4+4?', 'answer': '8'}}\n{{\"question\":\"5+5?\"}}\n{QUESTIONS}");
    for (name, text, parts) in [
        (
            "odd-columns.csv",
            "Frage;Antwort;Quelle\nWie geht's?;Gut;Forum\nUnd dir?;Auch gut;Forum\n",
            "no known format",
        ),
        ("broken.jsonl", broken.as_str(), "2 rows of the training file cannot be read"),
        ("empty.jsonl", "", "The data set is empty"),
        ("preference.jsonl", &(pair("yes") + &pair("yes, sir")), "rows of the training file cannot be read"),
        (
            "roles.jsonl",
            "{\"messages\":[{\"role\":\"Kunde\",\"content\":\"Hallo\"}]}\n",
            "is not known: say which role",
        ),
    ] {
        let path = file(&window, name, text);
        type_path(&mut window, &path);
        assert!(shows(&window, parts), "{name}");
        for key in ["data.format", "data.columns", "data.roles", "on_bad_row", "max_seq_len", "`"] {
            let shown: Vec<_> =
                window.harness.query_all_by_label_contains(key).filter_map(|n| n.accesskit_node().label()).collect();
            assert!(shown.is_empty(), "{name}: {shown:?}");
        }
        window.picture(&format!("data-newcomer-{}", name.split('.').next().unwrap()));
    }
}

#[test]
fn the_format_is_corrected() {
    let mut window = open();
    let rows = "{\"text\":\"plain\",\"question\":\"q\",\"answer\":\"a\"}\n";
    let path = file(&window, "both.jsonl", rows);
    type_path(&mut window, &path);
    assert_eq!(
        window.window().studio.data.survey.clone().unwrap().train.summary.reading.format,
        DataFormat::QuestionAnswer
    );
    window.click("Format");
    window.harness.run_steps(4);
    window.click("Plain text");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.format, DataFormat::Text);
    assert_eq!(window.window().studio.data.survey.clone().unwrap().train.summary.reading.format, DataFormat::Text);
    assert!(shows(&window, "chosen by you"));
    // One that the rows do not have.
    window.click("Format");
    window.harness.run_steps(4);
    window.click("Alpaca instructions");
    settle(&mut window);
    assert!(shows(&window, "there is no \"instruction\""));
}

#[test]
fn settings_are_taken_over_and_the_cut_follows() {
    let mut window = open();
    settle(&mut window);
    window.click("Packing");
    window.click("Shuffle");
    window.click("Train on: All tokens");
    let before = crate::app::draft::first_run().data;
    let data = window.window().studio.shared.run.data.clone();
    assert_eq!((data.packing, data.shuffle, data.loss_on), (!before.packing, !before.shuffle, LossOn::All));
    settle(&mut window);
    assert!(shows(&window, "0 ignored") || shows(&window, "1 ignored"));
    let mut run = window.window().studio.shared.run.clone();
    run.data.max_seq_len = 20;
    window.window().studio.apply(crate::app::Command::Edit(Box::new(run)));
    window.harness.run_steps(3);
    assert!(shows(&window, "cut off") && shows(&window, "longer than 20 tokens"));
    window.click("Validation: A share");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.validation_fraction, 0.05);
    assert!(shows(&window, "rows are held out"));
    window.click("Validation: A number");
    settle(&mut window);
    let data = window.window().studio.shared.run.data.clone();
    assert_eq!((data.validation_fraction, data.validation_rows), (0.0, 50));
    assert!(shows(&window, "50 rows are held out"));
    window.click("Validation: None");
    let data = window.window().studio.shared.run.data.clone();
    assert_eq!((data.validation_fraction, data.validation_rows), (0.0, 0));
    window.click("Train on: Only the last answer");
    assert_eq!(window.window().studio.shared.run.data.loss_on, LossOn::LastTurn);
    window.click("Leave out repeated rows");
    assert!(window.window().studio.shared.run.data.deduplicate);
}

#[test]
fn nothing_trained_blocks_the_start() {
    let mut window = open();
    let path = file(&window, "silent.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}\n");
    type_path(&mut window, &path);
    assert!(shows(&window, "it has no assistant turn to train on"));
    assert!(!window.window().studio.may_start());
    window.picture("data-nothing-trained");
}

#[test]
fn a_search_goes_to_the_row() {
    let mut window = open();
    let path = file(&window, "q.jsonl", QUESTIONS);
    type_path(&mut window, &path);
    window.click("Find in rows");
    window.harness.get_by_label("Find in rows").type_text("3+3");
    window.harness.run_steps(2);
    window.click("Find next");
    window.wait("row 2", 20, |w| matches!(&w.studio.data.look.shown, Some(Ok(p)) if p.row.index == 1));
}

#[test]
fn the_room_is_drawn_with_real_rows() {
    let shared = std::env::var_os("LORA_STUDIO_DATA").map(std::path::PathBuf::from);
    let shared = shared.unwrap_or_else(|| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    for (theme, size, name) in [
        (Theme::Dark, [1280.0, 1240.0], "dark"),
        (Theme::Light, [1280.0, 1240.0], "light"),
        (Theme::Dark, [1000.0, 680.0], "small"),
    ] {
        let mut window = TestWindow::new(size, theme);
        window.wait_until_ready();
        window.go(Room::Data);
        let real = shared.join("gsm8k_test.jsonl");
        if real.exists() {
            let mut run = window.window().studio.shared.run.clone();
            run.data.train = real.display().to_string();
            window.window().studio.apply(crate::app::Command::Edit(Box::new(run)));
            window.harness.run_steps(2);
        }
        settle(&mut window);
        for shape in ["chat", "text", "tokens"] {
            window.click(&format!("Show as: {shape}"));
            if !window.picture(&format!("data-{shape}-{name}")) {
                return;
            }
        }
    }
}
