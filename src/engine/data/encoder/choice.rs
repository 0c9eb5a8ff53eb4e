//! Which chat template conversations are written with.

use std::path::PathBuf;

use crate::engine::config::{expand_home, is_template_text, names_template_file, nearest};
use crate::engine::data::template::chatml;
use crate::engine::formats::TextTokenizer;
use crate::engine::{Error, Result};

/// A template is some pages of text; what is larger is some other file.
const MAX_FILE: u64 = 4 << 20;

/// The name of the template that every model may have.
const CHATML: &str = "chatml";

/// What was chosen.
pub struct Choice {
    /// The template.
    pub source: String,
    /// The template for conversations with tools, if that is another one.
    pub tool_source: Option<String>,
    /// What a person should know about it.
    pub notices: Vec<String>,
    /// Whether it is not the one that the model brings.
    pub is_other: bool,
    from: From,
}

enum From {
    Model,
    File(PathBuf),
    Settings,
}

/// What may be chosen by name: the model's named templates, and `chatml`. Its own template is the empty name.
pub fn template_names(tokenizer: &TextTokenizer) -> Vec<String> {
    let mut names: Vec<String> = tokenizer.named_templates.iter().map(|(name, _)| name.clone()).collect();
    if !names.iter().any(|name| name == CHATML) {
        names.push(CHATML.into());
    }
    names
}

/// The source of the template that `data.chat_template` chooses.
///
/// # Errors
/// The model has no template of that name, or the file cannot be read.
pub fn template_source(tokenizer: &TextTokenizer, choice: &str) -> Result<String> {
    Choice::of(tokenizer, choice).map(|found| found.source)
}

impl Choice {
    /// Finds the template of `data.chat_template`.
    pub fn of(tokenizer: &TextTokenizer, choice: &str) -> Result<Choice> {
        let new =
            |source: String, from| Choice { source, tool_source: None, notices: Vec::new(), is_other: true, from };
        let named = |name: &str| tokenizer.named_templates.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone());
        let own = |found: Choice| Choice { is_other: false, tool_source: named("tool_use"), ..found };
        if is_template_text(choice) {
            return Ok(new(choice.to_string(), From::Settings).with_notice(tokenizer));
        }
        if names_template_file(choice) {
            let path = expand_home(choice.trim());
            let size = std::fs::metadata(&path).map_err(Error::io("read the chat template", &path))?.len();
            if size > MAX_FILE {
                return Err(Error::file("this is no chat template: it is larger than 4 MiB", path));
            }
            let bytes = std::fs::read(&path).map_err(Error::io("read the chat template", &path))?;
            let Ok(source) = String::from_utf8(bytes) else {
                return Err(Error::file("this is no chat template: it is not UTF-8 text", path));
            };
            let source = source.strip_prefix('\u{feff}').unwrap_or(&source).to_string();
            return Ok(new(source, From::File(path)).with_notice(tokenizer));
        }
        match (choice.trim(), &tokenizer.chat_template) {
            ("" | "default", Some(source)) => return Ok(own(new(source.clone(), From::Model))),
            ("", None) => {
                let mut found = new(of_chatml(tokenizer), From::Model);
                found.is_other = false;
                let names: Vec<&str> = tokenizer.named_templates.iter().map(|(name, _)| name.as_str()).collect();
                found.notices.push(match names.as_slice() {
                    [] => "the model has no chat template: conversations are written as ChatML".to_string(),
                    names => format!(
                        "the model has no chat template by default: conversations are written as ChatML; \
                         it brings others by the names {}",
                        names.join(", ")
                    ),
                });
                return Ok(found);
            }
            _ => {}
        }
        if let Some(source) = named(choice.trim()) {
            return Ok(new(source, From::Model).with_notice(tokenizer));
        }
        if choice.trim() == CHATML {
            return Ok(new(of_chatml(tokenizer), From::Settings).with_notice(tokenizer));
        }
        let names = template_names(tokenizer);
        let hint = nearest(choice, names.iter().map(String::as_str));
        Err(Error::Config(format!(
            "the model has no chat template {choice:?}; there are {}, and the path of a .jinja file, the text of a template, \
             or nothing for the model's own may be given{hint}",
            names.join(", ")
        )))
    }

    /// Says that it is not the model's own, if it is another.
    fn with_notice(mut self, tokenizer: &TextTokenizer) -> Choice {
        match &tokenizer.chat_template {
            Some(own) if *own == self.source => self.is_other = false,
            Some(_) => self.notices.push(
                "conversations are written with the chat template that was chosen, not with the model's own".into(),
            ),
            None => {}
        }
        self
    }

    /// A template that is not valid, with the place where it came from.
    pub fn error(&self, tokenizer: &TextTokenizer, reason: String) -> Error {
        match &self.from {
            From::Model => Error::file(reason, &tokenizer.path),
            From::File(path) => Error::file(reason, path),
            From::Settings => Error::Config(reason),
        }
    }
}

fn of_chatml(tokenizer: &TextTokenizer) -> String {
    let has_im_end = tokenizer.token_id("<|im_end|>").is_some();
    chatml(has_im_end, tokenizer.eos_token.as_deref(), tokenizer.adds_bos)
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::*;
    use crate::engine::data::Message;
    use crate::engine::data::testing::{CHATML as MODEL, byte_tokenizer, now};

    #[test]
    fn a_template_is_chosen_by_name_file_or_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.jinja");
        std::fs::write(&file, "FILE{{ messages[0].content }}").unwrap();
        let mut tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(MODEL));
        tokenizer.named_templates = vec![("rag".into(), "RAG{{ messages[0].content }}".into())];
        assert_eq!(template_names(&tokenizer), ["rag", "chatml"]);
        let made = |choice: &str| {
            let encoder = Encoder::with_template(&tokenizer, choice, now()).unwrap();
            let text = encoder.render(&[Message::user("q")], None, false).unwrap();
            (text, encoder.other_template().is_some())
        };
        let own = "<|im_start|>user\nq<|im_end|>\n".to_string();
        assert_eq!(made(""), (own.clone(), false));
        assert_eq!(made("default"), (own.clone(), false));
        assert_eq!(made(MODEL), (own.clone(), false));
        assert_eq!(made("chatml"), (own, true));
        assert_eq!(made("rag"), ("RAGq".into(), true));
        assert_eq!(made(&file.to_string_lossy()), ("FILEq".into(), true));
        assert_eq!(made("TEXT{{ messages[0].content }}"), ("TEXTq".into(), true));
    }

    #[test]
    fn what_is_no_template_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broken.jinja");
        std::fs::write(&file, "a\n{% for m in %}").unwrap();
        let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"], Some(MODEL));
        let error = |choice: &str| match Encoder::with_template(&tokenizer, choice, now()) {
            Ok(_) => panic!("{choice} is taken"),
            Err(error) => error.to_string(),
        };
        assert!(error("chatlm").ends_with("the model's own may be given; did you mean chatml?"));
        let broken = error(&file.to_string_lossy());
        assert!(broken.contains("(line 2 of the template)") && broken.ends_with("broken.jinja"), "{broken}");
        assert!(error("a\n{% for m in %}").starts_with("the chat template is not valid"));
        assert!(error("no/such.jinja").starts_with("could not read the chat template"));
    }

    #[test]
    fn the_fingerprint_knows_the_template_and_its_date() {
        let tokenizer = byte_tokenizer(&["<eos>"], None);
        let of = |choice: &str, now: jiff::ZonedDateTime| {
            let encoder = Encoder::with_template(&tokenizer, choice, now).unwrap();
            (encoder.fingerprint(), encoder.uses_date())
        };
        let (first, later) = (now(), now().checked_add(jiff::Span::new().hours(1)).unwrap());
        let tomorrow = now().checked_add(jiff::Span::new().days(1)).unwrap();
        let plain = "{{ messages[0].content }}";
        assert_eq!(of(plain, first.clone()), of(plain, tomorrow.clone()));
        assert_ne!(of(plain, first.clone()), of("{{ messages[0].content }}!", first.clone()));
        let dated = "{{ strftime_now('%d %b %Y') }}";
        assert!(of(dated, first.clone()).1);
        assert_eq!(of(dated, first.clone()), of(dated, later.clone()));
        assert_ne!(of(dated, first.clone()), of(dated, tomorrow));
        let timed = "{{ strftime_now('%H:%M') }}";
        assert_ne!(of(timed, first), of(timed, later));
    }
}
