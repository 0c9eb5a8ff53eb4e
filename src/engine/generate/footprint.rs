//! What a conversation takes of the memory, before the model is loaded.

use smallvec::smallvec;

use crate::engine::formats::StoredWeights;
use crate::engine::model::{KvCache, Layout, LoadOptions, ModelConfig, PIECE, WorkspaceSize};
use crate::engine::ops::Compute;
use crate::engine::ops::attention::{self, Segment};
use crate::engine::ops::gemm::scratch::Kept;
use crate::engine::ops::gemm::{self, SumTakes, ThroughRank};
use crate::engine::ops::rope::RopeTable;
use crate::engine::peft::lora::AdapterShape;

/// Bytes of a conversation, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The model as it will lie in memory.
    pub weights: u64,
    /// A and B of every adapted linear, as they are and as single tokens read them.
    pub adapter: u64,
    /// Keys and values of the conversation so far.
    pub cache: u64,
    /// Buffers of the layer being computed, and logits.
    pub buffers: u64,
}

impl Footprint {
    /// `sequences` conversations of `tokens` tokens each, beside an adapter of `parameters` numbers (0: none), with so many
    /// threads. Beside an adapter it is priced what computing how the two models differ takes: one pass over the whole.
    pub fn of(
        model: &ModelConfig,
        stored: &StoredWeights,
        options: &LoadOptions,
        parameters: u64,
        (sequences, tokens): (usize, usize),
        threads: usize,
    ) -> Footprint {
        let tokens = tokens.min(model.max_positions);
        let cache = KvCache::bytes_of(model, options.compute, sequences * KvCache::room(tokens));
        let buffers = if parameters == 0 {
            pass_bytes(model, sequences, (tokens, tokens), 0)
                + Self::of_a_prompt(model, options.compute, (tokens, tokens), threads) as usize
        } else {
            let size = WorkspaceSize { tokens, longest: tokens, supervised: 0 };
            let layout = Layout::for_inference(model, options.compute, None, size);
            let logits = (2 * sequences + 1) * model.vocab * size_of::<f32>();
            layout.activation_bytes() + layout.scratch_bytes() + logits
        };
        Footprint {
            weights: options.loaded_bytes(stored),
            adapter: parameters * size_of::<f32>() as u64 + laid_out(parameters, options.compute),
            cache: cache as u64,
            buffers: buffers as u64,
        }
    }

    /// Bytes of a session of `sequences` prompts of `tokens` tokens each and as many answers of `new`: keys and values,
    /// and buffers, the adapter as single tokens read it among them.
    pub fn session(
        model: &ModelConfig,
        adapter: &AdapterShape,
        compute: Compute,
        (sequences, tokens, new): (usize, usize, usize),
    ) -> (u64, u64) {
        if sequences == 0 || tokens == 0 {
            return (0, 0);
        }
        let cache = KvCache::bytes_of(model, compute, sequences * KvCache::room(tokens + new));
        let buffers = pass_bytes(model, sequences, (tokens, tokens + new), adapter.widest_rank());
        (cache as u64, buffers as u64 + laid_out(adapter.parameters, compute))
    }

    /// Bytes that the products of a prompt of `new` tokens keep, which sees `all` of its conversation: keys and values in
    /// panels, blocks of scores, packed operands. A run's steps have as much.
    pub fn of_a_prompt(model: &ModelConfig, compute: Compute, (new, all): (usize, usize), threads: usize) -> u64 {
        let pass = new.min(PIECE).min(all);
        let shape = model.attention_shape(compute);
        let mut kept = Kept::new(threads);
        attention::forward_takes(&shape, &[Segment { q: 0..pass, k: 0..all }], &mut kept);
        let down = SumTakes { cols: model.hidden, depths: smallvec![model.intermediate], block: 1 };
        gemm::product_takes(gemm::kernel(compute), pass, down, &mut kept, threads);
        kept.bytes() as u64
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.adapter + self.cache + self.buffers
    }
}

/// Buffers of a pass over the largest piece of `sequences` prompts with an adapter of that rank, logits, and rotary tables for
/// `(prompt, all)` tokens.
fn pass_bytes(model: &ModelConfig, sequences: usize, (prompt, all): (usize, usize), rank: usize) -> usize {
    let columns = 2 * model.hidden + model.qkv_width() + model.q_width() + 3 * model.intermediate + rank;
    let post = if model.post_norms { model.hidden } else { 0 };
    let logits = 2 * sequences * model.vocab;
    let positions = all.next_power_of_two().clamp(256, model.max_positions.max(256));
    let ropes: usize = model.ropes.iter().map(|r| RopeTable::bytes_of(r, positions)).sum();
    let pass = (sequences * prompt).min(PIECE);
    (pass * (columns + post) + logits) * size_of::<f32>() + ropes
}

/// Bytes of an adapter of so many numbers as single tokens read it.
fn laid_out(parameters: u64, compute: Compute) -> u64 {
    ThroughRank::bytes_of(gemm::kernel(compute), parameters)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::engine::config::ModelSection;
    use crate::engine::formats;
    use crate::engine::model::{Model, Session};

    #[test]
    fn it_is_what_the_model_and_a_session_hold() {
        let source = formats::open_named("builtin:tiny-chat").unwrap();
        let stored = StoredWeights::of(&source).unwrap();
        let options = LoadOptions::of_run(&ModelSection::default());
        let model = Model::load(&source, &options, &mut |_, _| true).unwrap();
        let price = Footprint::of(&source.config, &stored, &options, 1000, (2, 256), 2);
        assert_eq!((price.weights, price.adapter), (model.bytes() as u64, 4000 + laid_out(1000, Compute::Bf16)));
        let mut session = Session::new(&model, None, &[false, false]).unwrap();
        let tokens = vec![7; 256];
        session.forward(&[(0, &tokens), (1, &tokens)], &AtomicBool::new(false)).unwrap();
        assert_eq!(price.cache, session.cache_bytes() as u64);
        assert!(price.buffers > 0 && price.total() > price.weights);
    }

    #[test]
    fn a_cache_grows_to_what_was_priced_in_whatever_steps() {
        let source = formats::open_named("builtin:tiny-chat").unwrap();
        let stored = StoredWeights::of(&source).unwrap();
        let options = LoadOptions::of_run(&ModelSection::default());
        let mut model = Model::load(&source, &options, &mut |_, _| true).unwrap();
        model.config.max_positions = 4096;
        for steps in [&[3000][..], &[256, 2744], &[600, 100, 2299, 1], &[1, 2999]] {
            let mut session = Session::new(&model, None, &[false]).unwrap();
            for n in steps {
                session.forward(&[(0, &vec![7; *n])], &AtomicBool::new(false)).unwrap();
            }
            let price = Footprint::of(&model.config, &stored, &options, 0, (1, 3000), 2);
            assert_eq!(price.cache, session.cache_bytes() as u64, "{steps:?}");
        }
    }
}
