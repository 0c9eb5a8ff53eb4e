//! Rows to look at: those that are cut, left out, repeated, odd.

use crate::engine::Result;
use crate::engine::config::DataConfig;
use crate::engine::data::{Cut, Survey};

use super::findings::{Found, plain};

/// Which rows to go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pick {
    /// All of them.
    #[default]
    All,
    /// Longer than the maximum.
    Cut,
    /// Cut before their last answer ends.
    EndCut,
    /// Not trained on.
    LeftOut,
    /// Say the same as an earlier one.
    Repeated,
    /// The example of each finding.
    Odd,
}

impl Pick {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Pick; 6] = [Pick::All, Pick::Cut, Pick::EndCut, Pick::LeftOut, Pick::Repeated, Pick::Odd];

    /// What a list of them says.
    pub fn label(self) -> &'static str {
        match self {
            Pick::All => "All rows",
            Pick::Cut => "Cut",
            Pick::EndCut => "Answer loses its end",
            Pick::LeftOut => "Left out",
            Pick::Repeated => "Repeated",
            Pick::Odd => "Odd ones",
        }
    }

    /// One sentence of help.
    pub fn help(self) -> &'static str {
        match self {
            Pick::All => "Every row that can be read.",
            Pick::Cut => "Rows that are longer than the maximum length.",
            Pick::EndCut => "Rows whose last answer is cut before it ends.",
            Pick::LeftOut => "Rows that are not trained on; each says why.",
            Pick::Repeated => "Rows that say the same as an earlier one.",
            Pick::Odd => "An example of each thing that was found.",
        }
    }
}

/// The rows of each kind, in the file's order. Made once for a choice of settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Picks {
    cut: Vec<u32>,
    end_cut: Vec<u32>,
    left_out: Vec<u32>,
    repeated: Vec<u32>,
    odd: Vec<u32>,
}

impl Picks {
    pub(super) fn of(survey: &Survey, cut: &Cut, settings: &DataConfig, found: &[Found]) -> Result<Picks> {
        let rows = &survey.train;
        let mut kept = vec![false; rows.len()];
        // With a validation file, those rows are not of this one.
        let held = if survey.validation.is_some() { &[][..] } else { cut.validation.as_slice() };
        for row in cut.train.iter().chain(held) {
            kept[row.row as usize] = true;
        }
        let repeats = rows.duplicates()? > 0;
        let mut picks = Picks::default();
        rows.each(|index, record| {
            let row = index as u32;
            if !kept[index] {
                picks.left_out.push(row);
            } else if record.tokens as usize > settings.max_seq_len {
                picks.cut.push(row);
                if record.last as usize > settings.max_seq_len {
                    picks.end_cut.push(row);
                }
            }
            if repeats && rows.repeats_an_earlier(index)? {
                picks.repeated.push(row);
            }
            Ok(())
        })?;
        picks.odd = found.iter().filter_map(|found| Some(found.example.as_ref()?.row as u32)).collect();
        picks.odd.sort_unstable();
        picks.odd.dedup();
        Ok(picks)
    }

    /// The rows of a kind; none for all.
    pub fn rows(&self, pick: Pick) -> Option<&[u32]> {
        match pick {
            Pick::All => None,
            Pick::Cut => Some(&self.cut),
            Pick::EndCut => Some(&self.end_cut),
            Pick::LeftOut => Some(&self.left_out),
            Pick::Repeated => Some(&self.repeated),
            Pick::Odd => Some(&self.odd),
        }
    }

    /// Why a row is not trained on.
    pub fn why_left_out(&self, survey: &Survey, settings: &DataConfig, row: usize) -> Option<String> {
        self.left_out.binary_search(&(row as u32)).ok()?;
        let record = survey.train.record(row).ok()?;
        if let Some(refusal) = record.refusal {
            return survey.train.summary.refusals.get(refusal as usize).map(|reason| plain(reason));
        }
        Some(match record.first {
            None => "nothing in it is trained".to_string(),
            Some(first) if first as usize >= settings.max_seq_len => {
                format!("nothing in its first {} tokens is trained", settings.max_seq_len)
            }
            _ if settings.deduplicate && survey.train.repeats_an_earlier(row).unwrap_or(false) => {
                "it says the same as an earlier row".to_string()
            }
            _ => "it is also a validation row, which must not be trained on".to_string(),
        })
    }
}
