use super::*;
use crate::engine::formats::StagedFolder;

fn step(step: usize) -> Event {
    Event::Step {
        step,
        epoch: 0.0,
        loss: 1.0 / step as f64,
        learning_rate: 1e-4,
        grad_norm: 1.0,
        tokens: 1,
        supervised_tokens: 1,
        tokens_per_second: 1.0,
        memory_bytes: 1,
    }
}

fn config(dir: &Path) -> RunConfig {
    let mut config = RunConfig::default();
    config.output.dir = dir.to_string_lossy().into_owned();
    config
}

fn recorded(run: &Path) -> Vec<Event> {
    events(run).unwrap().collect::<Result<_>>().unwrap()
}

#[test]
fn a_new_folder_holds_the_complete_settings_and_the_inputs_hashes() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("rows.jsonl");
    fs::write(&data, "abc").unwrap();
    let model = temp.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("config.json"), "").unwrap();
    fs::write(model.join("picture.png"), "x").unwrap();
    let mut run = RunDir::create(&config(&temp.path().join("run")), &[model, data.clone()]).unwrap();
    // Valid before the hashes are known, too.
    RunConfig::load(run.path().join("run.toml")).unwrap();
    run.finish_record().unwrap();
    let record = RunConfig::load(run.path().join("run.toml")).unwrap().record.unwrap();
    assert_eq!(record.version, env!("CARGO_PKG_VERSION"));
    assert!(record.created.parse::<jiff::Timestamp>().is_ok(), "{}", record.created);
    let (mut again, mut changed) = {
        let path = run.path().to_path_buf();
        drop(run);
        RunDir::resume(&path).unwrap()
    };
    changed.train.epochs = 7;
    changed.record = None;
    again.change(&changed).unwrap();
    let file = RunConfig::load(again.path().join("run.toml")).unwrap();
    assert_eq!((file.train.epochs, file.record.as_ref()), (7, Some(&record)));
    // `printf abc | sha256sum`, and of nothing.
    let hashes: Vec<(u64, &str)> = record.files.iter().map(|f| (f.bytes, f.sha256.as_str())).collect();
    assert_eq!(
        hashes,
        [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ]
    );
    assert_eq!(changed_inputs(&record), Vec::<String>::new());
    fs::write(&data, "abd").unwrap();
    assert_eq!(changed_inputs(&record), [format!("an input has changed since the run began: {}", data.display())]);
    fs::remove_file(&data).unwrap();
    assert!(changed_inputs(&record)[0].contains("is gone"));
}

#[test]
fn two_runs_never_share_a_folder() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("run");
    let run = RunDir::create(&config(&folder), &[]).unwrap();
    let second = RunDir::create(&config(&folder), &[]).expect_err("locked").to_string();
    assert!(second.contains("another process trains in this folder"), "{second}");
    assert!(RunDir::resume(&folder).expect_err("locked").to_string().contains("another process"));
    drop(run);
    let third = RunDir::create(&config(&folder), &[]).expect_err("taken").to_string();
    assert!(third.contains("already holds a run") && third.contains("--resume"), "{third}");
    let (run, config) = RunDir::resume(&folder).unwrap();
    assert_eq!(config.model, RunConfig::default().model);
    drop(run);
    let none = RunDir::resume(temp.path()).expect_err("no run").to_string();
    assert!(none.starts_with("this is not a run folder: it has no run.toml"), "{none}");
}

#[test]
fn folders_of_the_same_second_get_a_number() {
    let temp = tempfile::tempdir().unwrap();
    let mut names: Vec<PathBuf> = (0..5).map(|_| fresh_folder(temp.path(), "a-b").unwrap()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5);
    let mut run = RunConfig::default();
    assert_eq!(run_name(&run), "tiny-chat-pirate");
    run.model.source = "/models/SmolLM2-135M.Q4_1.gguf".into();
    run.data.train = "..\\data\\my rows é.jsonl".into();
    assert_eq!(run_name(&run), "SmolLM2-135M.Q4_1-my-rows--");
}

#[test]
fn rewind_keeps_what_led_to_the_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&config(temp.path()), &[]).unwrap();
    let started = Event::Started {
        run_dir: temp.path().into(),
        trainable_parameters: 1,
        total_parameters: 2,
        plan_bytes: 3,
        total_steps: 9,
    };
    let sample = |step| Event::Sample { step, prompt: "p".into(), base: "b".into(), adapted: "a".into() };
    run.record(&started).unwrap();
    for s in 1..=5 {
        run.record(&step(s)).unwrap();
        run.record(&sample(s)).unwrap();
    }
    run.record(&Event::Failed { error: "x".into() }).unwrap();
    drop(run);
    // The process died in the middle of a line.
    let metrics = temp.path().join("metrics.jsonl");
    append(&metrics).unwrap().write_all(b"{\"event\":\"step\",\"st").unwrap();
    assert_eq!(recorded(temp.path()).len(), 7);

    let (mut run, _) = RunDir::resume(temp.path()).unwrap();
    run.rewind(3, false).unwrap();
    run.record(&step(4)).unwrap();
    let expected: Vec<Event> = std::iter::once(started).chain((1..=4).map(step)).collect();
    assert_eq!(recorded(temp.path()), expected);
    let samples = |run: &Path| super::samples(run).unwrap().collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(samples(temp.path()), [sample(1), sample(2), sample(3)]);

    // A run that had made its last step says again what comes after it.
    run.record(&Event::Eval { step: 3, loss: 0.5 }).unwrap();
    run.record(&Event::Eval { step: 4, loss: 0.5 }).unwrap();
    run.record(&Event::Checkpoint { step: 4, path: "x".into() }).unwrap();
    run.record(&sample(4)).unwrap();
    run.rewind(4, true).unwrap();
    let mut expected = expected;
    expected.push(Event::Eval { step: 3, loss: 0.5 });
    assert_eq!(recorded(temp.path()), expected);
    assert_eq!(samples(temp.path()), [sample(1), sample(2), sample(3)]);
}

#[test]
fn the_newest_checkpoints_are_kept_and_leftovers_ignored() {
    let temp = tempfile::tempdir().unwrap();
    let run = RunDir::create(&config(temp.path()), &[]).unwrap();
    for s in [5, 100, 20, 10] {
        fs::create_dir(run.checkpoint_dir(s)).unwrap();
        fs::write(run.checkpoint_dir(s).join("x"), "").unwrap();
    }
    let half = temp.path().join("checkpoints/.step-200.Xy12ab.tmp");
    fs::create_dir(&half).unwrap();
    fs::write(temp.path().join("checkpoints/step-300"), "a file").unwrap();
    let steps = |run: &RunDir| run.checkpoints().unwrap().iter().map(|c| c.step).collect::<Vec<_>>();
    assert_eq!(steps(&run), [100, 20, 10, 5]);
    run.prune(2).unwrap();
    assert_eq!(steps(&run), [100, 20]);
    run.prune(0).unwrap();
    assert_eq!(steps(&run), [100]);
    drop(run);
    assert!(half.exists());
    let (run, _) = RunDir::resume(temp.path()).unwrap();
    assert!(!half.exists(), "an unfinished checkpoint is removed");
    assert_eq!(steps(&run), [100]);
}

#[test]
fn what_a_dead_process_left_goes_and_what_others_put_there_stays() {
    let temp = tempfile::tempdir().unwrap();
    drop(RunDir::create(&config(temp.path()), &[]).unwrap());
    let path = |name: &str| temp.path().join(name);
    // Temporary names as they are made, and left by a process that was killed.
    let left = [
        StagedFolder::new(path("adapter")).unwrap().path().to_path_buf(),
        StagedFolder::new(path("checkpoints/step-7")).unwrap().path().to_path_buf(),
        path("checkpoints/.step-7.Xy12ab.tmp.old"),
        path("checkpoints/.old-step-3"),
    ];
    let file = path(".lora-studio-Xy12ab.tmp");
    left.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    fs::write(&file, "half").unwrap();
    // A run may lie in a folder that was there before.
    let theirs = [path(".git/HEAD"), path(".env"), path(".notes.tmp"), path("checkpoints/.gitkeep")];
    fs::create_dir(path(".git")).unwrap();
    theirs.iter().for_each(|file| fs::write(file, "theirs").unwrap());

    drop(RunDir::resume(temp.path()).unwrap());
    for gone in left.iter().chain([&file]) {
        assert!(!gone.exists(), "{}", gone.display());
    }
    for kept in theirs {
        assert_eq!(fs::read_to_string(&kept).unwrap(), "theirs", "{}", kept.display());
    }
}

#[test]
fn the_log_is_one_line_a_message() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&config(temp.path()), &[]).unwrap();
    run.log("two\nlines").unwrap();
    run.record(&Event::Note { message: "a note".into() }).unwrap();
    let text = fs::read_to_string(temp.path().join("log.txt")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(" two lines") && lines[1].ends_with(" a note"), "{text}");
    assert_eq!(recorded(temp.path()), []);
}

#[test]
fn the_list_says_how_each_run_stands() {
    let temp = tempfile::tempdir().unwrap();
    let started = Event::Started {
        run_dir: temp.path().into(),
        trainable_parameters: 77,
        total_parameters: 99,
        plan_bytes: 3,
        total_steps: 9,
    };
    let finished =
        |steps| Event::Finished { steps, loss: 0.1, adapter_dir: "a".into(), seconds: 12.5, peak_memory_bytes: 1 };
    let make = |name: &str, last: Option<Event>| {
        let mut run = RunDir::create(&config(&temp.path().join(name)), &[]).unwrap();
        run.record(&started).unwrap();
        for s in 1..=3 {
            run.record(&step(s)).unwrap();
            run.record(&Event::Eval { step: s, loss: [3.0, 1.0, 2.0][s - 1] }).unwrap();
        }
        last.iter().for_each(|e| run.record(e).unwrap());
        run
    };
    drop(make("1-finished", Some(finished(3))));
    drop(make("2-failed", Some(Event::Failed { error: "the disk is full".into() })));
    drop(make("3-interrupted", None));
    let running = make("4-running", None);
    fs::create_dir(temp.path().join("5-broken")).unwrap();
    fs::create_dir(temp.path().join(".hidden")).unwrap();
    fs::write(temp.path().join("a file"), "").unwrap();
    // Stopped before its last step, as the checkpoint's counters say.
    drop(make("6-stopped", Some(finished(3))));
    let checkpoint = temp.path().join("6-stopped/checkpoints/step-3");
    fs::create_dir(&checkpoint).unwrap();
    let state = r#"{"version":1,"step":3,"total_steps":8,"epoch":0,"micro_cursor":0,"tokens_seen":0,"supervised_seen":0,
        "seconds":9.0,"seed":0,"last_loss":0.5,"best_loss":0.25,"best_step":2}"#;
    fs::write(checkpoint.join("trainer_state.json"), state).unwrap();
    fs::create_dir(temp.path().join("6-stopped/adapter")).unwrap();

    let runs = list(temp.path()).unwrap();
    let status: Vec<_> = runs.iter().map(|r| (r.name.as_str(), r.status.clone())).collect();
    let reason = format!("this is not a run folder: it has no run.toml: {}", temp.path().join("5-broken").display());
    assert_eq!(
        status,
        [
            ("6-stopped", Status::Stopped),
            ("5-broken", Status::Broken(reason)),
            ("4-running", Status::Running),
            ("3-interrupted", Status::Interrupted),
            ("2-failed", Status::Failed("the disk is full".into())),
            ("1-finished", Status::Finished),
        ]
    );
    drop(running);
    assert_eq!(summary(&temp.path().join("4-running")).status, Status::Interrupted);
    let last = &runs[5];
    assert_eq!((last.steps, last.last_loss, last.best_validation_loss), (3, Some(1.0 / 3.0), Some(1.0)));
    assert_eq!((last.trainable_parameters, last.seconds, last.has_adapter), (Some(77), 12.5, false));
    assert_eq!((last.model.as_str(), last.dataset.as_str()), ("builtin:tiny-chat", "builtin:pirate"));
    // Three steps of one token at one token a second.
    assert_eq!(runs[3].seconds, 3.0);
    let stopped = &runs[0];
    assert_eq!((stopped.total_steps, stopped.best_validation_loss, stopped.has_adapter), (Some(8), Some(0.25), true));
    assert_eq!(list(&temp.path().join("nowhere")).unwrap().len(), 0);
}

#[test]
fn a_large_record_is_read_at_its_ends_only() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&config(temp.path()), &[]).unwrap();
    let started = Event::Started {
        run_dir: temp.path().into(),
        trainable_parameters: 77,
        total_parameters: 99,
        plan_bytes: 3,
        total_steps: 9,
    };
    run.record(&started).unwrap();
    drop(run);
    // What is between the ends is no text at all, and larger than what is read.
    let metrics = temp.path().join("metrics.jsonl");
    let mut file = append(&metrics).unwrap();
    file.write_all(&vec![0xFF; 12 << 20]).unwrap();
    file.write_all(b"\n").unwrap();
    for s in 900..1000 {
        journal::append_line(&mut file, &step(s), &metrics).unwrap();
    }
    file.write_all(b"{\"event\":\"step\",\"st").unwrap();
    let found = summary(temp.path());
    assert_eq!((found.steps, found.trainable_parameters), (999, Some(77)));
    assert_eq!(found.status, Status::Interrupted);
    assert_eq!(recorded(temp.path()).len(), 101);
}

#[test]
fn names_and_notes_are_kept_beside_the_run() {
    let temp = tempfile::tempdir().unwrap();
    drop(RunDir::create(&config(temp.path()), &[]).unwrap());
    assert_eq!(notes(temp.path()).unwrap(), "");
    write_notes(temp.path(), "# Pirate\n\nbetter with rank 8\n").unwrap();
    assert_eq!(notes(temp.path()).unwrap(), "# Pirate\n\nbetter with rank 8\n");
    write_notes(temp.path(), "").unwrap();
    assert!(!temp.path().join("notes.md").exists());
    let folder_name = temp.path().file_name().unwrap().to_string_lossy().into_owned();
    rename(temp.path(), "  My\npirate ").unwrap();
    assert_eq!(summary(temp.path()).name, "My pirate");
    rename(temp.path(), "").unwrap();
    assert_eq!(summary(temp.path()).name, folder_name);
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(write_notes(elsewhere.path(), "x").unwrap_err().to_string().starts_with("this is not a run folder"));
}
