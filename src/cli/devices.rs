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
        if device.cores > 0 {
            say(format!("     {} cores, {} threads", device.cores, device.threads))?;
        }
        let [all, free, others] = [device.memory_bytes, device.available_bytes, device.others_bytes].map(bytes);
        say(format!("     {all} memory, {free} available, {others} held by other programs"))?;
        if let Some(driver) = &device.driver {
            say(format!("     driver {driver}"))?;
        }
        if !device.trains() {
            say("     not used: runs train on the processor")?;
        }
        if !device.features.is_empty() {
            say(format!("     {}", device.features.join(" ")))?;
        }
    }
    Ok(())
}
