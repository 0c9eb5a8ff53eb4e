//! Neighbouring points as one: the first, the lowest, the highest and the last of them.

/// `[x, y]`, x being the step.
pub type Point = [f64; 2];

/// What is kept of a group of neighbouring points: 80 bytes whatever their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// The first point; its y may be no number.
    pub first: Point,
    /// The last point; its y may be no number.
    pub last: Point,
    /// The lowest finite point; y is +∞ while there is none.
    pub min: Point,
    /// The highest finite point; y is −∞ while there is none.
    pub max: Point,
    /// Sum of the finite values.
    pub sum: f64,
    /// Number of finite points.
    pub finite: u32,
    /// Number of points whose y is no finite number.
    pub gaps: u32,
}

impl Bucket {
    /// The bucket of one point.
    pub fn new(point: Point) -> Bucket {
        let mut bucket = Bucket {
            first: point,
            last: point,
            min: [point[0], f64::INFINITY],
            max: [point[0], f64::NEG_INFINITY],
            sum: 0.0,
            finite: 0,
            gaps: 0,
        };
        bucket.add(point);
        bucket
    }

    /// Takes in a point behind the last one.
    pub fn add(&mut self, point: Point) {
        self.last = point;
        if !point[1].is_finite() {
            self.gaps = self.gaps.saturating_add(1);
            return;
        }
        self.finite = self.finite.saturating_add(1);
        self.sum += point[1];
        if point[1] < self.min[1] {
            self.min = point;
        }
        if point[1] > self.max[1] {
            self.max = point;
        }
    }

    /// Takes in the bucket that follows.
    pub fn merge(&mut self, next: &Bucket) {
        self.last = next.last;
        self.sum += next.sum;
        self.finite = self.finite.saturating_add(next.finite);
        self.gaps = self.gaps.saturating_add(next.gaps);
        if next.min[1] < self.min[1] {
            self.min = next.min;
        }
        if next.max[1] > self.max[1] {
            self.max = next.max;
        }
    }

    /// Number of points, gaps included.
    pub fn len(&self) -> usize {
        self.finite as usize + self.gaps as usize
    }

    /// Whether there is a finite value.
    pub fn has_value(&self) -> bool {
        self.finite > 0
    }

    /// The mean of the finite values.
    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.finite)
    }

    /// The kept points in order of x, each once: at most four, all of them points that were really appended.
    pub fn points(&self) -> impl Iterator<Item = Point> + use<> {
        let (mut low, mut high) = (self.min, self.max);
        if low[0] > high[0] {
            std::mem::swap(&mut low, &mut high);
        }
        let inner = self.has_value();
        let mut before = f64::NEG_INFINITY;
        [(true, self.first), (inner, low), (inner, high), (true, self.last)].into_iter().filter_map(move |(keep, p)| {
            let new = keep && p[0] > before;
            if new {
                before = p[0];
            }
            new.then_some(p)
        })
    }
}
