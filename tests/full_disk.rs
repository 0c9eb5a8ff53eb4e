//! A disk that fills up in the middle of a run: one clear error, a valid folder, and the run goes on when there is space.

#![allow(clippy::unwrap_used)] // a test
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lora_studio::engine::config::RunConfig;
use lora_studio::engine::train::run_dir::{self, Status};
use lora_studio::engine::train::{self, Control, Event};

/// A small file system of its own, gone with the value.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not mount.
    fn new(at: &Path, size: &str) -> Option<Disk> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        let disk = mounted.is_ok_and(|o| o.status.success()).then(|| Disk(at.to_path_buf()));
        if disk.is_none() {
            eprintln!("skipped: this process may not mount a tmpfs");
        }
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_one_error_and_the_run_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&folder.path().join("disk"), "24m") else { return };
    let dir = disk.0.join("run");
    let filler = disk.0.join("filler");
    let mut config = RunConfig::default();
    for change in ["data.max_seq_len=96", "method.rank=4", "train.max_steps=6", "output.save_every=2", "sample.every=0"]
    {
        config.set(change).unwrap();
    }
    config.output.dir = dir.to_str().unwrap().into();

    // Somebody else takes all the space after step 3: the journal, or at the latest the checkpoint of step 4, does not fit.
    let mut errors = Vec::new();
    let result = train::run(&config, None, &Control::new(), &mut |e| match e {
        Event::Step { step: 3, .. } => {
            let status =
                Command::new("sh").args(["-c", "cat /dev/zero > \"$0\" 2>/dev/null; true"]).arg(&filler).status();
            assert!(status.unwrap().success());
        }
        Event::Failed { error } => errors.push(error),
        _ => {}
    });
    let error = result.unwrap_err().to_string();
    assert_eq!(errors, std::slice::from_ref(&error), "said once");
    assert!(error.starts_with("could not ") && error.contains("No space left on device"), "{error}");
    assert!(error.contains(dir.to_str().unwrap()), "{error}");

    // What was there is whole.
    let found = run_dir::summary(&dir);
    assert!(!matches!(found.status, Status::Broken(_) | Status::Running), "{:?}", found.status);
    assert_eq!(found.checkpoints.iter().map(|c| c.step).collect::<Vec<_>>(), [2]);
    train::checkpoint::verify(&found.checkpoints[0].path).unwrap();
    assert!(run_dir::events(&dir).unwrap().all(|e| e.is_ok()));

    // Resuming without space is an error, too, and harms nothing.
    assert!(train::run(&config, Some(&dir), &Control::new(), &mut |_| {}).is_err());
    train::checkpoint::verify(&found.checkpoints[0].path).unwrap();

    std::fs::remove_file(&filler).unwrap();
    train::run(&config, Some(&dir), &Control::new(), &mut |_| {}).unwrap();
    let found = run_dir::summary(&dir);
    assert_eq!((found.status, found.steps, found.has_adapter), (Status::Finished, 6, true));
    let steps: Vec<usize> = run_dir::events(&dir)
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| matches!(e, Event::Step { .. }))
        .filter_map(|e| e.step())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn inputs_of_layers_that_the_disk_has_no_room_for_are_one_error_and_the_run_says_why_it_did_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&folder.path().join("disk"), "2m") else { return };
    let dir = disk.0.join("run");
    let mut config = RunConfig::default();
    for change in ["train.batch_size=16", "train.checkpointing=per-layer", "train.checkpoint_offload=true"] {
        config.set(change).unwrap();
    }
    config.output.dir = dir.to_str().unwrap().into();
    let mut events = Vec::new();
    let error = train::run(&config, None, &Control::new(), &mut |e| events.push(e)).unwrap_err().to_string();
    let what = "could not write the layers' inputs to their file (train.checkpoint_offload): No space left on device";
    assert!(error.starts_with(what) && error.contains(dir.to_str().unwrap()), "{error}");
    assert!(matches!(events.last(), Some(Event::Failed { error: said }) if *said == error), "{events:?}");
    // The room is free again, and the list of runs says why this one has no steps.
    assert_eq!(run_dir::summary(&dir).status, Status::Failed(error));
}
