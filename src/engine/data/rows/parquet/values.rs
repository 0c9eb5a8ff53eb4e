//! The values of a Parquet column as JSON.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{DataType, Int96};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::schema::types::ColumnDescriptor;
use serde_json::{Number, Value};

use crate::engine::data::rows::MAX_ROW_BYTES;

/// A column of the file.
pub(super) struct Leaf {
    /// Its name, with those of what it stands in.
    path: String,
    meaning: Meaning,
    /// From this definition level on there is a value.
    pub max_def: i16,
    max_rep: i16,
}

/// What the stored numbers and bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// What the stored type says; bytes are text if they can be.
    Plain,
    Unsigned,
    Text,
    Json,
    Decimal {
        scale: u32,
    },
    Date,
    Time {
        per_second: i64,
    },
    /// A point in time in parts of a second; a local time if it is not `utc`.
    Timestamp {
        per_second: i64,
        utc: bool,
    },
    Float16,
    Uuid,
}

/// A value, or why it cannot be read.
type Cell = std::result::Result<Value, String>;

/// Gives the next value; as JSON, if that is wished.
type Values = Box<dyn FnMut(bool) -> Option<Cell> + Send>;

/// Some rows of a column. Values become JSON when they are taken: one that a page has once may be meant a thousand times.
pub(super) struct Column {
    defs: Vec<i16>,
    reps: Vec<i16>,
    values: Values,
    /// The next entry.
    pub at: usize,
}

impl Column {
    pub fn def(&self) -> Option<i16> {
        self.defs.get(self.at).copied()
    }

    pub fn rep(&self) -> Option<i16> {
        self.reps.get(self.at).copied()
    }

    /// Takes an entry: its value, or null, which it always is if it is not wanted.
    pub fn take(&mut self, max_def: i16, wanted: bool) -> std::result::Result<Cell, String> {
        let def = self.def();
        self.at += 1;
        match def {
            Some(def) if def == max_def => (self.values)(wanted).ok_or_else(|| "a value is missing".into()),
            _ => Ok(Ok(Value::Null)),
        }
    }
}

impl Leaf {
    pub fn of(column: &ColumnDescriptor) -> Leaf {
        let info = column.self_type().get_basic_info();
        let meaning = match info.logical_type_ref() {
            Some(logical) => of_logical(logical),
            None => of_converted(info.converted_type(), column),
        };
        Leaf {
            path: column.path().parts().join("."),
            meaning,
            max_def: column.max_def_level(),
            max_rep: column.max_rep_level(),
        }
    }

    /// That a row is too long with this column.
    pub fn too_long(&self) -> String {
        format!("the row is longer than {} MiB: column `{}`", MAX_ROW_BYTES >> 20, self.path)
    }

    fn integer(&self, value: i64, unsigned: u64) -> Value {
        match self.meaning {
            Meaning::Unsigned => unsigned.into(),
            Meaning::Decimal { scale } => decimal(value.into(), scale).into(),
            Meaning::Date => date(value).map_or(value.into(), Value::from),
            Meaning::Time { per_second } => time(value, per_second).into(),
            Meaning::Timestamp { per_second, utc } => timestamp(value.into(), per_second, utc).into(),
            _ => value.into(),
        }
    }

    fn bytes(&self, bytes: &[u8]) -> Cell {
        if bytes.len() > MAX_ROW_BYTES {
            return Err(self.too_long());
        }
        let text = || std::str::from_utf8(bytes);
        match self.meaning {
            Meaning::Text => match text() {
                Ok(text) => Ok(text.into()),
                Err(_) => Err(format!("column `{}` is not UTF-8 text", self.path)),
            },
            Meaning::Json => match text() {
                Ok(text) => Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
                Err(_) => Err(format!("column `{}` is not UTF-8 text", self.path)),
            },
            Meaning::Decimal { scale } => match signed(bytes) {
                Some(value) => Ok(decimal(value, scale).into()),
                None => Err(format!("column `{}` holds a number of more than 38 digits", self.path)),
            },
            Meaning::Float16 if bytes.len() == 2 => {
                Ok(number(half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32().into()))
            }
            Meaning::Uuid if bytes.len() == 16 => {
                let hex = |range: std::ops::Range<usize>| -> String {
                    bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
                };
                Ok([0..4, 4..6, 6..8, 8..10, 10..16].map(hex).join("-").into())
            }
            // Some writers do not say that their texts are texts.
            _ => match text() {
                Ok(text) if !text.contains('\0') => Ok(text.into()),
                _ => Err(format!(
                    "column `{}` holds binary data (text is trained, images and sounds are not): save the rows without it",
                    self.path
                )),
            },
        }
    }
}

fn of_logical(logical: &LogicalType) -> Meaning {
    let per_second = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    };
    match logical {
        LogicalType::String | LogicalType::Enum => Meaning::Text,
        LogicalType::Json => Meaning::Json,
        LogicalType::Integer(integer) if !integer.is_signed => Meaning::Unsigned,
        LogicalType::Decimal(decimal) => Meaning::Decimal { scale: decimal.scale.max(0) as u32 },
        LogicalType::Date => Meaning::Date,
        LogicalType::Time(time) => Meaning::Time { per_second: per_second(&time.unit) },
        LogicalType::Timestamp(time) => {
            Meaning::Timestamp { per_second: per_second(&time.unit), utc: time.is_adjusted_to_u_t_c }
        }
        LogicalType::Float16 => Meaning::Float16,
        LogicalType::Uuid => Meaning::Uuid,
        _ => Meaning::Plain,
    }
}

fn of_converted(converted: ConvertedType, column: &ColumnDescriptor) -> Meaning {
    use ConvertedType as C;
    match converted {
        C::UTF8 | C::ENUM => Meaning::Text,
        C::JSON => Meaning::Json,
        C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => Meaning::Unsigned,
        C::DECIMAL => Meaning::Decimal { scale: column.type_scale().max(0) as u32 },
        C::DATE => Meaning::Date,
        C::TIME_MILLIS => Meaning::Time { per_second: 1_000 },
        C::TIME_MICROS => Meaning::Time { per_second: 1_000_000 },
        C::TIMESTAMP_MILLIS => Meaning::Timestamp { per_second: 1_000, utc: true },
        C::TIMESTAMP_MICROS => Meaning::Timestamp { per_second: 1_000_000, utc: true },
        _ => Meaning::Plain,
    }
}

/// Reads some rows of every column.
pub(super) fn read(columns: &mut [ColumnReader], leaves: &[Arc<Leaf>], rows: usize) -> Result<Vec<Column>> {
    use ColumnReader as C;
    let each = std::iter::zip(columns, leaves);
    each.map(|(column, leaf)| {
        let own = leaf.clone();
        match column {
            C::BoolColumnReader(column) => take(column, leaf, rows, |value| Ok(Value::Bool(value))),
            C::Int32ColumnReader(column) => {
                take(column, leaf, rows, move |value| Ok(own.integer(value.into(), (value as u32).into())))
            }
            C::Int64ColumnReader(column) => take(column, leaf, rows, move |value| Ok(own.integer(value, value as u64))),
            C::Int96ColumnReader(column) => take(column, leaf, rows, |value| Ok(int96(&value).into())),
            // By its shortest decimal: 0.1 stays 0.1.
            C::FloatColumnReader(column) => {
                take(column, leaf, rows, |value| Ok(number(value.to_string().parse().unwrap_or(value.into()))))
            }
            C::DoubleColumnReader(column) => take(column, leaf, rows, |value| Ok(number(value))),
            C::ByteArrayColumnReader(column) => take(column, leaf, rows, move |value| own.bytes(value.data())),
            C::FixedLenByteArrayColumnReader(column) => take(column, leaf, rows, move |value| own.bytes(value.data())),
        }
    })
    .collect()
}

fn take<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    leaf: &Leaf,
    rows: usize,
    to_json: impl Fn(T::T) -> Cell + Send + 'static,
) -> Result<Column> {
    let (mut defs, mut reps, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (more, _, _) = column.read_records(rows - read, Some(&mut defs), Some(&mut reps), &mut values)?;
        if more == 0 {
            return Err(ParquetError::EOF(format!("column `{}` is too short", leaf.path)));
        }
        read += more;
    }
    // Levels that can only be 0 are not stored.
    if leaf.max_def == 0 {
        defs.resize(rows, 0);
    }
    if leaf.max_rep == 0 {
        reps.resize(defs.len(), 0);
    }
    let mut values = values.into_iter();
    let values = move |wanted| values.next().map(|value| if wanted { to_json(value) } else { Ok(Value::Null) });
    Ok(Column { defs, reps, values: Box::new(values), at: 0 })
}

/// Passes over some rows of every column.
pub(super) fn skip(columns: &mut [ColumnReader], rows: usize) -> Result<()> {
    use ColumnReader as C;
    for column in columns {
        let skipped = match column {
            C::BoolColumnReader(column) => column.skip_records(rows),
            C::Int32ColumnReader(column) => column.skip_records(rows),
            C::Int64ColumnReader(column) => column.skip_records(rows),
            C::Int96ColumnReader(column) => column.skip_records(rows),
            C::FloatColumnReader(column) => column.skip_records(rows),
            C::DoubleColumnReader(column) => column.skip_records(rows),
            C::ByteArrayColumnReader(column) => column.skip_records(rows),
            C::FixedLenByteArrayColumnReader(column) => column.skip_records(rows),
        }?;
        if skipped != rows {
            return Err(ParquetError::EOF("a column is too short".into()));
        }
    }
    Ok(())
}

/// JSON has no number for what is none.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// A whole number of at most 128 bits, the highest byte first.
fn signed(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xFF } else { 0 };
    let (extra, rest) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut whole = [fill; 16];
    whole[16 - rest.len()..].copy_from_slice(rest);
    let value = i128::from_be_bytes(whole);
    // Bytes in front may only repeat the sign.
    (extra.iter().all(|byte| *byte == fill) && (value < 0) == negative).then_some(value)
}

/// `unscaled · 10^-scale`, in digits.
fn decimal(unscaled: i128, scale: u32) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let sign = if unscaled < 0 { "-" } else { "" };
    // No number has more digits than this; a damaged file may say so.
    let scale = scale.min(1000) as usize;
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// `2024-02-29`, from the days since 1970.
fn date(days: i64) -> Option<String> {
    let start = jiff::Timestamp::from_second(days.checked_mul(86_400)?).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(start).date().to_string())
}

/// `12:30:00.5`, from parts of a second since midnight.
fn time(value: i64, per_second: i64) -> String {
    let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nanos = rest * (1_000_000_000 / per_second);
    let whole = format!("{hours:02}:{minutes:02}:{seconds:02}");
    match nanos {
        0 => whole,
        nanos => format!("{whole}.{}", format!("{nanos:09}").trim_end_matches('0')),
    }
}

/// `2024-02-29T12:30:00Z`; without the `Z` if it is a local time.
fn timestamp(value: i128, per_second: i64, utc: bool) -> String {
    match jiff::Timestamp::from_nanosecond(value.saturating_mul((1_000_000_000 / per_second).into())) {
        Ok(time) if utc => time.to_string(),
        Ok(time) => jiff::tz::TimeZone::UTC.to_datetime(time).to_string(),
        // Beyond the year 9999.
        Err(_) => value.to_string(),
    }
}

/// The timestamps of old writers: nanoseconds of the day, and a Julian day.
fn int96(value: &Int96) -> String {
    let [low, high, day] = *value.data() else { return String::new() };
    let nanos = i128::from(low) | i128::from(high) << 32;
    // 1970-01-01 is the Julian day 2440588.
    let days = i128::from(day as i32) - 2_440_588;
    timestamp(days * 86_400_000_000_000 + nanos, 1_000_000_000, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_as_text() {
        assert_eq!([decimal(-5, 2), decimal(12345, 2), decimal(7, 0)], ["-0.05", "123.45", "7"]);
        assert_eq!((signed(&[0xFF, 0x85]), signed(&[]), signed(&[0x80; 17])), (Some(-123), Some(0), None));
        assert_eq!((date(19_782), date(-1)), (Some("2024-02-29".into()), Some("1969-12-31".into())));
        assert_eq!(time(45_000_500, 1000), "12:30:00.5");
        assert_eq!(timestamp(1_709_209_800_000, 1000, true), "2024-02-29T12:30:00Z");
        assert_eq!(timestamp(1_709_209_800_000_001, 1_000_000, false), "2024-02-29T12:30:00.000001");
        assert_eq!(timestamp(i64::MAX.into(), 1000, true), i64::MAX.to_string());
    }
}
