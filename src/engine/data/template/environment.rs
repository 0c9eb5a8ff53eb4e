//! The Jinja environment of chat templates: Python's methods and filters, transformers' functions, limits.

use std::ops::Range;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind};
use regex::Regex;
use serde_json::Value;

use super::{Rendered, TemplateError, bounds, python};

/// Budget of one rendering, in minijinja's unit: about one per instruction and per 64 bytes made. A conversation of a
/// hundred messages takes some ten thousand; all of it is spent in about a second.
const FUEL: u64 = 4_000_000;

/// Bytes that a template may write: a conversation that long has no use, and the fuel would last for four times as much.
pub(super) const MAX_OUTPUT: usize = 64 << 20;

/// Depth of macros calling macros.
const RECURSION_LIMIT: usize = 100;

pub(super) fn new(now: jiff::ZonedDateTime) -> Environment<'static> {
    let mut environment = Environment::new();
    // As transformers' `_cached_compile_jinja_template`: ImmutableSandboxedEnvironment(trim_blocks, lstrip_blocks).
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_unknown_method_callback(python::method);
    bounds::add_filters(&mut environment);
    // Jinja has neither: they would reach around the bounds.
    environment.remove_filter("chain");
    environment.remove_global("debug");
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("split", python::split);
    environment.add_filter("lines", python::lines);
    environment.add_function("dict", python::dict);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
    });
    environment.add_function("strftime_now", move |format: String| {
        jiff::fmt::strtime::format(format.as_bytes(), &now)
            .map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {e}")))
    });
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment
}

/// Begins what is said of a conversation that a template cannot write.
pub(in crate::engine::data) const FAILED: &str = "the chat template failed";

/// Begins what is said of a conversation that a template refuses.
pub(in crate::engine::data) const REFUSES: &str = "the chat template refuses the conversation";

/// Ends what is said of a template that was stopped.
pub(in crate::engine::data) const WAS_STOPPED: &str = "it was stopped";

/// Tells a template's own refusal from a mistake in the template.
const RAISED: &str = "\u{FDEF}raised:";

/// Begins what the template does that it may not.
pub(super) const STOPPED: &str = "\u{FDEF}stopped:";

/// What a template writes, up to the limit.
#[derive(Default)]
pub(super) struct Limited(Vec<u8>);

impl Limited {
    /// The text, if it is one.
    pub(super) fn into_text(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > MAX_OUTPUT - self.0.len() {
            return Err(std::io::Error::other("the text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An error of the template in one sentence.
pub(super) fn describe(what: &str, error: &Error) -> TemplateError {
    let detail = error.detail().unwrap_or_default();
    if let Some(message) = detail.strip_prefix(RAISED) {
        return format!("{REFUSES}: {message}");
    }
    if let Some(what) = detail.strip_prefix(STOPPED) {
        return format!("the chat template {what}: {WAS_STOPPED}");
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("the chat template does not come to an end: {WAS_STOPPED}");
    }
    if error.kind() == ErrorKind::WriteFailure {
        return format!("the chat template writes more than {} MiB: {WAS_STOPPED}", MAX_OUTPUT >> 20);
    }
    let line = error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default();
    let colon = if detail.is_empty() { "" } else { ": " };
    format!("the chat template {what}: {}{colon}{detail}{line}", error.kind())
}

/// `{% generation %}…{% endgeneration %}` is an extension of transformers: a block with a scope of its own. It becomes
/// two scopes with a mark between them, so that the first tag of each pair trims the white space in front of the
/// original tag and the second what follows it.
pub(super) fn rewrite_generation_tags(source: &str) -> (String, bool) {
    static TAG: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok());
    let Some(tag) = TAG.as_ref().filter(|tag| tag.is_match(source)) else { return (source.to_string(), false) };
    let rewrite = |found: &regex::Captures| {
        let (left, right) = (&found[1], &found[3]);
        match found.get(2) {
            None => format!("{{%{left} with +%}}{{{{ __marks__[0] }}}}{{%+ with {right}%}}"),
            Some(_) => format!("{{%{left} endwith +%}}{{{{ __marks__[1] }}}}{{%+ endwith {right}%}}"),
        }
    };
    (tag.replace_all(source, rewrite).into_owned(), true)
}

/// Two characters that stand for the beginning and the end of generated text while a template renders.
pub(super) struct Marks {
    open: char,
    close: char,
}

impl Marks {
    /// Chooses noncharacters of Unicode that the conversation does not contain.
    pub(super) fn absent_from(messages: &[Value], tools: Option<&Value>) -> Marks {
        let mut free: Vec<char> = ('\u{FDD0}'..='\u{FDEE}').collect();
        for value in messages.iter().chain(tools) {
            remove_used(value, &mut free);
        }
        let at = |i: usize, otherwise: char| free.get(i).copied().unwrap_or(otherwise);
        Marks { open: at(0, '\u{FFFE}'), close: at(1, '\u{FFFF}') }
    }

    /// Removes the marks and says where they were.
    pub(super) fn take_out(&self, marked: &str) -> Rendered {
        let mut rendered = Rendered { text: String::with_capacity(marked.len()), generation: Vec::new() };
        let mut open: Vec<usize> = Vec::new();
        for piece in marked.split_inclusive([self.open, self.close]) {
            let text = piece.trim_end_matches([self.open, self.close]);
            rendered.text.push_str(text);
            let here = rendered.text.len();
            match piece[text.len()..].chars().next() {
                Some(mark) if mark == self.open => open.push(here),
                Some(_) => rendered.generation.extend(open.pop().map(|start: usize| Range { start, end: here })),
                None => {}
            }
        }
        rendered.generation.sort_by_key(|range| range.start);
        rendered
    }
}

impl std::fmt::Display for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.open, self.close)
    }
}

fn remove_used(value: &Value, free: &mut Vec<char>) {
    match value {
        // Noncharacters are three bytes that begin with EF B7; hardly any text has them.
        Value::String(text) if text.as_bytes().windows(2).any(|w| w == [0xEF, 0xB7]) => {
            free.retain(|c| !text.contains(*c));
        }
        Value::Array(list) => list.iter().for_each(|v| remove_used(v, free)),
        Value::Object(fields) => fields.values().for_each(|v| remove_used(v, free)),
        _ => {}
    }
}
