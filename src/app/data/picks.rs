//! Rows to look at: those that are cut, left out, repeated, odd; every one of each finding.

use std::collections::BTreeMap;

use super::findings::quoted;
use super::row_set::RowSet;
use crate::engine::Result;
use crate::engine::config::DataConfig;
use crate::engine::data::tokens::Summary;
use crate::engine::data::{Cut, Mark, Survey};

/// Which rows to go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pick {
    /// All of them.
    #[default]
    All,
    /// Not trained on, for whatever reason.
    LeftOut,
    /// Those for which this holds.
    Of(Mark),
}

impl Pick {
    /// Those that are always offered, in this order.
    pub const ALWAYS: [Pick; 5] =
        [Pick::All, Pick::Of(Mark::Cut), Pick::Of(Mark::EndCut), Pick::LeftOut, Pick::Of(Mark::Repeated)];

    /// What a list of them says.
    pub fn label(self, summary: &Summary, max_seq_len: usize) -> String {
        let usual = match self {
            Pick::All => "All rows",
            Pick::LeftOut => "Left out",
            Pick::Of(Mark::Cut) => "Cut",
            Pick::Of(Mark::EndCut) => "Answer loses its end",
            Pick::Of(Mark::Repeated) => "Repeated",
            Pick::Of(mark) => {
                let text = crate::app::gate::sentence(&quoted(&mark.words(summary, max_seq_len)));
                return text.trim_end_matches('.').to_string();
            }
        };
        usual.to_string()
    }

    /// One sentence of help.
    pub fn help(self) -> &'static str {
        match self {
            Pick::All => "Every row that can be read.",
            Pick::LeftOut => "Rows that are not trained on; each says why.",
            Pick::Of(Mark::Cut) => "Rows that are longer than the maximum length.",
            Pick::Of(Mark::EndCut) => "Rows whose last answer is cut before it ends.",
            Pick::Of(Mark::Repeated) => "Rows that say the same as an earlier one.",
            Pick::Of(Mark::LeftOut(_)) => "Rows that are not trained on for this reason.",
            Pick::Of(Mark::Fault(_)) => "Rows whose mask, when it was checked a second time, had this fault.",
            Pick::Of(Mark::Odd(_)) => "Conversations that are unusual in this way.",
        }
    }

    fn is_reason(self) -> bool {
        matches!(self, Pick::Of(Mark::LeftOut(_)))
    }

    /// Whether it means the same after the rows were read in another way.
    pub(super) fn outlives_reading(self) -> bool {
        Pick::ALWAYS.contains(&self)
    }
}

/// The rows of each kind. Made once for a choice of settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Picks {
    marked: BTreeMap<Mark, RowSet>,
    left_out: RowSet,
    none: RowSet,
}

impl Picks {
    pub(super) fn of(survey: &Survey, cut: &Cut, settings: &DataConfig) -> Result<Picks> {
        let all = survey.train.len();
        let mut picks = Picks { left_out: RowSet::new(all), ..Picks::default() };
        survey.marks(cut, settings, &mut |mark, row| {
            picks.marked.entry(mark).or_insert_with(|| RowSet::new(all)).push(row);
            if matches!(mark, Mark::LeftOut(_)) {
                picks.left_out.push(row);
            }
        })?;
        Ok(picks)
    }

    /// What can be gone through: what is always offered, then every other thing that was found.
    pub fn offered(&self) -> Vec<Pick> {
        let one_reason = self.marked.keys().filter(|mark| matches!(mark, Mark::LeftOut(_))).count() < 2;
        let found = self.marked.keys().map(|mark| Pick::Of(*mark));
        // One reason is all that are left out.
        let is_named = |pick: &Pick| Pick::ALWAYS.contains(pick) || (one_reason && pick.is_reason());
        Pick::ALWAYS.into_iter().chain(found.filter(|pick| !is_named(pick))).collect()
    }

    /// The rows of a kind; none for all.
    pub fn rows(&self, pick: Pick) -> Option<&RowSet> {
        match pick {
            Pick::All => None,
            Pick::LeftOut => Some(&self.left_out),
            Pick::Of(mark) => Some(self.marked.get(&mark).unwrap_or(&self.none)),
        }
    }

    /// Why a row is not trained on.
    pub fn why_left_out(&self, survey: &Survey, settings: &DataConfig, row: usize) -> Option<String> {
        if !self.left_out.contains(row) {
            return None;
        }
        let of_row =
            |(mark, rows): (&Mark, &RowSet)| (matches!(mark, Mark::LeftOut(_)) && rows.contains(row)).then_some(*mark);
        let mark = self.marked.iter().find_map(of_row)?;
        Some(quoted(&mark.words(&survey.train.summary, settings.max_seq_len)))
    }
}
