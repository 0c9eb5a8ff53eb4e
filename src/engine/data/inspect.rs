//! What a data file holds, without a model.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::format::{Format, Reading, dataset_info};
use super::rows::{Row, Rows, Source, WrongRow};
use super::tokens::{LOOKED_AT, choose_reading};
use crate::engine::config::DataConfig;
use crate::engine::{Error, Result};
use crate::units::grouped;

/// Rows shown.
const SHOWN: usize = 3;
/// Rows that cannot be read which are listed; all are counted.
const LISTED: usize = 100;
/// Columns listed. Objects with names that no two rows share would fill the memory.
const COLUMNS: usize = 10_000;

/// A data file at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// The file or folder, or `builtin:NAME`.
    pub source: String,
    /// The files that were read, in this order.
    pub files: Vec<String>,
    /// How its rows are read.
    pub format: Format,
    /// Why they are read so.
    pub reason: String,
    /// Fields of the format that stand in columns of other names than usual.
    pub mapping: std::collections::BTreeMap<String, String>,
    /// What a person should know about it.
    pub notices: Vec<String>,
    /// Rows that can be read.
    pub rows: usize,
    /// Rows with columns, also those without the format's shape.
    #[serde(skip)]
    pub parsed: usize,
    /// The columns, in the order in which they first appear.
    pub columns: Vec<Column>,
    /// The first rows.
    pub first: Vec<Map<String, Value>>,
    #[serde(skip)]
    places: HashMap<String, usize>,
    #[serde(skip)]
    too_many: bool,
    /// Rows that cannot be read: those that are no rows at all, and those without the format's shape.
    pub wrong_rows: usize,
    /// The first of them.
    pub problems: Vec<WrongRow>,
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

/// Reads a whole source, row by row, as the settings' format, columns and roles say. Rows that cannot be read are counted and
/// listed. `begun` is shown how the rows are read and the first of them, at once; `progress(done, total)` counts bytes of the
/// files; false ends with [`Error::Cancelled`].
///
/// # Errors
/// None of the rows can be read, or the first ones show no format.
pub fn inspect(
    spec: &str,
    settings: &DataConfig,
    begun: &mut dyn FnMut(&Inspection),
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Inspection> {
    let settings = DataConfig { train: spec.into(), ..settings.clone() };
    let (settings, notices) = dataset_info::resolve(&settings)?;
    let source = Source::of_train(&settings)?;
    let settings = &settings;
    let format = settings.format;
    let mut found = Inspection {
        source: source.path().display().to_string(),
        files: source.files().iter().map(|file| file.display().to_string()).collect(),
        format,
        ..Inspection::default()
    };
    let mut rows = source.rows()?;
    // The first rows show the format, then they are rows like the others.
    let (mut first, mut columns) = (Vec::new(), Vec::new());
    while first.len() < LOOKED_AT
        && let Some(row) = found.next(&mut rows)?
    {
        columns.push(rows.column());
        first.push(row);
    }
    if first.is_empty() {
        return Err(match found.problems.first() {
            Some(wrong) => source.error_of(wrong),
            None => Error::file("the data set is empty: it has no rows", source.path()),
        });
    }
    let reading = choose_reading(&source, settings, &first)?;
    (found.format, found.reason) = (reading.format, reading.reason.clone());
    found.mapping = reading.columns.clone();
    found.notices = [notices, reading.notices.clone()].concat();
    let held_out = source.held_out_files();
    if !held_out.is_empty() {
        let names = held_out.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if held_out.len() > 3 { ", …" } else { "" };
        found.notices.push(format!("files for validation or tests are among them, by their names: {names}{more}"));
    }
    for (row, column) in first.into_iter().zip(columns) {
        found.add(row, column, &reading);
    }
    begun(&found);
    let total = source.bytes();
    while let Some(row) = found.next(&mut rows)? {
        if row.index % 1024 == 0 && !progress(rows.bytes_read().min(total), total) {
            return Err(Error::Cancelled("reading the rows"));
        }
        found.add(row, rows.column(), &reading);
    }
    if found.too_many {
        found.notices.push(format!(
            "its rows have more than {} different columns: the first are listed",
            grouped(COLUMNS as u64)
        ));
    }
    found.problems.sort_by_key(|wrong| (wrong.file, wrong.bytes.start));
    Ok(found)
}

impl Inspection {
    /// The next row; those that are none are noted.
    fn next(&mut self, rows: &mut Rows) -> Result<Option<Row>> {
        loop {
            match rows.next() {
                Some(Ok(row)) => return Ok(Some(row)),
                Some(Err(error)) => {
                    self.wrong(rows.wrong(error)?);
                    if !rows.resume() {
                        return Ok(None);
                    }
                }
                None => return Ok(None),
            }
        }
    }

    fn wrong(&mut self, row: WrongRow) {
        self.wrong_rows += 1;
        if self.problems.len() < LISTED {
            self.problems.push(row);
        }
    }

    fn add(&mut self, row: Row, column: usize, reading: &Reading) {
        (self.rows, self.parsed) = (self.rows + 1, self.parsed + 1);
        self.add_columns(&row.fields);
        // Preference rows are known, though nothing trains on them by itself: they are not wrong.
        if reading.format != Format::Preference
            && let Err(reason) = reading.read(&row.fields)
        {
            self.rows -= 1;
            self.wrong(WrongRow::of(&row, column, reason));
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
            let full = self.columns.len() == COLUMNS;
            match self.places.get(name).and_then(|at| self.columns.get_mut(*at)) {
                Some(column) => {
                    column.rows += 1;
                    if column.kind == "null" {
                        column.kind = kind.into();
                    } else if column.kind != kind && kind != "null" {
                        column.kind = "mixed".into();
                    }
                }
                None if full => self.too_many = true,
                None => {
                    self.places.insert(name.clone(), self.columns.len());
                    self.columns.push(Column { name: name.clone(), kind: kind.into(), rows: 1 });
                }
            }
        }
    }
}
