//! What a person should know of the rows before a run: everything that was found odd, with an example and, where there is
//! one, a way out.

use serde::{Deserialize, Serialize};

use super::report::SourceReport;
use super::tokens::Tokenized;
use super::{MaskFault, NO_END};
use crate::engine::Result;
use crate::engine::config::{DataConfig, OnBadRow};
use crate::units::grouped;

/// Kinds of things that are counted in rows.
const KINDS: usize = 50;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// A person should look at it.
    Warning,
    /// The run does not begin.
    Error,
}

/// A change of the settings that takes a finding away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Make room for rows of this many tokens.
    MaxSeqLen(usize),
    /// Leave out rows that cannot be read.
    SkipBadRows,
    /// Leave out rows that say the same as an earlier one.
    Deduplicate,
}

impl Fix {
    /// What a button says.
    pub fn label(self) -> String {
        match self {
            Fix::MaxSeqLen(tokens) => format!("Make room for {} tokens", grouped(tokens as u64)),
            Fix::SkipBadRows => "Leave these rows out".into(),
            Fix::Deduplicate => "Keep the first of each".into(),
        }
    }

    /// Changes the settings.
    pub fn apply(self, settings: &mut DataConfig) {
        match self {
            Fix::MaxSeqLen(tokens) => settings.max_seq_len = tokens,
            Fix::SkipBadRows => settings.on_bad_row = OnBadRow::Skip,
            Fix::Deduplicate => settings.deduplicate = true,
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Rows that cannot be read.
    Unreadable,
    /// A mask that the second look does not agree with.
    Mask,
    /// The chat template.
    Template,
    /// That answers do not end with a trained token.
    Ends,
    /// How the file is read.
    Reading,
    /// Rows that are not trained on.
    LeftOut,
    /// Conversations that are unusual.
    Odd,
    /// Rows that say the same as others.
    Repeated,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, in one sentence without its full stop.
    pub message: String,
    /// Rows that it is about; 0 when it is about all.
    pub rows: usize,
    /// One of them: its index among the training rows, from 0.
    pub example: Option<usize>,
    /// What takes it away.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(topic: Topic, severity: Severity, message: impl Into<String>) -> Finding {
        Finding { topic, severity, message: message.into(), rows: 0, example: None, fix: None }
    }

    fn of_rows(mut self, rows: usize, example: Option<usize>) -> Finding {
        (self.rows, self.example) = (rows, example);
        self
    }
}

/// What was seen in rows while they were tokenized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What.
    pub what: String,
    /// How much it matters.
    pub severity: Option<Severity>,
    /// In how many rows.
    pub rows: usize,
    /// The first of them, from 0.
    pub first: usize,
}

impl Seen {
    /// Counts a row.
    pub(super) fn count(all: &mut Vec<Seen>, what: &str, severity: Severity, row: usize) {
        if let Some(seen) = all.iter_mut().find(|seen| seen.what == what) {
            seen.rows += 1;
        } else if all.len() < KINDS {
            all.push(Seen { what: what.into(), severity: Some(severity), rows: 1, first: row });
        }
    }
}

/// How much a fault of a mask matters: words of other people that are trained, and tokens that nobody saw, never go through.
pub(super) fn severity(fault: &MaskFault) -> Severity {
    match fault {
        MaskFault::Trained { .. } | MaskFault::OtherTokens => Severity::Error,
        MaskFault::NoEnd { .. } | MaskFault::TwoEnds { .. } | MaskFault::TwoBeginnings | MaskFault::NoBeginning => {
            Severity::Warning
        }
    }
}

/// Everything that was found, the worst first.
pub(super) fn findings(
    rows: &Tokenized,
    report: &SourceReport,
    template_notices: &[String],
    settings: &DataConfig,
) -> Result<Vec<Finding>> {
    use Severity::{Error, Note, Warning};
    let count = |n: usize| if n == 1 { "1 row".to_string() } else { format!("{} rows", grouped(n as u64)) };
    let mut found = Vec::new();
    if let Some(first) = rows.summary.problems.first() {
        let skipped = settings.on_bad_row == OnBadRow::Skip;
        let what = format!(
            "{} cannot be read{}, the first in line {}: {}",
            count(report.wrong_rows),
            match (skipped, report.wrong_rows) {
                (false, _) => "",
                (true, 1) => " and is left out",
                (true, _) => " and are left out",
            },
            grouped(first.line as u64),
            first.message
        );
        let mut finding = Finding::new(Topic::Unreadable, if skipped { Warning } else { Error }, what)
            .of_rows(report.wrong_rows, None);
        finding.fix = (!skipped).then_some(Fix::SkipBadRows);
        found.push(finding);
    }
    for seen in &rows.summary.faults {
        let what =
            format!("{} of {} looked at: {}", count(seen.rows), grouped(rows.summary.verified as u64), seen.what);
        found.push(
            Finding::new(Topic::Mask, seen.severity.unwrap_or(Warning), what).of_rows(seen.rows, Some(seen.first)),
        );
    }
    if report.format.is_conversation() {
        found.extend(template_notices.iter().map(|notice| {
            // That the model may not stop is worth more than a note.
            let (topic, severity) = if notice == NO_END { (Topic::Ends, Warning) } else { (Topic::Template, Note) };
            Finding::new(topic, severity, notice)
        }));
    }
    found.extend(rows.summary.reading.notices.iter().map(|notice| Finding::new(Topic::Reading, Note, notice)));
    if report.answers_cut > 0 {
        let what = format!(
            "{} the end of {} answer at {} tokens: the model does not see where it stops",
            if report.answers_cut == 1 { "1 row loses".to_string() } else { count(report.answers_cut) + " lose" },
            if report.answers_cut == 1 { "its" } else { "their" },
            grouped(settings.max_seq_len as u64)
        );
        let mut finding = Finding::new(Topic::Ends, Warning, what).of_rows(report.answers_cut, report.first_answer_cut);
        finding.fix = Some(Fix::MaxSeqLen(report.longest));
        found.push(finding);
    }
    for dropped in &report.dropped {
        let verb = if dropped.rows == 1 { "is" } else { "are" };
        let what = format!("{} {verb} left out: {}", count(dropped.rows), dropped.reason);
        let repeats = dropped.reason == super::survey::REPEATS;
        let (topic, severity) = if repeats { (Topic::Repeated, Note) } else { (Topic::LeftOut, Warning) };
        let mut finding = Finding::new(topic, severity, what).of_rows(dropped.rows, Some(dropped.first_row));
        let beyond = dropped.reason.contains("max_seq_len");
        finding.fix = beyond.then_some(Fix::MaxSeqLen(report.longest));
        found.push(finding);
    }
    for seen in &rows.summary.odd {
        let what = format!("{}: {}", count(seen.rows), seen.what);
        found.push(Finding::new(Topic::Odd, seen.severity.unwrap_or(Note), what).of_rows(seen.rows, Some(seen.first)));
    }
    let repeated = rows.duplicates()?;
    if repeated > 0 && !settings.deduplicate {
        let verb = if repeated == 1 { "says" } else { "say" };
        let what = format!("{} {verb} the same as an earlier one", count(repeated));
        let mut finding = Finding::new(Topic::Repeated, Note, what).of_rows(repeated, rows.first_repeated()?);
        finding.fix = Some(Fix::Deduplicate);
        found.push(finding);
    }
    let unused = &rows.summary.reading.unused;
    if !unused.is_empty() {
        let names: Vec<String> = unused.iter().take(8).map(|name| format!("`{name}`")).collect();
        let (noun, verb) = if unused.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let more = if unused.len() > names.len() { ", …" } else { "" };
        found.push(Finding::new(
            Topic::Reading,
            Note,
            format!("the {noun} {}{more} {verb} not read", names.join(", ")),
        ));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(found)
}
