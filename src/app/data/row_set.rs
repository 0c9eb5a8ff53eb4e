//! Rows of one kind: as a list where they are few, as one bit for each row of the file where they are many.

/// Rows of a file, in its order. Takes four bytes a row in it, and at most a bit for each row of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    kept: Kept,
    len: usize,
    /// Rows of the file.
    all: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    List(Vec<u32>),
    Bits(Vec<u64>),
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::List(Vec::new())
    }
}

impl RowSet {
    /// None yet, of a file of `all` rows.
    pub fn new(all: usize) -> RowSet {
        RowSet { all, ..RowSet::default() }
    }

    /// Adds a row behind all others.
    pub fn push(&mut self, row: u32) {
        self.len += 1;
        if let Kept::List(list) = &mut self.kept {
            // From here on bits are smaller.
            if list.len() < self.all / 32 + 8 {
                list.push(row);
                return;
            }
            let mut bits = vec![0; self.all.div_ceil(64)];
            list.iter().for_each(|row| set(&mut bits, *row));
            self.kept = Kept::Bits(bits);
        }
        if let Kept::Bits(bits) = &mut self.kept {
            set(bits, row);
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the row is among them.
    pub fn contains(&self, row: usize) -> bool {
        match &self.kept {
            Kept::List(list) => list.binary_search(&(row as u32)).is_ok(),
            Kept::Bits(bits) => bits.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// How many of them stand before this row.
    pub fn before(&self, row: usize) -> usize {
        match &self.kept {
            Kept::List(list) => list.partition_point(|other| (*other as usize) < row),
            Kept::Bits(bits) => {
                let whole: u32 = bits.iter().take(row / 64).map(|word| word.count_ones()).sum();
                let part = bits.get(row / 64).map_or(0, |word| (word & !(u64::MAX << (row % 64))).count_ones());
                (whole + part) as usize
            }
        }
    }

    /// The first of them from this row on.
    pub fn from(&self, row: usize) -> Option<usize> {
        match &self.kept {
            Kept::List(list) => list.get(self.before(row)).map(|row| *row as usize),
            Kept::Bits(bits) => {
                let first = bits.get(row / 64)? & (u64::MAX << (row % 64));
                let rest = bits.iter().copied().enumerate().skip(row / 64 + 1);
                let (at, word) = std::iter::once((row / 64, first)).chain(rest).find(|(_, word)| *word != 0)?;
                Some(64 * at + word.trailing_zeros() as usize)
            }
        }
    }

    /// The last of them before this row.
    pub fn last_before(&self, row: usize) -> Option<usize> {
        match &self.kept {
            Kept::List(list) => list.get(self.before(row).checked_sub(1)?).map(|row| *row as usize),
            Kept::Bits(bits) => {
                let part = bits.get(row / 64).map_or(0, |word| word & !(u64::MAX << (row % 64)));
                let rest = bits.iter().copied().enumerate().take(row / 64).rev();
                let (at, word) = std::iter::once((row / 64, part)).chain(rest).find(|(_, word)| *word != 0)?;
                Some(64 * at + 63 - word.leading_zeros() as usize)
            }
        }
    }
}

fn set(bits: &mut [u64], row: u32) {
    if let Some(word) = bits.get_mut(row as usize / 64) {
        *word |= 1 << (row % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_bits_answer_the_same() {
        const ALL: usize = 5000;
        for step in [1, 2, 3, 31, 63, 64, 500, 4999] {
            let rows: Vec<usize> = (0..ALL).filter(|row| (row * 7 + 3) % step == 0).collect();
            let mut set = RowSet::new(ALL);
            rows.iter().for_each(|row| set.push(*row as u32));
            assert_eq!(matches!(set.kept, Kept::Bits(_)), rows.len() > ALL / 32 + 8, "{step}");
            assert_eq!((set.len(), set.is_empty()), (rows.len(), rows.is_empty()));
            for row in (0..ALL).step_by(13).chain([63, 64, 127, 128, ALL - 1, ALL, ALL + 70]) {
                let at = rows.partition_point(|other| *other < row);
                assert_eq!(set.before(row), at, "{step} {row}");
                assert_eq!(set.contains(row), rows.contains(&row), "{step} {row}");
                assert_eq!(set.from(row), rows.get(at).copied(), "{step} {row}");
                assert_eq!(set.last_before(row), at.checked_sub(1).map(|at| rows[at]), "{step} {row}");
            }
        }
    }
}
