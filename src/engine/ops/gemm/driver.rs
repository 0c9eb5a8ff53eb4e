//! Cutting a product into tasks, and a task into tiles.
//!
//! A task is a group of neighbouring panels of the right operand times a range of strips of the left one. The task packs
//! its panels itself, which for frozen weights includes decoding them, so they stay in the L2 cache while every strip
//! passes over them. Strips are packed before, once, by all threads together; or by the task that uses them when there
//! is only one group.
//!
//! How the work is cut never changes a result: an element of C is one sum in the order of k, wherever it is computed.

use std::ops::Range;

use rayon::prelude::*;

use super::few;
use super::operand::{Left, Right};
use super::scratch::Scratch;
use crate::engine::ops::MatMut;
use crate::engine::ops::cpu::{Kernel, Tile};

/// Lanes of packed panels that a task works on at a time: 256 KiB, a quarter of the smallest current L2 cache.
const PANEL_LANES: usize = 64 * 1024;

/// Most units of k in a panel; longer sums are kept aside between ranges of k.
const MOST_UNITS: usize = 1024;

/// Most rows that a task passes over its panels when sums are kept aside, so that they stay in the cache.
const MOST_ROWS: usize = 1024;

/// Products of fewer multiplications than this run on the calling thread: handing over costs about ten microseconds.
const SERIAL: usize = 1 << 18;

/// A pointer into C that tasks share; each writes its own tiles.
#[derive(Clone, Copy)]
struct Target(*mut f32);
// SAFETY: tasks write disjoint parts.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// A pointer into packed strips that tasks share.
#[derive(Clone, Copy)]
struct Strips(*mut u32);
// SAFETY: packing tasks write disjoint strips; afterwards they are only read.
unsafe impl Send for Strips {}
// SAFETY: as above.
unsafe impl Sync for Strips {}

impl Strips {
    fn at(self, offset: usize) -> *mut u32 {
        self.0.wrapping_add(offset)
    }
}

/// How a product is cut.
struct Plan<'a> {
    kernel: &'a Kernel,
    m: usize,
    n: usize,
    k: usize,
    units: usize,
    /// Height of every strip but the last, which may be lower.
    height: usize,
    strips: usize,
    /// Units of k of every range but the last.
    range_units: usize,
    panels: usize,
    /// Panels of every group but the last.
    group: usize,
    groups: usize,
    /// Strips of every row range but the last.
    chunk: usize,
    chunks: usize,
}

impl<'a> Plan<'a> {
    fn new(kernel: &'a Kernel, m: usize, n: usize, k: usize, granularity: usize, threads: usize) -> Self {
        let units = kernel.units(k);
        let strips = m.div_ceil(kernel.mr);
        let height = m.div_ceil(strips);
        let strips = m.div_ceil(height);
        let panels = n.div_ceil(kernel.nr);

        // Columns that are decoded together must be in one group, which may leave less room along k.
        let most = (PANEL_LANES / (granularity * kernel.nr)).clamp(128, MOST_UNITS);
        let ranges = units.div_ceil(most);
        // Multiples of 32 keep the ranges on the borders of quantized blocks.
        let range_units = units.div_ceil(ranges).next_multiple_of(32);

        let fitting = PANEL_LANES / (range_units.min(units) * kernel.nr);
        let sharing = panels.div_ceil(threads * 3);
        let group = fitting.min(sharing).max(1).next_multiple_of(granularity).min(panels);
        let groups = panels.div_ceil(group);

        // More tasks than threads, so that a slow thread does not hold up the others; few enough that packing a panel
        // pays off.
        let wanted = if threads == 1 { 1 } else { (threads * 3).div_ceil(groups) };
        let mut chunks = wanted.min(strips.div_ceil(4)).max(1);
        if units > range_units {
            chunks = chunks.max(m.div_ceil(MOST_ROWS));
        }
        let chunk = strips.div_ceil(chunks);
        let chunks = strips.div_ceil(chunk);
        Self { kernel, m, n, k, units, height, strips, range_units, panels, group, groups, chunk, chunks }
    }

    fn strip_height(&self, strip: usize) -> usize {
        self.height.min(self.m - strip * self.height)
    }

    /// Columns of a panel that exist in C, and lanes that it is packed with.
    fn panel(&self, panel: usize) -> (usize, usize) {
        let cols = self.kernel.nr.min(self.n - panel * self.kernel.nr);
        (cols, if cols <= self.kernel.nr / 2 { self.kernel.nr / 2 } else { self.kernel.nr })
    }
}

/// `c[m,n] = alpha·left[m,k]·right[k,n] + beta·c`.
pub(crate) fn product(kernel: &Kernel, alpha: f32, left: Left, right: Right, beta: f32, mut c: MatMut, parallel: bool) {
    let (m, k, n) = (left.rows(), left.depth(), right.columns());
    assert_eq!(k, right.depth(), "the operands' common dimension");
    assert_eq!((m, n), (c.rows, c.cols), "the shape of the result");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 || alpha == 0.0 {
        scale(&mut c, beta);
        return;
    }
    let parallel = parallel && m * n * k >= SERIAL;
    if let Left::Rows(a) = left
        && few::suits(m, &right)
    {
        return few::product(kernel, alpha, a, right, beta, c, parallel);
    }
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let plan = Plan::new(kernel, m, n, k, right.granularity(kernel.nr), threads);
    let target = Target(c.data.as_mut_ptr());
    let stride = c.stride;
    let store = Store { alpha, beta, c: target, stride };

    // Strips that several groups use are packed once, before.
    let mut packed = None;
    let mut strips = None;
    if plan.groups > 1 {
        let scratch = packed.insert(Scratch::take(m * plan.units + 16));
        let to = Strips(scratch.lanes().as_mut_ptr());
        pack_strips(&plan, &left, to, parallel);
        strips = Some(to);
    }
    let tasks = plan.groups * plan.chunks;
    let run = |task: usize| {
        // Neighbouring tasks share panels.
        let (group, chunk) = (task / plan.chunks, task % plan.chunks);
        let panels = group * plan.group..plan.panels.min((group + 1) * plan.group);
        let range = chunk * plan.chunk..plan.strips.min((chunk + 1) * plan.chunk);
        compute(&plan, &left, &right, strips, panels, range, &store);
    };
    if parallel && tasks > 1 {
        (0..tasks).into_par_iter().with_max_len(1).for_each(run);
    } else {
        (0..tasks).for_each(run);
    }
}

/// Where results go.
struct Store {
    alpha: f32,
    beta: f32,
    c: Target,
    stride: usize,
}

/// Packs all strips over all of k.
fn pack_strips(plan: &Plan, left: &Left, to: Strips, parallel: bool) {
    // Strips from columns read short runs of each row: some side by side use whole cache lines.
    const TOGETHER: usize = 8;
    let pack = |task: usize| {
        let strips = task * TOGETHER..plan.strips.min((task + 1) * TOGETHER);
        let step = if left.along_k() { plan.k } else { 64 };
        for k in (0..plan.k).step_by(step) {
            let k = k..plan.k.min(k + step);
            for strip in strips.clone() {
                let height = plan.strip_height(strip);
                let start = strip * plan.height * plan.units + k.start / plan.kernel.per_unit() * height;
                // SAFETY: strips do not overlap and end within the scratch of m·units lanes.
                unsafe { left.pack(plan.kernel, strip * plan.height, height, k.clone(), to.at(start), height) };
            }
        }
    };
    let tasks = plan.strips.div_ceil(TOGETHER);
    if parallel && plan.m * plan.k >= 1 << 15 {
        (0..tasks).into_par_iter().with_max_len(1).for_each(pack);
    } else {
        (0..tasks).for_each(pack);
    }
}

/// One task: `panels` of the right operand times `range` of the strips.
fn compute(
    plan: &Plan,
    left: &Left,
    right: &Right,
    strips: Option<Strips>,
    panels: Range<usize>,
    range: Range<usize>,
    store: &Store,
) {
    let kernel = plan.kernel;
    let nr = kernel.nr;
    let ranges = plan.units.div_ceil(plan.range_units);
    let panel_lanes = plan.range_units.min(plan.units) * nr;
    let tile_lanes = plan.height * nr;

    let mut panel_scratch = Scratch::take(panels.len() * panel_lanes);
    let mut own = strips.is_none().then(|| Scratch::take(plan.height * plan.range_units + 16));
    let mut aside = (ranges > 1).then(|| Scratch::take(range.len() * panels.len() * tile_lanes));
    let panel_data = panel_scratch.lanes().as_mut_ptr();
    let own = own.as_mut().map(|s| s.lanes().as_mut_ptr());
    let aside = aside.as_mut().map_or(std::ptr::null_mut(), |s| s.floats().as_mut_ptr());

    for r in 0..ranges {
        let units = r * plan.range_units..plan.units.min((r + 1) * plan.range_units);
        let k = units.start * kernel.per_unit()..plan.k.min(units.end * kernel.per_unit());
        // SAFETY: the scratch has room for these panels.
        unsafe {
            right.pack(kernel, panels.start * nr, plan.n.min(panels.end * nr), k.clone(), panel_data, panel_lanes)
        };
        for strip in range.clone() {
            let height = plan.strip_height(strip);
            let first_row = strip * plan.height;
            let a = match (strips, own) {
                (Some(all), _) => all.at(first_row * plan.units + units.start * height),
                (None, Some(own)) => {
                    // SAFETY: the scratch has room for one strip over this range of k.
                    unsafe { left.pack(kernel, first_row, height, k.clone(), own, height) };
                    own
                }
                (None, None) => unreachable!("strips are packed before or here"),
            };
            for (i, panel) in panels.clone().enumerate() {
                let (cols, lanes) = plan.panel(panel);
                let tile = Tile {
                    a,
                    b: panel_data.wrapping_add(i * panel_lanes),
                    units: units.len(),
                    c: store.c.at(first_row * store.stride + panel * nr),
                    c_stride: store.stride,
                    cols,
                    alpha: store.alpha,
                    beta: store.beta,
                    partial: aside.wrapping_add(((strip - range.start) * panels.len() + i) * tile_lanes),
                    first: r == 0,
                    last: r + 1 == ranges,
                };
                // SAFETY: strip and panel are packed for these units; the tile lies in C, and no other task has it.
                unsafe { (kernel.tile)(height, lanes, &tile) };
            }
        }
    }
}

/// `c = beta·c`, what is left of a product with nothing to sum.
fn scale(c: &mut MatMut, beta: f32) {
    for r in 0..c.rows {
        let row = c.row_mut(r);
        if beta == 0.0 {
            row.fill(0.0);
        } else {
            row.iter_mut().for_each(|v| *v *= beta);
        }
    }
}
