//! The table of model sizes and memories, computed once on a thread of its own.

use super::job::{Job, Waker};
use crate::engine::memory::table::{Row, hardware_table};
use crate::engine::memory::{Machine, Program};

/// The table, once it is there.
#[derive(Default)]
pub struct Sizes {
    job: Option<Job<Vec<Row>>>,
    rows: Option<Vec<Row>>,
}

impl Sizes {
    /// Begins to compute it, if nobody has.
    pub fn begin(&mut self, waker: &Waker) {
        if self.unknown() {
            let work = |_: &super::job::Task| Ok(hardware_table(Program::measured(), Machine::this()));
            self.job = Some(Job::spawn("sizes", waker, work));
        }
    }

    /// Whether nobody has asked for it yet.
    pub fn unknown(&self) -> bool {
        self.job.is_none() && self.rows.is_none()
    }

    /// Takes the result.
    pub fn drain(&mut self) {
        if let Some(result) = self.job.as_mut().and_then(Job::poll) {
            self.job = None;
            self.rows = result.ok();
        }
    }

    /// The rows, when they are known.
    pub fn rows(&self) -> Option<&[Row]> {
        self.rows.as_deref()
    }
}
