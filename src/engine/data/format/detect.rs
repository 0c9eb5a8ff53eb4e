//! Recognising a format by the names of the columns and by what is in them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::messages::entries;
use super::names::{CONTENT_KEYS, EXACT_PAIRS, LISTS, PAIRS, ROLE_KEYS, SYNONYMS, TEXTS};
use super::{Fields, Format, Reason, fields};

/// A format that was recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub format: Format,
    /// Fields whose columns have other names than usual.
    pub columns: BTreeMap<String, String>,
    pub reason: String,
}

/// The columns of the first rows, each with its first value that is not null.
pub struct Seen<'a> {
    pub columns: Vec<(&'a String, &'a Value)>,
    /// Where each of them is: there may be as many as a row has bytes.
    places: HashMap<&'a str, usize>,
}

impl<'a> Seen<'a> {
    pub fn of(rows: &[&'a Fields]) -> Seen<'a> {
        let mut seen = Seen { columns: Vec::new(), places: HashMap::new() };
        for (name, value) in rows.iter().flat_map(|row| row.iter()) {
            match seen.places.get(name.as_str()).and_then(|at| seen.columns.get_mut(*at)) {
                Some((_, known)) if known.is_null() => *known = value,
                Some(_) => {}
                None => {
                    seen.places.insert(name, seen.columns.len());
                    seen.columns.push((name, value));
                }
            }
        }
        seen
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.places.get(name).and_then(|at| self.columns.get(*at)).map(|(_, value)| *value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The column of that name, or else the one that differs by upper and lower case alone.
    fn named(&self, name: &str) -> Option<(&'a str, &'a Value)> {
        let exact = self.columns.iter().find(|(known, _)| *known == name);
        let found = exact.or_else(|| self.columns.iter().find(|(known, _)| known.trim().eq_ignore_ascii_case(name)));
        found.map(|(known, value)| (known.as_str(), *value))
    }

    /// The column that holds whole rows, as files with a head of their own have it: `{"version": 1, "data": [{…}, {…}]}`.
    fn wrapped(&self) -> Option<&'a str> {
        let is_row = |value: &Value| value.as_object().is_some_and(|row| row.len() > 1);
        let rows = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_row));
        let mut found = self.columns.iter().filter(|(_, value)| rows(value));
        found.next().filter(|_| found.next().is_none()).map(|(name, _)| name.as_str())
    }

    /// ``the columns `a`, `b` ``.
    pub fn words(&self) -> String {
        fields::columns(self.columns.iter().map(|(name, _)| *name))
    }
}

impl Found {
    fn new(format: Format, reason: String) -> Found {
        Found { format, columns: BTreeMap::new(), reason }
    }

    /// Says where a field stands, if that is not where it usually does.
    fn put(&mut self, field: &str, column: &str) {
        if self.format.field(field).is_some_and(|known| known.column != column) {
            self.columns.insert(field.to_string(), column.to_string());
        }
    }

    /// Looks for what may be absent under its other names; those that were found.
    fn add_optional<'a>(&mut self, seen: &Seen<'a>) -> Vec<&'a str> {
        let mut found = Vec::new();
        for field in self.format.fields().iter().filter(|f| !f.required && !f.in_messages) {
            let synonyms =
                SYNONYMS.iter().find(|(name, _)| *name == field.name).map_or(&[] as &[&str], |(_, list)| list);
            let mut names = std::iter::once(&field.column).chain(synonyms);
            if let Some((column, value)) = names.find_map(|name| seen.named(name))
                && (column == field.column || value.is_string() || value.is_null())
            {
                self.put(field.name, column);
                if column != field.column {
                    found.push(column);
                }
            }
        }
        found
    }
}

/// Recognises the format of rows that begin with these.
pub fn detect(seen: &Seen) -> Result<Found, Reason> {
    if seen.has("chosen") && seen.has("rejected") {
        return Ok(preference(seen));
    }
    let named = |name: &&&str| seen.has(name);
    if let Some(name) = ["messages", "conversations"].iter().find(named) {
        let by_name = || by_name(name);
        return Ok(list(seen, name).unwrap_or_else(by_name));
    }
    for (index, (format, pair)) in PAIRS.iter().enumerate() {
        let Some([(first, _), (second, _)]) = both(seen, pair, index < EXACT_PAIRS, *format) else { continue };
        let mut found = Found::new(*format, String::new());
        found.put(pair[0].0, first);
        found.put(pair[1].0, second);
        let mut names = vec![first, second];
        names.splice(1..1, found.add_optional(seen));
        found.reason = format!("the columns {}", fields::and(&names));
        return Ok(found);
    }
    if let Some(found) = LISTS.iter().filter_map(|name| seen.named(name)).find_map(|(name, _)| list(seen, name)) {
        return Ok(found);
    }
    // A list of messages under a name of its own: only where there is one.
    let mut lists = seen.columns.iter().filter(|(name, _)| *name != "history").filter_map(|(name, _)| list(seen, name));
    if let (Some(found), None) = (lists.next(), lists.next()) {
        return Ok(found);
    }
    text(seen).ok_or_else(|| {
        let advice = match seen.wrapped() {
            Some(name) => format!("the rows seem to lie in the list `{name}`: save that list as the file"),
            None => "choose the format, and name the column that holds each of its fields".into(),
        };
        format!("no known format; found {}: {advice}", seen.words())
    })
}

/// The two columns of a pair. Columns that are not the format's own must hold what it reads.
fn both<'a>(
    seen: &Seen<'a>,
    pair: &[(&str, &str); 2],
    exact: bool,
    format: Format,
) -> Option<[(&'a str, &'a Value); 2]> {
    let may_be_lists = format == Format::PromptCompletion;
    let fits = |value: &Value| value.is_null() || value.is_string() || (may_be_lists && shape(value).is_some());
    let find = |name: &str| seen.named(name).filter(|(column, value)| (exact && *column == name) || fits(value));
    Some([find(pair[0].1)?, find(pair[1].1)?])
}

/// Who speaks and what is said in a list of messages: the keys.
pub fn shape(value: &Value) -> Option<(&'static str, &'static str)> {
    let list = entries(value)?;
    let has = |key: &&&str| list.iter().any(|entry| entry.get(**key).is_some());
    // A message has both; a tool call may lack the content.
    let role = ROLE_KEYS.iter().find(|key| list.first().is_some_and(|first| first.get(**key).is_some()))?;
    let content = CONTENT_KEYS.iter().filter(|key| *key != role).find(has)?;
    Some((role, content))
}

fn by_name(name: &str) -> Found {
    let format = if name == "messages" { Format::Messages } else { Format::ShareGpt };
    Found::new(format, format!("the column `{name}`"))
}

/// A list of messages, by its shape.
fn list(seen: &Seen, name: &str) -> Option<Found> {
    let (role, content) = shape(seen.get(name)?)?;
    let format = if (role, content) == ("from", "value") { Format::ShareGpt } else { Format::Messages };
    let usual = Format::Messages.field("messages").is_some_and(|f| f.column == name) && role == "role";
    let what = if format == Format::Messages && usual { String::new() } else { format!(": {}", format.name()) };
    let mut found = Found::new(format, format!("`{name}` with `{role}` and `{content}`{what}"));
    found.put("messages", name);
    found.put("role", role);
    found.put("content", content);
    found.add_optional(seen);
    Some(found)
}

fn preference(seen: &Seen) -> Found {
    let reason = "the columns `chosen` and `rejected`: preference rows".to_string();
    let mut found = Found::new(Format::Preference, reason);
    let lists = || ["conversations", "messages"].iter().chain(LISTS);
    let list = lists().find(|name| seen.get(name).is_some_and(|value| shape(value).is_some()));
    if let Some(name) = list {
        found.put("messages", name);
    } else if !seen.has("prompt") {
        let asked = ["instruction", "question", "query"].iter().find_map(|name| seen.named(name));
        if let Some((column, _)) = asked.or_else(|| seen.named("input")) {
            found.put("prompt", column);
        }
    }
    // One message is an object, a list of them a list.
    let one = |value: &Value| match value {
        Value::Object(_) => shape(&Value::Array(vec![value.clone()])),
        other => shape(other),
    };
    let keys = seen.get("chosen").and_then(one).or_else(|| seen.get(list?).and_then(one));
    if let Some((role, content)) = keys {
        found.put("role", role);
        found.put("content", content);
    }
    found.add_optional(seen);
    if found.columns.get("prompt").is_some_and(|column| column.eq_ignore_ascii_case("input")) {
        // The only text is what is asked, not something that follows it.
        found.columns.insert("input".into(), String::new());
    }
    found
}

/// A column of texts: of a usual name, or the only one there is.
fn text(seen: &Seen) -> Option<Found> {
    let is_text = |value: &Value| value.is_string();
    let usual = TEXTS.iter().find_map(|name| seen.named(name).filter(|(_, value)| *name == "text" || is_text(value)));
    let texts: Vec<&str> = seen.columns.iter().filter(|(_, v)| is_text(v)).map(|(name, _)| name.as_str()).collect();
    let (column, what) = match (usual, texts.as_slice()) {
        (Some((column, _)), _) if column == "text" => (column, "the column"),
        // `title` and `body`: the title would be left out, so a person says what is wanted.
        (Some((column, _)), [_]) => (column, "the column"),
        (_, [only]) if seen.columns.len() == 1 => (*only, "the only column,"),
        _ => return None,
    };
    let mut found = Found::new(Format::Text, format!("{what} `{column}`"));
    found.put("text", column);
    Some(found)
}
