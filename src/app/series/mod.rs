//! A curve of a run: millions of points in bounded memory, drawn in a bounded number of points.
//!
//! The newest [`RECENT`] points are kept as they are. The whole run is kept in buckets of neighbouring points, of which
//! the first, lowest, highest and last survive, at several levels of four buckets to one: a spike shows at any zoom.
//! When the finest level has more than [`MAX_BUCKETS`] buckets it is dropped, and the next one takes its place.
//!
//! Memory: 16 bytes for each of the newest 16,384 points, and 80 · 4/3 ÷ 16 ≈ 6.7 bytes for each point of the first
//! 262,144; from then on it stays below 2 MiB whatever the length of the run (2 bytes a point for 1,000,000 points).
//!
//! ```
//! use lora_studio::app::series::Series;
//!
//! let mut loss = Series::default();
//! for step in 1..=1_000_000 {
//!     loss.push(step as f64, if step == 500_000 { 9.0 } else { 2.0 });
//! }
//! let mut points = Vec::new();
//! loss.view(1.0..=1e6, 1200, &mut points);
//! assert!(points.len() <= 4 * 1200 + 2 && points.contains(&[500_000.0, 9.0]));
//! ```

mod bucket;
mod csv;
mod smooth;
mod view;

use std::collections::VecDeque;

use bucket::Bucket;
pub use bucket::Point;
pub use csv::{export_csv, export_run_csv, series_csv};
pub use smooth::{Curve, Ema};

/// How many of the newest points are kept at full resolution.
pub const RECENT: usize = 16_384;
/// Points of a bucket of the finest level, to begin with.
const FIRST_WIDTH: usize = 16;
/// Buckets of one level that become one of the next.
const FAN: usize = 4;
/// Buckets that the finest level may have.
pub const MAX_BUCKETS: usize = 16_384;

/// Points in order of x. See the module for what is kept of them.
#[derive(Clone, Debug)]
pub struct Series {
    recent: VecDeque<Point>,
    /// Finest first; each level but the finest summarises the one before it. The last has one bucket.
    levels: Vec<Vec<Bucket>>,
    /// Points of a full bucket of the finest level.
    width: usize,
}

impl Default for Series {
    fn default() -> Self {
        Series { recent: VecDeque::new(), levels: vec![Vec::new()], width: FIRST_WIDTH }
    }
}

impl Series {
    /// Appends a point. A y that is no finite number becomes a gap in the curve and is counted. A point at or before
    /// the last one replaces everything from there on, as a resumed run does. A step that is no number is ignored.
    pub fn push(&mut self, x: f64, y: f64) {
        if !x.is_finite() {
            return;
        }
        if self.last().is_some_and(|last| x <= last[0]) {
            self.truncate_after(x.next_down());
        }
        let point = [x, y];
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(point);
        match self.levels[0].last_mut() {
            Some(bucket) if bucket.len() < self.width => bucket.add(point),
            _ => self.levels[0].push(Bucket::new(point)),
        }
        for k in 1..self.levels.len() {
            let parent = (self.levels[k - 1].len() - 1) / FAN;
            match self.levels[k].get_mut(parent) {
                Some(bucket) => bucket.add(point),
                None => self.levels[k].push(Bucket::new(point)),
            }
        }
        self.add_top();
        if self.levels[0].len() > MAX_BUCKETS {
            self.levels.remove(0);
            self.width *= FAN;
        }
    }

    /// Forgets the points behind `x`, because the run goes on from there. Exact while `x` lies within the newest
    /// [`RECENT`] points; further back, the bucket that holds `x` keeps those of its four points that lie before it.
    pub fn truncate_after(&mut self, x: f64) {
        while self.recent.back().is_some_and(|p| p[0] > x) {
            self.recent.pop_back();
        }
        let base = &mut self.levels[0];
        let keep = base.partition_point(|b| b.last[0] <= x);
        let cut = base.get(keep).copied();
        base.truncate(keep);
        if let Some(cut) = cut {
            let recent_from = self.recent.front().map_or(f64::INFINITY, |p| p[0]);
            let from = self.recent.partition_point(|p| p[0] < cut.first[0]);
            let older = cut.points().filter(|p| p[0] <= x && p[0] < recent_from);
            let mut rest = older.chain(self.recent.range(from..).copied());
            if let Some(first) = rest.next() {
                let mut bucket = Bucket::new(first);
                rest.for_each(|p| bucket.add(p));
                self.levels[0].push(bucket);
            }
        }
        self.levels.truncate(1);
        while self.levels.last().is_some_and(|top| top.len() > 1) {
            self.add_top();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Series::default();
    }

    /// Number of points, gaps included.
    pub fn len(&self) -> usize {
        self.top().map_or(0, |b| b.len())
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.levels[0].is_empty()
    }

    /// Number of points whose y is no finite number.
    pub fn gaps(&self) -> usize {
        self.top().map_or(0, |b| b.gaps as usize)
    }

    /// The first point.
    pub fn first(&self) -> Option<Point> {
        self.top().map(|b| b.first)
    }

    /// The newest point; its y may be no number.
    pub fn last(&self) -> Option<Point> {
        self.top().map(|b| b.last)
    }

    /// The lowest finite point of the whole run.
    pub fn min(&self) -> Option<Point> {
        self.top().filter(|b| b.has_value()).map(|b| b.min)
    }

    /// The highest finite point of the whole run.
    pub fn max(&self) -> Option<Point> {
        self.top().filter(|b| b.has_value()).map(|b| b.max)
    }

    /// The kept point nearest to `x`: exact among the newest [`RECENT`] points, else one of the four of a bucket.
    pub fn nearest(&self, x: f64) -> Option<Point> {
        let base = &self.levels[0];
        let at = base.partition_point(|b| b.last[0] < x);
        let around = at.saturating_sub(1)..(at + 1).min(base.len());
        let nearer = |a: Point, b: Point| if (b[0] - x).abs() < (a[0] - x).abs() { b } else { a };
        let old = base[around].iter().flat_map(|b| b.points()).reduce(nearer);
        let at = self.recent.partition_point(|p| p[0] < x);
        let new = self.recent.range(at.saturating_sub(1)..(at + 1).min(self.recent.len())).copied().reduce(nearer);
        old.into_iter().chain(new).reduce(nearer)
    }

    /// Everything that is kept, in order of x: of the older part four points a bucket, then the newest as they are.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let recent_from = self.recent.front().map_or(f64::INFINITY, |p| p[0]);
        let older = self.levels[0].iter().take_while(move |b| b.first[0] < recent_from).flat_map(|b| b.points());
        older.filter(move |p| p[0] < recent_from).chain(self.recent.iter().copied())
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        let buckets: usize = self.levels.iter().map(Vec::capacity).sum();
        self.recent.capacity() * size_of::<Point>() + buckets * size_of::<Bucket>()
    }

    fn top(&self) -> Option<&Bucket> {
        self.levels.last().and_then(|top| top.first())
    }

    /// Summarises the top level when it has more than one bucket.
    fn add_top(&mut self) {
        let Some(top) = self.levels.last().filter(|top| top.len() > 1) else { return };
        let summary = |group: &[Bucket]| {
            let mut sum = group[0];
            group[1..].iter().for_each(|b| sum.merge(b));
            sum
        };
        let next = top.chunks(FAN).map(summary).collect();
        self.levels.push(next);
    }
}

#[cfg(test)]
mod tests;
