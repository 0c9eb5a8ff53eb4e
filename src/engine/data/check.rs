//! What a person should know of the rows before a run: everything that was found odd, with an example and, where there is
//! one, a way out.

use serde::{Deserialize, Serialize};

use super::marks::{Mark, Why};
use super::report::SourceReport;
use super::template::REFUSES;
use super::tokens::Tokenized;
use super::{MaskFault, NO_END, Oddity};
use crate::engine::Result;
use crate::engine::config::{DataConfig, MASK_FAULTS, OnBadRow, SystemPrompt};
use crate::units::grouped;

/// The choice of `data.chat_template` that every model has.
const CHATML: &str = "chatml";

/// Kinds of things that are counted in rows: each has a bit in the index.
const KINDS: usize = 32;

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
    /// Leave out rows that are unusual in this way.
    LeaveOut(Oddity),
    /// Check the mask of every row, and leave out those whose mask is wrong.
    LeaveOutFaults,
    /// Put the system prompt in front of the first question.
    SystemInQuestion,
    /// Write conversations as ChatML instead of with the model's own template.
    ChatMl,
}

impl Fix {
    /// What a button says.
    pub fn label(self) -> String {
        match self {
            Fix::MaxSeqLen(tokens) => format!("Make room for {} tokens", grouped(tokens as u64)),
            Fix::SkipBadRows => "Leave these rows out".into(),
            Fix::Deduplicate => "Keep the first of each".into(),
            Fix::LeaveOut(_) | Fix::LeaveOutFaults => "Leave such rows out".into(),
            Fix::SystemInQuestion => "Put it into the question".into(),
            Fix::ChatMl => "Write as ChatML".into(),
        }
    }

    /// Changes the settings.
    pub fn apply(self, settings: &mut DataConfig) {
        match self {
            Fix::MaxSeqLen(tokens) => settings.max_seq_len = tokens,
            Fix::SkipBadRows => settings.on_bad_row = OnBadRow::Skip,
            Fix::Deduplicate => settings.deduplicate = true,
            Fix::LeaveOut(oddity) => settings.leave_out.push(oddity.name().into()),
            Fix::LeaveOutFaults => settings.leave_out.push(MASK_FAULTS.into()),
            Fix::SystemInQuestion => settings.system = SystemPrompt::InQuestion,
            Fix::ChatMl => settings.chat_template = CHATML.into(),
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
    /// Columns that are not read.
    Unused,
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
    /// What holds for them, so that all can be gone through.
    pub mark: Option<Mark>,
    /// What takes it away.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(topic: Topic, severity: Severity, message: impl Into<String>) -> Finding {
        Finding { topic, severity, message: message.into(), rows: 0, example: None, mark: None, fix: None }
    }

    fn of_rows(mut self, rows: usize, example: Option<usize>) -> Finding {
        (self.rows, self.example) = (rows, example);
        self
    }

    fn marked(mut self, mark: Mark) -> Finding {
        self.mark = Some(mark);
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
    /// In how many of the rows that were looked at: "words of a user turn are trained in 3 of the 64 rows looked at".
    pub(super) fn among(&self, looked_at: usize) -> String {
        let noun = if looked_at == 1 { "row" } else { "rows" };
        let (rows, all) = (grouped(self.rows as u64), grouped(looked_at as u64));
        format!("{} in {rows} of the {all} {noun} looked at", self.what)
    }

    /// Counts a row; the bit that says so in the index.
    pub(super) fn count(all: &mut Vec<Seen>, what: &str, severity: Severity, row: usize) -> u32 {
        let known = all.iter().position(|seen| seen.what == what);
        // There are fewer kinds than bits; what comes from a file, roles, could make more.
        let Some(at) = known.or_else(|| (all.len() < KINDS).then_some(all.len())) else { return 0 };
        if known.is_none() {
            all.push(Seen { what: what.into(), severity: Some(severity), rows: 0, first: row });
        }
        all[at].rows += 1;
        1 << at
    }
}

/// What a fault of a mask is, for all rows that have it; the row itself shows where.
pub(super) fn kind(fault: &MaskFault) -> String {
    match fault {
        MaskFault::NoEnd { .. } => "an answer is trained without what ends it".into(),
        MaskFault::TwoEnds { .. } => "an answer is ended twice".into(),
        MaskFault::Trained { role, .. } => format!("words of a {role} turn are trained"),
        MaskFault::TwoBeginnings | MaskFault::NoBeginning | MaskFault::OtherTokens => fault.to_string(),
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
    if let Some(first) = rows.summary.wrong.first() {
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
    let write_as_chatml = (settings.chat_template != CHATML).then_some(Fix::ChatMl);
    let faults = rows.summary.faults.iter().enumerate().filter(|_| !settings.leaves_out(MASK_FAULTS));
    for (at, seen) in faults {
        let what = seen.among(rows.summary.verified);
        let finding = Finding::new(Topic::Mask, seen.severity.unwrap_or(Warning), what);
        let mut finding = finding.of_rows(seen.rows, Some(seen.first)).marked(Mark::Fault(at as u8));
        // What is wrong with all of them is the template's fault.
        let of_template = seen.rows == rows.summary.verified;
        finding.fix = if of_template { write_as_chatml } else { Some(Fix::LeaveOutFaults) };
        found.push(finding);
    }
    if report.format.is_conversation() {
        found.extend(template_notices.iter().map(|notice| {
            // That the model may not stop is worth more than a note.
            let (topic, severity) = if notice == NO_END { (Topic::Ends, Warning) } else { (Topic::Template, Note) };
            let mut finding = Finding::new(topic, severity, notice);
            finding.fix = write_as_chatml.filter(|_| topic == Topic::Ends);
            finding
        }));
    }
    found.extend(rows.summary.reading.notices.iter().map(|notice| Finding::new(Topic::Reading, Note, notice)));
    let held_out = rows.source.held_out_files();
    if let [first, more @ ..] = &held_out[..] {
        let (verb, other) = if more.is_empty() { ("is", "a file") } else { ("are", "files") };
        let names = if more.is_empty() { first.clone() } else { format!("{first} and {} more", more.len()) };
        let what = format!(
            "{names} {verb} trained on, too, though the name says {other} for validation or tests: name the files to train on \
             instead of the folder, and these to validate on"
        );
        found.push(Finding::new(Topic::Reading, Warning, what));
    }
    if report.answers_cut > 0 {
        let share = 100.0 * report.answers_cut as f64 / report.rows.max(1) as f64;
        let what = format!(
            "{} the end of {} answer at {} tokens: the model does not see where it stops",
            match report.answers_cut {
                1 => "1 row loses".to_string(),
                rows => format!("{} ({share:.1}%) lose", count(rows)),
            },
            if report.answers_cut == 1 { "its" } else { "their" },
            grouped(settings.max_seq_len as u64)
        );
        let mut finding = Finding::new(Topic::Ends, Warning, what)
            .of_rows(report.answers_cut, report.first_answer_cut)
            .marked(Mark::EndCut);
        finding.fix = Some(Fix::MaxSeqLen(report.longest));
        found.push(finding);
    }
    for dropped in &report.dropped {
        let verb = if dropped.rows == 1 { "is" } else { "are" };
        let why = dropped.why.words_of(dropped.rows, &rows.summary, settings.max_seq_len);
        let what = format!("{} {verb} left out: {why}", count(dropped.rows));
        let (topic, severity) = match dropped.why {
            Why::Repeats => (Topic::Repeated, Note),
            why if why.is_wished() => (Topic::LeftOut, Note),
            _ => (Topic::LeftOut, Warning),
        };
        let mut finding = Finding::new(topic, severity, what)
            .of_rows(dropped.rows, Some(dropped.first_row))
            .marked(Mark::LeftOut(dropped.why));
        finding.fix = match dropped.why {
            Why::Beyond => Some(Fix::MaxSeqLen(report.longest)),
            Why::Refused(_) if dropped.reason.starts_with(REFUSES) => {
                let system = dropped.reason.to_lowercase().contains("system");
                let merge = system && settings.system == SystemPrompt::OwnTurn;
                if merge { Some(Fix::SystemInQuestion) } else { write_as_chatml }
            }
            _ => None,
        };
        found.push(finding);
    }
    for (at, seen) in rows.summary.odd.iter().enumerate() {
        let oddity = Oddity::of_words(&seen.what);
        if oddity.is_some_and(|oddity| settings.leaves_out(oddity.name())) {
            continue;
        }
        let what = format!("{}: {}", count(seen.rows), seen.what);
        let finding = Finding::new(Topic::Odd, seen.severity.unwrap_or(Note), what);
        let mut finding = finding.of_rows(seen.rows, Some(seen.first)).marked(Mark::Odd(at as u8));
        finding.fix = oddity.map(Fix::LeaveOut);
        found.push(finding);
    }
    let repeated = rows.duplicates()?;
    if repeated > 0 && !settings.deduplicate {
        let verb = if repeated == 1 { "says" } else { "say" };
        let what = format!("{} {verb} the same as an earlier one", count(repeated));
        let mut finding =
            Finding::new(Topic::Repeated, Note, what).of_rows(repeated, rows.first_repeated()?).marked(Mark::Repeated);
        finding.fix = Some(Fix::Deduplicate);
        found.push(finding);
    }
    let unused = &rows.summary.reading.unused;
    if !unused.is_empty() {
        let names: Vec<String> = unused.iter().take(8).map(|name| format!("`{name}`")).collect();
        let (noun, verb) = if unused.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let more = if unused.len() > names.len() { ", …" } else { "" };
        found.push(Finding::new(Topic::Unused, Note, format!("the {noun} {}{more} {verb} not read", names.join(", "))));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(found)
}
