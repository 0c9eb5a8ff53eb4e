//! The devices that a run can use: their memory and what they can do.

mod nvml;

use std::sync::OnceLock;

use serde::Serialize;

use crate::engine::memory::process;
use crate::units::parse_bytes;
use nvml::Nvml;

/// Names the most memory that the program may take, such as `6GiB`: for containers and for machines that others use, too.
const LIMIT: &str = "LORA_STUDIO_MEMORY";

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Device {
    /// `cpu`, or `nvidia` for a card.
    pub kind: &'static str,
    /// As its maker calls it.
    pub name: String,
    /// Cores, without counting hyper-threads.
    pub cores: usize,
    /// Threads that the engine uses.
    pub threads: usize,
    /// All of its memory, in bytes.
    pub memory_bytes: u64,
    /// Memory that a new program could take, in bytes.
    pub available_bytes: u64,
    /// Memory that other programs and the system hold, in bytes.
    pub others_bytes: u64,
    /// Version of its driver, where it has one.
    pub driver: Option<String>,
    /// Instructions that the kernels can use, narrowest first.
    pub features: Vec<&'static str>,
}

impl Device {
    /// Asks again how much of the main memory is free.
    pub fn refresh(&mut self) {
        if let Some((total, available)) = measured() {
            self.available_bytes = available;
            self.others_bytes = others(total, available);
        }
    }

    /// Whether a run can use it. Cards are shown with their memory, and train nothing yet.
    pub fn trains(&self) -> bool {
        self.kind == "cpu"
    }
}

/// The devices: what runs use first.
pub fn devices() -> Vec<Device> {
    let mut all = vec![cpu()];
    all.extend(cards());
    all
}

/// The NVIDIA cards with their memory as it is now; none without their driver.
pub fn cards() -> Vec<Device> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(Nvml::of_system).as_ref().map(Nvml::devices).unwrap_or_default()
}

/// Bytes of main memory that a program could take now; 0 where the system does not say.
pub fn available_bytes() -> u64 {
    measured().map_or(0, |(_, available)| available)
}

/// All main memory and what is available of it.
fn measured() -> Option<(u64, u64)> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(memory(&system))
}

fn others(total: u64, available: u64) -> u64 {
    total.saturating_sub(available).saturating_sub(process::resident_bytes())
}

/// The processor and the machine's main memory.
pub fn cpu() -> Device {
    let threads = rayon::current_num_threads();
    let (name, memory_bytes, available_bytes) = sysinfo::System::new().map(described).unwrap_or_default();
    Device {
        kind: "cpu",
        name: if name.is_empty() { std::env::consts::ARCH.to_string() } else { name },
        cores: sysinfo::System::physical_core_count().unwrap_or(threads),
        threads,
        memory_bytes,
        others_bytes: others(memory_bytes, available_bytes),
        available_bytes,
        driver: None,
        features: features(),
    }
}

/// The processor's name, all memory and available memory; empty and 0 where the system does not say.
fn described(mut system: sysinfo::System) -> (String, u64, u64) {
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let name = system.cpus().first().map(|c| c.brand().trim().to_string()).unwrap_or_default();
    let (total, available) = memory(&system);
    (name, total, available)
}

/// All memory and available memory.
fn memory(system: &sysinfo::System) -> (u64, u64) {
    let (total, available) = (system.total_memory(), system.available_memory());
    let (total, available) = match system.cgroup_limits() {
        // In a container the group's limit is what counts.
        Some(l) if l.total_memory > 0 => (total.min(l.total_memory), available.min(l.free_memory)),
        _ => (total, available),
    };
    match std::env::var(LIMIT).ok().as_deref().and_then(parse_bytes) {
        Some(limit) => (total.min(limit), available.min(limit.saturating_sub(process::resident_bytes()).max(1))),
        None => (total, available),
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let found = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    let found = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let cpu = cpu();
        assert!(!cpu.name.is_empty());
        assert!(cpu.cores >= 1 && cpu.threads >= 1);
        assert!(cpu.available_bytes > 1 << 20 && cpu.available_bytes <= cpu.memory_bytes, "{cpu:?}");
        // What the kernel says, where it can be read.
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        if let Ok(info) = std::fs::read_to_string("/proc/cpuinfo") {
            for name in ["avx2", "fma", "avx512f", "avx512bw"] {
                let has = info.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == name));
                assert_eq!(cpu.features.contains(&name), has, "{name}");
            }
        }
    }
}
