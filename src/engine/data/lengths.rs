//! How many rows there are of each length: as small as the longest row is long, whatever the number of rows.

use std::collections::BTreeMap;

/// Numbers of rows by length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LengthCounts {
    counts: BTreeMap<usize, usize>,
    /// `(length, rows of it, rows before, sum of the lengths before)`, from the longest.
    sorted: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    length: usize,
    rows: usize,
    rows_before: usize,
    sum_before: usize,
}

impl LengthCounts {
    /// Of these rows.
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> LengthCounts {
        let mut found = LengthCounts::default();
        lengths.into_iter().for_each(|length| found.add(length));
        found.finish();
        found
    }

    /// One row more; [`LengthCounts::finish`] comes after the last.
    pub fn add(&mut self, length: usize) {
        *self.counts.entry(length).or_default() += 1;
    }

    /// Makes the sums that the questions are answered from.
    pub fn finish(&mut self) {
        let (mut rows_before, mut sum_before) = (0, 0);
        self.sorted = Vec::with_capacity(self.counts.len());
        for (&length, &rows) in self.counts.iter().rev() {
            self.sorted.push(Step { length, rows, rows_before, sum_before });
            rows_before += rows;
            sum_before += rows * length;
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.sorted.last().map_or(0, |last| last.rows_before + last.rows)
    }

    /// The longest row; 0 when there is none.
    pub fn longest(&self) -> usize {
        self.sorted.first().map_or(0, |first| first.length)
    }

    /// Rows longer than this.
    pub fn longer_than(&self, length: usize) -> usize {
        let at = self.sorted.partition_point(|step| step.length > length);
        self.sorted.get(at).map_or(self.rows(), |step| step.rows_before)
    }

    /// The sum of the longest `count` rows.
    pub fn sum_of_longest(&self, count: usize) -> usize {
        let count = count.min(self.rows());
        let at = self.sorted.partition_point(|step| step.rows_before < count);
        let Some(step) = at.checked_sub(1).and_then(|at| self.sorted.get(at)) else { return 0 };
        step.sum_before + (count - step.rows_before) * step.length
    }

    /// The length that this share of the rows, 0 to 1, does not exceed.
    pub fn quantile(&self, share: f64) -> usize {
        let last = self.rows().saturating_sub(1);
        // From the longest: the row at this place counted from the shortest.
        let rank = last - ((last as f64 * share).round() as usize).min(last);
        let at = self.sorted.partition_point(|step| step.rows_before + step.rows <= rank);
        self.sorted.get(at).map_or(0, |step| step.length)
    }

    /// Lengths from the shortest, with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.counts.iter().map(|(length, rows)| (*length, *rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_that_of_the_sorted_rows() {
        let rows = [5, 30, 7, 20, 50, 7, 7, 1];
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        let counts = LengthCounts::of(rows);
        assert_eq!((counts.rows(), counts.longest()), (8, 50));
        for length in 0..60 {
            assert_eq!(counts.longer_than(length), rows.iter().filter(|n| **n > length).count());
        }
        for count in 0..10 {
            assert_eq!(counts.sum_of_longest(count), sorted.iter().rev().take(count).sum::<usize>());
        }
        for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert_eq!(counts.quantile(share), sorted[(7.0 * share).round() as usize], "{share}");
        }
        let none = LengthCounts::of([]);
        assert_eq!((none.rows(), none.longest(), none.sum_of_longest(3), none.quantile(0.5)), (0, 0, 0, 0));
    }
}
