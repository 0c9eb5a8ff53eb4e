//! The lengths of a data set's rows, kept so that the largest batch of any setting is known at once.

use crate::engine::config::{DataConfig, TrainConfig};
use crate::engine::data::{CutRow, Dataset, LengthCounts};
use crate::engine::model::WorkspaceSize;

/// What a data set's rows ask of the buffers, for any batch size.
#[derive(Clone, Debug)]
pub struct BatchShape {
    tokens: LengthCounts,
    supervised: LengthCounts,
    /// The longest validation row and the most supervised tokens of one.
    validation: (usize, usize),
    /// `max_seq_len` that the rows were cut at, if any was.
    cut_at: Option<usize>,
}

impl BatchShape {
    /// The lengths of the rows of `data`, which were tokenized with `settings`.
    pub fn of(data: &Dataset, settings: &DataConfig) -> BatchShape {
        let report = &data.report;
        let cut = report.source.truncated + report.validation_source.as_ref().map_or(0, |s| s.truncated);
        BatchShape::of_rows(data.train.rows(), data.validation.rows(), (cut > 0).then_some(settings.max_seq_len))
    }

    /// The same from the rows' lengths. `cut_at` is the `max_seq_len` that rows were cut at, if any was.
    pub fn of_rows(train: &[CutRow], validation: &[CutRow], cut_at: Option<usize>) -> BatchShape {
        let most = |of: fn(&CutRow) -> u32| validation.iter().map(of).max().unwrap_or(0) as usize;
        BatchShape {
            tokens: LengthCounts::of(train.iter().map(|row| row.tokens as usize)),
            supervised: LengthCounts::of(train.iter().map(|row| row.supervised as usize)),
            validation: (most(|row| row.tokens), most(|row| row.supervised)),
            cut_at,
        }
    }

    /// The largest batch that training or validation will see. Exact for the `max_seq_len` that the rows were tokenized
    /// with; for another one never too small.
    pub fn largest_batch(&self, data: &DataConfig, train: &TrainConfig) -> WorkspaceSize {
        let limit = data.max_seq_len;
        // With a higher limit, rows that were cut may fill it; how many of their tokens count is not known.
        let longer = self.cut_at.filter(|at| limit > *at);
        let whole = longer.unwrap_or(limit);
        let length = |n: usize| if n >= whole { limit } else { n };
        let mut tokens = top(&self.tokens, train.batch_size, whole, limit);
        let mut supervised = top(&self.supervised, train.batch_size, limit, limit.saturating_sub(1));
        if data.packing {
            // A bin holds at most max_seq_len tokens, and never more than there are.
            let all = top(&self.tokens, usize::MAX, whole, limit);
            tokens = train.batch_size.saturating_mul(limit).min(all);
        }
        if data.packing || longer.is_some() {
            supervised = tokens;
        }
        let (one, one_supervised) = (length(self.validation.0), self.validation.1.min(limit));
        WorkspaceSize {
            tokens: tokens.max(one),
            longest: length(self.tokens.longest()).max(one),
            supervised: supervised.max(if longer.is_some() { one } else { one_supervised }),
        }
    }

    /// Rows that a batch has, with some to spare where rows are packed: more and shorter ones take a little more memory.
    pub fn most_rows(&self, data: &DataConfig, train: &TrainConfig) -> usize {
        if !data.packing {
            return train.batch_size.min(self.tokens.rows()).max(1);
        }
        let all = self.tokens.sum_of_longest(usize::MAX);
        let tokens = train.batch_size.saturating_mul(data.max_seq_len).min(all);
        let mean = (all / self.tokens.rows().max(1)).max(1);
        (tokens + tokens / 2).div_ceil(mean).min(self.tokens.rows()).max(1)
    }

    /// The largest batch of rows that are not known: every one `max_seq_len` long and trained.
    pub fn largest_unknown(data: &DataConfig, train: &TrainConfig) -> WorkspaceSize {
        let tokens = train.batch_size.saturating_mul(data.max_seq_len);
        WorkspaceSize { tokens, longest: data.max_seq_len, supervised: tokens }
    }
}

/// Sum of the longest `count`, those of at least `whole` counted as `limit`.
fn top(lengths: &LengthCounts, count: usize, whole: usize, limit: usize) -> usize {
    let count = count.min(lengths.rows());
    let full = lengths.longer_than(whole.saturating_sub(1)).min(count);
    full * limit + lengths.sum_of_longest(count) - lengths.sum_of_longest(full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data::Sample;

    /// Rows of these lengths, all but the first token trained, cut at `limit`.
    fn dataset(lengths: &[usize], validation: &[usize], limit: usize) -> (Dataset, DataConfig) {
        let sample = |n: &usize| {
            let n = (*n).min(limit);
            Sample { tokens: vec![0; n], trained: vec![true; n], row: 0 }
        };
        let mut data = Dataset {
            train: lengths.iter().map(sample).collect::<Vec<_>>().into(),
            validation: validation.iter().map(sample).collect::<Vec<_>>().into(),
            ..Dataset::default()
        };
        data.report.source.truncated = lengths.iter().chain(validation).filter(|n| **n > limit).count();
        (data, DataConfig { max_seq_len: limit, ..DataConfig::default() })
    }

    fn size(s: &WorkspaceSize) -> [usize; 3] {
        [s.tokens, s.longest, s.supervised]
    }

    #[test]
    fn the_largest_batch_is_the_longest_rows_together() {
        let (data, settings) = dataset(&[5, 30, 7, 20, 50], &[11], 40);
        let shape = BatchShape::of(&data, &settings);
        let of = |packing, max_seq_len, batch_size| {
            let data = DataConfig { packing, max_seq_len, ..settings.clone() };
            size(&shape.largest_batch(&data, &TrainConfig { batch_size, ..TrainConfig::default() }))
        };
        // By hand; a row's first token is no target.
        assert_eq!(of(false, 40, 1), [40, 40, 39]);
        assert_eq!(of(false, 40, 2), [70, 40, 68]);
        assert_eq!(of(false, 40, 9), [102, 40, 97]);
        assert_eq!(of(true, 40, 1), [40, 40, 40]);
        assert_eq!(of(true, 40, 9), [102, 40, 102]);
        // Cut shorter: 20 + 20, and 19 + 19 of them targets.
        assert_eq!(of(false, 20, 2), [40, 20, 38]);
        // Longer: the row that was cut at 40 may have 60.
        assert_eq!(of(false, 60, 2), [90, 60, 90]);
        // A validation row can be the longest.
        let (data, settings) = dataset(&[5], &[11], 40);
        let shape = BatchShape::of(&data, &settings);
        assert_eq!(size(&shape.largest_batch(&settings, &TrainConfig::default())), [11, 11, 10]);
    }

    #[test]
    fn another_limit_is_never_too_small() {
        let lengths = [5, 30, 7, 20, 50, 64, 3];
        for old in [10, 20, 40, 100] {
            let (data, settings) = dataset(&lengths, &[25], old);
            let shape = BatchShape::of(&data, &settings);
            for new in [4, 10, 20, 30, 64, 200] {
                let (again, exact) = dataset(&lengths, &[25], new);
                for (packing, batch_size) in [(false, 1), (false, 3), (true, 1), (true, 3)] {
                    let train = TrainConfig { batch_size, ..TrainConfig::default() };
                    let exact = DataConfig { packing, ..exact.clone() };
                    let guess = size(&shape.largest_batch(&exact, &train));
                    let truth = size(&BatchShape::of(&again, &exact).largest_batch(&exact, &train));
                    assert!(std::iter::zip(guess, truth).all(|(g, t)| g >= t), "{old} {new}: {guess:?} {truth:?}");
                    if new <= old {
                        assert_eq!(guess[..2], truth[..2]);
                    }
                }
            }
        }
    }
}
