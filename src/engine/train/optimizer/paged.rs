//! Moments in a file: a page of them is read, updated and written back at a time, by several threads at once. Numbers and
//! bits are those of `adamw`. What a run needs to go on after it was killed is in its checkpoints.

use std::path::Path;

use rayon::prelude::*;

use super::{Step, TensorView};
use crate::engine::Result;
use crate::engine::scratch_file::{Actions, ScratchFile};

/// Parameters of a page: 256 KiB of each moment, enough for a disk to be fast.
const PAGE: usize = 64 * 1024;

/// Pages that are worked on at once, 4 MiB of buffers in all: a constant, so that the memory plan knows it.
const PAGES: usize = 8;

const ACTIONS: Actions = Actions {
    make: "make the optimizer's file",
    read: "read the optimizer's file",
    write: "write the optimizer's file",
};

/// Bytes of the buffers for so many parameters.
pub(super) fn buffer_bytes(parameters: usize) -> u64 {
    let (pages, page) = buffers(parameters);
    (8 * pages * page) as u64
}

/// Number and parameters of the pages in memory.
fn buffers(parameters: usize) -> (usize, usize) {
    (parameters.div_ceil(PAGE).min(PAGES), parameters.min(PAGE))
}

/// The moments of all tensors.
#[derive(Debug)]
pub(super) struct PagedMoments {
    /// Parameters of each tensor.
    tensors: Vec<usize>,
    /// All of them.
    parameters: usize,
    /// First moments, then second ones.
    file: ScratchFile,
    /// First and second moments of the pages in memory.
    pages: Vec<[Vec<f32>; 2]>,
}

impl PagedMoments {
    /// Zeros, in a file in `folder`.
    pub(super) fn new(tensors: Vec<usize>, folder: &Path) -> Result<PagedMoments> {
        let parameters = tensors.iter().sum();
        let file = ScratchFile::zeros(folder, 2 * parameters, ACTIONS)?;
        let (pages, page) = buffers(parameters);
        let pages = (0..pages).map(|_| [vec![0.0; page], vec![0.0; page]]).collect();
        Ok(PagedMoments { tensors, parameters, file, pages })
    }

    #[cfg(test)]
    pub(super) fn bytes_in_memory(&self) -> usize {
        self.pages.iter().flatten().map(|page| size_of_val(page.as_slice())).sum()
    }

    /// One update.
    pub(super) fn step(&mut self, step: &Step, params: &mut [f32], grads: &[f32]) -> Result<()> {
        assert!(params.len() == self.parameters && grads.len() == self.parameters, "moments of other parameters");
        let mut pages = std::mem::take(&mut self.pages);
        let round = (pages.len() * PAGE).max(1);
        let result = params.chunks_mut(round).zip(grads.chunks(round)).enumerate().try_for_each(|(i, (p, g))| {
            let numbers = p.par_chunks_mut(PAGE).zip(g.par_chunks(PAGE));
            pages.par_iter_mut().zip(numbers).enumerate().try_for_each(|(page, ([m, v], (p, g)))| {
                let at = i * round + page * PAGE;
                let (m, v) = (&mut m[..p.len()], &mut v[..p.len()]);
                self.file.read(at, m)?;
                self.file.read(self.parameters + at, v)?;
                step.of_full(p, g, m, v);
                self.file.write(at, m)?;
                self.file.write(self.parameters + at, v)
            })
        });
        self.pages = pages;
        result
    }

    /// Replaces the moments of a tensor.
    pub(super) fn write(&mut self, tensor: usize, m: &[f32], v: &[f32]) -> Result<()> {
        let n = self.tensors[tensor];
        assert!(m.len() == n && v.len() == n, "moments of another tensor");
        let at = self.tensors[..tensor].iter().sum::<usize>();
        self.file.write(at, m)?;
        self.file.write(self.parameters + at, v)
    }

    /// Where the moments of every tensor lie.
    pub(super) fn views(&self) -> Vec<TensorView<'_>> {
        let mut at = 0;
        let view = |n: &usize| {
            let (m, v) = (4 * at as u64, 4 * (self.parameters + at) as u64);
            at += n;
            TensorView::File { file: self.file.file(), m, v }
        };
        self.tensors.iter().map(view).collect()
    }
}
