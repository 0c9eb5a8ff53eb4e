use super::*;

/// A small generator, so that every failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }
}

/// A noisy curve over uneven steps, with gaps and spikes.
fn points(n: usize, seed: u64) -> Vec<Point> {
    let mut random = Random(seed);
    let mut x = 0.0;
    let point = |i| {
        x += 1.0 + random.below(3) as f64;
        let y = match random.below(200) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => 40.0 * random.next(),
            _ => 2.0 + random.next() + 3.0 * (-(i as f64) / n as f64).exp(),
        };
        [x, y]
    };
    (0..n).map(point).collect()
}

fn series(points: &[Point]) -> Series {
    let mut series = Series::default();
    points.iter().for_each(|p| series.push(p[0], p[1]));
    series
}

/// Bits, so that a gap equals itself.
fn bits(points: &[Point]) -> Vec<[u64; 2]> {
    points.iter().map(|p| p.map(f64::to_bits)).collect()
}

/// First, lowest, highest and last of each column, written down in the plainest way.
fn brute_view(points: &[Point], start: f64, end: f64, pixels: usize) -> Vec<Point> {
    let column = |x: f64| (((x - start) * (pixels as f64 / (end - start))) as usize).min(pixels - 1);
    let mut out: Vec<Point> = points.iter().rfind(|p| p[0] < start).copied().into_iter().collect();
    for c in 0..pixels {
        let inside = |p: &&Point| (start..=end).contains(&p[0]) && column(p[0]) == c;
        let all: Vec<Point> = points.iter().filter(inside).copied().collect();
        let finite: Vec<Point> = all.iter().filter(|p| p[1].is_finite()).copied().collect();
        let low = finite.iter().copied().reduce(|a, b| if b[1] < a[1] { b } else { a });
        let high = finite.iter().copied().reduce(|a, b| if b[1] > a[1] { b } else { a });
        let mut four: Vec<Point> =
            [all.first().copied(), low, high, all.last().copied()].into_iter().flatten().collect();
        four.sort_by(|a, b| a[0].total_cmp(&b[0]));
        four.dedup_by(|a, b| a[0] == b[0]);
        out.extend(four);
    }
    out.extend(points.iter().find(|p| p[0] > end));
    out
}

#[test]
fn a_view_equals_brute_force_while_everything_is_kept() {
    let mut random = Random(7);
    let mut view = Vec::new();
    for n in [1, 2, 15, 16, 17, 63, 64, 65, 1000, 4097, RECENT] {
        let points = points(n, n as u64);
        let series = series(&points);
        let width = points[n - 1][0];
        for _ in 0..12 {
            let a = random.next() * width * 1.2 - 0.1 * width;
            let b = a + random.next() * (width * 1.1 - a).max(1.0) + 1e-3;
            let pixels = 1 + random.below(200);
            series.view(a..=b, pixels, &mut view);
            assert_eq!(bits(&view), bits(&brute_view(&points, a, b, pixels)), "{n} points, {a}..={b}, {pixels} px");
        }
    }
}

#[test]
fn a_view_of_a_long_run_is_ordered_real_bounded_and_keeps_the_extremes() {
    let points = points(400_000, 3);
    let series = series(&points);
    // More than one coarsening has happened, or the test is about nothing.
    assert_eq!(series.width, FIRST_WIDTH * FAN);
    let mut random = Random(11);
    let mut view = Vec::new();
    for _ in 0..60 {
        let a = random.next() * 700_000.0;
        let b = a + random.next() * (800_000.0 - a) + 5000.0;
        let pixels = 50 + random.below(1200);
        series.view(a..=b, pixels, &mut view);
        assert!(view.len() <= 4 * pixels + 2);
        assert!(view.windows(2).all(|w| w[0][0] < w[1][0]), "the order of the steps");
        for p in &view {
            let at = points.partition_point(|q| q[0] < p[0]);
            assert_eq!(points[at].map(f64::to_bits), p.map(f64::to_bits), "a point that was never appended");
        }
        let extremes = |a: f64, b: f64| Series::extremes(&points, &(a..=b)).unwrap();
        let (low, high) = Series::extremes(&view, &(a..=b)).unwrap();
        // At the two edges a bucket of at most 64 points, steps of at most 3, may hide what lies within it.
        let (inner_low, inner_high) = extremes(a + 64.0 * 3.0, b - 64.0 * 3.0);
        let (outer_low, outer_high) = extremes(a, b);
        assert!(outer_low <= low && low <= inner_low, "{low} is not within {outer_low} ..= {inner_low}");
        assert!(inner_high <= high && high <= outer_high, "{high} is not within {inner_high} ..= {outer_high}");
    }
}

#[test]
fn each_spike_of_a_long_run_survives_at_every_zoom() {
    let spikes = [3.0, 70_001.0, 299_999.0, 599_998.0];
    let mut series = Series::default();
    for step in 1..=600_000 {
        let x = f64::from(step);
        series.push(x, if spikes.contains(&x) { 50.0 } else { 1.0 });
    }
    let mut view = Vec::new();
    for pixels in [1, 2, 300, 1200] {
        for spike in spikes {
            for reach in [1e6, 1e5, 1e4, 1e3, 300.0] {
                series.view(spike - reach..=spike + reach, pixels, &mut view);
                assert!(Series::extremes(&view, &(spike - reach..=spike + reach)).unwrap().1 == 50.0);
            }
        }
    }
}

#[test]
fn memory_is_bounded_by_what_the_documentation_says() {
    let mut series = Series::default();
    let mut most = 0;
    for step in 1..=3_000_000u32 {
        series.push(f64::from(step), 1.0);
        if step % 1000 == 0 {
            most = most.max(series.bytes());
        }
    }
    assert_eq!(series.len(), 3_000_000);
    assert!(most < 2 << 20, "{most} bytes");
    assert_eq!(size_of::<Bucket>(), 80);
}

#[test]
fn gaps_are_kept_and_counted_and_do_not_hide_the_rest() {
    let mut series = Series::default();
    for (x, y) in [(1.0, 2.0), (2.0, f64::NAN), (3.0, f64::NEG_INFINITY), (4.0, 1.0), (f64::NAN, 7.0)] {
        series.push(x, y);
    }
    assert_eq!((series.len(), series.gaps()), (4, 2));
    assert_eq!((series.min(), series.max()), (Some([4.0, 1.0]), Some([1.0, 2.0])));
    let mut view = Vec::new();
    series.view(0.0..=5.0, 100, &mut view);
    assert_eq!(bits(&view), bits(&[[1.0, 2.0], [2.0, f64::NAN], [3.0, f64::NEG_INFINITY], [4.0, 1.0]]));

    let mut empty = Series::default();
    empty.view(0.0..=1.0, 100, &mut view);
    assert!(view.is_empty() && empty.nearest(1.0).is_none() && empty.min().is_none());
    empty.push(1.0, f64::NAN);
    assert_eq!((empty.min(), empty.gaps()), (None, 1));
}

#[test]
fn a_rewound_series_is_the_one_that_never_went_further() {
    for (n, cut) in [(100, 0), (100, 1), (100, 50), (100, 64), (5000, 4097), (100_000, 90_000), (300_000, 290_000)] {
        let points = points(n, 5);
        let mut rewound = series(&points);
        rewound.truncate_after(if cut == 0 { 0.0 } else { points[cut - 1][0] });
        let mut straight = series(&points[..cut]);
        for more in 0..500 {
            let x = points[n - 1][0] + f64::from(more);
            rewound.push(x, f64::from(more));
            straight.push(x, f64::from(more));
        }
        assert_eq!((rewound.len(), rewound.gaps()), (straight.len(), straight.gaps()), "{n} to {cut}");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for range in [0.0..=1e6, points[cut.saturating_sub(300)][0]..=1e6] {
            rewound.view(range.clone(), 700, &mut a);
            straight.view(range, 700, &mut b);
            let old = n > RECENT;
            assert!(if old { a.last() == b.last() } else { bits(&a) == bits(&b) }, "{n} to {cut}");
        }
    }
}

#[test]
fn going_back_behind_the_newest_points_keeps_what_is_known() {
    let mut series = Series::default();
    (1..=200_000).for_each(|x| series.push(f64::from(x), f64::from(x % 10)));
    series.truncate_after(1003.0);
    assert!(series.last().unwrap()[0] <= 1003.0 && series.last().unwrap()[0] >= 1003.0 - 16.0);
    series.push(1004.0, 99.0);
    assert_eq!(series.last(), Some([1004.0, 99.0]));
    assert_eq!(series.max(), Some([1004.0, 99.0]));
    let mut view = Vec::new();
    series.view(0.0..=2000.0, 100, &mut view);
    assert!(view.windows(2).all(|w| w[0][0] < w[1][0]) && view.last() == Some(&[1004.0, 99.0]));
}

#[test]
fn an_earlier_step_replaces_what_came_after_it() {
    let mut series = Series::default();
    (1..=10).for_each(|x| series.push(f64::from(x), 1.0));
    series.push(7.0, 5.0);
    assert_eq!((series.len(), series.last(), series.max()), (7, Some([7.0, 5.0]), Some([7.0, 5.0])));
}

#[test]
fn the_nearest_point_is_found() {
    let points = points(RECENT, 9);
    let few = series(&points);
    let mut random = Random(1);
    for _ in 0..500 {
        let x = random.next() * points[points.len() - 1][0] * 1.1 - 5.0;
        let distance = |p: &Point| (p[0] - x).abs();
        let best = points.iter().map(distance).fold(f64::INFINITY, f64::min);
        assert_eq!(distance(&few.nearest(x).unwrap()), best);
    }
    let long = series(&(1..=100_000).map(|x| [f64::from(x), 1.0]).collect::<Vec<_>>());
    assert_eq!(long.nearest(99_000.4), Some([99_000.0, 1.0]));
    assert!((long.nearest(5000.0).unwrap()[0] - 5000.0).abs() <= 16.0);
}

#[test]
fn the_kept_points_are_in_order_and_end_with_the_newest() {
    let all = points(100_000, 2);
    let kept: Vec<Point> = series(&all).points().collect();
    assert!(kept.windows(2).all(|w| w[0][0] < w[1][0]));
    assert_eq!(bits(&kept[kept.len() - RECENT..]), bits(&all[all.len() - RECENT..]));
}

/// What TensorBoard's `smooth` does, in its own words (tensorboard, vz_line_chart2/line-chart.ts, `resmoothDataset`).
fn tensorboard(values: &[f64], weight: f64) -> Vec<f64> {
    let (mut last, mut count) = (0.0, 0);
    let smooth = |next: &f64| {
        if !next.is_finite() {
            return f64::NAN;
        }
        last = last * weight + (1.0 - weight) * next;
        count += 1;
        last / if weight == 0.0 { 1.0 } else { 1.0 - weight.powi(count) }
    };
    values.iter().map(smooth).collect()
}

#[test]
fn the_smoothed_curve_is_tensorboards() {
    let points = points(5000, 4);
    for weight in [0.0, 0.6, 0.99] {
        let mut curve = Curve::new(weight);
        points.iter().for_each(|p| curve.push(p[0], p[1]));
        let mut changed = Curve::new(0.3);
        points.iter().for_each(|p| changed.push(p[0], p[1]));
        changed.set_smoothing(weight);
        let expected = tensorboard(&points.iter().map(|p| p[1]).collect::<Vec<_>>(), weight);
        for (curve, how) in [(&curve, "kept up"), (&changed, "computed again")] {
            let smooth: Vec<Point> = curve.smooth().points().collect();
            assert_eq!(smooth.len(), expected.len());
            for (got, want) in smooth.iter().zip(&expected) {
                let same = (got[1] - want).abs() < 1e-9 || (got[1].is_nan() && want.is_nan());
                assert!(same, "{how}: {} is not {want} at step {}", got[1], got[0]);
            }
        }
    }
}

#[test]
fn smoothing_a_long_run_again_stays_close_to_the_curve_that_was_kept_up() {
    let mut random = Random(6);
    let (mut kept, mut again) = (Curve::new(0.999), Curve::new(0.5));
    for step in 1..=300_000 {
        let y = 1.0 + 3.0 * (-f64::from(step) / 60_000.0).exp() + random.next();
        kept.push(f64::from(step), y);
        again.push(f64::from(step), y);
    }
    again.set_smoothing(0.999);
    for x in [1000.0, 50_000.0, 200_000.0, 283_000.0, 284_000.0, 299_999.0] {
        let (a, b) = (kept.smooth().nearest(x).unwrap(), again.smooth().nearest(x).unwrap());
        assert!((a[1] - b[1]).abs() < 0.03, "{a:?} and {b:?}");
    }
    // The next value continues both alike.
    kept.push(300_001.0, 1.0);
    again.push(300_001.0, 1.0);
    assert!((kept.smooth().last().unwrap()[1] - again.smooth().last().unwrap()[1]).abs() < 1e-4);
}

#[test]
fn a_rewound_curve_goes_on_like_one_that_never_went_further() {
    let points = points(3000, 8);
    let mut rewound = Curve::new(0.9);
    points.iter().for_each(|p| rewound.push(p[0], p[1]));
    rewound.push(points[1999][0], 2.5);
    let mut straight = Curve::new(0.9);
    points[..1999].iter().for_each(|p| straight.push(p[0], p[1]));
    straight.push(points[1999][0], 2.5);
    let bits = |c: &Curve| bits(&c.smooth().points().collect::<Vec<_>>());
    assert_eq!(bits(&rewound), bits(&straight));
}
