//! Where test data lies, and the architectures' fixtures (tests/reference/architectures.py made them).
#![allow(dead_code)] // every test binary uses its part of this

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Rows of tokens and what transformers and PEFT computed on them in float64.
#[derive(Deserialize)]
pub struct Expected {
    /// Random tokens.
    pub rows: Vec<Vec<u32>>,
    /// Negative log-likelihood of every token after the first, per row.
    pub nll: Vec<Vec<f64>>,
    /// The same with the adapter.
    pub adapter_nll: Vec<Vec<f64>>,
    /// How far transformers' own float32 numbers are from these.
    pub float32_error: Float32Error,
}

/// What float32 arithmetic reaches in another implementation.
#[derive(Deserialize)]
pub struct Float32Error {
    /// Largest absolute error of a likelihood.
    pub nll: f64,
    /// Largest absolute error of a likelihood with the adapter.
    pub adapter_nll: f64,
    /// Largest relative L2 error of a tensor's gradient.
    pub gradient: f64,
}

/// The folder of an architecture's fixture.
pub fn architecture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arch").join(name)
}

/// The names of all architectures' fixtures.
pub fn architectures() -> Vec<String> {
    let root = architecture("");
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 17, "{names:?}");
    names
}

/// What the reference computed.
pub fn expected(folder: &Path) -> Expected {
    serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap()
}

/// A file or folder of the comparison environment (`LORA_STUDIO_PEERS`, default `~/.cache/lora-peers`).
pub fn peers(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_PEERS").map(PathBuf::from);
    present(root.or_else(|| Some(dirs::home_dir()?.join(".cache/lora-peers")))?.join(name))
}

/// A file of real rows (`LORA_STUDIO_DATA`, default `../shared/data`).
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LORA_STUDIO_DATA").map(PathBuf::from);
    present(root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")).join(name))
}

/// Says which file a test was skipped for; on CI nothing may be skipped.
fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is required on CI", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(&a, &b)| (a as f64 - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    (difference / norm).sqrt()
}
