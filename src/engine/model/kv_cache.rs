//! Keys and values of the tokens so far, so that each token is computed once.

use std::ops::Range;

use half::bf16;

use crate::engine::model::ModelConfig;
use crate::engine::ops::attention::{self, Heads, Segment, Shape};
use crate::engine::ops::mat::Element;
use crate::engine::ops::{Compute, Mat, MatMut};

/// Rows by which a sequence's part grows at least.
const BLOCK: usize = 256;

/// The caches of all layers for several sequences, in the type that attention's products read.
#[derive(Clone, Debug)]
pub enum KvCache {
    /// Of a model that computes in 32 bits.
    F32(Layers<f32>),
    /// Of one whose products read bfloat16.
    Bf16(Layers<bf16>),
}

/// A layer has one buffer, in which each sequence has a part of its own. A part grows in blocks as its sequence does; in
/// a layer with a sliding window it stops growing, since rows that no later token sees are dropped.
#[derive(Clone, Debug)]
pub struct Layers<T> {
    layers: Vec<Layer<T>>,
    shape: HeadShape,
}

/// Heads of keys (values have as many), and numbers of each.
#[derive(Clone, Copy, Debug)]
struct HeadShape {
    heads: usize,
    dim: usize,
}

#[derive(Clone, Debug)]
struct Layer<T> {
    window: Option<usize>,
    /// `[k's heads, then v's, rows, dim]`: what is read for one head lies together.
    numbers: Vec<T>,
    /// Rows of every head.
    rows: usize,
    parts: Vec<Part>,
}

/// A sequence's part of the rows.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// First row.
    start: usize,
    /// Rows that there is room for.
    capacity: usize,
    /// Rows in use.
    len: usize,
    /// Position after the last row: `len` and what was dropped.
    end: usize,
}

/// Does the same whatever the type.
macro_rules! of_either {
    ($cache:expr, $layers:ident => $do:expr) => {
        match $cache {
            KvCache::F32($layers) => $do,
            KvCache::Bf16($layers) => $do,
        }
    };
}

impl KvCache {
    /// Empty caches for so many sequences.
    pub fn new(model: &ModelConfig, compute: Compute, sequences: usize) -> KvCache {
        match compute {
            Compute::F32 => KvCache::F32(Layers::new(model, sequences)),
            Compute::Bf16 => KvCache::Bf16(Layers::new(model, sequences)),
        }
    }

    /// Appends k|v `[tokens, 2·width]` of a sequence's next tokens.
    pub fn append(&mut self, layer: usize, sequence: usize, kv: Mat) {
        of_either!(self, layers => layers.append(layer, sequence, kv));
    }

    /// The attention of queries over what is cached in a layer; see [`KvCache::segment`].
    pub fn attend(&self, layer: usize, q: Mat, shape: &Shape, segments: &[Segment], out: MatMut) {
        of_either!(self, layers => {
            let [keys, values] = layers.heads(layer);
            attention::forward_heads(q, keys, values, shape, segments, out, None);
        });
    }

    /// The attention of a sequence's last tokens, rows `q`, over what is cached of it.
    pub fn segment(&self, layer: usize, sequence: usize, q: Range<usize>) -> Segment {
        let part = of_either!(self, layers => layers.layers[layer].parts[sequence]);
        Segment { q, k: part.start..part.start + part.len }
    }

    /// Forgets a sequence from position `end` on. Where a window has dropped rows that a token at `end` would see again,
    /// this cannot be done: then the sequence is forgotten altogether and `false` is returned.
    pub fn truncate(&mut self, sequence: usize, end: usize) -> bool {
        of_either!(self, layers => layers.truncate(sequence, end))
    }

    /// Rows that a layer without a window has room for when it holds so many: what it grew from makes no difference. Up to
    /// a quarter of them is more than asked for, so that long ones are seldom moved.
    pub fn room(rows: usize) -> usize {
        rows.next_multiple_of((rows.next_power_of_two() / 8).max(BLOCK))
    }

    /// Makes room for so many more tokens of a sequence, which may come in several pieces.
    pub fn make_room(&mut self, sequence: usize, new: usize) {
        of_either!(self, layers => {
            let heads = layers.shape;
            let whole = layers.layers.iter_mut().filter(|l| l.window.is_none());
            whole.for_each(|l| l.make_room(sequence, new, heads));
        });
    }

    /// Bytes of so many rows in all layers.
    pub fn bytes_of(model: &ModelConfig, compute: Compute, rows: usize) -> usize {
        let number = match compute {
            Compute::F32 => size_of::<f32>(),
            Compute::Bf16 => size_of::<bf16>(),
        };
        rows * model.layers.len() * 2 * model.kv_width() * number
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        of_either!(self, layers => layers.layers.iter().map(|l| size_of_val(&l.numbers[..])).sum())
    }
}

impl<T: Element + Default> Layers<T> {
    fn new(model: &ModelConfig, sequences: usize) -> Self {
        let layer = |window| Layer { window, numbers: Vec::new(), rows: 0, parts: vec![Part::default(); sequences] };
        let shape = HeadShape { heads: model.kv_heads, dim: model.head_dim };
        Layers { layers: model.layers.iter().map(|l| layer(l.window)).collect(), shape }
    }

    fn append(&mut self, layer: usize, sequence: usize, kv: Mat) {
        let HeadShape { heads, dim } = self.shape;
        assert_eq!(kv.cols, 2 * heads * dim, "columns of k and v");
        if kv.rows == 0 {
            return;
        }
        let layer = &mut self.layers[layer];
        layer.make_room(sequence, kv.rows, self.shape);
        let part = &mut layer.parts[sequence];
        let first = part.start + part.len;
        for (head, numbers) in layer.numbers.chunks_exact_mut(layer.rows * dim).enumerate() {
            for (r, to) in numbers[first * dim..].chunks_exact_mut(dim).take(kv.rows).enumerate() {
                T::narrow(&kv.row(r)[head * dim..][..dim], to);
            }
        }
        part.len += kv.rows;
        part.end += kv.rows;
    }

    /// Keys and values of a layer.
    fn heads(&self, layer: usize) -> [Heads<'_, T>; 2] {
        let HeadShape { heads, dim } = self.shape;
        let layer = &self.layers[layer];
        let (keys, values) = layer.numbers.split_at(layer.numbers.len() / 2);
        [keys, values].map(|numbers| Heads::planes(numbers, heads, layer.rows, dim))
    }

    fn truncate(&mut self, sequence: usize, end: usize) -> bool {
        let possible = self.layers.iter().all(|l| l.can_truncate(sequence, end));
        let end = if possible { end } else { 0 };
        for layer in &mut self.layers {
            let part = &mut layer.parts[sequence];
            let gone = part.end.saturating_sub(end).min(part.len);
            part.len -= gone;
            part.end = part.end.min(end);
        }
        possible
    }
}

impl<T: Element + Default> Layer<T> {
    /// Room for `new` rows behind those in use.
    fn make_room(&mut self, sequence: usize, new: usize, heads: HeadShape) {
        let part = self.parts[sequence];
        if part.len + new <= part.capacity {
            return;
        }
        // The first of the new tokens sees the `window − 1` rows before it, and later ones see less of them.
        let keep = self.window.map_or(part.len, |w| part.len.min(w - 1));
        if keep < part.len {
            let from = (part.start + part.len - keep) * heads.dim;
            for numbers in self.numbers.chunks_exact_mut(self.rows * heads.dim) {
                numbers.copy_within(from..from + keep * heads.dim, part.start * heads.dim);
            }
            self.parts[sequence].len = keep;
        }
        // With a window, a block of room beyond it, so that rows are moved once in a block and not for each token.
        let needed = keep + if self.window.is_some() { new.max(BLOCK) } else { new };
        if needed > part.capacity {
            let room = if self.window.is_some() { needed.next_multiple_of(BLOCK) } else { KvCache::room(needed) };
            self.grow(sequence, room, heads);
        }
    }

    /// Moves all parts into a new buffer in which one sequence's is larger.
    fn grow(&mut self, sequence: usize, capacity: usize, heads: HeadShape) {
        let mut parts = self.parts.clone();
        parts[sequence].capacity = capacity;
        let mut rows = 0;
        for part in &mut parts {
            part.start = rows;
            rows += part.capacity;
        }
        let mut numbers = vec![T::default(); 2 * heads.heads * rows * heads.dim];
        let old = self.numbers.chunks_exact((self.rows * heads.dim).max(1));
        for (old, new) in old.zip(numbers.chunks_exact_mut(rows * heads.dim)) {
            for (from, to) in self.parts.iter().zip(&parts) {
                let n = from.len * heads.dim;
                new[to.start * heads.dim..][..n].copy_from_slice(&old[from.start * heads.dim..][..n]);
            }
        }
        (self.numbers, self.rows, self.parts) = (numbers, rows, parts);
    }

    fn can_truncate(&self, sequence: usize, end: usize) -> bool {
        let part = &self.parts[sequence];
        // The first position whose row is still there, and the first that the token at `end` sees.
        let first = part.end - part.len;
        let seen = self.window.map_or(0, |w| (end + 1).saturating_sub(w));
        part.end <= end || first <= seen
    }
}

/// Copies the rows of `from` for which `keep` names an index to the front, in order.
pub(super) fn gather_rows(mut x: MatMut, keep: &[usize]) {
    for (to, &from) in keep.iter().enumerate() {
        debug_assert!(to <= from);
        let (cols, stride) = (x.cols, x.stride);
        x.reborrow().data.copy_within(from * stride..from * stride + cols, to * stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::LayerConfig;
    use crate::engine::peft::folder::tests::tiny_llama;

    /// A layer that sees everything and one with a window of 6; k and v have four columns each.
    fn cache() -> KvCache {
        let mut model = tiny_llama();
        model.layers = [None, Some(6)].map(|window| LayerConfig { window, rope: Some(0) }).to_vec();
        KvCache::new(&model, Compute::F32, 3)
    }

    /// Rows whose numbers say where they are: position in k, its negative in v.
    fn append(cache: &mut KvCache, sequence: usize, positions: Range<usize>) {
        let rows: Vec<f32> = positions
            .clone()
            .flat_map(|p| (0..8).map(move |c| (p * 3 + sequence) as f32 * if c < 4 { 1.0 } else { -1.0 }))
            .collect();
        for layer in 0..2 {
            cache.append(layer, sequence, Mat::new(&rows, positions.len(), 8));
        }
    }

    fn layers(cache: &KvCache) -> &Layers<f32> {
        match cache {
            KvCache::F32(layers) => layers,
            KvCache::Bf16(_) => panic!("a cache of 32 bits"),
        }
    }

    /// Positions that the cache holds of a sequence, after checking that their numbers are all there.
    fn held(cache: &KvCache, layer: usize, sequence: usize) -> Vec<usize> {
        let (rows, heads) = (cache.segment(layer, sequence, 0..0).k, layers(cache).shape);
        let layer = &layers(cache).layers[layer];
        let number = |head: usize, row: usize, i: usize| layer.numbers[(head * layer.rows + row) * heads.dim + i];
        rows.map(|row| {
            let key = number(0, row, 0);
            for (head, i) in (0..heads.heads).flat_map(|h| (0..heads.dim).map(move |i| (h, i))) {
                assert_eq!((number(head, row, i), number(heads.heads + head, row, i)), (key, -key));
            }
            assert_eq!(key as usize % 3, sequence);
            key as usize / 3
        })
        .collect()
    }

    #[test]
    fn there_is_room_for_a_quarter_more_at_most() {
        assert_eq!([1, 256, 257, 2048, 2049, 5000].map(KvCache::room), [256, 256, 512, 2048, 2560, 5120]);
        assert!((2048..40_000).all(|rows| 4 * (KvCache::room(rows) - rows) <= rows));
    }

    #[test]
    fn rows_stay_where_they_belong_while_parts_grow() {
        let mut cache = cache();
        let mut at = [0; 3];
        for step in 0..400 {
            let (s, n) = (step % 3, 1 + (step * step) % 17);
            append(&mut cache, s, at[s]..at[s] + n);
            at[s] += n;
        }
        for (s, end) in at.into_iter().enumerate() {
            assert_eq!(held(&cache, 0, s), (0..end).collect::<Vec<_>>());
            let windowed = held(&cache, 1, s);
            // All that the next token sees: itself and the five before it.
            assert_eq!(*windowed, (end - windowed.len()..end).collect::<Vec<_>>());
            assert!(windowed.len() >= 5);
        }
        // The window's layer: 5 rows and a block, in whole blocks.
        let [first, second] = [0, 1].map(|layer| layers(&cache).layers[layer].numbers.len());
        assert_eq!(second, 3 * 512 * 8);
        assert_eq!(cache.bytes(), 4 * (first + second));
    }

    #[test]
    fn truncating_forgets_the_end_or_everything() {
        let mut cache = cache();
        append(&mut cache, 1, 0..300);
        append(&mut cache, 2, 0..10);
        assert!(cache.truncate(1, 290));
        assert_eq!(held(&cache, 0, 1).len(), 290);
        append(&mut cache, 1, 290..295);
        assert_eq!(held(&cache, 0, 1), (0..295).collect::<Vec<_>>());
        // Now the window drops rows: the five before 600 are left of the first 600.
        append(&mut cache, 1, 295..600);
        append(&mut cache, 1, 600..900);
        assert!(cache.truncate(1, 600));
        assert_eq!(held(&cache, 1, 1), (595..600).collect::<Vec<_>>());
        append(&mut cache, 1, 600..610);
        assert!(!cache.truncate(1, 300), "the token at 300 would see dropped rows");
        assert_eq!((held(&cache, 0, 1).len(), held(&cache, 1, 1).len()), (0, 0));
        append(&mut cache, 1, 0..4);
        assert_eq!(held(&cache, 1, 1), [0, 1, 2, 3]);
        assert_eq!(held(&cache, 0, 2), (0..10).collect::<Vec<_>>());
    }
}
