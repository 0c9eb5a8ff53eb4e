//! What the start gate says of the rows: whether there are any, whether their answers end, and what was found in them.

use super::{Check, Command, Readiness, Room, Studio, Topic, Verdict, sentence};
use crate::app::data::{Found, quoted};
use crate::engine::data::{Fix, Severity, Topic as About};
use crate::units::grouped;

/// The way to a finding, where no single click takes it away.
const LOOK: &str = "Look at the data";

pub(super) fn data(studio: &Studio) -> Check {
    let topic = Topic::Data;
    let another = || Command::Go(Room::Data);
    if studio.model.problem.is_some() {
        return Check::new(topic, Verdict::Waiting, "The rows can be read once a model is open.");
    }
    match (studio.data.readiness(), &studio.data.info) {
        (Readiness::Blocked(problem), _) => {
            let check = Check::new(topic, Verdict::Refused, sentence(&quoted(&problem)));
            if studio.data.wrong().is_some() {
                return check.fix(Fix::SkipBadRows.label(), edit(studio, Fix::SkipBadRows));
            }
            match studio.data.error() {
                Some(found) => with_way_out(studio, check, &[found]),
                None => check.fix("Choose other data", another()),
            }
        }
        (Readiness::Ready | Readiness::Warning(_), Some(data)) => {
            let side = &data.report.train;
            if side.trained_tokens == 0 {
                let text = "No token of these rows is trained: they have no answers of an assistant.";
                return Check::new(topic, Verdict::Refused, text).fix("Look at the rows", another());
            }
            let (rows, tokens, trained) =
                (grouped(side.samples as u64), grouped(side.tokens), grouped(side.trained_tokens));
            let mut text = format!("{rows} rows with {tokens} tokens; {trained} of them are trained.");
            if data.verified > 0 {
                let (noun, verb) = if data.verified == 1 { ("row", "was") } else { ("rows", "were") };
                let verified = grouped(data.verified as u64);
                text.push_str(&format!(" The masks of {verified} {noun} {verb} checked a second time."));
            }
            Check::new(topic, Verdict::Good, text)
        }
        _ => Check::new(topic, Verdict::Waiting, "The rows are being read."),
    }
}

pub(super) fn answer_ends(studio: &Studio) -> Option<Check> {
    // Without the model, the rows that are known are those of another one.
    studio.model.info.as_ref()?;
    let data = studio.data.info.as_ref()?;
    let topic = Topic::AnswerEnds;
    let found: Vec<&Found> = warnings(&data.findings).filter(|found| found.topic == About::Ends).collect();
    if !found.is_empty() {
        return Some(summed_up(studio, topic, &found));
    }
    let text = match data.report.source.format.is_conversation() {
        true => "Every answer ends with a trained token, so the model learns to stop.",
        false if data.report.source.truncated > 0 => {
            "Every text that was not cut ends with the trained end-of-sequence token."
        }
        false => "Every text ends with the trained end-of-sequence token.",
    };
    Some(Check::new(topic, Verdict::Good, text))
}

pub(super) fn rows(studio: &Studio) -> Option<Check> {
    studio.model.info.as_ref()?;
    let data = studio.data.info.as_ref()?;
    let found: Vec<&Found> = warnings(&data.findings).filter(|found| found.topic != About::Ends).collect();
    if !found.is_empty() {
        return Some(summed_up(studio, Topic::Rows, &found));
    }
    let source = &data.report.source;
    let of = grouped(source.rows as u64);
    let cut = match source.truncated {
        0 => "No row was cut".to_string(),
        1 => format!("1 of {of} rows is cut"),
        n => format!("{} of {of} rows are cut", grouped(n as u64)),
    };
    let left_out = match data.dropped() {
        0 => "none was left out".to_string(),
        1 => "1 row is left out, as you asked".to_string(),
        n => format!("{} rows are left out, as you asked", grouped(n as u64)),
    };
    Some(Check::new(Topic::Rows, Verdict::Good, format!("{cut}, and {left_out}.")))
}

fn warnings(findings: &[Found]) -> impl Iterator<Item = &Found> {
    findings.iter().filter(|found| found.severity == Severity::Warning)
}

/// The first in words, how many more there are, and the first way out that one of them has.
fn summed_up(studio: &Studio, topic: Topic, found: &[&Found]) -> Check {
    let first = found.first().map_or("", |found| &found.sentence);
    let text = match found.len() {
        0 | 1 => first.to_string(),
        n => format!("{} and {} more: look at the data.", first.trim_end_matches('.'), n - 1),
    };
    with_way_out(studio, Check::new(topic, Verdict::Warning, text), found)
}

fn with_way_out(studio: &Studio, check: Check, found: &[&Found]) -> Check {
    let most = studio.model.info.as_ref().map_or(usize::MAX, |model| model.config.max_positions);
    match found.iter().find_map(|found| found.fix(&studio.shared.run.data, most)) {
        Some(fix) => check.fix(fix.label(), edit(studio, fix)),
        None => check.fix(LOOK, Command::Go(Room::Data)),
    }
}

fn edit(studio: &Studio, fix: Fix) -> Command {
    let mut run = studio.shared.run.clone();
    fix.apply(&mut run.data);
    Command::Edit(Box::new(run))
}
