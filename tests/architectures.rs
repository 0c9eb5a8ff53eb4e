//! Every supported architecture against transformers and PEFT (tests/reference/architectures.py).

#![allow(clippy::unwrap_used)] // a test

mod common;

use common::{architecture, architectures};
use lora_studio::engine::formats;

#[test]
fn configurations_of_transformers_4_and_5_say_the_same() {
    for name in architectures() {
        let folder = architecture(&name);
        let old = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("config.v4.json"), old.path().join("config.json")).unwrap();
        std::fs::copy(folder.join("model.safetensors"), old.path().join("model.safetensors")).unwrap();
        let (old, new) = (formats::open(old.path()).unwrap().config, formats::open(&folder).unwrap().config);
        assert_eq!(old, new, "{name}");
    }
}
