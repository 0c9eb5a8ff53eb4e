//! What a data file holds, without a model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format::{Format, Reading, dataset_info};
use super::rows::{Row, Source};
use super::tokens::{LOOKED_AT, choose_reading};
use crate::engine::config::DataConfig;
use crate::engine::{Error, Result};

/// Rows shown.
const SHOWN: usize = 3;
/// Wrong rows listed; all are counted.
const LISTED: usize = 10;

/// A data file at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// The file, or `builtin:NAME`.
    pub source: String,
    /// How its rows are read.
    pub format: Format,
    /// Why they are read so.
    pub reason: String,
    /// Fields of the format that stand in columns of other names than usual.
    pub mapping: std::collections::BTreeMap<String, String>,
    /// What a person should know about it.
    pub notices: Vec<String>,
    /// Rows in the file.
    pub rows: usize,
    /// The columns, in the order in which they first appear.
    pub columns: Vec<Column>,
    /// The first rows.
    pub first: Vec<Map<String, Value>>,
    /// Rows that do not have the format's shape.
    pub wrong_rows: usize,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// A column of a data file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `text`, `number`, `true or false`, `list`, `object`, `null`, or `mixed`.
    pub kind: String,
    /// Rows that have it.
    pub rows: usize,
}

/// A row that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Index of the file among those of the source.
    #[serde(default)]
    pub file: usize,
    /// Line in the file, from 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

/// Reads a whole file, row by row, as the settings' format, columns and roles say. A file that cannot be read to its end is
/// an error; rows of a wrong shape are counted and listed.
pub fn inspect(spec: &str, settings: &DataConfig) -> Result<Inspection> {
    let settings = DataConfig { train: spec.into(), ..settings.clone() };
    let source = Source::of_train(&settings)?;
    let (settings, notices) = dataset_info::resolve(&settings)?;
    let settings = &settings;
    let format = settings.format;
    let mut found = Inspection { source: source.path().display().to_string(), format, ..Inspection::default() };
    let mut rows = source.rows()?;
    // The first rows show the format, then they are rows like the others.
    let first = rows.by_ref().take(LOOKED_AT).collect::<Result<Vec<Row>>>()?;
    if first.is_empty() {
        return Err(Error::file("the data set is empty: it has no rows", source.path()));
    }
    let reading = choose_reading(&source, settings, &first)?;
    (found.format, found.reason) = (reading.format, reading.reason.clone());
    found.mapping = reading.columns.clone();
    found.notices = [notices, reading.notices.clone()].concat();
    for row in first {
        found.add(row, &reading);
    }
    for row in rows {
        found.add(row?, &reading);
    }
    Ok(found)
}

impl Inspection {
    fn add(&mut self, row: Row, reading: &Reading) {
        self.rows += 1;
        self.add_columns(&row.fields);
        // Preference rows are known, though nothing trains on them by itself: they are not wrong.
        if reading.format != Format::Preference
            && let Err(message) = reading.read(&row.fields)
        {
            self.wrong_rows += 1;
            if self.problems.len() < LISTED {
                self.problems.push(Problem { file: row.file as usize, line: row.line, message });
            }
        }
        if self.first.len() < SHOWN {
            self.first.push(row.fields);
        }
    }

    fn add_columns(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "true or false",
                Value::Number(_) => "number",
                Value::String(_) => "text",
                Value::Array(_) => "list",
                Value::Object(_) => "object",
            };
            match self.columns.iter_mut().find(|c| c.name == *name) {
                Some(column) => {
                    column.rows += 1;
                    if column.kind == "null" {
                        column.kind = kind.into();
                    } else if column.kind != kind && kind != "null" {
                        column.kind = "mixed".into();
                    }
                }
                None => self.columns.push(Column { name: name.clone(), kind: kind.into(), rows: 1 }),
            }
        }
    }
}
