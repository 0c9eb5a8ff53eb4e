//! The columns of a file as its first rows have them: what a person chooses from when the format is not found out, or wrong.

use serde_json::{Map, Value};

use crate::engine::config::{DataConfig, SystemPrompt};
use crate::engine::data::{Format, Reading, Source};

/// Rows that are looked at.
const LOOKED_AT: usize = 64;
/// Columns that are offered.
const OFFERED: usize = 200;
/// Characters of an example.
const EXAMPLE: usize = 80;
/// Longest word for a speaker, in bytes.
const WORD: usize = 32;
/// Unknown words for speakers that are listed.
const WORDS: usize = 12;

/// A column, or a key of the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenColumn {
    /// Its name.
    pub name: String,
    /// The beginning of the first value that is not empty.
    pub example: String,
    /// Short texts in it that are no role that is known: for keys of messages alone.
    pub unknown_roles: Vec<String>,
}

/// What the first rows of a file have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstRows {
    /// The columns, in the order in which they appear.
    pub columns: Vec<SeenColumn>,
    /// Keys of the messages, where a column holds a list of them.
    pub keys: Vec<SeenColumn>,
}

impl FirstRows {
    /// Reads them. Without a model and without a format: just when nothing else is known they are needed.
    ///
    /// # Errors
    /// There is no such file, or none that has rows.
    pub fn read(settings: &DataConfig) -> crate::engine::Result<FirstRows> {
        let source = Source::of_train(settings)?;
        let mut first = FirstRows::default();
        let mut rows = source.rows()?;
        for _ in 0..LOOKED_AT {
            match rows.next() {
                Some(Ok(row)) => first.add(&row.fields),
                // Rows that cannot be read are listed elsewhere.
                Some(Err(_)) if rows.resume() => {}
                Some(Err(_)) | None => break,
            }
        }
        Ok(first)
    }

    fn add(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            see(&mut self.columns, name, value);
            for message in value.as_array().into_iter().flatten().filter_map(Value::as_object) {
                for (name, value) in message {
                    let Some(key) = see(&mut self.keys, name, value) else { continue };
                    let word = value.as_str().filter(|word| !word.is_empty() && word.len() <= WORD);
                    let Some(word) = word else { continue };
                    let new = key.unknown_roles.len() < WORDS && !key.unknown_roles.iter().any(|w| w == word);
                    if new && !is_known_role(word) {
                        key.unknown_roles.push(word.to_string());
                    }
                }
            }
        }
    }
}

/// The column of that name, with an example.
fn see<'c>(columns: &'c mut Vec<SeenColumn>, name: &str, value: &Value) -> Option<&'c mut SeenColumn> {
    let at = match columns.iter().position(|column| column.name == name) {
        Some(at) => at,
        None if columns.len() < OFFERED => {
            columns.push(SeenColumn { name: name.to_string(), ..SeenColumn::default() });
            columns.len() - 1
        }
        None => return None,
    };
    let column = columns.get_mut(at)?;
    if column.example.is_empty() {
        column.example = example(value);
    }
    Some(column)
}

fn example(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.trim().to_string(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".to_string(),
        other => other.to_string(),
    };
    let line: String = text.chars().take(EXAMPLE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(EXAMPLE).is_some() { format!("{line}…") } else { line }
}

/// Asks the reader of messages itself, so that the two never differ.
fn is_known_role(word: &str) -> bool {
    let row = serde_json::json!({"messages": [{"role": word, "content": ""}]});
    let read = row.as_object().map(|row| Reading::of(Format::Messages).read(row));
    !matches!(read, Some(Err(reason)) if reason.contains("is not known"))
}

/// Trains on other rows: what was said about the format and columns of the ones before does not hold for them.
pub fn train_on(settings: &mut DataConfig, path: String) {
    if settings.train != path {
        settings.columns.clear();
        settings.roles.clear();
        settings.format = Format::Auto;
        settings.leave_out.clear();
        settings.system = SystemPrompt::default();
        if settings.validation == settings.train {
            settings.validation.clear();
        }
        for part in [&mut settings.hub_config, &mut settings.hub_split, &mut settings.hub_validation_split] {
            part.clear();
        }
        settings.train = path;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_unknown_words_for_speakers_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows = "{\"id\":1,\"talk\":[{\"wer\":\"Kunde\",\"was\":\"Hallo\"},{\"wer\":\"assistant\",\"was\":\"x\"}]}\n\
                    {\"id\":2,\"note\":null}\n{broken\n{\"note\":\"n\"}\n";
        std::fs::write(&path, rows).unwrap();
        let settings =
            |path: &std::path::Path| DataConfig { train: path.display().to_string(), ..DataConfig::default() };
        let first = FirstRows::read(&settings(&path)).unwrap();
        let names = |all: &[SeenColumn]| all.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first.columns), ["id", "talk", "note"]);
        assert_eq!((first.columns[0].example.as_str(), first.columns[2].example.as_str()), ("1", "n"));
        assert_eq!(names(&first.keys), ["wer", "was"]);
        assert_eq!(first.keys[0].unknown_roles, ["Kunde"]);
        assert!(FirstRows::read(&settings(std::path::Path::new("/no/such.jsonl"))).is_err());
    }
}
