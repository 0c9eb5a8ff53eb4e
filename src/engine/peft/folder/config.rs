//! `adapter_config.json`.

use std::path::Path;

use fancy_regex::Regex;
use serde_json::{Map, Value};

use crate::engine::{Error, Result};

/// Which modules an adapter sits on, as the file says it.
#[derive(Clone, Debug)]
pub enum Targets {
    /// The file says nothing: the weights tell.
    Unsaid,
    /// Every linear of every layer.
    AllLinear,
    /// Names or paths: a module whose path is, or ends in, one of them.
    Names(Vec<String>),
    /// A regular expression that matches the whole path.
    Pattern(String, Box<Regex>),
}

/// The settings of a LoRA adapter folder.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    /// The model that it was trained on: an id or a path.
    pub base_model: Option<String>,
    /// Commit, branch or tag of that model.
    pub revision: Option<String>,
    /// Rank of modules that `rank_pattern` does not name.
    pub rank: usize,
    /// α of modules that `alpha_pattern` does not name.
    pub alpha: f64,
    /// Dropout in training.
    pub dropout: f32,
    /// α/√r instead of α/r.
    pub rslora: bool,
    /// The adapted modules.
    pub targets: Targets,
    exclude: Targets,
    layers: Option<Vec<usize>>,
    layer_patterns: Vec<Regex>,
    rank_pattern: Vec<(Regex, usize)>,
    alpha_pattern: Vec<(Regex, f64)>,
}

impl AdapterConfig {
    /// Reads the file. What changes the arithmetic in a way that is not supported is refused by name; what only steers
    /// training elsewhere is passed over.
    pub fn read(path: &Path) -> Result<AdapterConfig> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read the adapter's settings", path))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| Error::file(format!("not JSON: {e}"), path))?;
        let Value::Object(map) = value else {
            return Err(Error::file("expected a JSON object of settings", path));
        };
        parse(&Fields { map: &map }).map_err(|message| Error::file(message, path))
    }

    /// Whether the settings put an adapter on the module at `path`; with [`Targets::Unsaid`], `None`.
    pub fn adapts(&self, path: &str) -> Option<bool> {
        if self.exclude.names(path) == Some(true) {
            return Some(false);
        }
        let named = self.targets.names(path)?;
        // As in PEFT, the choice of layers goes with a list of names only.
        let chosen = match (&self.targets, &self.layers) {
            (Targets::Names(names), Some(layers)) if !names.iter().any(|n| n == path) => {
                self.layer_of(path).is_some_and(|l| layers.contains(&l))
            }
            _ => true,
        };
        Some(named && chosen)
    }

    /// Rank of the module at `path`.
    pub fn rank_of(&self, path: &str) -> usize {
        first_match(&self.rank_pattern, path).unwrap_or(self.rank)
    }

    /// α of the module at `path`.
    pub fn alpha_of(&self, path: &str) -> f64 {
        first_match(&self.alpha_pattern, path).unwrap_or(self.alpha)
    }

    fn layer_of(&self, path: &str) -> Option<usize> {
        self.layer_patterns.iter().find_map(|p| p.captures(path).ok()??.name("idx")?.as_str().parse().ok())
    }
}

impl Targets {
    /// Whether the module at `path` is meant; `None` when nothing is said.
    fn names(&self, path: &str) -> Option<bool> {
        match self {
            Targets::Unsaid => None,
            Targets::AllLinear => Some(true),
            Targets::Names(names) => Some(names.iter().any(|n| match path.strip_suffix(n.as_str()) {
                Some(before) => before.is_empty() || before.ends_with('.'),
                None => false,
            })),
            // A pattern that gives up (backtracking limit) has not matched.
            Targets::Pattern(_, regex) => Some(regex.is_match(path).unwrap_or(false)),
        }
    }
}

fn first_match<T: Copy>(patterns: &[(Regex, T)], path: &str) -> Option<T> {
    patterns.iter().find(|(p, _)| p.is_match(path).unwrap_or(false)).map(|(_, value)| *value)
}

/// The object, with typed access whose errors name the key.
struct Fields<'a> {
    map: &'a Map<String, Value>,
}

type Parsed<T> = std::result::Result<T, String>;

impl<'a> Fields<'a> {
    /// The value, unless absent or null.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn bool(&self, key: &str) -> Parsed<bool> {
        self.get(key).map_or(Ok(false), |v| v.as_bool().ok_or_else(|| wrong(key, "true or false", v)))
    }

    fn string(&self, key: &str) -> Parsed<Option<String>> {
        self.get(key).map(|v| v.as_str().map(str::to_owned).ok_or_else(|| wrong(key, "a string", v))).transpose()
    }

    fn number(&self, key: &str, default: f64) -> Parsed<f64> {
        self.get(key).map_or(Ok(default), |v| finite(key, v))
    }

    fn rank(&self, key: &str, default: usize) -> Parsed<usize> {
        self.get(key).map_or(Ok(default), |v| rank(key, v))
    }

    /// `null`, one string or a list of strings.
    fn strings(&self, key: &str) -> Parsed<Option<(Vec<String>, bool)>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some((vec![s.clone()], true))),
            Some(Value::Array(items)) => {
                let strings: Option<Vec<String>> = items.iter().map(|i| i.as_str().map(str::to_owned)).collect();
                let strings = strings.ok_or_else(|| wrong(key, "a list of strings", &self.map[key]))?;
                Ok(Some((strings, false)))
            }
            Some(v) => Err(wrong(key, "a string or a list of strings", v)),
        }
    }

    fn targets(&self, key: &str) -> Parsed<Targets> {
        Ok(match self.strings(key)? {
            None => Targets::Unsaid,
            Some((names, false)) if names.is_empty() => Targets::Unsaid,
            Some((names, false)) => Targets::Names(names),
            Some((mut text, true)) => {
                let text = text.remove(0);
                if text.eq_ignore_ascii_case("all-linear") {
                    Targets::AllLinear
                } else {
                    let regex = regex(key, &format!(r"\A(?:{text})\z"), &text)?;
                    Targets::Pattern(text, Box::new(regex))
                }
            }
        })
    }

    /// `{"pattern": value}`: a pattern matches the end of a path, from a dot on.
    fn patterns<T>(&self, key: &str, read: fn(&str, &Value) -> Parsed<T>) -> Parsed<Vec<(Regex, T)>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(pattern, value)| {
                    let regex = regex(key, &format!(r"\A(?:.*\.)?(?:{pattern})\z"), pattern)?;
                    Ok((regex, read(&format!("{key}[\"{pattern}\"]"), value)?))
                })
                .collect(),
            Some(v) => Err(wrong(key, "an object", v)),
        }
    }
}

fn wrong(key: &str, expected: &str, got: &Value) -> String {
    format!("{key}: expected {expected}, got {got}")
}

fn finite(key: &str, v: &Value) -> Parsed<f64> {
    v.as_f64().filter(|x| x.is_finite()).ok_or_else(|| wrong(key, "a number", v))
}

fn rank(key: &str, v: &Value) -> Parsed<usize> {
    // A float with an integer's value is what some exporters write.
    let whole =
        v.as_u64().or_else(|| v.as_f64().filter(|x| x.fract() == 0.0 && *x > 0.0 && *x < 1e9).map(|x| x as u64));
    whole.and_then(|r| usize::try_from(r).ok()).filter(|r| *r > 0).ok_or_else(|| wrong(key, "a rank of 1 or more", v))
}

fn regex(key: &str, whole: &str, shown: &str) -> Parsed<Regex> {
    Regex::new(whole).map_err(|e| format!("{key}: \"{shown}\" is not a regular expression that can be read: {e}"))
}

fn parse(fields: &Fields) -> Parsed<AdapterConfig> {
    match fields.string("peft_type")?.as_deref() {
        Some("LORA") => {}
        Some(other) => return Err(format!("peft_type is \"{other}\": only LORA adapters are supported")),
        None => {
            return Err("no peft_type: not an adapter of PEFT (one of another tool has to be converted first)".into());
        }
    }
    refuse_unsupported(fields)?;
    let layers = match fields.get("layers_to_transform") {
        None => None,
        Some(v) => {
            let read = |v: &Value| v.as_u64().map(|l| l as usize);
            let list = match v.as_array() {
                Some(items) => items.iter().map(read).collect::<Option<Vec<_>>>(),
                None => read(v).map(|l| vec![l]),
            };
            // PEFT takes an empty list for all layers.
            Some(list.ok_or_else(|| wrong("layers_to_transform", "a layer or a list of layers", v))?)
                .filter(|l| !l.is_empty())
        }
    };
    let layer_patterns = match fields.strings("layers_pattern")? {
        Some((patterns, _)) if patterns.iter().any(|p| !p.is_empty()) => patterns
            .iter()
            .map(|p| regex("layers_pattern", &format!(r"\A(?:.*?\.)?{p}\.(?P<idx>\d+)\."), p))
            .collect::<Parsed<_>>()?,
        _ => vec![regex("layers_pattern", r"\A.*?\.[^.]*\.(?P<idx>\d+)\.", "")?],
    };
    let dropout = fields.number("lora_dropout", 0.0)? as f32;
    if !(0.0..=1.0).contains(&dropout) {
        return Err(format!("lora_dropout: expected a probability, got {dropout}"));
    }
    Ok(AdapterConfig {
        base_model: fields.string("base_model_name_or_path")?,
        revision: fields.string("revision")?,
        rank: fields.rank("r", 8)?,
        alpha: fields.number("lora_alpha", 8.0)?,
        dropout,
        rslora: fields.bool("use_rslora")?,
        targets: fields.targets("target_modules")?,
        exclude: fields.targets("exclude_modules")?,
        layers,
        layer_patterns,
        rank_pattern: fields.patterns("rank_pattern", rank)?,
        alpha_pattern: fields.patterns("alpha_pattern", finite)?,
    })
}

/// Settings under which y = W x + s·B A x is not what the adapter computes.
fn refuse_unsupported(fields: &Fields) -> Parsed<()> {
    if fields.bool("use_dora")? {
        return Err("use_dora is true: DoRA adapters are not supported yet".into());
    }
    match fields.string("bias")?.as_deref() {
        None | Some("none") => {}
        Some(other) => return Err(format!("bias is \"{other}\": trained biases are not supported, only \"none\"")),
    }
    // Initialisations that change the frozen weights: the adapter only fits that changed model.
    const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];
    if let Some(init) = fields.get("init_lora_weights").and_then(Value::as_str) {
        let init = init.to_ascii_lowercase();
        if CHANGES_BASE.iter().any(|c| init == *c || (*c == "pissa" && init.starts_with("pissa_"))) {
            return Err(format!(
                "init_lora_weights is \"{init}\", which changed the base model's weights: save the adapter in PEFT with \
                 path_initial_model_for_weight_conversion, which makes an ordinary LoRA of it"
            ));
        }
    }
    const OTHERS: [(&str, &str); 12] = [
        ("modules_to_save", "whole modules trained beside LoRA are not supported"),
        ("target_parameters", "adapters on bare parameters are not supported"),
        ("trainable_token_indices", "trained token embeddings are not supported"),
        ("layer_replication", "replicated layers are not supported"),
        ("alora_invocation_tokens", "activated LoRA is not supported"),
        ("arrow_config", "Arrow routing is not supported"),
        ("kasa_config", "KaSA is not supported"),
        ("monteclora_config", "MonteCLoRA is not supported"),
        ("use_bdlora", "block-diagonal LoRA is not supported"),
        ("use_qalora", "QA-LoRA is not supported"),
        ("lora_bias", "biases on B are not supported"),
        ("corda_config", "it changed the base model's weights"),
    ];
    for (key, reason) in OTHERS {
        let said = match fields.get(key) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Array(a)) => !a.is_empty(),
            Some(Value::Object(o)) => !o.is_empty(),
            Some(_) => true,
        };
        if said {
            return Err(format!("{key} is set: {reason}"));
        }
    }
    Ok(())
}
