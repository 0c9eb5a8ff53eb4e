//! Working memory of products and attention, kept for the next one that asks.

use std::sync::{Mutex, PoisonError};

/// One cache line, so that packed panels are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Buffers that nobody uses. One list for all threads: which of them computes what differs from step to step, and lists
/// of their own would each come to hold the largest buffers.
static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// Lanes of 32 bits, aligned to a cache line. Goes back to the list when dropped; contents are what was left.
pub(crate) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// A buffer of at least `lanes` lanes.
    pub fn take(lanes: usize) -> Scratch {
        let need = lanes.div_ceil(16);
        let mut lines = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            // The smallest that is large enough, or the largest to grow.
            let fits = (0..free.len()).filter(|i| free[*i].len() >= need).min_by_key(|i| free[*i].len());
            let at = fits.or_else(|| (0..free.len()).max_by_key(|i| free[*i].len()));
            at.map(|i| free.swap_remove(i)).unwrap_or_default()
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

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
        }
    }
}
