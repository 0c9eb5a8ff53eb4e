//! A data file.

use std::path::Path;

use serde::Serialize;

use crate::cli::args::with_changes;
use crate::cli::output::{Failure, grouped, json, progress_bar, say, shorten, width};
use crate::engine::config::DataConfig;
use crate::engine::data::{Inspection, inspect};

/// Rows that cannot be read which are printed; `--json` lists more.
const PRINTED: usize = 10;

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    #[serde(flatten)]
    found: &'a Inspection,
}

pub(super) fn show(spec: &str, changes: &[String], as_json: bool) -> Result<(), Failure> {
    let settings = with_changes(DataConfig::default(), changes)?;
    // The rest of a large file takes its time.
    let mut told = Ok(());
    let bar = progress_bar(0, "{bytes}/{total_bytes}  {eta} left");
    let found = inspect(
        spec,
        &settings,
        &mut |found| {
            if !as_json {
                told = first_rows(found);
            }
        },
        &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
            true
        },
    );
    bar.finish_and_clear();
    let found = found?;
    told?;
    if as_json {
        return json(&Shown { kind: "dataset", found: &found });
    }
    say("")?;
    say(format!("rows     {}", grouped(found.rows as u64)))?;
    let name = |c: &crate::engine::data::Column| match c.rows {
        n if n == found.parsed => format!("{} ({})", c.name, c.kind),
        n => format!("{} ({}, in {} rows)", c.name, c.kind, grouped(n as u64)),
    };
    say(format!("columns  {}", found.columns.iter().map(name).collect::<Vec<_>>().join(", ")))?;
    for notice in &found.notices {
        say(format!("note     {notice}"))?;
    }
    if found.wrong_rows > 0 {
        let rows = if found.wrong_rows == 1 { "row" } else { "rows" };
        say(format!("wrong    {} {rows} cannot be read:", grouped(found.wrong_rows as u64)))?;
        for problem in found.problems.iter().take(PRINTED) {
            let file = match found.files.get(problem.file as usize).filter(|_| found.files.len() > 1) {
                Some(file) => Path::new(file).file_name().map(|name| format!("{}, ", name.to_string_lossy())),
                None => None,
            };
            let place = format!("{}line {}", file.unwrap_or_default(), problem.line);
            say(format!("         {place}: {}", printable(&problem.message)))?;
        }
        let more = found.wrong_rows - found.problems.len().min(PRINTED);
        if more > 0 {
            say(format!("         and {} more", grouped(more as u64)))?;
        }
    }
    Ok(())
}

/// How the rows are read, and the first of them.
fn first_rows(found: &Inspection) -> Result<(), Failure> {
    say(format!("dataset  {}", found.source))?;
    say(format!("format   {}: {}", found.format.name(), found.reason))?;
    for (field, column) in &found.mapping {
        say(format!("mapping  {field} is read from {}", if column.is_empty() { "nothing" } else { column }))?;
    }
    for row in &found.first {
        say("")?;
        for (column, value) in row {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            say(shorten(&printable(&format!("  {column}: {text}")), width()))?;
        }
    }
    Ok(())
}

/// A text from a file without what a terminal would take for commands.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !c.is_whitespace() { '\u{FFFD}' } else { c }).collect()
}
