//! What the README of a data set says in front of its text: which configurations and splits there are, and in which files.
//!
//! The Hub's API gives it as JSON; of a data set that another program downloaded, the file itself is all there is. It is
//! YAML, of which cards use a small part: lists and tables by indentation, or in brackets on one line, and texts. What goes
//! beyond that is no card.

use serde_json::{Map, Value};

/// Longest front matter, in bytes.
const MAX: usize = 1 << 20;
/// Lists and tables within one another.
const DEPTH: usize = 16;

/// The `configs` of a README, as the API would give them in `cardData`; null if it names none, or says it in another way
/// than cards do.
///
/// ```text
/// ---
/// configs:
/// - config_name: main
///   data_files:
///   - split: train
///     path: main/train-*
/// ---
/// ```
pub(super) fn card(readme: &str) -> Value {
    let lines = match configs(readme) {
        Some(lines) if !lines.is_empty() => lines,
        _ => return Value::Null,
    };
    let mut reader = Reader { lines: &lines, at: 0 };
    match reader.block(0, 0) {
        Some(list @ Value::Array(_)) if reader.at == lines.len() => {
            Value::Object(Map::from_iter([("configs".into(), list)]))
        }
        _ => Value::Null,
    }
}

/// A line of the block, without comment and indentation.
#[derive(Clone, Debug)]
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

/// The lines below `configs:`.
fn configs(readme: &str) -> Option<Vec<Line<'_>>> {
    let readme = readme.strip_prefix('\u{FEFF}').unwrap_or(readme);
    let mut all = readme.get(..MAX.min(readme.len())).unwrap_or(readme).lines();
    if all.next()?.trim_end() != "---" {
        return None;
    }
    let matter =
        all.take_while(|line| line.trim_end() != "---").skip_while(|line| line.trim_end() != "configs:").skip(1);
    let mut lines = Vec::new();
    for line in matter {
        let text = without_comment(line).trim_end();
        let indent = text.len() - text.trim_start_matches(' ').len();
        match text.trim_start() {
            "" => continue,
            // The next key: a list may stand right below its own.
            text if indent == 0 && !is_item(text) => break,
            text => lines.push(Line { indent, text }),
        }
    }
    Some(lines)
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// A line up to its comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return &line[..at],
            None if matches!(c, '"' | '\'') && (before.is_whitespace() || matches!(before, '[' | '{' | ',')) => {
                quote = Some(c);
            }
            None => {}
        }
        before = c;
    }
    line
}

struct Reader<'l, 'a> {
    lines: &'l [Line<'a>],
    at: usize,
}

impl<'a> Reader<'_, 'a> {
    fn peek(&self) -> Option<&Line<'a>> {
        self.lines.get(self.at)
    }

    /// What is indented by at least `least`: a list or a table.
    fn block(&mut self, least: usize, depth: usize) -> Option<Value> {
        let first = self.peek().filter(|line| line.indent >= least)?;
        let (indent, list) = (first.indent, is_item(first.text));
        if depth > DEPTH {
            return None;
        }
        if list { self.list(indent, depth) } else { self.table(indent, None, depth) }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some(line) = self.peek().filter(|line| line.indent == indent && is_item(line.text)) {
            let text = line.text;
            let rest = text[1..].trim_start();
            self.at += 1;
            if rest.is_empty() {
                items.push(self.block(indent + 1, depth + 1)?);
            } else if key_of(rest).is_some() {
                // `- key: value`: a table whose other lines stand below its first key.
                let column = indent + (text.len() - rest.len());
                items.push(self.table(column, Some(rest), depth + 1)?);
            } else {
                items.push(inline(rest, depth)?);
            }
        }
        Some(Value::Array(items))
    }

    fn table(&mut self, indent: usize, first: Option<&'a str>, depth: usize) -> Option<Value> {
        let mut fields = Map::new();
        let mut next = first;
        loop {
            let text = match next.take() {
                Some(text) => text,
                None => match self.peek().filter(|line| line.indent == indent && !is_item(line.text)) {
                    Some(line) => {
                        let text = line.text;
                        self.at += 1;
                        text
                    }
                    None => break,
                },
            };
            let (key, rest) = key_of(text)?;
            let value = match rest {
                "" => match self.peek() {
                    // A list may stand as far left as its key.
                    Some(line) if line.indent > indent || (line.indent == indent && is_item(line.text)) => {
                        self.block(indent, depth + 1)?
                    }
                    _ => Value::Null,
                },
                rest => inline(rest, depth)?,
            };
            fields.insert(key, value);
        }
        Some(Value::Object(fields))
    }
}

/// A key and what stands behind its colon.
fn key_of(text: &str) -> Option<(String, &str)> {
    if text.starts_with(['[', '{', '&', '*', '!', '|', '>']) {
        return None;
    }
    let (key, rest) = match text.strip_suffix(':').filter(|key| !key.contains(": ")) {
        Some(key) => (key, ""),
        None => text.split_once(": ")?,
    };
    Some((scalar(key.trim())?.as_str().unwrap_or(key.trim()).to_string(), rest.trim()))
}

/// A value on one line.
fn inline(text: &str, depth: usize) -> Option<Value> {
    let (value, rest) = flow(text, depth, false)?;
    rest.trim().is_empty().then_some(value)
}

/// A value, and what stands behind it; within brackets it ends with a comma or the bracket.
fn flow(text: &str, depth: usize, within: bool) -> Option<(Value, &str)> {
    let text = text.trim_start();
    if depth > DEPTH {
        return None;
    }
    match text.chars().next()? {
        '[' => {
            let (mut items, mut rest) = (Vec::new(), text[1..].trim_start());
            loop {
                if let Some(rest) = rest.strip_prefix(']') {
                    return Some((Value::Array(items), rest));
                }
                let (item, behind) = flow(rest, depth + 1, true)?;
                items.push(item);
                rest = behind.trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
        }
        '{' => {
            let (mut fields, mut rest) = (Map::new(), text[1..].trim_start());
            loop {
                if let Some(rest) = rest.strip_prefix('}') {
                    return Some((Value::Object(fields), rest));
                }
                let (key, behind) = rest.split_once(':')?;
                let (value, behind) = flow(behind, depth + 1, true)?;
                let key = scalar(key.trim())?;
                fields.insert(key.as_str()?.to_string(), value);
                rest = behind.trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
        }
        quote @ ('"' | '\'') => {
            let end = quoted_end(text, quote)?;
            Some((scalar(&text[..end])?, &text[end..]))
        }
        _ => {
            let end = if within { text.find([',', ']', '}']).unwrap_or(text.len()) } else { text.len() };
            let plain = text[..end].trim();
            (!plain.is_empty()).then_some(())?;
            Some((scalar(plain)?, &text[end..]))
        }
    }
}

/// Where a text in quotes ends.
fn quoted_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A word, with or without quotes. Texts over several lines, anchors and tags are none.
fn scalar(text: &str) -> Option<Value> {
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Some(inner.into());
    }
    if text.starts_with('"') {
        return serde_json::from_str::<String>(text).ok().map(Value::from);
    }
    match text {
        "true" | "True" => Some(true.into()),
        "false" | "False" => Some(false.into()),
        "null" | "~" => Some(Value::Null),
        // Of these, `**/train-*` and the like are patterns of files, which YAML wants in quotes.
        _ if text.starts_with(['&', '!', '|', '>', '%', '@', '`']) => None,
        _ => Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cards_of_published_data_sets_are_read() {
        // As openai/gsm8k and many others have it; what comes before and behind is passed over.
        let text = "---\nannotations_creators:\n- crowdsourced\nlicense: mit\ndataset_info:\n- config_name: main\n  features:\n  \
                    - name: question\n    dtype: string\n  splits:\n  - name: train\n    num_bytes: 3963202\nconfigs:\n\
                    - config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: main/train-*\n  \
                    - split: test\n    path:\n    - \"main/test-*\"   # two\n    - 'main/more#1-*'\n\n- config_name: socratic\n  \
                    data_files: socratic/*.parquet\n  data_dir: data\ntags:\n- math-word-problems\n---\n\n# configs:\n- x: y\n";
        let expected = json!([
            {"config_name": "main", "default": true, "data_files": [
                {"split": "train", "path": "main/train-*"},
                {"split": "test", "path": ["main/test-*", "main/more#1-*"]}]},
            {"config_name": "socratic", "data_files": "socratic/*.parquet", "data_dir": "data"},
        ]);
        assert_eq!(card(text)["configs"], expected);
        assert_eq!(card(&text.replace('\n', "\r\n"))["configs"], expected);
        // Indented, and in brackets.
        let text = "\u{FEFF}---\nconfigs:\n  - config_name: default\n    data_files:\n      - {split: train, path: [a.jsonl, \
                    \"b, c.jsonl\"]}\n      -\n        split: test\n        path: d.jsonl\n---\n";
        let files =
            json!([{"split": "train", "path": ["a.jsonl", "b, c.jsonl"]}, {"split": "test", "path": "d.jsonl"}]);
        assert_eq!(card(text)["configs"], json!([{"config_name": "default", "data_files": files}]));
    }

    #[test]
    fn what_is_no_card_is_none() {
        for text in [
            "",
            "# A title\n",
            "---\nlicense: mit\n---\n",
            "---\nconfigs: none\n---\n",
            "---\nconfigs:\n- config_name: a\n   path: too far\n---\n",
            "---\nconfigs:\n- config_name: &anchor a\n  path: *anchor\n- <<: *anchor\n---\n",
            "---\nconfigs:\n- config_name: |\n    several\n    lines\n---\n",
            "---\nconfigs:\n- [a, b\n---\n",
            "---\nconfigs:\n- {a: b\n---\n",
            "---\nconfigs:\n- \"open\n---\n",
        ] {
            assert_eq!(card(text), Value::Null, "{text}");
        }
        let deep = format!("---\nconfigs:\n- {}\n---\n", "[".repeat(100_000));
        assert_eq!(card(&deep), Value::Null);
        let deep: String = (0..5000).map(|n| format!("{}-\n", " ".repeat(n))).collect();
        assert_eq!(card(&format!("---\nconfigs:\n{deep}---\n")), Value::Null);
    }
}
