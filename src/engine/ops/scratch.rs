//! Scratch memory that a thread keeps between calls, so that a training step allocates nothing after the first.

use super::gemm::scratch::Scratch;

/// Lends `f` a slice of `len` floats with leftover contents, aligned to 64 bytes.
///
/// Nested calls get buffers of their own, also when a thread that waits inside `f` takes up another task. The buffers
/// are those of the matrix products.
pub(crate) fn with<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = Scratch::take(len);
    f(&mut buffer.floats()[..len])
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
