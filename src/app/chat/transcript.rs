//! The conversation as it is shown, and as each of the two models had it.

use std::sync::Arc;

use super::engine::About;
use super::{Chosen, Comparison};
use crate::engine::data::Message;
use crate::engine::generate::Finish;

/// One model's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What it has said so far.
    pub text: String,
    /// Tokens of it.
    pub tokens: usize,
    /// Seconds from the first of them to the last.
    pub seconds: f64,
    /// Why it ended; `None` while it is being written.
    pub finish: Option<Finish>,
}

impl Answer {
    /// Tokens a second, from the second token on: the first comes with the prompt.
    pub fn speed(&self) -> Option<f64> {
        (self.tokens > 1 && self.seconds > 0.0).then(|| (self.tokens - 1) as f64 / self.seconds)
    }
}

/// A prompt and its answers.
pub struct Turn {
    /// Its own number in this session.
    pub id: u64,
    /// What is talked to: turns of another number are not part of the conversation any more.
    pub epoch: u64,
    /// What answered.
    pub with: Arc<Chosen>,
    /// What was asked.
    pub prompt: String,
    /// Of the base and of the adapted model, where they were asked.
    pub answers: [Option<Answer>; 2],
    /// How far the two are from each other over the adapted answer.
    pub comparison: Option<Comparison>,
    /// Why there is no whole answer.
    pub problem: Option<String>,
    /// More of it is to come.
    pub open: bool,
}

impl Turn {
    pub(super) fn new(id: u64, epoch: u64, with: Arc<Chosen>, prompt: String, asked: [bool; 2]) -> Turn {
        let answers = asked.map(|asked| asked.then(Answer::default));
        Turn { id, epoch, with, prompt, answers, comparison: None, problem: None, open: true }
    }

    /// An answer is not complete.
    pub fn writing(&self) -> bool {
        self.problem.is_none() && self.answers.iter().flatten().any(|answer| answer.finish.is_none())
    }

    /// One thing that the thread says about it.
    pub(super) fn hear(&mut self, about: About) {
        match about {
            About::Piece { side, text, tokens, seconds } => {
                if let Some(answer) = &mut self.answers[side] {
                    answer.text.push_str(&text);
                    (answer.tokens, answer.seconds) = (tokens, seconds);
                }
            }
            About::Ended { side, finish } => {
                if let Some(answer) = &mut self.answers[side] {
                    answer.finish = Some(finish);
                }
            }
            About::Compared(comparison) => self.comparison = Some(comparison),
            About::Failed(error) => self.fail(error),
            About::Done { .. } => self.open = false,
        }
    }

    /// Ends it for this reason, where it has not ended.
    pub(super) fn close(&mut self, finish: Finish) {
        self.open = false;
        for answer in self.answers.iter_mut().flatten() {
            answer.finish.get_or_insert(finish);
        }
    }

    pub(super) fn fail(&mut self, why: String) {
        self.problem.get_or_insert(why);
        for answer in self.answers.iter_mut().flatten() {
            answer.finish.get_or_insert(Finish::Cancelled);
        }
    }
}

/// What a model is asked: the system's message, what it was asked before and said, and the prompt. Turns that it was not
/// asked, or that have no answer, are not part of its conversation.
pub(super) fn messages(turns: &[Turn], side: usize, epoch: u64, system: &str, prompt: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(Message::system(system));
    }
    for turn in turns.iter().filter(|turn| turn.epoch == epoch) {
        if let Some(answer) = turn.answers[side].as_ref().filter(|answer| !answer.text.is_empty()) {
            messages.push(Message::user(turn.prompt.as_str()));
            messages.push(Message::assistant(answer.text.as_str()));
        }
    }
    messages.push(Message::user(prompt));
    messages
}
