//! Where a pass runs: on one of the threads that share its work, while the others wait for the next loop.

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

/// Runs `f`, a pass of hundreds of short loops, on a thread of the pool, while the other threads wait for the loops of
/// [`for_each_task`] awake. To hand a loop over to threads that sleep takes 5 µs; from a thread outside the pool, which is put
/// to sleep itself for each loop, 50 to 100.
///
/// No loop depends on a helper: a thread that is busy elsewhere, or that the system does not let run, is not waited for. Loops
/// of rayon, in `f` or anybody else's, get a helper's time between two tasks only.
pub(crate) fn with_helpers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_none() {
        return rayon::scope(|_| with_helpers(f));
    }
    let threads = rayon::current_num_threads();
    if threads == 1 || leads() {
        return f();
    }
    let team = Team { helpers: threads - 1, ..Team::default() };
    rayon::scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| team.help()));
        let _lead = Lead::of(&team);
        f()
    })
}

/// Calls `f(i)` for every `i` below `n`. They are begun in ascending order, so `f` may wait for what a lower `i` leaves. On
/// this thread alone unless `parallel`.
pub(crate) fn for_each_task(n: usize, parallel: bool, f: impl Fn(usize) + Sync) {
    if n <= 1 || !parallel {
        return (0..n).for_each(f);
    }
    match LEADS.get() {
        team if !team.is_null() => {
            // SAFETY: the team lives as long as this thread leads it.
            unsafe { &*team }.for_each(n, &f);
        }
        _ => {
            // Each thread takes the next task when it is done with one: no thread is left with a long list.
            let next = AtomicUsize::new(0);
            (0..rayon::current_num_threads().min(n)).into_par_iter().with_max_len(1).for_each(|_| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        break;
                    }
                    f(i);
                }
            });
        }
    }
}

/// Whether a loop of so many multiplications is worth sharing: waking a thread takes longer than asking one that is awake.
pub(crate) fn worth(multiplications: usize) -> bool {
    multiplications >= if leads() { 1 << 14 } else { 1 << 18 }
}

/// Whether helpers wait for this thread's loops.
fn leads() -> bool {
    !LEADS.get().is_null()
}

thread_local! {
    /// The team that this thread leads.
    static LEADS: Cell<*const Team> = const { Cell::new(ptr::null()) };
}

/// Rounds of waiting before a thread offers its core to others: about 50 µs.
const PATIENCE: u32 = 2000;

/// Rounds of waiting after which a helper looks for what others want of it.
const COURTESY: u32 = 100;

/// What is to be done in the present loop.
#[derive(Default)]
struct Team {
    /// Tasks that nobody has taken. Only the leader raises it, when all of the loop before are done.
    left: AtomicUsize,
    /// Tasks that are done.
    done: AtomicUsize,
    /// A task panicked on a helper.
    panicked: AtomicBool,
    /// There are no more loops.
    over: AtomicBool,
    /// Helpers that were asked for, and that have begun.
    helpers: usize,
    begun: AtomicUsize,
    /// How many tasks the loop has, and what they do. Read only by who has taken a task that is not done.
    tasks: UnsafeCell<Option<Tasks>>,
}

#[derive(Clone, Copy)]
struct Tasks {
    n: usize,
    f: *const (dyn Fn(usize) + Sync + 'static),
}

// SAFETY: `tasks` is written by the leader while no task is taken, and read by who has taken one: the decrement of `left`
// that takes it follows the leader's write, and the leader's next write follows the increment of `done` for it.
unsafe impl Sync for Team {}

impl Team {
    /// The leader's loop.
    fn for_each(&self, n: usize, f: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. Nobody calls `f` after the last task is done, which this function waits for.
        let f =
            unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync + 'static)>(f) };
        // SAFETY: no task is taken.
        unsafe { *self.tasks.get() = Some(Tasks { n, f }) };
        self.done.store(0, Ordering::Relaxed);
        self.left.store(n, Ordering::Release);
        // Also when a task panics here: the others' must be done before `f` goes away.
        let all = WaitForAll { team: self, n };
        while self.take() {}
        drop(all);
        if self.panicked.load(Ordering::Relaxed) {
            panic!("a part of the computation failed on another thread");
        }
    }

    /// Does one task, if one is left.
    fn take(&self) -> bool {
        let taken = self.left.fetch_update(Ordering::Acquire, Ordering::Relaxed, |left| left.checked_sub(1));
        let Ok(left) = taken else { return false };
        // SAFETY: this thread has taken a task that is not done.
        let Some(Tasks { n, f }) = (unsafe { *self.tasks.get() }) else { return false };
        let _done = Done(self);
        // SAFETY: `f` lives until all tasks are done.
        unsafe { (*f)(n - left) };
        true
    }

    /// Takes tasks until there are no more loops.
    fn help(&self) {
        // A leader that waits for some loop of rayon may find this in its own list.
        if leads() {
            return;
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut waited = 0;
        while !self.over.load(Ordering::Acquire) {
            if self.left.load(Ordering::Relaxed) > 0 && self.take() {
                waited = 0;
                continue;
            }
            wait(&mut waited);
            // Whoever else works with the pool (rows that are prepared while a model trains) would wait for the whole pass. But
            // not before all helpers have begun: what this one would find is those that other threads are to be.
            if waited.is_multiple_of(COURTESY) && self.begun.load(Ordering::Relaxed) == self.helpers {
                rayon::yield_now();
            }
        }
    }
}

/// Passes a moment, a longer one when there were many.
pub(crate) fn wait(waited: &mut u32) {
    if *waited < PATIENCE {
        *waited += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Counts a task when it ends, in whatever way.
struct Done<'a>(&'a Team);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        self.0.done.fetch_add(1, Ordering::Release);
    }
}

/// Waits until all tasks of a loop are done; those that nobody has taken are dropped when the leader panics.
struct WaitForAll<'a> {
    team: &'a Team,
    n: usize,
}

impl Drop for WaitForAll<'_> {
    fn drop(&mut self) {
        let dropped = self.team.left.swap(0, Ordering::Relaxed);
        let mut waited = 0;
        while self.team.done.load(Ordering::Acquire) < self.n - dropped {
            wait(&mut waited);
        }
    }
}

/// The present thread leads a team until this is dropped.
struct Lead<'a>(&'a Team);

impl<'a> Lead<'a> {
    fn of(team: &'a Team) -> Lead<'a> {
        LEADS.set(team);
        Lead(team)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        LEADS.set(ptr::null());
        self.0.over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::engine::ops::testing::with_threads;

    #[test]
    fn every_task_of_every_loop_runs_once() {
        for threads in [1, 2, 5] {
            with_threads(threads, || {
                with_helpers(|| {
                    for n in 0..2000 {
                        let n = n % 37;
                        let seen = AtomicU64::new(0);
                        for_each_task(n, true, |i| {
                            let before = seen.fetch_or(1 << i, Ordering::Relaxed);
                            assert_eq!(before & (1 << i), 0, "task {i} of {n} ran twice");
                        });
                        assert_eq!(seen.load(Ordering::Relaxed), (1 << n) - 1, "{n} tasks, {threads} threads");
                    }
                });
                assert!(!leads());
            });
        }
    }

    #[test]
    fn a_task_may_wait_for_a_lower_one() {
        let chain = || {
            for _ in 0..200 {
                let done = AtomicUsize::new(0);
                for_each_task(20, true, |i| {
                    let mut waited = 0;
                    while done.load(Ordering::Acquire) < i {
                        wait(&mut waited);
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
        };
        with_threads(3, || with_helpers(chain));
        with_threads(3, chain);
    }

    #[test]
    fn loops_of_rayon_between_them_end() {
        with_threads(3, || {
            with_helpers(|| {
                for _ in 0..200 {
                    for_each_task(8, true, |_| {});
                    let sum: usize = (0..100usize).into_par_iter().with_max_len(1).sum();
                    assert_eq!(sum, 4950);
                }
            });
        });
    }

    #[test]
    fn others_are_served_while_a_pass_goes_on() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let served = AtomicBool::new(false);
        let begun = std::time::Instant::now();
        let loops = || {
            with_helpers(|| {
                while !served.load(Ordering::Acquire) {
                    assert!(begun.elapsed().as_secs() < 60, "others wait for the end of the pass");
                    for_each_task(8, true, |_| std::thread::sleep(std::time::Duration::from_micros(20)));
                    std::thread::sleep(std::time::Duration::from_micros(20));
                }
            });
        };
        std::thread::scope(|scope| {
            let pass = scope.spawn(|| pool.install(loops));
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum: usize = pool.install(|| (0..1000usize).into_par_iter().with_max_len(1).sum());
            assert_eq!(sum, 499_500);
            served.store(true, Ordering::Release);
            pass.join().unwrap();
        });
    }

    #[test]
    fn a_panic_of_any_task_comes_out_and_the_pool_lives() {
        with_threads(3, || {
            for bad in 0..12 {
                let run = || {
                    with_helpers(|| {
                        for_each_task(12, true, |i| {
                            std::thread::sleep(std::time::Duration::from_micros(50));
                            assert_ne!(i, bad);
                        });
                    });
                };
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "task {bad}");
                assert!(!leads());
            }
            let sum = AtomicUsize::new(0);
            with_helpers(|| for_each_task(100, true, |i| _ = sum.fetch_add(i, Ordering::Relaxed)));
            assert_eq!(sum.into_inner(), 4950);
        });
    }
}
