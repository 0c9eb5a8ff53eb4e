//! What became of the rows of a data set.

use serde::Serialize;

use super::check::Finding;
use super::format::Format;
use super::marks::Why;
use super::survey::CutRow;
use super::tokens::Tokenized;

/// What became of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is trained on.
    pub train: Side,
    /// What the validation loss is computed on.
    pub validation: Side,
    /// The training rows, before rows were held out.
    pub source: SourceReport,
    /// The validation file, if there is one.
    pub validation_source: Option<SourceReport>,
    /// What was found in the training rows, the worst first.
    pub findings: Vec<Finding>,
    /// Sentences to show before the run.
    pub notices: Vec<String>,
}

/// Numbers of one side of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Rows.
    pub samples: usize,
    /// Tokens in them.
    pub tokens: u64,
    /// Tokens that count in the loss.
    pub trained_tokens: u64,
}

impl Side {
    pub(super) fn of(rows: &[CutRow]) -> Side {
        Side {
            samples: rows.len(),
            tokens: rows.iter().map(|row| u64::from(row.tokens)).sum(),
            trained_tokens: rows.iter().map(|row| u64::from(row.supervised)).sum(),
        }
    }
}

/// What became of the rows of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// The file or folder, or `builtin:NAME`.
    pub source: String,
    /// How its rows were read.
    pub format: Format,
    /// Why they were read so.
    pub reason: String,
    /// Rows that can be read.
    pub rows: usize,
    /// Rows that cannot be read and are left out.
    pub wrong_rows: usize,
    /// Rows that were cut at `max_seq_len` tokens.
    pub truncated: usize,
    /// Those of them whose last answer lost its end: the model does not see where it stops.
    pub answers_cut: usize,
    /// The first of those, from 0.
    pub first_answer_cut: Option<usize>,
    /// Tokens that were cut off.
    pub tokens_cut: u64,
    /// Length in tokens of the longest row, before it was cut.
    pub longest: usize,
    /// Rows that are not trained on, by reason, the most frequent first.
    pub dropped: Vec<Dropped>,
}

/// Rows that are not trained on, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Why.
    pub why: Why,
    /// The same in words.
    pub reason: String,
    /// How many.
    pub rows: usize,
    /// Line of the first one.
    pub first_line: usize,
    /// Index of the first one, from 0.
    pub first_row: usize,
}

impl SourceReport {
    pub(super) fn of(rows: &Tokenized) -> SourceReport {
        SourceReport {
            source: rows.source.path().display().to_string(),
            format: rows.summary.reading.format,
            reason: rows.summary.reading.reason.clone(),
            rows: rows.len(),
            wrong_rows: rows.summary.wrong_rows,
            ..SourceReport::default()
        }
    }

    /// Counts a row that is not trained on; `words` says why when it is the first.
    pub(super) fn drop_row(&mut self, why: Why, words: impl FnOnce() -> String, row: usize, line: usize) {
        match self.dropped.iter_mut().find(|dropped| dropped.why == why) {
            Some(dropped) => dropped.rows += 1,
            None => {
                self.dropped.push(Dropped { why, reason: words(), rows: 1, first_line: line, first_row: row });
            }
        }
    }

    pub(super) fn sort(&mut self) {
        self.dropped.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.first_row.cmp(&b.first_row)));
    }

    /// Sentences about rows that were cut or left out.
    pub(super) fn notices(&self) -> Vec<String> {
        use crate::units::grouped;
        let rows = |n: usize| if n == 1 { "1 row".to_string() } else { format!("{} rows", grouped(n as u64)) };
        let mut notices = Vec::new();
        if self.wrong_rows > 0 {
            notices.push(format!(
                "{} that cannot be read left out (on_bad_row): {}",
                rows(self.wrong_rows),
                self.source
            ));
        }
        if self.truncated > 0 {
            let ends = match self.answers_cut {
                0 => String::new(),
                1 => "; 1 row loses the end of its last answer".to_string(),
                n => format!("; {} lose the end of their last answer", rows(n)),
            };
            notices.push(format!(
                "{} of {} cut at max_seq_len (the longest has {} tokens){ends}: {}",
                grouped(self.truncated as u64),
                rows(self.rows),
                grouped(self.longest as u64),
                self.source
            ));
        }
        for dropped in &self.dropped {
            notices.push(format!(
                "{} left out, the first in line {}: {}: {}",
                rows(dropped.rows),
                dropped.first_line,
                match dropped.why {
                    Why::Beyond => format!("{} (max_seq_len)", dropped.reason),
                    Why::Repeats => format!("{} (deduplicate)", dropped.reason),
                    why if why.is_wished() => format!("{} (leave_out)", dropped.reason),
                    _ => dropped.reason.clone(),
                },
                self.source
            ));
        }
        notices
    }
}
