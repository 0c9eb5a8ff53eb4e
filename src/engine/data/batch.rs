//! What the data pipeline hands to the trainer.

use std::ops::Range;

/// One tokenized row: its tokens and which of them are trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// `trained[i]`: token `i` is a target, predicted from the tokens before it. `trained[0]` is never used.
    pub trained: Vec<bool>,
    /// Index of the row in its source, from 0.
    pub row: usize,
}

impl Sample {
    /// Number of predictions that count in the loss.
    pub fn supervised(&self) -> usize {
        self.trained.iter().skip(1).filter(|t| **t).count()
    }
}

/// Samples laid end to end without padding; attention and positions restart at every segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all samples, `[tokens]`.
    pub tokens: Vec<u32>,
    /// Where each sample lies in `tokens`, in order and without gaps.
    pub segments: Vec<Range<usize>>,
    /// `(position, target)`: the hidden state at `position` predicts token `target`. Ascending positions.
    pub targets: Vec<(u32, u32)>,
}

impl Batch {
    /// Lays samples end to end.
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Batch {
        let mut batch = Batch::default();
        for s in samples {
            let start = batch.tokens.len();
            batch.tokens.extend_from_slice(&s.tokens);
            batch.segments.push(start..batch.tokens.len());
            for i in 1..s.tokens.len() {
                if s.trained[i] {
                    batch.targets.push(((start + i - 1) as u32, s.tokens[i]));
                }
            }
        }
        batch
    }
}
