//! What to draw of a series: for each column of pixels the first, lowest, highest and last point, and no others.
//!
//! A line through those covers the same pixels as a line through all of them (M4: Jugel et al., "M4: A
//! Visualization-Oriented Time Series Data Aggregation", VLDB 2014).

use std::ops::RangeInclusive;

use super::{Bucket, FAN, Point, Series};

impl Series {
    /// Fills `out` with what a curve over `range` looks like in a plot of `pixels` columns: at most four points a
    /// column, and the neighbours on either side that the line comes from and goes to. Every point is one that was
    /// appended, in its order, and the extremes are among them; a gap is a point whose y is no number. Columns are exact
    /// among the newest points, and to half a column before them.
    pub fn view(&self, range: RangeInclusive<f64>, pixels: usize, out: &mut Vec<Point>) {
        out.clear();
        let (start, end) = (*range.start(), *range.end());
        let (Some(first), true) = (self.first(), end >= start && pixels > 0) else { return };
        let recent_from = self.recent.front().map_or(f64::INFINITY, |p| p[0]);
        let per_x = if end > start { pixels as f64 / (end - start) } else { 0.0 };
        let mut columns = Columns { start, end, per_x, last: pixels as i64 - 1, recent_from, current: None, out };
        if first[0] < start
            && let Some(before) = self.neighbour_before(start)
        {
            columns.out.push(before);
        }
        self.collect(self.levels.len() - 1, 0, &mut columns);
        columns.flush();
        if let Some(after) = self.neighbour_after(end) {
            out.push(after);
        }
    }

    /// The finite extremes of the points that [`view`](Self::view) shows within `range`.
    pub fn extremes(view: &[Point], range: &RangeInclusive<f64>) -> Option<(f64, f64)> {
        let inside = view.iter().filter(|p| range.contains(&p[0]) && p[1].is_finite());
        inside.fold(None, |found, p| match found {
            None => Some((p[1], p[1])),
            Some((low, high)) => Some((f64::min(low, p[1]), f64::max(high, p[1]))),
        })
    }

    /// Goes down from a bucket until what is left of it lies in one column, or is as fine as what is kept.
    fn collect(&self, level: usize, index: usize, columns: &mut Columns<'_>) {
        let bucket = &self.levels[level][index];
        if bucket.last[0] < columns.start || bucket.first[0] > columns.end {
            return;
        }
        if columns.holds(bucket) {
            columns.add(columns.of(bucket.first[0]), *bucket);
        } else if level > 0 {
            let children = index * FAN..((index + 1) * FAN).min(self.levels[level - 1].len());
            children.for_each(|child| self.collect(level - 1, child, columns));
        } else {
            let recent_from = columns.recent_from;
            bucket.points().filter(|p| p[0] < recent_from).for_each(|p| columns.add_point(p));
            if bucket.last[0] >= recent_from {
                let from = self.recent.partition_point(|p| p[0] < bucket.first[0]);
                let recent = self.recent.range(from..).take_while(|p| p[0] <= bucket.last[0]);
                recent.for_each(|p| columns.add_point(*p));
            }
        }
    }

    /// The last kept point before `x`.
    fn neighbour_before(&self, x: f64) -> Option<Point> {
        let at = self.recent.partition_point(|p| p[0] < x);
        if at > 0 {
            return Some(self.recent[at - 1]);
        }
        let base = &self.levels[0];
        let at = base.partition_point(|b| b.first[0] < x);
        base.get(at.checked_sub(1)?)?.points().take_while(|p| p[0] < x).last()
    }

    /// The first kept point behind `x`.
    fn neighbour_after(&self, x: f64) -> Option<Point> {
        let base = &self.levels[0];
        let at = base.partition_point(|b| b.last[0] <= x);
        let old = base.get(at).and_then(|b| b.points().find(|p| p[0] > x));
        let new = self.recent.get(self.recent.partition_point(|p| p[0] <= x)).copied();
        match (old, new) {
            (Some(a), Some(b)) => Some(if b[0] < a[0] { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// Gathers points, column by column.
struct Columns<'a> {
    start: f64,
    end: f64,
    per_x: f64,
    last: i64,
    /// From this x on the points themselves are kept.
    recent_from: f64,
    current: Option<(i64, Bucket)>,
    out: &'a mut Vec<Point>,
}

impl Columns<'_> {
    fn of(&self, x: f64) -> i64 {
        (((x - self.start) * self.per_x) as i64).min(self.last)
    }

    /// Whether all points of the bucket lie in the range and in one column. Older buckets may reach half a column into
    /// the next: to look them up exactly costs three times as much, and nobody sees it.
    fn holds(&self, bucket: &Bucket) -> bool {
        let (first, last) = (bucket.first[0], bucket.last[0]);
        let small = last < self.recent_from && (last - first) * self.per_x <= 0.5;
        first >= self.start && last <= self.end && (small || self.of(first) == self.of(last))
    }

    fn add_point(&mut self, point: Point) {
        if point[0] >= self.start && point[0] <= self.end {
            self.add(self.of(point[0]), Bucket::new(point));
        }
    }

    fn add(&mut self, column: i64, bucket: Bucket) {
        match &mut self.current {
            Some((current, sum)) if *current == column => sum.merge(&bucket),
            _ => {
                self.flush();
                self.current = Some((column, bucket));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((_, bucket)) = self.current.take() {
            self.out.extend(bucket.points());
        }
    }
}
