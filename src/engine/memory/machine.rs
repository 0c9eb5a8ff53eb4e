//! What a plan needs to know of the machine and of the program itself.

use super::{heap, process};
use crate::engine::ops::cpu::{Isa, Kernel};
use crate::engine::ops::gemm::scratch;
use crate::engine::ops::{Compute, cpu};

/// Threads and instructions: they decide how products are cut, and so their working memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Threads of the products.
    pub threads: usize,
    /// Instructions of the products.
    pub isa: Isa,
}

impl Machine {
    /// The one that this program runs on.
    pub fn this() -> Machine {
        Machine { threads: rayon::current_num_threads(), isa: Isa::current() }
    }

    pub(super) fn kernel(&self, compute: Compute) -> &'static Kernel {
        cpu::Kernel::of(self.isa, compute)
    }
}

/// What the program holds before a run takes anything: its code, its threads, the tokenizer, the index of the rows. Measured,
/// because nobody can know it beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Program {
    /// Bytes of main memory.
    pub resident: u64,
    /// Bytes that it has allocated; 0 where the program's allocator does not count.
    pub allocated: u64,
}

/// Pages of the program's own code that only computing brings in, and what its threads have freed and not given back: 2 to 4 MB in
/// 60 runs of the smallest model with two threads, more or less as the system's cache has the program.
const BROUGHT_IN: u64 = 5 << 19;

impl Program {
    /// What it holds now, after giving back what it has freed, and will hold of its own when it computes.
    pub fn measured() -> Program {
        scratch::release();
        heap::give_back();
        Program { resident: process::resident_bytes() + BROUGHT_IN, allocated: heap::live_bytes() }
    }
}
