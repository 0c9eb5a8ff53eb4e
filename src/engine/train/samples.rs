//! Answers to the user's prompts while training: the adapted model as it is now beside the base.

use super::Control;
use super::setup::Setup;
use crate::engine::Result;
use crate::engine::data::{Encoder, Message};
use crate::engine::generate::{Request, Sampling, generate};

/// Enough to hear how the model speaks, few enough not to hold the run up.
pub const SAMPLE_TOKENS: usize = 80;

/// The prompts as tokens, and what the base model answers: that never changes during a run.
pub(super) struct Samples {
    requests: Vec<Request>,
    base: Option<Vec<String>>,
}

impl Samples {
    /// Renders the prompts with the run's chat template. Answers are greedy, so that only training changes them.
    pub fn new(prompts: &[String], template: &str, setup: &Setup) -> Result<Samples> {
        let context = setup.model.config.max_positions;
        let encoder = Encoder::with_template(&setup.tokenizer, template, jiff::ZonedDateTime::now())?;
        let stop = encoder.stop_tokens(&setup.model.config.eos);
        let request = |prompt: &String| {
            let tokens = encoder.prompt(&[Message::user(prompt.clone())], true)?;
            let max_new_tokens = SAMPLE_TOKENS.min(context.saturating_sub(tokens.len()));
            Ok(Request { tokens, adapted: false, max_new_tokens, sampling: Sampling::greedy(), stop: stop.clone() })
        };
        Ok(Samples { requests: prompts.iter().map(request).collect::<Result<_>>()?, base: None })
    }

    /// Base and adapted answer to each prompt, in their order; fewer when the run is being stopped.
    pub fn answer(&mut self, setup: &Setup, control: &Control) -> Result<Vec<(String, String)>> {
        if self.base.is_none() {
            self.base = self.all(false, setup, control)?;
        }
        let adapted = self.all(true, setup, control)?;
        let (Some(base), Some(adapted)) = (&self.base, adapted) else { return Ok(Vec::new()) };
        Ok(base.iter().cloned().zip(adapted).collect())
    }

    /// All prompts in one batch; `None` when it was cancelled.
    fn all(&self, adapted: bool, setup: &Setup, control: &Control) -> Result<Option<Vec<String>>> {
        let requests: Vec<Request> = self.requests.iter().map(|r| Request { adapted, ..r.clone() }).collect();
        let adapter = adapted.then_some(&setup.adapter);
        let answers = generate(&setup.model, adapter, &requests, &mut |_, _| {}, control.cancelled())?;
        if control.cancelled().load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(None);
        }
        let text = |c: &crate::engine::generate::Completion| setup.tokenizer.decode(&c.tokens, true);
        answers.completions.iter().map(text).collect::<Result<_>>().map(Some)
    }
}
