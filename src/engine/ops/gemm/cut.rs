//! How sums of products are cut into tasks, and a task's sums into ranges that fit the cache.
//!
//! How the work is cut never changes a result: an element of C is one sum in the order of its terms and of k, wherever
//! it is computed.

use std::ops::Range;

use smallvec::SmallVec;

use super::driver::Output;
use crate::engine::ops::cpu::Kernel;

/// Lanes of packed panels that a task works on at a time: 256 KiB, a quarter of the smallest current L2 cache.
const PANEL_LANES: usize = 64 * 1024;

/// Most units in a stretch of a sum: a strip of so many stays in the L1 cache while the panels pass over it. The sums
/// of longer ones are kept aside between stretches.
const MOST_UNITS: usize = 384;

/// Units of a stretch of a sum so long that its left operand fits no cache, see [`Cut::long`].
const LONG_UNITS: usize = 128;

/// Units of such a sum: half of those of the gradient through gate and up of a model of 1.1B. Not its bytes: a smaller batch must
/// not be cut in another way, whose memory was not planned.
const LONG: usize = 2500;

/// Ranges of rows that the groups of such a sum are made for, where there are panels enough: each range packs them for itself.
const LONG_RANGES: usize = 2;

/// Most rows that a task passes over its panels when sums are kept aside, so that they stay in the cache.
const MOST_ROWS: usize = 1024;

/// Fewest strips that a task passes over its panels, if there are as many: packing the panels is to pay off.
const LEAST_STRIPS: usize = 4;

/// Tasks for each thread: so many that the last ones end together, so few that packing a panel pays off.
const TASKS: usize = 4;

/// Most parts of a range.
pub(super) const MOST_PARTS: usize = 8;

/// Some of the units of one term.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub term: usize,
    pub units: Range<usize>,
}

/// Parts that are summed in one pass over their panels.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stretch {
    pub parts: SmallVec<[Part; 3]>,
    pub units: usize,
}

/// How one output is computed.
pub(super) struct Cut {
    pub stretches: SmallVec<[Stretch; 2]>,
    /// Units of the longest stretch.
    pub units: usize,
    /// Panels of C.
    pub panels: usize,
    /// Panels of every group but the last.
    pub group: usize,
    pub groups: usize,
    /// Strips of every row range but the last.
    pub chunk: usize,
    pub chunks: usize,
    /// The sums are so long (gradients through a head, or through the gate and up of a model of 1.1B) that their left operands
    /// are read from main memory, once for each group: groups are as wide as they can be, and two threads share the rows
    /// of one.
    long: bool,
}

/// What the cut of an output depends on.
#[derive(Clone, Debug)]
pub(crate) struct SumShape {
    /// Columns of C.
    pub cols: usize,
    /// Units of each term.
    pub units: SmallVec<[usize; 4]>,
    /// Panels that are decoded together.
    pub granularity: usize,
}

impl SumShape {
    fn of(output: &Output, nr: usize) -> SumShape {
        SumShape {
            cols: output.c.cols,
            units: output.terms.iter().map(|t| t.left.units).collect(),
            granularity: output.terms.iter().map(|t| t.right.granularity(nr)).max().unwrap_or(1),
        }
    }
}

/// Cuts all outputs; the strips of their rows are what they have in common.
pub(super) fn cut(kernel: &Kernel, outputs: &[Output], strips: usize, threads: usize) -> Vec<Cut> {
    let shapes: Vec<SumShape> = outputs.iter().map(|o| SumShape::of(o, kernel.nr)).collect();
    cut_shapes(kernel, &shapes, strips, threads)
}

/// [`cut`] of outputs of these shapes. No task takes more memory with fewer strips: what is planned for the largest batch is
/// enough for all.
pub(super) fn cut_shapes(kernel: &Kernel, outputs: &[SumShape], strips: usize, threads: usize) -> Vec<Cut> {
    let panels: usize = outputs.iter().map(|o| o.cols.div_ceil(kernel.nr)).sum();
    // More tasks than threads, so that a slow thread does not hold up the others.
    let sharing = panels.div_ceil(threads * TASKS).max(1);
    let mut cuts: Vec<Cut> = outputs.iter().map(|o| Cut::new(kernel, o, sharing, threads)).collect();
    let groups: usize = cuts.iter().map(|c| c.groups).sum();
    for cut in &mut cuts {
        let wanted = ranges(groups, cut.long, threads);
        let most = if cut.stretches.len() > 1 { MOST_ROWS / kernel.mr } else { strips };
        cut.chunk = strips.div_ceil(wanted).max(LEAST_STRIPS).min(most).min(strips);
        cut.chunks = strips.div_ceil(cut.chunk);
    }
    cuts
}

/// Lanes that every task of these outputs takes, in one buffer and also where it needs less: of two buffers and several sizes, small
/// tasks could come to hold those that a large one needs.
pub(super) fn lanes(kernel: &Kernel, cuts: &[Cut]) -> usize {
    cuts.iter().map(|cut| cut.task_lanes(kernel).iter().sum()).max().unwrap_or(0)
}

impl Cut {
    fn new(kernel: &Kernel, output: &SumShape, sharing: usize, threads: usize) -> Cut {
        // Columns that are decoded together must be in one group, which may leave less room along k.
        let granularity = output.granularity;
        let panels = output.cols.div_ceil(kernel.nr);
        let long = output.units.iter().sum::<usize>() >= LONG;
        let most = (PANEL_LANES / (granularity * kernel.nr)).clamp(LONG_UNITS, MOST_UNITS);
        let stretches = stretches(output.units.iter().copied(), if long { LONG_UNITS } else { most });
        let units = stretches.iter().map(|s| s.units).max().unwrap_or(0);
        let room = if long { 2 * PANEL_LANES } else { PANEL_LANES };
        let fitting = room / (units.max(1) * kernel.nr);
        let sharing = if long { panels.div_ceil(threads.div_ceil(LONG_RANGES)) } else { sharing };
        let widest = fitting.min(sharing);
        let group = balanced(panels, widest.max(1), granularity, long, threads);
        Cut { stretches, units, panels, group, groups: panels.div_ceil(group), chunk: 0, chunks: 0, long }
    }
}

/// Ranges of rows that each of so many groups is cut into, so that there are tasks enough.
fn ranges(groups: usize, long: bool, threads: usize) -> usize {
    match threads {
        1 => 1,
        _ if long => threads.div_ceil(groups),
        _ => (threads * TASKS).div_ceil(groups),
    }
}

/// Panels of a group: at most `widest`, multiples of `granularity`, and so many that the threads end together. Wide groups read
/// the left operands seldom, so none is less than half as wide as it could be.
fn balanced(panels: usize, widest: usize, granularity: usize, long: bool, threads: usize) -> usize {
    let widest = widest.next_multiple_of(granularity).min(panels.next_multiple_of(granularity));
    // Where groups are few, each is cut into ranges of rows, too; the longest list of a thread, in panels of all rows.
    let longest = |group: usize| {
        let groups = panels.div_ceil(group);
        let chunks = ranges(groups, long, threads);
        ((groups * chunks).div_ceil(threads) * group).div_ceil(chunks)
    };
    let candidates = (widest.div_ceil(2)..=widest).rev().filter(|group| group.is_multiple_of(granularity));
    candidates.min_by_key(|group| longest(*group)).unwrap_or(widest)
}

impl Cut {
    /// Lanes that the largest task takes: its panels, and the sums that are kept aside (0: none). Whole cache lines.
    pub fn task_lanes(&self, kernel: &Kernel) -> [usize; 2] {
        // Of the highest strip: with fewer rows, strips may be higher.
        let aside = if self.stretches.len() > 1 { self.chunk * self.group * kernel.mr * kernel.nr } else { 0 };
        [(self.group * self.units * kernel.nr).next_multiple_of(16), aside]
    }
}

/// Terms of these units in stretches of at most `most`, in order.
fn stretches(terms: impl Iterator<Item = usize>, most: usize) -> SmallVec<[Stretch; 2]> {
    let mut all: SmallVec<[Stretch; 2]> = SmallVec::new();
    for (term, units) in terms.enumerate() {
        // Multiples of 32 keep the cuts on the borders of quantized blocks.
        let step = units.div_ceil(units.div_ceil(most).max(1)).next_multiple_of(32);
        for start in (0..units).step_by(step.max(1)) {
            let units = start..units.min(start + step);
            let fits = all.last().is_some_and(|s| s.units + units.len() <= most && s.parts.len() < MOST_PARTS);
            if !fits {
                all.push(Stretch::default());
            }
            if let Some(last) = all.last_mut() {
                last.units += units.len();
                last.parts.push(Part { term, units });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ops::Compute;
    use crate::engine::ops::cpu::Isa;
    use crate::engine::ops::gemm::strips;

    fn parts(s: &Stretch) -> Vec<(usize, Range<usize>)> {
        s.parts.iter().map(|p| (p.term, p.units.clone())).collect()
    }

    #[test]
    fn short_terms_share_a_stretch_and_long_ones_are_split() {
        let all = stretches([288, 8].into_iter(), 1024);
        assert_eq!(all.iter().map(parts).collect::<Vec<_>>(), [vec![(0, 0..288), (1, 0..8)]]);
        let all = stretches([768, 768, 8, 8].into_iter(), 1024);
        assert_eq!(
            all.iter().map(parts).collect::<Vec<_>>(),
            [vec![(0, 0..768)], vec![(1, 0..768), (2, 0..8), (3, 0..8)]]
        );
        let all = stretches([2250].into_iter(), 1024);
        assert_eq!(
            all.iter().map(parts).collect::<Vec<_>>(),
            [vec![(0, 0..768)], vec![(0, 768..1536)], vec![(0, 1536..2250)]]
        );
        assert_eq!(stretches([8; 20].into_iter(), 1024).len(), 3, "no more parts than a tile takes");
        assert!(stretches([0].into_iter(), 1024).is_empty());
    }

    #[test]
    fn groups_are_wide_and_end_together() {
        // 64 panels in groups of 5 are 13 tasks: one of two threads would have 7 of them.
        assert_eq!(balanced(64, 5, 1, false, 2), 4);
        assert_eq!(balanced(64, 6, 2, false, 2), 4);
        // 5 groups in two ranges of rows are shared evenly.
        assert_eq!(balanced(18, 4, 2, false, 2), 4);
        assert_eq!(balanced(18, 3, 1, false, 2), 3);
        assert_eq!(balanced(64, 32, 1, true, 2), 32);
        assert_eq!(balanced(18, 32, 1, true, 2), 18);
        // Long sums are not cut into ranges of rows: eight groups of 20, not five of 32.
        assert_eq!(balanced(160, 32, 1, true, 2), 20);
        for (panels, widest, granularity, threads) in [(1, 1, 1, 16), (1, 5, 2, 2), (7, 20, 1, 3), (300, 5, 2, 16)] {
            let group = balanced(panels, widest, granularity, false, threads);
            assert!(group >= 1 && group.is_multiple_of(granularity), "{group}");
            assert!(group <= widest.next_multiple_of(granularity), "{group}");
        }
    }

    #[test]
    fn many_threads_do_not_pack_the_panels_of_long_sums_many_times() {
        let kernel = Kernel::of(Isa::Portable, Compute::F32);
        let shape = SumShape { cols: 64 * kernel.nr, units: [LONG].as_slice().into(), granularity: 2 };
        for threads in [1, 2, 4, 16] {
            let cut = &cut_shapes(kernel, std::slice::from_ref(&shape), strips(kernel, 512).1, threads)[0];
            assert!(cut.chunks <= LONG_RANGES, "{threads} threads: {} ranges", cut.chunks);
            assert!(cut.groups * cut.chunks >= threads, "{threads} threads: {} groups", cut.groups);
        }
    }

    #[test]
    fn fewer_rows_take_no_more_memory() {
        let shape = |cols: usize, units: &[usize]| SumShape { cols, units: units.into(), granularity: 1 };
        let sums = [
            vec![shape(576, &[288, 8]), shape(192, &[288, 8])],
            vec![shape(256, &[640, 640, 16])],
            vec![shape(2048, &[256])],
            vec![shape(576, &[24_576])],
            vec![shape(16, &[1536])],
        ];
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for compute in [Compute::Bf16, Compute::F32] {
                let kernel = Kernel::of(isa, compute);
                for (outputs, threads) in sums.iter().flat_map(|s| [1, 2, 3, 16].map(|threads| (s, threads))) {
                    let mut before = vec![[0; 2]; outputs.len()];
                    for rows in 1..2200 {
                        let count = strips(kernel, rows).1;
                        for (cut, before) in cut_shapes(kernel, outputs, count, threads).iter().zip(&mut before) {
                            assert!(cut.chunk * cut.chunks >= count && cut.chunk * (cut.chunks - 1) < count);
                            let now = cut.task_lanes(kernel);
                            assert!(now[0] >= before[0] && now[1] >= before[1], "{rows} rows, {threads} threads");
                            *before = now;
                        }
                    }
                }
            }
        }
    }
}
