//! The index entry of a row.

use std::ops::Range;

/// Bytes of a [`Record`] on the disk.
pub(super) const RECORD_BYTES: usize = 72;
/// Bytes of a range of trained tokens on the disk.
pub(super) const RANGE_BYTES: usize = 8;
/// Bytes of a [`WrongRecord`] on the disk.
pub(super) const WRONG_BYTES: usize = 36;
/// Stands for "none" in a record's fields.
const NONE: u32 = u32::MAX;

/// What the index says of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where its tokens begin in the other file, in bytes.
    pub offset: u64,
    /// Identifies what is in the row.
    pub content: u64,
    /// Where it lies in its file: the first byte.
    pub start: u64,
    /// The byte behind it.
    pub end: u64,
    /// Its file: index in [`Source::files`](super::super::Source).
    pub file: u32,
    /// Its line in the file, from 1.
    pub line: u32,
    /// Its length in tokens, uncut.
    pub tokens: u32,
    /// Ranges of trained tokens.
    pub ranges: u32,
    /// The first trained token behind the very first token.
    pub first: Option<u32>,
    /// The token behind the last trained one.
    pub last: u32,
    /// Tokens that count in the loss.
    pub supervised: u32,
    /// Index in the refusals, for a row without tokens.
    pub refusal: Option<u32>,
    /// Which of the oddities it has: one bit for each of [`Summary::odd`](super::Summary::odd).
    pub odd: u32,
    /// What is wrong with its mask, if that was looked at: one bit for each of [`Summary::faults`](super::Summary::faults).
    pub faults: u32,
}

impl Record {
    /// Where the row lies in its file.
    pub fn place(&self) -> Range<u64> {
        self.start..self.end
    }

    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let wide = [self.offset, self.content, self.start, self.end];
        let none = |value: Option<u32>| value.unwrap_or(NONE);
        let narrow = [
            self.file,
            self.line,
            self.tokens,
            self.ranges,
            none(self.first),
            self.last,
            self.supervised,
            none(self.refusal),
            self.odd,
            self.faults,
        ];
        let mut bytes = [0; RECORD_BYTES];
        let (left, right) = bytes.split_at_mut(32);
        left.as_chunks_mut().0.iter_mut().zip(wide).for_each(|(into, value)| *into = value.to_le_bytes());
        right.as_chunks_mut().0.iter_mut().zip(narrow).for_each(|(into, value)| *into = value.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Record {
        let (left, right) = bytes.split_at(32);
        let wide = |i: usize| left.as_chunks().0.get(i).map_or(0, |b| u64::from_le_bytes(*b));
        let narrow = |i: usize| right.as_chunks().0.get(i).map_or(0, |b| u32::from_le_bytes(*b));
        let some = |value: u32| (value != NONE).then_some(value);
        Record {
            offset: wide(0),
            content: wide(1),
            start: wide(2),
            end: wide(3),
            file: narrow(0),
            line: narrow(1),
            tokens: narrow(2),
            ranges: narrow(3),
            first: some(narrow(4)),
            last: narrow(5),
            supervised: narrow(6),
            refusal: some(narrow(7)),
            odd: narrow(8),
            faults: narrow(9),
        }
    }
}

/// What the list of rows that cannot be read says of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WrongRecord {
    /// Where it lies in its file.
    pub start: u64,
    pub end: u64,
    /// Where the reason begins in the file of the tokens, and its bytes.
    pub message: u64,
    pub message_bytes: u32,
    pub file: u32,
    pub line: u32,
}

impl WrongRecord {
    pub fn to_bytes(self) -> [u8; WRONG_BYTES] {
        let mut bytes = [0; WRONG_BYTES];
        let (left, right) = bytes.split_at_mut(24);
        let wide = [self.start, self.end, self.message];
        let narrow = [self.message_bytes, self.file, self.line];
        left.as_chunks_mut().0.iter_mut().zip(wide).for_each(|(into, value)| *into = value.to_le_bytes());
        right.as_chunks_mut().0.iter_mut().zip(narrow).for_each(|(into, value)| *into = value.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; WRONG_BYTES]) -> WrongRecord {
        let (left, right) = bytes.split_at(24);
        let wide = |i: usize| left.as_chunks().0.get(i).map_or(0, |b| u64::from_le_bytes(*b));
        let narrow = |i: usize| right.as_chunks().0.get(i).map_or(0, |b| u32::from_le_bytes(*b));
        let (start, end, message) = (wide(0), wide(1), wide(2));
        WrongRecord { start, end, message, message_bytes: narrow(0), file: narrow(1), line: narrow(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        let record = Record {
            offset: 1 << 40,
            content: u64::MAX,
            start: 3,
            end: 1 << 35,
            file: 7,
            line: 90_000_001,
            tokens: 12,
            ranges: 2,
            first: Some(0),
            last: 11,
            supervised: 5,
            refusal: None,
            odd: 5,
            faults: 1 << 31,
        };
        assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        let wrong =
            WrongRecord { start: 1 << 40, end: u64::MAX, message: 5, message_bytes: 90, file: 3, line: 4_000_000_001 };
        assert_eq!(WrongRecord::from_bytes(&wrong.to_bytes()), wrong);
        let refused = Record { first: None, refusal: Some(4), ..record };
        assert_eq!(Record::from_bytes(&refused.to_bytes()), refused);
    }
}
