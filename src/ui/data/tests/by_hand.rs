//! What a person corrects: columns, words for speakers, findings, rows that cannot be read, the template.

use super::*;

/// Opens a list and takes an entry.
fn choose(window: &mut TestWindow, list: &str, entry: &str) {
    window.click(list);
    window.harness.run_steps(4);
    window.click(entry);
    window.harness.run_steps(4);
}

fn picture(window: &mut TestWindow, name: &str) {
    window.harness.run_steps(4);
    window.picture(name);
}

#[test]
fn columns_of_unknown_names_are_chosen_by_hand() {
    let mut window = open();
    let path = file(&window, "rows.csv", "id,frage,antwort\n1,Was ist 2+2?,4\n2,Was ist 3+3?,6\n");
    type_path(&mut window, &path);
    assert!(matches!(window.window().studio.readiness(Room::Data), Readiness::Blocked(_)));
    picture(&mut window, "data-columns");
    choose(&mut window, "question", "frage");
    assert!(shows(&window, "Choose a column for answer"));
    assert!(window.window().studio.shared.run.data.columns.is_empty(), "half of them are not enough");
    choose(&mut window, "answer", "antwort");
    settle(&mut window);
    let run = window.window().studio.shared.run.clone();
    assert_eq!(run.data.columns["question"], "frage");
    assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready);
    assert!(shows(&window, "question from \"frage\", answer from \"antwort\"; not read: \"id\""));
    picture(&mut window, "data-columns-done");
    // Back to what is found, which is nothing.
    choose(&mut window, "answer", "id");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.columns["answer"], "id");
    // Another file has other columns.
    window.click("Use Built-in pirate talk");
    settle(&mut window);
    assert!(window.window().studio.shared.run.data.columns.is_empty());
    assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready);
}

#[test]
fn words_for_speakers_are_explained() {
    let mut window = open();
    let row =
        "{\"messages\":[{\"role\":\"Kunde\",\"content\":\"Hallo\"},{\"role\":\"Laden\",\"content\":\"Guten Tag\"}]}\n";
    let path = file(&window, "rows.jsonl", row.repeat(3));
    type_path(&mut window, &path);
    assert!(shows(&window, "say which role it stands for"));
    picture(&mut window, "data-roles");
    choose(&mut window, "\"Kunde\" is", "the user");
    settle(&mut window);
    choose(&mut window, "\"Laden\" is", "the model");
    settle(&mut window);
    assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready);
    assert_eq!(window.window().studio.shared.run.data.roles["Laden"], "assistant");
    // A word that the first rows do not have.
    window.click("Change columns");
    window.click("Another word for a speaker");
    window.harness.get_by_label("Another word for a speaker").type_text("Chef");
    window.harness.run_steps(3);
    window.click("Add the word");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.roles["Chef"], "system");
}

#[test]
fn findings_lead_to_their_row_and_to_a_way_out() {
    let mut window = open();
    let long = "word ".repeat(60);
    let rows = format!(
        "{QUESTIONS}{{\"question\":\"2+2?\",\"answer\":\"4\"}}\n{{\"question\":\"q\",\"answer\":\"{long}\"}}\n"
    );
    let path = file(&window, "rows.jsonl", rows);
    type_path(&mut window, &path);
    let mut run = window.window().studio.shared.run.clone();
    run.data.max_seq_len = 64;
    window.window().studio.apply(crate::app::Command::Edit(Box::new(run)));
    settle(&mut window);
    assert!(shows(&window, "1 row loses the end of its answer"));
    picture(&mut window, "data-findings");
    window.click("row 3");
    window.wait("the repeated row is shown", 20, |w| w.studio.data.look.row == 2);
    // The way through the rows of the finding, which has this one.
    assert!(shows(&window, "1 of 1"));
    window.click("Go through");
    window.harness.run_steps(4);
    window.click("Cut (1)");
    window.wait("the cut row is shown", 20, |w| w.studio.data.look.row == 3);
    picture(&mut window, "data-go-through");
    window.click("row 3");
    let fix = window.harness.get_by_label_contains("Make room for");
    fix.click();
    window.harness.run_steps(3);
    settle(&mut window);
    assert!(window.window().studio.shared.run.data.max_seq_len > 64);
    assert!(!shows(&window, "loses the end"));
    window.click("Keep the first of each");
    settle(&mut window);
    assert!(window.window().studio.shared.run.data.deduplicate);
    assert_eq!(window.window().studio.readiness(Room::Data), Readiness::Ready);
    // Left out, as was asked for, and the row says so.
    settle(&mut window);
    assert!(shows(&window, "This row is left out: it says the same as an earlier row"));
}

#[test]
fn a_part_of_a_data_set_of_the_hub_is_chosen() {
    use crate::app::data::HubData;
    use crate::engine::hub::{DatasetConfig, DatasetParts, DatasetSplit, HubId, RepoKind};

    let mut window = open();
    let split = |name: &str, bytes| DatasetSplit { name: name.into(), files: vec![(format!("{name}.jsonl"), bytes)] };
    let config = |name: &str, splits: &[DatasetSplit]| DatasetConfig { name: name.into(), splits: splits.to_vec() };
    let main = config("main", &[split("train", 4 << 20), split("test", 1 << 20), split("validation", 900 << 10)]);
    let parts = DatasetParts { commit: "a".repeat(40), configs: vec![main, config("other", &[split("all", 1 << 10)])] };
    let id = HubId::parse("nobody-of-this-name/rows-that-are-not-here", RepoKind::Dataset).unwrap();
    // What was asked of the Hub; the rows themselves are not here.
    let hub = HubData { id: id.clone(), parts: Some(parts), asked: true };
    let mut run = window.window().studio.shared.run.clone();
    run.data.train = id.to_string();
    window.window().studio.apply(crate::app::Command::Edit(Box::new(run)));
    let wait = |window: &mut TestWindow| {
        window.wait("the rows are missed", 20, |w| !w.studio.data.busy() && w.studio.data.problem.is_some());
        window.window().studio.data.hub = Some(hub.clone());
        window.harness.run_steps(3);
    };
    wait(&mut window);
    window.window().studio.data.problem.as_mut().unwrap().part = crate::engine::hub::PartChoice::default();
    window.harness.get_by_label("Download it");
    picture(&mut window, "data-hub-parts");
    let data = |window: &mut TestWindow| window.window().studio.shared.run.data.clone();
    window.click("Validation: A split");
    assert_eq!(data(&mut window).validation, id.to_string());
    assert_eq!(data(&mut window).hub_validation_split, "validation");
    wait(&mut window);
    picture(&mut window, "data-hub-validation");
    window.click("Validation split");
    window.harness.run_steps(4);
    window.click("test · 1.0 MiB");
    assert_eq!(data(&mut window).hub_validation_split, "test");
    wait(&mut window);
    // What is trained on is not validated on.
    window.click("split");
    window.harness.run_steps(4);
    let all: Vec<_> = window.harness.query_all_by_label("test · 1.0 MiB").collect();
    all.last().unwrap().click();
    drop(all);
    window.harness.run_steps(3);
    let settings = data(&mut window);
    assert_eq!((settings.hub_split.as_str(), settings.hub_validation_split.as_str()), ("test", ""));
    assert!(settings.validation.is_empty());
    wait(&mut window);
    window.click("configuration");
    window.harness.run_steps(4);
    window.click("other");
    let settings = data(&mut window);
    assert_eq!((settings.hub_config.as_str(), settings.hub_split.as_str()), ("other", ""));
    wait(&mut window);
    // It has one split alone, and so none to validate on.
    assert!(!shows(&window, "Validation: A split"));
    // Other rows have no such parts.
    window.click("Use Built-in pirate talk");
    settle(&mut window);
    assert_eq!(data(&mut window).hub_config, "");
    assert!(window.window().studio.data.hub.is_none());
}

#[test]
fn nothing_odd_is_said_calmly() {
    let mut window = open();
    settle(&mut window);
    assert!(shows(&window, "Nothing odd was found in 360 rows; the masks of"));
}

#[test]
fn wrong_rows_are_left_out_when_that_is_wished() {
    let mut window = open();
    std::fs::create_dir(window.folder.path().join("both")).unwrap();
    file(&window, "both/a.jsonl", QUESTIONS);
    file(&window, "both/b.jsonl", format!("{QUESTIONS}{{\"question\" 3}}\n"));
    let folder = window.folder.path().join("both").display().to_string();
    type_path(&mut window, &folder);
    assert!(shows(&window, "b.jsonl, line 3"));
    assert!(!window.window().studio.may_start());
    window.click("Leave these rows out");
    settle(&mut window);
    let readiness = window.window().studio.readiness(Room::Data);
    assert_eq!(readiness, Readiness::Warning("1 row cannot be read and is left out".into()));
    assert!(shows(&window, "b.jsonl, line 3") && shows(&window, "and is left out"));
    picture(&mut window, "data-wrong-left-out");
    window.click("Do not leave them out");
    settle(&mut window);
    assert!(matches!(window.window().studio.readiness(Room::Data), Readiness::Blocked(_)));
}

/// Replaces the text in the editor, as a person does.
fn write_template(window: &mut TestWindow, text: &str) {
    window.harness.get_by_label("Template text").focus();
    window.harness.run_steps(2);
    window.harness.key_press_modifiers(eframe::egui::Modifiers::COMMAND, Key::A);
    window.harness.run_steps(2);
    window.harness.get_by_label("Template text").type_text(text);
    window.harness.run_steps(2);
}

#[test]
fn the_template_is_edited_broken_and_given_back() {
    let mut window = open();
    settle(&mut window);
    window.click("Show as: text");
    window.click("Edit the template");
    picture(&mut window, "data-template");
    let own = "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}";
    write_template(&mut window, own);
    window.wait("the template is taken over", 20, |w| w.studio.shared.run.data.chat_template == own);
    settle(&mut window);
    let text = |w: &mut TestWindow| match &w.window().studio.data.look.shown {
        Some(Ok(preview)) => preview.text.clone(),
        other => panic!("{other:?}"),
    };
    assert!(text(&mut window).starts_with("[user] "), "{}", text(&mut window));

    write_template(&mut window, "{% for m in %}");
    window.wait("the fault is said", 20, |_| true);
    for _ in 0..60 {
        window.harness.step();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(shows(&window, "(line 1 of the template)"));
    assert!(shows(&window, "It is not used"));
    assert_eq!(window.window().studio.shared.run.data.chat_template, own, "the last good one stays");
    assert!(text(&mut window).starts_with("[user] "));
    picture(&mut window, "data-template-broken");

    window.click("Back to the model's own");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.chat_template, "");
    assert!(!shows(&window, "It is not used"));
    assert!(text(&mut window).starts_with("<|im_start|>"));
    choose(&mut window, "Written with", "ChatML");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.chat_template, "chatml");
}

#[test]
fn rows_of_one_kind_are_gone_through() {
    let mut window = open();
    let again = "{\"question\":\"2+2?\",\"answer\":\"4\"}\n";
    let silent = "{\"question\":\"x\",\"answer\":\"\"}\n";
    let path = file(&window, "rows.jsonl", format!("{QUESTIONS}{again}{silent}{again}"));
    type_path(&mut window, &path);
    choose(&mut window, "Go through", "Repeated (2)");
    window.wait("the first repeated row", 20, |w| w.studio.data.look.row == 2);
    assert!(shows(&window, "1 of 2"));
    window.click("Next row");
    window.wait("the second one", 20, |w| w.studio.data.look.row == 4);
    assert!(shows(&window, "2 of 2"));
    picture(&mut window, "data-filter");
    window.click("Previous row");
    window.wait("the first again", 20, |w| w.studio.data.look.row == 2);
    choose(&mut window, "Go through", "Cut (0)");
    assert!(shows(&window, "there is none"));
    choose(&mut window, "Go through", "All rows");
    window.click("Next row");
    window.wait("the next one", 20, |w| w.studio.data.look.row == 3);
}

#[test]
fn what_a_finding_took_away_is_given_back() {
    let mut window = open();
    let silent = "{\"question\":\"x\",\"answer\":\"\"}\n";
    let path = file(&window, "rows.jsonl", format!("{QUESTIONS}{silent}"));
    type_path(&mut window, &path);
    assert!(shows(&window, "1 row: an empty answer."));
    window.click("Leave such rows out");
    settle(&mut window);
    assert_eq!(window.window().studio.shared.run.data.leave_out, ["empty-answer"]);
    assert!(shows(&window, "1 row is left out: an empty answer."));
    picture(&mut window, "data-left-out");
    window.click("Leave out rows with this: an empty answer");
    settle(&mut window);
    assert!(window.window().studio.shared.run.data.leave_out.is_empty());
    assert!(shows(&window, "1 row: an empty answer."));
}

#[test]
fn plain_text_needs_no_template() {
    let mut window = open();
    let path = file(&window, "t.txt", "one line\nanother line\n");
    type_path(&mut window, &path);
    assert!(shows(&window, "no template is used"));
    assert!(!shows(&window, "Written with"));
}
