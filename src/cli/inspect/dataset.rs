//! A data file.

use serde::Serialize;

use crate::cli::output::{Failure, grouped, json, say, shorten, width};
use crate::engine::config::DataConfig;
use crate::engine::data::{Inspection, inspect};

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    #[serde(flatten)]
    found: &'a Inspection,
}

pub(super) fn show(spec: &str, as_json: bool) -> Result<(), Failure> {
    let found = inspect(spec, &DataConfig::default())?;
    if as_json {
        return json(&Shown { kind: "dataset", found: &found });
    }
    say(format!("dataset  {}", found.source))?;
    say(format!("format   {}: {}", found.format.name(), found.reason))?;
    say(format!("rows     {}", grouped(found.rows as u64)))?;
    let name = |c: &crate::engine::data::Column| match c.rows {
        n if n == found.rows => format!("{} ({})", c.name, c.kind),
        n => format!("{} ({}, in {} rows)", c.name, c.kind, grouped(n as u64)),
    };
    say(format!("columns  {}", found.columns.iter().map(name).collect::<Vec<_>>().join(", ")))?;
    for (field, column) in &found.mapping {
        say(format!("mapping  {field} is read from {}", if column.is_empty() { "nothing" } else { column }))?;
    }
    for notice in &found.notices {
        say(format!("note     {notice}"))?;
    }
    if found.wrong_rows > 0 {
        say(format!("wrong    {} rows do not have the format's shape:", grouped(found.wrong_rows as u64)))?;
        for problem in &found.problems {
            say(format!("         line {}: {}", problem.line, problem.message))?;
        }
    }
    for row in &found.first {
        say("")?;
        for (column, value) in row {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            say(shorten(&format!("  {column}: {text}"), width()))?;
        }
    }
    Ok(())
}
