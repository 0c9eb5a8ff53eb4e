//! What a setting costs in time, as a ratio: multiplications of a step by the model's shape, and what each pass costs
//! whatever its length.

use crate::engine::model::{Layout, LinearKind, ModelConfig};
use crate::engine::ops::cross_entropy;
use crate::engine::peft::AdapterShape;

// Measured on two cores: docs/performance.md, "Memory".

/// A pass decodes every weight once a direction, however few tokens it has: as much time as this many tokens more take.
const PASS_TOKENS: f64 = 35.0;

/// More tokens than these in a pass are no faster: what is won at the weights is lost where activations leave the caches.
const ENOUGH_TOKENS: usize = 512;

/// The head packs its weights anew for each chunk of logits: as much time as this many rows more take. More rows than the usual
/// ones win nothing: their logits leave the caches.
const CHUNK_ROWS: f64 = 70.0;

/// Time of writing a number to a file and reading it back, in multiplications, while the system's cache holds the file.
const FILE_NUMBER: f64 = 1300.0;

/// Relative time that a token of training takes; only ratios mean something.
pub(super) fn time_per_token(m: &ModelConfig, adapter: &AdapterShape, layout: &Layout) -> f64 {
    let layers = m.layers.len() as f64;
    let numbers = |kind: LinearKind| {
        let (out, input) = m.linear_shape(kind);
        (out * input) as f64
    };
    let linears: f64 = m.linears().iter().map(|&k| numbers(k)).sum();
    let trained = adapter.parameters as f64 / layers;
    // Scores and their use, forward; the backward makes five products of the two.
    let attention = layout.size.longest as f64 * m.q_width() as f64;
    let forward = 2.0 * linears + 2.0 * trained + 2.0 * attention;
    let backward = 2.0 * linears + 4.0 * trained + 5.0 * attention;
    // A layer that is computed again leaves out its last linear; the topmost of them is not computed again.
    let again = (layout.recomputed as f64 - 1.0).max(0.0);
    let recomputed = forward - 2.0 * numbers(LinearKind::Down);
    let size = &layout.size;
    let supervised = size.supervised as f64 / size.tokens.max(1) as f64;
    let rows = layout.logits_rows.min(cross_entropy::chunk_rows(m.vocab, 0, size.supervised));
    let head = 4.0 * (m.vocab * m.hidden) as f64 * supervised * (1.0 + CHUNK_ROWS / rows as f64);
    let file = FILE_NUMBER * (layout.in_file() * m.hidden) as f64;
    let layers = layers * (forward + backward) + again * recomputed;
    layers * (1.0 + PASS_TOKENS / size.tokens.clamp(1, ENOUGH_TOKENS) as f64) + head + file
}
