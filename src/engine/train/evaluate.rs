//! The loss of rows that are not trained on.

use std::ops::Range;

use crate::engine::Result;
use crate::engine::data::{Batch, CutRow, Samples};
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
    samples: &Samples,
    workspace: &mut Workspace,
    more: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<RowLoss>> {
    let mut rows = Vec::with_capacity(samples.len());
    let size = workspace.layout().size.clone();
    for group in groups(samples.rows(), &size) {
        if !more(rows.len()) {
            break;
        }
        let members = group.clone().map(|i| samples.get(i)).collect::<Result<Vec<_>>>()?;
        let batch = Batch::of(&members);
        let nll = model.nll(&batch, adapter, workspace)?;
        let mut rest = &nll[..];
        for row in &samples.rows()[group] {
            let (own, others) = rest.split_at(row.supervised as usize);
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
fn groups(rows: &[CutRow], size: &WorkspaceSize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut tokens, mut supervised) = (0, 0);
    for (i, row) in rows.iter().enumerate() {
        tokens += row.tokens as usize;
        supervised += row.supervised as usize;
        match groups.last_mut() {
            Some(group) if tokens <= size.tokens && supervised <= size.supervised => group.end = i + 1,
            _ => {
                groups.push(i..i + 1);
                (tokens, supervised) = (row.tokens as usize, row.supervised as usize);
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
        let samples = [3, 4, 2, 9, 1, 1].map(|n| CutRow { row: 0, tokens: n, supervised: n - 1 });
        let size = WorkspaceSize { tokens: 8, longest: 9, supervised: 8 };
        assert_eq!(groups(&samples, &size), [0..2, 2..3, 3..4, 4..6]);
        assert!(groups(&[], &size).is_empty());
    }
}
