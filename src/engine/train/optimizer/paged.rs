//! Moments in a file: a page of them is read, updated and written back at a time, by several threads at once.
//!
//! Where the device is the processor, its memory is the host's, and nothing is gained by moving state to "the host". What
//! can be moved is the state out of the process: the system's file cache holds what it has room for, and when other
//! programs or the model need that room, the rest waits on the disk. Numbers and bits are those of `adamw`.
//!
//! The file has no name (on Unix), or goes away with the process (on Windows): a run that is killed leaves nothing behind,
//! and what it needs to go on is in its checkpoints. Plain reads and writes, not a mapping, because a disk that is full or
//! fails is then an error, and not the end of the process.

use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Step, TensorView};
use crate::engine::positioned::{read_exact_at, write_all_at};
use crate::engine::{Error, Result};

/// Parameters of a page: 256 KiB of each moment, enough for a disk to be fast.
const PAGE: usize = 64 * 1024;

/// Pages that are worked on at once, 4 MiB of buffers in all: a constant, so that the memory plan knows it.
const PAGES: usize = 8;

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
    /// First moments, then second ones, in the machine's byte order.
    file: File,
    /// Where it is, for errors.
    folder: PathBuf,
    /// First and second moments of the pages in memory.
    pages: Vec<[Vec<f32>; 2]>,
}

impl PagedMoments {
    /// Zeros, in a file in `folder`.
    pub(super) fn new(tensors: Vec<usize>, folder: &Path) -> Result<PagedMoments> {
        let parameters = tensors.iter().sum();
        let file = tempfile::tempfile_in(folder).map_err(Error::io("make the optimizer's file", folder))?;
        let (pages, page) = buffers(parameters);
        let pages = (0..pages).map(|_| [vec![0.0; page], vec![0.0; page]]).collect();
        let moments = PagedMoments { tensors, parameters, file, folder: folder.to_path_buf(), pages };
        // Written, and not only made longer: a disk without room for it is found now.
        let zeros = [0.0; 16 * 1024];
        for at in (0..2 * parameters).step_by(zeros.len()) {
            moments.write_at(at, &zeros[..zeros.len().min(2 * parameters - at)])?;
        }
        Ok(moments)
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
                self.read_at(at, m)?;
                self.read_at(self.parameters + at, v)?;
                step.of_full(p, g, m, v);
                self.write_at(at, m)?;
                self.write_at(self.parameters + at, v)
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
        self.write_at(at, m)?;
        self.write_at(self.parameters + at, v)
    }

    /// Where the moments of every tensor lie.
    pub(super) fn views(&self) -> Vec<TensorView<'_>> {
        let mut at = 0;
        let view = |n: &usize| {
            let (m, v) = (4 * at as u64, 4 * (self.parameters + at) as u64);
            at += n;
            TensorView::File { file: &self.file, m, v }
        };
        self.tensors.iter().map(view).collect()
    }

    fn read_at(&self, at: usize, into: &mut [f32]) -> Result<()> {
        let read = read_exact_at(&self.file, 4 * at as u64, bytemuck::cast_slice_mut(into));
        read.map_err(Error::io("read the optimizer's file in", &self.folder))
    }

    fn write_at(&self, at: usize, numbers: &[f32]) -> Result<()> {
        let written = write_all_at(&self.file, 4 * at as u64, bytemuck::cast_slice(numbers));
        written.map_err(Error::io("write the optimizer's file in", &self.folder))
    }
}
