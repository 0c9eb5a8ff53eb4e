//! What the process holds of the machine's memory, as the system counts it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Highest value that [`resident_bytes`] has returned.
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// Bytes of main memory that the process holds now; 0 when the system does not say.
pub fn resident_bytes() -> u64 {
    let now = status("VmRSS:").unwrap_or_else(sampled);
    HIGHEST.fetch_max(now, Ordering::Relaxed);
    now
}

/// The most that the process has held so far, in bytes. Linux keeps it, but in counters that may lag behind by a few pages
/// a thread; elsewhere it is the highest of the values that [`resident_bytes`] returned. Never less than those.
pub fn peak_resident_bytes() -> u64 {
    resident_bytes();
    status("VmHWM:").unwrap_or(0).max(HIGHEST.load(Ordering::Relaxed))
}

/// A line of `/proc/self/status`, which counts in KiB.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn sampled() -> u64 {
    let Ok(pid) = sysinfo::get_current_pid() else { return 0 };
    let Ok(mut system) = sysinfo::System::new() else { return 0 };
    let what = sysinfo::ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(sysinfo::ProcessesToUpdate::Some(&[pid]), true, what);
    system.process(pid).map_or(0, |p| p.memory())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_is_counted_and_the_peak_stays() {
        let before = resident_bytes();
        let block = vec![1_u8; 64 << 20];
        let held = resident_bytes();
        assert!(std::hint::black_box(&block).iter().step_by(4096).all(|b| *b == 1));
        assert!(held >= before + (60 << 20), "{before} → {held}");
        drop(block);
        assert!(peak_resident_bytes() >= held);
    }

    #[test]
    fn the_systems_own_count_agrees_with_sysinfo() {
        let ours = resident_bytes() as f64;
        let theirs = sampled() as f64;
        // Other tests allocate at the same time.
        assert!(theirs > 0.2 * ours && theirs < 5.0 * ours, "{ours} against {theirs}");
    }
}
