//! Where a pass runs: on one of the threads that share its work.

/// Runs `f` on a thread of the pool, so that the operations in it hand over to the others and take part themselves.
///
/// From any other thread, each of the hundreds of small loops of a pass would be sent to the pool, and the caller put to
/// sleep and woken again for it: 50 to 100 µs each time.
pub(crate) fn run<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { f() } else { rayon::scope(|_| f()) }
}
