//! What the settings make of the rows: numbers, lengths, warnings.

use std::sync::Arc;

use super::{Found, Picks, quoted};
use crate::engine::Result;
use crate::engine::config::{DataConfig, TrainConfig};
use crate::engine::data::{self, LengthCounts, Report, Severity, Survey};
use crate::engine::memory::BatchShape;
use crate::units::grouped;

/// Share of cut rows above which a person should look.
const MUCH_CUT: f64 = 0.05;

/// What a run would train on.
#[derive(Debug)]
pub struct DataInfo {
    /// The settings that were counted for.
    pub settings: DataConfig,
    /// What became of the rows; the same as the trainer's.
    pub report: Report,
    /// Their lengths, for the memory plan.
    pub shape: BatchShape,
    /// Sequences of an epoch when rows share them.
    pub packed: usize,
    /// Rows of the training file that say the same as an earlier one.
    pub duplicates: usize,
    /// How long the rows are before they are cut.
    pub histogram: Histogram,
    /// What was found in the rows, the worst first.
    pub findings: Vec<Found>,
    /// Rows to look at.
    pub picks: Picks,
    /// Rows whose mask was looked at a second time.
    pub verified: usize,
}

impl DataInfo {
    /// Counts rows; in proportion to their number.
    pub fn of(survey: Arc<Survey>, settings: DataConfig, seed: u64) -> Result<DataInfo> {
        // Rows that cannot be read are a finding of their own: it hides no other.
        let mut cut = survey.cut_readable(&settings, seed)?;
        let report = std::mem::take(&mut cut.report);
        let findings = Found::all(&report, &survey)?;
        let picks = Picks::of(&survey, &cut, &settings)?;
        let truncated = report.source.truncated + report.validation_source.as_ref().map_or(0, |s| s.truncated);
        let cut_at = (truncated > 0).then_some(settings.max_seq_len);
        let shape = BatchShape::of_rows(&cut.train, &cut.validation, cut_at);
        let packing = DataConfig { packing: true, ..settings.clone() };
        let packed = data::plan_epoch(cut.train.iter().map(|row| row.tokens), 1, &packing, seed, 0).len();
        let histogram = Histogram::of(survey.train.lengths()?.clone());
        let (duplicates, verified) = (survey.train.duplicates()?, survey.train.summary.verified);
        Ok(DataInfo { settings, report, shape, packed, duplicates, histogram, findings, picks, verified })
    }

    /// Sequences of an epoch.
    pub fn sequences(&self) -> usize {
        if self.settings.packing { self.packed } else { self.report.train.samples }
    }

    /// Optimizer steps of an epoch, as the trainer counts them.
    pub fn steps_per_epoch(&self, train: &TrainConfig) -> usize {
        self.sequences().div_ceil(train.batch_size.max(1)).div_ceil(train.grad_accumulation.max(1))
    }

    /// Share of the packed sequences that holds tokens, 0 to 1.
    pub fn fill(&self) -> f64 {
        let room = self.packed as f64 * self.settings.max_seq_len as f64;
        if room > 0.0 { self.report.train.tokens as f64 / room } else { 0.0 }
    }

    /// Share of the training tokens that count in the loss, 0 to 1.
    pub fn trained_share(&self) -> f64 {
        let train = &self.report.train;
        if train.tokens > 0 { train.trained_tokens as f64 / train.tokens as f64 } else { 0.0 }
    }

    /// Rows that cannot be trained on.
    pub fn dropped(&self) -> usize {
        self.report.source.dropped.iter().map(|dropped| dropped.rows).sum()
    }

    /// What a person should look at before the run, in one sentence.
    pub fn warning(&self) -> Option<String> {
        let source = &self.report.source;
        if source.wrong_rows > 0 {
            let verb = if source.wrong_rows == 1 { "row cannot be read and is" } else { "rows cannot be read and are" };
            return Some(format!("{} {verb} left out", grouped(source.wrong_rows as u64)));
        }
        if let Some(first) = source.dropped.iter().find(|dropped| !dropped.why.is_wished()) {
            let (dropped, rows) = (grouped(self.dropped() as u64), grouped(source.rows as u64));
            // One reason of perhaps many, as it is said of a row.
            return Some(format!("{dropped} of {rows} rows left out: {}", quoted(&first.reason)));
        }
        let share = source.truncated as f64 / source.rows.max(1) as f64;
        if share > MUCH_CUT {
            return Some(format!(
                "{:.0}% of the rows are cut at {} tokens: a longer maximum keeps more of them",
                100.0 * share,
                grouped(self.settings.max_seq_len as u64)
            ));
        }
        self.findings.iter().find(|found| found.severity == Severity::Warning).map(|found| found.sentence.clone())
    }
}

/// Rows by length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Tokens that a bar is wide.
    pub width: usize,
    /// Rows of each bar; the last holds everything longer as well if `open`.
    pub bars: Vec<usize>,
    /// Whether the last bar has no end.
    pub open: bool,
    /// Rows by their exact length.
    lengths: LengthCounts,
}

/// Bars of a histogram, about.
const BARS: usize = 48;

impl Histogram {
    /// Rows of these lengths.
    pub fn of(lengths: LengthCounts) -> Histogram {
        if lengths.rows() == 0 {
            return Histogram::default();
        }
        // A few very long rows must not press all others into one bar.
        let (longest, usual) = (lengths.longest(), lengths.quantile(0.99));
        let open = longest > usual.saturating_mul(3);
        let end = if open { usual.saturating_mul(2) } else { longest };
        let width = nice((end + 1).div_ceil(BARS));
        let count = (end / width) + 1;
        let mut bars = vec![0; count];
        lengths.iter().for_each(|(length, rows)| bars[(length / width).min(count - 1)] += rows);
        Histogram { width, bars, open, lengths }
    }

    /// Rows longer than this.
    pub fn longer_than(&self, tokens: usize) -> usize {
        self.lengths.longer_than(tokens)
    }

    /// Rows that were counted.
    pub fn rows(&self) -> usize {
        self.lengths.rows()
    }

    /// The length that this share of the rows does not exceed.
    pub fn quantile(&self, share: f64) -> usize {
        self.lengths.quantile(share)
    }
}

/// The next of 1, 2, 4, 5, 8, 10, 20, 40, 50, 80, 100 … that people count in.
pub fn nice(n: usize) -> usize {
    let mut scale = 1usize;
    loop {
        let steps = [1, 2, 4, 5, 8].map(|step| scale.saturating_mul(step));
        if let Some(step) = steps.into_iter().find(|step| *step >= n) {
            return step;
        }
        scale = scale.saturating_mul(10);
    }
}
