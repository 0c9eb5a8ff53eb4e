//! A curve with its smoothed variant.

use super::{Point, Series};

/// An exponential moving average that starts without a bias towards zero, as TensorBoard draws it:
/// `s ← w·s + (1−w)·y`, shown as `s / (1 − wⁿ)` after n values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema {
    weight: f64,
    sum: f64,
    /// wⁿ: the share of the average that no value has claimed yet.
    unclaimed: f64,
}

impl Ema {
    /// `weight` is TensorBoard's smoothing: 0 follows the values, 0.99 hardly moves. It is kept within 0 ..= 0.9999.
    pub fn new(weight: f64) -> Ema {
        let weight = if weight.is_finite() { weight.clamp(0.0, 0.9999) } else { 0.0 };
        Ema { weight, sum: 0.0, unclaimed: 1.0 }
    }

    /// The average after one more value. A value that is no finite number gives NaN and changes nothing.
    pub fn next(&mut self, value: f64) -> f64 {
        self.next_many(value, 1)
    }

    /// The average after `count` values of which only the mean is known.
    fn next_many(&mut self, mean: f64, count: u32) -> f64 {
        if !mean.is_finite() || count == 0 {
            return f64::NAN;
        }
        let kept = self.weight.powi(count.min(i32::MAX as u32) as i32);
        self.sum = kept * self.sum + (1.0 - kept) * mean;
        self.unclaimed *= kept;
        self.sum / (1.0 - self.unclaimed)
    }
}

/// A series and its smoothed variant, which grows with it.
///
/// Changing the smoothing recomputes the variant from what the series keeps, at most 32,768 values, in well under a
/// frame: exact over the newest points, with one value a bucket (weighted by its mean) before them.
#[derive(Clone, Debug)]
pub struct Curve {
    raw: Series,
    smooth: Series,
    ema: Ema,
}

impl Curve {
    /// An empty curve; see [`Ema::new`] for `weight`.
    pub fn new(weight: f64) -> Curve {
        Curve { raw: Series::default(), smooth: Series::default(), ema: Ema::new(weight) }
    }

    /// Appends a point, as [`Series::push`] does.
    pub fn push(&mut self, x: f64, y: f64) {
        if !x.is_finite() {
            return;
        }
        if self.raw.last().is_some_and(|last| x <= last[0]) {
            self.truncate_after(x.next_down());
        }
        self.raw.push(x, y);
        self.smooth.push(x, self.ema.next(y));
    }

    /// Forgets the points behind `x`, as [`Series::truncate_after`] does.
    pub fn truncate_after(&mut self, x: f64) {
        if self.raw.last().is_some_and(|last| last[0] > x) {
            self.raw.truncate_after(x);
            self.recompute();
        }
    }

    /// Forgets the points; the smoothing stays.
    pub fn clear(&mut self) {
        *self = Curve::new(self.ema.weight);
    }

    /// Sets how much is smoothed; see [`Ema::new`].
    pub fn set_smoothing(&mut self, weight: f64) {
        let ema = Ema::new(weight);
        if ema.weight != self.ema.weight {
            self.ema = ema;
            self.recompute();
        }
    }

    /// How much is smoothed; see [`Ema::new`].
    pub fn smoothing(&self) -> f64 {
        self.ema.weight
    }

    /// The points as they came.
    pub fn raw(&self) -> &Series {
        &self.raw
    }

    /// The smoothed points.
    pub fn smooth(&self) -> &Series {
        &self.smooth
    }

    fn recompute(&mut self) {
        self.ema = Ema::new(self.ema.weight);
        self.smooth = Series::default();
        let raw = &self.raw;
        let recent_from = raw.recent.front().map_or(f64::INFINITY, |p| p[0]);
        for bucket in raw.levels[0].iter().take_while(|b| b.first[0] < recent_from) {
            // Of a bucket that reaches into the newest points only the older part counts here.
            let known = raw.recent.iter().take_while(|p| p[0] <= bucket.last[0]).filter(|p| p[1].is_finite());
            let (sum, count) = known.fold((0.0, 0), |(sum, count), p: &Point| (sum + p[1], count + 1));
            let finite = bucket.finite.saturating_sub(count);
            let x = if bucket.last[0] < recent_from { bucket.last[0] } else { bucket.first[0] };
            let mean = if count == 0 { bucket.mean() } else { (bucket.sum - sum) / f64::from(finite) };
            self.smooth.push(x, self.ema.next_many(mean, finite));
        }
        for point in &raw.recent {
            self.smooth.push(point[0], self.ema.next(point[1]));
        }
    }
}
