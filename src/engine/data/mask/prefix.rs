//! Finding a turn as the difference of two prefixes of the conversation.

use std::ops::Range;

use super::{TurnShape, calls_tool};
use crate::engine::data::Conversation;
use crate::engine::data::template::ChatTemplate;

/// The trained text of message `turn`, if the rendering of the messages up to it is the beginning of `text`.
pub(super) fn turn(
    template: &ChatTemplate,
    shape: &TurnShape,
    conversation: &Conversation,
    turn: usize,
    text: &str,
) -> Option<Range<usize>> {
    if turn == 0 {
        return None;
    }
    let render = |count: usize, prompt: bool| {
        template.render(&conversation.messages[..count], conversation.tools.as_ref(), prompt).ok().map(|r| r.text)
    };
    let upto = render(turn + 1, false)?;
    let message = &conversation.messages[turn];
    let answer = message.content.as_deref().unwrap_or_default().trim();
    let prompted = render(turn, true).filter(|p| upto.starts_with(p.as_str()) && text.starts_with(p.as_str()));
    let start = match prompted {
        Some(prompted) => prompted.len(),
        None => {
            let open = render(turn, false).filter(|o| upto.starts_with(o.as_str()) && text.starts_with(o.as_str()))?;
            let turn = &upto[open.len()..];
            let header = shape.prompt_length(turn);
            // Where the answer begins at the latest; one without text begins with what ends it.
            let spoken = turn.find(if answer.is_empty() { shape.terminator.trim_start() } else { answer })?;
            open.len() + header.min(spoken)
        }
    };
    let answer_end = upto[start..].find(answer).map_or(start, |at| start + at + answer.len());
    // A call may be ended by another token than an answer; control tokens within it end nothing.
    let end = match calls_tool(message) {
        true => shape.first_terminator(&upto, answer_end),
        false => shape.turn_end(&upto, answer_end, upto.len(), false),
    };
    let end = end.unwrap_or_else(|| upto.trim_end().len()).max(answer_end);
    // Nothing said and nothing that ends it: there is nothing to train.
    let said = end > start || shape.terminator.is_empty();
    if !said || text.get(start..end) != Some(&upto[start..end]) {
        return None;
    }
    // Where nothing ends a turn but what begins the next, only the whole text has it.
    let end = match shape.terminator.is_empty() && end > start {
        true => shape.immediate_end(text, end).unwrap_or(end),
        false => end,
    };
    Some(start..end)
}
