//! What the process has allocated: a global allocator that counts, so that the plan can be held against exact numbers.
//!
//! A thread adds up what it allocates and frees, and passes the sum on when it reaches [`BATCH`], so that counting costs
//! no shared cache line on the small allocations that come by the million. The numbers are exact to that much a thread.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Bytes that a thread keeps to itself before it passes them on.
pub const BATCH: i64 = 16 << 10;
/// Allocations above this size are counted one by one: a training step makes none but those of the plan.
pub const LARGE: usize = 64 << 10;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static HIGHEST: AtomicI64 = AtomicI64::new(0);
static LARGE_COUNT: AtomicU64 = AtomicU64::new(0);
static GIVE_BACK: OnceLock<fn()> = OnceLock::new();
static COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Not yet passed on. Without a destructor, so that it can be used while a thread ends.
    static OWN: Cell<i64> = const { Cell::new(0) };
}

/// An allocator that counts what another one gives out.
///
/// ```
/// use lora_studio::engine::memory::heap::{self, Counting};
///
/// #[global_allocator]
/// static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);
///
/// let before = heap::live_bytes();
/// let block = vec![1u8; 1 << 20];
/// assert!(heap::live_bytes() - before >= 1 << 20);
/// drop(block);
/// assert!(heap::peak_bytes() - before >= 1 << 20);
/// ```
pub struct Counting<A>(pub A);

fn count(bytes: i64) {
    let flush = OWN.try_with(|own| {
        let sum = own.get() + bytes;
        let due = sum.abs() >= BATCH;
        own.set(if due { 0 } else { sum });
        due.then_some(sum)
    });
    if let Some(sum) = flush.unwrap_or(Some(bytes)) {
        let live = LIVE.fetch_add(sum, Relaxed) + sum;
        if sum > 0 {
            PEAK.fetch_max(live, Relaxed);
        }
    }
}

fn allocated(size: usize) {
    if size > LARGE {
        LARGE_COUNT.fetch_add(1, Relaxed);
        COUNTING.store(true, Relaxed);
    }
    count(size as i64);
}

// SAFETY: every call is passed on as it came; counting neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc(layout) };
        if !block.is_null() {
            allocated(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        if !block.is_null() {
            allocated(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) };
        count(-(layout.size() as i64));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let moved = unsafe { self.0.realloc(block, layout, new_size) };
        if !moved.is_null() {
            if new_size > layout.size() {
                allocated(new_size);
                count(-(layout.size() as i64));
            } else {
                count(new_size as i64 - layout.size() as i64);
            }
        }
        moved
    }
}

/// Tells how memory that a thread has freed goes back to the system at once; allocators keep some of it for a while.
pub fn gives_back_with(how: fn()) {
    // Told once, when the program begins.
    let _ = GIVE_BACK.set(how);
}

/// Gives back what this thread and the working ones have freed, so that what the process holds is what it uses.
pub fn give_back() {
    if let Some(how) = GIVE_BACK.get() {
        rayon::broadcast(|_| how());
        how();
    }
}

/// Whether the program's allocator counts. Where it does not, all other numbers are 0.
pub fn counts() -> bool {
    COUNTING.load(Relaxed)
}

/// Bytes that are allocated now.
pub fn live_bytes() -> u64 {
    LIVE.load(Relaxed).max(0) as u64
}

/// The most that was allocated at a time.
pub fn peak_bytes() -> u64 {
    HIGHEST.load(Relaxed).max(PEAK.load(Relaxed)).max(0) as u64
}

/// The most that was allocated at a time since the last call.
pub fn take_peak() -> u64 {
    let peak = PEAK.swap(LIVE.load(Relaxed), Relaxed);
    HIGHEST.fetch_max(peak, Relaxed);
    peak.max(0) as u64
}

/// Allocations of more than [`LARGE`] bytes so far.
pub fn large_allocations() -> u64 {
    LARGE_COUNT.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The library's tests run with this allocator, see lib.rs; others allocate at the same time.
    #[test]
    fn blocks_are_counted_when_they_come_grow_and_go() {
        const BIG: usize = 512 << 20;
        let slack = 256 << 20;
        let (before, large) = (live_bytes(), large_allocations());
        let mut block: Vec<u8> = vec![0; BIG];
        assert!(counts() && live_bytes() + slack >= before + BIG as u64);
        block.reserve_exact(2 * BIG);
        assert!(live_bytes() + slack >= before + 3 * BIG as u64);
        assert!(large_allocations() >= large + 2);
        block = Vec::new();
        assert!(block.is_empty() && live_bytes() < before + slack);
        assert!(peak_bytes() + slack >= before + 3 * BIG as u64);
    }
}
