//! How far a download is, and how fast.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::listing::RemoteFile;
use super::problem::cancelled;
use crate::engine::Result;

/// Time between two calls.
const EVERY: Duration = Duration::from_millis(100);
/// The speed is the mean over this time: steady enough to read, quick enough to see a change.
const WINDOW: Duration = Duration::from_secs(5);

/// How far a download is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The file that arrives, with its folders in the repository.
    pub file: String,
    /// Bytes of that file.
    pub file_bytes: u64,
    /// Bytes of that file that are there.
    pub file_done: u64,
    /// Bytes of all files that are there, those from earlier downloads included.
    pub done_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// What came over the network lately.
    pub bytes_per_second: f64,
    /// Tries that failed in a row; above 0 the connection is lost at the moment.
    pub retries: u32,
}

/// Counts bytes and asks whether to go on.
pub(super) struct Meter<'a> {
    now: Progress,
    /// Bytes of all files before the current one.
    before: u64,
    started: Instant,
    received: u64,
    window: VecDeque<(Instant, u64)>,
    last: Option<Instant>,
    cancel: Option<Arc<AtomicBool>>,
    call: &'a mut dyn FnMut(&Progress) -> bool,
}

impl<'a> Meter<'a> {
    pub fn new(
        total: u64,
        done: u64,
        cancel: Option<Arc<AtomicBool>>,
        call: &'a mut dyn FnMut(&Progress) -> bool,
    ) -> Meter<'a> {
        let now = Progress { total_bytes: total, done_bytes: done, ..Progress::default() };
        let started = Instant::now();
        Meter { now, before: done, started, received: 0, window: VecDeque::new(), last: None, cancel, call }
    }

    /// A file begins.
    pub fn begin(&mut self, file: &RemoteFile) {
        self.before = self.now.done_bytes;
        self.now.file = file.path.clone();
        self.now.file_bytes = file.size;
        self.at(0);
    }

    /// So much of the file is there, without the network.
    pub fn at(&mut self, length: u64) {
        self.now.file_done = length;
        self.now.done_bytes = self.before + length;
    }

    /// [`Meter::at`], while it is being read.
    pub fn found(&mut self, length: u64) -> bool {
        self.at(length);
        self.tick(0)
    }

    /// Bytes came over the network.
    pub fn received(&mut self, bytes: u64) -> bool {
        self.received += bytes;
        self.at(self.now.file_done + bytes);
        self.tick(0)
    }

    /// Time passed.
    pub fn tick(&mut self, retries: u32) -> bool {
        if self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::SeqCst)) {
            return false;
        }
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < EVERY) {
            return true;
        }
        self.last = Some(now);
        self.now.retries = retries;
        self.now.bytes_per_second = self.speed(now);
        (self.call)(&self.now)
    }

    /// The file is there; always shown.
    pub fn finish(&mut self, file: &RemoteFile) -> Result<()> {
        self.at(file.size);
        self.last = None;
        if self.tick(0) { Ok(()) } else { Err(cancelled()) }
    }

    fn speed(&mut self, now: Instant) -> f64 {
        self.window.push_back((now, self.received));
        while self.window.len() > 2 && self.window.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.window.pop_front();
        }
        let (from, bytes) = match self.window.front() {
            Some(&(at, bytes)) if at < now => (at, bytes),
            _ => (self.started, 0),
        };
        let seconds = (now - from).as_secs_f64();
        if seconds > 0.0 { (self.received - bytes) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_counts_as_done_but_not_as_speed() {
        let file = RemoteFile { path: "x".into(), size: 1000, etag: String::new() };
        let mut seen = Vec::new();
        let mut record = |p: &Progress| {
            seen.push(p.clone());
            true
        };
        let mut meter = Meter::new(1500, 500, None, &mut record);
        meter.begin(&file);
        assert!(meter.found(600));
        std::thread::sleep(Duration::from_millis(120));
        assert!(meter.received(0));
        assert!(meter.received(400));
        meter.finish(&file).unwrap();
        assert_eq!((seen[0].done_bytes, seen[0].file_done), (1100, 600));
        assert_eq!(seen[1].bytes_per_second, 0.0);
        let last = seen.last().unwrap();
        assert_eq!((last.done_bytes, last.total_bytes, last.file_done), (1500, 1500, 1000));
        assert!(last.bytes_per_second > 0.0 && last.bytes_per_second <= 400.0 / 0.1);
    }

    #[test]
    fn a_raised_flag_stops_at_once() {
        let flag = Arc::new(AtomicBool::new(false));
        let mut call = |_: &Progress| true;
        let mut meter = Meter::new(1, 0, Some(flag.clone()), &mut call);
        assert!(meter.tick(0));
        flag.store(true, Ordering::SeqCst);
        assert!(!meter.tick(0));
    }
}
