//! Exporting through the room's state.

use std::time::{Duration, Instant};

use super::*;
use crate::app::adapters::testing;
use crate::app::{Command, Room, Studio};

#[test]
fn names_become_folders_of_any_system() {
    assert_eq!(folder_name("Pirate, take 2: loud/quiet"), "Pirate--take-2--loud-quiet");
    assert_eq!(folder_name(".."), "adapter");
    assert_eq!(folder_name("Käpt'n"), "Käpt-n");
}

#[test]
fn a_full_disk_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let message = check_space(&dir.path().join("new/folder"), u64::MAX).unwrap_err().to_string();
    assert!(message.contains("free, the export needs"), "{message}");
    check_space(dir.path(), 1).unwrap();
}

#[test]
fn the_snippet_is_python_whatever_the_path() {
    let path = PathBuf::from("C:\\a \"b\"");
    let mut done = Exported { path, base: "org/model".into(), parameters: 1, files: vec![] };
    let snippet = done.snippet();
    assert!(snippet.contains(r#"PeftModel.from_pretrained(model, "C:\\a \"b\"")"#), "{snippet}");
    assert!(snippet.contains("base = \"org/model\""));
    done.base = "/models/small.Q4_1.gguf".into();
    let snippet = done.snippet();
    assert!(snippet.contains("base = \"/models\""), "{snippet}");
    assert!(snippet.contains("AutoModelForCausalLM.from_pretrained(base, gguf_file=\"small.Q4_1.gguf\")"));
}

/// A studio in the Export room, with an adapter of the built-in model and a place for exports.
fn studio(dir: &Path) -> (Studio, PathBuf) {
    let adapter = testing::adapter(&dir.join("pirate"), 0.01);
    let mut studio = Studio::open(None, std::sync::Arc::new(|| {}));
    studio.shared.prefs.runs_folder = dir.join("runs").display().to_string();
    studio.shared.prefs.export_folder = dir.join("out").display().to_string();
    studio.apply(Command::Go(Room::Export));
    studio.apply(Command::Export(ExportCommand::Choose(Some(adapter.clone()))));
    wait(&mut studio, |s| s.export.offer.is_some() || s.export.problem.is_some());
    (studio, adapter)
}

fn wait(studio: &mut Studio, done: impl Fn(&Studio) -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !done(studio) {
        assert!(Instant::now() < until, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
        studio.drain();
    }
}

fn write(studio: &mut Studio) {
    studio.apply(Command::Export(ExportCommand::Write));
    wait(studio, |s| s.export.writing.is_none());
}

#[test]
fn what_is_written_is_the_adapter_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (mut studio, adapter) = studio(dir.path());
    let offer = studio.export.offer.clone().unwrap();
    assert_eq!((&*offer.name, &*offer.base_model, offer.rank), ("pirate", "builtin:tiny-chat", 4));
    write(&mut studio);
    let done = studio.export.done.clone().expect("it was written");
    assert_eq!(done.path, dir.path().join("out/pirate"));
    let model = crate::engine::formats::open_named("builtin:tiny-chat").unwrap();
    let (a, b) = (folder::read(&adapter, &model.config).unwrap(), folder::read(&done.path, &model.config).unwrap());
    assert_eq!(a.params, b.params);
    assert_eq!(done.parameters, a.params.len() as u64);
    // What was promised is about what there is.
    let (_, weights) = done.files.iter().find(|(name, _)| name == WEIGHTS_FILE).unwrap();
    assert!(weights.abs_diff(offer.files[0].1) < offer.files[0].1 / 20, "{weights} of {:?}", offer.files);
    assert!(Path::new(&done.base).join("config.json").is_file(), "{}", done.base);

    // Again: ours is replaced.
    write(&mut studio);
    assert!(studio.export.done.is_some());

    // Somebody's folder is not.
    let thesis = dir.path().join("out/thesis");
    std::fs::create_dir_all(&thesis).unwrap();
    std::fs::write(thesis.join("chapter1.tex"), "years of work").unwrap();
    studio.apply(Command::Export(ExportCommand::Name("thesis".into())));
    write(&mut studio);
    assert_eq!(studio.export.done, None);
    let refusal = studio.export.refusal.clone().unwrap();
    assert!(refusal.contains("chapter1.tex") && refusal.contains("choose another folder"), "{refusal}");
    assert_eq!(std::fs::read_dir(&thesis).unwrap().count(), 1);

    // A path is no name.
    studio.apply(Command::Export(ExportCommand::Name("../elsewhere".into())));
    studio.apply(Command::Export(ExportCommand::Write));
    assert!(studio.export.writing.is_none() && studio.export.refusal.clone().unwrap().contains("is a path"));
}

#[test]
fn a_second_export_is_refused_while_one_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut studio, _) = studio(dir.path());
    studio.apply(Command::Export(ExportCommand::Write));
    assert!(studio.export.writing.is_some());
    studio.export.apply(ExportCommand::Write, &mut studio.shared);
    assert!(studio.export.refusal.clone().unwrap().contains("already"), "{:?}", studio.export.refusal);
    wait(&mut studio, |s| s.export.writing.is_none());
    assert!(studio.export.done.is_some());
}

#[test]
fn a_cancelled_export_leaves_nothing_and_one_that_was_faster_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut studio, _) = studio(dir.path());
    let mut cancelled = false;
    // A thread may have written before it is told; not every time.
    for milliseconds in [8, 4, 2, 1].into_iter().chain([0; 50]) {
        if milliseconds == 0 && cancelled {
            break;
        }
        let out = dir.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        studio.apply(Command::Export(ExportCommand::Write));
        std::thread::sleep(Duration::from_millis(milliseconds));
        studio.apply(Command::Export(ExportCommand::Cancel));
        wait(&mut studio, |s| s.export.writing.is_none());
        match (&studio.export.done, &studio.export.refusal) {
            (Some(done), None) => assert!(folder::inspect(&done.path).is_ok()),
            (None, Some(refusal)) => {
                assert_eq!(refusal, "cancelled: nothing was written");
                let left = std::fs::read_dir(&out).into_iter().flatten().count();
                assert_eq!(left, 0, "after {milliseconds} ms");
                cancelled = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(cancelled);
}

#[test]
fn an_adapter_of_another_model_is_refused_in_the_room() {
    let dir = tempfile::tempdir().unwrap();
    let (mut studio, adapter) = studio(dir.path());
    let file = adapter.join(CONFIG_FILE);
    let text = std::fs::read_to_string(&file).unwrap().replace("builtin:tiny-chat", "/moved/away");
    std::fs::write(&file, text).unwrap();
    studio.apply(Command::Export(ExportCommand::Look));
    wait(&mut studio, |s| s.export.problem.is_some());
    assert!(studio.export.problem.clone().unwrap().contains("Model room"));
    // On the prepared model it works.
    studio.apply(Command::Export(ExportCommand::Base(Base::Draft)));
    wait(&mut studio, |s| s.export.offer.is_some());
    assert_eq!(studio.export.offer.clone().unwrap().base_model, "builtin:tiny-chat");
}
