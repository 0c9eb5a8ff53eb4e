//! Scratch memory that a thread keeps between calls, so that a training step allocates nothing after the first.

use std::cell::RefCell;

/// Floats in a cache line; scratch begins at one, so that no vector load crosses two.
const LINE: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a slice of `len` floats with leftover contents, aligned to 64 bytes.
///
/// Nested calls get buffers of their own, also when a thread that waits inside `f` takes up another task.
pub(crate) fn with<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let need = len + LINE;
    let mut buffer = FREE.with_borrow_mut(|free| {
        // The smallest that is large enough, else the largest, so that buffers do not all grow to the same size.
        let best = (0..free.len()).min_by_key(|i| {
            let n = free[*i].len();
            if n >= need { (0, n) } else { (1, usize::MAX - n) }
        });
        best.map(|i| free.swap_remove(i)).unwrap_or_default()
    });
    if buffer.len() < need {
        // A fresh one, not `resize`: what the old one holds is worth no copy, and pages of zeros cost nothing until used.
        drop(buffer);
        buffer = vec![0.0; need];
    }
    let skip = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = f(&mut buffer[skip..skip + len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reused_nested_and_aligned() {
        let outer = with(1000, |a| {
            assert_eq!((a.len(), a.as_ptr() as usize % 64), (1000, 0));
            with(10, |b| {
                assert_eq!((b.len(), b.as_ptr() as usize % 64), (10, 0));
                assert_ne!(a.as_ptr(), b.as_ptr());
            });
            a.as_ptr() as usize
        });
        assert_eq!(with(999, |a| a.as_ptr() as usize), outer, "the large buffer again");
        with(5, |b| assert_ne!(b.as_ptr() as usize, outer, "the small one for a small need"));
    }
}
