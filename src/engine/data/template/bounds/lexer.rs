//! Cuts a template into its tags, and a tag into tokens, as minijinja's own lexer does.

use super::Refusal;

/// What kind of thing a token is; its text is read from the template where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Symbol,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// A `{{ … }}` or a `{% … %}`, without the signs around it.
#[derive(Debug)]
pub(super) struct Tag {
    /// `{% … %}`
    pub block: bool,
    pub tokens: Vec<Token>,
    /// Where its contents end.
    pub end: usize,
}

/// The tags of a template, in order. Comments and raw text are passed over.
pub(super) fn tags(source: &str) -> Result<Vec<Tag>, Refusal> {
    let bytes = source.as_bytes();
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let open = at + found;
        at = open + 1;
        match bytes.get(at) {
            Some(b'#') => {
                let Some(length) = source[at + 1..].find("#}") else { return Ok(tags) };
                at += 1 + length + 2;
            }
            Some(sign @ (b'{' | b'%')) => {
                let block = *sign == b'%';
                if block && let Some(behind) = basic_tag(source, at + 1, "raw") {
                    let Some(end) = raw_end(source, behind) else { return Ok(tags) };
                    at = end;
                    continue;
                }
                let tag = tag(source, at + 1, block)?;
                // The signs that close the tag hold no brace that opens another.
                at = tag.end;
                tags.push(tag);
            }
            _ => {}
        }
    }
    Ok(tags)
}

/// The end of a tag that holds nothing but a name, if one begins here, behind its `{%`.
fn basic_tag(source: &str, at: usize, name: &str) -> Option<usize> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = &source[at..];
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start_matches(blank);
    let rest = rest.strip_prefix(name)?.trim_start_matches(blank);
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(source.len() - rest.len())
}

fn raw_end(source: &str, mut at: usize) -> Option<usize> {
    loop {
        at += source[at..].find("{%")? + 2;
        if let Some(end) = basic_tag(source, at, "endraw") {
            return Some(end);
        }
    }
}

fn tag(source: &str, start: usize, block: bool) -> Result<Tag, Refusal> {
    let bytes = source.as_bytes();
    let close: &[u8] = if block { b"%}" } else { b"}}" };
    let mut at = start + usize::from(matches!(bytes.get(start), Some(b'-' | b'+')));
    let (mut tokens, mut brackets) = (Vec::new(), 0isize);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        if brackets == 0 && (rest.starts_with(close) || (matches!(byte, b'-' | b'+') && rest[1..].starts_with(close))) {
            return Ok(Tag { block, tokens, end: at });
        }
        let (kind, length) = match byte {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                (Kind::Name, rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count())
            }
            b'0'..=b'9' => (Kind::Number, number(rest, at > 0 && bytes[at - 1] == b'.')),
            b'\'' | b'"' => (Kind::Text, text(rest).ok_or(Refusal::Unread(at))?),
            _ => {
                match byte {
                    b'(' | b'[' | b'{' => brackets += 1,
                    b')' | b']' | b'}' => brackets -= 1,
                    _ => {}
                }
                let pairs: [&[u8]; 6] = [b"//", b"**", b"==", b"!=", b"<=", b">="];
                let length = if pairs.iter().any(|pair| rest.starts_with(pair)) { 2 } else { 1 };
                if !byte.is_ascii() {
                    return Err(Refusal::Unread(at));
                }
                (Kind::Symbol, length)
            }
        };
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    Err(Refusal::Unread(start))
}

/// Bytes of a text with its quotes.
fn text(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            b'\\' => at += 2,
            byte if byte == rest[0] => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Bytes of a number; behind a dot it is an index and has no fraction.
fn number(rest: &[u8], index: bool) -> usize {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let mut length = rest.iter().take_while(|b| word(b)).count();
    if !index && rest.get(length) == Some(&b'.') && !rest.get(length + 1).is_some_and(|b| b.is_ascii_alphabetic()) {
        length += 1 + rest[length + 1..].iter().take_while(|b| word(b)).count();
    }
    let exponent = matches!(rest.get(length.wrapping_sub(1)), Some(b'e' | b'E')) && !rest.starts_with(b"0x");
    if exponent && matches!(rest.get(length), Some(b'+' | b'-')) {
        length += 1 + rest[length + 1..].iter().take_while(|b| word(b)).count();
    }
    length
}
