//! How far the adapted model is from its base over an answer: the Kullback–Leibler divergence of their next-token
//! distributions (Kullback and Leibler 1951), token by token.
//!
//! For the position before a token, with logits a (adapted) and b (base): KL(p_a ‖ p_b) = Σ p_a · (ln p_a − ln p_b), in
//! nats. It is 0 where the two models say the same, and there alone.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use crate::engine::data::{Batch, Sample};
use crate::engine::model::{Model, Workspace, WorkspaceSize};
use crate::engine::peft::Adapter;
use crate::engine::{Error, Result};

/// Bytes of logits that exist at a time, of each of the two.
const CHUNK_BYTES: usize = 16 << 20;

/// The two models at one token of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenDivergence {
    /// The token.
    pub token: u32,
    /// KL(adapted ‖ base) of the distributions that it was chosen from, in nats.
    pub kl: f64,
    /// Probability that the base model gives it, 0 to 1.
    pub base: f64,
    /// Probability that the adapted model gives it, 0 to 1.
    pub adapted: f64,
    /// The two models' likeliest tokens are not the same.
    pub greedy_differs: bool,
}

/// The two models over an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Divergence {
    /// One a token of the answer, in order.
    pub tokens: Vec<TokenDivergence>,
}

impl Divergence {
    /// Mean of the tokens' KL, in nats a token; 0 without tokens.
    pub fn mean_kl(&self) -> f64 {
        self.tokens.iter().map(|t| t.kl).sum::<f64>() / self.tokens.len().max(1) as f64
    }

    /// Share of tokens at which the models' likeliest tokens differ, 0 to 1.
    pub fn greedy_share(&self) -> f64 {
        let differ = self.tokens.iter().filter(|t| t.greedy_differs).count();
        differ as f64 / self.tokens.len().max(1) as f64
    }
}

/// Goes through `prompt` and `answer` with the base and with the adapted model, and compares their distributions at each
/// token of the answer, before any temperature. `None` when `cancel` was set meanwhile.
pub fn divergence(
    model: &Model,
    adapter: &Adapter,
    prompt: &[u32],
    answer: &[u32],
    cancel: &AtomicBool,
) -> Result<Option<Divergence>> {
    if prompt.is_empty() {
        return Err(Error::Other("there is no prompt before the answer to compare".into()));
    }
    if answer.is_empty() {
        return Ok(Some(Divergence::default()));
    }
    // The last token predicts nothing that is compared.
    let tokens: Vec<u32> = prompt.iter().chain(&answer[..answer.len() - 1]).copied().collect();
    let context = model.config.max_positions;
    if tokens.len() > context {
        let message = format!("{} tokens do not fit the model's context of {context} tokens", tokens.len());
        return Err(Error::Other(message));
    }
    let trained = vec![false; tokens.len()];
    let positions: Vec<usize> = (prompt.len() - 1..tokens.len()).collect();
    let sample = Sample { tokens, trained, row: 0 };
    let batch = Batch::of([&sample]);
    let size = WorkspaceSize { tokens: sample.tokens.len(), longest: sample.tokens.len(), supervised: 0 };
    let mut ws = Workspace::for_inference(model, Some(adapter), size);
    let Some(base) = model.last_hidden(&batch, None, &positions, &mut ws, cancel)? else { return Ok(None) };
    let Some(adapted) = model.last_hidden(&batch, Some(adapter), &positions, &mut ws, cancel)? else {
        return Ok(None);
    };
    drop(ws);

    let (h, vocab) = (model.config.hidden, model.config.vocab);
    let rows = (CHUNK_BYTES / (4 * vocab)).max(1);
    let mut compared = Vec::with_capacity(answer.len());
    for ((base, adapted), answer) in base.chunks(rows * h).zip(adapted.chunks(rows * h)).zip(answer.chunks(rows)) {
        let (base, adapted) = (model.head_logits(base), model.head_logits(adapted));
        let pairs = base.par_chunks_exact(vocab).zip(adapted.par_chunks_exact(vocab)).zip(answer);
        compared.par_extend(pairs.map(|((b, a), token)| at_token(a, b, *token)));
    }
    if let Some(bad) = compared.iter().find(|t| !t.kl.is_finite()) {
        let message =
            format!("the models' answer to token {} is not a number: weights or adapter are damaged", bad.token);
        return Err(Error::Other(message));
    }
    Ok(Some(Divergence { tokens: compared }))
}

/// One position; logits of the adapted and the base model, `[vocab]`.
fn at_token(adapted: &[f32], base: &[f32], token: u32) -> TokenDivergence {
    let (za, zb) = (log_sum_exp(adapted), log_sum_exp(base));
    let kl: f64 = adapted
        .iter()
        .zip(base)
        .map(|(&a, &b)| {
            let (ln_a, ln_b) = (f64::from(a) - za, f64::from(b) - zb);
            // A token that the adapted model rules out adds nothing: x·ln x → 0.
            if ln_a == f64::NEG_INFINITY { 0.0 } else { ln_a.exp() * (ln_a - ln_b) }
        })
        .sum();
    TokenDivergence {
        token,
        // Rounding of a sum of terms of both signs can leave it a hair below.
        kl: if kl < 0.0 { 0.0 } else { kl },
        base: (f64::from(base[token as usize]) - zb).exp(),
        adapted: (f64::from(adapted[token as usize]) - za).exp(),
        greedy_differs: argmax(adapted) != argmax(base),
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln()
}

/// Of equals the first, as the greedy sampler chooses.
fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, z) in logits.iter().enumerate() {
        if *z > logits[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::{Embeddings, Quantization};
    use crate::engine::formats;
    use crate::engine::model::LoadOptions;
    use crate::engine::ops::Compute;
    use crate::engine::peft::LoraConfig;

    static GO: AtomicBool = AtomicBool::new(false);

    fn tiny() -> Model {
        let source = formats::open_named("builtin:tiny-chat").unwrap();
        let options = LoadOptions {
            quantization: Quantization::None,
            double_quant: false,
            compute: Compute::F32,
            embeddings: Embeddings::Memory,
        };
        Model::load(&source, &options, &mut |_, _| true).unwrap()
    }

    fn adapter(model: &Model, b: f32) -> Adapter {
        let targets = LoraConfig::targets(&model.config, &["all-linear"]).unwrap();
        let config = LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets };
        let mut adapter = Adapter::new(&model.config, config, 3).unwrap();
        for m in adapter.modules.clone() {
            for (i, x) in adapter.params[m.b_range()].iter_mut().enumerate() {
                *x = b * ((i * 7 % 13) as f32 - 6.0);
            }
        }
        adapter
    }

    #[test]
    fn it_is_the_definition_in_f64() {
        let model = tiny();
        let adapter = adapter(&model, 0.004);
        let (prompt, answer) = ([5u32, 90, 17, 31], [44u32, 2, 301, 44, 8, 120]);
        let got = divergence(&model, &adapter, &prompt, &answer, &GO).unwrap().unwrap();
        assert_eq!(got.tokens.len(), answer.len());

        // Each position by itself, from the logits of a forward of its own.
        let tokens: Vec<u32> = prompt.iter().chain(&answer).copied().collect();
        let mut largest = 0.0f64;
        for (i, t) in got.tokens.iter().enumerate() {
            let seen = prompt.len() + i;
            let logits = |adapter: Option<&Adapter>| {
                let sample = Sample { tokens: tokens[..seen].to_vec(), trained: vec![false; seen], row: 0 };
                let mut ws = Workspace::for_inference(&model, adapter, WorkspaceSize::any(seen));
                let logits = model.logits(&Batch::of([&sample]), adapter, &[seen - 1], &mut ws).unwrap();
                let sum: f64 = logits.iter().map(|z| f64::from(*z).exp()).sum();
                logits.into_iter().map(|z| f64::from(z).exp() / sum).collect::<Vec<f64>>()
            };
            let (p, q) = (logits(Some(&adapter)), logits(None));
            let kl: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            largest = largest.max(kl);
            assert!((t.kl - kl).abs() < 1e-5 * (1.0 + kl), "token {i}: {} against {kl}", t.kl);
            assert!((t.base - q[answer[i] as usize]).abs() < 1e-5);
            assert!((t.adapted - p[answer[i] as usize]).abs() < 1e-5);
            let likeliest = |p: &[f64]| (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
            assert_eq!(t.greedy_differs, likeliest(&p) != likeliest(&q), "token {i}");
            assert_eq!(t.token, answer[i]);
        }
        assert!(largest > 1e-3, "the adapter changes too little to show anything: {largest}");
        let mean = got.tokens.iter().map(|t| t.kl).sum::<f64>() / 6.0;
        assert_eq!(got.mean_kl(), mean);
    }

    #[test]
    fn an_adapter_whose_b_is_zero_differs_in_nothing() {
        let model = tiny();
        let got = divergence(&model, &adapter(&model, 0.0), &[7, 8, 9], &[10, 11, 12], &GO).unwrap().unwrap();
        assert_eq!((got.mean_kl(), got.greedy_share()), (0.0, 0.0));
        assert!(got.tokens.iter().all(|t| t.base == t.adapted));
    }

    #[test]
    fn cancelled_it_says_nothing_and_an_empty_answer_has_no_tokens() {
        let model = tiny();
        let adapter = adapter(&model, 0.01);
        assert_eq!(divergence(&model, &adapter, &[7], &[10], &AtomicBool::new(true)).unwrap(), None);
        assert_eq!(divergence(&model, &adapter, &[7], &[], &GO).unwrap(), Some(Divergence::default()));
        assert!(divergence(&model, &adapter, &[], &[10], &GO).is_err());
        let long = vec![7; model.config.max_positions];
        assert!(divergence(&model, &adapter, &long, &[10, 11], &GO).unwrap_err().to_string().contains("context"));
    }
}
