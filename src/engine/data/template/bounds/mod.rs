//! Bounds for the values of a template.
//!
//! minijinja counts what a template does (its fuel), but adding lists costs nothing: `l + l` only notes its two parts. A
//! template that doubles a list forty times holds a list of a million million entries in a few bytes, and whatever looks
//! into it (a comparison, a forty-first `+`) runs for hours or takes all memory. A list within a list within a list, a
//! hundred thousand times, ends the program when it is dropped: each takes a stack frame. Python has the same
//! templates and no better answer; but here they come from the internet, and one row must not end the program.
//!
//! So every value that a template gives a name, hands to a function or compares goes through a filter that is put around
//! it here, before minijinja reads the template. The filter replaces lazy lists by plain ones, measures, charges fuel for it,
//! and refuses what is too large or too deep. What is not named lives for one expression, so the source bounds its
//! growth: a name is the only way from one turn of a loop to the next. Reading the template before minijinja does also
//! keeps away expressions that are so long that its compiler would run out of stack.

mod check;
mod lexer;
mod rewrite;
#[cfg(test)]
mod tests;

pub(super) use check::add_filters;
use rewrite::{Insert, Walker};

use super::environment;

/// The filters, closing the parenthesis that is put in front of the value, and closed themselves: a word may follow at once.
const CHECK: &str = ")|__check__()";
/// The same for fields of namespaces: those outlive the loop that they are set in.
const CHECK_HELD: &str = ")|__check_held__()";

/// Operations of one expression that work on one another's results (`a + b + c`), and branches of one `if`. The longest in
/// published templates is about thirty; minijinja's stack lasts for some thousands.
const MAX_CHAIN: usize = 400;
/// Bytes of a template: a hundred times the longest that are published.
const MAX_SOURCE: usize = 4 << 20;

/// Why a template is not made ready.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What stands at this byte is not Jinja, or not closed.
    Unread(usize),
    /// The expression or the `if` that begins here is too long.
    TooLong(usize),
    /// Another template is asked for here.
    OtherTemplates(usize),
    TooLarge,
}

impl Refusal {
    /// The refusal in words that follow "the chat template is not valid: ".
    pub fn describe(&self, source: &str) -> String {
        let (what, at) = match self {
            Refusal::Unread(at) => ("syntax error", at),
            Refusal::TooLong(at) => ("an expression or an if has too many parts", at),
            Refusal::OtherTemplates(at) => ("it asks for another template, and there is none", at),
            Refusal::TooLarge => return format!("it is longer than {} MiB", MAX_SOURCE >> 20),
        };
        let line = source.bytes().take(*at).filter(|byte| *byte == b'\n').count() + 1;
        format!("{what} (line {line} of the template)")
    }
}

/// What minijinja says about a template that is not Jinja: it knows better what it expected. Such a template may have
/// expressions of any length, so it is read on a stack that suffices for all.
pub(super) fn syntax_error(refusal: &Refusal, source: &str) -> Option<String> {
    const SOURCE: usize = 128 << 10;
    const STACK: usize = 1 << 30;
    if !matches!(refusal, Refusal::Unread(_)) || source.len() > SOURCE {
        return None;
    }
    let source = source.to_string();
    let read = move || {
        let mut environment = environment::new(jiff::ZonedDateTime::now());
        let error = environment.add_template_owned("chat", source).err()?;
        Some(environment::describe("is not valid", &error))
    };
    std::thread::Builder::new().stack_size(STACK).spawn(read).ok()?.join().ok()?
}

/// The template with checks around its values. Lines stay where they are.
pub(super) fn bounded(source: &str) -> Result<String, Refusal> {
    if source.len() > MAX_SOURCE {
        return Err(Refusal::TooLarge);
    }
    let tags = lexer::tags(source)?;
    let mut inserts: Vec<Insert> = Vec::new();
    // Branches of the `if`s that are open.
    let mut branches: Vec<usize> = Vec::new();
    for tag in &tags {
        let first = tag.tokens.first().filter(|_| tag.block).map(|token| &source[token.start..token.end]);
        match first {
            Some("if") => branches.push(0),
            Some("elif") => {
                if let Some(count) = branches.last_mut() {
                    *count += 1;
                    if *count > MAX_CHAIN {
                        return Err(Refusal::TooLong(tag.end));
                    }
                }
            }
            Some("endif") => {
                branches.pop();
            }
            _ => {}
        }
        Walker::walk(source, tag, &mut inserts)?;
    }
    // What closes at a place stands before what opens there; inner checks were noted before outer ones.
    inserts.sort_by_key(|insert| (insert.at, insert.text == "("));
    let mut out = String::with_capacity(source.len() + inserts.len() * CHECK.len());
    let mut from = 0;
    for insert in inserts {
        out.push_str(&source[from..insert.at]);
        out.push_str(insert.text);
        from = insert.at;
    }
    out.push_str(&source[from..]);
    Ok(out)
}
