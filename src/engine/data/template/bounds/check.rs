//! The filters that look at values: how many entries, how deep, and plain lists for lazy ones.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::engine::data::template::environment::STOPPED;
use crate::engine::data::template::python::MAX_DEPTH;

/// Entries of a value with all that is in it, as often as it is in it; 256 bytes of text count as one more.
const MAX_ENTRIES: usize = 250_000;
/// Entries that are looked at for one unit of fuel.
const ENTRIES_A_UNIT: usize = 4;

/// The filters that [`super::bounded`] writes into templates.
pub(in crate::engine::data::template) fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("__check__", |state: &State, value: Value| check(state, value, false));
    environment.add_filter("__check_held__", |state: &State, value: Value| check(state, value, true));
}

/// The value, if it may be kept. `held`: within another value, which may live on.
fn check(state: &State, value: Value, held: bool) -> Result<Value, Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Plain) {
        return Ok(value);
    }
    let mut walk = Walk { entries: 0 };
    let changed = walk.value(&value, usize::from(held));
    state.consume_fuel((walk.entries / ENTRIES_A_UNIT) as u64)?;
    Ok(changed?.unwrap_or(value))
}

const UNFIT: &str = "puts a macro, a function or a loop into another value";

struct Walk {
    entries: usize,
}

impl Walk {
    /// Counts a value. Returns what replaces it where it has lazy lists: they are computed anew each time that they are
    /// looked at, and each holds those that it was made of.
    fn value(&mut self, value: &Value, depth: usize) -> Result<Option<Value>, Error> {
        self.entries += 1 + value.as_str().map_or(0, |text| text.len() >> 8);
        if self.entries > MAX_ENTRIES {
            return Err(stopped(format!("makes a value of more than {MAX_ENTRIES} entries")));
        }
        let kind = value.kind();
        if matches!(kind, ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) && depth > MAX_DEPTH {
            return Err(stopped(format!("puts lists or objects into one another more than {} deep", MAX_DEPTH)));
        }
        match kind {
            ValueKind::Seq if value.downcast_object_ref::<Vec<Value>>().is_some() => {
                let Some(list) = value.downcast_object_ref::<Vec<Value>>() else { return Ok(None) };
                let mut changed: Option<Vec<Value>> = None;
                for (at, item) in list.iter().enumerate() {
                    if let Some(new) = self.value(item, depth + 1)? {
                        changed.get_or_insert_with(|| list.clone())[at] = new;
                    }
                }
                Ok(changed.map(Value::from))
            }
            ValueKind::Seq if value.is_tuple() => {
                let (mut items, mut changed) = (Vec::new(), false);
                for item in value.try_iter()? {
                    let new = self.value(&item, depth + 1)?;
                    changed |= new.is_some();
                    items.push(new.unwrap_or(item));
                }
                Ok(changed.then(|| Value::from(Tuple::from(items))))
            }
            // Made by minijinja, with fields of their own: not from parts that are lists again.
            ValueKind::Seq => {
                for item in value.try_iter()? {
                    self.value(&item, depth + 1)?;
                }
                Ok(None)
            }
            ValueKind::Iterable => {
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    let new = self.value(&item, depth + 1)?;
                    items.push(new.unwrap_or(item));
                }
                Ok(Some(Value::from(items)))
            }
            ValueKind::Map => {
                let Some(object) = value.as_object() else { return Ok(None) };
                // Namespaces can be changed from afar, so no check could know how deep one is that is within another.
                let namespace = object.type_name().ends_with("::Namespace");
                if namespace && depth > 0 {
                    return Err(stopped("puts a namespace into another value".into()));
                }
                // Not the maps that a template writes, but what else has fields: the loop, which holds what it goes through.
                let plain = ["Map<", "Kwargs"].iter().any(|name| object.type_name().contains(name));
                if depth > 0 && !plain {
                    return Err(stopped(UNFIT.into()));
                }
                let mut changed = Vec::new();
                for (at, (key, item)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
                    self.value(&key, depth + 1)?;
                    changed.extend(self.value(&item, depth + 1)?.map(|new| (at, new)));
                }
                if changed.is_empty() || !plain {
                    return Ok(None);
                }
                let mut pairs: Vec<(Value, Value)> = object.try_iter_pairs().into_iter().flatten().collect();
                for (at, new) in changed {
                    pairs[at].1 = new;
                }
                Ok(Some(Value::from_pairs(pairs)))
            }
            // Macros hold what they refer to, loops what they go through.
            ValueKind::Plain if depth > 0 => {
                Err(stopped("puts a macro, a function or a loop into another value".into()))
            }
            _ => Ok(None),
        }
    }
}

fn stopped(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{STOPPED}{what}"))
}
