//! The decoder: configuration, weights, forward and backward.

mod config;

pub use config::{Activation, Family, LayerConfig, LinearKind, ModelConfig, RopeConfig, RopeScaling};
