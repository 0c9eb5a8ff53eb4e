//! What was found in the rows, as the window shows it: with the row to look at, and a way out that this model can take.

use crate::app::gate::sentence;
use crate::engine::Result;
use crate::engine::config::DataConfig;
use crate::engine::data::{Finding, Fix, Mark, Report, Severity, Source, SourceReport, Survey, Topic};
use crate::units::grouped;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub sentence: String,
    /// Rows that it is about; 0 when it is about all.
    pub rows: usize,
    /// One of them.
    pub example: Option<Example>,
    /// What holds for all of them.
    pub mark: Option<Mark>,
    /// What takes it away.
    pub fix: Option<Fix>,
    /// What it is about.
    pub topic: Topic,
}

/// A row to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its index, from 0.
    pub row: usize,
    /// Where it stands.
    pub place: String,
}

impl Found {
    /// Everything that was found, the worst first.
    ///
    /// # Errors
    /// The index of the rows cannot be read.
    pub(super) fn all(report: &Report, survey: &Survey) -> Result<Vec<Found>> {
        // Columns that are not read are named beside the format.
        let told = report.findings.iter().filter(|finding| finding.topic != Topic::Unused);
        let mut all = told.map(|finding| Found::of(finding, survey)).collect::<Result<Vec<_>>>()?;
        all.extend(report.validation_source.as_ref().and_then(of_validation));
        all.sort_by_key(|found| std::cmp::Reverse(found.severity));
        Ok(all)
    }

    fn of(finding: &Finding, survey: &Survey) -> Result<Found> {
        let example = finding.example.map(|row| {
            let record = survey.train.record(row)?;
            Ok::<_, crate::engine::Error>(Example {
                row,
                place: place(&survey.train.source, record.file as usize, record.line as usize),
            })
        });
        Ok(Found {
            severity: finding.severity,
            sentence: sentence(&quoted(&finding.message)),
            rows: finding.rows,
            example: example.transpose()?,
            mark: finding.mark,
            fix: finding.fix,
            topic: finding.topic,
        })
    }

    /// What takes it away for a model that reads at most `max_positions` tokens; none where that would change nothing.
    pub fn fix(&self, settings: &DataConfig, max_positions: usize) -> Option<Fix> {
        match self.fix? {
            Fix::MaxSeqLen(tokens) => {
                let tokens = tokens.min(max_positions);
                (tokens > settings.max_seq_len).then_some(Fix::MaxSeqLen(tokens))
            }
            other => Some(other),
        }
    }
}

/// What became of the rows of the validation file, in one note.
fn of_validation(source: &SourceReport) -> Option<Found> {
    let left_out: usize = source.dropped.iter().map(|dropped| dropped.rows).sum();
    if source.truncated == 0 && left_out == 0 {
        return None;
    }
    let n = |n: usize| grouped(n as u64);
    let rows = if source.rows == 1 { "row" } else { "rows" };
    let sentence = format!(
        "Of the {} {rows} of the validation file, {} are cut and {} left out.",
        n(source.rows),
        n(source.truncated),
        n(left_out)
    );
    Some(Found {
        severity: Severity::Note,
        sentence,
        rows: source.truncated + left_out,
        example: None,
        mark: None,
        fix: None,
        topic: Topic::LeftOut,
    })
}

/// A line of a file; the file is named where there are several.
pub fn place(source: &Source, file: usize, line: usize) -> String {
    let line = format!("line {}", grouped(line as u64));
    match source.files() {
        [_] => line,
        files => match files.get(file).and_then(|path| path.file_name()) {
            Some(name) => format!("{}, {line}", name.to_string_lossy()),
            None => line,
        },
    }
}

/// A sentence of the engine with quotation marks where it sets names as a terminal shows them.
pub fn quoted(text: &str) -> String {
    text.replace('`', "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_up_to_what_the_model_reads() {
        let found = Found {
            severity: Severity::Warning,
            sentence: String::new(),
            rows: 1,
            example: None,
            mark: None,
            fix: Some(Fix::MaxSeqLen(5000)),
            topic: Topic::Ends,
        };
        let settings = DataConfig { max_seq_len: 1024, ..DataConfig::default() };
        assert_eq!(found.fix(&settings, 2048), Some(Fix::MaxSeqLen(2048)));
        assert_eq!(found.fix(&settings, 1024), None);
    }
}
