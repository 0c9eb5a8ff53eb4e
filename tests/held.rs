//! Memory that other programs take away while a run trains: it waits, with what it had reached on the disk, and goes on with
//! the same bits.

#![allow(clippy::unwrap_used)] // a test

use std::path::Path;

use lora_studio::engine::config::RunConfig;
use lora_studio::engine::memory::process;
use lora_studio::engine::train::{self, Control, Event};

/// What the program may take from now on, as if others had the rest.
fn limit(bytes: u64) {
    // SAFETY: nothing but Rust's own `env` reads the environment here, and that locks it. The one test of this process.
    unsafe { std::env::set_var("LORA_STUDIO_MEMORY", bytes.to_string()) };
}

/// Trains; after step `taken` hardly any memory is left, until the run says that it waits.
fn run(dir: &Path, taken: Option<usize>) -> Vec<Event> {
    let mut config = RunConfig::default();
    for change in ["data.max_seq_len=96", "method.rank=4", "train.max_steps=4", "output.save_every=0", "sample.every=0"]
    {
        config.set(change).unwrap();
    }
    config.output.dir = dir.to_str().unwrap().into();
    let mut events = Vec::new();
    train::run(&config, None, &Control::new(), &mut |event| {
        match &event {
            Event::Step { step, .. } if Some(*step) == taken => limit(process::resident_bytes() + (64 << 20)),
            Event::Held { held: true, available_bytes, .. } => {
                assert!(*available_bytes <= 64 << 20, "{available_bytes}");
                limit(1 << 40);
            }
            _ => {}
        }
        events.push(event);
    })
    .unwrap();
    events
}

#[test]
fn a_run_waits_while_others_have_the_memory_and_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, waited) = (folder.path().join("plain"), folder.path().join("waited"));
    let undisturbed = run(&plain, None);
    assert!(!undisturbed.iter().any(|e| matches!(e, Event::Held { .. })));

    // The first step: later ones may be made within a second of the look before, which then is not repeated.
    let events = run(&waited, Some(1));
    let at = |found: &dyn Fn(&Event) -> bool| events.iter().position(found);
    let held = at(&|e| matches!(e, Event::Held { step: 1, held: true, .. })).expect("it waits");
    let again = at(&|e| matches!(e, Event::Held { step: 1, held: false, .. })).expect("it goes on");
    let saved = at(&|e| matches!(e, Event::Checkpoint { step: 1, .. })).expect("a checkpoint was written");
    let next = at(&|e| matches!(e, Event::Step { step: 2, .. })).unwrap();
    assert!(saved < held && held < again && again < next, "{saved} {held} {again} {next}");
    let said = |e: &Event| matches!(e, Event::Note { message } if message.starts_with("other programs have left "));
    assert!(events[held..again].iter().any(said));

    let adapter = |dir: &Path| std::fs::read(dir.join("adapter/adapter_model.safetensors")).unwrap();
    assert!(adapter(&plain) == adapter(&waited));
}
