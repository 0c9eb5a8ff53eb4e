//! Products, and sums of products that share their rows: `C = alpha·Σ leftᵢ·rightᵢ + beta·C`, for several C at once.
//!
//! A task is a group of neighbouring panels of one C times a range of strips of the left operands. It packs its panels
//! itself, which for frozen weights includes decoding them, so they stay in the L2 cache while every strip passes over
//! them. A frozen weight and the adapter beside it are two terms of one sum, so the adapter costs no pass over C.

use std::ops::Range;

use super::cut::{self, Cut, MOST_PARTS, cut};
use super::few;
use super::operand::{Left, Right};
use super::packed::Packed;
use super::scratch::Scratch;
use crate::engine::ops::cpu::{Kernel, Tile};
use crate::engine::ops::{ColumnsMut, MatMut, pool};

/// Products of fewer multiplications than this run on the calling thread: handing over costs about ten microseconds.
pub(super) const SERIAL: usize = 1 << 18;

/// One product of a sum: `left[m, k]·right[k, n]`.
pub(crate) struct Term<'a> {
    pub left: &'a Packed,
    pub right: Right<'a>,
}

/// One C and what it is the sum of.
pub(crate) struct Output<'a> {
    pub c: ColumnsMut<'a>,
    pub alpha: f32,
    /// Factor on what C holds; 0 does not read it.
    pub beta: f32,
    /// At least one. All have C's rows and columns.
    pub terms: Vec<Term<'a>>,
}

/// A pointer into C that tasks share; each writes its own tiles.
#[derive(Clone, Copy)]
struct Target {
    c: *mut f32,
    stride: usize,
    cols: usize,
    alpha: f32,
    beta: f32,
}
// SAFETY: tasks write disjoint parts.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// `c[m,n] = alpha·left[m,k]·right[k,n] + beta·c`.
pub(crate) fn product(kernel: &Kernel, alpha: f32, left: Left, right: Right, beta: f32, c: MatMut, parallel: bool) {
    let (m, k, n) = (left.rows(), left.depth(), right.columns());
    assert_eq!(k, right.depth(), "the operands' common dimension");
    assert_eq!((m, n), (c.rows, c.cols), "the shape of the result");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 || alpha == 0.0 {
        return scale(&mut c.into(), beta);
    }
    if let Left::Rows(a) = left
        && few::suits(m, &right)
    {
        return few::product(kernel, alpha, a, right, beta, c, parallel && m * n * k >= SERIAL);
    }
    let left = Packed::new(kernel, left, parallel);
    sums(kernel, vec![Output { c: c.into(), alpha, beta, terms: vec![Term { left: &left, right }] }], parallel);
}

/// Computes all outputs, which have the same number of rows.
pub(crate) fn sums(kernel: &Kernel, mut outputs: Vec<Output>, parallel: bool) {
    outputs.retain(|o| o.c.rows > 0 && o.c.cols > 0);
    let Some(first) = outputs.first().and_then(|o| o.terms.first()) else { return };
    let (rows, strips) = (first.left.rows, first.left.strips);
    let mut work = 0;
    for output in &outputs {
        assert!(!output.terms.is_empty(), "a sum of nothing");
        for Term { left, right } in &output.terms {
            assert!(left.suits(kernel), "an operand packed for another kernel");
            assert_eq!(left.depth, right.depth(), "the operands' common dimension");
            assert_eq!((left.rows, right.columns()), (output.c.rows, output.c.cols), "the shape of the result");
            assert_eq!(left.rows, rows, "outputs of different numbers of rows");
            work += rows * left.depth * output.c.cols;
        }
    }
    if work == 0 {
        outputs.iter_mut().for_each(|o| scale(&mut o.c, o.beta));
        return;
    }
    let threads = if parallel && work >= SERIAL { rayon::current_num_threads() } else { 1 };
    let cuts = cut(kernel, &outputs, strips, threads);
    let lanes = cut::lanes(kernel, &cuts);
    let targets: Vec<Target> = outputs
        .iter_mut()
        .map(|o| Target { c: o.c.data, stride: o.c.stride, cols: o.c.cols, alpha: o.alpha, beta: o.beta })
        .collect();
    let terms: Vec<&[Term]> = outputs.iter().map(|o| &o.terms[..]).collect();

    let tasks: usize = cuts.iter().map(|c| c.groups * c.chunks).sum();
    let run = |mut task: usize| {
        for ((cut, terms), target) in cuts.iter().zip(&terms).zip(&targets) {
            let here = cut.groups * cut.chunks;
            if task >= here {
                task -= here;
                continue;
            }
            // Neighbouring tasks share panels.
            let (group, chunk) = (task / cut.chunks, task % cut.chunks);
            let panels = group * cut.group..cut.panels.min((group + 1) * cut.group);
            let strips = chunk * cut.chunk..strips.min((chunk + 1) * cut.chunk);
            return compute(kernel, cut, terms, target, panels, strips, &mut Scratch::take(lanes));
        }
    };
    pool::for_each_task(tasks, threads > 1, run);
}

/// One task: `panels` of C for the rows of `strips`.
fn compute(
    kernel: &Kernel,
    cut: &Cut,
    terms: &[Term],
    target: &Target,
    panels: Range<usize>,
    strips: Range<usize>,
    scratch: &mut Scratch,
) {
    let nr = kernel.nr;
    let left = terms[0].left;
    let panel_lanes = cut.units * nr;
    let tile_lanes = kernel.mr * nr;
    let (panel_data, aside) = scratch.lanes().split_at_mut(cut.task_lanes(kernel)[0]);
    let (panel_data, aside) = (panel_data.as_mut_ptr(), aside.as_mut_ptr().cast::<f32>());
    let columns = (panels.start * nr, target.cols.min(panels.end * nr));

    for (s, stretch) in cut.stretches.iter().enumerate() {
        let mut unit = 0;
        for part in &stretch.parts {
            let term = &terms[part.term];
            let per_unit = kernel.per_unit();
            let k = part.units.start * per_unit..term.left.depth.min(part.units.end * per_unit);
            // SAFETY: the scratch has room for these panels, and for the sums behind them.
            unsafe { term.right.pack(kernel, columns, k, panel_data, panel_lanes, unit) };
            unit += part.units.len();
        }
        for strip in strips.clone() {
            let height = left.height_of(strip);
            let first_row = strip * left.height;
            let mut a = [(std::ptr::null(), 0); MOST_PARTS];
            for (a, part) in a.iter_mut().zip(&stretch.parts) {
                *a = (terms[part.term].left.strip(strip, part.units.start), part.units.len());
            }
            for (i, panel) in panels.clone().enumerate() {
                let cols = nr.min(target.cols - panel * nr);
                let tile = Tile {
                    a: &a[..stretch.parts.len()],
                    a_step: height,
                    b: panel_data.wrapping_add(i * panel_lanes),
                    b_step: kernel.lanes(cols),
                    c: target.c.wrapping_add(first_row * target.stride + panel * nr),
                    c_stride: target.stride,
                    cols,
                    alpha: target.alpha,
                    beta: target.beta,
                    partial: aside.wrapping_add(((strip - strips.start) * panels.len() + i) * tile_lanes),
                    first: s == 0,
                    last: s + 1 == cut.stretches.len(),
                };
                // SAFETY: strips and panel are packed for these units; the tile lies in C, and no other task has it.
                unsafe { (kernel.tile)(height, kernel.lanes(cols), &tile) };
            }
        }
    }
}

/// `c = beta·c`, what is left of a product with nothing to sum.
fn scale(c: &mut ColumnsMut, beta: f32) {
    for r in 0..c.rows {
        let row = c.row_mut(r);
        if beta == 0.0 {
            row.fill(0.0);
        } else {
            row.iter_mut().for_each(|v| *v *= beta);
        }
    }
}
