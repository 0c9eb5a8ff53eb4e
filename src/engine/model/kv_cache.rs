//! Keys and values of the tokens so far, so that each token is computed once.

use std::ops::Range;

use crate::engine::model::ModelConfig;
use crate::engine::ops::attention::Segment;
use crate::engine::ops::{Mat, MatMut};

/// Rows by which a sequence's part grows at least.
const BLOCK: usize = 256;

/// The caches of all layers for several sequences.
///
/// A layer has one buffer, in which each sequence has a part of its own. A part grows in blocks as its sequence does; in
/// a layer with a sliding window it stops growing, since rows that no later token sees are dropped.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// Columns of k, and of v.
    width: usize,
}

#[derive(Clone, Debug)]
struct Layer {
    window: Option<usize>,
    /// Rows k|v, `[rows, 2·width]`, of one sequence after another.
    rows: Vec<f32>,
    parts: Vec<Part>,
}

/// A sequence's part of a layer's buffer.
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

impl KvCache {
    /// Empty caches for so many sequences.
    pub fn new(model: &ModelConfig, sequences: usize) -> KvCache {
        let layer = |window| Layer { window, rows: Vec::new(), parts: vec![Part::default(); sequences] };
        KvCache { layers: model.layers.iter().map(|l| layer(l.window)).collect(), width: model.kv_width() }
    }

    /// Appends k|v `[tokens, 2·width]` of a sequence's next tokens.
    pub fn append(&mut self, layer: usize, sequence: usize, kv: Mat) {
        let width = 2 * self.width;
        assert_eq!(kv.cols, width, "columns of k and v");
        let layer = &mut self.layers[layer];
        layer.make_room(sequence, kv.rows, width);
        let part = &mut layer.parts[sequence];
        let at = (part.start + part.len) * width;
        for (row, to) in layer.rows[at..at + kv.rows * width].chunks_exact_mut(width).enumerate() {
            to.copy_from_slice(kv.row(row));
        }
        part.len += kv.rows;
        part.end += kv.rows;
    }

    /// The keys of a layer, `[rows, width]`, for [`KvCache::segment`]s to point into.
    pub fn keys(&self, layer: usize) -> Mat<'_> {
        self.columns(layer, 0)
    }

    /// The values of a layer, laid out as the keys.
    pub fn values(&self, layer: usize) -> Mat<'_> {
        self.columns(layer, self.width)
    }

    fn columns(&self, layer: usize, from: usize) -> Mat<'_> {
        let rows = &self.layers[layer].rows;
        Mat::new(rows, rows.len() / (2 * self.width), 2 * self.width).columns(from, self.width)
    }

    /// The attention of a sequence's last tokens, rows `q`, over what is cached of it.
    pub fn segment(&self, layer: usize, sequence: usize, q: Range<usize>) -> Segment {
        let part = &self.layers[layer].parts[sequence];
        Segment { q, k: part.start..part.start + part.len }
    }

    /// Forgets a sequence from position `end` on. Where a window has dropped rows that a token at `end` would see again,
    /// this cannot be done: then the sequence is forgotten altogether and `false` is returned.
    pub fn truncate(&mut self, sequence: usize, end: usize) -> bool {
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

    /// Rows that a layer without a window has room for after a prompt of `tokens` tokens and `new` that follow one by one.
    pub fn rows_after(tokens: usize, new: usize) -> usize {
        let mut capacity = tokens.next_multiple_of(BLOCK);
        while capacity < tokens + new {
            capacity = (capacity + 1).max(capacity + capacity / 2).next_multiple_of(BLOCK);
        }
        capacity
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|l| l.rows.len() * size_of::<f32>()).sum()
    }
}

impl Layer {
    /// Room for `new` rows behind those in use.
    fn make_room(&mut self, sequence: usize, new: usize, width: usize) {
        let part = self.parts[sequence];
        if part.len + new <= part.capacity {
            return;
        }
        // The first of the new tokens sees the `window − 1` rows before it, and later ones see less of them.
        let keep = self.window.map_or(part.len, |w| part.len.min(w - 1));
        if keep < part.len {
            let from = (part.start + part.len - keep) * width;
            self.rows.copy_within(from..from + keep * width, part.start * width);
            self.parts[sequence].len = keep;
        }
        // With a window, a block of room beyond it, so that rows are moved once in a block and not for each token.
        let needed = keep + if self.window.is_some() { new.max(BLOCK) } else { new };
        if needed > part.capacity {
            let grown = part.capacity + part.capacity / 2;
            let grown = if self.window.is_some() { needed } else { needed.max(grown) };
            self.grow(sequence, grown.next_multiple_of(BLOCK), width);
        }
    }

    /// Moves all parts into a new buffer in which one sequence's is larger.
    fn grow(&mut self, sequence: usize, capacity: usize, width: usize) {
        let mut parts = self.parts.clone();
        parts[sequence].capacity = capacity;
        let mut start = 0;
        for part in &mut parts {
            part.start = start;
            start += part.capacity;
        }
        let mut rows = vec![0.0; start * width];
        for (from, to) in self.parts.iter().zip(&parts) {
            let n = from.len * width;
            rows[to.start * width..][..n].copy_from_slice(&self.rows[from.start * width..][..n]);
        }
        self.rows = rows;
        self.parts = parts;
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
        KvCache::new(&model, 3)
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

    /// Positions that the cache holds of a sequence, after checking that their numbers are all there.
    fn held(cache: &KvCache, layer: usize, sequence: usize) -> Vec<usize> {
        let rows = cache.segment(layer, sequence, 0..0).k;
        let (keys, values) = (cache.keys(layer), cache.values(layer));
        rows.map(|row| {
            let key = keys.row(row)[0];
            assert!(keys.row(row).iter().all(|x| *x == key) && values.row(row).iter().all(|x| *x == -key));
            assert_eq!(key as usize % 3, sequence);
            key as usize / 3
        })
        .collect()
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
        assert_eq!(cache.layers[1].rows.len(), 3 * 512 * 8);
        assert_eq!(cache.bytes(), 4 * (cache.layers[0].rows.len() + 3 * 512 * 8));
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
