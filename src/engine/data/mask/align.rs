//! Finding answers by aligning the rendering with one that has markers in their places.

use std::ops::Range;

use super::shape::marker;
use super::{TurnShape, calls_tool};
use crate::engine::data::template::ChatTemplate;
use crate::engine::data::{Conversation, Message};

/// The turns that the alignment settles: index of the message, range of its trained text. `answered` are the indices of
/// the messages that get a marker.
pub(super) fn turns(
    template: &ChatTemplate,
    shape: &TurnShape,
    conversation: &Conversation,
    text: &str,
    answered: &[usize],
) -> Vec<(usize, Range<usize>)> {
    let Some(literals) = literals(template, conversation, answered) else { return Vec::new() };
    let mut found = Vec::new();
    let Some(mut at) = text.starts_with(&literals[0]).then_some(literals[0].len()) else { return found };
    for (i, &turn) in answered.iter().enumerate() {
        let (before, after) = (literals[i].as_str(), literals[i + 1].as_str());
        let message = &conversation.messages[turn];
        let answer = message.content.as_deref().unwrap_or_default();
        let is_last = i + 1 == answered.len();
        // How far what follows the marker belongs to this turn.
        let Some(tail) = shape
            .turn_end(after, 0, after.len(), calls_tool(message))
            .or_else(|| (shape.terminator.is_empty() && !calls_tool(message)).then_some(0))
        else {
            return found;
        };
        let whole = |end: usize| if is_last { text[end..] == *after } else { text[end..].starts_with(after) };
        let candidates: Vec<usize> =
            forms(answer).into_iter().filter(|f| text[at..].starts_with(f)).map(|f| at + f.len()).collect();
        let settled = candidates.iter().copied().find(|end| whole(*end));
        // The template changed the answer in its own way: then what follows must say where it ends.
        let settled = settled.or_else(|| match (is_last, after.is_empty()) {
            _ if is_silent(message) => None,
            (true, _) => text.strip_suffix(after).map(str::len).filter(|end| *end >= at),
            (false, false) => text[at..].find(after).map(|length| at + length),
            (false, true) => None,
        });
        // The text behind a turn may differ (only the last turn keeps its reasoning); its terminator may not.
        let end = settled
            .or_else(|| candidates.iter().copied().find(|end| tail > 0 && text[*end..].starts_with(&after[..tail])));
        let Some(end) = end else { return found };
        found.push((turn, at - opening(shape, before)..end + tail));
        match settled {
            Some(end) => at = end + after.len(),
            None => return found,
        }
    }
    found
}

/// Whether an answer has no text: it is empty, or a tool call alone.
pub(super) fn is_silent(message: &Message) -> bool {
    message.content.as_deref().is_none_or(|content| content.trim().is_empty())
}

/// The template's own text before, between and behind the answers.
fn literals(template: &ChatTemplate, conversation: &Conversation, answered: &[usize]) -> Option<Vec<String>> {
    let mut marked = conversation.messages.clone();
    for &turn in answered {
        marked[turn].content = Some(marker(turn));
    }
    let text = template.render(&marked, conversation.tools.as_ref(), false).ok()?.text;
    let mut literals = Vec::with_capacity(answered.len() + 1);
    let mut rest = text.as_str();
    for &turn in answered {
        let (before, behind) = rest.split_once(&marker(turn))?;
        literals.push(before.to_string());
        rest = behind;
    }
    literals.push(rest.to_string());
    // A marker too many: the template repeats an answer, or the data itself contains the marker's characters.
    let clean = literals.iter().all(|literal| !literal.contains(['\u{FDD2}', '\u{FDD3}']));
    (clean && !answered.is_empty()).then_some(literals)
}

/// An answer as templates write it: as it is, trimmed, or without the thoughts before `</think>`.
fn forms(answer: &str) -> Vec<&str> {
    let mut forms = vec![answer, answer.trim(), answer.trim_start(), answer.trim_end()];
    if let Some((_, spoken)) = answer.rsplit_once("</think>") {
        forms.extend([spoken, spoken.trim_start_matches('\n'), spoken.trim()]);
    }
    forms
}

/// How much of the template's text before an answer belongs to the turn: what follows the prompt for an answer.
fn opening(shape: &TurnShape, before: &str) -> usize {
    if !shape.generation_prompt.is_empty()
        && let Some(at) = before.rfind(&shape.generation_prompt)
    {
        let gap = &before[at + shape.generation_prompt.len()..];
        if shape.terminator.is_empty() || !gap.contains(shape.terminator.trim()) {
            return gap.len();
        }
    }
    if before.ends_with(&shape.lead) { shape.lead.len() } else { 0 }
}
