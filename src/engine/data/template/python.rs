//! What templates expect of Python: `json.dumps`, methods of strings and lists, `dict(…)`.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, Value as Jinja, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value;

/// The filter `tojson`: transformers replaces Jinja's, which escapes HTML, by `json.dumps` with these arguments.
pub(super) fn tojson(value: &Jinja, kwargs: Kwargs) -> Result<Jinja, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson of a value that is not defined"));
    }
    let indent = match kwargs.get::<Option<Jinja>>("indent")? {
        None => None,
        Some(indent) if indent.is_none() => None,
        Some(indent) => match indent.as_str() {
            Some(text) => Some(text.to_string()),
            None => Some(" ".repeat(usize::try_from(indent.clone())?.min(64))),
        },
    };
    // json.dumps: (", ", ": "), and (",", ": ") when it breaks lines.
    let mut separators = (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string());
    if let Some(given) = kwargs.get::<Option<Jinja>>("separators")?.filter(|v| !v.is_none()) {
        let parts: Vec<Jinja> = given.try_iter()?.collect();
        match parts.as_slice() {
            [item, key] => separators = (item.to_string(), key.to_string()),
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators must be a pair")),
        }
    }
    let ascii: bool = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys: bool = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    kwargs.assert_all_used()?;
    let mut writer = Dumps { out: String::new(), indent, separators, ascii, sort_keys };
    writer.value(value, 0)?;
    Ok(Jinja::from_safe_string(writer.out))
}

/// Depth of lists and objects within one another: the schema of no tool comes near.
pub(super) const MAX_DEPTH: usize = 200;

struct Dumps {
    out: String,
    indent: Option<String>,
    separators: (String, String),
    ascii: bool,
    sort_keys: bool,
}

impl Dumps {
    fn value(&mut self, value: &Jinja, depth: usize) -> Result<(), Error> {
        // Lists may hold one another many times over, so what they take is not known before they are written.
        if self.out.len() > super::environment::MAX_OUTPUT {
            return Err(Error::from(ErrorKind::WriteFailure));
        }
        if depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::BadSerialization, "tojson of a value that is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => self.out.push_str(&float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(&value.to_string()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Jinja> = value.try_iter()?.collect();
                self.items(['[', ']'], depth, items, |w, item| w.value(&item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Jinja> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.items(['{', '}'], depth, keys, |w, key| {
                    w.string(&key.to_string());
                    w.out.push_str(&w.separators.1);
                    w.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            other => {
                return Err(Error::new(
                    ErrorKind::BadSerialization,
                    format!("tojson cannot write a value that is {other}"),
                ));
            }
        }
        Ok(())
    }

    fn items(
        &mut self,
        [open, close]: [char; 2],
        depth: usize,
        items: Vec<Jinja>,
        mut write: impl FnMut(&mut Self, Jinja) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let empty = items.is_empty();
        self.out.push(open);
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.out.push_str(&self.separators.0);
            }
            self.line(depth + 1);
            write(self, item)?;
        }
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// A float as Python's `repr` writes it: the shortest digits, an exponent below 1e-4 and from 1e16.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{x:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = x.to_string();
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// Python's `dict(a=1)` and `dict(mapping)`.
pub(super) fn dict(args: Rest<Jinja>, kwargs: Kwargs) -> Result<Jinja, Error> {
    let mut entries: Vec<(Jinja, Jinja)> = Vec::new();
    for mapping in args.iter() {
        for key in mapping.try_iter()? {
            let value = mapping.get_item(&key)?;
            entries.push((key, value));
        }
    }
    for name in kwargs.args() {
        entries.push((Jinja::from(name), kwargs.get(name)?));
    }
    Ok(Jinja::from_pairs(entries))
}

/// Jinja's test `iterable`: whether Python's `iter(value)` works.
pub(super) fn is_iterable(value: &Jinja) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// Jinja's test `sequence`: whether the value has a length and can be indexed.
pub(super) fn is_sequence(value: &Jinja) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
}

/// Methods that `minijinja_contrib::pycompat` lacks and chat templates use; all others are its.
pub(super) fn method(state: &mut State, value: &Jinja, name: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    if let (Some(text), ValueKind::String) = (value.as_str(), value.kind()) {
        match name {
            // minijinja counts the parts when they are there, and the width of a format not at all.
            "split" | "rsplit" => ensure_parts(state, text, args.first().and_then(Jinja::as_str))?,
            "splitlines" => ensure_parts(state, text, Some("\n"))?,
            "format" if has_long_number(text) => {
                let what = "formats a text of more than 99999 characters";
                return Err(Error::new(ErrorKind::InvalidOperation, format!("{}{what}", super::environment::STOPPED)));
            }
            _ => {}
        }
        match name {
            "removeprefix" => {
                let (prefix,): (&str,) = from_args(args)?;
                return Ok(text.strip_prefix(prefix).unwrap_or(text).into());
            }
            "removesuffix" => {
                let (suffix,): (&str,) = from_args(args)?;
                return Ok(text.strip_suffix(suffix).unwrap_or(text).into());
            }
            "partition" | "rpartition" => {
                let (separator,): (&str,) = from_args(args)?;
                let first = name == "partition";
                let split = if first { text.split_once(separator) } else { text.rsplit_once(separator) };
                return Ok(strings(match (split, first) {
                    (Some((before, after)), _) => vec![before, separator, after],
                    (None, true) => vec![text, "", ""],
                    (None, false) => vec!["", "", text],
                }));
            }
            "rsplit" => {
                let (separator, limit): (&str, Option<i64>) = from_args(args)?;
                let limit = usize::try_from(limit.unwrap_or(-1)).map_or(usize::MAX, |n| n.saturating_add(1));
                let mut parts: Vec<&str> = text.rsplitn(limit, separator).collect();
                parts.reverse();
                return Ok(strings(parts));
            }
            _ => {}
        }
    }
    if value.kind() == ValueKind::Seq && name == "index" {
        let (wanted,): (&Jinja,) = from_args(args)?;
        return match value.try_iter()?.position(|item| item == *wanted) {
            Some(at) => Ok(at.into()),
            None => Err(Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in the list"))),
        };
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// The filter `split`, with the fuel for its parts asked for before they are made.
pub(super) fn split(
    state: &State,
    value: &Jinja,
    separator: Option<Arc<str>>,
    limit: Option<i64>,
) -> Result<Jinja, Error> {
    ensure_parts(state, value.as_str().unwrap_or_default(), separator.as_deref())?;
    minijinja::filters::split(value, separator, limit)
}

/// The filter `lines`, likewise.
pub(super) fn lines(state: &State, value: &Jinja) -> Result<Jinja, Error> {
    ensure_parts(state, value.as_str().unwrap_or_default(), Some("\n"))?;
    minijinja::filters::lines(value)
}

/// Whether the fuel lasts for the parts of a text: two for a unit, as minijinja counts them.
fn ensure_parts(state: &State, text: &str, separator: Option<&str>) -> Result<(), Error> {
    let Some((_, left)) = state.fuel_levels() else { return Ok(()) };
    let most = usize::try_from(left.saturating_mul(2)).unwrap_or(usize::MAX);
    // A text has no more parts than characters, and most are too short to have too many.
    if text.len() < most {
        return Ok(());
    }
    let parts = match separator {
        Some("") => text.len(),
        Some(separator) => text.matches(separator).count(),
        None => text.split_whitespace().count(),
    };
    if parts > most { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
}

/// Whether a number of more than five digits is in the braces of a text for `format`: a width that nobody needs.
fn has_long_number(text: &str) -> bool {
    let (mut braces, mut digits) = (0usize, 0);
    text.bytes().any(|byte| {
        match byte {
            b'{' => braces += 1,
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        digits = if byte.is_ascii_digit() && braces > 0 { digits + 1 } else { 0 };
        digits > 5
    })
}

fn strings(list: Vec<&str>) -> Jinja {
    list.into_iter().map(Jinja::from).collect()
}

/// A JSON value as templates see it.
pub(super) fn from_json(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Jinja::from(n),
            (None, Some(n)) => Jinja::from(n),
            (None, None) => Jinja::from(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => Jinja::from(s.as_str()),
        Value::Array(list) => list.iter().map(from_json).collect(),
        Value::Object(fields) => Jinja::from_pairs(fields.iter().map(|(key, value)| (key.as_str(), from_json(value)))),
    }
}
