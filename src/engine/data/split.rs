//! Rows for validation.

use std::collections::BTreeMap;

use super::random::Random;

/// Chooses rows to hold out: one flag a row. `contents` identifies each row's content; rows of equal content stay on one
/// side, so that no validation row was ever trained. `None` when there are not two different rows.
pub fn hold_out(contents: &[u64], fraction: f64, seed: u64) -> Option<Vec<bool>> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, content) in contents.iter().enumerate() {
        groups.entry(*content).or_default().push(row);
    }
    if groups.len() < 2 {
        return None;
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_unstable_by_key(|rows| rows[0]);
    Random::new(seed, "held-out rows", 0).shuffle(&mut groups);
    let wanted = ((contents.len() as f64 * fraction).round() as usize).clamp(1, contents.len() - 1);
    let mut held_out = vec![false; contents.len()];
    let mut count = 0;
    for rows in &groups {
        if count + rows.len() <= wanted {
            rows.iter().for_each(|row| held_out[*row] = true);
            count += rows.len();
        }
    }
    if count == 0 {
        // Every group is larger than the share: the smallest one.
        let smallest = groups.iter().min_by_key(|rows| rows.len())?;
        smallest.iter().for_each(|row| held_out[*row] = true);
    }
    Some(held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(held_out: &[bool]) -> usize {
        held_out.iter().filter(|h| **h).count()
    }

    #[test]
    fn the_share_is_held_out_and_depends_on_the_seed() {
        let contents: Vec<u64> = (0..200).map(|i| i * 7).collect();
        let held_out = hold_out(&contents, 0.1, 1).unwrap();
        assert_eq!(count(&held_out), 20);
        assert_eq!(held_out, hold_out(&contents, 0.1, 1).unwrap());
        assert_ne!(held_out, hold_out(&contents, 0.1, 2).unwrap());
        // At least one on each side.
        assert_eq!(count(&hold_out(&contents[..3], 0.01, 1).unwrap()), 1);
        assert_eq!(count(&hold_out(&contents[..3], 0.99, 1).unwrap()), 2);
    }

    #[test]
    fn equal_rows_stay_together() {
        let contents: Vec<u64> = (0..300).map(|i| i % 60).collect();
        let held_out = hold_out(&contents, 0.2, 4).unwrap();
        assert_eq!(count(&held_out), 60);
        for row in 0..300 {
            assert_eq!(held_out[row], held_out[row % 60]);
        }
        let held_out = hold_out(&[1, 1, 1, 2, 2], 0.2, 0).unwrap();
        assert_eq!(held_out, [false, false, false, true, true]);
        assert_eq!(hold_out(&[1, 1, 1], 0.5, 0), None);
        assert_eq!(hold_out(&[], 0.5, 0), None);
    }
}
