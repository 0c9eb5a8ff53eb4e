//! Choosing the next token from the logits.
//!
//! The order of transformers' `generate`: repetition penalty, temperature, top-k, top-p, then a draw. The arithmetic after
//! the logits is `f64`.

use crate::engine::ops::random::{split_mix64, uniform};
use crate::engine::{Error, Result};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token (greedy).
    pub temperature: f64,
    /// Only the so many likeliest tokens; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1: all.
    pub top_p: f64,
    /// Makes tokens that occurred less likely (Keskar et al. 2019); 1: off.
    pub repetition_penalty: f64,
    /// The same seed and the same logits give the same tokens.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Config(message));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse(format!("temperature is {}: it must be 0 (greedy) or more", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse(format!("top_p is {}: it must be above 0 and at most 1", self.top_p));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return refuse(format!("repetition_penalty is {}: it must be above 0", self.repetition_penalty));
        }
        Ok(())
    }
}

/// Chooses the tokens of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    /// Key of the draws: of the seed's bits mixed, so that neighbouring seeds are not one stream a step apart.
    stream: u64,
    /// Tokens chosen so far: which draw comes next.
    drawn: u64,
    /// Buffers, kept between tokens: logits after the penalty, (weight, token) pairs, which tokens occurred.
    scores: Vec<f32>,
    candidates: Vec<(f64, u32)>,
    seen: Vec<bool>,
}

impl Sampler {
    /// A sampler at the beginning of a sequence.
    pub fn new(sampling: Sampling) -> Result<Sampler> {
        sampling.validate()?;
        let stream = split_mix64(sampling.seed, 0);
        Ok(Sampler { sampling, stream, drawn: 0, scores: Vec::new(), candidates: Vec::new(), seen: Vec::new() })
    }

    /// The next token for `logits` `[vocab]`; `history` are the tokens before it, prompt included.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32> {
        if let Some(i) = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY) {
            return Err(Error::Other(format!(
                "the model's logit of token {i} is {}: its weights or its adapter are damaged",
                logits[i]
            )));
        }
        let draw = self.drawn;
        self.drawn += 1;
        let mut scores = std::mem::take(&mut self.scores);
        scores.clear();
        scores.extend_from_slice(logits);
        self.penalize(&mut scores, history);
        let token = match self.sampling.temperature {
            0.0 => argmax(&scores),
            temperature => {
                self.distribution(&scores, temperature);
                choose(&mut self.candidates, uniform(self.stream, draw))
            }
        };
        self.scores = scores;
        Ok(token)
    }

    /// Each token that occurred, once: a positive logit is divided by the penalty, a negative one multiplied.
    fn penalize(&mut self, scores: &mut [f32], history: &[u32]) {
        let penalty = self.sampling.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        self.seen.clear();
        self.seen.resize(scores.len(), false);
        for &token in history {
            let token = token as usize;
            if token < scores.len() && !std::mem::replace(&mut self.seen[token], true) {
                let x = &mut scores[token];
                *x = if *x < 0.0 { *x * penalty } else { *x / penalty };
            }
        }
    }

    /// Leaves in `candidates` the tokens that can be drawn; their weights need not sum to one.
    fn distribution(&mut self, scores: &[f32], temperature: f64) {
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(scores.iter().enumerate().map(|(i, x)| (f64::from(*x) / temperature, i as u32)));
        top_k(candidates, self.sampling.top_k);
        softmax(candidates);
        top_p(candidates, self.sampling.top_p);
    }
}

/// The token of the greatest logit; of several, the first.
fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, x) in logits.iter().enumerate() {
        if *x > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// Keeps the `k` greatest, and what ties with the last of them.
fn top_k(candidates: &mut Vec<(f64, u32)>, k: usize) {
    if k == 0 || k >= candidates.len() {
        return;
    }
    let (_, kth, _) = candidates.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
    let threshold = kth.0;
    candidates.retain(|c| c.0 >= threshold);
}

/// Turns scores into probabilities.
fn softmax(candidates: &mut [(f64, u32)]) {
    let max = candidates.iter().fold(f64::NEG_INFINITY, |m, c| m.max(c.0));
    let mut sum = 0.0;
    for c in candidates.iter_mut() {
        // All −∞ (a model that forbids everything) stays uniform rather than NaN.
        c.0 = if max.is_finite() { (c.0 - max).exp() } else { 1.0 };
        sum += c.0;
    }
    candidates.iter_mut().for_each(|c| c.0 /= sum);
}

/// Keeps the likeliest that reach probability `p` together: a token stays when those less likely than it, and itself, have
/// more than 1 − p. The likeliest always stays.
fn top_p(candidates: &mut Vec<(f64, u32)>, p: f64) {
    if p >= 1.0 || candidates.len() < 2 {
        return;
    }
    // Tokens below this have less than 1 − p all together: no need to sort them.
    let floor = (1.0 - p) / candidates.len() as f64;
    let mut tail: f64 = candidates.iter().map(|c| c.0).filter(|q| *q < floor).sum();
    candidates.retain(|c| c.0 >= floor);
    // Ascending; of equals the earlier token counts as the likelier.
    candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let last = candidates.len().saturating_sub(1);
    let mut cut = 0;
    for (i, c) in candidates[..last].iter().enumerate() {
        tail += c.0;
        if tail > 1.0 - p {
            break;
        }
        cut = i + 1;
    }
    candidates.drain(..cut);
}

/// The candidate at `u` of the way through their probabilities, in the order of tokens.
fn choose(candidates: &mut [(f64, u32)], u: f64) -> u32 {
    candidates.sort_unstable_by_key(|c| c.1);
    let mut left = u * candidates.iter().map(|c| c.0).sum::<f64>();
    for c in candidates.iter() {
        left -= c.0;
        if left < 0.0 {
            return c.1;
        }
    }
    // Rounding at the very end: the last one that can occur.
    candidates.iter().rev().find(|c| c.0 > 0.0).map_or(0, |c| c.1)
}

#[cfg(test)]
mod tests;
