//! What curves cost: `cargo bench --bench plots`. The goal: four plots of a million points each drawn in 4 ms of CPU at
//! the 99th percentile, rasterising excluded.
//!
//! A plain program, because the goal is a percentile of frames, which benchmark harnesses do not report.

use std::hint::black_box;
use std::time::{Duration, Instant};

use eframe::egui::{Color32, Context, Event, Pos2, RawInput, Rect, Vec2};
use lora_studio::app::series::{Curve, Series};
use lora_studio::ui::plot::{CurvePlot, LinkedPlots, PlotState, Unit};

const POINTS: u32 = 1_000_000;
const COLUMNS: usize = 1200;
const FRAMES: usize = 1000;

fn value(step: u32) -> f64 {
    let x = f64::from(step);
    2.0 + 2.0 * (-x / 2e5).exp() + 0.3 * (x * 12.9898).sin() * (x * 0.78).cos()
}

/// Time that this thread has had a processor, in nanoseconds, so that what else runs on the machine does not count.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn cpu_time(_since: Instant) -> Duration {
    // From the C library that the standard library links: CLOCK_THREAD_CPUTIME_ID of linux/time.h, and a timespec.
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0; 2];
    // SAFETY: on 64-bit Linux a timespec is two 64-bit integers, and `time` outlives the call.
    let failed = unsafe { clock_gettime(3, &mut time) } != 0;
    assert!(!failed, "the system has no clock of a thread's CPU time");
    Duration::new(time[0] as u64, time[1] as u32)
}

/// Elsewhere the time of day: run it on a machine that does nothing else.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn cpu_time(since: Instant) -> Duration {
    since.elapsed()
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{name:<58} p50 {:.3} ms   p99 {:.3} ms   max {:.3} ms", at(0.5), at(0.99), at(1.0));
}

fn main() {
    append_and_view();
    for smoothing in [0.0, 0.9] {
        let name = if smoothing == 0.0 { "" } else { " and its smoothed curve" };
        report(&format!("frame, 4 plots of 1M points{name}, live"), frames(smoothing, false));
        report(&format!("frame, 4 plots of 1M points{name}, hovered"), frames(smoothing, true));
    }
}

fn append_and_view() {
    let begin = Instant::now();
    let mut series: Vec<Series> = vec![Series::default(); 4];
    for step in 1..=POINTS {
        series.iter_mut().for_each(|s| s.push(f64::from(step), value(step)));
    }
    let each = begin.elapsed().as_secs_f64() * 1e9 / f64::from(4 * POINTS);
    let bytes = series.iter().map(Series::bytes).sum::<usize>() as f64 / 4.0 / f64::from(POINTS);
    println!("append: {each:.1} ns and {bytes:.2} bytes a point");
    let mut out = Vec::new();
    let mut times = Vec::new();
    for i in 0..FRAMES {
        let from = (i * 700) as f64;
        let start = cpu_time(begin);
        series.iter().for_each(|s| s.view(from..=1e6, COLUMNS, black_box(&mut out)));
        times.push(cpu_time(begin) - start);
    }
    report("view of 4 series at 1200 px", times);
    let mut curve = Curve::new(0.5);
    (1..=POINTS).for_each(|step| curve.push(f64::from(step), value(step)));
    let smoothed = |weight| {
        let start = cpu_time(begin);
        curve.set_smoothing(weight);
        cpu_time(begin) - start
    };
    report("smoothing of 1M points changed", (0..100).map(|i| 0.5 + 0.004 * f64::from(i)).map(smoothed).collect());
}

/// Times of `Context::run_ui` and `Context::tessellate` while points arrive.
fn frames(smoothing: f64, hovered: bool) -> Vec<Duration> {
    let mut curves: Vec<Curve> = vec![Curve::new(smoothing); 4];
    for step in 1..=POINTS {
        curves.iter_mut().for_each(|c| c.push(f64::from(step), value(step)));
    }
    let titles = ["Loss", "Gradient norm", "Speed", "Learning rate"];
    let mut states: [PlotState; 4] = Default::default();
    let mut linked = LinkedPlots::new("bench");
    let context = Context::default();
    let start = Instant::now();
    let mut times = Vec::new();
    for frame in 0..FRAMES + 20 {
        let step = POINTS + 1 + frame as u32;
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, Vec2::new(COLUMNS as f32 + 120.0, 960.0))),
            time: Some(frame as f64 / 60.0),
            ..RawInput::default()
        };
        if hovered {
            input.events.push(Event::PointerMoved(Pos2::new(200.0 + frame as f32 % 900.0, 120.0)));
        }
        let begin = cpu_time(start);
        curves.iter_mut().for_each(|c| c.push(f64::from(step), value(step)));
        let mut output = context.run_ui(input, |ui| {
            linked.cover(ui.ctx(), curves.iter().map(Curve::raw));
            for ((title, curve), state) in titles.into_iter().zip(&curves).zip(&mut states) {
                CurvePlot::new(title, Unit::None).curve("train", curve, Color32::from_rgb(0, 114, 178)).show(
                    ui,
                    state,
                    &mut linked,
                );
            }
        });
        let shapes = std::mem::take(&mut output.shapes);
        black_box(context.tessellate(shapes, output.pixels_per_point));
        // The first frames measure the letters.
        if frame >= 20 {
            times.push(cpu_time(start) - begin);
        }
        output.drop_without_applying_deltas();
    }
    times
}
