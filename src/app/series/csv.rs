//! Curves as a table that a spreadsheet opens.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::Series;
use crate::engine::formats::atomic_write;
use crate::engine::train::{Event, run_dir};
use crate::engine::{Error, Result};

/// The kept points of several series: a column `step` and one for each series, a row for each step that any of them has,
/// an empty cell where a series has no finite value.
pub fn series_csv(columns: &[(&str, &Series)]) -> String {
    let mut rows: BTreeMap<u64, Vec<Option<f64>>> = BTreeMap::new();
    for (index, (_, series)) in columns.iter().enumerate() {
        for [x, y] in series.points() {
            let row = rows.entry(ordered(x)).or_insert_with(|| vec![None; columns.len()]);
            row[index] = y.is_finite().then_some(y);
        }
    }
    let mut text = String::from("step");
    columns.iter().for_each(|(name, _)| text.extend([",", &quoted(name)]));
    text.push('\n');
    for (step, cells) in rows {
        text.push_str(&from_ordered(step).to_string());
        for cell in cells {
            text.push(',');
            if let Some(value) = cell {
                text.push_str(&value.to_string());
            }
        }
        text.push('\n');
    }
    text
}

/// Writes [`series_csv`] to a file.
pub fn export_csv(path: &Path, columns: &[(&str, &Series)]) -> Result<()> {
    atomic_write(path, series_csv(columns).as_bytes())
}

/// Writes every step of a run to a file, at full resolution, from the run folder's `metrics.jsonl`.
pub fn export_run_csv(path: &Path, run: &Path) -> Result<()> {
    let text = events_csv(&run_dir::events(run)?.collect::<Result<Vec<_>>>()?);
    match text {
        Some(text) => atomic_write(path, text.as_bytes()),
        None => Err(Error::file("the run has made no step yet: there is nothing to export", run)),
    }
}

/// One row a step, with the validation loss measured after it; `None` while there is no step.
fn events_csv(events: &[Event]) -> Option<String> {
    let mut rows: BTreeMap<usize, (Option<&Event>, Option<f64>)> = BTreeMap::new();
    for event in events {
        match event {
            Event::Step { step, .. } => rows.entry(*step).or_default().0 = Some(event),
            Event::Eval { step, loss } => rows.entry(*step).or_default().1 = Some(*loss),
            _ => {}
        }
    }
    if rows.is_empty() {
        return None;
    }
    let mut text = String::from(
        "step,epoch,loss,learning_rate,grad_norm,tokens,supervised_tokens,tokens_per_second,memory_bytes,\
         validation_loss\n",
    );
    for (step, (event, validation)) in rows {
        // Writing to a String cannot fail.
        let _ = match event {
            Some(Event::Step {
                epoch,
                loss,
                learning_rate,
                grad_norm,
                tokens,
                supervised_tokens,
                tokens_per_second,
                memory_bytes,
                ..
            }) => write!(
                text,
                "{step},{epoch},{loss},{learning_rate},{grad_norm},{tokens},{supervised_tokens},{tokens_per_second},\
                 {memory_bytes},"
            ),
            _ => write!(text, "{step},,,,,,,,,"),
        };
        if let Some(loss) = validation {
            text.push_str(&loss.to_string());
        }
        text.push('\n');
    }
    Some(text)
}

/// A name as a CSV cell (RFC 4180).
fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_string() }
}

/// A key whose order is that of the finite numbers.
fn ordered(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ordered(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_share_the_column_of_steps() {
        let (mut train, mut validation) = (Series::default(), Series::default());
        train.push(1.0, 2.5);
        train.push(2.0, f64::NAN);
        train.push(10.0, 1e-7);
        validation.push(2.0, 3.0);
        validation.push(-1.5, 0.5);
        let text = series_csv(&[("train", &train), ("a \"b\", c", &validation)]);
        assert_eq!(text, "step,train,\"a \"\"b\"\", c\"\n-1.5,,0.5\n1,2.5,\n2,,\n10,0.0000001,\n");
        validation.push(2.0, 3.0);
        assert!(series_csv(&[("v", &validation)]).ends_with("-1.5,0.5\n2,3\n"));
    }

    #[test]
    fn a_run_is_exported_whole_and_an_empty_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.csv");
        let error = export_run_csv(&out, folder.path()).unwrap_err().to_string();
        assert!(error.contains("made no step"), "{error}");
        assert!(!out.exists());
        let lines = [
            r#"{"event":"step","step":1,"epoch":0.5,"loss":2.25,"learning_rate":0.0002,"grad_norm":1.5,"tokens":512,"supervised_tokens":100,"tokens_per_second":250.0,"memory_bytes":7}"#,
            r#"{"event":"eval","step":1,"loss":2.5}"#,
            r#"{"event":"eval","step":2,"loss":2.25}"#,
        ];
        std::fs::write(folder.path().join("metrics.jsonl"), lines.join("\n") + "\n").unwrap();
        export_run_csv(&out, folder.path()).unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows, ["1,0.5,2.25,0.0002,1.5,512,100,250,7,2.5", "2,,,,,,,,,2.25"]);
        let columns = text.lines().next().unwrap().split(',').count();
        assert!(rows.iter().all(|r| r.split(',').count() == columns));
    }
}
