//! What a data file holds, without a model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format::{Format, Reading};
use super::rows::Source;
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

/// Reads a whole file, row by row. A file that cannot be read to its end is an error; rows of a wrong shape are counted
/// and listed.
pub fn inspect(spec: &str, format: Format) -> Result<Inspection> {
    let source = Source::find(spec)?;
    let mut found = Inspection { source: source.path().display().to_string(), format, ..Inspection::default() };
    for row in source.rows()? {
        let row = row?;
        if found.rows == 0 {
            let settings = DataConfig { format, ..DataConfig::default() };
            let reading = Reading::choose(&settings, &[&row.fields]).map_err(|message| Error::Row {
                path: source.file_of(&row).to_path_buf(),
                line: row.line,
                message,
            })?;
            (found.format, found.reason) = (reading.format, reading.reason);
        }
        found.rows += 1;
        found.add_columns(&row.fields);
        // Preference rows are known, though nothing trains on them yet: they are not wrong.
        if found.format != Format::Preference
            && let Err(message) = found.format.read(&row.fields)
        {
            found.wrong_rows += 1;
            if found.problems.len() < LISTED {
                found.problems.push(Problem { file: row.file as usize, line: row.line, message });
            }
        }
        if found.first.len() < SHOWN {
            found.first.push(row.fields);
        }
    }
    if found.rows == 0 {
        return Err(Error::file("the data set is empty: it has no rows", source.path()));
    }
    Ok(found)
}

impl Inspection {
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
