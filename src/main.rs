//! The `lora-studio` program: arguments in, exit status out.

use std::process::ExitCode;

use lora_studio::engine::memory::heap::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

fn main() -> ExitCode {
    small_pages();
    heap::gives_back_with(give_back);
    lora_studio::cli::main()
}

/// The allocator asks for pages of 2 MiB, of which a small run then holds many that it hardly uses: a fifth more memory than
/// was planned, and no faster (docs/performance.md).
fn small_pages() {
    #[cfg(target_os = "linux")]
    {
        // From the C library that the standard library links; PR_SET_THP_DISABLE of linux/prctl.h.
        unsafe extern "C" {
            fn prctl(option: i32, ...) -> i32;
        }
        const PR_SET_THP_DISABLE: i32 = 41;
        // SAFETY: the option takes four numbers, of which the last three are 0. A kernel that refuses changes nothing.
        unsafe { prctl(PR_SET_THP_DISABLE, 1_usize, 0_usize, 0_usize, 0_usize) };
    }
}

/// Memory that this thread has freed goes back to the system now, and not when the allocator thinks fit.
fn give_back() {
    // mimalloc.h, "Extended functions".
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: it may be called at any time, from any thread.
    unsafe { mi_collect(true) };
}
