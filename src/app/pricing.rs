//! What the run being prepared will take: memory by item, and how much of the model is trained. Recomputed with every
//! change, in the same frame.

use super::data::DataInfo;
use super::model::ModelInfo;
use super::shared::Shared;
use crate::engine::config::RunConfig;
use crate::engine::memory::fit::{self, Offer};
use crate::engine::memory::{Inputs, Item, Phase, Plan, Program};
use crate::engine::peft::AdapterShape;

/// Steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// In one pass over the rows.
    pub per_epoch: usize,
    /// In the whole run.
    pub total: usize,
    /// Tokens that go through the model in the whole run.
    pub tokens: u64,
}

impl Steps {
    /// The steps of `run` over these rows.
    fn of(run: &RunConfig, rows: &DataInfo) -> Option<Steps> {
        let train = &run.train;
        let tokens = rows.report.train.tokens;
        let per_epoch = rows.steps_per_epoch(train);
        if per_epoch == 0 {
            return None;
        }
        let total = train.total_steps(per_epoch);
        Some(Steps { per_epoch, total, tokens: (tokens as f64 * total as f64 / per_epoch as f64) as u64 })
    }
}

/// The price of the draft.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pricing {
    /// Bytes by item where the most is needed, in the order in which they are stacked.
    pub items: Vec<(Item, u64)>,
    /// Where the most is needed.
    pub peak: Option<Phase>,
    /// What would make the run fit, when it does not.
    pub fix: Option<Offer>,
    /// What would save memory, cheapest first.
    pub smaller: Vec<Offer>,
    /// What would make it faster and still fits, fastest first.
    pub faster: Vec<Offer>,
    /// Numbers that would be trained.
    pub trainable: u64,
    /// Numbers of model and adapter.
    pub total: u64,
    /// Steps that the draft makes, once the rows are known.
    pub steps: Option<Steps>,
    /// Layers that keep their forward for the backward, of how many.
    pub kept_layers: (usize, usize),
    /// Bytes that a new program could take on the device.
    pub available: u64,
    /// Why there is no price.
    pub problem: Option<String>,
}

impl Pricing {
    /// Prices the draft; `adapter` is the one that it continues from.
    pub fn of(
        shared: &Shared,
        model: Option<&ModelInfo>,
        rows: Option<&DataInfo>,
        adapter: Option<&AdapterShape>,
    ) -> Pricing {
        let mut pricing = Self::of_run(&shared.run, shared, model, rows, adapter);
        if let Some(model) = model.filter(|_| pricing.problem.is_none()) {
            let inputs = inputs(shared, model, rows, adapter);
            pricing.fix = fit::make_it_fit(&inputs, &shared.run);
            pricing.smaller = fit::smaller_runs(&inputs, &shared.run);
            if pricing.fits() {
                pricing.faster = fit::make_it_faster(&inputs, &shared.run);
            }
        }
        pricing
    }

    /// Prices a run that may differ from the draft.
    pub fn of_run(
        run: &RunConfig,
        shared: &Shared,
        model: Option<&ModelInfo>,
        rows: Option<&DataInfo>,
        adapter: Option<&AdapterShape>,
    ) -> Pricing {
        let available = shared.device.available_bytes;
        let nothing = |problem: String| Pricing { available, problem: Some(problem), ..Pricing::default() };
        let Some(model) = model else { return nothing("known when a model is open".into()) };
        match Plan::price(&inputs(shared, model, rows, adapter), run) {
            Err(error) => nothing(error.to_string()),
            Ok(price) => Pricing {
                steps: rows.and_then(|rows| Steps::of(run, rows)),
                kept_layers: (price.kept_layers(), model.config.layers.len()),
                items: price.plan.items(),
                peak: Some(price.plan.peak_phase()),
                fix: None,
                smaller: Vec::new(),
                faster: Vec::new(),
                trainable: price.trainable_parameters,
                total: price.total_parameters,
                available,
                problem: None,
            },
        }
    }

    /// All items.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|(_, bytes)| bytes).sum()
    }

    /// One item.
    pub fn of_item(&self, item: Item) -> u64 {
        self.items.iter().filter(|(found, _)| *found == item).map(|(_, bytes)| bytes).sum()
    }

    /// Whether it fits into what is free.
    pub fn fits(&self) -> bool {
        self.bytes() <= self.available
    }
}

/// What the draft's price is made from. What the program holds already is not among what is free.
fn inputs<'a>(
    shared: &Shared,
    model: &'a ModelInfo,
    rows: Option<&'a DataInfo>,
    adapter: Option<&'a AdapterShape>,
) -> Inputs<'a> {
    Inputs {
        model: &model.config,
        stored: &model.stored,
        adapter,
        rows: rows.map(|r| &r.shape),
        available_bytes: shared.device.available_bytes,
        program: Program::default(),
        machine: shared.machine,
    }
}
