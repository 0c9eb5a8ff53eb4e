//! The loss of rows that are not trained on.

use std::ops::Range;

use crate::engine::Result;
use crate::engine::data::{Batch, Sample};
use crate::engine::model::{Model, Workspace, WorkspaceSize};
use crate::engine::peft::Adapter;

/// The loss of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLoss {
    /// Predicted tokens that count.
    pub tokens: usize,
    /// Sum of their negative log-likelihoods, in nats.
    pub nll: f64,
}

/// The loss of each sample, in order. Samples go through the model as many at a time as the workspace holds; `more` is
/// asked before each batch, with the number of rows done, and ends the evaluation early when it returns false.
pub fn evaluate(
    model: &Model,
    adapter: Option<&Adapter>,
    samples: &[Sample],
    workspace: &mut Workspace,
    more: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<RowLoss>> {
    let mut rows = Vec::with_capacity(samples.len());
    let size = workspace.layout().size.clone();
    for group in groups(samples, &size) {
        if !more(rows.len()) {
            break;
        }
        let batch = Batch::of(&samples[group.clone()]);
        let nll = model.nll(&batch, adapter, workspace)?;
        let mut rest = &nll[..];
        for sample in &samples[group] {
            let (own, others) = rest.split_at(sample.supervised());
            rows.push(RowLoss { tokens: own.len(), nll: own.iter().map(|&x| f64::from(x)).sum() });
            rest = others;
        }
    }
    Ok(rows)
}

/// Mean over the tokens of all rows, in nats.
pub fn mean_loss(rows: &[RowLoss]) -> f64 {
    let tokens: usize = rows.iter().map(|r| r.tokens).sum();
    rows.iter().map(|r| r.nll).sum::<f64>() / tokens.max(1) as f64
}

/// Consecutive samples that fit a workspace of that size together; a sample that alone is too large stays alone.
fn groups(samples: &[Sample], size: &WorkspaceSize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut tokens, mut supervised) = (0, 0);
    for (i, sample) in samples.iter().enumerate() {
        tokens += sample.tokens.len();
        supervised += sample.supervised();
        match groups.last_mut() {
            Some(group) if tokens <= size.tokens && supervised <= size.supervised => group.end = i + 1,
            _ => {
                groups.push(i..i + 1);
                (tokens, supervised) = (sample.tokens.len(), sample.supervised());
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fill_the_workspace_and_lose_no_row() {
        let sample = |n: usize| Sample { tokens: vec![1; n], trained: vec![true; n], row: 0 };
        let samples: Vec<_> = [3, 4, 2, 9, 1, 1].map(sample).into();
        let size = WorkspaceSize { tokens: 8, longest: 9, supervised: 8 };
        assert_eq!(groups(&samples, &size), [0..2, 2..3, 3..4, 4..6]);
        assert!(groups(&[], &size).is_empty());
    }
}
