//! How the rows of a file are read: the format, the columns it is found in, the words for its roles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::detect::{Found, Seen, detect};
use super::fields::{self, View};
use super::{Example, Fields, Format, Reason, messages, pairs, preference};
use crate::engine::config::{DataConfig, SystemPrompt, nearest};

/// How the rows of a file are read; chosen once for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The format.
    pub format: Format,
    /// Why this one, in words: ``the columns `question` and `answer` ``.
    pub reason: String,
    /// Fields of the format that stand in columns of other names than usual, found out or said in the settings; with an
    /// empty name: nowhere.
    pub columns: BTreeMap<String, String>,
    /// What a person should know about it.
    pub notices: Vec<String>,
    /// Columns of the first rows that are not read.
    pub unused: Vec<String>,
    /// The file's words for roles, in lower case too.
    roles: BTreeMap<String, String>,
    /// Whether the format was found out.
    found_out: bool,
    /// Whether a system prompt is put in front of the first question.
    #[serde(default)]
    system_in_question: bool,
}

impl Reading {
    /// Chooses how to read a file, from the settings and its first rows (some tens of them: a column may be null in the
    /// first).
    ///
    /// # Errors
    /// No format is known for the columns, or the settings name columns that do not fit them.
    pub fn choose(settings: &DataConfig, first: &[&Fields]) -> Result<Reading, Reason> {
        let seen = Seen::of(first);
        let by_hand = &settings.columns;
        let mut reading = Reading {
            format: settings.format,
            reason: "chosen by hand".into(),
            columns: by_hand.clone(),
            system_in_question: settings.system == SystemPrompt::InQuestion,
            roles: settings.roles.iter().map(|(word, role)| (word.clone(), role.clone())).collect(),
            ..Reading::default()
        };
        for (word, role) in &settings.roles {
            reading.roles.entry(word.trim().to_lowercase()).or_insert_with(|| role.clone());
        }
        if first.is_empty() {
            return Ok(reading);
        }
        match settings.format {
            Format::Auto => reading.find_out(&seen)?,
            format => reading.complete(format, &seen),
        }
        reading.check_columns(by_hand, &seen)?;
        reading.unused = reading.unread(&seen);
        if reading.format == Format::Preference && !reading.found_out {
            reading.notices.push(
                "these are preference rows: the chosen answers are trained on as they stand, the rejected ones are not \
                 used"
                    .into(),
            );
        }
        Ok(reading)
    }

    /// Reading of a format with its usual columns.
    pub fn of(format: Format) -> Reading {
        Reading { format, reason: "chosen by hand".into(), ..Reading::default() }
    }

    /// The column in which a field of the format stands.
    pub fn column<'a>(&'a self, field: &'a str) -> &'a str {
        match self.columns.get(field) {
            Some(column) => column,
            None => self.format.field(field).map_or(field, |known| known.column),
        }
    }

    /// The role that one of the file's words stands for, if the settings say it.
    pub(super) fn role(&self, word: &str) -> Option<&str> {
        let found = self.roles.get(word).or_else(|| self.roles.get(&word.trim().to_lowercase()));
        found.map(String::as_str)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// What was expected and what was found; the caller knows the line.
    pub fn read(&self, row: &Fields) -> Result<Example, Reason> {
        let view = View { row, reading: self };
        let conversation = match self.format {
            Format::Auto => return Reading::choose(&DataConfig::default(), &[row])?.read(row),
            Format::Text => view.text("text").map(|text| Example::Document(text.to_string())),
            Format::Messages | Format::ShareGpt => messages::read(&view).map(Example::Conversation),
            Format::Alpaca => pairs::alpaca(&view).map(Example::Conversation),
            Format::PromptCompletion => pairs::prompt_completion(&view).map(Example::Conversation),
            Format::QuestionAnswer => pairs::question_answer(&view).map(Example::Conversation),
            Format::Preference if self.found_out => {
                return Err("these are preference rows (a chosen and a rejected answer), which need a preference \
                            method that this version does not have: choose the format \"preference\" to train on the \
                            chosen answers alone"
                    .into());
            }
            Format::Preference => preference::read(&view).map(Example::Conversation),
        };
        let mut example = conversation.map_err(|reason| self.another_format(row).unwrap_or(reason))?;
        if let (true, Example::Conversation(conversation)) = (self.system_in_question, &mut example) {
            conversation.merge_system();
        }
        Ok(example)
    }

    /// What to say of a row that lacks the format's columns and is of another format.
    fn another_format(&self, row: &Fields) -> Option<Reason> {
        let lacks = |field: &&super::FieldOfFormat| {
            field.required && !field.in_messages && !row.contains_key(self.column(field.name))
        };
        if !self.found_out || !self.format.fields().iter().any(|field| lacks(&field)) {
            return None;
        }
        let other = detect(&Seen::of(&[row])).ok().filter(|other| other.format != self.format)?;
        // One text under some name says little.
        if other.format == Format::Text && !other.columns.is_empty() {
            return None;
        }
        Some(format!(
            "this row looks like {} ({}), but the others are read as {} ({}): keep rows of different formats in different \
             files, and train on one of them",
            other.format.name(),
            other.reason,
            self.format.name(),
            self.reason
        ))
    }

    /// The format is to be found out.
    fn find_out(&mut self, seen: &Seen) -> Result<(), Reason> {
        let by_hand = std::mem::take(&mut self.columns);
        let fits = |format: Format, columns: &BTreeMap<String, String>| {
            let has = |name: &str, usual: &str| seen.has(columns.get(name).map_or(usual, String::as_str));
            let required = format.fields().iter().filter(|f| f.required && !f.in_messages);
            let all_known = by_hand.keys().all(|name| format.field(name).is_some());
            all_known && required.into_iter().all(|f| has(f.name, f.column))
        };
        let detected = detect(seen);
        let found = match &detected {
            Ok(found) => {
                let mut columns = found.columns.clone();
                columns.extend(by_hand.clone());
                fits(found.format, &columns).then(|| Found { columns, ..found.clone() })
            }
            Err(_) => None,
        };
        let found = match found {
            Some(found) => found,
            None if by_hand.is_empty() => detected?,
            // What the settings say decides.
            None => {
                const ORDER: [Format; 6] = [
                    Format::Messages,
                    Format::Alpaca,
                    Format::PromptCompletion,
                    Format::QuestionAnswer,
                    Format::Text,
                    Format::Preference,
                ];
                let format = ORDER.into_iter().find(|format| fits(*format, &by_hand)).ok_or_else(|| {
                    let names: Vec<&str> = by_hand.keys().map(String::as_str).collect();
                    format!(
                        "no format has its columns with those named for {}; found {}: choose the format, and name the \
                         column that holds each of its fields",
                        fields::and(&names),
                        seen.words()
                    )
                })?;
                let names: Vec<&str> = by_hand.values().map(String::as_str).collect();
                let mut columns = by_hand.clone();
                complete_messages(format, &mut columns, seen);
                Found { format, columns, reason: format!("the columns {}, named by hand", fields::and(&names)) }
            }
        };
        (self.format, self.columns, self.reason, self.found_out) = (found.format, found.columns, found.reason, true);
        Ok(())
    }

    /// The format is known; its columns may still have other names.
    fn complete(&mut self, format: Format, seen: &Seen) {
        let lists = |format| matches!(format, Format::Messages | Format::ShareGpt);
        if let Ok(found) = detect(seen)
            && (found.format == format || (lists(format) && lists(found.format)))
        {
            let usual = |field: &str| format.field(field).is_some_and(|f| seen.has(f.column));
            for field in found.format.fields() {
                let column = found.columns.get(field.name).map_or(field.column, String::as_str);
                let here = seen.has(column) || (field.in_messages && !self.columns.contains_key("messages"));
                let differs = format.field(field.name).is_some_and(|own| own.column != column);
                if column.is_empty() || (here && differs && (field.in_messages || !usual(field.name))) {
                    self.columns.entry(field.name.into()).or_insert_with(|| column.into());
                }
            }
        }
        complete_messages(format, &mut self.columns, seen);
    }

    /// What the settings say about columns must fit the format and the rows.
    fn check_columns(&mut self, by_hand: &BTreeMap<String, String>, seen: &Seen) -> Result<(), Reason> {
        let names: Vec<&str> = self.format.fields().iter().map(|f| f.name).collect();
        for (name, column) in by_hand {
            let Some(field) = self.format.field(name) else {
                return Err(format!(
                    "a column is named for `{name}`, but rows of the format {} have no such field; they have {}",
                    self.format.name(),
                    fields::and(&names)
                ));
            };
            if field.in_messages || seen.has(column) {
                continue;
            }
            let hint = nearest(column, seen.columns.iter().map(|(name, _)| name.as_str()));
            let missing = format!("the column {column:?} is named for `{name}`, but the rows have no such column");
            if field.required {
                return Err(format!("{missing}; found {}{hint}", seen.words()));
            }
            self.notices.push(format!("{missing} (looked at the first of them){hint}"));
        }
        Ok(())
    }

    fn unread(&self, seen: &Seen) -> Vec<String> {
        let read: Vec<&str> =
            self.format.fields().iter().filter(|f| !f.in_messages).map(|f| self.column(f.name)).collect();
        seen.columns.iter().map(|(name, _)| (*name).clone()).filter(|name| !read.contains(&name.as_str())).collect()
    }
}

/// The keys within the messages, where the settings name the column alone.
fn complete_messages(format: Format, columns: &mut BTreeMap<String, String>, seen: &Seen) {
    let Some(field) = format.field("messages") else { return };
    let column = columns.get("messages").map_or(field.column, String::as_str);
    let Some((role, content)) = seen.get(column).and_then(super::detect::shape) else { return };
    for (name, key) in [("role", role), ("content", content)] {
        if format.field(name).is_some_and(|f| f.column != key) {
            columns.entry(name.into()).or_insert_with(|| key.into());
        }
    }
}
