//! Reading a JSON object of settings with errors that name the key and the file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::engine::{Error, Result};

/// A JSON object and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Json {
    pub(crate) map: Map<String, Value>,
    pub(crate) path: PathBuf,
}

impl Json {
    /// Reads a file that holds one JSON object.
    pub(crate) fn read(path: &Path) -> Result<Json> {
        let text = std::fs::read(path).map_err(Error::io("read the file", path))?;
        match serde_json::from_slice(&text) {
            Ok(Value::Object(map)) => Ok(Json { map, path: path.to_path_buf() }),
            Ok(_) => Err(Error::file("expected a JSON object", path)),
            Err(e) => Err(Error::file(format!("not valid JSON: {e}"), path)),
        }
    }

    /// Like [`Json::read`]; `None` when there is no such file.
    pub(crate) fn read_optional(path: &Path) -> Result<Option<Json>> {
        if path.exists() { Self::read(path).map(Some) } else { Ok(None) }
    }

    /// The object under a key.
    pub(crate) fn object(&self, key: &str) -> Result<Option<Json>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Json { map: map.clone(), path: self.path.clone() })),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    /// The value under a key; `None` when it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    /// The key is there, even if its value is null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// An [`Error`] about a key.
    pub(crate) fn wrong(&self, key: &str, expected: &str, got: &Value) -> Error {
        let mut got = got.to_string();
        if let Some((cut, _)) = got.char_indices().nth(60) {
            got.truncate(cut);
            got.push('…');
        }
        Error::file(format!("{key}: expected {expected}, got {got}"), &self.path)
    }

    /// A whole number, not negative.
    pub(crate) fn usize(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        // Some tools write 256.0 for 256.
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..2e15).contains(x)).map(|x| x as u64));
        whole.and_then(|x| usize::try_from(x).ok()).map(Some).ok_or_else(|| self.wrong(key, "a whole number", value))
    }

    /// A whole number that must be there.
    pub(crate) fn required_usize(&self, key: &str) -> Result<usize> {
        self.usize(key)?.ok_or_else(|| Error::file(format!("the required key {key} is missing"), &self.path))
    }

    /// A number.
    pub(crate) fn f64(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_f64().filter(|x| x.is_finite()).map(Some).ok_or_else(|| self.wrong(key, "a number", value))
    }

    /// True or false.
    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", value))
    }

    /// A string.
    pub(crate) fn str(&self, key: &str) -> Result<Option<&str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string", value))
    }

    /// A list of numbers.
    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.as_array().and_then(|a| a.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>());
        list.map(Some).ok_or_else(|| self.wrong(key, "a list of numbers", value))
    }

    /// A list of strings.
    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = |v: &Value| v.as_str().map(str::to_string);
        let list = value.as_array().and_then(|a| a.iter().map(text).collect::<Option<Vec<_>>>());
        list.map(Some).ok_or_else(|| self.wrong(key, "a list of strings", value))
    }

    /// A token id, or a list of them; negative ids mean "none" in old configurations.
    pub(crate) fn token_ids(&self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let one = std::slice::from_ref(value);
        let list = value.as_array().map_or(one, Vec::as_slice);
        let ids = list.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>();
        let ids = ids.ok_or_else(|| self.wrong(key, "a token id or a list of them", value))?;
        ids.into_iter()
            .filter(|&id| id >= 0)
            .map(|id| u32::try_from(id).map_err(|_| self.wrong(key, "a token id", value)))
            .collect()
    }
}
