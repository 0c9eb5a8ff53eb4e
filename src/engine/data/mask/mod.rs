//! Which part of a rendered conversation is trained: every assistant turn with the terminator that ends it, and nothing
//! else.
//!
//! With `{% generation %}` tags the template's author says it. Without them the turns are found in the text:
//!
//! 1. The conversation is rendered once more with a marker in the place of each answer ([`align`]). What stands between
//!    the markers is the template's own text, so it must come again, piece by piece, in the real rendering; what is left
//!    over are the answers as the template wrote them. This holds for templates that rewrite history (move the system
//!    prompt, drop reasoning from earlier turns), because both renderings are rewritten alike.
//! 2. A turn that this does not settle (reasoning that only the last turn keeps), and first of all one with a tool call, is
//!    the difference of two prefixes: the messages before it with the prompt for an answer, and the messages up to it
//!    ([`prefix`]).
//! 3. A turn found by neither is an error. No turn is guessed.
//!
//! Templates that write one message in several parts are read part by part instead ([`parts`]).
//!
//! A turn begins behind what the template writes to prompt for an answer and ends with the terminator. White space
//! behind the terminator is not trained: the model has stopped by then.

mod align;
mod parts;
mod prefix;
mod shape;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trl_tests;

use std::ops::Range;

use super::template::{ChatTemplate, Rendered};
use super::{Conversation, Message};
pub use shape::TurnShape;

/// Why the turns of a conversation were not found.
pub type MaskError = String;

/// Byte ranges of `rendered.text` that are trained, in order and without overlap. `last_only`: those of the last turn that
/// is to be trained.
pub fn trained_ranges(
    template: &ChatTemplate,
    shape: &TurnShape,
    conversation: &Conversation,
    rendered: &Rendered,
    last_only: bool,
) -> Result<Vec<Range<usize>>, MaskError> {
    let messages = &conversation.messages;
    let assistants: Vec<usize> = (0..messages.len()).filter(|i| messages[*i].is_assistant()).collect();
    let mut wanted: Vec<usize> =
        assistants.iter().copied().filter(|turn| messages[*turn].train.unwrap_or(true)).collect();
    let Some(last) = wanted.last().copied() else {
        return Err(match assistants.is_empty() {
            true => "it has no assistant turn to train on".into(),
            false => "none of its assistant turns is to be trained".into(),
        });
    };
    if last_only {
        wanted = vec![last];
    }
    let all_wanted = wanted.len() == assistants.len();
    if template.has_generation_tags() {
        let ranges = tagged(shape, rendered);
        if all_wanted {
            return Ok(ranges);
        }
        if ranges.len() == assistants.len() {
            return Ok(ranges
                .into_iter()
                .zip(&assistants)
                .filter(|(_, t)| wanted.contains(t))
                .map(|(r, _)| r)
                .collect());
        }
        // Some turns have no tags, or several: where the turns stand in the text says whose tags these are.
        let turns = located(template, shape, conversation, rendered, &assistants).map_err(|_| {
            "some of its turns are not to be trained, and the chat template's generation tags do not tell which are which"
        })?;
        let meets = |range: &Range<usize>, of_wanted: bool| {
            let of = turns.iter().filter(|(turn, _)| wanted.contains(turn) == of_wanted);
            of.into_iter().any(|(_, turn)| turn.start < range.end && range.start < turn.end)
        };
        if ranges.iter().any(|range| meets(range, true) && meets(range, false)) {
            return Err(
                "one of the chat template's generation tags is about several turns, of which not all are to be \
                        trained"
                    .into(),
            );
        }
        return Ok(ranges.into_iter().filter(|range| meets(range, true)).collect());
    }
    let turns = located(template, shape, conversation, rendered, &assistants)?;
    Ok(turns.into_iter().filter(|(turn, _)| wanted.contains(turn)).map(|(_, range)| range).collect())
}

/// Messages that are rendered to find the turns of one conversation by their prefixes: the work grows with the square of
/// its length. Some seconds' worth, for six hundred messages of which each second is a call.
const PREFIX_BUDGET: usize = 300_000;

/// Where each assistant turn stands in the text, without the help of tags.
fn located(
    template: &ChatTemplate,
    shape: &TurnShape,
    conversation: &Conversation,
    rendered: &Rendered,
    assistants: &[usize],
) -> Result<Vec<(usize, Range<usize>)>, MaskError> {
    if let Some(turns) = parts::turns(shape, conversation, &rendered.text, assistants) {
        return Ok(turns);
    }
    let messages = &conversation.messages;
    // Markers also in the place of empty answers first: where that makes the template write something else, the
    // alignment notices, and the answers with text are aligned alone.
    let mut aligned = align::turns(template, shape, conversation, &rendered.text, assistants);
    if aligned.len() < assistants.len() {
        let spoken: Vec<usize> =
            assistants.iter().copied().filter(|turn| !align::is_silent(&messages[*turn])).collect();
        if spoken.len() < assistants.len() {
            aligned.extend(align::turns(template, shape, conversation, &rendered.text, &spoken));
        }
    }
    let mut turns: Vec<(usize, Range<usize>)> = Vec::with_capacity(assistants.len());
    let mut budget = PREFIX_BUDGET;
    for turn in assistants {
        let aligned = aligned.iter().find(|(index, _)| index == turn).map(|(_, range)| range.clone());
        let mut prefix = || {
            budget = budget.checked_sub(3 * (turn + 1))?;
            prefix::turn(template, shape, conversation, *turn, &rendered.text)
        };
        // What ends a call may be another token than what ends an answer: the prefixes show all of the turn.
        let found = if calls_tool(&messages[*turn]) { prefix().or(aligned) } else { aligned.or_else(prefix) };
        let found = found.ok_or_else(|| {
            format!("the chat template rewrites messages[{turn}], so what to train was not found in its text")
        })?;
        if turns.last().is_some_and(|(_, before)| before.end > found.start) {
            return Err(format!("messages[{turn}] was not found in its place in what the chat template made"));
        }
        turns.push((*turn, found));
    }
    Ok(turns)
}

/// Whether each of two answers is trained with what ends it. `true` also where the template does not render them.
pub fn trains_terminators(template: &ChatTemplate, shape: &TurnShape) -> bool {
    let messages = ["a", "b"].iter().flat_map(|text| [Message::user(*text), Message::assistant(*text)]).collect();
    let conversation = Conversation { messages, tools: None };
    let Ok(rendered) = template.render(&conversation.messages, None, false) else { return true };
    let Ok(ranges) = trained_ranges(template, shape, &conversation, &rendered, false) else { return true };
    ranges.iter().all(|range| shape.ends_turn(&rendered.text[range.clone()]))
}

/// The tagged ranges. A terminator that follows right behind the tags is trained too: without it the model would learn
/// to speak and not to stop.
fn tagged(shape: &TurnShape, rendered: &Rendered) -> Vec<Range<usize>> {
    let text = &rendered.text;
    let end = |range: &Range<usize>| match shape.ends_turn(&text[range.clone()]) {
        true => range.end,
        false => shape.terminator_end(text, range.end).unwrap_or(range.end),
    };
    rendered.generation.iter().filter(|range| !range.is_empty()).map(|range| range.start..end(range)).collect()
}

/// Whether a message carries a tool call.
fn calls_tool(message: &Message) -> bool {
    ["tool_calls", "function_call"].iter().any(|key| message.extra.get(*key).is_some_and(|v| !v.is_null()))
}
