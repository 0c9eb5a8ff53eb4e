//! Scratch memory that is kept between calls, so that a training step allocates nothing after the first.

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
    fn nested_and_aligned() {
        with(1000, |a| {
            assert_eq!((a.len(), a.as_ptr() as usize % 64), (1000, 0));
            a.fill(1.0);
            with(10, |b| {
                assert_eq!((b.len(), b.as_ptr() as usize % 64), (10, 0));
                b.fill(2.0);
            });
            assert!(a.iter().all(|x| *x == 1.0), "the inner buffer is another one");
        });
    }
}
