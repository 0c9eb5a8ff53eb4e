//! What was found in the rows, in the words of the window: no names of settings, and with a way out that this model can take.

use crate::app::gate::sentence;
use crate::engine::Result;
use crate::engine::config::DataConfig;
use crate::engine::data::{Finding, Fix, Report, Severity, Source, SourceReport, Survey, Topic};
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
        let told = report.findings.iter().filter(|finding| !finding.message.ends_with("not read"));
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
            sentence: sentence(&plain(&finding.message)),
            rows: finding.rows,
            example: example.transpose()?,
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

/// Words of the engine, which name settings as run files do, as the window names them.
const WORDS: &[(&str, &str)] = &[
    ("rows are left out: nothing in its first", "rows are left out: nothing in their first"),
    ("rows are left out: it says the same as", "rows are left out: they say the same as"),
    ("rows are left out: it is also a validation row", "rows are left out: they are also validation rows"),
    ("rows are left out: it has ", "rows are left out: they have "),
    (" (max_seq_len)", ""),
    (" (deduplicate)", ""),
    (" (on_bad_row)", ""),
    ("the template of data.chat_template", "the chat template that is chosen in the Data room"),
    ("; data.chat_template may be ", "; it brings others by name: "),
    ("data.chat_template: the chat template", "the chat template"),
    ("set data.format, and name the column of each of its fields", "choose the format and its columns below"),
    ("data.format = \"preference\" trains", "the format \"Preference pairs\" trains"),
    ("with data.columns for ", "with your columns for "),
    ("data.columns: ", "your columns "),
    ("data.columns.", "the column for "),
    ("chosen in the settings", "chosen by you"),
];

/// A message of the engine without names of settings.
pub fn plain(message: &str) -> String {
    let mut text = message.replace('`', "\"");
    for (engine, window) in WORDS {
        if text.contains(engine) {
            text = text.replace(engine, window);
        }
    }
    if let Some(at) = text.find(": say in data.format and data.columns")
        && let Some(end) = text[at..].find(" }")
    {
        text.replace_range(at..at + end + 2, "; say below which column is which");
    }
    if let Some(at) = text.find("; data.roles says what it stands for") {
        text.truncate(at);
        text.push_str("; say under \"Columns\" what it stands for");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_called_as_in_the_window() {
        assert_eq!(
            plain("nothing in its first 9 tokens (max_seq_len) is trained"),
            "nothing in its first 9 tokens is trained"
        );
        let role = "the role \"Kunde\" is not known; data.roles says what it stands for, such as { Kunde = \"user\" }";
        assert_eq!(plain(role), "the role \"Kunde\" is not known; say under \"Columns\" what it stands for");
        assert_eq!(plain("data.columns: `frage` and `antwort`"), "your columns \"frage\" and \"antwort\"");
        assert!(!plain("no format has its columns with data.columns for `a`; set data.format, and name the column of each of its fields").contains("data."));
    }

    #[test]
    fn room_is_made_up_to_what_the_model_reads() {
        let found = Found {
            severity: Severity::Warning,
            sentence: String::new(),
            rows: 1,
            example: None,
            fix: Some(Fix::MaxSeqLen(5000)),
            topic: Topic::Ends,
        };
        let settings = DataConfig { max_seq_len: 1024, ..DataConfig::default() };
        assert_eq!(found.fix(&settings, 2048), Some(Fix::MaxSeqLen(2048)));
        assert_eq!(found.fix(&settings, 1024), None);
    }
}
