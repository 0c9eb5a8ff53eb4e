//! What holds for a row: that it is cut, repeated, odd, left out. A finding names its mark, so that all of its rows can be
//! gone through and not just one.

use serde::Serialize;

use super::Oddity;
use super::check::Seen;
use super::survey::{Cut, Survey};
use super::tokens::{Record, Summary};
use crate::engine::Result;
use crate::engine::config::{DataConfig, MASK_FAULTS};
use crate::units::grouped;

/// Why a row that can be read is not trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It has nothing to train on, or the chat template refuses it: index of the reason in [`Summary::refusals`].
    Refused(u32),
    /// None of its tokens is trained.
    #[default]
    Untrained,
    /// None of those that are left of it, when it is cut, is trained.
    Beyond,
    /// It says the same as an earlier one.
    Repeats,
    /// It says the same as one that the validation loss is computed on.
    InValidation,
    /// It is unusual in a way that a person wants left out: index in [`Summary::odd`].
    Odd(u8),
    /// Its mask is wrong, and a person wants such rows left out: index in [`Summary::faults`].
    Fault(u8),
}

impl Why {
    /// Of one row, in words: "it says the same as an earlier row".
    pub fn words(self, summary: &Summary, max_seq_len: usize) -> String {
        match self {
            Why::Refused(at) => summary.refusals.get(at as usize).cloned().unwrap_or_default(),
            Why::Untrained => "nothing in it is trained".into(),
            Why::Beyond => format!("nothing in its first {} tokens is trained", grouped(max_seq_len as u64)),
            Why::Repeats => "it says the same as an earlier row".into(),
            Why::InValidation => "it is also a validation row, which must not be trained on".into(),
            Why::Odd(at) => seen(&summary.odd, at),
            Why::Fault(at) => seen(&summary.faults, at),
        }
    }

    /// Whether a person asked for it.
    pub fn is_wished(self) -> bool {
        matches!(self, Why::Repeats | Why::Odd(_) | Why::Fault(_))
    }

    /// Of so many rows: "they say the same as earlier rows".
    pub(super) fn words_of(self, rows: usize, summary: &Summary, max_seq_len: usize) -> String {
        if rows == 1 {
            return self.words(summary, max_seq_len);
        }
        match self {
            Why::Refused(_) => format!("each for this: {}", self.words(summary, max_seq_len)),
            Why::Untrained => "nothing in them is trained".into(),
            Why::Beyond => format!("nothing in their first {} tokens is trained", grouped(max_seq_len as u64)),
            Why::Repeats => "they say the same as earlier rows".into(),
            Why::InValidation => "they are also validation rows, which must not be trained on".into(),
            Why::Odd(_) | Why::Fault(_) => self.words(summary, max_seq_len),
        }
    }

    /// Of the row itself, without looking at others.
    pub(super) fn of(record: &Record, max_seq_len: usize) -> Option<Why> {
        match (record.refusal, record.first) {
            (Some(refusal), _) => Some(Why::Refused(refusal)),
            (None, Some(first)) if (first as usize) < max_seq_len => None,
            (None, first) => {
                let cut_off = record.tokens as usize > max_seq_len && first.is_some();
                Some(if cut_off { Why::Beyond } else { Why::Untrained })
            }
        }
    }
}

/// Something that holds for some of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Longer than `max_seq_len`.
    Cut,
    /// Cut before its last answer ends.
    EndCut,
    /// Not trained on.
    LeftOut(Why),
    /// Says the same as an earlier one.
    Repeated,
    /// Its mask has this fault: index in [`Summary::faults`].
    Fault(u8),
    /// It is unusual in this way: index in [`Summary::odd`].
    Odd(u8),
}

impl Mark {
    /// Of one row, in words.
    pub fn words(self, summary: &Summary, max_seq_len: usize) -> String {
        match self {
            Mark::Cut => format!("it is longer than {} tokens", grouped(max_seq_len as u64)),
            Mark::EndCut => "its last answer loses its end".into(),
            Mark::LeftOut(why) => why.words(summary, max_seq_len),
            Mark::Repeated => "it says the same as an earlier row".into(),
            Mark::Fault(at) => seen(&summary.faults, at),
            Mark::Odd(at) => seen(&summary.odd, at),
        }
    }
}

fn seen(all: &[Seen], at: u8) -> String {
    all.get(usize::from(at)).map(|seen| seen.what.clone()).unwrap_or_default()
}

/// Which oddities and faults of masks a person wants left out, as bits of a [`Record`].
#[derive(Clone, Copy)]
pub(super) struct Unwanted {
    odd: u32,
    faults: u32,
}

impl Unwanted {
    pub fn of(settings: &DataConfig, summary: &Summary) -> Unwanted {
        let is_unwanted =
            |seen: &Seen| Oddity::of_words(&seen.what).is_some_and(|oddity| settings.leaves_out(oddity.name()));
        let odd = summary.odd.iter().enumerate().filter(|(_, seen)| is_unwanted(seen));
        let odd = odd.fold(0, |bits, (at, _)| bits | 1 << at);
        Unwanted { odd, faults: if settings.leaves_out(MASK_FAULTS) { u32::MAX } else { 0 } }
    }

    /// Why a row is left out.
    pub fn why(self, record: &Record) -> Option<Why> {
        let fault = bits(record.faults & self.faults).next().map(Why::Fault);
        fault.or_else(|| bits(record.odd & self.odd).next().map(Why::Odd))
    }
}

impl Survey {
    /// Tells what holds for the training rows, from the first to the last, when they are cut so. A row can have several
    /// marks. In proportion to the number of rows.
    pub fn marks(&self, cut: &Cut, settings: &DataConfig, see: &mut dyn FnMut(Mark, u32)) -> Result<()> {
        let rows = &self.train;
        // With a validation file, its rows are not of this one.
        let held = if self.validation.is_some() { &[][..] } else { cut.validation.as_slice() };
        let mut trained = cut.train.iter().map(|row| row.row).peekable();
        let mut held = held.iter().map(|row| row.row).peekable();
        let repeats = rows.duplicates()? > 0;
        let unwanted = Unwanted::of(settings, &rows.summary);
        rows.each(|index, record| {
            let row = index as u32;
            let kept = trained.next_if_eq(&row).is_some() | held.next_if_eq(&row).is_some();
            let repeated = repeats && rows.repeats_an_earlier(index)?;
            if !kept {
                let why = Why::of(record, settings.max_seq_len).or_else(|| unwanted.why(record));
                let other = if settings.deduplicate && repeated { Why::Repeats } else { Why::InValidation };
                see(Mark::LeftOut(why.unwrap_or(other)), row);
            } else if record.tokens as usize > settings.max_seq_len {
                see(Mark::Cut, row);
                if record.last as usize > settings.max_seq_len {
                    see(Mark::EndCut, row);
                }
            }
            if repeated {
                see(Mark::Repeated, row);
            }
            bits(record.faults).for_each(|bit| see(Mark::Fault(bit), row));
            bits(record.odd).for_each(|bit| see(Mark::Odd(bit), row));
            Ok(())
        })
    }
}

/// The bits that are set, as numbers.
fn bits(mut set: u32) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros() as u8);
        set &= set.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_told_from_the_lowest() {
        assert_eq!(bits(0).count(), 0);
        assert_eq!(bits(1 << 31 | 0b101).collect::<Vec<_>>(), [0, 2, 31]);
    }
}
