//! What the tests of the operations share: numbers, finite differences, errors.

/// `n` numbers that look normally distributed, with the given standard deviation; the same for the same seed.
pub fn normal(seed: u64, n: usize, std: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut uniform = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n)
        .map(|_| {
            let (a, b) = (uniform().max(1e-300), uniform());
            std * ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
        })
        .collect()
}

/// The gradient of `f` at `x` by central differences in `f64`, whose own error is about 1e-9.
pub fn gradient(x: &[f32], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    (0..x.len())
        .map(|i| {
            let (at, h) = (x[i], 1e-5);
            x[i] = at + h;
            let above = f(&x);
            x[i] = at - h;
            let below = f(&x);
            x[i] = at;
            (above - below) / (2.0 * h)
        })
        .collect()
}

/// ‖got − want‖ / ‖want‖; infinite when a number is not finite.
pub fn relative_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let mut difference = 0.0;
    let mut norm = 0.0;
    for (g, w) in got.iter().zip(want) {
        let g = f64::from(*g);
        if !g.is_finite() {
            return f64::INFINITY;
        }
        difference += (g - w) * (g - w);
        norm += w * w;
    }
    (difference / norm).sqrt()
}

/// Fails when the relative error is above `bound`.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], bound: f64) {
    let error = relative_error(got, want);
    println!("{what}: relative error {error:.2e}");
    assert!(error <= bound, "{what}: relative error {error:e}, bound {bound:e}");
}

/// The columns `start..start + cols` of rows that are `stride` apart, as a contiguous matrix.
pub fn columns(data: &[f32], rows: usize, stride: usize, start: usize, cols: usize) -> Vec<f32> {
    (0..rows).flat_map(|r| data[r * stride + start..][..cols].iter().copied()).collect()
}

/// Runs `f` in a pool of that many threads.
pub fn with_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(f)
}

/// Prints the best wall time of `runs` calls and, on Linux, their mean processor time over all threads, which other
/// programs on the machine disturb less.
pub fn time(what: &str, runs: usize, mut f: impl FnMut()) {
    f();
    let before = cpu_seconds();
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = std::time::Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let cpu = (cpu_seconds() - before) / runs as f64;
    println!("{what}: {:.3} ms, processor {:.3} ms", best * 1e3, cpu * 1e3);
}

/// Seconds on a processor of all threads of this process; 0 where /proc does not say.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() * 1e-9
}
