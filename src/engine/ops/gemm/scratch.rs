//! Working memory of products and attention, kept for the next one that asks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

/// One cache line, so that packed panels are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Buffers that nobody uses. One list for all threads: which of them leads a pass differs from step to step, and lists of
/// their own would each come to hold the largest buffers.
static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

fn free() -> MutexGuard<'static, Vec<Vec<Line>>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lanes of 32 bits, aligned to a cache line. Goes back to the list when dropped; contents are what was left.
pub(crate) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// A buffer of at least `lanes` lanes.
    pub fn take(lanes: usize) -> Scratch {
        let need = lanes.div_ceil(16);
        let mut lines = {
            let mut free = free();
            choose(&free, Vec::len, need).map(|i| free.swap_remove(i)).unwrap_or_default()
        };
        if lines.len() < need {
            // Not `resize`: the old contents need no copy.
            lines = Vec::new();
            lines.resize(need, Line([0; 16]));
        }
        Scratch { lines }
    }

    /// The lanes as integers.
    pub fn lanes(&mut self) -> &mut [u32] {
        let lanes = self.lines.len() * 16;
        // SAFETY: a `Line` is sixteen `u32` without padding.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), lanes) }
    }

    /// The first lane.
    pub fn pointer(&self) -> *const u32 {
        self.lines.as_ptr().cast()
    }

    /// The lanes, to read.
    pub fn shared_lanes(&self) -> &[u32] {
        // SAFETY: as in `lanes`.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.lines.len() * 16) }
    }

    /// The lanes as floating-point numbers, to read.
    pub fn shared_floats(&self) -> &[f32] {
        bytemuck::cast_slice(self.shared_lanes())
    }

    /// The lanes as floating-point numbers.
    pub fn floats(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.lanes())
    }
}

/// Which free buffer is taken: the smallest that is large enough, or the largest, to grow.
fn choose<T>(free: &[T], lines: impl Fn(&T) -> usize, need: usize) -> Option<usize> {
    let fits = (0..free.len()).filter(|i| lines(&free[*i]) >= need).min_by_key(|i| lines(&free[*i]));
    fits.or_else(|| (0..free.len()).max_by_key(|i| lines(&free[*i])))
}

/// What will be kept after some operations, for the memory plan: [`Scratch::take`] without the memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Lines of each buffer.
    free: Vec<usize>,
    threads: usize,
}

impl Kept {
    /// Nothing yet.
    pub fn new(threads: usize) -> Kept {
        Kept { threads, ..Kept::default() }
    }

    /// The thread that leads the pass holds buffers of so many lanes (0: none), while something else takes some, too.
    pub fn hold(&mut self, lanes: &[usize], meanwhile: impl FnOnce(&mut Kept)) {
        let taken = self.take(lanes, 1);
        meanwhile(self);
        self.give(taken);
    }

    /// Tasks on all threads hold buffers of so many lanes (0: none). Where a task holds several, all tasks of a loop must take the
    /// same: with small ones some could come to hold the buffers that a large one needs.
    pub fn tasks(&mut self, lanes: &[usize]) {
        let taken = self.take(lanes, self.threads.max(1));
        self.give(taken);
    }

    fn take(&mut self, lanes: &[usize], threads: usize) -> SmallVec<[usize; 16]> {
        let mut taken = SmallVec::new();
        for need in lanes.iter().map(|lanes| lanes.div_ceil(16)).filter(|need| *need > 0) {
            for _ in 0..threads {
                let lines = choose(&self.free, |n| *n, need).map_or(0, |i| self.free.swap_remove(i));
                taken.push(lines.max(need));
            }
        }
        taken
    }

    fn give(&mut self, taken: SmallVec<[usize; 16]>) {
        // Dropped in the opposite order.
        self.free.extend(taken.into_iter().rev());
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.free.iter().sum::<usize>() * size_of::<Line>()
    }

    /// Makes the buffers, so that nothing is allocated later. Those that are there already are used; what another run left
    /// beside them is of no use to this one.
    pub fn reserve(&self) {
        let mut free = free();
        let mut there = std::mem::take(&mut *free);
        for &lines in &self.free {
            let fits = (0..there.len()).filter(|i| there[*i].len() >= lines).min_by_key(|i| there[*i].len());
            free.push(match fits {
                Some(i) => there.swap_remove(i),
                None => vec![Line([0; 16]); lines],
            });
        }
    }
}

/// Frees every buffer that nobody uses now: a run is over, or another one is to be planned.
pub(crate) fn release() {
    free().clear();
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            free().push(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::testing::normal;

    /// Numbers below others, from the bits of random ones.
    struct Random(std::iter::Cycle<std::vec::IntoIter<f32>>);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0.next().map_or(0, |x| x.to_bits() as usize % n)
        }
    }

    /// Threads take and give back the buffers of their tasks, each in order, but in any order among each other. Whether all find
    /// one that is large enough.
    fn runs(mut free: Vec<usize>, threads: usize, tasks: &[&[usize]], random: &mut Random) -> bool {
        let mut busy: Vec<(&[usize], Vec<usize>)> = vec![(&[], Vec::new()); threads];
        for _ in 0..400 {
            let (needs, held) = &mut busy[random.below(threads)];
            if held.len() == needs.len() {
                free.extend(held.drain(..).rev());
                *needs = tasks[random.below(tasks.len())];
                continue;
            }
            let need = needs[held.len()];
            match choose(&free, |n| *n, need).filter(|i| free[*i] >= need) {
                Some(i) => held.push(free.swap_remove(i)),
                None => return false,
            }
        }
        true
    }

    #[test]
    fn what_is_planned_is_enough_in_any_order_where_tasks_are_alike() {
        let mut random = Random(normal(1, 999_983, 1.0).into_iter().cycle());
        let mut unlike = 0;
        for _ in 0..2000 {
            let threads = 2 + random.below(7);
            let mut kept = Kept::new(threads);
            let mut loops: Vec<[usize; 2]> = Vec::new();
            for _ in 0..3 {
                let needs = [1 + random.below(49), 1 + random.below(49)];
                kept.tasks(&needs.map(|lines| 16 * lines));
                // And a smaller batch.
                loops.extend([needs, needs.map(|n| n.div_ceil(2))]);
            }
            for needs in &loops {
                assert!(runs(kept.free.clone(), threads, &[needs], &mut random), "{kept:?} {needs:?}");
            }
            let pair: [&[usize]; 2] = [&loops[0], &loops[1]];
            unlike += usize::from(!runs(kept.free.clone(), threads, &pair, &mut random));
        }
        assert!(unlike > 0, "tasks of two sizes would be as good");
    }
}
