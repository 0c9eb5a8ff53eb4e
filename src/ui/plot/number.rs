//! Numbers as people read them on an axis: `1.2k`, `2e-4`, `1.5 GiB`.

/// What the values of a plot are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A bare number, such as a gradient norm.
    #[default]
    None,
    /// A number with a unit behind it, such as `nats` or `tok/s`.
    Named(&'static str),
    /// Bytes, shown in KiB, MiB, GiB.
    Bytes,
}

impl Unit {
    /// The unit as an axis label ends with it: ` (nats)`, or nothing.
    pub fn in_brackets(self) -> String {
        match self {
            Unit::Named(name) => format!(" ({name})"),
            Unit::None | Unit::Bytes => String::new(),
        }
    }

    /// A value with its unit and about four digits, as shown beside the cursor.
    pub fn value(self, value: f64) -> String {
        if !value.is_finite() {
            return "not a number".into();
        }
        match self {
            Unit::None => digits(value),
            Unit::Named(name) => format!("{} {name}", digits(value)),
            Unit::Bytes => {
                let (size, name) = bytes_unit(value);
                format!("{:.*} {name}", if size == 1.0 { 0 } else { 2 }, value / size)
            }
        }
    }

    /// A value beside a mark of an axis whose marks are `step` apart.
    pub fn tick(self, value: f64, step: f64) -> String {
        match self {
            Unit::None | Unit::Named(_) => tick(value, step),
            Unit::Bytes => {
                let (size, name) = bytes_unit(value.abs().max(step));
                format!("{:.*} {name}", decimals(step / size).min(2), value / size)
            }
        }
    }

    /// The distance of 3 to `most` marks on a range that is `span` wide.
    pub(super) fn step(self, span: f64, most: f64) -> f64 {
        match self {
            Unit::None | Unit::Named(_) => nice_step(span / most),
            Unit::Bytes => {
                let (size, _) = bytes_unit(span / most);
                let step = nice_step(span / most / size);
                // 1000 KiB would be an odd mark: from there on it is the next unit's.
                if step > 512.0 { size * 1024.0 } else { step.max(if size == 1.0 { 1.0 } else { 0.0 }) * size }
            }
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is no smaller than `rough`.
pub(super) fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|s| *s >= rough * (1.0 - 1e-9));
    step.unwrap_or(10.0 * power)
}

/// `12345.0` as `12,345`; a fraction is kept to three digits.
pub fn grouped(value: f64) -> String {
    let text = format!("{:.3}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    // No step or tick is as large as a u64 gets; infinity stays a word.
    let whole = whole.parse().map_or_else(|_| whole.to_string(), crate::units::grouped);
    let sign = if value < 0.0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// About four digits: `2.314`, `1.98e-4`, `1,234`.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-2 => scientific(value, 2),
        size if size < 10.0 => format!("{value:.3}"),
        size if size < 100.0 => format!("{value:.2}"),
        size if size < 1000.0 => format!("{value:.1}"),
        size if size < 1e9 => grouped(value.round()),
        _ => scientific(value, 3),
    }
}

/// The text beside a mark.
fn tick(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs().max(step);
    for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if size >= unit * 0.9999 && size < 1e12 {
            return format!("{}{name}", shortened(value / unit, decimals(step / unit)));
        }
    }
    if !(0.9999e-2..1e12).contains(&size) {
        let power = 10f64.powf(value.abs().log10().floor());
        return scientific(value, decimals(step / power));
    }
    format!("{value:.*}", decimals(step))
}

fn shortened(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_string() }
}

fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.*e}", decimals.min(4));
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    format!("{mantissa}e{exponent}")
}

/// Decimals that tell marks `step` apart.
fn decimals(step: f64) -> usize {
    (-(step.abs() * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 6.0) as usize
}

fn bytes_unit(bytes: f64) -> (f64, &'static str) {
    let units = [(1024f64.powi(4), "TiB"), (1024f64.powi(3), "GiB"), (1024f64.powi(2), "MiB"), (1024.0, "KiB")];
    units.into_iter().find(|(size, _)| bytes.abs() >= *size * 0.9999).unwrap_or((1.0, "B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short_and_tell_marks_apart() {
        let cases = [
            (0.0, 0.5, "0"),
            (2.5, 0.5, "2.5"),
            (2.0, 0.5, "2.0"),
            (2.25, 0.05, "2.25"),
            (1200.0, 200.0, "1.2k"),
            (1000.0, 200.0, "1k"),
            (12_000.0, 1000.0, "12k"),
            (1_000_000.0, 200_000.0, "1M"),
            (2e-4, 1e-4, "2e-4"),
            (1.5e-4, 5e-5, "1.5e-4"),
            (-0.02, 0.02, "-0.02"),
            (1e-9, 0.5, "0"),
            (500.0, 100.0, "500"),
        ];
        for (value, step, text) in cases {
            assert_eq!(tick(value, step), text, "{value} with marks {step} apart");
        }
        assert_eq!(Unit::Bytes.tick(1.5 * 1024f64.powi(3), 0.5 * 1024f64.powi(3)), "1.5 GiB");
        assert_eq!(Unit::Bytes.tick(0.0, 1024f64.powi(3)), "0 GiB");
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(Unit::Named("nats").value(2.31449), "2.314 nats");
        assert_eq!(Unit::None.value(1.984e-4), "1.98e-4");
        assert_eq!(Unit::Named("tok/s").value(12_345.6), "12,346 tok/s");
        assert_eq!(Unit::Bytes.value(3.5 * 1024f64.powi(2)), "3.50 MiB");
        assert_eq!(Unit::None.value(f64::NAN), "not a number");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(-999.5), "-999.5");
    }

    #[test]
    fn steps_are_one_two_five() {
        for (rough, step) in [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (6.0, 10.0), (2e-5, 2e-5), (410.0, 500.0)]
        {
            assert!((nice_step(rough) / step - 1.0).abs() < 1e-9, "{rough}");
        }
        assert_eq!(Unit::Bytes.step(8.0 * 1024f64.powi(3), 5.0), 2.0 * 1024f64.powi(3));
        assert_eq!(Unit::Bytes.step(3.0 * 1024f64.powi(3), 5.0), 1024f64.powi(3));
    }
}
