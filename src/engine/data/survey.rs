//! The rows that a run's settings name, tokenized; and what the settings make of them, for any `max_seq_len`, split or
//! packing, without reading the rows again.

use std::path::Path;
use std::sync::Arc;

use super::Encoder;
use super::check::{Finding, Fix, Severity, Topic, findings};
use super::format::dataset_info;
use super::marks::{Mark, Unwanted, Why};
use super::report::{Report, Side, SourceReport};
use super::rows::Source;
use super::split::HoldOut;
use super::tokens::{Record, Tokenized, Tolerance, cache};
use crate::engine::config::{DataConfig, MASK_FAULTS, OnBadRow};
use crate::engine::formats::TextTokenizer;
use crate::engine::{Error, Result};
use crate::units::grouped;

/// The rows of a data set as tokens.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The training rows.
    pub train: Arc<Tokenized>,
    /// The rows of the validation file, if there is one.
    pub validation: Option<Arc<Tokenized>>,
    /// What a person should know about the chat template.
    pub template_notices: Vec<String>,
}

/// A survey for one choice of settings: which rows are trained on, and how much of them.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// Rows that are trained on.
    pub train: Vec<CutRow>,
    /// Rows that the validation loss is computed on.
    pub validation: Vec<CutRow>,
    /// What became of the rows.
    pub report: Report,
}

/// A row as the trainer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRow {
    /// Index of the row in its source, from 0.
    pub row: u32,
    /// Tokens, at most `max_seq_len`.
    pub tokens: u32,
    /// Those that count in the loss.
    pub supervised: u32,
}

/// Reads and tokenizes all rows that the settings name, or finds them in the cache. Rows that cannot be read are listed; a
/// file that cannot be read, or whose format is not known, is an error. `progress(done, total)` counts bytes of the files;
/// false cancels ([`Error::Cancelled`]).
pub fn survey(
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Survey> {
    survey_at(settings, tokenizer, jiff::ZonedDateTime::now(), Tolerance::List, progress)
}

/// [`survey`] of the first rows alone: what can be looked at while a large file is read. It says nothing about the rest.
/// `more` is asked now and then; false cancels.
pub fn survey_first(
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    rows: usize,
    more: &mut dyn FnMut() -> bool,
) -> Result<Survey> {
    let (settings, mut notices) = dataset_info::resolve(settings)?;
    let encoder = Encoder::with_template(tokenizer, &settings.chat_template, jiff::ZonedDateTime::now())?;
    let train = cache::first(&Source::of_train(&settings)?, &settings, &encoder, rows, more)?;
    notices.extend_from_slice(encoder.notices());
    Ok(Survey { train: Arc::new(train), validation: None, template_notices: notices })
}

/// [`survey`] that keeps tokenized rows in this folder instead of the program's cache, whatever the size of the files.
pub fn survey_in(cache: &Path, settings: &DataConfig, tokenizer: &TextTokenizer) -> Result<Survey> {
    let (settings, _) = dataset_info::resolve(settings)?;
    let encoder = Encoder::with_template(tokenizer, &settings.chat_template, jiff::ZonedDateTime::now())?;
    let source = Source::of_train(&settings)?;
    let (tolerance, more) = (Tolerance::List, &mut |_| true);
    let train = cache::tokenized_in(cache, &source, &settings, tokenizer, &encoder, tolerance, more)?;
    Ok(Survey { train: Arc::new(train), validation: None, template_notices: Vec::new() })
}

/// [`survey`] with the time that chat templates print, and what to do about rows that cannot be read.
pub(super) fn survey_at(
    settings: &DataConfig,
    tokenizer: &TextTokenizer,
    now: jiff::ZonedDateTime,
    tolerance: Tolerance,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Survey> {
    let (settings, mut notices) = dataset_info::resolve(settings)?;
    let settings = &settings;
    let encoder = Encoder::with_template(tokenizer, &settings.chat_template, now)?;
    let (source, held) = (Source::of_train(settings)?, Source::of_validation(settings)?);
    let before = source.bytes();
    let total = before + held.as_ref().map_or(0, Source::bytes);
    let mut at = |done: u64| progress(done.min(total), total);
    if !at(0) {
        return Err(Error::Cancelled("loading"));
    }
    let read = |source: &Source, at: &mut dyn FnMut(u64) -> bool| {
        cache::tokenized(source, settings, tokenizer, &encoder, tolerance, at).map(Arc::new)
    };
    let train = read(&source, &mut at)?;
    let validation = held.as_ref().map(|held| read(held, &mut |done| at(before + done))).transpose()?;
    notices.extend_from_slice(encoder.notices());
    Ok(Survey { train, validation, template_notices: notices })
}

impl Survey {
    /// What a run with these settings would train on. Settings that decide how rows are read and tokenized must be those of
    /// the survey. In proportion to the number of rows, and quick: ten thousand take a millisecond.
    ///
    /// # Errors
    /// A row cannot be read and `on_bad_row` is `stop`, nothing is left to train on, or the share for validation cannot
    /// be had; in the words that the run ends with.
    pub fn cut(&self, settings: &DataConfig, seed: u64) -> Result<Cut> {
        let sides = [Some(&self.train), self.validation.as_ref()];
        if settings.on_bad_row == OnBadRow::Stop {
            sides.into_iter().flatten().try_for_each(|rows| first_problem(rows))?;
        }
        let cut = self.cut_readable(settings, seed)?;
        let refused = cut.report.findings.iter().find(|f| f.severity == Severity::Error && f.topic == Topic::Mask);
        match refused {
            Some(finding) => Err(self.refused(finding)),
            None => Ok(cut),
        }
    }

    /// Sentences about what else was found, for who has no list of findings to look at: each with the line of a row, and the
    /// setting that takes it away.
    fn told_of(&self, findings: &[Finding]) -> Result<Vec<String>> {
        let mut sentences = Vec::new();
        for finding in findings {
            if !matches!(finding.topic, Topic::Mask | Topic::Reading | Topic::Odd | Topic::Unused | Topic::Repeated)
                || matches!(finding.mark, Some(Mark::LeftOut(_)))
            {
                continue;
            }
            let place = match finding.example {
                Some(row) => format!(", the first in line {}", self.train.record(row)?.line),
                None => String::new(),
            };
            let setting = match finding.fix {
                Some(Fix::Deduplicate) => " (deduplicate leaves them out)".to_string(),
                Some(Fix::LeaveOut(oddity)) => format!(" (leave_out = [{:?}] leaves them out)", oddity.name()),
                Some(Fix::LeaveOutFaults) => format!(" (leave_out = [{MASK_FAULTS:?}] leaves such rows out)"),
                _ => String::new(),
            };
            sentences.push(format!("{}{place}{setting}", finding.message));
        }
        Ok(sentences)
    }

    /// Tokens would be trained that must not be.
    fn refused(&self, finding: &Finding) -> Error {
        let rows = &self.train;
        let record = finding.example.and_then(|row| rows.record(row).ok()).unwrap_or_default();
        let path = rows.source.files().get(record.file as usize).map_or(rows.source.path(), |file| file);
        let message = format!(
            "{}, the first in line {}: choose another chat template, or leave such rows out",
            finding.message, record.line
        );
        Error::file(message, path)
    }

    /// [`Survey::cut`] of the rows that can be read, also where the others end the run: what was found in them can be
    /// looked at meanwhile. That there are others is a finding.
    pub fn cut_readable(&self, settings: &DataConfig, seed: u64) -> Result<Cut> {
        let mut held_contents = Vec::new();
        let mut validation_source = None;
        let mut validation = Vec::new();
        if let Some(held) = &self.validation {
            held.each(|_, record| {
                held_contents.push(record.content);
                Ok(())
            })?;
            held_contents.sort_unstable();
            let mut report = SourceReport::of(held);
            validation = cut_rows(held, settings, &mut report, |_, _| Ok(None))?;
            left(&report, held, validation.len())?;
            validation_source = Some(report);
        }
        let mut source = SourceReport::of(&self.train);
        let unwanted = Unwanted::of(settings, &self.train.summary);
        let mut train = cut_rows(&self.train, settings, &mut source, |row, record| {
            if let Some(why) = unwanted.why(record) {
                return Ok(Some(why));
            }
            if settings.deduplicate && self.train.repeats_an_earlier(row)? {
                return Ok(Some(Why::Repeats));
            }
            Ok(held_contents.binary_search(&record.content).is_ok().then_some(Why::InValidation))
        })?;
        left(&source, &self.train, train.len())?;
        let wanted = match settings.validation_rows {
            0 => (settings.validation_fraction * self.train.len() as f64).round() as usize,
            rows => rows,
        };
        if self.validation.is_none() && (settings.validation_fraction > 0.0 || settings.validation_rows > 0) {
            (validation, train) = self.hold_out(train, settings, wanted, seed)?;
        }
        let reports = [Some(&source), validation_source.as_ref()];
        let wrong = [Some(&self.train), self.validation.as_ref()].into_iter().flatten();
        let mut notices: Vec<String> = reports.into_iter().flatten().flat_map(SourceReport::notices).collect();
        notices.extend(wrong.flat_map(|rows| listed(rows)));
        if reports.into_iter().flatten().any(|report| report.format.is_conversation()) {
            notices.splice(0..0, self.template_notices.iter().cloned());
        }
        let findings = findings(&self.train, &source, &self.template_notices, settings)?;
        notices.extend(self.told_of(&findings)?);
        let report = Report {
            findings,
            train: Side::of(&train),
            validation: Side::of(&validation),
            source,
            validation_source,
            notices,
        };
        Ok(Cut { train, validation, report })
    }

    fn hold_out(
        &self,
        rows: Vec<CutRow>,
        settings: &DataConfig,
        wanted: usize,
        seed: u64,
    ) -> Result<(Vec<CutRow>, Vec<CutRow>)> {
        let setting = match settings.validation_rows {
            0 => format!("validation_fraction = {}", settings.validation_fraction),
            rows => format!("validation_rows = {rows}"),
        };
        let mut contents = Vec::with_capacity(self.train.len());
        self.train.each(|_, record| {
            contents.push(record.content);
            Ok(())
        })?;
        let held = HoldOut::choose(&contents, wanted, seed).ok_or_else(|| {
            let message = format!("{setting} needs at least two different rows to share out");
            Error::file(message, self.train.source.path())
        })?;
        let (validation, train): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| held.holds(contents[row.row as usize]));
        for (side, name) in [(&train, "training"), (&validation, "validation")] {
            if side.is_empty() {
                let key = setting.split(' ').next().unwrap_or_default();
                let message = format!("no row that can be trained on is left for {name}: change {key}");
                return Err(Error::file(message, self.train.source.path()));
            }
        }
        Ok((validation, train))
    }
}

/// The first rows that cannot be read, each in a line.
fn listed(rows: &Tokenized) -> Vec<String> {
    const LISTED: usize = 5;
    let summary = &rows.summary;
    let mut lines: Vec<String> =
        summary.wrong.iter().take(LISTED).map(|row| rows.source.error_of(row).to_string()).collect();
    if summary.wrong_rows > LISTED {
        let more = grouped((summary.wrong_rows - LISTED) as u64);
        lines.push(format!("and {more} more, which `lora-studio inspect` lists: {}", rows.source.path().display()));
    }
    lines
}

/// The first row that cannot be read, as the error that ends a run.
fn first_problem(rows: &Tokenized) -> Result<()> {
    match rows.summary.wrong.first() {
        None => Ok(()),
        Some(wrong) => Err(rows.source.error_of(wrong)),
    }
}

/// The rows that can be trained on, cut; the others are counted. `excluded` says why a row is left out although it could
/// be trained on.
fn cut_rows(
    rows: &Tokenized,
    settings: &DataConfig,
    report: &mut SourceReport,
    mut excluded: impl FnMut(usize, &Record) -> Result<Option<Why>>,
) -> Result<Vec<CutRow>> {
    let max_seq_len = settings.max_seq_len;
    let mut kept = Vec::with_capacity(rows.len());
    rows.each(|row, record| {
        let (tokens, line) = (record.tokens as usize, record.line as usize);
        report.longest = report.longest.max(tokens);
        let why = match Why::of(record, max_seq_len) {
            Some(why) => Some(why),
            None => excluded(row, record)?,
        };
        if let Some(why) = why {
            report.drop_row(why, || why.words(&rows.summary, max_seq_len), row, line);
        } else {
            let cut = tokens.saturating_sub(max_seq_len);
            report.truncated += usize::from(cut > 0);
            report.tokens_cut += cut as u64;
            if record.last as usize > max_seq_len {
                report.answers_cut += 1;
                report.first_answer_cut.get_or_insert(row);
            }
            let supervised = rows.supervised(record, max_seq_len)? as u32;
            kept.push(CutRow { row: row as u32, tokens: (tokens - cut) as u32, supervised });
        }
        Ok(())
    })?;
    report.sort();
    Ok(kept)
}

/// Something must be left to train on.
fn left(report: &SourceReport, rows: &Tokenized, kept: usize) -> Result<()> {
    if kept > 0 {
        return Ok(());
    }
    let path = rows.source.path();
    let message = match (report.rows, report.dropped.first()) {
        (0, _) if report.wrong_rows > 0 => match rows.summary.wrong.first() {
            Some(first) => {
                let all =
                    if report.wrong_rows == 1 { "its only row cannot be read" } else { "none of its rows can be read" };
                format!("{all}: line {}: {}", first.line, first.message)
            }
            None => "none of its rows can be read".to_string(),
        },
        (0, _) | (_, None) => "the data set is empty: it has no rows".to_string(),
        (1, Some(only)) => {
            format!("the only row cannot be trained on: line {}: {}", only.first_line, only.reason)
        }
        (rows, Some(most)) => format!(
            "none of the {rows} rows can be trained on; {}, the first in line {}: {}",
            if most.rows == rows { "each".to_string() } else { format!("{} of them", most.rows) },
            most.first_line,
            most.reason
        ),
    };
    Err(Error::file(message, path))
}
