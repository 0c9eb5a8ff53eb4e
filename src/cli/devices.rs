//! `lora-studio devices`: what a run can use.

use super::output::{Failure, bytes, json, say};
use crate::engine::device;

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object a device
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    for device in device::devices() {
        if args.json {
            json(&device)?;
            continue;
        }
        say(format!("{}  {}", device.kind, device.name))?;
        say(format!("     {} cores, {} threads", device.cores, device.threads))?;
        say(format!("     {} memory, {} available", bytes(device.memory_bytes), bytes(device.available_bytes)))?;
        if !device.features.is_empty() {
            say(format!("     {}", device.features.join(" ")))?;
        }
    }
    Ok(())
}
