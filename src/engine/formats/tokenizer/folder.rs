//! `tokenizer.json`, `tokenizer_config.json` and chat templates of a Hugging Face folder.

use std::path::Path;

use serde_json::Value;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::TextTokenizer;
use crate::engine::formats::hf::json::Json;
use crate::engine::model::ModelConfig;
use crate::engine::{Error, Result};

impl TextTokenizer {
    /// Reads the tokenizer of a folder, for a model of that configuration.
    pub fn from_folder(folder: &Path, config: &ModelConfig) -> Result<TextTokenizer> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            let message = if folder.join("tokenizer.model").exists() {
                "there is no tokenizer.json, only a SentencePiece tokenizer.model; convert it with transformers \
                 (AutoTokenizer.from_pretrained, then save_pretrained)"
            } else {
                "there is no tokenizer.json in this folder"
            };
            return Err(Error::file(message, folder));
        }
        let bytes = std::fs::read(&path).map_err(Error::io("read the file", &path))?;
        let mut tokenizer: Tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|e| Error::file(format!("not a tokenizer: {e}"), &path))?;
        let settings = Json::read_optional(&folder.join("tokenizer_config.json"))?;
        let special = Json::read_optional(&folder.join("special_tokens_map.json"))?;
        let sources: Vec<&Json> = settings.iter().chain(&special).collect();
        let token = |key: &str| sources.iter().find_map(|json| token_text(json.get(key)?));
        if let Some(settings) = &settings {
            add_missing_tokens(&mut tokenizer, settings)?;
        }
        let (chat_template, named_templates) = templates(folder, settings.as_ref())?;
        let text = TextTokenizer {
            bos_token: token("bos_token"),
            eos_token: token("eos_token"),
            pad_token: token("pad_token"),
            unk_token: token("unk_token"),
            tokenizer,
            chat_template,
            named_templates,
            bos_id: None,
            eos_id: None,
            pad_id: None,
            adds_bos: false,
            adds_eos: false,
            vocab_size: config.vocab,
            path,
        };
        let mut text = text.finish(config)?;
        if let Some(settings) = &settings {
            text.apply_add_flags(settings)?;
        }
        Ok(text)
    }

    /// `add_bos_token` and `add_eos_token`, where they are given, win over tokenizer.json's own post-processor, as in
    /// transformers 5.
    fn apply_add_flags(&mut self, settings: &Json) -> Result<()> {
        let (bos, eos) = (settings.bool("add_bos_token")?, settings.bool("add_eos_token")?);
        if bos.is_none() && eos.is_none() {
            return Ok(());
        }
        let adds_bos = bos.unwrap_or(false) && self.bos_id.is_some();
        let adds_eos = eos.unwrap_or(false) && self.eos_id.is_some();
        if (adds_bos, adds_eos) == (self.adds_bos, self.adds_eos) {
            return Ok(());
        }
        self.set_post_processor(adds_bos, adds_eos)
    }

    /// Makes encoding with special tokens add exactly these.
    pub(super) fn set_post_processor(&mut self, adds_bos: bool, adds_eos: bool) -> Result<()> {
        let mut single = vec!["$A".to_string()];
        let mut special: Vec<(String, u32)> = Vec::new();
        if let (true, Some(token), Some(id)) = (adds_bos, self.bos_token.clone(), self.bos_id) {
            single.insert(0, token.clone());
            special.push((token, id));
        }
        if let (true, Some(token), Some(id)) = (adds_eos, self.eos_token.clone(), self.eos_id) {
            single.push(token.clone());
            special.push((token, id));
        }
        special.dedup();
        let failed = |e: &dyn std::fmt::Display| Error::file(format!("the special tokens do not fit: {e}"), &self.path);
        let template = TemplateProcessing::builder()
            .try_single(single)
            .map_err(|e| failed(&e))?
            .special_tokens(special)
            .build()
            .map_err(|e| failed(&e))?;
        self.tokenizer.with_post_processor(Some(template));
        (self.adds_bos, self.adds_eos) = (adds_bos, adds_eos);
        Ok(())
    }
}

/// A special token: a string, or an object with its text under `content`.
fn token_text(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    (!text.is_empty()).then(|| text.to_string())
}

/// Tokens that tokenizer_config.json lists and tokenizer.json lacks.
fn add_missing_tokens(tokenizer: &mut Tokenizer, settings: &Json) -> Result<()> {
    let Some(listed) = settings.object("added_tokens_decoder")? else { return Ok(()) };
    let mut missing: Vec<(u32, AddedToken)> = Vec::new();
    for (id, value) in &listed.map {
        let (Ok(id), Some(content)) = (id.parse::<u32>(), token_text(value)) else {
            return Err(listed.wrong("added_tokens_decoder", "ids with tokens", value));
        };
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        match tokenizer.token_to_id(&content) {
            Some(known) if known == id => {}
            Some(known) => {
                let message = format!("token {content:?} has id {id} here and id {known} in tokenizer.json");
                return Err(Error::file(message, &settings.path));
            }
            None => {
                let token = AddedToken::from(content, flag("special")).single_word(flag("single_word"));
                missing.push((id, token.lstrip(flag("lstrip")).rstrip(flag("rstrip")).normalized(flag("normalized"))));
            }
        }
    }
    missing.sort_by_key(|(id, _)| *id);
    for (id, token) in missing {
        let content = token.content.clone();
        let added = tokenizer.add_tokens([token]).map_err(|e| Error::file(e.to_string(), &settings.path))?;
        if added != 1 || tokenizer.token_to_id(&content) != Some(id) {
            let message = format!("token {content:?} with id {id} does not follow on tokenizer.json's tokens");
            return Err(Error::file(message, &settings.path));
        }
    }
    Ok(())
}

type Templates = (Option<String>, Vec<(String, String)>);

/// `chat_template.jinja` and `additional_chat_templates/*.jinja`, else `chat_template` of tokenizer_config.json: a
/// string, or a list of `{name, template}`.
fn templates(folder: &Path, settings: Option<&Json>) -> Result<Templates> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::io("read the file", path));
    let (mut default, mut named) = (None, Vec::new());
    let file = folder.join("chat_template.jinja");
    if file.exists() {
        default = Some(read(&file)?);
    }
    if let Ok(entries) = std::fs::read_dir(folder.join("additional_chat_templates")) {
        let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == "jinja"));
        files.sort();
        for path in files {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            named.push((name, read(&path)?));
        }
    }
    let Some(settings) = settings.filter(|_| default.is_none() && named.is_empty()) else {
        return Ok((default, named));
    };
    match settings.get("chat_template") {
        None => {}
        Some(Value::String(text)) => default = Some(text.clone()),
        Some(Value::Array(list)) => {
            for entry in list {
                let field = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_string);
                let (Some(name), Some(template)) = (field("name"), field("template")) else {
                    return Err(settings.wrong("chat_template", "a list of {name, template}", entry));
                };
                if name == "default" { default = Some(template) } else { named.push((name, template)) }
            }
        }
        Some(other) => return Err(settings.wrong("chat_template", "a string or a list", other)),
    }
    Ok((default, named))
}
