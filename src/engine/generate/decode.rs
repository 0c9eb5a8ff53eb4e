//! From prompts to answers: prefill, then one token of every sequence at a time.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Sampler, Sampling};
use crate::engine::model::{Model, Session};
use crate::engine::peft::Adapter;
use crate::engine::{Error, Result};

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The prompt.
    pub tokens: Vec<u32>,
    /// With the adapter, else the base model.
    pub adapted: bool,
    /// Tokens to generate at most.
    pub max_new_tokens: usize,
    /// How to choose them.
    pub sampling: Sampling,
    /// Tokens that end the answer; they are not part of it.
    pub stop: Vec<u32>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model chose this token to stop.
    Stop(u32),
    /// `max_new_tokens` were generated.
    Length,
    /// The model's context is full.
    Context,
    /// It was cancelled.
    Cancelled,
    /// Whoever took its tokens wanted no more ([`generate_until`]).
    Ended,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What was generated, without the token that stopped it.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// The answers, with what is needed to state a speed.
#[derive(Clone, Debug)]
pub struct Generated {
    /// One a request, in their order.
    pub completions: Vec<Completion>,
    /// Tokens of the prompts that went through the model.
    pub prompt_tokens: usize,
    /// Seconds until the prompts were read.
    pub prefill_seconds: f64,
    /// Tokens that were chosen, those that stopped an answer included.
    pub new_tokens: usize,
    /// Seconds from then to the end.
    pub decode_seconds: f64,
}

/// Generates an answer to each request, all in one batch. `on_token(request, token)` is called for each token as it comes,
/// except one that stops. Once `cancel` is set the answers so far are returned.
///
/// For a conversation of several turns, [`generate_in`] a session that stays.
pub fn generate(
    model: &Model,
    adapter: Option<&Adapter>,
    requests: &[Request],
    on_token: &mut dyn FnMut(usize, u32),
    cancel: &AtomicBool,
) -> Result<Generated> {
    let adapted: Vec<bool> = requests.iter().map(|r| r.adapted).collect();
    generate_in(&mut Session::new(model, adapter, &adapted)?, requests, on_token, cancel)
}

/// The last tokens of a prompt that go through in any case: the answer begins with the logits of the last one, and so many
/// take the way of a whole prompt, whose sums are rounded in another order than those of single tokens. So a seed gives the
/// same answer whether or not the prompt was read before.
const AGAIN: usize = 8;

/// [`generate`] in a session that has a sequence for each request. What a sequence has in common with its request's
/// tokens, such as the turns of a conversation so far, is not computed again.
pub fn generate_in(
    session: &mut Session,
    requests: &[Request],
    on_token: &mut dyn FnMut(usize, u32),
    cancel: &AtomicBool,
) -> Result<Generated> {
    let mut all = |request: usize, token: u32| {
        on_token(request, token);
        true
    };
    generate_until(session, requests, &mut all, cancel)
}

/// [`generate_in`] with an `on_token` that ends the answer of its request by returning false; the others go on.
pub fn generate_until(
    session: &mut Session,
    requests: &[Request],
    on_token: &mut dyn FnMut(usize, u32) -> bool,
    cancel: &AtomicBool,
) -> Result<Generated> {
    let model = session.model();
    let context = model.config.max_positions;
    for request in requests {
        check(request, context)?;
    }
    if !session.adapted().eq(requests.iter().map(|r| r.adapted)) {
        return Err(Error::Other("the session's sequences are not those of the requests".into()));
    }
    let mut answers = requests.iter().map(Answer::new).collect::<Result<Vec<_>>>()?;

    let start = Instant::now();
    let mut next: Vec<(usize, Vec<u32>)> = Vec::new();
    for (i, r) in requests.iter().enumerate().filter(|(_, r)| r.max_new_tokens > 0) {
        let common = r.tokens.iter().zip(session.tokens(i)).take_while(|(a, b)| a == b).count();
        let kept = session.truncate(i, common.min(r.tokens.len().saturating_sub(AGAIN)));
        next.push((i, r.tokens[kept..].to_vec()));
    }
    let prompt_tokens = next.iter().map(|(_, tokens)| tokens.len()).sum();
    let mut prefill_seconds = None;
    while !next.is_empty() {
        let input: Vec<(usize, &[u32])> = next.iter().map(|(i, tokens)| (*i, tokens.as_slice())).collect();
        let Some(logits) = session.forward(&input, cancel)? else {
            next.iter().for_each(|(i, _)| answers[*i].finish = Finish::Cancelled);
            break;
        };
        prefill_seconds.get_or_insert_with(|| start.elapsed().as_secs_f64());
        let mut going = Vec::with_capacity(next.len());
        for ((i, _), logits) in next.iter().zip(logits.chunks_exact(model.config.vocab)) {
            if let Some(token) = answers[*i].take(logits, &requests[*i], context, on_token, *i)? {
                going.push((*i, vec![token]));
            }
        }
        next = going;
    }
    let prefill_seconds = prefill_seconds.unwrap_or_else(|| start.elapsed().as_secs_f64());
    Ok(Generated {
        prompt_tokens,
        prefill_seconds,
        new_tokens: answers.iter().map(|a| a.history.len() - a.prompt + usize::from(a.stopped())).sum(),
        decode_seconds: start.elapsed().as_secs_f64() - prefill_seconds,
        completions: answers.into_iter().map(Answer::complete).collect(),
    })
}

fn check(request: &Request, context: usize) -> Result<()> {
    let n = request.tokens.len();
    if n == 0 {
        return Err(Error::Config("the prompt is empty: there is nothing to continue".into()));
    }
    if n >= context {
        return Err(Error::Config(format!(
            "the prompt has {n} tokens, which leaves no room in the model's context of {context}: shorten it"
        )));
    }
    Ok(())
}

/// One answer in the making.
struct Answer {
    sampler: Sampler,
    /// Prompt and answer.
    history: Vec<u32>,
    /// Tokens of the prompt.
    prompt: usize,
    finish: Finish,
}

impl Answer {
    fn new(request: &Request) -> Result<Answer> {
        Ok(Answer {
            sampler: Sampler::new(request.sampling.clone())?,
            history: request.tokens.clone(),
            prompt: request.tokens.len(),
            finish: Finish::Length,
        })
    }

    /// Chooses the next token; returns it when the answer goes on after it.
    fn take(
        &mut self,
        logits: &[f32],
        request: &Request,
        context: usize,
        on_token: &mut dyn FnMut(usize, u32) -> bool,
        index: usize,
    ) -> Result<Option<u32>> {
        let token = self.sampler.sample(logits, &self.history)?;
        if request.stop.contains(&token) {
            self.finish = Finish::Stop(token);
            return Ok(None);
        }
        self.history.push(token);
        if !on_token(index, token) {
            self.finish = Finish::Ended;
            return Ok(None);
        }
        if self.history.len() - self.prompt >= request.max_new_tokens {
            return Ok(None);
        }
        if self.history.len() >= context {
            self.finish = Finish::Context;
            return Ok(None);
        }
        Ok(Some(token))
    }

    fn stopped(&self) -> bool {
        matches!(self.finish, Finish::Stop(_))
    }

    fn complete(mut self) -> Completion {
        Completion { tokens: self.history.split_off(self.prompt), finish: self.finish }
    }
}
