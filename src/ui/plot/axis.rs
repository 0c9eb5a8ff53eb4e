//! Where the marks of an axis lie, and what stands beside them.

use egui_plot::GridMark;

use super::number::{Unit, nice_step};

/// How a value becomes a height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scale {
    #[default]
    Linear,
    /// Heights are the values' decimal logarithms: egui_plot has no logarithmic axis.
    Log,
}

impl Scale {
    /// The height of a value; `None` for what has none on this scale.
    pub fn height(self, value: f64) -> Option<f64> {
        match self {
            Scale::Linear => Some(value),
            Scale::Log => (value > 0.0).then(|| value.log10()),
        }
    }

    /// The value at a height.
    pub fn value(self, height: f64) -> f64 {
        match self {
            Scale::Linear => height,
            Scale::Log => 10f64.powf(height),
        }
    }
}

/// Marks at whole multiples of `step` within the bounds. `step_size` is also the distance that decides whether a text fits.
fn multiples((low, high): (f64, f64), step: f64) -> Vec<GridMark> {
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // Bounds that no plot should have must not ask for endless marks.
    if !(first.is_finite() && last.is_finite()) || last - first > 1000.0 {
        return Vec::new();
    }
    (0..=(last - first).max(-1.0) as i64)
        .map(|i| GridMark { value: (first + i as f64) * step, step_size: step })
        .collect()
}

/// Marks of an axis of steps: whole numbers, about `most` of them.
pub(super) fn step_marks(bounds: (f64, f64), most: f64) -> Vec<GridMark> {
    multiples(bounds, nice_step((bounds.1 - bounds.0).abs() / most).max(1.0))
}

/// Marks of an axis of values, about `most` of them.
pub(super) fn value_marks(bounds: (f64, f64), most: f64, scale: Scale, unit: Unit) -> Vec<GridMark> {
    let span = bounds.1 - bounds.0;
    match scale {
        _ if !(span > 0.0 && span.is_finite()) => Vec::new(),
        Scale::Linear => multiples(bounds, unit.step(span, most)),
        Scale::Log if span < 1.0 => {
            // Less than a factor of ten: round values lie closer than powers of ten.
            let (low, high) = (scale.value(bounds.0), scale.value(bounds.1));
            let step = unit.step(high - low, most);
            let height =
                |m: GridMark| GridMark { value: m.value.log10(), step_size: span * m.step_size / (high - low) };
            multiples((low, high), step).into_iter().filter(|m| m.value > 0.0).map(height).collect()
        }
        Scale::Log => {
            let every = (span / most).ceil().max(1.0);
            let mut marks = multiples(bounds, every);
            if every == 1.0 && span * 2.0 <= most {
                // Room for 2 and 5 between the powers of ten.
                for power in bounds.0.floor() as i64..=bounds.1.ceil() as i64 {
                    for between in [2f64, 5.0] {
                        let value = power as f64 + between.log10();
                        if (bounds.0..=bounds.1).contains(&value) {
                            marks.push(GridMark { value, step_size: 0.3 });
                        }
                    }
                }
            }
            marks
        }
    }
}

/// The text beside a mark of an axis of values.
pub(super) fn value_text(mark: GridMark, scale: Scale, unit: Unit, range: (f64, f64)) -> String {
    match scale {
        Scale::Linear => unit.tick(mark.value, mark.step_size),
        Scale::Log => {
            let value = scale.value(mark.value);
            let (low, high) = (scale.value(range.0), scale.value(range.1));
            // A power of ten, or a fifth of one, has one digit; between nearer marks the distance counts.
            let step = if range.1 - range.0 < 1.0 { unit.step(high - low, 5.0) } else { 0.1 * value };
            let rounded = if step < value { (value / step).round() * step } else { value };
            if unit == Unit::Bytes { unit.value(rounded) } else { unit.tick(rounded, one_digit(value, step)) }
        }
    }
}

/// The power of ten of a value that has one digit, else the step.
fn one_digit(value: f64, step: f64) -> f64 {
    let power = 10f64.powf((value.log10() + 1e-9).floor());
    if ((value / power).round() * power / value - 1.0).abs() < 1e-6 { power } else { step }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bounds: (f64, f64), most: f64, scale: Scale, unit: Unit) -> Vec<String> {
        let mut marks = value_marks(bounds, most, scale, unit);
        marks.sort_by(|a, b| a.value.total_cmp(&b.value));
        marks.into_iter().map(|m| value_text(m, scale, unit, bounds)).collect()
    }

    #[test]
    fn marks_are_few_and_round() {
        assert_eq!(texts((0.9, 3.1), 5.0, Scale::Linear, Unit::None), ["1.0", "1.5", "2.0", "2.5", "3.0"]);
        assert_eq!(texts((0.0, 2.1e-4), 5.0, Scale::Linear, Unit::None), ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]);
        assert_eq!(
            texts((-4.2, -1.9), 5.0, Scale::Log, Unit::None),
            ["1e-4", "2e-4", "5e-4", "1e-3", "2e-3", "5e-3", "0.01"]
        );
        assert_eq!(texts((-8.5, 0.2), 5.0, Scale::Log, Unit::None), ["1e-8", "1e-6", "1e-4", "0.01", "1"]);
        assert_eq!(texts((0.0, 0.5), 5.0, Scale::Log, Unit::None), ["1", "1.5", "2", "2.5", "3"]);
        let steps: Vec<f64> = step_marks((0.0, 3.0), 10.0).iter().map(|m| m.value).collect();
        assert_eq!(steps, [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn impossible_bounds_have_no_marks() {
        for bounds in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (5.0, 1.0)] {
            assert!(value_marks(bounds, 5.0, Scale::Linear, Unit::None).is_empty(), "{bounds:?}");
            assert!(value_marks(bounds, 5.0, Scale::Log, Unit::Bytes).is_empty(), "{bounds:?}");
        }
    }
}
