//! Parameter-efficient methods: one folder a method. LoRA is what trains today.

pub mod folder;
pub mod lora;

pub use lora::{Adapter, AdapterShape, LoraConfig, LoraModule};
