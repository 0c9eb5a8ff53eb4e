//! Inputs of layers that wait in a file for their backward.
//!
//! A layer whose forward is computed again needs its input until then. With [`Layout::offload`](super::Layout) these inputs
//! take turns in [`RING`] buffers: while the next layers are computed, a thread writes what they leave behind to the file, and
//! on the way back reads it again, two layers ahead of need. The last [`RING`] inputs are still in their buffers when the
//! backward begins, and never see the file. Buffers are handed over whole, so that no layer is computed on what is being
//! written.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::engine::scratch_file::{Actions, ScratchFile};
use crate::engine::{Error, Result};

/// Buffers that the inputs take turns in: the one that a layer reads, the one that it writes, and one on its way.
pub(super) const RING: usize = 3;

const ACTIONS: Actions = Actions {
    make: "make a file for the layers' inputs (train.checkpoint_offload)",
    read: "read the layers' inputs from their file (train.checkpoint_offload)",
    write: "write the layers' inputs to their file (train.checkpoint_offload)",
};

/// A buffer on its way to the file or back.
struct Job {
    layer: usize,
    buffer: Vec<f32>,
    /// Numbers that count: a batch may be smaller than the largest.
    len: usize,
    back: bool,
}

struct Done {
    layer: usize,
    buffer: Vec<f32>,
    result: Result<()>,
}

/// The file, and the thread that it belongs to.
#[derive(Debug)]
pub(super) struct Offload {
    /// `None` only while it is dropped, which ends the thread.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    /// Buffers that are with the thread.
    away: usize,
    /// Inputs of layers below this one are written.
    offloaded: usize,
}

impl Offload {
    /// For the inputs of the lowest `offloaded` layers, of at most `len` numbers each, in a file in `folder`.
    pub fn new(offloaded: usize, len: usize, folder: &Path) -> Result<Offload> {
        let in_file = offloaded.saturating_sub(RING);
        let file = ScratchFile::zeros(folder, in_file * len, ACTIONS)?;
        let (jobs, to_do) = sync_channel::<Job>(RING);
        let (finished, done) = sync_channel(RING);
        let work = move || {
            for Job { layer, mut buffer, len: used, back } in to_do {
                let result = match back {
                    true => file.read(layer * len, &mut buffer[..used]),
                    false => file.write(layer * len, &buffer[..used]),
                };
                if finished.send(Done { layer, buffer, result }).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("layer inputs".into()).spawn(work);
        let thread = thread.map_err(Error::io(ACTIONS.make, folder))?;
        Ok(Offload { jobs: Some(jobs), done, thread: Some(thread), away: 0, offloaded: in_file })
    }

    /// The forward is done with the input of `layer`: it goes to the file, if it will be needed and its buffer before that.
    pub fn put(&mut self, layer: usize, ring: &mut [Vec<f32>], len: usize) -> Result<()> {
        if layer < self.offloaded { self.send(layer, ring, len, false) } else { Ok(()) }
    }

    /// The buffer of `layer` is free: its input comes back from the file, if it is there.
    pub fn fetch(&mut self, layer: usize, ring: &mut [Vec<f32>], len: usize) -> Result<()> {
        if layer < self.offloaded { self.send(layer, ring, len, true) } else { Ok(()) }
    }

    /// Waits until the buffer of `layer` is back in its place.
    pub fn wait(&mut self, layer: usize, ring: &mut [Vec<f32>]) -> Result<()> {
        while self.away > 0 && ring[layer % RING].is_empty() {
            self.take_back(ring)?;
        }
        Ok(())
    }

    /// Waits for all buffers. What went wrong with them belonged to a pass that was given up, and was said.
    pub fn settle(&mut self, ring: &mut [Vec<f32>]) {
        while self.away > 0 {
            // Without an answer the thread is gone, and the next buffer that is sent says so.
            let before = self.away;
            if self.take_back(ring).is_err() && self.away == before {
                break;
            }
        }
    }

    fn send(&mut self, layer: usize, ring: &mut [Vec<f32>], len: usize, back: bool) -> Result<()> {
        let buffer = std::mem::take(&mut ring[layer % RING]);
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Job { layer, buffer, len, back }).map_err(|_| ended())?;
        self.away += 1;
        Ok(())
    }

    fn take_back(&mut self, ring: &mut [Vec<f32>]) -> Result<()> {
        let Done { layer, buffer, result } = self.done.recv().map_err(|_| ended())?;
        self.away -= 1;
        ring[layer % RING] = buffer;
        result
    }
}

fn ended() -> Error {
    Error::Other("the thread that keeps the layers' inputs in a file has ended".into())
}

impl Drop for Offload {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It cannot have more to say than its channel did.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back_and_a_file_that_cannot_be_made_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (layers, len) = (8, 5);
        let mut offload = Offload::new(layers, len, folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        let mut ring = vec![vec![0.0; len]; RING];
        let input = |layer: usize| (0..len).map(|i| (10 * layer + i) as f32).collect::<Vec<_>>();
        // Twice: what a pass left in the file is of no matter to the next.
        for used in [len, 3] {
            offload.settle(&mut ring);
            for layer in 0..layers {
                offload.wait(layer, &mut ring).unwrap();
                ring[layer % RING][..used].copy_from_slice(&input(layer)[..used]);
                if layer > 0 {
                    offload.put(layer - 1, &mut ring, used).unwrap();
                }
            }
            for layer in (0..layers).rev() {
                offload.wait(layer, &mut ring).unwrap();
                assert_eq!(ring[layer % RING][..used], input(layer)[..used], "{layer}");
                if let Some(before) = layer.checked_sub(RING) {
                    offload.fetch(before, &mut ring, used).unwrap();
                }
            }
        }
        // A pass that was given up in the middle.
        offload.put(0, &mut ring, len).unwrap();
        offload.settle(&mut ring);
        assert!(ring.iter().all(|buffer| buffer.len() == len));

        let missing = folder.path().join("missing");
        let error = Offload::new(layers, len, &missing).unwrap_err().to_string();
        assert!(
            error.starts_with("could not make a file for the layers' inputs (train.checkpoint_offload): "),
            "{error}"
        );
        assert!(error.ends_with("missing"), "{error}");
    }
}
