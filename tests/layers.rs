//! The layers look down only: `ui → app → engine`, and the command line over the engine.

#![allow(clippy::unwrap_used)] // a test

use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Whether a file under `src/` is of tests alone, or of their helpers.
fn is_of_tests(file: &Path) -> bool {
    let names = ["tests", "tests.rs", "trl_tests.rs", "testing.rs", "test_support.rs"];
    file.iter().any(|part| names.iter().any(|name| part == *name))
}

/// Lines of code under `src/<layer>` that contain one of `words`, outside comments and unit tests, in files that are `read`.
fn lines_with(layer: &str, words: &[&str], read: impl Fn(&Path) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
    let files = sources(&root);
    assert!(files.len() > 3, "{} is not where it was", root.display());
    let mut found = Vec::new();
    for file in files.iter().filter(|file| read(file.strip_prefix(&root).unwrap())) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (i, line) in code.lines().enumerate() {
            let line = line.trim_start();
            if !line.starts_with("//") && words.iter().any(|w| line.contains(w)) {
                found.push(format!("{}:{}: {line}", file.display(), i + 1));
            }
        }
    }
    found
}

#[test]
fn the_engine_knows_nothing_above_it() {
    assert_eq!(lines_with("engine", &["crate::cli", "crate::app", "crate::ui", "eframe", "egui"], |_| true), [""; 0]);
}

#[test]
fn the_engine_prints_nothing() {
    let macros = ["println!", "eprintln!", "print!(", "eprint!(", "dbg!("];
    // Tests may say that they were skipped.
    assert_eq!(lines_with("engine", &macros, |file| !is_of_tests(file)), [""; 0]);
}
