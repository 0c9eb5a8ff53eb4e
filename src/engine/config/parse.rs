//! Reading and writing run files: TOML in, every mistake named with its line.

use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::schema::{FIELDS, Field, Kind, field, sections};
use super::{RunConfig, TargetModules};
use crate::engine::model::LinearKind;
use crate::engine::{Error, Result};

/// A run file is a page of text; what is larger is some other file given by mistake.
const MAX_FILE: u64 = 4 << 20;

impl RunConfig {
    /// Reads a run file.
    pub fn load(path: impl AsRef<Path>) -> Result<RunConfig> {
        let path = path.as_ref();
        let size = std::fs::metadata(path).map_err(Error::io("read the run file", path))?.len();
        if size > MAX_FILE {
            return Err(Error::file("this is not a run file: it is larger than 4 MiB", path));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read the run file", path))?;
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(Error::file("this is not a run file: it is not UTF-8 text", path));
        };
        Self::from_str(&text).map_err(|e| Error::Config(format!("{e}: {}", path.display())))
    }

    /// Reads the text of a run file. What it leaves out has its default.
    #[allow(clippy::should_implement_trait)] // the trait's method would have to be imported wherever this is called
    pub fn from_str(text: &str) -> Result<RunConfig> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed = DeTable::parse(text).map_err(|e| syntax(text, &e))?;
        for (section, content) in parsed.get_ref() {
            let line = line_of(text, section.span().start);
            check_section(section.get_ref(), content.get_ref(), line, text)?;
        }
        let table: toml::Table = toml::from_str(text).map_err(|e| syntax(text, &e))?;
        for (section, content) in &table {
            let Some(content) = content.as_table().filter(|_| section != "record") else { continue };
            for (key, value) in content {
                let Some(field) = field(section, key) else { continue };
                let line = parsed
                    .get_ref()
                    .get(section.as_str())
                    .and_then(|s| s.get_ref().as_table())
                    .and_then(|s| s.get_key_value(key.as_str()))
                    .map(|(k, _)| line_of(text, k.span().start));
                check(field, value).map_err(|m| Error::Config(at(line, m)))?;
            }
        }
        table.try_into().map_err(|e: toml::de::Error| Error::Config(e.message().to_string()))
    }

    /// Applies one `section.key=value`, the value as TOML; a bare word is a text.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(Error::Config(format!("\"{assignment}\" is not of the form section.key=value")));
        };
        let (path, value) = (path.trim(), value.trim());
        let Some((section, key)) = path.split_once('.') else {
            return Err(Error::Config(format!("{path} names no section{}", nearest_path(path))));
        };
        // `data.columns.prompt`: one entry of a table.
        if let Some((table, entry)) = key.split_once('.')
            && let Some(Field { kind: Kind::Table { .. }, .. }) = field(section, table)
        {
            return self.set_entry(section, table, entry, value);
        }
        let Some(field) = field(section, key) else {
            return Err(Error::Config(format!("unknown key {path}{}", nearest_path(path))));
        };
        let value = match (field.kind, parse_value(value)) {
            // A text is taken as it stands: `--set output.dir=2026` is a folder, and quotes are the shell's business.
            (Kind::Text | Kind::Choice { .. }, Some(Value::String(s))) => Value::String(s),
            (Kind::Text | Kind::Choice { .. }, _) => Value::String(value.to_string()),
            // `--set method.target_modules=q_proj,v_proj`, also in brackets, whose quotes the shell has taken away.
            (Kind::Modules, None) => names(value),
            (Kind::Modules, Some(Value::String(quoted))) => names(&quoted),
            // `--set data.leave_out=user-last`: words of which there are few are names, too.
            (Kind::TextList { allowed: [_, ..] }, None) => names(value),
            // One text is a list of one.
            (Kind::TextList { .. }, Some(Value::String(quoted))) => Value::Array(vec![Value::String(quoted)]),
            (Kind::TextList { .. }, None) if !value.is_empty() && !value.starts_with('[') => {
                Value::Array(vec![Value::String(value.to_string())])
            }
            (_, Some(parsed)) => parsed,
            (_, None) => Value::String(value.to_string()),
        };
        self.put(field, value)
    }

    /// Sets one entry of a table; an empty value removes it.
    fn set_entry(&mut self, section: &str, key: &str, entry: &str, value: &str) -> Result<()> {
        let Some(field) = field(section, key) else {
            return Err(Error::Config(format!("unknown key {section}.{key}")));
        };
        // The file's words may be quoted, as in TOML: `data.roles."the agent"=assistant`.
        let entry = match parse_value(entry) {
            Some(Value::String(quoted)) => quoted,
            _ => entry.to_string(),
        };
        let value = match parse_value(value) {
            Some(Value::String(text)) => text,
            _ => value.to_string(),
        };
        let whole = toml::Table::try_from(&*self).map_err(|e| Error::Config(e.to_string()))?;
        let table = whole.get(section).and_then(|s| s.get(key)).and_then(Value::as_table);
        let mut table = table.cloned().unwrap_or_default();
        if value.is_empty() {
            table.remove(&entry);
        } else {
            table.insert(entry, Value::String(value));
        }
        self.put(field, Value::Table(table))
    }

    /// Puts a value in its place, if it may stand there.
    fn put(&mut self, field: &Field, value: Value) -> Result<()> {
        check(field, &value).map_err(Error::Config)?;
        let internal = |e: String| Error::Config(format!("{}: {e}", field.path()));
        let mut table = toml::Table::try_from(&*self).map_err(|e| internal(e.to_string()))?;
        if let Some(section) = table.get_mut(field.section).and_then(Value::as_table_mut) {
            section.insert(field.key.to_string(), value);
        }
        *self = table.try_into().map_err(|e: toml::de::Error| internal(e.message().to_string()))?;
        Ok(())
    }

    /// The complete run file: every key, also those at their default.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Config(format!("the settings cannot be written as TOML: {e}")))
    }
}

impl TargetModules {
    /// The linears among those that the model has (`all`), in its order. A name that no layer has is an error.
    pub fn resolve(&self, all: &[LinearKind]) -> Result<Vec<LinearKind>> {
        let TargetModules::Names(names) = self else { return Ok(all.to_vec()) };
        for name in names {
            if !all.iter().any(|k| k.name() == name) {
                let has: Vec<&str> = all.iter().map(|k| k.name()).collect();
                let hint = nearest(name, has.iter().copied());
                return Err(Error::Config(format!(
                    "method.target_modules: this model has no linear {name}{hint}; it has {}",
                    has.join(", ")
                )));
            }
        }
        Ok(all.iter().copied().filter(|k| names.iter().any(|n| n == k.name())).collect())
    }
}

/// Names of modules, separated by commas; `all-linear` is no list.
fn names(text: &str) -> Value {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if inner.trim() == "all-linear" {
        return Value::String(inner.trim().to_string());
    }
    let name = |name: &str| Value::String(name.trim().trim_matches(['"', '\'']).to_string());
    Value::Array(inner.split(',').map(name).filter(|name| name.as_str() != Some("")).collect())
}

/// A value in TOML's syntax, if it is one.
fn parse_value(text: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("v = {text}\n")).ok()?;
    if table.len() == 1 { table.get("v").cloned() } else { None }
}

/// Names of sections and keys.
fn check_section(section: &str, content: &DeValue<'_>, line: usize, text: &str) -> Result<()> {
    if section == "record" {
        return Ok(());
    }
    if !sections().contains(&section) {
        let hint = if FIELDS.iter().any(|f| f.key == section) {
            nearest_path(section)
        } else {
            nearest(section, sections().into_iter())
        };
        let what = if content.is_table() { "unknown section" } else { "unknown key" };
        return Err(Error::Config(at(Some(line), format!("{what} {section}{hint}"))));
    }
    let Some(table) = content.as_table() else {
        return Err(Error::Config(at(
            Some(line),
            format!("{section} is a section: write [{section}] and its keys below"),
        )));
    };
    for key in table.keys() {
        let name: &str = key.get_ref();
        if field(section, name).is_some() {
            continue;
        }
        let own = FIELDS.iter().filter(|f| f.section == section).map(|f| f.key);
        let mut hint = nearest(name, own);
        // `rank` below [train]: the right name in the wrong section.
        if let Some(other) = FIELDS.iter().find(|f| f.key == name) {
            hint = format!("; it belongs in [{}]", other.section);
        }
        let line = line_of(text, key.span().start);
        return Err(Error::Config(at(Some(line), format!("unknown key {name} in [{section}]{hint}"))));
    }
    Ok(())
}

/// Type and range of one value; the message says key, value, and what is allowed.
fn check(field: &Field, value: &Value) -> std::result::Result<(), String> {
    let path = field.path();
    let wrong = |allowed: String| Err(format!("{path} = {value}: {allowed}"));
    match field.kind {
        Kind::Text if !value.is_str() => wrong("a text in quotes is expected".into()),
        Kind::Bool if !value.is_bool() => wrong("true or false is expected".into()),
        Kind::TextList { allowed } => {
            let example = [allowed.first().unwrap_or(&"one"), allowed.get(1).unwrap_or(&"two")];
            if !is_texts(value) {
                return wrong(format!("a list of texts is expected, like {example:?}"));
            }
            let mut words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            match words.find(|word| !allowed.is_empty() && !allowed.contains(word)) {
                Some(word) => {
                    let hint = nearest(word, allowed.iter().copied());
                    wrong(format!("{word:?} is not one of {}{hint}", allowed.join(", ")))
                }
                None => Ok(()),
            }
        }
        Kind::Modules => {
            let named = is_texts(value) && value.as_array().is_some_and(|a| !a.is_empty());
            let mut names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            if value.as_str() != Some("all-linear") && !named {
                return wrong("\"all-linear\" or a list of names is expected, like [\"q_proj\", \"v_proj\"]".into());
            }
            if let Some(name) = names.find(|n| LinearKind::from_name(n).is_none()) {
                let all = LinearKind::ALL.map(LinearKind::name);
                return wrong(format!("{name} is no linear of a decoder layer; they are {}", all.join(", ")));
            }
            Ok(())
        }
        Kind::Table { keys, values } => {
            let Some(table) = value.as_table() else {
                let example = keys.first().copied().unwrap_or("word");
                let to = values.first().copied().unwrap_or("name");
                return wrong(format!("a table of texts is expected, like {{ {example} = \"{to}\" }}"));
            };
            table.iter().try_for_each(|(key, value)| check_entry(&path, key, value, keys, values))
        }
        Kind::Choice { allowed, planned } => match value.as_str() {
            Some(s) if allowed.contains(&s) => Ok(()),
            Some(s) if planned.contains(&s) => {
                wrong(format!("not available in this version; what is: {}", allowed.join(", ")))
            }
            Some(s) => wrong(format!("allowed are {}{}", allowed.join(", "), nearest(s, allowed.iter().copied()))),
            None => wrong(format!("allowed are {}", allowed.join(", "))),
        },
        Kind::Integer { min, max } => match value.as_integer() {
            Some(n) if n >= min && n <= max => Ok(()),
            _ if max >= i32::MAX as i64 => wrong(format!("a whole number from {min} is expected")),
            _ => wrong(format!("a whole number from {min} to {max} is expected")),
        },
        Kind::Number { min, max, max_included } => {
            let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
            match number {
                Some(x) if x >= min && (x < max || (max_included && x == max)) => Ok(()),
                _ if max_included => wrong(format!("a number from {min} to {max} is expected")),
                _ => wrong(format!("a number from {min} to below {max} is expected")),
            }
        }
        _ => Ok(()),
    }
}

/// One entry of a table.
fn check_entry(
    path: &str,
    key: &str,
    value: &Value,
    keys: &[&str],
    values: &[&str],
) -> std::result::Result<(), String> {
    if !keys.is_empty() && !keys.contains(&key) {
        let hint = nearest(key, keys.iter().copied());
        return Err(format!("{path}: there is no field {key}; they are {}{hint}", keys.join(", ")));
    }
    match value.as_str() {
        None => Err(format!("{path}.{key} = {value}: a text in quotes is expected")),
        Some(text) if text.trim().is_empty() => Err(format!("{path}.{key} is empty: leave it out, or give a name")),
        Some(text) if !values.is_empty() && !values.contains(&text) => {
            let hint = nearest(text, values.iter().copied());
            Err(format!("{path}.{key} = \"{text}\": allowed are {}{hint}", values.join(", ")))
        }
        Some(_) => Ok(()),
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|a| a.iter().all(Value::is_str))
}

/// `; did you mean X?` for the nearest of `known`, or nothing when none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let score = |k: &str| strsim::jaro_winkler(&name.to_lowercase(), k);
    let best = known.map(|k| (score(k), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, known)) if score >= 0.6 => format!("; did you mean {known}?"),
        _ => String::new(),
    }
}

/// The nearest `section.key`: by the key alone first, since that is what people remember.
fn nearest_path(path: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or(path);
    if let Some(found) = FIELDS.iter().find(|f| f.key == key) {
        return format!("; did you mean {}?", found.path());
    }
    let paths: Vec<String> = FIELDS.iter().map(Field::path).collect();
    let own: Vec<&str> = if path.contains('.') {
        paths.iter().map(String::as_str).collect()
    } else {
        FIELDS.iter().map(|f| f.key).collect()
    };
    nearest(path, own.into_iter())
}

fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|s| line_of(text, s.start));
    Error::Config(at(line, error.message().replace('\n', "; ")))
}

fn at(line: Option<usize>, message: String) -> String {
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

/// Line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::{Checkpointing, MethodKind, OptimizerKind, Quantization};
    use super::*;

    fn error(text: &str) -> String {
        RunConfig::from_str(text).expect_err("must be refused").to_string()
    }

    fn set_error(assignment: &str) -> String {
        RunConfig::default().set(assignment).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_empty_file_is_the_default() {
        assert_eq!(RunConfig::from_str("").unwrap(), RunConfig::default());
        assert_eq!(RunConfig::from_str("\u{feff}[model]\n").unwrap(), RunConfig::default());
    }

    #[test]
    fn the_table_and_the_structs_name_the_same_keys_in_the_same_order() {
        let table = toml::Table::try_from(RunConfig::default()).unwrap();
        let mut keys = Vec::new();
        for (section, content) in &table {
            keys.extend(content.as_table().unwrap().keys().map(|k| format!("{section}.{k}")));
        }
        assert_eq!(keys, FIELDS.iter().map(Field::path).collect::<Vec<_>>());
    }

    #[test]
    fn every_default_passes_its_own_check() {
        let table = toml::Table::try_from(RunConfig::default()).unwrap();
        for f in FIELDS {
            check(f, &table[f.section][f.key]).unwrap();
        }
    }

    #[test]
    fn a_file_survives_the_round_trip() {
        let mut run = RunConfig::default();
        for s in [
            "model.quantization=keep",
            "data.train=\"a \\\"b\\\".jsonl\"",
            "method.alpha=12.5",
            "method.target_modules=[\"q_proj\",\"down_proj\"]",
            "train.learning_rate=3e-5",
            "train.checkpointing=per-layer",
            "sample.prompts=[\"Hello\", \"two\\nlines\"]",
            "train.seed=9223372036854775807",
        ] {
            run.set(s).unwrap();
        }
        assert_eq!(RunConfig::from_str(&run.to_toml().unwrap()).unwrap(), run);
        assert_eq!(run.model.quantization, Quantization::Keep);
        assert_eq!(run.train.checkpointing, Checkpointing::PerLayer);
        assert_eq!(run.data.train, "a \"b\".jsonl");
        assert_eq!(run.method.alpha, 12.5);
    }

    #[test]
    fn unknown_names_name_the_nearest_and_the_line() {
        assert_eq!(error("[method]\n\nrnak = 8\n"), "line 3: unknown key rnak in [method]; did you mean rank?");
        assert_eq!(error("[mehtod]\nrank = 8\n"), "line 1: unknown section mehtod; did you mean method?");
        assert_eq!(error("[train]\nrank = 8\n"), "line 2: unknown key rank in [train]; it belongs in [method]");
        assert_eq!(error("rank = 8\n"), "line 1: unknown key rank; did you mean method.rank?");
        assert_eq!(error("model = 8\n"), "line 1: model is a section: write [model] and its keys below");
        assert_eq!(error("[zzz]\n"), "line 1: unknown section zzz");
        assert_eq!(set_error("method.rnak=8"), "unknown key method.rnak; did you mean method.rank?");
        assert_eq!(set_error("train.rank=8"), "unknown key train.rank; did you mean method.rank?");
        assert_eq!(set_error("rank=8"), "rank names no section; did you mean method.rank?");
        assert_eq!(set_error("rank"), "\"rank\" is not of the form section.key=value");
    }

    #[test]
    fn wrong_values_say_key_value_and_what_is_allowed() {
        let rank = "method.rank = 0: a whole number from 1 to 4096 is expected";
        assert_eq!(error("[method]\nrank = 0\n"), format!("line 2: {rank}"));
        assert_eq!(set_error("method.rank=0"), rank);
        assert_eq!(set_error("method.rank=8.5"), "method.rank = 8.5: a whole number from 1 to 4096 is expected");
        assert_eq!(set_error("method.dropout=1"), "method.dropout = 1: a number from 0 to below 1 is expected");
        assert_eq!(
            set_error("train.learning_rate=nan"),
            "train.learning_rate = nan: a number from 0 to 10 is expected"
        );
        assert_eq!(set_error("data.packing=yes"), "data.packing = \"yes\": true or false is expected");
        assert_eq!(
            set_error("model.quantization=nf5"),
            "model.quantization = \"nf5\": allowed are nf4, none, keep; did you mean nf4?"
        );
        assert_eq!(error("[data]\ntrain = 3\n"), "line 2: data.train = 3: a text in quotes is expected");
        assert!(error("[method]\nrank = \n").starts_with("line 2: "));
        for value in ["q_prj", "[q_prj]", "[\"q_prj\"]", "q_proj,q_prj"] {
            let refused = set_error(&format!("method.target_modules={value}"));
            assert!(
                refused.contains(": q_prj is no linear of a decoder layer; they are q_proj, "),
                "{value}: {refused}"
            );
        }
        for value in ["", "[]", ",", "3", "[1]"] {
            let refused = set_error(&format!("method.target_modules={value}"));
            assert!(refused.contains("\"all-linear\" or a list of names"), "{value}: {refused}");
        }
        for value in ["", "[one, two]", "3", "[1]"] {
            assert!(set_error(&format!("sample.prompts={value}")).contains("a list of texts is expected"), "{value}");
        }
    }

    #[test]
    fn what_is_planned_is_refused_with_what_works() {
        for kind in ["dora", "bottleneck", "prompt-tuning", "ia3"] {
            let expected = format!("method.kind = \"{kind}\": not available in this version; what is: lora");
            assert_eq!(set_error(&format!("method.kind={kind}")), expected);
        }
        assert_eq!(RunConfig::default().method.kind, MethodKind::Lora);
    }

    #[test]
    fn optimizers_are_named_as_people_know_them() {
        for (name, kind) in [
            ("adamw", OptimizerKind::Adamw),
            ("adamw-8bit", OptimizerKind::Adamw8bit),
            ("paged-adamw", OptimizerKind::PagedAdamw),
        ] {
            let mut run = RunConfig::default();
            run.set(&format!("train.optimizer={name}")).unwrap();
            assert_eq!(run.train.optimizer, kind);
            assert!(run.to_toml().unwrap().contains(&format!("optimizer = \"{name}\"")));
        }
        let message = error("[train]\noptimizer = \"paged_adamw\"\n");
        assert!(
            message.ends_with("allowed are adamw, adamw-8bit, paged-adamw; did you mean paged-adamw?"),
            "{message}"
        );
    }

    #[test]
    fn set_takes_bare_words_lists_and_whole_numbers_for_numbers() {
        let mut run = RunConfig::default();
        run.set("output.dir = 2026").unwrap();
        run.set("method.alpha=16").unwrap();
        run.set("data.packing=false").unwrap();
        run.set("data.validation=").unwrap();
        assert_eq!(run.output.dir, "2026");
        assert_eq!(run.method.alpha, 16.0);
        assert!(!run.data.packing);
        // With quotes, and as a shell leaves them.
        for (value, names) in [
            ("q_proj, v_proj", &["q_proj", "v_proj"][..]),
            ("[\"q_proj\", 'v_proj']", &["q_proj", "v_proj"]),
            ("[q_proj,v_proj]", &["q_proj", "v_proj"]),
            ("q_proj", &["q_proj"]),
            ("\"q_proj\"", &["q_proj"]),
        ] {
            run.set(&format!("method.target_modules={value}")).unwrap();
            assert_eq!(run.method.target_modules, TargetModules::Names(names.iter().map(|n| n.to_string()).collect()));
        }
        for value in ["all-linear", "\"all-linear\"", "[all-linear]"] {
            run.set("method.target_modules=q_proj").unwrap();
            run.set(&format!("method.target_modules={value}")).unwrap();
            assert_eq!(run.method.target_modules, TargetModules::AllLinear, "{value}");
        }
        for (value, prompts) in [
            ("[\"Hi, you\", 'Who \"are\" you?']", &["Hi, you", "Who \"are\" you?"][..]),
            ("Hi, you", &["Hi, you"]),
            ("\"Hi, you\"", &["Hi, you"]),
            ("[]", &[]),
        ] {
            run.set(&format!("sample.prompts={value}")).unwrap();
            assert_eq!(run.sample.prompts, prompts, "{value}");
        }
    }

    #[test]
    fn columns_and_roles_are_set_whole_or_one_by_one() {
        let text = "[data]\ncolumns = { prompt = \"q\" }\nroles = { customer = \"user\" }\n";
        let mut run = RunConfig::from_str(text).unwrap();
        run.set("data.columns.completion=a").unwrap();
        run.set("data.roles.\"the agent\"=assistant").unwrap();
        let pairs = |map: &std::collections::BTreeMap<String, String>| -> Vec<String> {
            map.iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        assert_eq!(pairs(&run.data.columns), ["completion=a", "prompt=q"]);
        assert_eq!(pairs(&run.data.roles), ["customer=user", "the agent=assistant"]);
        assert_eq!(RunConfig::from_str(&run.to_toml().unwrap()).unwrap(), run);
        run.set("data.columns.prompt=").unwrap();
        run.set("data.roles={ bot = \"assistant\" }").unwrap();
        assert_eq!(pairs(&run.data.columns), ["completion=a"]);
        assert_eq!(pairs(&run.data.roles), ["bot=assistant"]);
        let sub = RunConfig::from_str("[data.columns]\ntext = \"body\"\n").unwrap();
        assert_eq!(pairs(&sub.data.columns), ["text=body"]);

        let wrong = set_error("data.columns.promt=q");
        assert!(wrong.starts_with("data.columns: there is no field promt; they are messages, role"), "{wrong}");
        assert!(wrong.ends_with("; did you mean prompt?"), "{wrong}");
        assert_eq!(
            set_error("data.roles.agent=asistant"),
            "data.roles.agent = \"asistant\": allowed are system, user, assistant, tool, function_call; \
             did you mean assistant?"
        );
        assert!(error("[data]\ncolumns = \"q\"\n").contains("a table of texts is expected"));
        assert!(error("[data]\ncolumns = { prompt = 3 }\n").starts_with("line 2: data.columns.prompt = 3: a text"));
        assert!(error("[data]\ncolumns = { prompt = \"\" }\n").contains("data.columns.prompt is empty"));
        assert!(set_error("data.colums.prompt=q").contains("did you mean"));
    }

    #[test]
    fn target_modules_are_checked_against_the_model() {
        use LinearKind::*;
        let fused = [Qkv, O, GateUp, Down];
        let names = TargetModules::Names(vec!["o_proj".into(), "qkv_proj".into()]);
        assert_eq!(names.resolve(&fused).unwrap(), [Qkv, O]);
        assert_eq!(TargetModules::AllLinear.resolve(&fused).unwrap(), fused);
        let wrong = TargetModules::Names(vec!["q_proj".into()]).resolve(&fused).expect_err("no q_proj").to_string();
        assert!(wrong.contains("no linear q_proj; did you mean qkv_proj?"), "{wrong}");
    }

    #[test]
    fn a_record_is_read_leniently() {
        let run = RunConfig::from_str("[record]\nversion = \"9\"\nfuture = [1, 2]\n").unwrap();
        assert_eq!(run.record.unwrap().version, "9");
    }

    #[test]
    fn files_that_are_no_run_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none.toml");
        let message = RunConfig::load(&missing).expect_err("missing").to_string();
        assert!(message.starts_with("could not read the run file: ") && message.ends_with("none.toml"), "{message}");
        let binary = dir.path().join("binary.toml");
        std::fs::write(&binary, [0xff, 0xfe, 0]).unwrap();
        assert!(RunConfig::load(&binary).expect_err("binary").to_string().contains("not UTF-8"));
        let wrong = dir.path().join("wrong.toml");
        std::fs::write(&wrong, "[method]\nrank = 0\n").unwrap();
        let message = RunConfig::load(&wrong).expect_err("wrong").to_string();
        assert!(message.starts_with("line 2: method.rank = 0: ") && message.ends_with("wrong.toml"), "{message}");
    }
}
