//! Working memory of the products, kept for the next one: small buffers by the thread that used them, large ones by all.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// One cache line, so that packed panels are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Buffers of so many lines and more are nobody's own: whichever thread takes a pass over finds them.
const SHARED: usize = (1 << 20) / size_of::<Line>();

thread_local! {
    // A list, not one buffer: a thread that waits in rayon may start another product meanwhile.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

static FREE_SHARED: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// Lanes of 32 bits, aligned to a cache line. Goes back to its list when dropped; contents are what was left.
pub(crate) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// A buffer of at least `lanes` lanes.
    pub fn take(lanes: usize) -> Scratch {
        let need = lanes.div_ceil(16);
        let take = |free: &mut Vec<Vec<Line>>| {
            let at = choose(free, Vec::len, need);
            at.map(|i| free.swap_remove(i)).unwrap_or_default()
        };
        let mut lines = match need >= SHARED {
            true => take(&mut FREE_SHARED.lock().unwrap_or_else(PoisonError::into_inner)),
            false => FREE.try_with(|free| take(&mut free.borrow_mut())).unwrap_or_default(),
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

/// What the threads will keep after some operations, for the memory plan: [`Scratch::take`] without the memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Lines of each buffer that is nobody's own.
    shared: Vec<usize>,
    /// Lines of each buffer of a thread. Any of them may lead a pass, and each gets tasks of every kind.
    own: Vec<usize>,
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

    /// Tasks on all threads hold buffers of so many lanes (0: none).
    pub fn tasks(&mut self, lanes: &[usize]) {
        let taken = self.take(lanes, self.threads.max(1));
        self.give(taken);
    }

    fn take(&mut self, lanes: &[usize], threads: usize) -> Vec<usize> {
        let mut taken = Vec::with_capacity(8);
        for need in lanes.iter().map(|lanes| lanes.div_ceil(16)).filter(|need| *need > 0) {
            let shared = need >= SHARED;
            // A thread's own buffers are counted for one of them.
            for _ in 0..if shared { threads } else { 1 } {
                let free = if shared { &mut self.shared } else { &mut self.own };
                let lines = choose(free, |n| *n, need).map_or(0, |i| free.swap_remove(i));
                taken.push(lines.max(need));
            }
        }
        taken
    }

    fn give(&mut self, taken: Vec<usize>) {
        // Dropped in the opposite order.
        for lines in taken.into_iter().rev() {
            if lines >= SHARED { &mut self.shared } else { &mut self.own }.push(lines);
        }
    }

    /// Bytes of all buffers of all threads.
    pub fn bytes(&self) -> usize {
        let lines = self.shared.iter().sum::<usize>() + self.threads * self.own.iter().sum::<usize>();
        lines * size_of::<Line>()
    }

    /// Makes the buffers, so that nothing is allocated later. Those that are there already are used.
    pub fn reserve(&self) {
        fn fill(free: &mut Vec<Vec<Line>>, wanted: &[usize]) {
            let mut there: Vec<Vec<Line>> = std::mem::take(free);
            for &lines in wanted {
                let fits = (0..there.len()).filter(|i| there[*i].len() >= lines).min_by_key(|i| there[*i].len());
                free.push(match fits {
                    Some(i) => there.swap_remove(i),
                    None => vec![Line([0; 16]); lines],
                });
            }
            // What another run left is of no use to this one.
        }
        fill(&mut FREE_SHARED.lock().unwrap_or_else(PoisonError::into_inner), &self.shared);
        rayon::broadcast(|_| {
            let _ = FREE.try_with(|free| fill(&mut free.borrow_mut(), &self.own));
        });
    }
}

/// Frees every buffer that nobody uses now: a run is over, or another one is to be planned.
pub(crate) fn release() {
    FREE_SHARED.lock().unwrap_or_else(PoisonError::into_inner).clear();
    rayon::broadcast(|_| {
        let _ = FREE.try_with(|free| free.borrow_mut().clear());
    });
    let _ = FREE.try_with(|free| free.borrow_mut().clear());
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.len() >= SHARED {
            FREE_SHARED.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
        } else if !lines.is_empty() {
            let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
        }
    }
}
