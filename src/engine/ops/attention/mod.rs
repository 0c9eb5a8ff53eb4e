//! Causal attention over packed sequences, with grouped keys and values, sliding windows and soft caps.
//!
//! For query i and the keys j that it sees: sᵢⱼ = scale·qᵢ·kⱼ, through cap·tanh(s / cap) when there is a soft cap,
//! pᵢⱼ = exp(sᵢⱼ − lseᵢ), outᵢ = Σⱼ pᵢⱼ·vⱼ. The backward recomputes p from the kept log-sum-exp (Dao et al. 2022,
//! FlashAttention, §3.1): with Dᵢ = doutᵢ·outᵢ,
//! dv = pᵀ·dout, ds = p ∘ (dout·vᵀ − D)·scale·(1 − tanh²), dq = ds·k, dk = dsᵀ·q.
//!
//! Work is cut into blocks of 64 queries of one head and the keys that they see; the scores of one block are all that
//! is ever held. Keys and values are packed once for all heads that share them. A few queries over many keys, as in
//! decoding, read keys and values where they lie instead, in chunks that are put together.

mod backward;
mod decode;
mod forward;
mod product;

use std::ops::Range;

use super::cpu::{Isa, Kernel};
use super::mat::Element;
use super::{Compute, Mat};

pub(crate) use backward::backward_takes;
pub use backward::{backward, backward_separate};
pub(crate) use forward::forward_takes;
pub use forward::{forward, forward_heads};

/// Queries of a block.
const BLOCK: usize = 64;

/// What attention is made of, the same for every token of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`: head h reads key head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on q·k.
    pub scale: f32,
    /// Soft cap on the scores (Gemma 2).
    pub softcap: Option<f32>,
    /// A query sees itself and the `window − 1` keys before it; `None` sees all before it.
    pub window: Option<usize>,
    /// Type of the inputs of the products; scores, probabilities and sums are `f32`.
    pub compute: Compute,
}

/// Keys or values, `[rows, head_dim]` of each head: side by side in one matrix, or one head after the other.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a, T = f32> {
    data: &'a [T],
    rows: usize,
    heads: usize,
    head_dim: usize,
    /// Elements from one row to the next, and from one head to the next.
    strides: (usize, usize),
}

impl<'a, T: Element> Heads<'a, T> {
    /// Heads that are columns of one matrix.
    pub fn columns(m: Mat<'a, T>, head_dim: usize) -> Self {
        assert!(m.cols.is_multiple_of(head_dim.max(1)), "attention: columns that are no heads");
        let heads = m.cols / head_dim.max(1);
        Self { data: m.data, rows: m.rows, heads, head_dim, strides: (m.stride, head_dim) }
    }

    /// Heads of which each has its `rows` rows together: `[heads, rows, head_dim]`.
    pub fn planes(data: &'a [T], heads: usize, rows: usize, head_dim: usize) -> Self {
        assert!(data.len() >= heads * rows * head_dim, "attention: too few numbers");
        Self { data, rows, heads, head_dim, strides: (head_dim, rows * head_dim) }
    }

    /// Some rows of one head.
    fn head(&self, rows: &Range<usize>, head: usize) -> Mat<'a, T> {
        assert!(head < self.heads && rows.end <= self.rows);
        let from = if rows.is_empty() { 0 } else { head * self.strides.1 + rows.start * self.strides.0 };
        Mat::strided(&self.data[from..], rows.len(), self.head_dim, self.strides.0)
    }

    fn shape(&self) -> (usize, usize) {
        (self.rows, self.heads * self.head_dim)
    }
}

/// One sample: which rows of q and which rows of k and v belong to it.
///
/// The queries are the last `q.len()` positions of the keys, so `q.len() <= k.len()`: with fewer queries than keys, the
/// keys before them come from a cache, or nobody needs those queries' output. Segments may share keys (several runs of
/// queries of one sample); such segments must follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Rows of q and of the output.
    pub q: Range<usize>,
    /// Rows of k and v.
    pub k: Range<usize>,
}

impl Segment {
    /// A sample whose queries and keys are the same rows, as in training.
    pub fn of(rows: Range<usize>) -> Self {
        Self { q: rows.clone(), k: rows }
    }
}

impl Shape {
    /// The loops of the products.
    fn kernel(&self) -> &'static Kernel {
        Kernel::of(Isa::current(), self.compute)
    }

    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Keys that the query at position `p` of a segment sees.
    fn visible(&self, p: usize) -> Range<usize> {
        let end = p + 1;
        self.window.map_or(0, |w| end.saturating_sub(w))..end
    }

    fn check(&self, q: (usize, usize), k: (usize, usize), v: (usize, usize), segments: &[Segment]) {
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads), "attention: head counts");
        assert!(self.window != Some(0), "attention: a window of no keys");
        assert_eq!(q.1, self.heads * self.head_dim, "attention: columns of q");
        assert_eq!(k.1, self.kv_heads * self.head_dim, "attention: columns of k");
        assert_eq!(v, k, "attention: v has the shape of k");
        for s in segments {
            assert!(s.q.end <= q.0 && s.k.end <= k.0 && s.q.len() <= s.k.len(), "attention: segment {s:?}");
        }
    }
}

/// A block of queries of a segment, with the keys that any of them sees.
struct Block {
    /// Rows within the segment's queries.
    queries: Range<usize>,
    /// Positions of the segment; starts at a panel's border.
    keys: Range<usize>,
    /// Position of the first query.
    position: usize,
}

impl Block {
    fn new(shape: &Shape, segment: &Segment, index: usize) -> Self {
        let queries = index * BLOCK..((index + 1) * BLOCK).min(segment.q.len());
        let position = segment.k.len() - segment.q.len() + queries.start;
        let first = shape.visible(position).start / product::GRAIN * product::GRAIN;
        Self { keys: first..position + queries.len(), position, queries }
    }

    fn count(segment: &Segment) -> usize {
        segment.q.len().div_ceil(BLOCK)
    }

    /// Columns of the score buffer: whole panels, plus a line so that rows do not fall on the same cache sets.
    fn stride(&self) -> usize {
        score_stride(self.keys.len())
    }

    /// Floats of a buffer of scores.
    fn scores(&self) -> usize {
        self.queries.len() * self.stride()
    }

    /// Columns of the score buffer that row `r` of the block sees.
    fn visible(&self, shape: &Shape, r: usize) -> Range<usize> {
        let seen = shape.visible(self.position + r);
        seen.start - self.keys.start..seen.end - self.keys.start
    }
}

fn score_stride(keys: usize) -> usize {
    keys.next_multiple_of(product::GRAIN) + 16
}

/// Where each segment's packed keys (or values) begin in a shared buffer, and the total; one entry a segment.
fn offsets(segments: &[Segment], floats: impl Fn(&Segment) -> usize) -> (Vec<usize>, usize) {
    let mut total = 0;
    let mut starts = Vec::with_capacity(segments.len());
    for s in segments {
        starts.push(total);
        total += floats(s);
    }
    (starts, total)
}

/// Columns of one head in some rows of q, k, v or their like.
fn head<'a>(m: &Mat<'a>, rows: &Range<usize>, head: usize, width: usize) -> Mat<'a> {
    m.columns(head * width, width).rows_range(rows.start, rows.len())
}

/// A buffer that tasks write at places of their own.
struct Shared<T = f32>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}

// SAFETY: every user of a `Shared` writes rows and columns that no other task touches; each use says which.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address of element `at`. A method, so that closures capture the wrapper and not the bare pointer.
    ///
    /// # Safety
    /// `at` must lie inside the buffer.
    unsafe fn at(self, at: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(at) }
    }
}

#[cfg(test)]
mod tests;
