//! Memory that other programs take away while a run trains.
//!
//! All that a run needs it has taken by its second step. When the system runs out of memory because of another program, it
//! ends whichever process it likes, and often the largest. So the run waits while hardly anything is left: its pages
//! then are the ones that nobody touches, and what it had reached is on the disk.

use std::time::{Duration, Instant};

/// Below this much, the system is about to end programs.
const LEAST: u64 = 512 << 20;
/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Watches what is free.
pub struct Guard {
    threshold: u64,
    looked: Option<Instant>,
    available: Box<dyn FnMut() -> u64 + Send>,
}

impl Guard {
    /// For a run that was planned to leave `spare` bytes free. `available` says what is free.
    pub fn new(spare: u64, available: impl FnMut() -> u64 + Send + 'static) -> Guard {
        Guard { threshold: LEAST.min(spare / 2), looked: None, available: Box::new(available) }
    }

    /// What is free, when it is so little that the run should wait; looks at most once a second.
    pub fn short(&mut self) -> Option<u64> {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        self.looked = Some(Instant::now());
        let free = (self.available)();
        // Where the system says nothing, 0 is no news.
        (free > 0 && free < self.threshold).then_some(free)
    }

    /// Whether there is enough again: twice what made it wait, so that it does not go to and fro.
    pub fn enough(&mut self) -> bool {
        (self.available)() >= 2 * self.threshold
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn it_waits_for_twice_what_made_it_wait_and_not_for_its_own_plan() {
        let free = Arc::new(AtomicU64::new(4 << 30));
        let guard = |spare: u64| {
            let free = free.clone();
            Guard::new(spare, move || free.load(Ordering::SeqCst))
        };
        let mut roomy = guard(8 << 30);
        assert_eq!(roomy.short(), None);
        free.store(100 << 20, Ordering::SeqCst);
        assert_eq!(roomy.short(), None, "looked a moment ago");
        roomy.looked = None;
        assert_eq!(roomy.short(), Some(100 << 20));
        free.store(600 << 20, Ordering::SeqCst);
        assert!(!roomy.enough());
        free.store(1 << 30, Ordering::SeqCst);
        assert!(roomy.enough());
        // A run that was to leave 100 MiB does not wait because it did.
        free.store(90 << 20, Ordering::SeqCst);
        assert_eq!(guard(100 << 20).short(), None);
        // Nothing is said: nothing is done.
        free.store(0, Ordering::SeqCst);
        assert_eq!(guard(8 << 30).short(), None);
    }
}
